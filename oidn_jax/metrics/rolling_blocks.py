"""The Fourier ring correlation of many blocks of two images at once: the inner loop of `rolling_frc`.

Blocks are cut out on the device, a batch at a time, so memory does not grow with the image; the sums over rings are one
matrix product with the rings' members.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from oidn_jax.metrics.fourier_ring import (
    correlation,
    hamming_window,
    ring_index,
    single_image_calibration,
    smoothing_matrix,
)
from oidn_jax.optics.fourier import rfft2

CROSSINGS = ("3-sigma", "1/7")

# Sigmas, and the factor of the period where the first did not cross: 5-sigma is reached at a longer one.
_SIGMAS = ((3.0, 1.0), (5.0, 9.0 / 25.0), (2.0, 9.0 / 4.0))
_FIRST_POSITION = 3
_PIXELS_AT_ONCE = 1 << 21  # of the blocks of a batch: some 60 MB of float32 for both images and their spectra


class Criterion(NamedTuple):
    """How a block's curve is read; hashable, so that a program is compiled for each.

    Attributes:
        block: side in pixels, even.
        first_ring: 0 (PANELpy) or 1 (PANELM); there are block / 2 rings.
        crossing: a name in `CROSSINGS`.
        single_image: the pair are quarter images of one, and periods, in its pixels, are divided by its calibration.
    """

    block: int
    first_ring: int
    crossing: str
    single_image: bool

    def members(self) -> Float[np.ndarray, "coefficients rings"]:
        """How often a coefficient of the half spectrum counts in each ring."""
        ring, multiplicity = ring_index(self.block, self.block)
        rings = np.arange(self.block // 2) + self.first_ring
        return (ring.reshape(-1, 1) == rings) * multiplicity.reshape(-1, 1)

    def thresholds(self) -> list[tuple[np.ndarray, float]]:
        """Threshold curves in the order they are tried, each with the factor of its period."""
        if self.crossing == "1/7":
            return [(np.full(self.block // 2, 1.0 / 7.0), 1.0)]
        pairs = self.members().sum(0) / 2
        curves = [(np.minimum(1.0, sigma / np.sqrt(pairs)), factor) for sigma, factor in _SIGMAS]
        # PANELpy computes its 2-sigma threshold from the 5-sigma one, and gets 1 for every ring.
        return curves if self.first_ring else [*curves[:2], (np.ones(self.block // 2), curves[2][1])]


def block_periods(
    pair: Float[np.ndarray, "2 h w"],
    origins: Int[np.ndarray, "n 2"],
    *,
    criterion: Criterion,
    progress: Callable[[float], None] | None = None,
) -> Float[np.ndarray, "n"]:
    """The period, in pixels, at which the FRC of each block crosses its threshold; 0 where it does not.

    Args:
        pair: the two images.
        origins: (y, x) of the first pixel of each block.
        criterion: how curves are read.
        progress: called after each batch with the fraction done.
    """
    batch = max(1, _PIXELS_AT_ONCE // (2 * criterion.block**2))
    on_device, periods = jnp.asarray(pair), np.zeros(len(origins))
    for start in range(0, len(origins), batch):
        some = origins[start : start + batch]
        # The last batch is filled up: one shape, one program.
        filled = np.concatenate([some, np.zeros((batch - len(some), 2), some.dtype)])
        periods[start : start + batch] = _periods(on_device, filled, criterion=criterion)[: len(some)]
        if progress is not None:
            progress(min(1.0, (start + batch) / len(origins)))
    return periods


@partial(jax.jit, static_argnames="criterion")
def _periods(pair: Array, origins: Array, *, criterion: Criterion) -> Array:
    block = criterion.block

    def cut(origin: Array) -> Array:
        return jax.lax.dynamic_slice(pair, (0, origin[0], origin[1]), (2, block, block))

    blocks = jax.vmap(cut)(origins)
    highest = blocks.max((-2, -1), keepdims=True)
    window = jnp.asarray(hamming_window(block, block)[None, None], pair.dtype)
    blocks = blocks / jnp.where(highest == 0, 1.0, highest) * window
    first, second = jnp.moveaxis(rfft2(blocks), 1, 0)
    members = jnp.asarray(criterion.members(), pair.dtype)

    def add(values: Array) -> Array:
        return jnp.matmul(values.reshape(len(origins), -1), members, precision="highest")

    cross = add(first.real * second.real + first.imag * second.imag)
    energies = (add(spectrum.real**2 + spectrum.imag**2) for spectrum in (first, second))
    curves = correlation(cross, *energies, signed=False)
    smoothing = jnp.asarray(smoothing_matrix(block // 2), pair.dtype)
    # Rounding takes equal images above 1, where the thresholds of small rings are, and they would seem to fall.
    curves = jnp.minimum(jnp.matmul(curves, smoothing.T, precision="highest"), 1.0)
    return _first_crossing(curves, criterion)


def _first_crossing(curves: Float[Array, "n rings"], criterion: Criterion) -> Float[Array, "n"]:
    """Below the threshold, and above it (as it is there) at one of the three rings before; neither end of the curve."""
    rings = curves.shape[1]
    before = jnp.stack([curves[:, _FIRST_POSITION - i : rings - 1 - i] for i in (1, 2, 3)]).max(0)
    here = curves[:, _FIRST_POSITION : rings - 1]
    period = jnp.zeros(len(curves), curves.dtype)
    for threshold, factor in criterion.thresholds():
        at = jnp.asarray(threshold[_FIRST_POSITION : rings - 1], curves.dtype)[None]
        falls = (here < at) & (before > at)
        ring = jnp.argmax(falls, 1) + _FIRST_POSITION + criterion.first_ring
        resolved = jnp.where(falls.any(1), factor * criterion.block / ring, 0.0)
        if criterion.single_image:
            resolved = resolved / single_image_calibration((ring / rings).astype(curves.dtype))
        period = jnp.where(period > 0, period, resolved)
    return period

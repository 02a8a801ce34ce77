"""Fourier ring correlation (FRC): down to which period two independent images of one object agree.

    FRC(ring) = sum F1 conj(F2) / sqrt(sum |F1|^2 sum |F2|^2)

over the rings of the spectra (Saxton & Baumeister 1982; Banterle et al. 2013; Nieuwenhuizen et al. 2013). The
resolution is the period of the ring where the curve falls below a threshold. The two images must have independent
noise: one image twice, or two made by one network from one acquisition, agree everywhere. `single_image` splits one
image where there is no second.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from oidn_jax.metrics.arrays import as_floating, unit_scale
from oidn_jax.optics.fourier import rfft2

THRESHOLDS = ("1/7", "half-bit", "3-sigma")
SMALLEST_IMAGE = 16

# The first rings have too few coefficients, and what the window leaks of the mean: no crossing is looked for there.
_FIRST_RING = 3
_SMOOTHING = 3


class RingCorrelation(NamedTuple):
    """A curve; leading axes are those of the images.

    Attributes:
        frequency: (rings,) cycles per pixel of each ring, 0 to 0.5.
        correlation: (..., rings), -1 to 1.
        smoothed: (..., rings), the mean over seven rings (fewer at the ends), by which crossings are found.
        coefficients: (rings,), how many Fourier coefficients each ring has in the full plane.
    """

    frequency: Array
    correlation: Array
    smoothed: Array
    coefficients: Array

    def threshold(self, name: str) -> Float[Array, "rings"]:
        """The threshold curve of a name in `THRESHOLDS`."""
        return threshold_curve(self.coefficients, name=name)

    def cutoff(self, *, threshold: str) -> Float[Array, "*batch"]:
        """Frequency in cycles per pixel where the curve falls below the threshold, between rings by a line.

        NaN where it does not: a curve that is never above (no common structure), or never below.
        """
        above = self.smoothed - jnp.broadcast_to(self.threshold(threshold), self.smoothed.shape)
        falls = (above[..., 1:] < 0) & (above[..., :-1] >= 0)
        # What has never stood above the noise has nothing to lose: of noise alone half of all curves cross 1/7.
        significant = self.smoothed > jnp.broadcast_to(self.threshold("3-sigma"), self.smoothed.shape)
        significant = significant.at[..., :_FIRST_RING].set(False)
        falls &= jnp.cumsum(significant, -1)[..., :-1] > 0
        ring = jnp.argmax(falls, -1)[..., None]
        before, after = (jnp.take_along_axis(above, ring + i, -1)[..., 0] for i in (0, 1))
        crossing = (ring[..., 0] + before / jnp.where(before > after, before - after, 1.0)) * self.frequency[1]
        return jnp.where(falls.any(-1), crossing, jnp.nan)

    def resolution_nm(self, *, threshold: str, pixel_size_nm: float) -> Float[Array, "*batch"]:
        """The period at the cutoff, pixel_size_nm / cutoff; NaN where there is none."""
        return pixel_size_nm / self.cutoff(threshold=threshold)


def threshold_curve(coefficients: Float[Array | np.ndarray, "rings"], *, name: str) -> Float[Array, "rings"]:
    """A threshold for rings of n coefficients of the full plane, at most 1.

    "1/7": constant (Rosenthal & Henderson 2003). "half-bit": (0.2071 + 1.9102 / sqrt n) / (1.2071 + 0.9102 / sqrt n),
    half a bit of information per coefficient (van Heel & Schatz 2005). "3-sigma": 3 / sqrt(n / 2), what the noise of
    two images reaches by chance once in 740 rings; half the coefficients are conjugates of the others.

    Raises:
        ValueError: for another name.
    """
    root = jnp.sqrt(jnp.maximum(jnp.asarray(coefficients), 1.0))
    if name == "1/7":
        return jnp.full_like(root, 1.0 / 7.0)
    if name == "half-bit":
        return jnp.minimum((0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root), 1.0)
    if name == "3-sigma":
        return jnp.minimum(3.0 * np.sqrt(2.0) / root, 1.0)
    raise ValueError(f"the threshold is {name!r}; legal: {', '.join(map(repr, THRESHOLDS))}")


def fourier_ring_correlation(
    image: Real[Array | np.ndarray, "*batch h w"],
    other: Real[Array | np.ndarray, "*batch2 h2 w2"],
    *,
    window: bool = True,
) -> RingCorrelation:
    """The FRC of each pair of images.

    Rings are 1 / min(h, w) cycles per pixel wide, so that of square images they are those of the integer distances.

    Args:
        image: of any brightness scale, at least 16 x 16 pixels.
        other: of the same object on the same pixels, with noise of its own.
        window: subtract the mean and apply a Hann window, without which edges that do not continue on the other side
            correlate at all frequencies (a Hamming window leaves 8 % of them). Periodic images need none.

    Raises:
        ValueError: images of different shapes, or below 16 pixels.
    """
    if image.shape != other.shape:
        raise ValueError(f"the images have the shapes {image.shape} and {other.shape}; they must be on the same pixels")
    if min(image.shape[-2:]) < SMALLEST_IMAGE:
        raise ValueError(f"FRC needs at least {SMALLEST_IMAGE} x {SMALLEST_IMAGE} pixels, got {image.shape[-2:]}")
    h, w = image.shape[-2:]
    ring, multiplicity = ring_index(h, w)
    rings = min(h, w) // 2 + 1
    # The corners beyond the last ring count with a weight of zero. Both are arguments, as constants would be folded.
    members = np.minimum(ring, rings - 1)
    weight = np.where(ring < rings, multiplicity, 0.0)
    pair = (unit_scale(as_floating(x)) for x in (image, other))
    curves = _correlate(*pair, members, weight, rings=rings, window=window)
    smoothing = jnp.asarray(smoothing_matrix(rings), curves.dtype)
    return RingCorrelation(
        frequency=jnp.arange(rings, dtype=curves.dtype) / min(h, w),
        correlation=curves,
        smoothed=jnp.matmul(curves, smoothing.T, precision="highest"),
        coefficients=jnp.asarray(np.bincount(members.ravel(), weight.ravel()), curves.dtype),
    )


@partial(jax.jit, static_argnames=("rings", "window"))
def _correlate(image: Array, other: Array, members: Array, weight: Array, *, rings: int, window: bool) -> Array:
    *batch, h, w = image.shape
    members, weight = members.reshape(-1), weight.astype(image.dtype)

    def add(values: Array) -> Array:
        return jax.ops.segment_sum((values * weight).reshape(-1), members, num_segments=rings)

    def pair(a: Array, b: Array) -> Array:
        if window:
            hann = jnp.asarray(np.outer(np.hanning(h + 2)[1:-1], np.hanning(w + 2)[1:-1]), a.dtype)
            a, b = (a - a.mean()) * hann, (b - b.mean()) * hann
        first, second = rfft2(a), rfft2(b)
        return correlation(
            add((first * second.conj()).real), add(jnp.abs(first) ** 2), add(jnp.abs(second) ** 2), signed=True
        )

    curves = jax.lax.map(lambda ab: pair(*ab), (image.reshape(-1, h, w), other.reshape(-1, h, w)))
    return curves.reshape(*batch, rings)


def single_image_calibration(cutoff: Float[Array | np.ndarray, "*any"]) -> Float[Array, "*any"]:
    """c(x) = 0.95988146 exp(13.90441896 (x - 0.97979108)) + 0.55146136, see `metrics.single_image`; x from 0 to 1."""
    return 0.95988146 * jnp.exp(13.90441896 * (jnp.asarray(cutoff) - 0.97979108)) + 0.55146136


def correlation(cross: Array, energy: Array, other_energy: Array, *, signed: bool) -> Array:
    """cross / sqrt(energy other_energy), 0 where one is dark; unsigned takes the modulus."""
    norm = jnp.sqrt(energy) * jnp.sqrt(other_energy)
    cross = cross if signed else jnp.abs(cross)
    return jnp.where(norm == 0, 0.0, cross / jnp.where(norm == 0, 1.0, norm))


def ring_index(h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the half spectrum (zero frequency first): the ring of each coefficient, and how often the full plane has it.

    The ring is round(|frequency| min(h, w)). A column that stands for its conjugate too counts twice.
    """
    smaller = min(h, w)
    y = np.roll(np.arange(h) - h // 2, -(h // 2)) * (smaller / h)
    x = np.arange(w // 2 + 1) * (smaller / w)
    ring = np.rint(np.hypot(y[:, None], x[None, :])).astype(np.int32)
    alone = (np.arange(w // 2 + 1) == 0) | (2 * np.arange(w // 2 + 1) == w)
    return ring, np.broadcast_to(np.where(alone, 1.0, 2.0), ring.shape)


def hamming_window(h: int, w: int) -> Float[np.ndarray, "h w"]:
    """0.54 - 0.46 cos(2 pi i / (n - 1)) along both axes."""
    return np.outer(np.hamming(h), np.hamming(w))


def smoothing_matrix(n: int) -> Float[np.ndarray, "n n"]:
    """The mean over seven neighbours as a matrix, over those there are at the ends."""
    near = np.abs(np.arange(n)[:, None] - np.arange(n)[None, :]) <= _SMOOTHING
    return near / near.sum(1, keepdims=True)

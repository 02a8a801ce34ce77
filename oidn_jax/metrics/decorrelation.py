"""Decorrelation analysis: the resolution of a single image, without a reference and without a parameter.

A. Descloux, K. S. Grussmayer, A. Radenovic, "Parameter-free image resolution estimation based on decorrelation
analysis", Nature Methods 16 (2019). The image's spectrum F is correlated with its own phases within a radius r, after a
high-pass filter w of varying strength:

    d(r) = sum_{R<r} |F| w / sqrt(sum_{R<1} (|F| w)^2 * n(r)),   n(r) = number of coefficients with R < r, F not 0,

R the frequency divided by Nyquist's, d rounded down to thousandths. The peak of d at the highest frequency, over all
filters, is the cutoff. Numbers are those of the authors' MATLAB functions `apodImRect` and `getDcorr` (not of their
ImageJ plugin, which differs in many details and stops with an error on many SIM images).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from oidn_jax.metrics.arrays import as_floating, unit_scale
from oidn_jax.metrics.decorrelation_curves import (
    Plane,
    decorrelation_curves,
    local_maximum,
    sector_planes,
    whole_plane,
)

RADII = 50
FILTERS = 10
SMALLEST_IMAGE = 8

_APODISED_PIXELS = 20
_WEAKEST_FILTER = 0.15
_FURTHER_RADIUS = 0.4
_SMALLEST_AMPLITUDE = 0.05


class Decorrelation(NamedTuple):
    """What decorrelation analysis finds; leading axes are those of the images (and sectors).

    Attributes:
        cutoff: kcMax, the highest frequency with structure, in units of Nyquist's (0 to 1); 0 where there is none, as
            in white noise.
        amplitude: A0, the peak of the unfiltered curve, 0 to 1: higher with more signal.
        radii: (50,) of the first pass, 0 to 1.
        curves: (..., 12, 50), first without a filter, then with the filters of the first pass.
        refined_radii: (..., 50) of the second pass.
        refined_curves: (..., 10, 50).
        peaks: (..., 22, 2), radius and amplitude of the local maximum of each curve, first pass first; radius 0 where
            a curve has none.
    """

    cutoff: Array
    amplitude: Array
    radii: Array
    curves: Array
    refined_radii: Array
    refined_curves: Array
    peaks: Array

    def resolution_nm(self, *, pixel_size_nm: float) -> Float[Array, "*batch"]:
        """2 pixel_size_nm / cutoff; infinite without structure, which a cutoff at the first radius is too.

        The coefficient of the mean is one of the spectrum's: of noise on an offset it alone makes a peak there.
        """
        cutoff = jnp.asarray(self.cutoff)
        return 2.0 * pixel_size_nm / jnp.where(cutoff <= 1.5 / (RADII - 1), 0.0, cutoff)


def decorrelation_analysis(image: Real[Array | np.ndarray, "*batch h w"], *, apodise: bool = True) -> Decorrelation:
    """Resolution of each image by decorrelation analysis.

    Computed in the dtype of the image (float64 needs `jax_enable_x64`): float32 nearly always gives the same cutoff as
    float64, or one a step of the radii (0.0085) away; where two filters are as good it can be another peak.

    Args:
        image: of any brightness scale, at least 8 x 8 pixels; an even axis loses its last row or column.
        apodise: bring the 20 outermost pixels smoothly to the mean, as the authors do; without, edges that do not
            continue on the other side count as structure.

    Raises:
        ValueError: an image that is too small, has NaN or infinite pixels, or one value everywhere. Under `jit`, where
            pixels cannot be looked at, cutoff and amplitude of such an image are NaN.
    """
    _check(image)
    return _batched(image, apodise=apodise, sectors=None)


def sectorial_decorrelation(
    image: Real[Array | np.ndarray, "*batch h w"], *, sectors: int, apodise: bool = True
) -> Decorrelation:
    """Decorrelation analysis of each direction by itself.

    Every sum runs over the coefficients of a double sector of pi / sectors radians and the mean of the image. Sector i
    is centred at the direction i pi / sectors of the frequency, from x towards y (downwards): sector 0 tells the
    resolution along x. One sector is the analysis of the whole image.

    Args:
        image: see `decorrelation_analysis`.
        sectors: how many, at least 1; more than about 16 leave too few coefficients at low frequencies.
        apodise: see `decorrelation_analysis`.

    Returns:
        As `decorrelation_analysis`, with an axis of sectors after those of the images.

    Raises:
        ValueError: see `decorrelation_analysis`; no sectors.
    """
    if sectors < 1:
        raise ValueError(f"sectors is {sectors}; give at least 1")
    _check(image)
    return _batched(image, apodise=apodise, sectors=sectors)


def _check(image: Array | np.ndarray) -> None:
    if min(image.shape[-2:]) < SMALLEST_IMAGE:
        raise ValueError(
            f"decorrelation analysis needs at least {SMALLEST_IMAGE} x {SMALLEST_IMAGE} pixels, got "
            f"{image.shape[-2]} x {image.shape[-1]}"
        )
    if isinstance(image, jax.core.Tracer):
        return
    pixels = np.asarray(image)
    if not np.isfinite(pixels).all():
        raise ValueError(f"the image has {np.count_nonzero(~np.isfinite(pixels))} NaN or infinite pixels; replace them")
    if (pixels.min((-2, -1)) == pixels.max((-2, -1))).any():
        raise ValueError("the image has one value everywhere, so it has no resolution; give an image of something")


@partial(jax.jit, static_argnames=("apodise", "sectors"))
def _batched(image: Array, *, apodise: bool, sectors: int | None) -> Decorrelation:
    image = as_floating(image)
    *batch, h, w = image.shape
    analyse = partial(_analyse, apodise=apodise, sectors=sectors)
    results = jax.lax.map(analyse, image.reshape(-1, h, w))
    restored = jax.tree.map(lambda x: x.reshape(*batch, *x.shape[1:]), results)
    return restored._replace(radii=_first_radii(image.dtype))


def _analyse(image: Float[Array, "h w"], *, apodise: bool, sectors: int | None) -> Decorrelation:
    impossible = (image.max() == image.min()) | ~jnp.isfinite(image).all()
    image = unit_scale(image)
    if apodise:
        image = apodise_border(image)
    image = image[: (image.shape[0] - 1) // 2 * 2 + 1, : (image.shape[1] - 1) // 2 * 2 + 1]
    if sectors is None:
        analysis = _two_passes(whole_plane(image), image.shape)
    else:
        analysis = jax.lax.map(lambda plane: _two_passes(plane, image.shape), sector_planes(image, sectors))
    nan = jnp.asarray(jnp.nan, image.dtype)
    return analysis._replace(
        cutoff=jnp.where(impossible, nan, analysis.cutoff), amplitude=jnp.where(impossible, nan, analysis.amplitude)
    )


def apodise_border(image: Float[Array, "h w"]) -> Float[Array, "h w"]:
    """(image - mean) w(y) w(x) + mean, w rising as (1 - cos) / 2 from 0 at the border to 1 at pixel 19."""
    mean = image.mean()
    rows, columns = (jnp.asarray(_border_window(n), image.dtype) for n in image.shape)
    return (image - mean) * rows[:, None] * columns[None, :] + mean


def _border_window(n: int) -> np.ndarray:
    m = min(_APODISED_PIXELS, -(-n // 2))
    rise = (1.0 - np.cos(np.pi * np.arange(m) / (m - 1))) / 2.0
    window = np.ones(n)
    window[:m] = rise
    window[n - m :] = rise[::-1]
    return window


def _two_passes(plane: Plane, shape: tuple[int, ...]) -> Decorrelation:
    dtype = plane.amplitude.dtype
    radii = _first_radii(dtype)
    unfiltered = decorrelation_curves(plane, radii, jnp.full(1, jnp.inf, dtype))
    index, a0 = local_maximum(unfiltered[0])
    k0 = radii[index]

    strongest = jnp.where(k0 > 0, 2.0 / jnp.where(k0 > 0, k0, 1.0), max(shape) / 2.0)
    strengths = jnp.concatenate(
        [jnp.full(1, shape[0] / 4.0, dtype), _log_spaced(strongest, jnp.asarray(_WEAKEST_FILTER, dtype))]
    )
    filtered = decorrelation_curves(plane, radii, strengths)
    at, height = jax.vmap(local_maximum)(filtered)
    first = jnp.concatenate([k0[None], radii[at]])

    # Refined around the last of the best filters: between it and its weaker neighbour, or for the weakest two the
    # stronger one. Before the first stands a filter as strong as the image is high, in place of the unfiltered curve.
    best = len(first) - 1 - jnp.argmax(first[::-1])
    stronger = jnp.where(best >= FILTERS, best - 1, best)
    bounds = jnp.concatenate([jnp.full(1, shape[0], dtype), strengths])
    low = jnp.maximum(first[best] - 1.0 / (RADII - 1), 0.0)
    high = jnp.minimum(first[best] + _FURTHER_RADIUS, 1.0)
    refined_radii = jnp.linspace(low, high, RADII, dtype=dtype)
    refined = decorrelation_curves(plane, refined_radii, _log_spaced(bounds[stronger], bounds[stronger + 1]))
    refined_at, refined_height = jax.vmap(local_maximum)(refined)

    positions = jnp.concatenate([first, refined_radii[refined_at]])
    heights = jnp.concatenate([a0[None], height, refined_height])
    # The authors' program overwrites the peak of the weakest filter of the first pass.
    counted = (jnp.arange(len(positions)) != FILTERS + 1) & (heights >= _SMALLEST_AMPLITUDE)
    return Decorrelation(
        cutoff=jnp.max(jnp.where(counted, positions, 0.0)),
        amplitude=a0,
        radii=radii,
        curves=jnp.concatenate([unfiltered, filtered]),
        refined_radii=refined_radii,
        refined_curves=refined,
        peaks=jnp.stack([positions, heights], -1),
    )


def _first_radii(dtype: Any) -> Float[Array, "r"]:
    # Not linspace, which is a rounding off i / 49 and miscounts rings of images where (n - 1) / 2 is a multiple of 49.
    return (jnp.arange(RADII) / (RADII - 1)).astype(dtype)


def _log_spaced(start: Array, stop: Array) -> Float[Array, "filters"]:
    return jnp.exp(jnp.linspace(jnp.log(start), jnp.log(stop), FILTERS))

"""Fourier ring correlation of a single image, where there is no second one with noise of its own.

The image is split into four by even and odd rows and columns. The two pairs of diagonal neighbours see nearly the same
object with independent noise (where the camera's noise is; interpolated, deconvolved or network images have correlated
noise, and then this is too good). The pairs sample at twice the pixel and lie half a diagonal apart, which an empirical
calibration accounts for: with x the cutoff relative to the Nyquist frequency of the quarter images,

    resolution = 2 pixel_size_nm / x / c(x),   c: `fourier_ring.single_image_calibration`

S. Koho et al., "Fourier ring correlation simplifies image restoration in fluorescence microscopy", Nature
Communications 10 (2019), calibrated there for the 1/7 threshold; PANELM uses it for its maps of single images.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Array, Float, Real

from oidn_jax.metrics.fourier_ring import RingCorrelation, fourier_ring_correlation, single_image_calibration
from oidn_jax.metrics.rolling_frc import RollingFrc, RollingFrcOptions, map_pair

CALIBRATED_THRESHOLD = "1/7"
# The period at the Nyquist frequency of the quarter images; finer ones fold over, and the calibration does not hold.
FINEST_PIXELS = 4.0


def diagonal_pairs(image: Real[Array | np.ndarray, "*batch h w"]) -> tuple[tuple, tuple]:
    """The quarter images of (even, even) with (odd, odd) pixels, and of (even, odd) with (odd, even) ones.

    An odd axis loses its last row or column.
    """
    h, w = (n // 2 * 2 for n in image.shape[-2:])
    even_even, even_odd, odd_even, odd_odd = (image[..., i:h:2, j:w:2] for i in (0, 1) for j in (0, 1))
    return (even_even, odd_odd), (even_odd, odd_even)


def single_image_frc(image: Real[Array | np.ndarray, "*batch h w"], *, window: bool = True) -> RingCorrelation:
    """The mean of the FRC curves of the two diagonal pairs, frequencies in cycles per pixel of the whole image.

    Raises:
        ValueError: an image below 32 pixels.
    """
    curves = [fourier_ring_correlation(*pair, window=window) for pair in diagonal_pairs(image)]
    first, second = curves
    return first._replace(
        frequency=first.frequency / 2,
        correlation=(first.correlation + second.correlation) / 2,
        smoothed=(first.smoothed + second.smoothed) / 2,
    )


def single_image_resolution_nm(
    curve: RingCorrelation, *, pixel_size_nm: float, threshold: str = CALIBRATED_THRESHOLD
) -> Float[Array, "*batch"]:
    """The calibrated resolution of a curve of `single_image_frc`; NaN where it does not cross the threshold."""
    relative = 4.0 * curve.cutoff(threshold=threshold)
    return 2.0 * pixel_size_nm / relative / single_image_calibration(relative)


def single_image_rolling_frc(
    image: Real[np.ndarray, "h w"],
    *,
    pixel_size_nm: float,
    options: RollingFrcOptions | None = None,
    progress: Callable[[float], None] | None = None,
) -> RollingFrc:
    """The rFRC map of one image: both diagonal pairs mapped, calibrated and averaged, each value filling 2 x 2 pixels.

    Where one pair has no value, that of the other is taken. An odd axis has NaN in its last row or column.

    Args:
        image: (h, w), its maximum positive.
        pixel_size_nm: of the image.
        options: see `RollingFrcOptions`; block and skip count pixels of the quarter images.
        progress: called with the fraction done.

    Raises:
        ValueError: see `rolling_frc`.
    """
    options = options or RollingFrcOptions()
    maps = []
    for i, pair in enumerate(diagonal_pairs(image)):
        part = None if progress is None else partial(_report_half, progress, i)
        maps.append(map_pair(*pair, pixel_size_nm=pixel_size_nm, options=options, progress=part, single_image=True))
    first, second = (half.map_nm for half in maps)
    mean = np.where(np.isnan(first), second, np.where(np.isnan(second), first, (first + second) / 2))
    values, foreground = np.full(image.shape, np.nan, np.float32), np.zeros(image.shape, bool)
    h, w = (2 * n for n in mean.shape)
    values[:h, :w] = mean.repeat(2, 0).repeat(2, 1)
    foreground[:h, :w] = (maps[0].foreground | maps[1].foreground).repeat(2, 0).repeat(2, 1)
    return RollingFrc(values, foreground)


def _report_half(progress: Callable[[float], None], half: int, fraction: float) -> None:
    progress((half + fraction) / 2)

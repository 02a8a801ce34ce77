"""Rolling Fourier ring correlation (rFRC): a map of the local resolution of two images of one object.

W. Zhao et al., "Quantitatively mapping local quality of super-resolution microscopy by rolling Fourier ring
correlation", Light: Science & Applications 12 (2023). Around each pixel the FRC of a block of 64 x 64 pixels, smoothed
over seven rings, is followed to the first ring where it falls below the 3-sigma threshold (then, where it does not, the
5-sigma and 2-sigma thresholds with factors of their own); the map holds block * pixel_size / ring in nm.

Two programs of the authors differ. `flavour="panelm"` is PANELM 0.4.5, with which they say their results are made;
"panelpy" is PANELpy 0.4.6:

| | panelm | panelpy |
| --- | --- | --- |
| intensities | each image divided by its maximum | as given (maximum 1 expected), 8-bit images divided by 255 |
| rings | 1 to block / 2 | 0 to block / 2 - 1 |
| 2-sigma threshold | 2 / sqrt(n / 2) | always 1 |
| median filter | at skip 1, zeros beyond the border | always, the border itself is left alone |

Where a block has no crossing PANELM writes 0, and PANELpy repeats the value of the block before. Ours is NaN in both
flavours, as is the background.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Real

from oidn_jax.errors import IllegalValue
from oidn_jax.metrics.drift import align, overlap
from oidn_jax.metrics.rolling_blocks import CROSSINGS, Criterion, block_periods

FLAVOURS = ("panelm", "panelpy")
SMALLEST_BLOCK = 16

_FULL_SCALE = 255.0
_FINEST_PIXELS = 2.3
_ROWS_AT_ONCE = 128

Image = Real[np.ndarray, "h w"]
OtherImage = Real[np.ndarray, "h2 w2"]  # so that another shape reaches the check, which explains it


@dataclass(frozen=True)
class RollingFrcOptions:
    """Settings of the authors' programs, under their defaults.

    Attributes:
        block: side of the blocks in pixels; an odd one becomes one larger.
        skip: distance of the blocks; each value fills skip x skip pixels. At most half a block.
        background: on a scale from 0 to 255: where the mean of both images is not above it nothing is computed.
        flavour: "panelm" or "panelpy".
        crossing: "3-sigma" with its fallbacks, or "1/7" without.
        median: replace values above twice the median of their 3 x 3 neighbours (the background is 0) by the median.
        correct_drift: align the second image with the first, see `metrics.drift`.
    """

    block: int = 64
    skip: int = 1
    background: float = 5.0
    flavour: str = "panelm"
    crossing: str = "3-sigma"
    median: bool = True
    correct_drift: bool = False

    def __post_init__(self) -> None:
        """Refuses what is not legal.

        Raises:
            IllegalValue: names the field, what was given and what is legal.
        """
        if self.block < SMALLEST_BLOCK:
            raise IllegalValue("block", self.block, f"it must be at least {SMALLEST_BLOCK} pixels")
        if self.skip < 1:
            raise IllegalValue("skip", self.skip, "it must be at least 1")
        if not 0 <= self.background <= _FULL_SCALE:
            raise IllegalValue("background", self.background, f"it must be 0 to {_FULL_SCALE:g}")
        if self.flavour not in FLAVOURS:
            raise IllegalValue("flavour", self.flavour, f"legal: {', '.join(FLAVOURS)}")
        if self.crossing not in CROSSINGS:
            raise IllegalValue("crossing", self.crossing, f"legal: {', '.join(CROSSINGS)}")
        object.__setattr__(self, "block", self.block + self.block % 2)
        object.__setattr__(self, "skip", min(self.skip, self.block // 2))


@dataclass(frozen=True)
class RollingFrc:
    """A map of the local resolution.

    Attributes:
        map_nm: (h, w), NaN where there is no value.
        foreground: (h, w), where blocks were above the background.
    """

    map_nm: Float32[np.ndarray, "h w"]
    foreground: Bool[np.ndarray, "h w"]

    @property
    def mean_nm(self) -> float:
        """Mean over the pixels with a value; NaN if none has one."""
        return float(np.nanmean(self.map_nm, dtype=np.float64)) if self._any_value else float("nan")

    @property
    def best_nm(self) -> float:
        """The smallest value."""
        return float(np.nanmin(self.map_nm)) if self._any_value else float("nan")

    @property
    def worst_nm(self) -> float:
        """The largest value: the worst resolution in the image."""
        return float(np.nanmax(self.map_nm)) if self._any_value else float("nan")

    @property
    def value(self) -> float:
        """The authors' "rFRC value", mean / best - 1: 0 where the resolution is the same everywhere."""
        return self.mean_nm / self.best_nm - 1.0

    @property
    def missing(self) -> float:
        """Fraction of the foreground without a value; NaN without foreground."""
        inside = self.map_nm[self.foreground]
        return float(np.isnan(inside).mean()) if inside.size else float("nan")

    @property
    def _any_value(self) -> bool:
        return bool(np.isfinite(self.map_nm).any())


def rolling_frc(
    image: Image,
    other: OtherImage,
    *,
    pixel_size_nm: float,
    options: RollingFrcOptions | None = None,
    progress: Callable[[float], None] | None = None,
) -> RollingFrc:
    """The rFRC map of two images.

    Args:
        image: (h, w), any size; its maximum must be positive.
        other: of the same object on the same pixels, with noise of its own.
        pixel_size_nm: of the images.
        options: see `RollingFrcOptions`.
        progress: called after each batch of blocks with the fraction done.

    Raises:
        ValueError: images of different shapes, NaN or infinite pixels, a maximum that is not positive.
    """
    options = options or RollingFrcOptions()
    return map_pair(image, other, pixel_size_nm=pixel_size_nm, options=options, progress=progress, single_image=False)


def map_pair(
    image: Image,
    other: OtherImage,
    *,
    pixel_size_nm: float,
    options: RollingFrcOptions,
    progress: Callable[[float], None] | None,
    single_image: bool,
) -> RollingFrc:
    """What `rolling_frc` does, also for two quarters of a single image (`rolling_blocks.Criterion.single_image`)."""
    _check(image, other)
    image, other = (_scaled(given, options.flavour) for given in (image, other))
    if options.correct_drift:
        return _map_aligned(image, other, pixel_size_nm=pixel_size_nm, options=options, progress=progress)
    foreground = _blocks_above_background(image, other, options)
    origins = np.argwhere(foreground) * options.skip
    pair = np.stack([_pad(image, options), _pad(other, options)])
    criterion = Criterion(options.block, int(options.flavour == "panelm"), options.crossing, single_image)
    periods = block_periods(pair, origins, criterion=criterion, progress=progress)
    values = np.zeros(foreground.shape, np.float32)
    values[foreground] = np.where(periods > 0, np.maximum(periods, _FINEST_PIXELS), 0.0) * pixel_size_nm
    shape = image.shape
    filled, inside = (_fill(blocks, options.skip, shape) for blocks in (values, foreground))
    if options.median and (options.flavour == "panelpy" or options.skip == 1):
        filled = _adaptive_median(filled, border=options.flavour == "panelm")
    return RollingFrc(np.where(filled > 0, filled, np.nan).astype(np.float32), inside)


def _map_aligned(
    image: Image,
    other: OtherImage,
    *,
    pixel_size_nm: float,
    options: RollingFrcOptions,
    progress: Callable[[float], None] | None,
) -> RollingFrc:
    """The map of what both images have seen; no value elsewhere."""
    aligned, drift = align(other, image)
    seen = overlap(np.asarray(drift), (image.shape[0], image.shape[1]))
    options = replace(options, correct_drift=False)
    local = rolling_frc(
        image[seen], np.asarray(aligned)[seen], pixel_size_nm=pixel_size_nm, options=options, progress=progress
    )
    values, foreground = np.full(image.shape, np.nan, np.float32), np.zeros(image.shape, bool)
    values[seen], foreground[seen] = local.map_nm, local.foreground
    return RollingFrc(values, foreground)


def _check(image: Image, other: OtherImage) -> None:
    if image.shape != other.shape:
        raise ValueError(f"the images have the shapes {image.shape} and {other.shape}; they must be on the same pixels")
    for given in (image, other):
        if not np.isfinite(given).all():
            raise ValueError(f"an image has {np.count_nonzero(~np.isfinite(given))} NaN or infinite pixels")
        if given.max() <= 0:
            raise ValueError(f"the maximum of an image is {given.max()}; rFRC needs images with positive values")


def _scaled(image: Image, flavour: str) -> Float32[np.ndarray, "h w"]:
    if flavour == "panelm":
        return (image / image.max()).astype(np.float32)
    return image.astype(np.float32) / (np.float32(_FULL_SCALE) if image.dtype == np.uint8 else 1)


def _pad(image: Image, options: RollingFrcOptions) -> np.ndarray:
    return np.pad(image, options.block // 2, mode="symmetric")


def _blocks_above_background(
    image: Image, other: Image, options: RollingFrcOptions
) -> Bool[np.ndarray, "rows columns"]:
    """By the skip x skip pixels from one pixel up and left of each block's position on."""
    first, skip = options.block // 2 - 1, options.skip
    light = _pad(image, options) + _pad(other, options)
    rows, columns = (-(-n // skip) for n in image.shape)
    patches = light[first : first + rows * skip, first : first + columns * skip]
    patches = patches.reshape(rows, skip, columns, skip)
    return patches.mean((1, 3), dtype=np.float32) > np.float32(2.0 * options.background / _FULL_SCALE)


def _fill(blocks: np.ndarray, skip: int, shape: tuple[int, ...]) -> np.ndarray:
    return blocks.repeat(skip, 0).repeat(skip, 1)[: shape[0], : shape[1]]


def _adaptive_median(values: Image, *, border: bool) -> Image:
    padded = np.pad(values, 1)
    # In strips of rows: nine copies of a large image would take more memory than everything else.
    strips = [padded[top : top + _ROWS_AT_ONCE + 2] for top in range(0, len(values), _ROWS_AT_ONCE)]
    windows = (np.lib.stride_tricks.sliding_window_view(strip, (3, 3)) for strip in strips)
    median = np.concatenate([np.median(window, axis=(2, 3)) for window in windows])
    replaced = values > 2 * median
    if not border:
        replaced[[0, -1]] = False
        replaced[:, [0, -1]] = False
    return np.where(replaced, median, values)

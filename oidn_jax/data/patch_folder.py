"""Makes training patches and keeps them in the folders of the DL-SR code.

```
FOLDER/training/00000001/1.tif ... 9.tif    FOLDER/training_gt/00000001.tif
FOLDER/validate/00000001/1.tif ... 9.tif    FOLDER/validate_gt/00000001.tif
```

Contract: everything is [frame, y, x] as in the acquisition and uint16. Each file appears complete or not at all and the
target last, so that a pair with a target is a complete pair.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Real, Shaped, UInt16

from oidn_jax.data.atomic import check_target
from oidn_jax.data.writers import write_raw_tiff
from oidn_jax.errors import IllegalValue, InputError

SPLITS = ("training", "validate")

_LARGEST_INDEX = 10**8 - 1
_FULL_SCALE = 2**16 - 1
# DL-SR's filters are Gaussians cut off at 3 and at 100 pixels of the raw grid; these have the same standard deviations.
_DETAIL_PX, _BACKGROUND_PX = 0.8, 27.0
_FOREGROUND_CONTRAST = 0.01
# DL-SR lowers the contrast until 1000 of 502 x 502 pixels are foreground.
_SMALLEST_FOREGROUND = 0.004


class PatchPair(NamedTuple):
    """A patch of the raw frames and of the target.

    Attributes:
        raw_frames: (frames, patch, patch) uint16.
        target: (scale * patch, scale * patch) uint16.
        corner: (y, x) of the patch's first raw pixel in the acquisition.
    """

    raw_frames: np.ndarray
    target: np.ndarray
    corner: tuple[int, int]


def write_patch_pair(
    folder: str | Path,
    raw_frames: UInt16[np.ndarray, "frames y x"],
    target: UInt16[np.ndarray, "y_sr x_sr"],
    *,
    split: str,
    index: int,
    pixel_size_nm: float,
    overwrite: bool = False,
) -> tuple[Path, Path]:
    """Writes one pair: a TIFF per raw frame, numbered from 1, and one TIFF of the target.

    Args:
        folder: the data set; missing folders are made.
        raw_frames: orientation slow and phase fast.
        target: the SR image of the same field, an integer multiple of the raw size.
        split: "training" or "validate".
        index: number of the pair, 0 to 99999999; DL-SR counts from 1.
        pixel_size_nm: spacing of the raw grid in nanometres.
        overwrite: replace existing files.

    Returns:
        The folder of the raw frames and the file of the target.

    Raises:
        InputError: an unknown split; an index out of range; existing files without `overwrite`, or other TIFFs among
            them; a folder that cannot be written; a target of another field; a pixel size that is not positive.
        ValueError: images that are not uint16.
    """
    if split not in SPLITS:
        raise IllegalValue("split", split, f"legal: {', '.join(SPLITS)}")
    if not 0 <= index <= _LARGEST_INDEX:
        raise IllegalValue("index", index, f"legal: 0 to {_LARGEST_INDEX}")
    if not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise IllegalValue("pixel_size_nm", pixel_size_nm, "give a positive number")
    scale = target.shape[-1] // raw_frames.shape[-1]
    _check_same_field(raw_frames, target, scale)
    if raw_frames.dtype != np.uint16 or target.dtype != np.uint16:
        raise ValueError(f"the raw frames are {raw_frames.dtype}, the target {target.dtype}; patches are uint16")
    pair = Path(folder) / split / f"{index:08d}"
    target_file = Path(folder) / f"{split}_gt" / f"{index:08d}.tif"
    frame_files = [pair / f"{number}.tif" for number in range(1, len(raw_frames) + 1)]
    _check_targets(pair, frame_files, target_file, overwrite=overwrite)
    for file, frame in zip(frame_files, raw_frames, strict=True):
        write_raw_tiff(file, frame[None], pixel_size_nm=pixel_size_nm, overwrite=overwrite)
    write_raw_tiff(target_file, target[None], pixel_size_nm=pixel_size_nm / scale, overwrite=overwrite)
    return pair, target_file


def cut_patches(
    generator: np.random.Generator,
    raw_frames: Shaped[np.ndarray, "frames y x"],
    target: Shaped[np.ndarray, "y_sr x_sr"],
    *,
    count: int,
    patch: int,
    scale: int,
) -> list[PatchPair]:
    """Cuts pairs of patches around random foreground pixels, as DL-SR's augmentation does, but never turned or flipped.

    Turning or flipping raw frames turns their illumination pattern with them: networks that use the wave vectors would
    learn from patterns that no microscope makes. Both images are scaled by min-max over the whole stack to 0..65535,
    jointly over the frames, and the target separately; DL-SR repeats this for each patch, which is left to the reader.

    Args:
        generator: draws the places; every patch is at another place while there are enough of them.
        raw_frames: any real dtype.
        target: any real dtype; shape scale * (y, x).
        count: number of pairs.
        patch: side of the raw patches in pixels; they lie inside the image.
        scale: SR pixels per raw pixel along one axis.

    Returns:
        `count` pairs, copies in uint16.

    Raises:
        InputError: a target of another shape; a patch larger than the image; images that are constant, NaN or infinite;
            a count, patch or scale below 1.
    """
    for name, value in (("count", count), ("patch", patch), ("scale", scale)):
        if value < 1:
            raise IllegalValue(name, value, "give a positive whole number")
    _check_same_field(raw_frames, target, scale)
    if patch > min(raw_frames.shape[1:]):
        ny, nx = raw_frames.shape[1:]
        raise InputError(f"`patch` is {patch}, larger than the raw frames of {ny} x {nx} pixels; take a smaller one")
    raw, sr = to_uint16(raw_frames, "the raw stack"), to_uint16(target, "the target")
    corners = foreground_corners(sr, patch, scale)
    chosen = generator.choice(corners, count, replace=count > len(corners))
    return [
        PatchPair(
            raw[:, y : y + patch, x : x + patch].copy(),
            sr[scale * y : scale * (y + patch), scale * x : scale * (x + patch)].copy(),
            (int(y), int(x)),
        )
        for y, x in chosen
    ]


def _check_same_field(raw_frames: np.ndarray, target: np.ndarray, scale: int) -> None:
    if scale < 1 or target.shape != (scale * raw_frames.shape[1], scale * raw_frames.shape[2]):
        raise InputError(
            f"the target is {target.shape} and the raw stack {raw_frames.shape}; the target must be a whole multiple "
            f"(here {scale}) of the raw frames along y and x: check that both files show one cell"
        )


def _check_targets(pair: Path, frame_files: list[Path], target_file: Path, *, overwrite: bool) -> None:
    """Refuses before the first file is written what would be refused later, and frames of another acquisition."""
    for file in (*frame_files, target_file):
        check_target(file, overwrite=overwrite)
    others = sorted(file.name for file in set(pair.glob("*.tif*")) - set(frame_files))
    if others:
        raise InputError(f"{pair} holds {', '.join(others)} besides the {len(frame_files)} frames; remove the folder")


def to_uint16(image: Real[np.ndarray, "..."], name: str) -> UInt16[np.ndarray, "..."]:
    """Scales by min-max over the whole array to 0..65535.

    Raises:
        InputError: an image, which the message calls by `name`, that is constant, NaN or infinite.
    """
    low, high = float(image.min()), float(image.max())
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"{name} runs from {low:g} to {high:g}; it must be finite and have some contrast")
    return np.rint((image.astype(np.float64) - low) * (_FULL_SCALE / (high - low))).astype(np.uint16)


def foreground_corners(target: Real[np.ndarray, "y_sr x_sr"], patch: int, scale: int) -> Int[np.ndarray, "places 2"]:
    """Finds the raw patches whose central pixel is foreground, as DL-SR's augmentation does.

    The contrast is a difference of Gaussians of the target, averaged to the raw grid. Foreground is what exceeds 1 % of
    full scale, or as many of the best places as there must be at least.

    Args:
        target: from 0 to 65535.
        patch: side of a raw patch, at most that of the image.
        scale: fine pixels per raw pixel.

    Returns:
        (places, 2), the y and x of their first raw pixels.
    """
    ny, nx = (length // scale for length in target.shape)
    image = target.reshape(ny, scale, nx, scale).mean((1, 3)) / _FULL_SCALE
    contrast = _blurred(image, _DETAIL_PX) - _blurred(image, _BACKGROUND_PX)
    half = patch // 2
    # Indexed by the first pixel of a patch instead of its centre: only what keeps the patch inside the image is left.
    contrast = contrast[half : half + ny - patch + 1, half : half + nx - patch + 1]
    fewest = max(1, round(_SMALLEST_FOREGROUND * contrast.size))
    return np.argwhere(contrast >= min(_FOREGROUND_CONTRAST, np.partition(contrast, -fewest, axis=None)[-fewest]))


def _blurred(image: np.ndarray, sigma_px: float) -> np.ndarray:
    """Convolves with a Gaussian whose weights add up to 1 at the borders as well."""
    for _ in image.shape:
        pixels = np.arange(len(image))
        weights = np.exp(-0.5 * ((pixels[:, None] - pixels) / sigma_px) ** 2)
        image = ((weights / weights.sum(1, keepdims=True)) @ image).T
    return image

"""The images that `python -m oidn_jax.metrics` measures: from a file to pixels, with what to know of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from os.path import samefile
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from oidn_jax.errors import InputError
from oidn_jax.data.image_file import check_image, read_images

# In nm per pixel: what a microscope's image can have; beyond, a unit was mistaken.
_PIXEL_SIZES = (0.1, 100_000.0)
# A camera's image has few pixels at its very maximum, a clipped one has many.
_SATURATED_FRACTION = 1e-4


@dataclass(frozen=True)
class Measured:
    """An image with its pixel size.

    Attributes:
        path: of the file.
        index: which of its images, from 0.
        chosen: whether somebody has chosen it.
        count: how many it holds.
        image: its pixels.
        pixel_size_nm: None where nobody says; lengths are then in pixels.
        saturated: fraction of the pixels at the largest value of an integer image, where that is many.
        eight_bit: whether the file holds 8-bit pixels.
    """

    path: Path
    index: int
    chosen: bool
    count: int
    image: Float32[np.ndarray, "y x"]
    pixel_size_nm: float | None
    saturated: float = 0.0
    eight_bit: bool = False

    @property
    def stored_image(self) -> np.ndarray:
        """As stored where that matters: PANELpy scales 8-bit images by their full scale, and no others."""
        return self.image.astype(np.uint8) if self.eight_bit else self.image


def read_measured(path: str | Path, *, pixel_size_nm: float | None = None, index: int | None = None) -> Measured:
    """One image of a TIFF or MRC file.

    Args:
        path: the file.
        pixel_size_nm: in place of the file's own.
        index: which of its images, from 0; None for the first.

    Raises:
        InputError: what `data.image_file.read_images` refuses; an image the file does not have; NaN, infinite or
            constant pixels.
    """
    if pixel_size_nm is not None and not _PIXEL_SIZES[0] <= pixel_size_nm <= _PIXEL_SIZES[1]:
        low, high = _PIXEL_SIZES
        raise InputError(f"--pixel-size-nm is {pixel_size_nm:g}; legal: {low:g} to {high:g}, in nanometres")
    stack = read_images(path, pixel_size_nm=pixel_size_nm)
    count, number = len(stack.frames), index or 0
    if not 0 <= number < count:
        raise InputError(
            f"--index is {number}, but {path} holds {count} image{'s' * (count > 1)}; legal: 0 to {count - 1}"
        )
    pixels = stack.frames[number, 0]
    check_image(pixels, path)
    image = _as_float32(pixels)
    if image.min() == image.max():
        raise InputError(f"{path} has differences that float32 cannot hold beside its offset; subtract the offset")
    full = pixels.dtype.kind in "ui" and (pixels == pixels.max()).mean() > _SATURATED_FRACTION
    saturated = float((pixels == pixels.max()).mean()) if full else 0.0
    eight_bit = pixels.dtype == np.uint8
    return Measured(Path(path), number, index is not None, count, image, stack.pixel_size_nm, saturated, eight_bit)


def _as_float32(pixels: np.ndarray) -> Float32[np.ndarray, "y x"]:
    """By a power of two where float32 would overflow or lose digits; no measurement depends on it."""
    largest = np.abs(pixels).max()
    exponent = int(np.frexp(np.float64(largest))[1])
    if abs(exponent) > 60:
        pixels = np.ldexp(pixels.astype(np.float64), -exponent)
    return pixels.astype(np.float32)


def remarks(images: Sequence[Measured]) -> list[str]:
    """What the user should know of the files, a line each."""
    lines = []
    for of in images:
        if of.count > 1 and not of.chosen:
            lines.append(f"{of.path} holds {of.count} images; the first is measured, give --index for another")
        if of.saturated:
            lines.append(
                f"{of.path}: {100 * of.saturated:.2g} % of the pixels have the largest value {of.image.max():g}; if "
                "they are saturated, their edges count as detail"
            )
    if images[0].pixel_size_nm is None:
        lines.append(f"{images[0].path} does not tell its pixel size; lengths are in pixels, give --pixel-size-nm")
    sizes = [of.pixel_size_nm for of in images if of.pixel_size_nm is not None]
    if sizes and max(sizes) > 1.01 * min(sizes):
        lines.append(f"the pixels of the files differ, {sizes[0]:g} and {sizes[1]:g} nm; those of the first are taken")
    return lines


def check_spared(inputs: Sequence[str], outputs: Sequence[str | None]) -> None:
    """Refuses an output that is one of the inputs, also with `--overwrite`.

    Raises:
        InputError: names it.
    """
    for output in outputs:
        for given in inputs:
            if output is not None and Path(output).exists() and Path(given).exists() and samefile(output, given):
                raise InputError(f"{output} is the image to be measured; give the output another name")

"""The images whose resolution is measured: from a file to pixels, with what to know of the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from os.path import samefile
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from oidn_jax.data.image_file import check_image
from oidn_jax.data.raw_stack import open_images
from oidn_jax.errors import IllegalValue, InputError

# What a microscope's image can have; beyond, a unit was mistaken.
_SMALLEST_PIXEL_NM, _LARGEST_PIXEL_NM = 0.1, 100_000.0
# A camera's image has few pixels at its very maximum, a clipped one has many.
_SATURATED_FRACTION = 1e-4


@dataclass(frozen=True)
class MeasuredImage:
    """An image with its pixel size.

    Attributes:
        path: of the file.
        image: its pixels.
        pixel_size_nm: None where nobody says; lengths are then in pixels.
        index: which image of the file it is, from 0.
        count: how many images the file holds.
        chosen: whether somebody has chosen this one.
        saturated: fraction of the pixels at the largest value of an integer image, where that is many; else 0.
        eight_bit: whether the file holds 8-bit pixels.
    """

    path: Path
    image: Float32[np.ndarray, "y x"]
    pixel_size_nm: float | None
    index: int = 0
    count: int = 1
    chosen: bool = False
    saturated: float = 0.0
    eight_bit: bool = False

    @property
    def stored_image(self) -> np.ndarray:
        """As stored where that matters: PANELpy scales 8-bit images by their full scale, and no others."""
        return self.image.astype(np.uint8) if self.eight_bit else self.image


def read_measured_image(
    path: str | Path, *, pixel_size_nm: float | None = None, index: int | None = None
) -> MeasuredImage:
    """One image of a TIFF or MRC file.

    Args:
        path: the file.
        pixel_size_nm: in place of the file's own.
        index: which of its images, from 0; None for the first.

    Raises:
        InputError: a file that cannot be read; an image the file does not have; NaN, infinite or constant pixels.
    """
    if pixel_size_nm is not None and not _SMALLEST_PIXEL_NM <= pixel_size_nm <= _LARGEST_PIXEL_NM:
        legal = f"it must be {_SMALLEST_PIXEL_NM:g} to {_LARGEST_PIXEL_NM:g}, in nanometres"
        raise IllegalValue("pixel_size_nm", pixel_size_nm, legal)
    stack = open_images(path, pixel_size_nm=pixel_size_nm)
    count, number = stack.shape[0], index or 0
    if not 0 <= number < count:
        raise IllegalValue(
            "index", number, f"{path} holds {count} image{'s' * (count > 1)}, it must be 0 to {count - 1}"
        )
    pixels = stack.read(number)[0]
    check_image(pixels, path)
    image = _as_float32(pixels)
    if image.min() == image.max():
        raise InputError(f"{path} has differences that float32 cannot hold beside its offset; subtract the offset")
    at_maximum = float((pixels == pixels.max()).mean()) if pixels.dtype.kind in "ui" else 0.0
    return MeasuredImage(
        path=Path(path),
        image=image,
        pixel_size_nm=stack.pixel_size_nm,
        index=number,
        count=count,
        chosen=index is not None,
        saturated=at_maximum if at_maximum > _SATURATED_FRACTION else 0.0,
        eight_bit=pixels.dtype == np.uint8,
    )


def _as_float32(pixels: np.ndarray) -> Float32[np.ndarray, "y x"]:
    """By a power of two where float32 would overflow or lose digits; no measurement depends on it."""
    exponent = int(np.frexp(np.float64(np.abs(pixels).max()))[1])
    if abs(exponent) > 60:
        pixels = np.ldexp(pixels.astype(np.float64), -exponent)
    return pixels.astype(np.float32)


def remarks(images: Sequence[MeasuredImage]) -> list[str]:
    """What the user should know of the files, a line each; settings in backticks, as in an error."""
    lines = []
    for measured in images:
        if measured.count > 1 and not measured.chosen:
            lines.append(
                f"{measured.path} holds {measured.count} images; the first is measured, give `index` for another"
            )
        if measured.saturated:
            lines.append(
                f"{measured.path}: {100 * measured.saturated:.2g} % of the pixels have the largest value "
                f"{measured.image.max():g}; if they are saturated, their edges count as detail"
            )
    if images[0].pixel_size_nm is None:
        lines.append(f"{images[0].path} does not tell its pixel size; lengths are in pixels, give `pixel_size_nm`")
    sizes_nm = [measured.pixel_size_nm for measured in images if measured.pixel_size_nm is not None]
    if sizes_nm and max(sizes_nm) > 1.01 * min(sizes_nm):
        lines.append(
            f"the pixels of the files differ, {sizes_nm[0]:g} and {sizes_nm[1]:g} nm; those of the first are taken"
        )
    return lines


def check_spared(inputs: Sequence[str | Path], outputs: Sequence[str | Path | None]) -> None:
    """Refuses an output that is one of the inputs, which no permission to overwrite means.

    Raises:
        InputError: names it.
    """
    for output in outputs:
        for given in inputs:
            if output is not None and Path(output).exists() and Path(given).exists() and samefile(output, given):
                raise InputError(f"{output} is the image to be measured; give the output another name")

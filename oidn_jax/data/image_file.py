"""Images that are not raw frames: super-resolved ones from any program."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Real

from oidn_jax.errors import InputError
from oidn_jax.data.raw_stack import RawStack, read_raw_stack


def read_image(path: str | Path) -> Float32[np.ndarray, "time y x"]:
    """Reads the images of a TIFF or MRC file, whatever its axes are called, as float32.

    Raises:
        InputError: what `read_raw_stack` refuses; NaN or infinite pixels; an image of one value everywhere.
    """
    images = read_images(path).frames[:, 0].astype(np.float32)
    check_image(images, path)
    return images


def read_images(path: str | Path, *, pixel_size_nm: float | None = None) -> RawStack:
    """Reads the images of a file, one "frame" (time, 1, y, x) each, as stored, with the pixel size.

    Args:
        path: TIFF or MRC.
        pixel_size_nm: in place of the file's own.

    Raises:
        InputError: what `read_raw_stack` refuses.
    """
    return read_raw_stack(path, orientations=1, phases=1, pixel_size_nm=pixel_size_nm)


def check_image(images: Real[np.ndarray, "*any y x"], path: str | Path) -> None:
    """Refuses pixels that no measurement can use.

    Raises:
        InputError: NaN or infinite pixels; an image of one value everywhere.
    """
    not_finite = np.count_nonzero(~np.isfinite(images))
    if not_finite:
        raise InputError(f"{path} has {not_finite} NaN or infinite pixels; give an image without")
    if (images.min(axis=(-2, -1)) == images.max(axis=(-2, -1))).any():
        raise InputError(f"{path} has an image of one value everywhere; give the image to be judged")

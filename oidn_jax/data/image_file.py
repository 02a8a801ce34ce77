"""Images that are not raw frames: super-resolved ones from any program."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from oidn_jax.data.errors import InputError
from oidn_jax.data.raw_stack import read_raw_stack


def read_image(path: str | Path) -> Float32[np.ndarray, "time y x"]:
    """Reads the images of a TIFF or MRC file, whatever its axes are called, as float32.

    Raises:
        InputError: what `read_raw_stack` refuses; NaN or infinite pixels; an image of one value everywhere.
    """
    images = read_raw_stack(path, orientations=1, phases=1).frames[:, 0].astype(np.float32)
    not_finite = np.count_nonzero(~np.isfinite(images))
    if not_finite:
        raise InputError(f"{path} has {not_finite} NaN or infinite pixels; give an image without")
    if (images.min(axis=(1, 2)) == images.max(axis=(1, 2))).any():
        raise InputError(f"{path} has an image of one value everywhere; give the image to be judged")
    return images

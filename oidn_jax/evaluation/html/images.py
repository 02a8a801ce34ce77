"""Pictures as data URIs."""

import base64
import io
from pathlib import Path

import numpy as np
from jaxtyping import Num, UInt8
from PIL import Image

from oidn_jax.errors import InputError
from oidn_jax.figures.images import stretch

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def to_grey(image: Num[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """`round(255 clip((image - low) / (high - low), 0, 1))` between the limits of `figures.images.stretch`.

    Where these are equal, as with a few bright points on a constant background, they are minimum and maximum of the
    finite pixels; a constant image is black, and NaN is.
    """
    values = np.asarray(image, np.float64)
    low, high = stretch(values)
    if high <= low:
        low, high = stretch(values, percentiles=(0.0, 100.0))
    if high <= low or not np.isfinite(values).any():
        return np.zeros(values.shape, np.uint8)
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    return np.round(255 * np.clip((values - low) / (high - low), 0, 1)).astype(np.uint8)


def grey_png_uri(image: Num[np.ndarray, "h w"]) -> str:
    """The image of `to_grey` as the data URI of a PNG."""
    file = io.BytesIO()
    Image.fromarray(to_grey(image)).save(file, format="PNG", compress_level=9)
    return _png_uri(file.getvalue())


def png_file_uri(path: Path) -> tuple[str, int, int]:
    """A PNG file as it is: its data URI, width and height in pixels.

    Raises:
        InputError: the file is not a PNG.
    """
    content = path.read_bytes()
    if not content.startswith(_PNG_SIGNATURE) or len(content) < 24:
        raise InputError(f"{path} is not a PNG file; the figures of a report must be PNG")
    # The header is always the first chunk: 8 bytes of signature, 8 of length and type, then width and height.
    return _png_uri(content), int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def _png_uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")

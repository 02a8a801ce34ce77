"""Writes Priism MRC files, byte for byte of the kind that BioSR consists of.

Contract: little-endian, no extended header, all sections along z (one time, one wave), spacing in micrometres, minimum,
maximum and mean as they are. The file appears at its place complete or not at all.
"""

import math
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from oidn_jax.data.atomic import check_target, write_atomically
from oidn_jax.data.mrc import DTYPES, HEADER, PRIISM_STAMP
from oidn_jax.errors import IllegalValue, InputError

_SUFFIXES = (".mrc", ".dv")
_TITLE_BYTES = 80
_LARGEST_WAVELENGTH_NM = 2**15 - 1
# Frames are no focal planes, so this spacing says nothing; it is the one in BioSR's own files.
_DZ_UM = 0.16


def write_priism(
    path: str | Path,
    sections: Shaped[np.ndarray, "nz ny nx"],
    *,
    pixel_size_nm: float,
    wavelength_nm: int = 0,
    title: str = "",
    overwrite: bool = False,
) -> Path:
    """Writes raw frames or an SR image as a Priism MRC file, atomically.

    Args:
        path: the file to write, ending in .mrc or .dv; missing folders are made.
        sections: (nz, ny, nx), uint16 (mode 6), int16 (mode 1) or float32 (mode 2), in either byte order; raw frames
            with orientation slow and phase fast.
        pixel_size_nm: spacing along y and x in nanometres.
        wavelength_nm: emission wavelength in nanometres, 0 where unknown.
        title: at most 80 printable ASCII characters.
        overwrite: replace an existing file.

    Returns:
        The path written.

    Raises:
        InputError: another suffix; an existing file without `overwrite`; a folder that cannot be written; a pixel size
            that is not positive; a wavelength or a title that does not fit its field.
        ValueError: sections of another dtype or rank, empty, NaN or infinite.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(f"{path} must end in {' or '.join(_SUFFIXES)}")
    check_target(path, overwrite=overwrite)
    mode, pixels = _checked_pixels(sections)
    header = _header(pixels, mode, pixel_size_nm=pixel_size_nm, wavelength_nm=wavelength_nm, title=title)

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            file.write(header.tobytes())
            file.write(pixels.data)

    write_atomically(path, write, n_bytes=header.nbytes + pixels.nbytes)
    return path


def _checked_pixels(sections: np.ndarray) -> tuple[int, np.ndarray]:
    """Gives the mode and the sections as they go to the disk."""
    modes = {np.dtype(kind): mode for mode, kind in DTYPES.items()}
    mode = modes.get(sections.dtype.newbyteorder("="))
    if mode is None or sections.ndim != 3 or sections.size == 0:
        raise ValueError(
            f"sections are {sections.dtype} {sections.shape}; they must be {', '.join(map(str, modes))}, (nz, ny, nx), "
            "and not empty"
        )
    not_finite = np.count_nonzero(~np.isfinite(sections))
    if not_finite:
        raise ValueError(f"sections have {not_finite} NaN or infinite pixels; every pixel must be finite")
    return mode, np.ascontiguousarray(sections, dtype=sections.dtype.newbyteorder("<"))


def _header(pixels: np.ndarray, mode: int, *, pixel_size_nm: float, wavelength_nm: int, title: str) -> np.ndarray:
    """Gives the 1024 bytes before the pixels as one element of `HEADER`."""
    if not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise IllegalValue("pixel_size_nm", pixel_size_nm, "give a positive number")
    if not 0 <= wavelength_nm <= _LARGEST_WAVELENGTH_NM:
        raise IllegalValue("wavelength_nm", wavelength_nm, f"give 0 (unknown) to {_LARGEST_WAVELENGTH_NM}")
    if len(title) > _TITLE_BYTES or not (title.isascii() and title.isprintable()):
        raise IllegalValue("title", title, f"give at most {_TITLE_BYTES} printable ASCII characters")
    header = np.zeros((), HEADER.newbyteorder("<"))
    header["size_xyz"] = pixels.shape[::-1]
    header["mode"] = mode
    header["samples"] = 1
    header["lengths"] = pixel_size_nm / 1000, pixel_size_nm / 1000, _DZ_UM
    header["angles"] = 90
    header["axis_order"] = 1, 2, 3
    header["min_max_mean"] = pixels.min(), pixels.max(), pixels.mean(dtype=np.float64)
    header["stamp"] = PRIISM_STAMP
    header["times"] = 1
    header["waves"] = 1
    header["wavelengths"][0] = wavelength_nm
    header["titles_used"] = int(bool(title))
    header["titles"][0] = title.encode("ascii")
    return header

"""Raw SIM acquisitions: from a file to frames (time, frames, y, x), orientation slow and phase fast.

Contract: TIFF or MRC is told by content, then by suffix. Pixels are as stored, neither flipped nor scaled; only the
byte order becomes the machine's. Every mistake in the file or the options is an `InputError`.

Where the frames are. A file may keep them on any axis (C, T, Z, Q, I ...). With frames = orientations * phases and the
axes before y, x in stored order, the first rule that fits is taken:

1. exactly one axis other than T has the length frames: it is the frame axis;
2. the axes other than T hold a multiple of frames images together: T is the slowest, the others follow in stored order,
   and the fastest `frames` images make one acquisition (Z = 2 * frames; or Z = orientations with C = phases);
3. T has the length frames: it is the frame axis;
4. all axes together hold a multiple of frames images: these are taken in stored order.

What is left over becomes the time axis, whatever its letter: each entry is an acquisition of its own.
"""

import math
import operator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from oidn_jax.errors import InputError
from oidn_jax.data.mrc import MRC_SUFFIXES, MrcHeader, is_mrc, read_mrc_header
from oidn_jax.data.tiff import TIFF_SUFFIXES, TiffHeader, is_tiff, read_tiff_header

_FRAME_ORDERS = ("orientation-phase", "phase-orientation")
_SMALLEST_SIDE = 16
_PLAUSIBLE_PIXEL_SIZE_NM = (1.0, 2000.0)
_PIXEL_ASPECT_TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class RawStack:
    """A raw SIM acquisition, or several in time.

    Attributes:
        frames: (time, frames, y, x) in the stored dtype; the frame axis runs orientation slow, phase fast.
        pixel_size_nm: spacing of the raw grid in nanometres; None when neither the file nor the caller says.
        time_interval_s: time from one acquisition to the next in seconds; None when the file does not say.
        source: the file that was read.
    """

    frames: Shaped[np.ndarray, "time frames y x"]
    pixel_size_nm: float | None
    time_interval_s: float | None
    source: Path


def read_raw_stack(
    path: str | Path,
    *,
    orientations: int = 3,
    phases: int = 3,
    frame_order: str = "orientation-phase",
    pixel_size_nm: float | None = None,
) -> RawStack:
    """Reads a raw SIM acquisition from a TIFF or MRC file.

    Args:
        path: the file.
        orientations: number of illumination directions.
        phases: number of phases per direction.
        frame_order: which of the two runs slow in the file, named first; "phase-orientation" is reordered.
        pixel_size_nm: spacing of the raw grid in nanometres, in place of the file's own.

    Returns:
        The stack, with orientations * phases frames per time point (the module docstring says which axes they come
        from).

    Raises:
        InputError: everything `inspect_raw_stack` raises; an unknown frame order; a pixel size that is not positive; a
            file whose pixels are not square, without an override; pixels that cannot be decoded.
    """
    path = Path(path)
    if frame_order not in _FRAME_ORDERS:
        raise InputError(f"frame_order is {frame_order!r}; legal: {', '.join(_FRAME_ORDERS)} (the slow one first)")
    header = _read_header(path)
    axes_order, shape = _frame_layout(header, orientations, phases)
    spacing_nm = _file_pixel_size_nm(header) if pixel_size_nm is None else _checked_pixel_size_nm(pixel_size_nm)
    frames = header.read().transpose(axes_order)
    if frame_order == "phase-orientation":
        frames = frames.reshape(shape[0], phases, orientations, *shape[2:]).swapaxes(1, 2)
    frames = np.ascontiguousarray(frames.reshape(shape), dtype=header.dtype.newbyteorder("="))
    return RawStack(frames, spacing_nm, header.time_interval_s, path)


def inspect_raw_stack(path: str | Path, *, orientations: int = 3, phases: int = 3) -> tuple[int, int, int, int]:
    """Checks a file as `read_raw_stack` does, from its headers and its size alone, without reading the pixels.

    Args:
        path: the file.
        orientations: number of illumination directions.
        phases: number of phases per direction.

    Returns:
        The shape (time, frames, y, x) that `read_raw_stack` would give.

    Raises:
        InputError: the path is no readable file; neither TIFF nor MRC; truncated; complex, boolean or colour pixels;
            fewer than 16 pixels along y or x; a number of images that is no multiple of orientations * phases.
    """
    return _frame_layout(_read_header(Path(path)), orientations, phases)[1]


def _read_header(path: Path) -> TiffHeader | MrcHeader:
    head = _first_bytes(path)
    suffix = path.suffix.lower()
    if is_tiff(head):
        header = read_tiff_header(path)
    # Old writers leave out both marks, so a file that is named MRC gets the chance to look like one.
    elif is_mrc(head) or suffix in MRC_SUFFIXES:
        header = read_mrc_header(path)
    else:
        kind = "a TIFF file" if suffix in TIFF_SUFFIXES else "a TIFF or MRC file"
        raise InputError(f"{path} is not {kind} (it starts with {head[:8]!r}); convert the raw frames to OME-TIFF")
    if header.dtype.kind not in "uif":
        raise InputError(f"{path} holds {header.dtype} pixels; raw SIM frames must be integers or real floats")
    return header


def _first_bytes(path: Path) -> bytes:
    """Reads the first bytes of a file that must exist, be readable and not be empty."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; give one TIFF or MRC file")
        with path.open("rb") as file:
            head = file.read(1024)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path") from error
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); check the path and its permissions") from error
    if not head:
        raise InputError(f"{path} is empty (0 bytes); copy the file again")
    return head


def _frame_layout(
    header: TiffHeader | MrcHeader, orientations: int, phases: int
) -> tuple[tuple[int, ...], tuple[int, int, int, int]]:
    """Finds the frame axes by the rules of the module docstring.

    Returns:
        The transposition of the stored axes after which a reshape gives (time, frames, y, x), and that shape.
    """
    for name, value in (("orientations", orientations), ("phases", phases)):
        if not _is_positive_integer(value):
            raise InputError(f"{name} is {value!r}; give a positive whole number")
    frames = orientations * phases
    *lengths, ny, nx = header.shape
    if min(ny, nx) < _SMALLEST_SIDE:
        raise InputError(
            f"{header.path} has images of {ny} x {nx} pixels; at least {_SMALLEST_SIDE} x {_SMALLEST_SIDE} needed"
        )
    everything = list(range(len(lengths)))
    other = [axis for axis in everything if header.axes[axis] != "T"]
    fitting = [axis for axis in everything if lengths[axis] == frames]
    fitting_other = [axis for axis in fitting if axis in other]
    images = math.prod(lengths)
    if images == 0 or images % frames:
        raise InputError(
            f"{header.path} holds {images} images (shape {header.shape}, axes {header.axes}), which is no multiple of "
            f"{orientations} orientations x {phases} phases = {frames}; check the file, orientations and phases"
        )
    if len(fitting_other) == 1:
        frame_axes = fitting_other
    elif math.prod(lengths[axis] for axis in other) % frames == 0:
        frame_axes = other
    elif fitting:
        frame_axes = fitting
    else:
        frame_axes = everything
    rest = [axis for axis in everything if axis not in frame_axes]
    return (*rest, *frame_axes, len(lengths), len(lengths) + 1), (images // frames, frames, ny, nx)


def _is_positive_integer(value: object) -> bool:
    try:
        return not isinstance(value, bool) and operator.index(value) > 0  # type: ignore[arg-type]
    except TypeError:
        return False


def _file_pixel_size_nm(header: TiffHeader | MrcHeader) -> float | None:
    """Takes the file's pixel size if it can be one: 72 dots per inch, zero or a default of 1 angstrom are not."""
    smallest, largest = _PLAUSIBLE_PIXEL_SIZE_NM
    if header.pixel_size_nm is None or not all(smallest <= size <= largest for size in header.pixel_size_nm):
        return None
    y, x = header.pixel_size_nm
    if abs(y - x) > _PIXEL_ASPECT_TOLERANCE * max(y, x):
        raise InputError(
            f"{header.path} has pixels of {y:g} nm in y and {x:g} nm in x; they must be square: resample the file, "
            "or give the true size with --pixel-size-nm"
        )
    return x


def _checked_pixel_size_nm(pixel_size_nm: float) -> float:
    if not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise InputError(f"pixel_size_nm is {pixel_size_nm}; give a positive number of nanometres")
    return float(pixel_size_nm)

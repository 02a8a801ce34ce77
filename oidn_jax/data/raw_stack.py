"""Raw SIM acquisitions: from a file to frames (time, frames, y, x), orientation slow and phase fast.

Contract: opening a file checks all that its headers and its size tell, and reads no pixels; then one time point is read
at a time. Pixels are as stored, neither flipped nor scaled; only the byte order becomes the machine's. Every mistake in
the file or the settings is an `InputError`.

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
from jaxtyping import Int, Shaped

from oidn_jax.data.image_file import open_image_stack
from oidn_jax.data.image_stack import ImageStack
from oidn_jax.errors import IllegalValue, InputError

FRAME_ORDERS = ("orientation-phase", "phase-orientation")

_SMALLEST_SIDE = 16
_PLAUSIBLE_PIXEL_SIZE_NM = (1.0, 2000.0)
_PIXEL_ASPECT_TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class RawStack:
    """A raw SIM acquisition, or several in time; pixels are read when they are asked for.

    Attributes:
        images: where the frames are read from.
        planes: which image is which frame; the frame axis runs orientation slow, phase fast.
        pixel_size_nm: spacing of the raw grid in nanometres; None when neither the file nor the caller says.
        time_interval_s: time from one acquisition to the next in seconds; None when the file does not say.
    """

    images: ImageStack
    planes: Int[np.ndarray, "time frames"]
    pixel_size_nm: float | None
    time_interval_s: float | None

    @classmethod
    def of_array(
        cls,
        frames: Shaped[np.ndarray, "..."],
        *,
        pixel_size_nm: float | None = None,
        time_interval_s: float | None = None,
        source: str | Path = "frames",
    ) -> "RawStack":
        """The stack of frames in memory, orientation slow and phase fast.

        Args:
            frames: (time, frames, y, x) of any real dtype; not copied.
            pixel_size_nm: spacing of the raw grid in nanometres, if known.
            time_interval_s: time from one acquisition to the next in seconds, if known.
            source: what messages call them.

        Raises:
            InputError: frames of another rank or dtype, or none; a pixel size that is not positive.
        """
        if frames.ndim != 4 or frames.size == 0 or frames.dtype.kind not in "uif":
            raise InputError(
                f"{source}: {frames.dtype} {frames.shape} are no raw frames; give real numbers (time, frames, y, x)"
            )
        times, count = frames.shape[:2]
        images = ImageStack(
            source=Path(source),
            shape=frames.shape,
            axes="TIYX",
            dtype=frames.dtype.newbyteorder("="),
            pixel_size_nm=None,
            time_interval_s=None,
            read_plane=lambda plane: frames[divmod(plane, count)],
        )
        planes = np.arange(times * count).reshape(times, count)
        return cls(images, planes, _checked_pixel_size_nm(pixel_size_nm), time_interval_s)

    @property
    def source(self) -> Path:
        """The file."""
        return self.images.source

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(time, frames, y, x)."""
        (times, frames), (y, x) = self.planes.shape, self.images.shape[-2:]
        return times, frames, y, x

    @property
    def dtype(self) -> np.dtype:
        """As stored, in the machine's byte order."""
        return self.images.dtype

    def read(self, time: int) -> Shaped[np.ndarray, "frames y x"]:
        """Reads the frames of one time point; they are the caller's, and not kept.

        Raises:
            IndexError: a time point that the stack does not have.
            InputError: a file that has vanished or shrunk since it was opened, or pixels that cannot be decoded.
        """
        if not 0 <= time < len(self.planes):
            raise IndexError(f"{self.source} has the time points 0 to {len(self.planes) - 1}, not {time}")
        return self.images.read(self.planes[time])


def open_raw_stack(
    path: str | Path,
    *,
    orientations: int = 3,
    phases: int = 3,
    frame_order: str = "orientation-phase",
    pixel_size_nm: float | None = None,
) -> RawStack:
    """Opens a raw SIM acquisition in a TIFF or MRC file, without reading the pixels.

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
        InputError: the path is no readable file; neither TIFF nor MRC; truncated; complex, boolean or colour pixels;
            fewer than 16 pixels along y or x; a number of images that is no multiple of orientations * phases; an
            unknown frame order; a pixel size that is not positive; pixels that are not square, without an override.
    """
    if frame_order not in FRAME_ORDERS:
        raise IllegalValue("frame_order", frame_order, f"legal: {', '.join(FRAME_ORDERS)} (the slow one first)")
    for name, value in (("orientations", orientations), ("phases", phases)):
        if not _is_positive_integer(value):
            raise IllegalValue(name, value, "give a positive whole number")
    images = open_image_stack(Path(path))
    planes = _find_frames(images, orientations, phases)
    if frame_order == "phase-orientation":
        planes = planes.reshape(-1, phases, orientations).swapaxes(1, 2).reshape(planes.shape)
    spacing_nm = _file_pixel_size_nm(images) if pixel_size_nm is None else _checked_pixel_size_nm(pixel_size_nm)
    return RawStack(images, planes, spacing_nm, images.time_interval_s)


def open_images(path: str | Path, *, pixel_size_nm: float | None = None) -> RawStack:
    """Opens the images of a file that are no raw frames, whatever its axes are called: one "frame" per time point.

    Args:
        path: TIFF or MRC.
        pixel_size_nm: in place of the file's own.

    Raises:
        InputError: what `open_raw_stack` refuses.
    """
    return open_raw_stack(path, orientations=1, phases=1, pixel_size_nm=pixel_size_nm)


def _find_frames(images: ImageStack, orientations: int, phases: int) -> Int[np.ndarray, "time frames"]:
    """Finds the frame axes by the rules of the module docstring; gives the number of the image of each frame."""
    frames = orientations * phases
    *lengths, ny, nx = images.shape
    if min(ny, nx) < _SMALLEST_SIDE:
        raise InputError(
            f"{images.source} has images of {ny} x {nx} pixels; at least {_SMALLEST_SIDE} x {_SMALLEST_SIDE} needed"
        )
    everything = list(range(len(lengths)))
    other = [axis for axis in everything if images.axes[axis] != "T"]
    fitting = [axis for axis in everything if lengths[axis] == frames]
    fitting_other = [axis for axis in fitting if axis in other]
    count = math.prod(lengths)
    if count == 0 or count % frames:
        raise InputError(
            f"{images.source} holds {count} images (shape {images.shape}, axes {images.axes}), which is no multiple of "
            f"{orientations} orientations x {phases} phases = {frames}; check the file, `orientations` and `phases`"
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
    return np.arange(count).reshape(lengths).transpose(*rest, *frame_axes).reshape(-1, frames)


def _is_positive_integer(value: object) -> bool:
    try:
        return not isinstance(value, bool) and operator.index(value) > 0  # type: ignore[arg-type]
    except TypeError:
        return False


def _file_pixel_size_nm(images: ImageStack) -> float | None:
    """Takes the file's pixel size if it can be one: 72 dots per inch, zero or a default of 1 angstrom are not."""
    smallest, largest = _PLAUSIBLE_PIXEL_SIZE_NM
    if images.pixel_size_nm is None or not all(smallest <= size <= largest for size in images.pixel_size_nm):
        return None
    y, x = images.pixel_size_nm
    if abs(y - x) > _PIXEL_ASPECT_TOLERANCE * max(y, x):
        raise InputError(
            f"{images.source} has pixels of {y:g} nm in y and {x:g} nm in x; they must be square: resample the file, "
            "or give the true size as `pixel_size_nm`"
        )
    return x


def _checked_pixel_size_nm(pixel_size_nm: float | None) -> float | None:
    if pixel_size_nm is None:
        return None
    if not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise IllegalValue("pixel_size_nm", pixel_size_nm, "give a positive number of nanometres")
    return float(pixel_size_nm)

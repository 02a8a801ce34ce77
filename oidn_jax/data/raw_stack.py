"""Raw SIM acquisitions: from a file to frames (time, frames, y, x), orientation slow and phase fast.

Contract: opening a file checks all that its headers and its size tell, and reads no pixels; then one time point is read
at a time. Pixels are as stored, neither flipped nor scaled; only the byte order becomes the machine's. Every mistake in
the file or the settings is an `InputError`.

Where the frames are. A file may keep them on any axis (C, T, Z, Q, I ...). With frames = orientations * phases and the
axes before y, x in stored order, the first rule that fits is taken:

0. axes A and P that have the lengths orientations and phases are the frame axes, whatever the frame order;
1. exactly one axis other than T has the length frames: it is the frame axis;
2. the axes other than T hold a multiple of frames images together: T is the slowest, the others follow in stored order,
   and the fastest `frames` images make one acquisition (Z = 2 * frames; or Z = orientations with C = phases);
3. T has the length frames: it is the frame axis;
4. all axes together hold a multiple of frames images: these are taken in stored order.

What is left over keeps its meaning: T is time, Z slices, C channels (colours), and any other axis counts as time. Of an
axis that holds a multiple of the frames, the rest is what the axis is: 27 raw frames on T are three time points. The
images of a stack are counted channel fast, then slice, then time.

Positions (R, the images of an OME-TIFF) are acquisitions of their own where each holds a multiple of the frames.
"""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from oidn_jax.data.image_file import Source, open_image_stack
from oidn_jax.data.image_stack import Channel, ImageStack
from oidn_jax.errors import IllegalValue, InputError

# What changes fastest, first: p phase, a orientation (angle), z slice. fairSIM's names; "zap" is Zeiss's order, "pza"
# that of OMX and softWoRx; a montage has its frames side by side, as N-SIM exports them, a row for each orientation.
FRAME_ORDERS = {
    **{order: order for order in ("paz", "apz", "pza", "azp", "zpa", "zap")},
    "orientation-phase": "paz",
    "phase-orientation": "apz",
    "montage": "paz",
}
WIDEFIELD_FRAMES = ("first", "last")

_SMALLEST_SIDE = 16
_IMAGE_AXES = "TZC"
_PLAUSIBLE_PIXEL_SIZE_NM = (1.0, 2000.0)
_PIXEL_ASPECT_TOLERANCE = 0.01


class Layout(NamedTuple):
    """How many time points, slices and channels the images of a file are, counted channel fast and time slow."""

    times: int
    slices: int = 1
    channels: int = 1


@dataclass(frozen=True, eq=False)
class RawStack:
    """A raw SIM acquisition, or several (time points, slices, channels); pixels are read when they are asked for.

    Attributes:
        images: where the frames are read from.
        planes: which plane of the file is which frame of which image; the frame axis runs orientation slow, phase fast.
        pixel_size_nm: spacing of the raw grid in nanometres; None when neither the file nor the caller says.
        time_interval_s: from one super-resolved image to the next in time, in seconds; None when the file does not say.
        layout: what the images are.
        numbers: of each image in the file's own count; those of one channel only, where `channel` has chosen it.
        frame_axes: letters of the axes that could each be that of the frames, as far as lengths tell.
        channels: what the file says of each channel.
        positions: how many fields of view; their images follow each other, `layout` is that of one.
        flip_y: whether images are shown bottom row first, in place of what programs do with such a file; None for that.
    """

    images: ImageStack
    planes: Int[np.ndarray, "time frames"]
    pixel_size_nm: float | None
    time_interval_s: float | None
    layout: Layout
    numbers: range
    frame_axes: str = ""
    channels: tuple[Channel, ...] = (Channel(),)
    positions: int = 1
    flip_y: bool | None = None

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
        size = _checked_pixel_size_nm(pixel_size_nm)
        return cls(images, planes, size, time_interval_s, Layout(times), range(times))

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

    @property
    def bottom_first(self) -> bool:
        """Whether the first row is shown at the bottom."""
        return self.images.bottom_first if self.flip_y is None else self.flip_y

    def channel(self, number: int) -> "RawStack":
        """The images of one channel, counted from 0.

        Raises:
            IndexError: a channel that the stack does not have.
        """
        count = self.layout.channels
        if not 0 <= number < count:
            raise IndexError(f"{self.source} has the channels 0 to {count - 1}, not {number}")
        return replace(
            self,
            planes=self.planes[number::count],
            layout=self.layout._replace(channels=1),
            numbers=self.numbers[number::count],
            channels=(self.channels[number],),
        )

    def position(self, number: int) -> "RawStack":
        """The images of one field of view, counted from 0.

        Raises:
            IndexError: a position that the stack does not have.
        """
        if not 0 <= number < self.positions:
            raise IndexError(f"{self.source} has the positions 0 to {self.positions - 1}, not {number}")
        images = math.prod(self.layout)
        planes = self.planes[number * images : (number + 1) * images]
        return replace(self, planes=planes, numbers=range(images), positions=1)

    def as_shown(self, image: Shaped[np.ndarray, "*channels y x"]) -> Shaped[np.ndarray, "*channels y x"]:
        """An image of this stack with the top row first, as programs show its file."""
        return image[..., ::-1, :] if self.bottom_first else image

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
    path: str | Source,
    *,
    orientations: int = 3,
    phases: int = 3,
    frame_order: str = "paz",
    frame_axis: str | None = None,
    widefield_frame: str | None = None,
    pixel_size_nm: float | None = None,
) -> RawStack:
    """Opens a raw SIM acquisition in a TIFF or MRC file, without reading the pixels.

    Args:
        path: the file, a folder of files, or files that make one acquisition together.
        orientations: number of illumination directions.
        phases: number of phases per direction.
        frame_order: one of `FRAME_ORDERS`, how phases, orientations and slices follow each other on the frame axes.
        frame_axis: letter of the axis that the frames are on, where rules and lengths do not tell.
        widefield_frame: "first" or "last" where each acquisition has one more frame there, without stripes, which is
            left out.
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
        raise IllegalValue("frame_order", frame_order, f"legal: {', '.join(FRAME_ORDERS)}")
    for name, value in (("orientations", orientations), ("phases", phases)):
        if not _is_positive_integer(value):
            raise IllegalValue(name, value, "give a positive whole number")
    if widefield_frame not in (None, *WIDEFIELD_FRAMES):
        raise IllegalValue("widefield_frame", widefield_frame, f"legal: {', '.join(WIDEFIELD_FRAMES)}")
    images = open_image_stack(Path(path) if isinstance(path, str) else path)
    if frame_order == "montage":
        images = _cut_montage(images, orientations, phases)
    frames = orientations * phases + (widefield_frame is not None)
    images = _frames_last(images, frames)
    whole, images, of_position = images, *_one_position(images, frames)
    lengths = zip(images.axes[:-2], images.shape[:-2], strict=True)
    fitting = "".join(axis for axis, length in lengths if length == frames)
    if frame_axis is not None and frame_axis not in images.axes[:-2]:
        axes = ", ".join(images.axes[:-2]) or "Y and X alone"
        raise IllegalValue("frame_axis", frame_axis, f"{images.source} has the axes {axes}")
    planes, layout, frames_in_time = _find_frames(
        images, orientations, phases, frame_order, frame_axis, widefield_frame
    )
    channels = _channels(images, planes, layout.channels)
    planes = of_position[:, planes].reshape(-1, planes.shape[1])
    spacing_nm = _file_pixel_size_nm(images) if pixel_size_nm is None else _checked_pixel_size_nm(pixel_size_nm)
    interval = images.time_interval_s if layout.times > 1 else None
    interval = None if interval is None else interval * frames_in_time
    numbers, positions = range(len(planes)), len(of_position)
    return RawStack(whole, planes, spacing_nm, interval, layout, numbers, fitting, channels, positions)


def gather(paths: Sequence[str | Path], *, frames: int) -> list[Source]:
    """The acquisitions of so many frames that paths are: each by itself, or all of them one.

    The latter where each holds one image, and their number is a multiple of the frames.
    """
    files = [Path(path) for path in paths]
    if len(files) > 1 and frames > 1 and len(files) % frames == 0 and all(map(_holds_one_image, files)):
        return [tuple(files)]
    return list(files)


def _holds_one_image(path: Path) -> bool:
    try:
        return not path.is_dir() and math.prod(open_image_stack(path).shape[:-2]) == 1
    except InputError:
        return False


def _one_position(images: ImageStack, frames: int) -> tuple[ImageStack, Int[np.ndarray, "positions planes"]]:
    """Shape and axes of one position, and which planes of the file each has; all planes where positions are frames."""
    *lengths, y, x = images.shape
    planes = np.arange(math.prod(lengths))
    at = images.axes.find("R")
    if at < 0 or (len(planes) // lengths[at]) % frames:
        return images, planes[None]
    planes = np.moveaxis(planes.reshape(lengths), at, 0).reshape(lengths[at], -1)
    shape, axes = (*lengths[:at], *lengths[at + 1 :], y, x), images.axes.replace("R", "")
    return replace(images, shape=shape, axes=axes), planes


def _channels(images: ImageStack, planes: Int[np.ndarray, "images frames"], count: int) -> tuple[Channel, ...]:
    """What the file says of each channel: what the entries of C that its frames come from agree on."""
    at = images.axes.find("C")
    if at < 0 or len(images.channels) != images.shape[at]:
        return (Channel.common(images.channels),) * count
    entries = np.unravel_index(planes, images.shape[:-2])[at]
    return tuple(
        Channel.common([images.channels[entry] for entry in np.unique(entries[number::count])])
        for number in range(count)
    )


def open_images(path: str | Path, *, pixel_size_nm: float | None = None) -> RawStack:
    """Opens the images of a file that are no raw frames, whatever its axes are called: one "frame" per time point.

    Args:
        path: TIFF or MRC.
        pixel_size_nm: in place of the file's own.

    Raises:
        InputError: what `open_raw_stack` refuses.
    """
    return open_raw_stack(path, orientations=1, phases=1, pixel_size_nm=pixel_size_nm)


def _find_frames(
    images: ImageStack,
    orientations: int,
    phases: int,
    frame_order: str,
    frame_axis: str | None,
    widefield_frame: str | None,
) -> tuple[Int[np.ndarray, "images frames"], Layout, int]:
    """Finds the frame axes by the rules of the module docstring.

    Returns:
        The number of the plane of each frame of each image; what the images are; how many entries of the file's time
        axis make one image.
    """
    frames = orientations * phases + (widefield_frame is not None)
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
        extra = "" if widefield_frame is None else " + 1 widefield frame"
        raise InputError(
            f"{images.source} holds {count} images (shape {images.shape}, axes {images.axes}), which is no multiple of "
            f"{orientations} orientations x {phases} phases{extra} = {frames}; "
            f"{_advice(images, orientations, phases, count)}"
        )
    named = [images.axes.find(letter) for letter in "AP"]
    has_roles = min(named) >= 0 and [lengths[axis] for axis in named] == [orientations, phases]
    chosen = [axis for axis in everything if images.axes[axis] == frame_axis]
    if chosen:
        if lengths[chosen[0]] % frames:
            legal = f"it has {lengths[chosen[0]]} entries, which are no multiple of {frames} frames"
            raise IllegalValue("frame_axis", frame_axis, legal)
        frame_axes = chosen
    elif has_roles and widefield_frame is None:
        frame_axes, frame_order = named, "paz"
    elif len(fitting_other) == 1:
        frame_axes = fitting_other
    elif math.prod(lengths[axis] for axis in other) % frames == 0:
        frame_axes = other
    elif fitting:
        frame_axes = fitting
    else:
        frame_axes = everything
    rest = [axis for axis in everything if axis not in frame_axes]
    left = math.prod(lengths[axis] for axis in frame_axes) // frames
    slowest = next((images.axes[axis] for axis in frame_axes if lengths[axis] > 1), "T")
    left_over = [(left, slowest)] if left > 1 else []
    outer = [(lengths[axis], images.axes[axis]) for axis in rest] + left_over
    letters = [letter if letter in _IMAGE_AXES else "T" for _, letter in outer]
    order = sorted(range(len(outer)), key=lambda i: _IMAGE_AXES.index(letters[i]))
    planes = np.arange(count).reshape(lengths).transpose(*rest, *frame_axes)
    planes = planes.reshape(-1, left, frames)
    if widefield_frame is not None:
        if left > 1 and FRAME_ORDERS[frame_order][-1] != "z":
            legal = f"in the frame order {frame_order}, slices lie between the frames; it takes one with z last"
            raise IllegalValue("widefield_frame", widefield_frame, legal)
        planes = planes[..., 1:] if widefield_frame == "first" else planes[..., :-1]
    planes = _in_order(planes.reshape(len(planes), -1), frame_order, orientations, phases)
    planes = planes.reshape(*(n for n, _ in outer), -1).transpose(*order, len(outer))
    planes = planes.reshape(-1, orientations * phases)
    sizes = [math.prod(outer[i][0] for i in order if letters[i] == axis) for axis in _IMAGE_AXES]
    in_time = math.prod(lengths[axis] for axis in frame_axes if images.axes[axis] == "T")
    return planes, Layout(*sizes), in_time // left if slowest == "T" and left > 1 else max(in_time, 1)


def _advice(images: ImageStack, orientations: int, phases: int, count: int) -> str:
    """What can be done about a number of images that does not fit."""
    y, x = images.shape[-2:]
    if count == 1:
        words = "where each frame is a file, give their folder or all of them"
        if y % orientations == 0 and x % phases == 0 and min(y // orientations, x // phases) >= _SMALLEST_SIDE:
            words += f"; where this is a montage of {orientations} x {phases} frames, give montage as `frame_order`"
        return words
    if count % (orientations * phases + 1) == 0:
        return "where a widefield frame stands before or after the frames, give first or last as `widefield_frame`"
    fitting = [n for n in range(2, 10) if count % (n * phases) == 0]
    hint = f" ({count} images would fit {', '.join(map(str, fitting[:3]))} orientations)" if fitting else ""
    return f"check the file, `orientations` and `phases`{hint}"


def _cut_montage(images: ImageStack, orientations: int, phases: int) -> ImageStack:
    """Each image cut into rows of orientations and columns of phases."""
    *lengths, y, x = images.shape
    if y % orientations or x % phases:
        raise InputError(
            f"{images.source} has images of {y} x {x} pixels, which are no montage of {orientations} x {phases} "
            "frames; check `frame_order`, `orientations` and `phases`"
        )
    h, w, frames = y // orientations, x // phases, orientations * phases

    def read_plane(plane: int) -> np.ndarray:
        whole, frame = divmod(plane, frames)
        row, column = divmod(frame, phases)
        return images.read_plane(whole)[row * h : (row + 1) * h, column * w : (column + 1) * w]

    return replace(images, shape=(*lengths, frames, h, w), axes=f"{images.axes[:-2]}QYX", read_plane=read_plane)


def _frames_last(images: ImageStack, frames: int) -> ImageStack:
    """An array (y, x, frames) that was written as pages, each a row of the image, turned the right way."""
    if len(images.shape) != 3 or images.shape[-1] != frames or not 1 < frames < _SMALLEST_SIDE <= images.shape[0]:
        return images
    y, x = images.shape[:2]

    def read_plane(frame: int) -> np.ndarray:
        return np.stack([images.read_plane(row)[:, frame] for row in range(y)])

    remark = f"the frames are on the last axis: {y} pages of {x} x {frames} pixels are read as {frames} frames"
    remarks = (*images.remarks, remark)
    return replace(images, shape=(frames, y, x), axes="QYX", read_plane=read_plane, remarks=remarks)


def _in_order(
    planes: Int[np.ndarray, "blocks planes"], frame_order: str, orientations: int, phases: int
) -> Int[np.ndarray, "blocks2 frames"]:
    """Blocks of planes as images one after the other, orientation slow and phase fast."""
    slow_first = FRAME_ORDERS[frame_order][::-1]
    lengths = {"a": orientations, "p": phases, "z": planes.shape[1] // (orientations * phases)}
    blocks = planes.reshape(-1, *(lengths[letter] for letter in slow_first))
    return blocks.transpose(0, *(1 + slow_first.index(letter) for letter in "zap")).reshape(-1, orientations * phases)


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

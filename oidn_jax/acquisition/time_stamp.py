"""Time stamps that a camera writes into the upper left corner of its frames: found, and replaced by the image below.

Cameras of pco write two kinds (manuals, "time stamp mode"), of which a frame may carry both:

- text: rows of black and white characters, some 8 pixels high, over the full range of the pixels;
- binary: 14 pixels of the first row, each a byte of two decimal digits: image number (4), year (2), month, day, hour,
  minute, second, microseconds (3).

Text is the brightest of all stripes and differs between frames; to checks of saturation, frame order and camera gain
it looks like a fault of the acquisition.
"""

from dataclasses import fields

import numpy as np
from jaxtyping import Bool, Real, Shaped

from oidn_jax.data.raw_stack import RawStack

_BINARY = 14
_TEXT_HEIGHT = (7, 32)
_LEAST_WIDTH, _LEAST_PIXELS = 40, 20
# Year, month, day, hour, minute, second: smallest and largest byte, as hexadecimal digits.
_DATE = slice(4, 11)
_EARLIEST = np.array([0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00])
_LATEST = np.array([0x20, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59])


class UnstampedStack(RawStack):
    """A raw stack whose frames are read without time stamps: those have the mirror image of what is below them."""

    def read(self, time: int) -> Shaped[np.ndarray, "frames y x"]:
        """Reads the frames of one time point, as `RawStack.read`."""
        return self.read_and_tell(time)[0]

    def read_and_tell(self, time: int) -> tuple[Shaped[np.ndarray, "frames y x"], Bool[np.ndarray, "y x"]]:
        """The frames of one time point, and where their time stamps were."""
        frames = super().read(time)
        stamp = find_stamp(frames)
        return without_stamp(frames, stamp), stamp


def unstamped(stack: RawStack) -> UnstampedStack:
    """The same stack, read without time stamps; nothing is read yet."""
    if isinstance(stack, UnstampedStack):
        return stack
    return UnstampedStack(**{field.name: getattr(stack, field.name) for field in fields(RawStack)})


def find_stamp(frames: Real[np.ndarray, "frames y x"]) -> Bool[np.ndarray, "y x"]:
    """Pixels of a time stamp.

    Text is a block of 7 to 31 rows and at least 40 columns at the upper edge, no more than half of the frame, in which
    every pixel of every frame is black or white: the smallest value of its rows, or the largest of all frames. Each
    frame has 20 of both. Noise leaves more values than two, and frames of two values alone have no block that ends.
    Bytes are a stamp where they are two decimal digits each, and a date, in every frame.
    """
    stamp = np.zeros(frames.shape[1:], bool)
    columns, rows = _find_text(frames[:, : _TEXT_HEIGHT[1]], white=float(frames.max()))
    if _TEXT_HEIGHT[0] <= rows < _TEXT_HEIGHT[1] and 2 * rows <= len(stamp):
        stamp[:rows, columns] = True
    if _is_date(frames[:, 0, :_BINARY]):
        stamp[0, :_BINARY] = True
    return stamp


def without_stamp(
    frames: Real[np.ndarray, "frames y x"], stamp: Bool[np.ndarray, "y x"]
) -> Real[np.ndarray, "frames y x"]:
    """Frames in which each column of the stamp has the pixels below it, mirrored; others are untouched."""
    if not stamp.any():
        return frames
    frames = frames.copy()
    rows, columns = np.nonzero(stamp)
    depth = stamp.sum(axis=0)[columns]
    frames[:, rows, columns] = frames[:, 2 * depth - 1 - rows, columns]
    return frames


def _find_text(top: Real[np.ndarray, "frames rows x"], *, white: float) -> tuple[slice, int]:
    """Columns and height of the block of text; height 0 where there is none."""
    first = top[:, : _TEXT_HEIGHT[0]]
    black = first.min()
    if black == white:
        return slice(0), 0
    two_valued = (top == black) | (top == white)
    columns = _longest_run(two_valued[:, : _TEXT_HEIGHT[0]].all(axis=(0, 1)))
    text = first[:, :, columns]
    least = min((text == black).sum(axis=(1, 2)).min(), (text == white).sum(axis=(1, 2)).min())
    if columns.stop - columns.start < _LEAST_WIDTH or least < _LEAST_PIXELS:
        return slice(0), 0
    other = ~two_valued[:, :, columns].all(axis=(0, 2))
    return columns, int(np.argmax(other)) if other.any() else len(other)


def _longest_run(true: Bool[np.ndarray, " x"]) -> slice:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]])))
    starts, stops = edges[::2], edges[1::2]
    if not len(starts):
        return slice(0, 0)
    longest = np.argmax(stops - starts)
    return slice(int(starts[longest]), int(stops[longest]))


def _is_date(values: Real[np.ndarray, "frames bytes"]) -> bool:
    """Whether each frame has a date in its bytes of two decimal digits."""
    if np.any((values < 0) | (values > 0x99) | (values != np.floor(values))):
        return False
    digits = values.astype(np.int64)
    date = digits[:, _DATE]
    decimal = (digits >> 4 <= 9) & (digits & 15 <= 9)
    return bool(decimal.all() and ((date >= _EARLIEST) & (date <= _LATEST)).all())

"""Raw frames that somebody stretched to 16 bits: the counts that they were.

A stretched pixel is round((c - low) 65535 / (high - low)) of the counts c, or the whole number below it. Where counts
reach over N = high - low < 32768, the grey levels stand apart: they are multiples of 65535 / N, up to rounding. N is
looked for near 65535 over the smallest gap, and must explain every grey level. Low is lost, so what comes back is
counts above the smallest.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped, UInt16

_FULL = 65535
_FEWEST_LEVELS = 8  # of which fewer would be multiples of anything


class Restored(NamedTuple):
    """What raw frames were.

    Attributes:
        counts: (frames, y, x), above the smallest of them.
        remark: one line on what was undone and what is lost.
    """

    counts: UInt16[np.ndarray, "frames y x"]
    remark: str


def restore_counts(frames: Shaped[np.ndarray, "frames y x"]) -> Restored | None:
    """The counts of frames that were stretched together, or each by itself; None where that cannot be seen.

    Frames that reach from 0 to 65535 and have no gaps between their grey levels may be stretched floats: they are left
    as they are.
    """
    if frames.dtype != np.uint16:
        return None
    if all(frame.min() == 0 and frame.max() == _FULL for frame in frames):
        each = [_count_range(np.unique(frame)) for frame in frames]
        if all(each):
            counts = np.stack([_unstretch(frame, n) for frame, n in zip(frames, each, strict=True) if n])
            reach = f"{min(filter(None, each))} to {max(filter(None, each))}"
            remark = (
                f"each frame was stretched to 16 bits by itself; restored to counts ({reach} of them), of which each "
                "frame's own smallest is lost"
            )
            return Restored(counts, remark)
    values = np.unique(frames)
    if values[0] != 0 or values[-1] != _FULL:
        return None
    together = _count_range(values)
    if together is None:
        return None
    remark = f"the frames were stretched to 16 bits together; restored to counts ({together} of them), of which the "
    return Restored(_unstretch(frames, together), remark + "smallest is lost")


def _count_range(values: UInt16[np.ndarray, "levels"]) -> int | None:
    """N, the counts that grey levels from 0 to 65535 reach over; None where none explains them."""
    if len(values) < _FEWEST_LEVELS:
        return None
    gap = int(np.diff(values.astype(np.int64)).min())
    if gap < 2:
        return None
    # The smallest gap is one count, rounded at both its ends.
    candidates = range(int(np.ceil(_FULL / (gap + 1))), int(np.floor(_FULL / (gap - 1))) + 1)
    explaining = [n for n in candidates if 2 * n < _FULL and _explains(values, n)]
    return explaining[0] if len(explaining) == 1 else None


def _explains(values: UInt16[np.ndarray, "levels"], n: int) -> bool:
    """Whether every grey level is what one of 0 to n counts became, by one of the roundings."""
    step = _FULL / n
    exact: Float[np.ndarray, "levels"] = np.rint(values / step) * step
    beyond = values - exact
    rounded = np.abs(beyond) <= 0.5 + 1e-6
    if rounded.all():
        return True
    upwards = np.ceil(values / step - 1e-9) * step  # of what was cut off, the counts are at or just above
    return bool(np.all((upwards - values >= -1e-6) & (upwards - values < 1.0)))


def _unstretch(frames: np.ndarray, n: int) -> np.ndarray:
    """Counts above the smallest, whichever way the pixels were rounded."""
    step = _FULL / n
    rounded = np.rint(frames / step)
    if np.abs(frames - rounded * step).max() > 0.5 + 1e-6:
        rounded = np.ceil(frames / step - 1e-9)
    return rounded.astype(np.uint16)

"""Checks of raw SIM pixels before anything is computed from them.

Contract: pixels no reconstruction can use are an `InputError`; pixels it can use but the user should know about are one
line of warning each.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Real

from oidn_jax.acquisition.time_stamp import unstamped
from oidn_jax.data.raw_stack import RawStack
from oidn_jax.errors import InputError

# Full scale of the 12 and 14 bit cameras that store into 16 bit.
_CAMERA_CEILINGS = (4095, 16383)
_SATURATED_FRACTION = 1e-4
_ORDER_CHECK_SIDE = 512
ORDER_DOUBT = "the frame order is doubtful"
OTHER_ORDER = "try apz (orientation fast) as `frame_order`, or paz (phase fast) where that was given"
_LARGEST = 1e12


@dataclass(frozen=True)
class PixelSurvey:
    """What one pass over all frames tells.

    Attributes:
        means: of each frame.
        darkest: smallest pixel of all.
        full_scale: the largest value a pixel can have, if pixels have reached it: the largest value of the dtype, or
            4095 or 16383 when that is exactly the largest value in the stack. None for floats.
        saturated: fraction of the pixels at full scale.
    """

    means: Float[np.ndarray, "time frames"]
    darkest: float
    full_scale: int | None
    saturated: float


def survey_pixels(stack: RawStack) -> PixelSurvey:
    """Looks at every pixel of a stack but those of time stamps, one time point at a time.

    Raises:
        InputError: pixels that `check_frames` refuses.
    """
    stack = unstamped(stack)
    means = np.zeros(stack.shape[:2])
    is_integer = stack.dtype.kind in "ui"
    largest, at_largest, darkest = None, 0, math.inf
    for time in range(stack.shape[0]):
        frames = stack.read(time)
        check_frames(frames, time=time, source=stack.source)
        means[time] = frames.mean(axis=(1, 2), dtype=np.float64)
        darkest = min(darkest, float(frames.min()))
        if is_integer:
            if largest is None or frames.max() > largest:
                largest, at_largest = int(frames.max()), 0
            at_largest += np.count_nonzero(frames == largest)
    if largest is not None and largest in (np.iinfo(stack.dtype).max, *_CAMERA_CEILINGS):
        return PixelSurvey(means, darkest, largest, at_largest / math.prod(stack.shape))
    return PixelSurvey(means, darkest, None, 0.0)


def check_frames(frames: Real[np.ndarray, "frames y x"], *, time: int, source: Path) -> None:
    """Refuses frames of which no method can make an image.

    Args:
        frames: of one time point, as stored.
        time: which, for the message.
        source: what the message calls them.

    Raises:
        InputError: a pixel is NaN, infinite or beyond 1e12 (the power of a spectrum would not fit into float32), or a
            frame has one value everywhere.
    """
    # In float64, where neither a float16 nor the limit overflows.
    wild = frames.dtype.kind == "f" and ~(np.abs(frames, dtype=np.float64) <= _LARGEST)
    if np.any(wild):
        frame, y, x = np.argwhere(wild)[0].tolist()
        raise InputError(
            f"{source} has {np.count_nonzero(wild)} pixels that are NaN, infinite or beyond {_LARGEST:g} at time "
            f"{time}, the first in frame {frame}, y {y}, x {x} (counted from 0); replace them before reconstruction"
        )
    constant = frames.min(axis=(1, 2)) == frames.max(axis=(1, 2))
    if constant.any():
        frame = int(np.argmax(constant))
        raise InputError(
            f"{source} has {np.count_nonzero(constant)} frames of one value everywhere at time {time}, the first is "
            f"frame {frame} (counted from 0, value {frames[frame, 0, 0]}); every frame must hold an image: record it "
            "again"
        )


def check_pixels(
    stack: RawStack, *, orientations: int = 3, phases: int = 3, survey: PixelSurvey | None = None
) -> list[str]:
    """Checks the pixels of a raw stack.

    Warnings are given for

    - a time stamp of the camera in the frames, of which no other check sees anything;
    - saturation: more than 1e-4 of the pixels of an integer stack at full scale;
    - doubtful frame order, judged at the first time point in the central 512 x 512 pixels. Evenly spaced phases sum to
      the widefield image, the same for every orientation; in the wrong order the sums keep stripes. So the detail
      (frame minus its 5 x 5 mean, where stripes live) of the orientations' mean frames must correlate at least as well
      as in the other order. Where it does not, the warning is given if the difference is beyond chance, or if frames
      of one orientation also resemble each other more in the other order. The second sign alone proves nothing: in an
      ideal acquisition frames shifted by 120 degrees resemble each other less than frames of different orientations.

    Args:
        stack: the raw stack.
        orientations: number of illumination directions.
        phases: number of phases per direction.
        survey: what `survey_pixels` gave for the stack, if somebody has asked already.

    Returns:
        The warnings, one line each; empty when there is nothing to say.

    Raises:
        InputError: pixels that `check_frames` refuses.
        ValueError: the stack does not have orientations * phases frames.
    """
    count = stack.shape[1]
    if count != orientations * phases:
        raise ValueError(
            f"the stack has {count} frames per time point, but `orientations` is {orientations} and `phases` is "
            f"{phases}; give the numbers it was opened with"
        )
    stack = unstamped(stack)
    survey = survey_pixels(stack) if survey is None else survey
    first, stamp = stack.read_and_tell(0)
    warnings = (_stamp(stamp), _saturation(stack, survey), _frame_order(first, orientations, phases))
    return [warning for warning in warnings if warning is not None]


def _stamp(stamp: Bool[np.ndarray, "y x"]) -> str | None:
    if not stamp.any():
        return None
    height, width = (int(np.flatnonzero(stamp.any(axis=axis))[-1]) + 1 for axis in (1, 0))
    return (
        f"the camera's time stamp, in the upper {height} rows as far as column {width}, is replaced by the mirror "
        "image of what is below it; nothing there is real"
    )


def _saturation(stack: RawStack, survey: PixelSurvey) -> str | None:
    if survey.saturated <= _SATURATED_FRACTION:
        return None
    return (
        f"{100 * survey.saturated:.2g} % of the pixels are saturated (value {survey.full_scale}); "
        "structures there are not reliable: record with less light or a shorter exposure"
    )


def _frame_order(first: Real[np.ndarray, "frames y x"], orientations: int, phases: int) -> str | None:
    if orientations < 2 or phases < 2:
        return None
    frames = central(first, _ORDER_CHECK_SIDE).astype(np.float64)
    detail = (frames - _local_mean(frames)).reshape(len(frames), -1)
    frames = frames.reshape(len(frames), -1)
    index = np.arange(len(frames))
    ours, other = index // phases, index % orientations
    detail_gain = _correlation_of_group_means(detail, other) - _correlation_of_group_means(detail, ours)
    frames_gain = _excess_correlation(frames, other) - _excess_correlation(frames, ours)
    # Three standard errors of a correlation: frames of pure noise favour one order or the other by chance.
    if detail_gain <= 0 or max(detail_gain, frames_gain) < 3 / np.sqrt(frames.shape[1]):
        return None
    return (
        f"{ORDER_DOUBT}: the other one fits the stripes better (the correlation of the "
        f"orientations' widefield detail rises by {detail_gain:.3f}, that of frames of one orientation by "
        f"{frames_gain:.3f}); {OTHER_ORDER}"
    )


def central(frames: Real[np.ndarray, "frames y x"], side: int) -> Real[np.ndarray, "frames y2 x2"]:
    """Cuts out the central side x side pixels, or as many as there are."""
    top, left = (max(0, length - side) // 2 for length in frames.shape[1:])
    return frames[:, top : top + side, left : left + side]


def _local_mean(frames: np.ndarray) -> np.ndarray:
    """Averages over 5 x 5 pixels, wrapping at the edges."""
    for axis in (1, 2):
        frames = sum((np.roll(frames, shift, axis) for shift in range(-2, 3)), np.zeros_like(frames)) / 5
    return frames


def _correlation_of_group_means(frames: np.ndarray, group: np.ndarray) -> float:
    """Averages the correlations between the mean frames of different groups."""
    means = np.stack([frames[group == g].mean(axis=0) for g in np.unique(group)])
    return float(np.corrcoef(means)[np.triu_indices(len(means), 1)].mean())


def _excess_correlation(frames: np.ndarray, group: np.ndarray) -> float:
    """Computes the mean correlation of frames within a group minus that of frames of different groups."""
    correlation = np.corrcoef(frames)
    same = group[:, None] == group[None, :]
    return float(correlation[same & ~np.eye(len(group), dtype=bool)].mean() - correlation[~same].mean())

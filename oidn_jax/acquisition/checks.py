"""Checks of raw SIM pixels before anything is computed from them.

Contract: pixels no reconstruction can use are an `InputError`; pixels it can use but the user should know about are one
line of warning each.
"""

import numpy as np

from oidn_jax.errors import InputError
from oidn_jax.data.raw_stack import RawStack

# Full scale of the 12 and 14 bit cameras that store into 16 bit.
_CAMERA_CEILINGS = (4095, 16383)
_SATURATED_FRACTION = 1e-4
_ORDER_CHECK_SIDE = 512


def check_pixels(stack: RawStack, *, orientations: int = 3, phases: int = 3) -> list[str]:
    """Checks the pixels of a raw stack.

    Warnings are given for

    - saturation: more than 1e-4 of the pixels of an integer stack at full scale, which is the largest value of the
      dtype, or 4095 or 16383 when that is exactly the largest value found;
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

    Returns:
        The warnings, one line each; empty when there is nothing to say.

    Raises:
        InputError: a pixel is NaN or infinite, or a frame has one value everywhere.
        ValueError: the stack does not have orientations * phases frames.
    """
    if stack.frames.shape[1] != orientations * phases:
        raise ValueError(
            f"the stack has {stack.frames.shape[1]} frames per time point, but orientations={orientations} and "
            f"phases={phases}; give the numbers it was read with"
        )
    _refuse_not_finite(stack)
    _refuse_constant(stack)
    warnings = (_saturation(stack), _frame_order(stack, orientations, phases))
    return [warning for warning in warnings if warning is not None]


def _refuse_not_finite(stack: RawStack) -> None:
    bad = ~np.isfinite(stack.frames)
    if bad.any():
        time, frame, y, x = (int(i) for i in np.unravel_index(bad.argmax(), bad.shape))
        raise InputError(
            f"{stack.source} has {int(bad.sum())} NaN or infinite pixels, the first at time {time}, frame {frame}, "
            f"y {y}, x {x} (counted from 0); replace them before reconstruction"
        )


def _refuse_constant(stack: RawStack) -> None:
    constant = stack.frames.min(axis=(2, 3)) == stack.frames.max(axis=(2, 3))
    if constant.any():
        time, frame = (int(i) for i in np.unravel_index(constant.argmax(), constant.shape))
        raise InputError(
            f"{stack.source} has {int(constant.sum())} frames of one value everywhere, the first at time {time}, "
            f"frame {frame} (counted from 0, value {stack.frames[time, frame, 0, 0]}); every frame must hold an image: "
            "record it again"
        )


def full_scale(stack: RawStack) -> tuple[int | None, float]:
    """Finds full scale if pixels have reached it (`check_pixels` says what it is), and the fraction of them at it."""
    if stack.frames.dtype.kind not in "ui":
        return None, 0.0
    ceiling = int(stack.frames.max())
    if ceiling not in (np.iinfo(stack.frames.dtype).max, *_CAMERA_CEILINGS):
        return None, 0.0
    return ceiling, np.count_nonzero(stack.frames == ceiling) / stack.frames.size


def _saturation(stack: RawStack) -> str | None:
    ceiling, fraction = full_scale(stack)
    if fraction <= _SATURATED_FRACTION:
        return None
    return (
        f"{stack.source}: {100 * fraction:.2g} % of the pixels are saturated (value {ceiling}); structures there are "
        "not reliable: record with less light or a shorter exposure"
    )


def _frame_order(stack: RawStack, orientations: int, phases: int) -> str | None:
    if orientations < 2 or phases < 2:
        return None
    top, left = (max(0, side - _ORDER_CHECK_SIDE) // 2 for side in stack.frames.shape[2:])
    window = np.s_[top : top + _ORDER_CHECK_SIDE, left : left + _ORDER_CHECK_SIDE]
    frames = stack.frames[0][:, *window].astype(np.float64)
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
        f"{stack.source}: the frame order is doubtful: the other one fits the stripes better (the correlation of the "
        f"orientations' widefield detail rises by {detail_gain:.3f}, that of frames of one orientation by "
        f"{frames_gain:.3f}); try the other --frame-order (orientation-phase, phase-orientation)"
    )


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

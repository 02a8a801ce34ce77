"""The part of the frames that holds light, where it is no rectangle: a round field stop, a registration that rotated.

Such a part is convex, and one that leaves anything out leaves out a corner of the field. So for each corner and each
orientation the pixels that differ from it are looked at: whose mean of the frames differs from the level of the corner
by more than 5 times the error of that mean, the noise being that of the corner's 3 x 3 pixels. It is none in padding,
whose level may be any; then all that differs counts. The convex hull of these pixels is the lit part, if its outline is

- lit along most of its length, which that around a specimen is not;
- a step: with D_k the median difference from the corner's level, k pixels inwards from the outline, D_-1 < 0.22 D_0 and
  D_0 > 0.4 D_k for k from 1 to 3. What an objective draws rises by less where it is strong, and where it rises faster
  it is weak.
"""

import numpy as np
from jaxtyping import Bool, Float, Real, UInt8

_SURE = 5.0
_CORNER = 3
_ROUNDING = 1e-6
_NEIGHBOURS = 3  # of 8, that a lit pixel has at least; noise has none
_LEAST_RIM = 0.01  # of the field
_ALONG = 0.6
_BEFORE, _AFTER, _SHELLS = 0.22, 0.4, 3


def find_lit_shape(frames: Real[np.ndarray, "orientations phases h w"]) -> Bool[np.ndarray, "h w"]:
    """The pixels that are lit in every orientation; all of them where no rim shows.

    Args:
        frames: without defects of the camera.
    """
    lit = np.ones(frames.shape[2:], bool)
    for each in frames:
        mean = each.mean(0, dtype=np.float64)
        for y, x in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            view = np.s_[::y, ::x]
            lit[view] &= _unlike_the_corner(mean[view], each[:, ::y, ::x][:, :_CORNER, :_CORNER])
    return lit


def largest_rectangle(lit: Bool[np.ndarray, "h w"]) -> tuple[slice, slice]:
    """Rows and columns of the largest rectangle within a convex part.

    From row a to row b its columns are limited by those two rows alone, because the part is convex.
    """
    rows = np.flatnonzero(lit.any(1))
    left, right = lit[rows].argmax(1), lit.shape[1] - lit[rows, ::-1].argmax(1)
    width = np.minimum.outer(right, right) - np.maximum.outer(left, left)
    height = 1 + np.subtract.outer(rows, rows)
    last, first = np.unravel_index(np.argmax(np.maximum(width, 0) * np.maximum(height, 0)), width.shape)
    columns = slice(int(max(left[first], left[last])), int(min(right[first], right[last])))
    return slice(int(rows[first]), int(rows[last]) + 1), columns


def _unlike_the_corner(
    mean: Float[np.ndarray, "h w"], corner: Real[np.ndarray, "phases corner corner"]
) -> Bool[np.ndarray, "h w"]:
    """What a rim that begins in the first corner leaves; everything where there is none."""
    level = np.median(corner.astype(np.float64), (1, 2), keepdims=True)
    error = np.sqrt(np.mean((corner - level) ** 2) / len(corner))
    light = np.abs(mean - level.mean())
    lit = light > max(_SURE * error, _ROUNDING * np.abs(level).max())
    lit &= _with_neighbours(lit) > _NEIGHBOURS
    shape = _convex(lit)
    rim = np.count_nonzero(~shape) >= _LEAST_RIM * shape.size
    return shape if rim and _is_cut_off(lit, light, shape) else np.ones_like(shape)


def _is_cut_off(lit: Bool[np.ndarray, "h w"], light: Float[np.ndarray, "h w"], shape: Bool[np.ndarray, "h w"]) -> bool:
    """Whether the light ends at the outline of a shape."""
    shells, part = [~shape & ~_eroded(~shape)], shape
    for _ in range(_SHELLS + 1):
        smaller = _eroded(part)
        shells.append(part & ~smaller)
        part = smaller
    if not all(shell.any() for shell in shells):
        return False
    before, first, *after = (float(np.median(light[shell])) for shell in shells)
    return bool(lit[shells[1]].mean() >= _ALONG and before < _BEFORE * first and first > _AFTER * max(after))


def _eroded(part: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Without the pixels that have one outside above, below, left or right; the field's own edge is none."""
    padded = np.pad(part, 1, constant_values=True)
    return part & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def _with_neighbours(lit: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """How many of 3 x 3 pixels are lit."""
    padded = np.pad(lit, 1).astype(np.uint8)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]


def _convex(lit: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The pixels of the convex hull."""
    rows, columns = np.flatnonzero(lit.any(1)), np.arange(lit.shape[1])
    hull = np.zeros_like(lit)
    if rows.size:
        left = _lower_envelope(rows, lit[rows].argmax(1))
        right = -_lower_envelope(rows, lit[rows, ::-1].argmax(1) - lit.shape[1] + 1)
        inside = (columns >= left[:, None] - _ROUNDING) & (columns <= right[:, None] + _ROUNDING)
        hull[rows[0] : rows[-1] + 1] = inside
    return hull


def _lower_envelope(x: Real[np.ndarray, "points"], y: Real[np.ndarray, "points"]) -> Float[np.ndarray, "range"]:
    """The largest convex function below some points, at each whole number from the first x to the last."""
    kept: list[tuple[int, int]] = []
    for point in zip(x.tolist(), y.tolist(), strict=True):
        while len(kept) > 1 and _turns_up(kept[-2], kept[-1], point) <= 0:
            kept.pop()
        kept.append(point)
    corners = np.array(kept, float)
    return np.interp(np.arange(x[0], x[-1] + 1), corners[:, 0], corners[:, 1])


def _turns_up(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> int:
    """Above 0 where the slope from a to b is less than that from b to c."""
    return (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])

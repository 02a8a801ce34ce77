"""Defects of the camera, found in the mean of all frames: pixels, clusters of pixels, columns and rows.

Light through an objective is at least as wide as its point spread function, which no defect is: what stands out from
its surroundings by more than these differ among themselves is none of the object's doing.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Real
from scipy.ndimage import minimum_filter

# An in-focus point of light is wider than a pixel: it stands out from its neighbours by less than three times what they
# differ. Dark gaps between structures are shallower.
_TIMES_RANGE, _TIMES_RANGE_DARK, _TIMES_NOISE = 3.0, 2.0, 8.0
# The steeper flanks of a point of light, seen from several of its pixels together.
_CLUSTER_TIMES_RANGE, _LARGEST_CLUSTER = 6.0, 9
_WIDE_POINTS = 0.5  # cutoff, cycles per pixel, below which a point of light is wider than a cluster
_SHARP, _SHARP_SIDES = 0.7, 3  # a cluster's outline falls by most of its height, towards three pixels at once

# Of one line and of two side by side: times what the lines beside them differ. For parts of a line twice that.
_WIDTHS, _PART_STRICTER = {1: 1.5, 2: 6.0}, 2.0
# Times the percentile of what lines nearby stand out, as they do where phases that are not even leave stripes.
_TIMES_USUAL, _USUAL = 5.0, 60
_NEARBY = 24
_LINE_ERRORS, _PART_ERRORS = 6.0, 8.0
_PART = 32  # pixels of a line that are enough to judge
_ALONG = 4
_UNIFORM = 0.3  # by how much of it the excess of a line may vary along it
_MAD = 1.4826
_OPPOSITE = ((1, 6), (3, 4))  # above and below, left and right, among the 8 neighbours


@dataclass(frozen=True)
class DefectiveLine:
    """A column or a row of the sensor, or a part of it, that differs from its neighbours.

    Attributes:
        kind: "column" or "row".
        index: which, from 0.
        start: first pixel of it that differs.
        stop: the pixel after the last one.
        length: of the whole column or row.
        counts: by how much it is brighter than its neighbours.
        follows: whether it sees the light as they do, so that subtracting the counts mends it.
    """

    kind: str
    index: int
    start: int
    stop: int
    length: int
    counts: float
    follows: bool

    @property
    def where(self) -> tuple[slice | int, slice | int]:
        """Its pixels, (y, x)."""
        along = slice(self.start, self.stop)
        return (along, self.index) if self.kind == "column" else (self.index, along)

    def __str__(self) -> str:
        part = "" if self.stop - self.start == self.length else f" (pixels {self.start} to {self.stop - 1})"
        return f"{self.kind} {self.index}{part} by {self.counts:+.3g}"


@dataclass(frozen=True)
class Defects:
    """What is wrong with a sensor.

    Attributes:
        pixels: those whose value says nothing: hot or dead ones, and lines that do not follow the light.
        lines: columns and rows.
        offset: counts to subtract, of lines that follow the light.
    """

    pixels: Bool[np.ndarray, "y x"]
    lines: tuple[DefectiveLine, ...]
    offset: Float32[np.ndarray, "y x"]

    def describe(self) -> list[str]:
        """One line of warning for each kind that there is."""
        warnings, alone = [], self.pixels.copy()
        for line in self.lines:
            alone[line.where] = False
        if alone.any():
            warnings.append(
                f"{np.count_nonzero(alone)} hot or dead pixels are replaced by the median of their neighbours"
            )
        for follows, remedy in ((True, "this is subtracted"), (False, "they are replaced by their neighbours")):
            lines = [str(line) for line in self.lines if line.follows == follows]
            if lines:
                more = f" and {len(lines) - 6} more" if len(lines) > 6 else ""
                warnings.append(
                    "of the camera's columns and rows (counted from 0) some differ from their neighbours, in counts: "
                    f"{', '.join(lines[:6])}{more}; {remedy}"
                )
        return warnings


def find_defects(
    frames: Real[np.ndarray, "frames y x"], *, cutoff: float, variance: Float[np.ndarray, "y x"] | None = None
) -> Defects:
    """Lines first, as they hide pixels; then pixels and clusters of up to 9 in what is left.

    *Columns and rows.* The median along a line of its difference from the mean of the two beside it must be beyond 6
    errors of that median, 1.5 times what the lines beside it differ from each other and from their own outer
    neighbours, and 5 times what three in five of the lines nearby have. So a straight filament, an edge and stripes
    along an axis are none. Two lines side by side (6 times) and parts of 32 pixels and more (8 errors, 3 or 12 times)
    are found likewise. The two outermost lines at each edge are not judged.

    *Pixels.* A pixel is defective if it lies above the second largest of its 8 neighbours by more than 3 times what
    this one and the second smallest differ, or below the second smallest by more than 2 times that, plus 8 times the
    noise (the scaled median deviation of pixels from the median of their neighbours). So two defects may touch. The
    outermost pixels, which lack neighbours, are not judged.

    *Clusters.* The same for 3 to 9 touching pixels and the ring of pixels around all of them, with 6 times the range.
    A point of light reaches 3.5 times where the cutoff is half a cycle per pixel, and more beyond: there clusters are
    not looked for. As a single pixel it reaches 1.9 times at the largest cutoff, 0.65.

    Args:
        frames: as stored.
        cutoff: of the OTF, cycles per raw pixel.
        variance: of each pixel without light, counts squared, where it is known: a pixel that is noisier than others
            may stand out by as much more.
    """
    mean = frames.mean(axis=0, dtype=np.float64)
    lines = _find_lines(frames, mean)
    offset, pixels = np.zeros(mean.shape, np.float32), np.zeros(mean.shape, bool)
    for line in lines:
        if line.follows:
            offset[line.where] += line.counts
        else:
            pixels[line.where] = True
    level = fill((mean - offset)[None], pixels)[0]
    around = _neighbours(level[None])[:, 0]
    ordered = np.sort(around, axis=0)
    noise = np.full(level.shape, _noise(level - np.median(around, axis=0)))
    if variance is not None:
        noise = np.sqrt(noise**2 + np.maximum(variance - np.median(variance), 0.0) / len(frames))
    pixels |= _standing_out(level, ordered[1], ordered[-2], noise)
    for sign in (1.0, -1.0) if cutoff < _WIDE_POINTS else ():
        pixels |= _find_clusters(sign * level, noise)
    return Defects(pixels, tuple(lines), offset)


def repair(frames: Real[np.ndarray, "frames y x"], defects: Defects) -> Real[np.ndarray, "frames y x"]:
    """Frames without the offsets of lines and with the median of their good neighbours at defective pixels.

    Others are untouched. The type is kept, unless offsets are subtracted, which makes it float32.
    """
    if defects.offset.any():
        frames = frames.astype(np.float32) - defects.offset
    return fill(frames, defects.pixels)


def _standing_out(level: np.ndarray, low: np.ndarray, high: np.ndarray, noise: np.ndarray) -> Bool[np.ndarray, "y x"]:
    between, least = high - low, _TIMES_NOISE * noise
    stands_out = (level - high > _TIMES_RANGE * between + least) | (low - level > _TIMES_RANGE_DARK * between + least)
    inner = np.pad(np.ones((level.shape[0] - 2, level.shape[1] - 2), bool), 1)
    return stands_out & inner


def _noise(deviation: Float[np.ndarray, "y x"]) -> float:
    # Where most pixels were set to one value, as by a background that was subtracted and cut off, only the others tell.
    varied = deviation[deviation != 0]
    return float(_MAD * np.median(np.abs(varied - np.median(varied)))) if varied.size else 0.0


def _find_clusters(level: Float[np.ndarray, "y x"], noise: Float[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Bright clusters: grown from pixels with a sharp outline, the brightest neighbour first."""
    height = level - minimum_filter(level, 7)
    drop = level - np.sort(_neighbours(level[None])[:, 0], axis=0)[_SHARP_SIDES - 1]
    seeds = (drop > _SHARP * height) & (height > 2 * _TIMES_NOISE * noise)
    seeds[[0, -1]] = seeds[:, [0, -1]] = False
    defective = np.zeros(level.shape, bool)
    for y, x in np.argwhere(seeds).tolist():
        seed = y, x
        cluster = None if defective[seed] else _grow(level, seed, float(noise[seed]))
        if cluster is not None:
            defective[tuple(np.transpose(cluster))] = True
    return defective


def _grow(level: Float[np.ndarray, "y x"], seed: tuple[int, int], noise: float) -> list[tuple[int, int]] | None:
    """The cluster that a pixel is of, or None."""
    h, w = level.shape
    cluster, ring = [seed], set[tuple[int, int]]()
    while True:
        y, x = cluster[-1]
        if not (0 < y < h - 1 and 0 < x < w - 1):
            return None
        ring |= {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} - set(cluster)
        ordered = sorted(level[place] for place in ring)
        least = min(level[place] for place in cluster)
        low, high = ordered[1], ordered[-2]
        if len(cluster) >= 3 and least - high > _CLUSTER_TIMES_RANGE * (high - low) + _TIMES_NOISE * noise:
            return cluster
        if len(cluster) == _LARGEST_CLUSTER:
            return None
        brightest = max(ring, key=lambda place: level[place])
        ring.remove(brightest)
        cluster.append(brightest)


def _find_lines(frames: Real[np.ndarray, "frames y x"], mean: Float[np.ndarray, "y x"]) -> list[DefectiveLine]:
    defective = []
    for kind, turned, stack in (("column", mean, frames), ("row", mean.T, frames.swapaxes(1, 2))):
        length, count = turned.shape
        if count < _NEARBY:
            continue
        windows = [(slice(0, length), _LINE_ERRORS, 1.0)]
        if length >= 2 * _PART:
            starts = range(0, length - _PART + 1, _PART // 2)
            windows += [(slice(start, start + _PART), _PART_ERRORS, _PART_STRICTER) for start in starts]
        judged = set[int]()
        for window, errors, stricter in windows:
            for width, times in _WIDTHS.items():
                for index in _odd_lines(turned[window], width, errors=errors, times=stricter * times):
                    for inner in set(range(index, index + width)) - judged:
                        judged.add(inner)
                        beside = (index - 1, index + width)
                        defective.append(_judge_line(kind, inner, beside, window, stack, turned))
    return sorted((line for line in defective if line is not None), key=lambda line: (line.kind, line.index))


def _odd_lines(part: Float[np.ndarray, "y x"], width: int, *, errors: float, times: float) -> list[int]:
    """The first of each `width` columns that stand out together, in a window of an image."""
    first = np.arange(2, part.shape[1] - width - 1)
    beside = (part[:, first - 1] + part[:, first + width]) / 2
    excess, error = [], []
    for i in range(width):
        difference = part[:, first + i] - beside
        excess.append(np.median(difference, axis=0))
        error.append(_error_of_median(difference))
    least = np.abs(excess).min(0) * (np.abs(np.sign(excess).sum(0)) == width)
    error = np.maximum(np.max(error, axis=0), np.median(error))
    # Averaged along the line, which lowers noise more than structures; of these medians alone would cancel.
    rows = len(part) // _ALONG * _ALONG
    averaged = part[:rows].reshape(-1, _ALONG, part.shape[1]).mean(1)
    differences = [
        np.median(np.abs(averaged[:, a] - averaged[:, b]), axis=0)
        for a, b in ((first - 1, first - 2), (first + width, first + width + 1), (first - 1, first + width))
    ]
    odd = (least > errors * error) & (least > times * np.max(differences, axis=0))
    chosen = []
    for place in np.flatnonzero(odd):
        nearby = least[max(0, min(place - _NEARBY // 2, len(least) - _NEARBY)) :][:_NEARBY]
        if least[place] > _TIMES_USUAL * np.percentile(nearby, _USUAL):
            chosen.append(int(first[place]))
    return chosen


def _judge_line(
    kind: str,
    index: int,
    beside: tuple[int, int],
    window: slice,
    frames: Real[np.ndarray, "frames y x"],
    mean: Float[np.ndarray, "y x"],
) -> DefectiveLine | None:
    """How far a line differs along itself, and by how much; None where it is the object that differs.

    A defect adds the same counts everywhere along a line, or does not follow the light from frame to frame: it varies
    less than half as much as its neighbours there (a stuck line), or more than twice as much (a wild one).
    """
    left, right = beside
    length = mean.shape[0]
    difference = mean[:, index] - (mean[:, left] + mean[:, right]) / 2
    start, stop = _extent(difference / np.median(difference[window]))
    if stop - start < _PART // 2:
        return None
    counts = float(np.median(difference[start:stop]))
    own, left_one, right_one = (np.median(frames[:, start:stop, i].std(0)) for i in (index, left, right))
    if not 0.5 < own / max((left_one + right_one) / 2, 1e-12) < 2.0:
        return DefectiveLine(kind, index, start, stop, length, counts, follows=False)
    for part in np.array_split(difference[start:stop], 4):
        if abs(np.median(part) - counts) > _UNIFORM * abs(counts) + 2.0 * _error_of_median(part):
            return None
    return DefectiveLine(kind, index, start, stop, length, counts, follows=True)


def _error_of_median(values: Float[np.ndarray, "n *columns"]) -> Float[np.ndarray, "*columns"] | np.floating:
    return 1.2533 * _MAD * np.median(np.abs(values - np.median(values, axis=0)), axis=0) / np.sqrt(len(values))


def _extent(relative: Float[np.ndarray, "n"]) -> tuple[int, int]:
    """Start and stop of the stretch where a difference is nearer to 1 than to 0; an end nearly reached is reached."""
    total = np.concatenate([[0.0], np.cumsum(np.clip(relative - 0.5, -1.0, 1.0))])
    lowest = np.minimum.accumulate(total)
    stop = int(np.argmax(total - lowest))
    start = int(np.argmin(total[: stop + 1]))
    near = len(relative) // 10
    return (0 if start <= near else start), (len(relative) if stop >= len(relative) - near else stop)


def fill(frames: Real[np.ndarray, "frames y x"], pixels: Bool[np.ndarray, "y x"]) -> Real[np.ndarray, "frames y x"]:
    """Frames in which pixels have the median of their good neighbours, from the outline of clusters inwards.

    Of a line, which has good neighbours on two sides only, the mean of the two.
    """
    if not pixels.any() or pixels.all():
        return frames
    filled, left = frames.copy(), pixels.copy()
    while left.any():
        good = ~_neighbours(left[None])[:, 0]
        ready = left & (good.sum(0) >= min(3, good.sum(0)[left].max()))
        values = _neighbours(filled)[..., ready].astype(np.float64)
        values[~np.broadcast_to(good[:, None, ready], values.shape)] = np.nan
        value = np.nanmedian(values, axis=0)
        pairs = [np.mean(values[list(pair)], axis=0) for pair in _OPPOSITE]
        one = np.isnan(pairs[0]) != np.isnan(pairs[1])
        value[one] = np.nansum(pairs, axis=0)[one]
        filled[:, ready] = value.astype(frames.dtype)
        left &= ~ready
    return filled


def _neighbours(frames: np.ndarray) -> np.ndarray:
    """The 8 pixels around each one, (8, frames, y, x), mirrored at the border."""
    h, w = frames.shape[1:]
    padded = np.pad(frames, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    places = [(y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1)]
    return np.stack([padded[:, y : y + h, x : x + w] for y, x in places])

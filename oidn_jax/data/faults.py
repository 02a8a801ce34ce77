"""What is wrong with measured pairs, one line each: what no header tells, too.

Contract: a fault names its file. Pixels are read once, a pair at a time, and not kept. Faults of a pair are those that
nothing can be learned of; what looks wrong only beside the others of its set (its size, its brightness, a copy) is
judged of all of them together.
"""

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Real, Shaped

from oidn_jax.data.biosr_tree import bright_raw
from oidn_jax.data.measured import check_sizes, open_raw, open_target
from oidn_jax.data.pairs import BIOSR, MeasuredSet, Pair, Recording
from oidn_jax.errors import InputError

_BLOCK = 4  # raw pixels, over which images are averaged before they are compared
_UNLIKE, _BETTER, _LIKE = 0.2, 0.3, 0.5  # correlations: of other fields; more when turned; of the same field
_DARKER = 0.8  # of the level below
_READERS = 4  # files at a time
_TURNS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "upside down": lambda image: image[::-1],
    "mirrored": lambda image: image[:, ::-1],
    "turned by 180 degrees": lambda image: image[::-1, ::-1],
    "transposed": lambda image: image.T if image.shape[0] == image.shape[1] else image,
}


class Fault(NamedTuple):
    """One line, and the name of the pair that it is about."""

    pair: str
    line: str


@dataclass(frozen=True)
class Examined:
    """A pair that was read.

    Attributes:
        pair: which.
        faults: what makes it unusable, one line each; the rest is empty then as far as it could not be read.
        size: (y, x) of the raw frames.
        pixel_size_nm: of the raw frames, as the file says.
        light: mean of the raw frames above their darkest thousandth, counts.
        digests: of the pixels of raw frames and target; copies have the same.
        alike: correlation of the target with the mean raw frame, in blocks.
        turned: the turn of the target that makes it most alike, and the correlation then.
        remarks: what was done to read it.
    """

    pair: Pair
    faults: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    pixel_size_nm: float | None = None
    light: float = 0.0
    digests: tuple[str, str] = ("", "")
    alike: float | None = None
    turned: tuple[str, float] = ("", 0.0)
    remarks: tuple[str, ...] = ()


def examine(pair: Pair, recording: Recording) -> Examined:
    """Opens and reads both files of a pair."""
    try:
        stack = open_raw(pair, recording)
        frames = stack.read(0)
    except InputError as error:
        return Examined(pair, (str(error),))
    faults, size = _pixel_faults(frames, pair.raw), (frames.shape[1], frames.shape[2])
    remarks = stack.images.remarks if pair.stretched else ()
    if pair.target is None:
        light = 0.0 if faults else _light(frames)
        return Examined(
            pair, tuple(faults), size, stack.pixel_size_nm, light, (_digest(frames), ""), remarks=tuple(remarks)
        )
    try:
        target_stack = open_target(pair)
        check_sizes(pair, stack, target_stack, recording)
        target = target_stack.read(0)
    except InputError as error:
        return Examined(pair, (*faults, str(error)), size, stack.pixel_size_nm, digests=(_digest(frames), ""))
    faults += _pixel_faults(target, pair.target)
    if faults:
        return Examined(pair, tuple(faults), size, stack.pixel_size_nm, digests=(_digest(frames), _digest(target)))
    alike, turned = _compare(frames, target[0], recording.scale)
    return Examined(
        pair,
        size=size,
        pixel_size_nm=stack.pixel_size_nm,
        light=_light(frames),
        digests=(_digest(frames), _digest(target)),
        alike=alike,
        turned=turned,
        remarks=tuple(remarks),
    )


def examine_all(
    pairs: Sequence[Pair], recording: Recording, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Examined]:
    """Every pair, a few files at a time; `progress` is called with how many are done and of all."""
    examined = []
    with ThreadPoolExecutor(_READERS) as readers:
        for result in readers.map(lambda pair: examine(pair, recording), pairs):
            examined.append(result)
            progress(len(examined), len(pairs))
    return examined


def faults_of_pairs(examined: Sequence[Examined]) -> list[Fault]:
    """What makes single pairs unusable."""
    return [Fault(each.pair.name, line) for each in examined for line in each.faults]


def faults_of_set(measured: MeasuredSet, examined: Sequence[Examined]) -> list[Fault]:
    """What looks wrong beside the others: sizes, copies, levels and targets that are those of others."""
    good = [each for each in examined if not each.faults]
    return [fault for judge in _JUDGES for fault in judge(measured, good)]


def doubts_of_set(measured: MeasuredSet, examined: Sequence[Examined]) -> list[Fault]:
    """What of `faults_of_set` is doubtful also where sizes may differ."""
    good = [each for each in examined if not each.faults]
    return [fault for judge in _JUDGES[1:] for fault in judge(measured, good)]


def _odd_sizes(_: MeasuredSet, examined: Sequence[Examined]) -> list[Fault]:
    counts = Counter(each.size for each in examined if each.size)
    if len(counts) < 2:
        return []
    usual = counts.most_common(1)[0][0]
    return [
        Fault(each.pair.name, f"{each.pair.raw} is {_times(each.size)} pixels, most of its set are {_times(usual)}")
        for each in examined
        if each.size and each.size != usual
    ]


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _copies(_: MeasuredSet, examined: Sequence[Examined]) -> list[Fault]:
    """Raw frames that are those of another pair; targets that are those of another cell."""
    first: dict[str, Examined] = {}
    faults = []
    for each in examined:
        before = first.setdefault(each.digests[0], each)
        if before is not each:
            faults.append(Fault(each.pair.name, f"{each.pair.raw} has the pixels of {before.pair.raw}: mislabelled"))
    targets: dict[str, Examined] = {}
    for each in (each for each in examined if each.digests[1]):
        before = targets.setdefault(each.digests[1], each)
        if before.pair.target != each.pair.target and (before.pair.cell != each.pair.cell or not each.pair.cell):
            line = f"{each.pair.target} has the pixels of {before.pair.target}: mislabelled"
            faults.append(Fault(each.pair.name, line))
    return faults


def _levels_out_of_order(_: MeasuredSet, examined: Sequence[Examined]) -> list[Fault]:
    cells = defaultdict(list)
    for each in examined:
        if each.pair.level:
            cells[each.pair.cell].append(each)
    faults = []
    for levels in cells.values():
        levels.sort(key=lambda each: each.pair.level)
        for below, above in itertools.pairwise(levels):
            if above.light < _DARKER * below.light:
                faults.append(
                    Fault(
                        above.pair.name,
                        f"{above.pair.raw} is darker than level {below.pair.level:02d} ({above.light:.3g} instead of "
                        f"{below.light:.3g} counts): one of them is mislabelled",
                    )
                )
    return faults


def _copies_of_the_bright(measured: MeasuredSet, examined: Sequence[Examined]) -> list[Fault]:
    """Raw frames that are those which the target was made of."""
    if measured.layout != BIOSR:
        return []
    faults = []
    for each in examined:
        bright = bright_raw(each.pair.raw)
        if bright is None or bright.stat().st_size != each.pair.raw.stat().st_size:
            continue
        try:
            same = _digest(open_raw(replace(each.pair, raw=bright), measured.recording).read(0)) == each.digests[0]
        except InputError:
            continue  # it is no input, and nobody needs it
        if same:
            faults.append(
                Fault(each.pair.name, f"{each.pair.raw} has the pixels of {bright}, which its target was made of")
            )
    return faults


def _other_targets(measured: MeasuredSet, examined: Sequence[Examined]) -> list[Fault]:
    """Targets that do not show what the raw frames show; of several levels the brightest is asked."""
    asked: dict[Path | None, Examined] = {}
    for each in (each for each in examined if each.alike is not None):
        before = asked.get(each.pair.target)
        if before is None or each.light > before.light:
            asked[each.pair.target] = each
    # A patch may hold hardly anything; a whole field does not.
    if measured.layout != BIOSR and np.median([each.alike or 0.0 for each in asked.values()] or [1.0]) > _UNLIKE:
        return []
    faults = []
    for target, each in asked.items():
        alike, (turn, better) = each.alike or 0.0, each.turned
        if better > max(alike + _BETTER, _LIKE):
            line = f"{target} is {turn} against {each.pair.raw} (correlation {better:.2f}, as it is {alike:.2f})"
            faults.append(Fault(each.pair.name, line))
        elif alike < _UNLIKE:
            line = f"{target} shows something else than {each.pair.raw} (correlation {alike:.2f}): mislabelled"
            faults.append(Fault(each.pair.name, line))
    return faults


_JUDGES = (_odd_sizes, _copies, _levels_out_of_order, _copies_of_the_bright, _other_targets)


def _pixel_faults(images: Shaped[np.ndarray, "images y x"], path: Path | None) -> list[str]:
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        return [f"{path} has {np.count_nonzero(~np.isfinite(images))} NaN or infinite pixels"]
    constant = [number for number, image in enumerate(images, start=1) if image.min() == image.max()]
    if not constant:
        return []
    which = f"image {constant[0]} of {len(images)}" if len(images) > 1 else "the image"
    more = f", and {len(constant) - 1} more are so" if len(constant) > 1 else ""
    return [f"{path} is empty: {which} has one value everywhere ({images[constant[0] - 1, 0, 0]}){more}"]


def _light(frames: Real[np.ndarray, "frames y x"]) -> float:
    mean = frames.mean(0, dtype=np.float32)
    return float(mean.mean() - np.quantile(mean, 0.001))


def _digest(images: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(images).tobytes(), digest_size=16).hexdigest()


def _compare(
    frames: Real[np.ndarray, "frames y x"], target: Real[np.ndarray, "y_sr x_sr"], scale: int
) -> tuple[float, tuple[str, float]]:
    """How much alike they are, and when the target is turned, the best turn."""
    coarse, fine = _blocks(frames.mean(0, dtype=np.float64), _BLOCK), _blocks(target, scale * _BLOCK)
    turned = {turn: _correlation(coarse, change(fine)) for turn, change in _TURNS.items()}
    best = max(turned, key=lambda turn: turned[turn])
    return _correlation(coarse, fine), (best, turned[best])


def _blocks(image: Real[np.ndarray, "y x"], side: int) -> np.ndarray:
    y, x = (length // side for length in image.shape)
    return image[: y * side, : x * side].astype(np.float64).reshape(y, side, x, side).mean((1, 3))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt(np.sum(a**2) * np.sum(b**2))
    return float(np.sum(a * b) / norm) if norm > 0 else 0.0

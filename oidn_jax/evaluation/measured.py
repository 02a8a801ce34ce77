"""Scenes from measured pairs: cells whose raw frames and target lie on disk, in the place of simulated ones."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from oidn_jax.data.faults import Examined
from oidn_jax.data.measured import read_pair
from oidn_jax.data.normalisation import fit_min_max
from oidn_jax.data.pairs import MeasuredSet, Pair
from oidn_jax.data.patch_folder import foreground_corners, to_uint16
from oidn_jax.evaluation.inventory import measure_photons
from oidn_jax.evaluation.scenes import Scenes
from oidn_jax.evaluation.settings import EvaluationSettings
from oidn_jax.simulation.settings import Simulation

GROUPS = ("low", "medium", "high")
_ALL = "all"  # the level of patches, of which nobody knows theirs


def fluorescence_groups(levels: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Levels, weakest first, in thirds: BioSR's 12 of F-actin, 9 and 6 become 4, 3 and 2 in each group.

    No table of the authors says which levels are low, medium and high fluorescence; fewer than three levels are groups
    of their own.
    """
    if len(levels) < len(GROUPS):
        return {level_name(level): (level,) for level in levels}
    parts = np.array_split(np.array(sorted(levels)), len(GROUPS))
    return {name: tuple(part.tolist()) for name, part in zip(GROUPS, parts, strict=True)}


def level_name(level: int) -> str:
    """As files and tables call it."""
    return f"level_{level:02d}" if level else _ALL


def validation_scenes(
    measured: MeasuredSet, pairs: Sequence[Pair], simulation: Simulation, settings: EvaluationSettings
) -> Scenes:
    """A part of the first `settings.scenes` cells, `settings.size` wide, on the foreground near the middle of each.

    The levels are grouped (`fluorescence_groups`), and the cells take those of a group in turn; cells that lack a
    level are left out while there are others.
    """
    by_cell = _complete(pairs)
    levels = sorted({level for of_cell in by_cell.values() for level in of_cell})
    groups = fluorescence_groups(levels)
    cells = list(by_cell)[: settings.scenes]
    wanted = {name: [numbers[i % len(numbers)] for i in range(len(cells))] for name, numbers in groups.items()}
    return _scenes(measured, {cell: by_cell[cell] for cell in cells}, wanted, simulation, size=settings.size)


def whole_scenes(
    measured: MeasuredSet, examined: Sequence[Examined], simulation: Simulation
) -> tuple[Scenes, list[str]]:
    """All of the cells at each of their levels, whole frames, and lines on what was left out.

    Args:
        measured: the set.
        examined: its pairs to test on, each with a target and without a fault.
        simulation: whose specimen and microscope they are of.
    """
    pairs = [each.pair for each in examined]
    by_cell = _complete(pairs)
    left_out = sorted({_cell_of(pair) for pair in pairs} - set(by_cell))
    lines = [f"{cell} is left out: it lacks levels that others have" for cell in left_out]
    levels = sorted({level for of_cell in by_cell.values() for level in of_cell})
    wanted = {level_name(level): [level] * len(by_cell) for level in levels}
    scenes = _scenes(measured, by_cell, wanted, simulation, size=None)
    light = measure_photons(measured, examined)
    photons = {} if light is None else light.photons
    scenes = replace(scenes, photons={level_name(level): photons.get(level, float("nan")) for level in levels})
    sizes = {each.size for each in examined}
    side = next(iter(scenes.raw_frames.values())).shape[1]
    if sizes != {(side, side)}:
        lines.append(f"the cells are of several sizes or not square; {side} x {side} raw pixels of each are compared")
    alone = {pair.level for pair in pairs} - set(levels)
    if alone:
        lines.append(f"levels that most cells lack are left out: {', '.join(map(str, sorted(alone)))}")
    return scenes, lines


def _cell_of(pair: Pair) -> str:
    return f"Cell_{pair.cell:03d}" if pair.cell else pair.name


def _complete(pairs: Sequence[Pair]) -> dict[str, dict[int, Pair]]:
    """Pairs by cell (patches: each its own) and level: the levels that most cells have, of the cells that have them."""
    by_cell: dict[str, dict[int, Pair]] = {}
    for pair in pairs:
        by_cell.setdefault(_cell_of(pair), {})[pair.level] = pair
    counts = Counter(frozenset(levels) for levels in by_cell.values())
    usual = max(counts, key=lambda levels: (counts[levels], len(levels)))
    whole = {cell: levels for cell, levels in by_cell.items() if usual <= set(levels)}
    return {cell: {level: levels[level] for level in sorted(usual)} for cell, levels in whole.items()}


def _scenes(
    measured: MeasuredSet,
    by_cell: dict[str, dict[int, Pair]],
    wanted: dict[str, list[int]],
    simulation: Simulation,
    *,
    size: int | None,
) -> Scenes:
    """Scenes of the cells at the levels that are wanted of each, by the name of the group."""
    scale = measured.recording.scale
    raw_frames: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    targets: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for number, levels in enumerate(by_cell.values()):
        corner: tuple[int, int] | None = None
        for name, of_cells in wanted.items():
            frames, target = read_pair(levels[of_cells[number]], measured.recording)
            side = min(frames.shape[1:]) if size is None else min(size, *frames.shape[1:])
            if corner is None:  # the same part at every level
                corner = _middle_of_the_foreground(target, side, scale)
            y, x = corner
            raw_frames[name].append(np.moveaxis(frames[:, y : y + side, x : x + side], 0, -1))
            fine = target[scale * y : scale * (y + side), scale * x : scale * (x + side)]
            targets[name].append(fine.astype(np.float32)[..., None])
    smallest = min(frames.shape[0] for of_level in raw_frames.values() for frames in of_level)
    frames = {name: np.stack([_middle(one, smallest) for one in some]) for name, some in raw_frames.items()}
    fine = {name: np.stack([_middle(one, scale * smallest) for one in some]) for name, some in targets.items()}
    normalised = {name: fit_min_max(some).apply(some)[..., 0].astype(np.float32) for name, some in fine.items()}
    return Scenes(
        specimen=simulation.specimen.name,
        label=simulation.specimen.label,
        microscope=simulation.microscope,
        raw_frames=frames,
        signal_level={name: tuple(numbers) for name, numbers in wanted.items()},
        photons={name: float("nan") for name in wanted},
        target=list(normalised.values())[-1],
        repeated_frames={},
        targets=normalised,
        names=tuple(by_cell),
    )


def _middle_of_the_foreground(target: np.ndarray, side: int, scale: int) -> tuple[int, int]:
    """The corner of the part, its centre on the foreground, that is nearest to the middle of the image."""
    corners = foreground_corners(to_uint16(target, "a target"), side, scale)
    middle = np.array([(length // scale - side) / 2 for length in target.shape])
    y, x = corners[np.argmin(((corners - middle) ** 2).sum(1))]
    return int(y), int(x)


def _middle(image: np.ndarray, side: int) -> np.ndarray:
    y, x = ((length - side) // 2 for length in image.shape[:2])
    return image[y : y + side, x : x + side]

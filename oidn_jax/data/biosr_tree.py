"""BioSR's tree as it is published: specimens, cells, levels, and of each level the raw file and its target.

```
ROOT/F-actin/Cell_001/            RawSIMData_level_01.mrc ...  RawSIMData_gt.mrc  SIM_gt.mrc
ROOT/F-actin_Nonlinear/Cell_001/  RawSIMData_level_01.mrc ... (25 frames)  SIM_gt_a.mrc  SIM_gt_b.mrc
ROOT/ER/Cell_001/                 RawSIMData/RawSIMData_level_01.mrc ...  GTSIM/GTSIM_level_01.mrc ...  RawGTSIMData/...
```

Contract: only `RawSIMData_level_NN` is ever raw data. `RawSIMData_gt`, from which the target was made, is none, nor is
`SIM_gt_b`, a target with a gamma, a target. The suffix may be .tif, as of a converted tree.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from oidn_jax.data.pairs import BIOSR, LINEAR, NONLINEAR, MeasuredSet, Pair, ranges, specimen_key

SPECIMEN_FOLDERS = ("F-actin", "F-actin_Nonlinear", "CCPs", "ER", "Microtubules")

_SUFFIXES = (".mrc", ".tif", ".tiff")  # the first that is there is taken
_CELL = re.compile(r"cell[_ -]?(\d+)", re.IGNORECASE)
_RAW = re.compile(r"RawSIMData_level_(\d+)", re.IGNORECASE)
_TARGET_OF_LEVEL = re.compile(r"GTSIM_level_(\d+)", re.IGNORECASE)
_RAW_FOLDER, _TARGET_FOLDER = "RawSIMData", "GTSIM"
_LINEAR_TARGET, _NONLINEAR_TARGET = "SIM_gt", "SIM_gt_a"


def cell_folders(folder: Path) -> dict[int, Path]:
    """Cells of a specimen's folder by their numbers."""
    cells = {}
    for path in sorted(folder.iterdir()):
        match = _CELL.fullmatch(path.name)
        if match and path.is_dir():
            cells.setdefault(int(match[1]), path)
    return cells


def find_specimen(folder: Path) -> MeasuredSet | None:
    """The pairs of a specimen's folder; None where it has no cells."""
    cells = cell_folders(folder)
    if not cells:
        return None
    name = specimen_name(folder)
    nonlinear = specimen_key(name).endswith("nonlinear") or _has_nonlinear_target(next(iter(cells.values())))
    by_cell = {cell: _levels(path) for cell, path in cells.items()}
    usual = sorted({level for levels in by_cell.values() for level in levels})
    pairs, missing = [], []
    for cell, path in cells.items():
        levels = by_cell[cell]
        if not levels:
            missing.append(f"{path} has no {_RAW_FOLDER}_level_NN.mrc")
            continue
        absent = set(usual) - set(levels)
        if absent:
            missing.append(f"{path} has no raw frames of level {ranges(absent)}, which other cells have")
        targets = _targets(path, nonlinear=nonlinear)
        without = [level for level in levels if targets.get(level, targets.get(0)) is None]
        missing += _missing_targets(path, without, of_level=bool(set(targets) - {0}), nonlinear=nonlinear)
        pairs += [
            Pair(
                f"{path.name} level {level:02d}",
                raw,
                targets.get(level, targets.get(0)),
                cell=cell,
                level=level,
            )
            for level, raw in sorted(levels.items())
        ]
    recording = NONLINEAR if nonlinear else LINEAR
    return MeasuredSet(folder, name, BIOSR, recording, tuple(pairs), tuple(missing))


def specimen_name(folder: Path) -> str:
    """The name of a specimen as BioSR writes it, where the folder's is one; else the folder's."""
    written = folder.absolute().name
    for name in (written, folder.resolve().name):  # a link may be called as it likes
        for known in SPECIMEN_FOLDERS:
            if specimen_key(known) == specimen_key(name):
                return known
    return written


def bright_raw(raw: Path) -> Path | None:
    """The acquisition that the target of a raw file was made of; None where it is not there."""
    match = _RAW.fullmatch(raw.stem)
    if match is None:
        return None
    names = (
        raw.with_name(f"RawSIMData_gt{raw.suffix}"),
        raw.parent.parent / "RawGTSIMData" / f"RawGTSIMData_level_{match[1]}{raw.suffix}",
    )
    return next((path for path in names if path.is_file()), None)


def _files(folder: Path, pattern: re.Pattern[str]) -> Iterator[tuple[int, Path]]:
    """Files whose name without the suffix matches, by the number in it; of one number the first of `_SUFFIXES`."""
    if not folder.is_dir():
        return
    files = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and not path.is_dir()]
    for path in sorted(files, key=lambda path: _SUFFIXES.index(path.suffix.lower()), reverse=True):
        match = pattern.fullmatch(path.stem)
        if match:
            yield int(match[1]), path


def _levels(cell: Path) -> dict[int, Path]:
    """Raw files of a cell, beside its target or in a folder of their own."""
    return dict(_files(cell, _RAW)) or dict(_files(cell / _RAW_FOLDER, _RAW))


def _targets(cell: Path, *, nonlinear: bool) -> dict[int, Path]:
    """Targets of a cell by level; the one of all levels by 0."""
    of_levels = dict(_files(cell / _TARGET_FOLDER, _TARGET_OF_LEVEL)) or dict(_files(cell, _TARGET_OF_LEVEL))
    if of_levels:
        return of_levels
    stem = _NONLINEAR_TARGET if nonlinear else _LINEAR_TARGET
    one = next((path for path in (cell / f"{stem}{suffix}" for suffix in _SUFFIXES) if path.is_file()), None)
    return {} if one is None else {0: one}


def _has_nonlinear_target(cell: Path) -> bool:
    linear, other = ((cell / f"{stem}.mrc").is_file() for stem in (_LINEAR_TARGET, _NONLINEAR_TARGET))
    return other and not linear


def _missing_targets(cell: Path, levels: list[int], *, of_level: bool, nonlinear: bool) -> list[str]:
    if not levels:
        return []
    if of_level or (cell / _TARGET_FOLDER).is_dir() or (cell / _RAW_FOLDER).is_dir():
        return [f"{cell} has no {_TARGET_FOLDER}_level_{level:02d}.mrc, the target of its level" for level in levels]
    return [f"{cell} has no {_NONLINEAR_TARGET if nonlinear else _LINEAR_TARGET}.mrc, the target of its levels"]

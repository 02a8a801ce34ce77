"""Measured pairs, whoever laid them out: acquisitions and their targets, by cell and level or by name."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SPLITS = ("training", "validation", "test")
BIOSR, PATCHES, TEST_IMAGES, LISTED = "BioSR", "DL-SR patches", "DL-SR test images", "a list of files"
LAYOUTS = (BIOSR, PATCHES, TEST_IMAGES, LISTED)


class Recording(NamedTuple):
    """How the raw frames of a set were recorded, and how much finer its targets are.

    Attributes:
        orientations: illumination directions.
        phases: frames of each.
        scale: pixels of the target per raw pixel along one axis.
    """

    orientations: int
    phases: int
    scale: int

    @property
    def frames(self) -> int:
        """Raw frames of an acquisition."""
        return self.orientations * self.phases


LINEAR, NONLINEAR = Recording(3, 3, 2), Recording(5, 5, 3)


@dataclass(frozen=True)
class Pair:
    """One acquisition on disk, and what should come out of it.

    Attributes:
        name: in messages and tables, unique in its set, as "Cell_001 level 03" or "training/00000001".
        raw: a file, or a folder with a file for each frame.
        target: a file; None where there is none.
        cell: its number; 0 of a patch, whose cell nobody knows.
        level: its signal level, from 1, the weakest; 0 where nobody knows.
        split: one of `SPLITS` where the layout itself says it, as patch folders do; empty where the cell decides.
        stretched: whether the raw frames may have been stretched to 16 bits, as DL-SR's test images are.
    """

    name: str
    raw: Path
    target: Path | None
    cell: int = 0
    level: int = 0
    split: str = ""
    stretched: bool = False


@dataclass(frozen=True)
class MeasuredSet:
    """The pairs of one specimen, or of one folder of patches.

    Attributes:
        root: its folder, or its list.
        name: as the folder says, a specimen's as in BioSR ("F-actin") where it is known.
        layout: one of `LAYOUTS`.
        recording: of all its pairs.
        pairs: by cell and level, or by name in natural order.
        missing: what should be there and is not, one line each.
    """

    root: Path
    name: str
    layout: str
    recording: Recording
    pairs: tuple[Pair, ...]
    missing: tuple[str, ...] = ()

    @property
    def cells(self) -> list[int]:
        """Numbers of the cells; empty for patches."""
        return sorted({pair.cell for pair in self.pairs} - {0})

    @property
    def levels(self) -> list[int]:
        """Signal levels that any cell has; empty where nobody knows them."""
        return sorted({pair.level for pair in self.pairs} - {0})

    @property
    def has_targets(self) -> bool:
        """Whether any acquisition has a target."""
        return any(pair.target is not None for pair in self.pairs)

    def of_split(self, split: str) -> tuple[Pair, ...]:
        """The pairs that the layout itself puts into a split."""
        return tuple(pair for pair in self.pairs if pair.split == split)

    def of_cells(self, cells: Iterable[int]) -> tuple[Pair, ...]:
        """The pairs of some cells."""
        wanted = set(cells)
        return tuple(pair for pair in self.pairs if pair.cell in wanted)

    def describe(self) -> str:
        """One line: what it is and how much of it."""
        if self.cells:
            what = f"{len(self.cells)} cell{'s' * (len(self.cells) > 1)} ({ranges(self.cells)})"
            what += f" at {len(self.levels)} level{'s' * (len(self.levels) > 1)} ({ranges(self.levels)})"
        elif self.levels:
            what = f"levels {ranges(self.levels)}"
        else:
            counts = {split: len(self.of_split(split)) for split in SPLITS}
            what = ", ".join(f"{count} for {split}" for split, count in counts.items() if count) or "nothing to use"
        count, without = len(self.pairs), sum(pair.target is None for pair in self.pairs)
        targets = "" if not without else f", {'no' if without == count else 'not all with a'} target"
        return f"{self.name} ({self.layout}): {what}, {count} acquisition{'s' * (count != 1)}{targets}"


def specimen_key(name: str) -> str:
    """A name of a specimen without what writers vary: `F-actin`, `f_actin` and `F_Actin` are one."""
    plain = re.sub(r"[\W_]+", "", name).casefold()
    return {"ccp": "ccps", "mt": "microtubules", "mts": "microtubules"}.get(plain, plain)


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in words: 1, 2, 3 and 7 are "1-3, 7"."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def parse_ranges(text: str) -> frozenset[int]:
    """Numbers from words, as `1-5, 51`.

    Raises:
        ValueError: for anything else.
    """
    numbers: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\d{1,6})(?:\s*-\s*(\d{1,6}))?", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(part)
        numbers.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(numbers)

"""DL-SR's patch folders from measured pairs, as its users prepare them with MATLAB.

```
OUT/F-actin/export.json                              what they are made of
OUT/F-actin/training/00000001/1.tif ... 9.tif        OUT/F-actin/training_gt/00000001.tif
OUT/F-actin/validate/00000001/1.tif ... 9.tif        OUT/F-actin/validate_gt/00000001.tif
OUT/F-actin/patches.json                             cell, level, place and turn of each
```

Each acquisition of a split gives as many patches as the others, or one more, from random places of its foreground.
What an acquisition gives hangs on the seed and on the acquisition alone: a preparation that was stopped goes on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oidn_jax.data.atomic import write_json
from oidn_jax.data.measured import read_pair
from oidn_jax.data.pairs import MeasuredSet, Pair
from oidn_jax.data.patch_folder import cut_patches, write_patch_pair
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.simulation.export.folder import prepare

FOLDERS = {"training": "training", "validation": "validate"}
_TITLE = "patches.json"


@dataclass(frozen=True)
class Preparation:
    """What to cut.

    Attributes:
        out: folder of the specimens' folders.
        patches: how many of each split, of `FOLDERS`.
        patch: side of a raw patch.
        turn: rotate by random multiples of 90 degrees and mirror, which turns the stripes too.
        seed: of places and turns.
        pixel_size_nm: of raw frames that do not say it.
        overwrite: remove what another preparation has left.

    Raises:
        IllegalValue: for numbers that are not legal.
    """

    out: Path
    patches: dict[str, int]
    patch: int = 128
    turn: bool = True
    seed: int = 0
    pixel_size_nm: float = 62.6
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.out == Path():
            raise IllegalValue("out", str(self.out), "give the folder of the patches, which is made if missing")
        for split, count in self.patches.items():
            if count < 0:
                name = "patches" if split == "training" else f"{split}_patches"
                raise IllegalValue(name, count, "it must not be negative")
        if not any(self.patches.values()):
            raise IllegalValue("patches", 0, "of training or of validation there must be some")
        if self.patch < 16:
            raise IllegalValue("patch", self.patch, "it must be at least 16")
        if self.seed < 0:
            raise IllegalValue("seed", self.seed, "it must not be negative")


def prepare_patches(
    measured: MeasuredSet,
    pairs: Mapping[str, Sequence[Pair]],
    preparation: Preparation,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Writes the patches of a specimen.

    Args:
        measured: the set.
        pairs: those of each split that can be used.
        preparation: how many, how large.
        progress: called with how many acquisitions are done and of all.

    Returns:
        The folder.

    Raises:
        InputError: a folder that holds something else; a patch that is larger than the frames; a split without pairs.
    """
    for split, count in preparation.patches.items():
        if count and not pairs.get(split):
            raise InputError(f"{measured.root} has no acquisition for {split}; give its cells, or no patches of it")
    folder = preparation.out / measured.name
    source, target = measured.root.resolve(), folder.resolve()
    if source in (target, *target.parents) or target in source.parents:
        raise InputError(
            f"the patches of {measured.root} would be written to {folder}, where the data are, which `overwrite` could "
            "remove; give as `out` a folder apart from the data"
        )
    identity = {
        "measured": str(measured.root.resolve()),
        "acquisitions": {split: [pair.name for pair in some] for split, some in pairs.items()},
        **{name: getattr(preparation, name) for name in ("patches", "patch", "turn", "seed")},
    }
    prepare((folder,), identity, overwrite=preparation.overwrite)
    work = [(split, *entry) for split, some in pairs.items() for entry in _shares(some, preparation.patches[split])]
    written: dict[str, Any] = {}
    for done, (split, pair, first, count) in enumerate(work, start=1):
        written |= _write_of_pair(measured, pair, preparation, folder, split=split, first=first, count=count)
        progress(done, len(work))
    write_json(folder / _TITLE, {"measured": measured.describe(), "patches": written})
    return folder


def _shares(pairs: Sequence[Pair], count: int) -> list[tuple[Pair, int, int]]:
    """Of each pair the number of its first patch, from 1, and how many it gives."""
    shares, first = [], 1
    for number, pair in enumerate(pairs):
        share = count // len(pairs) + (number < count % len(pairs))
        if share:
            shares.append((pair, first, share))
        first += share
    return shares


def _write_of_pair(
    measured: MeasuredSet,
    pair: Pair,
    preparation: Preparation,
    folder: Path,
    *,
    split: str,
    first: int,
    count: int,
) -> dict[str, Any]:
    """The patches of one acquisition that are not there yet; what is known of each."""
    raw_frames, target = read_pair(pair, measured.recording)
    generator = np.random.default_rng((preparation.seed, pair.cell, pair.level, first))
    scale, patch = measured.recording.scale, preparation.patch
    cut = cut_patches(generator, raw_frames, target, count=count, patch=patch, scale=scale)
    turns = generator.integers((4, 2), size=(count, 2)) if preparation.turn else np.zeros((count, 2), int)
    written = {}
    for index, one, (quarter, mirrored) in zip(range(first, first + count), cut, turns.tolist(), strict=True):
        name = f"{FOLDERS[split]}/{index:08d}"
        facts = {"cell": pair.cell, "level": pair.level, "corner_yx": list(one.corner)}
        written[name] = {**facts, "quarter_turns": quarter, "mirrored": bool(mirrored)}
        if (folder / f"{FOLDERS[split]}_gt" / f"{index:08d}.tif").is_file():
            continue  # its target is written last
        write_patch_pair(
            folder,
            _turned(one.raw_frames, quarter, mirrored),
            _turned(one.target, quarter, mirrored),
            split=FOLDERS[split],
            index=index,
            pixel_size_nm=preparation.pixel_size_nm,
            overwrite=True,  # the folder is this preparation's own
        )
    return written


def _turned(image: np.ndarray, quarter: int, mirrored: int) -> np.ndarray:
    turned = np.rot90(image, quarter, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if mirrored else turned)

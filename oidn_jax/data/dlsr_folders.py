"""What users of the DL-SR code have: folders of patches, lists of files, and its test images.

```
ROOT/training/00000001/1.tif ... 9.tif   ROOT/training_gt/00000001.tif     (or training/00000001.tif with 9 pages)
ROOT/validate/00000001/1.tif ... 9.tif   ROOT/validate_gt/00000001.tif
ROOT/train.txt, ROOT/validate.txt        a line `input target` for each pair, relative to the list or absolute
ROOT/input_raw_sim_images/level_01/1.tif ... 9.tif
```

Contract: names are in natural order, 2 before 10. Patches have no cell and no level; their split is the folder's, or
the list's. Test images have levels and no target, and may have been stretched to 16 bits (`data.stretched`).
"""

import re
import shlex
from pathlib import Path

from oidn_jax.data.biosr_tree import specimen_name
from oidn_jax.data.image_file import natural_order
from oidn_jax.data.pairs import LINEAR, LISTED, PATCHES, TEST_IMAGES, MeasuredSet, Pair
from oidn_jax.data.regular_file import read_small
from oidn_jax.errors import InputError

_SPLIT_WORDS = {"train": "training", "val": "validation", "test": "test"}  # what its name begins with
_FOLDERS = {"training": "training", "train": "training", "validate": "validation", "validation": "validation",
            "val": "validation", "test": "test"}  # fmt: skip
_IMAGES = (".tif", ".tiff", ".mrc")
_LISTS = (".txt", ".lst", ".list")
_LEVEL = re.compile(r"level[_ -]?(\d+)", re.IGNORECASE)
_TEST_FOLDER = "input_raw_sim_images"
_MOST_LIST = 10**8  # bytes


def find_patches(folder: Path) -> MeasuredSet | None:
    """The pairs of patch folders; None where there are none."""
    splits = {name: folder / name for name in _FOLDERS if (folder / name).is_dir() and _has_partner(folder, name)}
    if not splits:
        return None
    pairs, missing = [], []
    for name, inputs in splits.items():
        targets = folder / f"{name}_gt"
        stems = {path.stem: path for path in _entries(targets)} if targets.is_dir() else {}
        if not targets.is_dir():
            missing.append(f"{targets} is missing, the targets of {inputs}")
        for path in _entries(inputs):
            key = path.name if path.is_dir() else path.stem
            target = stems.pop(key, None)
            if target is None and targets.is_dir():
                missing.append(f"{targets} has no {key}.tif, the target of {path}")
            pairs.append(Pair(f"{name}/{key}", path, target, split=_FOLDERS[name]))
        missing += [f"{inputs} has no {stem}, the raw frames of {path}" for stem, path in stems.items()]
    return MeasuredSet(folder, specimen_name(folder), PATCHES, LINEAR, tuple(pairs), tuple(missing))


def _has_partner(folder: Path, name: str) -> bool:
    return (folder / f"{name}_gt").is_dir() or any(path.is_dir() and _numbered(path) for path in _some(folder / name))


def find_test_images(folder: Path) -> MeasuredSet | None:
    """DL-SR's test images of a folder; None where there are none."""
    inputs = folder / _TEST_FOLDER if (folder / _TEST_FOLDER).is_dir() else folder
    levels = {}
    for path in sorted(inputs.iterdir(), key=natural_order):
        match = _LEVEL.fullmatch(path.name)
        if match and path.is_dir():
            levels[int(match[1])] = path
    if not any(_numbered(path) for path in levels.values()):
        return None
    missing = [
        f"{path} has no 1.tif, 2.tif, ..., one for each frame" for path in levels.values() if not _numbered(path)
    ]
    pairs = [
        Pair(path.name, path, None, level=level, split="test", stretched=True)
        for level, path in sorted(levels.items())
        if _numbered(path)
    ]
    named = inputs.parent if inputs.resolve().name == _TEST_FOLDER else inputs
    return MeasuredSet(folder, specimen_name(named), TEST_IMAGES, LINEAR, tuple(pairs), tuple(missing))


def find_lists(folder: Path) -> MeasuredSet | None:
    """The pairs of the lists in a folder, `train.txt` and the like; None where there are none."""
    lists = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _LISTS and path.is_file()]
    lists = [path for path in lists if _split_of_list(path)]
    listed = [pairs for pairs in (_list_of_pairs(path) for path in lists) if pairs is not None]
    if not listed:
        return None
    pairs = tuple(pair for some, _ in listed for pair in some)
    missing = tuple(line for _, lines in listed for line in lines)
    return MeasuredSet(folder, specimen_name(folder), LISTED, LINEAR, pairs, missing)


def find_list(path: Path) -> MeasuredSet:
    """The pairs of one list, all of its split; of a list of any other name, for training.

    Raises:
        InputError: a file that is no such list.
    """
    listed = _list_of_pairs(path)
    if listed is None:
        raise InputError(
            f"{path} is no list of pairs; give a folder of measured data, or a text file with a line `input target` "
            "for each pair"
        )
    return MeasuredSet(path, specimen_name(path.parent), LISTED, LINEAR, tuple(listed[0]), tuple(listed[1]))


def _split_of_list(path: Path) -> str:
    return next((split for word, split in _SPLIT_WORDS.items() if path.stem.lower().startswith(word)), "")


def _list_of_pairs(path: Path) -> tuple[list[Pair], list[str]] | None:
    """The pairs of a list and what of them is missing; None where its first line is none of `input target`."""
    try:
        text = read_small(path, most_bytes=_MOST_LIST).decode("utf-8")
    except (OSError, UnicodeDecodeError, InputError):
        return None
    pairs, missing, split = [], [], _split_of_list(path) or "training"
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    for number, line in ((number, line) for number, line in lines if line and not line.startswith("#")):
        words = _two_words(line)
        if words is None:
            if not pairs and not missing:
                return None
            missing.append(f"{path}, line {number}: {line!r} is no `input target`")
            continue
        raw, target = (path.parent / word for word in words)
        absent = [str(file) for file in (raw, target) if not file.exists()]
        if absent:
            missing.append(f"{path}, line {number}: {' and '.join(absent)} is missing")
            continue
        pairs.append(Pair(f"{path.name}:{number}", raw, target, split=split))
    return (pairs, missing) if pairs or missing else None


def _two_words(line: str) -> list[str] | None:
    """Input and target of a line, separated by a tab or by spaces; quotes keep spaces together."""
    words = [word.strip() for word in line.split("\t")] if "\t" in line else None
    if words is None:
        try:
            words = shlex.split(line)
        except ValueError:
            return None
    return words if len(words) == 2 and all(Path(word).suffix or "/" in word for word in words) else None


def _entries(folder: Path) -> list[Path]:
    """Images and folders of images, in natural order."""
    paths = [path for path in folder.iterdir() if path.name[0] != "."]
    return sorted((path for path in paths if path.is_dir() or path.suffix.lower() in _IMAGES), key=natural_order)


def _some(folder: Path) -> list[Path]:
    return _entries(folder)[:8]


def _numbered(folder: Path) -> bool:
    """Whether a folder has a file `1.tif`."""
    return any((folder / f"{number}{suffix}").is_file() for suffix in _IMAGES for number in ("1", "01", "001"))

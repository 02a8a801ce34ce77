"""Measured data on disk: what is found in a folder, and how its images are opened.

Contract: finding looks at names only and opens no image; nothing is guessed about what is missing, it is said. The
layouts are those of `biosr_tree` and `dlsr_folders`; everything behind them takes a `MeasuredSet` of `pairs`.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Real, Shaped

from oidn_jax.data.biosr_tree import find_specimen
from oidn_jax.data.dlsr_folders import find_list, find_lists, find_patches, find_test_images
from oidn_jax.data.pairs import MeasuredSet, Pair, Recording
from oidn_jax.data.raw_stack import RawStack, open_images, open_raw_stack
from oidn_jax.data.stretched import restore_counts
from oidn_jax.errors import InputError

_DEEPEST = 3  # folders below the root: ROOT/BioSR/F-actin, and one more that an archive may have brought


def find_measured(root: str | Path) -> list[MeasuredSet]:
    """All sets of pairs at a place, in the order of their names.

    Args:
        root: a folder of specimens, of one specimen, of patches or of test images, or what holds such folders; or a
            list of pairs.

    Raises:
        InputError: a place that is not there or cannot be looked at; nothing in it that is measured data.
    """
    root = Path(root)
    try:
        if root.is_file():
            return [find_list(root)]
        if not root.is_dir():
            raise InputError(f"{root} does not exist; give the folder of the measured data")
        sets = list(_search(root, _DEEPEST))
    except OSError as error:
        raise InputError(
            f"{error.filename or root} cannot be looked at ({error.strerror}); check permissions"
        ) from error
    if not sets:
        raise InputError(
            f"{root} holds no measured data: neither cells of BioSR (Cell_001/RawSIMData_level_01.mrc), nor patches of "
            "DL-SR (training/ and training_gt/, or train.txt), nor its test images "
            "(input_raw_sim_images/level_01/1.tif)"
        )
    return sets


def _search(folder: Path, depth: int) -> list[MeasuredSet]:
    for find in (find_specimen, find_patches, find_test_images, find_lists):
        sets = find(folder)
        if sets is not None:
            return [sets]
    if not depth:
        return []
    below = sorted(path for path in folder.iterdir() if path.name[0] != "." and path.is_dir())
    return [measured for path in below if os.access(path, os.R_OK | os.X_OK) for measured in _search(path, depth - 1)]


def open_raw(pair: Pair, recording: Recording) -> RawStack:
    """The raw frames of a pair, one acquisition; of a stretched one the counts, with a remark that says how.

    Raises:
        InputError: what `open_raw_stack` refuses; several acquisitions in one file.
    """
    stack = open_raw_stack(str(pair.raw), orientations=recording.orientations, phases=recording.phases)
    if len(stack.planes) != 1:
        raise InputError(
            f"{pair.raw} holds {len(stack.planes) * recording.frames} frames; one acquisition has "
            f"{recording.orientations} x {recording.phases} = {recording.frames}"
        )
    restored = restore_counts(stack.read(0)) if pair.stretched else None
    if restored is None:
        return stack
    counts = RawStack.of_array(restored.counts[None], pixel_size_nm=stack.pixel_size_nm, source=pair.raw)
    return replace(counts, images=replace(counts.images, remarks=(restored.remark,)))


def open_target(pair: Pair) -> RawStack:
    """The target of a pair: one image.

    Raises:
        InputError: none, what `open_images` refuses, or several images.
    """
    if pair.target is None:
        raise InputError(f"{pair.name} has no target")
    stack = open_images(pair.target)
    if len(stack.planes) != 1:
        raise InputError(f"{pair.target} holds {len(stack.planes)} images; a target is one")
    return stack


def read_pair(
    pair: Pair, recording: Recording
) -> tuple[Shaped[np.ndarray, "frames y x"], Real[np.ndarray, "y_sr x_sr"]]:
    """Raw frames and target, whose sizes go together.

    Raises:
        InputError: see `open_raw` and `open_target`; a target of another size.
    """
    raw, target = open_raw(pair, recording), open_target(pair)
    check_sizes(pair, raw, target, recording)
    return raw.read(0), target.read(0)[0]


def check_sizes(pair: Pair, raw: RawStack, target: RawStack, recording: Recording) -> None:
    """Refuses a target that is not `scale` times as large as the raw frames.

    Raises:
        InputError: naming both files and sizes.
    """
    (_, _, y, x), (*_, fine_y, fine_x), scale = raw.shape, target.shape, recording.scale
    if (fine_y, fine_x) != (scale * y, scale * x):
        raise InputError(
            f"{pair.target} is {fine_y} x {fine_x} pixels, but {pair.raw} {y} x {x}; a target is {scale} times as large"
        )

"""The DL-SR patches of an export, and where each comes from."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oidn_jax.data.patch_folder import cut_patches, write_patch_pair


def write_patches(
    root: Path,
    levels: Sequence[tuple[np.ndarray, np.ndarray]],
    generator: np.random.Generator,
    *,
    names: tuple[str, int],
    count: int,
    patch: int,
    scale: int,
    pixel_size_nm: float,
) -> list[dict[str, Any]]:
    """Patches of a cell, each from a random level; gives name, level and corner of each.

    Args:
        root: of the patch folders.
        levels: raw frames and target of each level.
        generator: of levels and places.
        names: split and number of the first patch.
        count: how many.
        patch: side of a raw patch.
        scale: fine pixels per raw pixel.
        pixel_size_nm: of the raw frames.
    """
    split, index = names
    chosen = generator.integers(len(levels), size=count)
    written = []
    for level, (raw_frames, target) in enumerate(levels):
        number = int(np.sum(chosen == level))
        if not number:
            continue
        for pair in cut_patches(generator, raw_frames, target, count=number, patch=patch, scale=scale):
            write_patch_pair(
                root,
                pair.raw_frames,
                pair.target,
                split=split,
                index=index,
                pixel_size_nm=pixel_size_nm,
                overwrite=True,  # the folder is this export's own
            )
            written.append({"name": f"{split}/{index:08d}", "level": level + 1, "corner_yx": list(pair.corner)})
            index += 1
    return written


def patch_names(cell_truth: Path, *, cell: str) -> dict[str, Any]:
    """Of a complete cell, by the name of each patch: cell, level and corner."""
    patches = json.loads(cell_truth.read_text(encoding="utf-8")).get("patches", [])
    return {
        patch["name"]: {"cell": cell, "level": patch["level"], "corner_yx": patch["corner_yx"]} for patch in patches
    }

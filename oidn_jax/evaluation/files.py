"""The folder of an evaluation: what is in it, what is left from an earlier one, and what is written last."""

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oidn_jax.data.atomic import write_json, write_text
from oidn_jax.data.writers import write_raw_tiff
from oidn_jax.errors import InputError
from oidn_jax.evaluation.scenes import Scenes

METRICS = "metrics.json"
_FILES = (METRICS, "metrics.csv", "tables.md", "tables.tex", "report.html", "raw_*.tif")
_FIGURES = (
    "panels_*",
    "decorrelation_*",
    "rolling_frc_*",
    "line_profiles",
    "box_plots_*",
    "radar",
    "psf",
    "reliability",
    "worst_cases_*",
)


def check_folder(out: Path, *, overwrite: bool) -> None:
    """Refuses a folder before anything is computed.

    Raises:
        InputError: if it holds an evaluation that may not be replaced, or cannot be made or written to.
    """
    for path in [] if overwrite else own_files(out):
        raise InputError(
            f"{out} already holds an evaluation ({path.relative_to(out)}); allow `overwrite` to replace it, or give "
            "another `out`"
        )
    existing = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise InputError(
            f"cannot write to the output folder {out}: {existing} is no folder to write to; give another `out`"
        )


def own_files(out: Path) -> list[Path]:
    """What an evaluation has left in the folder, `metrics.json` first."""
    figures = [f"figures/{name}.{suffix}" for name in _FIGURES for suffix in ("png", "pdf")]
    return [path for pattern in (*_FILES, *figures) for path in sorted(out.glob(pattern))]


def earlier_files(out: Path, new: Path) -> list[Path]:
    """What an earlier evaluation has left in the folder that the new one, in the folder `new`, does not replace."""
    replaced = {path.relative_to(new) for path in own_files(new)}
    return [path for path in (path.relative_to(out) for path in own_files(out)) if path not in replaced]


def write_raw(scenes: Mapping[str, Scenes], out: Path) -> None:
    """The first scene as a camera file, counts and the pixel size: `raw_LEVEL.tif`, of further specimens with name."""
    for i, (specimen, its_scenes) in enumerate(scenes.items()):
        for level, raw_frames in its_scenes.raw_frames.items():
            write_raw_tiff(
                out / (f"raw_{specimen}_{level}.tif" if i else f"raw_{level}.tif"),
                np.moveaxis(raw_frames[0], -1, 0).clip(0, 65535).astype(np.uint16),
                pixel_size_nm=its_scenes.microscope.pixel_size_nm,
            )


def write_results(result: Mapping[str, Any], out: Path) -> None:
    """`metrics.csv` and then `metrics.json`, the last of all files: without it an evaluation is not complete.

    Numbers that are not finite are empty in the one and null in the other.
    """
    rows: Sequence[Mapping[str, Any]] = finite_or_none(result["images"])
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_text(out / "metrics.csv", table.getvalue())
    write_json(out / METRICS, finite_or_none(result))


def finite_or_none(value: Any) -> Any:
    """Nested values as JSON can hold them: NaN and infinity become None, tuples lists."""
    if isinstance(value, Mapping):
        return {str(name): finite_or_none(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

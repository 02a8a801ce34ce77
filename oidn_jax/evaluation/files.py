"""The folder of an evaluation: what is in it, what is not touched, and what is written last."""

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

_FILES = ("metrics.json", "metrics.csv", "tables.md", "tables.tex", "report.html", "raw_*.tif")
_FIGURES = (
    "panels_*",
    "decorrelation_*",
    "rolling_frc_*",
    "line_profiles",
    "box_plots_*",
    "radar",
    "psf",
    "worst_cases_*",
)


def check_folder(out: Path, *, overwrite: bool) -> None:
    """Refuses a folder before anything is computed.

    Raises:
        InputError: if it holds an evaluation that may not be replaced, or cannot be made or written to.
    """
    for path in [] if overwrite else _own_files(out):
        raise InputError(
            f"{out} already holds an evaluation ({path.relative_to(out)}); allow `overwrite` to replace it, or give "
            "another `out`"
        )
    existing = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise InputError(
            f"cannot write to the output folder {out}: {existing} is no folder to write to; give another `out`"
        )


def _own_files(out: Path) -> list[Path]:
    """What an evaluation has left in the folder, `metrics.json` first."""
    figures = [f"figures/{name}.{suffix}" for name in _FIGURES for suffix in ("png", "pdf")]
    return [path for pattern in (*_FILES, *figures) for path in sorted(out.glob(pattern))]


def make_folder(out: Path) -> None:
    """Makes the folder, and removes the evaluation that is to be replaced.

    Nothing of the old one may stand beside the new: not a figure that it no longer has, nor a `metrics.json` beside
    half of the new files.

    Raises:
        InputError: if not.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in _own_files(out):
            path.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write to the output folder {out}: {error.strerror or error}; give another `out`"
        ) from error


def write_raw(scenes: Mapping[str, Scenes], out: Path, *, overwrite: bool) -> None:
    """The first scene as a camera file, counts and the pixel size: `raw_LEVEL.tif`, of further specimens with name."""
    for i, (specimen, its_scenes) in enumerate(scenes.items()):
        for level, raw_frames in its_scenes.raw_frames.items():
            write_raw_tiff(
                out / (f"raw_{specimen}_{level}.tif" if i else f"raw_{level}.tif"),
                np.moveaxis(raw_frames[0], -1, 0).clip(0, 65535).astype(np.uint16),
                pixel_size_nm=its_scenes.microscope.pixel_size_nm,
                overwrite=overwrite,
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
    write_json(out / "metrics.json", finite_or_none(result))


def finite_or_none(value: Any) -> Any:
    """Nested values as JSON can hold them: NaN and infinity become None, tuples lists."""
    if isinstance(value, Mapping):
        return {str(name): finite_or_none(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

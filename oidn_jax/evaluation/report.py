"""The evaluation of a trained network against the widefield image: table, JSON, CSV, panels, raw examples."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from oidn_jax.data.errors import InputError
from oidn_jax.data.writers import write_raw_tiff
from oidn_jax.evaluation.figures import save_panel
from oidn_jax.evaluation.held_out import (
    HeldOutScenes,
    network_method,
    network_panel,
    score_methods,
    simulate_held_out,
    widefield,
)
from oidn_jax.models.trained import TrainedModel

KEYS = ("level", "method", "scene", "signal_level")


def evaluate(
    config: Any,
    model: TrainedModel,
    out: Path,
    *,
    overwrite: bool = False,
    save_raw: bool = False,
    show: Callable[[Any], None] = print,
) -> dict[str, Any]:
    """Score the network and the widefield image on the held-out scenes of a configuration.

    Writes `metrics.csv` (a row per image), `metrics.json` (those rows and their means), a `panel_LEVEL.png` for each
    fluorescence level and, with `save_raw`, `raw_LEVEL.tif`, the first scene's raw frames as a camera would store them.

    Args:
        config: its `simulation`, `evaluation` and `data` sections say what to evaluate on.
        model: trained network.
        out: folder to write to, created if needed.
        overwrite: replace results that are there already.
        save_raw: write raw examples.
        show: called with the table and each line.

    Returns:
        What `metrics.json` holds.

    Raises:
        InputError: if the folder cannot be used or already holds results.
    """
    if not overwrite:
        _refuse_existing(out)
    scenes = simulate_held_out(config)
    _make_folder(out)
    methods = {
        "widefield": lambda frames: widefield(frames, scale=model.scale),
        "oidn": network_method(model.network, model.params),
    }
    rows = score_methods(scenes, methods)
    means = mean_scores(rows)
    result = {"origin": dict(model.origin), "config": config.name, "means": means, "images": rows}
    show(score_table(means))
    with (out / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    _write_pictures(scenes, model, out, panels=config.evaluation.panels)
    if save_raw:
        _write_raw(scenes, model, out, overwrite=overwrite)
    (out / "metrics.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    show(f"wrote {out}: metrics.json, metrics.csv and a panel for each level")
    return result


def _refuse_existing(out: Path) -> None:
    for pattern in ("metrics.json", "metrics.csv", "panel_*.png", "raw_*.tif"):
        for path in sorted(out.glob(pattern)):
            raise InputError(
                f"{out} already holds an evaluation ({path.name}); give --overwrite to replace it, or another --out"
            )


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write to the output folder {out}: {error.strerror or error}; give another --out"
        ) from error


def mean_scores(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean of every score over the scenes, a row per level and method, in the order they come."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["level"], row["method"]), []).append(row)
    return [
        {"level": level, "method": method, "scenes": len(members)}
        | {score: float(np.mean([row[score] for row in members])) for score in members[0] if score not in KEYS}
        for (level, method), members in groups.items()
    ]


def score_table(means: Sequence[Mapping[str, Any]]) -> Table:
    """The means as a table for the terminal."""
    scores = [f"{match}_{name}" for match in ("minmax", "affine") for name in ("psnr", "ssim", "nrmse", "mse")]
    table = Table(
        title=f"means over {means[0]['scenes']} scenes, image min-max normalised / affinely matched to the target"
    )
    for column in ("fluorescence", "method"):
        table.add_column(column)
    for name in scores:
        table.add_column(name.replace("_", "\n"), justify="right")
    for row in means:
        digits = [f"{row[name]:.2f}" if name.endswith("psnr") else f"{row[name]:.4f}" for name in scores]
        table.add_row(row["level"], row["method"], *digits)
    return table


def _write_pictures(scenes: HeldOutScenes, model: TrainedModel, out: Path, *, panels: int) -> None:
    for level, raw_frames in scenes.raw_frames.items():
        save_panel(
            out / f"panel_{level}.png",
            network_panel(model.network, model.params, raw_frames=raw_frames[:panels], target=scenes.target),
            pixel_size_nm=model.network.pixel_size_nm / model.scale,
            title=f"{level} fluorescence, held-out simulated scenes",
        )


def _write_raw(scenes: HeldOutScenes, model: TrainedModel, out: Path, *, overwrite: bool) -> None:
    """Normalised frames as 16-bit counts: what a camera file looks like, with the pixel size."""
    for level, raw_frames in scenes.raw_frames.items():
        counts = np.round(raw_frames[0] * 60000.0 + 100.0).astype(np.uint16)
        write_raw_tiff(
            out / f"raw_{level}.tif",
            np.moveaxis(counts, -1, 0),
            pixel_size_nm=model.network.pixel_size_nm,
            overwrite=overwrite,
        )

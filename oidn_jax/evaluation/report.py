"""The comparison of a trained network with classical methods: table, JSON, CSV, panels, raw examples."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from oidn_jax.classical.microscope import Microscope
from oidn_jax.data.errors import InputError
from oidn_jax.data.writers import write_raw_tiff
from oidn_jax.evaluation.figures import save_panel
from oidn_jax.evaluation.held_out import HeldOutScenes, score_methods, simulate_held_out
from oidn_jax.evaluation.methods import METHODS, ClassicalMethod, Method, NetworkMethod, panel_rows, widefield_method
from oidn_jax.models.trained import TrainedModel

KEYS = ("level", "method", "scene", "signal_level")


def evaluate(
    config: Any,
    model: TrainedModel,
    out: Path,
    *,
    methods: Sequence[str] = METHODS,
    overwrite: bool = False,
    save_raw: bool = False,
    show: Callable[[Any], None] = print,
) -> dict[str, Any]:
    """Score methods on the held-out scenes of a configuration.

    Writes `metrics.csv` (a row per image), `metrics.json` (those rows and their means), a `panel_LEVEL.png` for each
    fluorescence level and, with `save_raw`, `raw_LEVEL.tif`, the first scene's raw frames as a camera would store them.

    Args:
        config: its `simulation`, `evaluation` and `data` sections say what to evaluate on.
        model: trained network.
        out: folder to write to, created if needed.
        methods: names of `evaluation.methods.METHODS`, in the order of the tables and panels.
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
    _check_methods(methods, config)
    scenes = simulate_held_out(config)
    _make_folder(out)
    compared = _methods(methods, config, model, offset=scenes.offset)
    rows = score_methods(scenes, compared)
    result = {"origin": dict(model.origin), "config": config.name, "means": mean_scores(rows), "images": rows}
    show(score_table(result["means"]))
    _say_uncertain(compared, sum(len(frames) for frames in scenes.raw_frames.values()), show=show)
    with (out / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    _write_pictures(scenes, compared, out, panels=config.evaluation.panels, pixel_size_nm=_fine_pixel_nm(model))
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


def _check_methods(methods: Sequence[str], config: Any) -> None:
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods or len(set(methods)) < len(methods):
        raise InputError(f"methods are {', '.join(methods)!r}; give some of {', '.join(METHODS)}, each once")
    if config.frames.phases < 3 and {"wiener", "hifi"} & set(methods):
        raise InputError(
            f"wiener and hifi need at least 3 phases, but config.frames.phases is {config.frames.phases}; leave them "
            "out of --methods"
        )


def _methods(names: Sequence[str], config: Any, model: TrainedModel, *, offset: float) -> dict[str, Method]:
    microscope = Microscope.from_config(config)

    def method(name: str) -> Method:
        if name == "widefield":
            return widefield_method(scale=model.scale)
        if name == "oidn":
            return NetworkMethod(model.network, model.params, normalisation=model.normalisation)
        return ClassicalMethod(name, microscope, offset=offset)

    return {name: method(name) for name in names}


def _say_uncertain(methods: Mapping[str, Method], acquisitions: int, *, show: Callable[[Any], None]) -> None:
    for name, method in methods.items():
        if isinstance(method, ClassicalMethod) and method.uncertain:
            show(
                f"{name}: in {method.uncertain} of {acquisitions} acquisitions the stripes of an orientation were not "
                "found for certain"
            )


def _fine_pixel_nm(model: TrainedModel) -> float:
    return model.network.pixel_size_nm / model.scale


def _write_pictures(
    scenes: HeldOutScenes, methods: Mapping[str, Method], out: Path, *, panels: int, pixel_size_nm: float
) -> None:
    for level, raw_frames in scenes.raw_frames.items():
        save_panel(
            out / f"panel_{level}.png",
            panel_rows(raw_frames[:panels], methods, target=scenes.target),
            pixel_size_nm=pixel_size_nm,
            title=f"{level} fluorescence, held-out simulated scenes",
        )


def _write_raw(scenes: HeldOutScenes, model: TrainedModel, out: Path, *, overwrite: bool) -> None:
    """The first scene as a camera file: counts and the pixel size."""
    for level, raw_frames in scenes.raw_frames.items():
        write_raw_tiff(
            out / f"raw_{level}.tif",
            np.moveaxis(raw_frames[0], -1, 0).clip(0, 65535).astype(np.uint16),
            pixel_size_nm=model.network.pixel_size_nm,
            overwrite=overwrite,
        )

"""The figures of an evaluation: what of a comparison each of them shows, and how it is described to a reader."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from oidn_jax.acquisition import Acquisition
from oidn_jax.evaluation.comparison import Comparison
from oidn_jax.evaluation.example import TARGET, TARGET_LABEL, Example
from oidn_jax.evaluation.html import Figure
from oidn_jax.evaluation.networks import trained_on
from oidn_jax.evaluation.scores import SCORES, analyse_decorrelation
from oidn_jax.evaluation.validation import learned_psf
from oidn_jax.figures.distributions import Distribution, save_box_plots, save_radar
from oidn_jax.figures.exposures import ExposureCurve, save_exposure_curves
from oidn_jax.figures.panels import save_panels
from oidn_jax.figures.profiles import save_line_profiles
from oidn_jax.figures.psf import PsfPanel, save_psf_comparison
from oidn_jax.figures.reliability import ReliabilityPanel, save_reliability
from oidn_jax.figures.resolution import DecorrelationPanel, RollingFrcPanel, save_decorrelation, save_rolling_frc
from oidn_jax.figures.style import GREY, PALETTE, palette
from oidn_jax.figures.worst_cases import WorstCase, save_worst_cases
from oidn_jax.losses import psf_energy, psf_symmetry
from oidn_jax.metrics.normalisation import affine_match
from oidn_jax.models.trained import TrainedModel

BOXES = ("affine_psnr", "affine_ssim", "affine_nrmse", "da_resolution_nm", "rfrc_mean_nm", "rsp")
RADAR_SCORE, CURVE_SCORE = "affine_ssim", "affine_psnr"
WORST_SCORE = "affine_ssim"
FEWEST_ON_RADAR, FEWEST_ON_CURVES = 3, 3

COLOURS = {
    "Widefield": GREY,
    "Wiener SIM": PALETTE["blue"],
    "HiFi-SIM": PALETTE["green"],
    "OIDN": PALETTE["vermilion"],
    TARGET_LABEL: PALETTE["black"],
}


def draw_figures(
    comparison: Comparison, models: Mapping[str, TrainedModel], worst: Sequence[Mapping[str, Any]], folder: Path
) -> list[Figure]:
    """Draws every figure that this comparison has the data for.

    Args:
        comparison: of `comparison.compare`.
        models: networks by the names of their methods.
        worst: of `statistics.worst_rows`, with `WORST_SCORE`.
        folder: of the files.

    Returns:
        The figures for the report, in its order.
    """
    levels = next(iter(comparison.scenes.values())).levels
    colours = palette([*comparison.methods.values(), TARGET_LABEL], known=COLOURS)
    figures = [_panels(comparison, level, folder) for level in levels]
    weakest = dict(zip(comparison.scenes, comparison.examples(most=1, level=levels[0]), strict=True))
    for specimen, example in weakest.items():
        figures.append(_decorrelation(comparison, specimen, example, folder))
        if comparison.maps:
            figures.append(_rolling_frc(comparison, specimen, example, folder))
    png, _ = save_line_profiles(
        folder / "line_profiles", [example.row for example in weakest.values()], colours=colours
    )
    figures.append(
        Figure(
            png,
            f"Line profiles at {levels[0]} fluorescence",
            "The ground truth with a line across a structure, and the intensity along it in the image of each method.",
        )
    )
    figures += [_boxes(comparison, specimen, colours, folder) for specimen in comparison.scenes]
    photons = [light for scenes in comparison.scenes.values() for light in scenes.photons.values()]
    if len(levels) >= FEWEST_ON_CURVES and np.isfinite(photons).all():
        figures.append(_over_photons(comparison, colours, folder))
    if len(comparison.scenes) >= FEWEST_ON_RADAR:
        figures.append(_radar(comparison, models, colours, folder))
    if comparison.expected:
        figures.append(_reliability(comparison, colours, folder))
    figures += _psfs(comparison, models, folder)
    for specimen in comparison.scenes:
        cases = [_worst_case(comparison, case) for case in worst if case["specimen"] == specimen]
        figures.append(_worst(comparison, specimen, cases, folder))
    return figures


def _panels(comparison: Comparison, level: str, folder: Path) -> Figure:
    rows = [example.row for example in comparison.examples(most=1, level=level)]
    png, _ = save_panels(folder / f"panels_{level}", rows, title=f"{level} fluorescence, held-out scenes")
    return Figure(
        png,
        f"Images at {level} fluorescence",
        "For each specimen the images of all methods and the ground truth, and below them two regions enlarged, whose "
        "places the boxes show. A thousandth of the pixels of each image is black, a thousandth white.",
    )


def _decorrelation(comparison: Comparison, specimen: str, example: Example, folder: Path) -> Figure:
    panels = []
    for name, label in {**comparison.methods, TARGET: TARGET_LABEL}.items():
        image, nm = example.row.images[label], example.pixel_size_nm
        recorded = comparison.recorded.get((specimen, example.level, name))
        if recorded is not None:
            nm *= image.shape[0] / recorded.shape[1]
            image = recorded[example.scene]
        analysis = analyse_decorrelation(jnp.asarray(image))
        panels.append(DecorrelationPanel.from_analysis(label, image, analysis, pixel_size_nm=nm))
    png, _ = save_decorrelation(folder / f"decorrelation_{specimen}", panels, title=example.place)
    return Figure(
        png,
        f"Decorrelation analysis, {example.place}",
        "Each image beside its decorrelation curves: without a filter, with high-pass filters of growing strength, and "
        "refined. The line marks the cutoff, whose period is the resolution.",
    )


def _rolling_frc(comparison: Comparison, specimen: str, example: Example, folder: Path) -> Figure:
    panels = []
    for name, label in comparison.methods.items():
        rolling = comparison.maps[specimen, example.level, name]
        panels.append(
            RollingFrcPanel(
                label=label,
                image=example.images[label],
                map_nm=rolling.map_nm,
                pixel_size_nm=example.pixel_size_nm,
                mean_nm=rolling.mean_nm,
                worst_nm=rolling.worst_nm,
            )
        )
    png, _ = save_rolling_frc(folder / f"rolling_frc_{specimen}", panels, title=example.place)
    return Figure(
        png,
        f"Rolling FRC, {example.place}",
        "Each image and below it the map of its local resolution, from two acquisitions of the scene that differ in "
        "their noise; grey is background or has no crossing. Mean and worst resolution above each map.",
    )


def _boxes(comparison: Comparison, specimen: str, colours: Mapping[str, str], folder: Path) -> Figure:
    rows, scenes = [row for row in comparison.rows if row["specimen"] == specimen], comparison.scenes[specimen]
    scores = [score for score in BOXES if score in rows[0]]
    distributions = [
        Distribution(
            specimen=scenes.label,
            level=level,
            method=label,
            scores={
                SCORES[score].label: [row[score] for row in rows if (row["level"], row["method"]) == (level, name)]
                for score in scores
            },
        )
        for level in scenes.levels
        for name, label in comparison.methods.items()
    ]
    png, _ = save_box_plots(folder / f"box_plots_{specimen}", distributions, colours=colours)
    return Figure(
        png,
        f"Scores at each fluorescence level, {scenes.label}",
        "Boxes from the first to the third quartile with the median, for each method and level; every image is a dot.",
    )


def _over_photons(comparison: Comparison, colours: Mapping[str, str], folder: Path) -> Figure:
    plots = []
    for specimen, scenes in comparison.scenes.items():
        scores = defaultdict(list)
        for row in comparison.rows:
            if row["specimen"] == specimen:
                scores[row["method"], row["level"]].append(row[CURVE_SCORE])
        values = {
            label: [float(np.mean(scores[name, level])) for level in scenes.levels]
            for name, label in comparison.methods.items()
        }
        plots.append(ExposureCurve(scenes.label, values, list(scenes.photons.values())))
    unit = "Photons per pixel of the foreground"
    png, _ = save_exposure_curves(folder / "over_photons", plots, unit=unit, colours=colours)
    return Figure(
        png,
        f"{SCORES[CURVE_SCORE].label} over the signal",
        "For each specimen the mean of each method at each level; photons are those of one raw frame.",
    )


def _radar(
    comparison: Comparison, models: Mapping[str, TrainedModel], colours: Mapping[str, str], folder: Path
) -> Figure:
    values: dict[str, dict[str, float]] = {}
    for name, label in comparison.methods.items():
        for specimen, scenes in comparison.scenes.items():
            here = [r[RADAR_SCORE] for r in comparison.rows if (r["method"], r["specimen"]) == (name, specimen)]
            values.setdefault(label, {})[scenes.label] = float(np.mean(here))
    png, _ = save_radar(
        folder / "radar",
        values,
        score=SCORES[RADAR_SCORE].label,
        trained_on={comparison.methods[name]: trained_on(model) for name, model in models.items()},
        colours=colours,
    )
    return Figure(
        png,
        "Generalisation across specimens",
        "One axis for each specimen, one line for each method: its mean score there. Marked is the specimen that a "
        "network was trained on.",
    )


def _reliability(comparison: Comparison, colours: Mapping[str, str], folder: Path) -> Figure:
    panels = [
        ReliabilityPanel(
            f"{scenes.label}, {level}",
            {
                label: comparison.expected[specimen, level, name]
                for name, label in comparison.methods.items()
                if (specimen, level, name) in comparison.expected
            },
        )
        for specimen, scenes in comparison.scenes.items()
        for level in scenes.levels
    ]
    png, _ = save_reliability(folder / "reliability", panels, colours=colours)
    return Figure(
        png,
        "Expected and measured errors",
        "Mean absolute error of the pixels over the error that the network expected of them, in units of the ground "
        "truth's range, in ten bins of as many pixels; on the dotted line errors are as expected, above it larger.",
    )


def _psfs(comparison: Comparison, models: Mapping[str, TrainedModel], folder: Path) -> list[Figure]:
    """The PSFs of the networks that have one."""
    scenes = next(iter(comparison.scenes.values()))
    acquisition = scenes.acquisitions(scenes.levels[0])[0]
    panels = [psf_panel(comparison.methods[name], model, acquisition) for name, model in models.items()]
    shown = [panel for panel in panels if panel is not None]
    if not shown:
        return []
    png, _ = save_psf_comparison(folder / "psf", shown)
    description = (
        "The theoretical PSF of the microscope, the one the network learned (mean over the frames of one acquisition), "
        "their difference and their profiles, with the errors of symmetry and energy."
    )
    return [Figure(png, "Theoretical and learned PSF", description)]


def psf_panel(label: str, model: TrainedModel, acquisition: Acquisition) -> PsfPanel | None:
    """The PSF that a network has for an acquisition, beside that of its microscope; None where it has none."""
    learned = learned_psf(model, acquisition)
    if learned is None:
        return None
    theoretical = model.microscope.psf(len(learned)).astype(np.float32)

    def errors(psf: np.ndarray) -> tuple[float, float]:
        image = jnp.asarray(psf)[None, ..., None]
        return float(psf_symmetry(image)), float(psf_energy(image))

    symmetry_error, energy_error = errors(learned)
    return PsfPanel(
        label=label,
        theoretical=theoretical,
        learned=learned,
        pixel_size_nm=model.microscope.fine_pixel_size_nm,
        symmetry_error=symmetry_error,
        theoretical_symmetry_error=errors(theoretical)[0],
        energy_error=energy_error,
    )


def _worst_case(comparison: Comparison, case: Mapping[str, Any]) -> WorstCase:
    scenes = comparison.scenes[case["specimen"]]
    target = scenes.target_at(case["level"])[case["scene"]]
    image = jnp.asarray(comparison.images[case["specimen"], case["level"], case["method"]][case["scene"]])
    return WorstCase(
        method=comparison.methods[case["method"]],
        place=f"{scenes.label}, {case['level']}, scene {case['scene']}",
        score=SCORES[case["score"]].label,
        value=case["value"],
        image=np.asarray(affine_match(image, jnp.asarray(target)).apply(image)),
        target=target,
        pixel_size_nm=scenes.microscope.fine_pixel_size_nm,
    )


def _worst(comparison: Comparison, specimen: str, cases: Sequence[WorstCase], folder: Path) -> Figure:
    png, _ = save_worst_cases(folder / f"worst_cases_{specimen}", cases)
    return Figure(
        png,
        f"The worst image of each method, {comparison.scenes[specimen].label}",
        "By structural similarity after the affine match: the image, the ground truth, and their absolute difference.",
    )

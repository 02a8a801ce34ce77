"""The figures of an evaluation: what of a comparison each of them shows, and how it is described to a reader."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from oidn_jax.acquisition import Acquisition
from oidn_jax.evaluation.comparison import Comparison
from oidn_jax.evaluation.example import TARGET, TARGET_LABEL, Example
from oidn_jax.evaluation.html import Figure
from oidn_jax.evaluation.scores import SCORES, analyse_decorrelation
from oidn_jax.evaluation.validation import learned_psf
from oidn_jax.figures.distributions import Distribution, save_box_plots, save_radar
from oidn_jax.figures.panels import save_panels
from oidn_jax.figures.profiles import save_line_profiles
from oidn_jax.figures.psf import PsfPanel, save_psf_comparison
from oidn_jax.figures.resolution import DecorrelationPanel, RollingFrcPanel, save_decorrelation, save_rolling_frc
from oidn_jax.figures.style import GREY, PALETTE, palette
from oidn_jax.figures.worst_cases import WorstCase, save_worst_cases
from oidn_jax.losses import psf_energy, psf_symmetry
from oidn_jax.metrics.normalisation import affine_match
from oidn_jax.models.trained import TrainedModel

BOXES = ("affine_psnr", "affine_ssim", "affine_nrmse", "da_resolution_nm", "rfrc_mean_nm", "rsp")
RADAR_SCORE = "affine_ssim"
WORST_SCORE = "affine_ssim"
FEWEST_ON_RADAR = 3

_COLOURS = {
    "Widefield": GREY,
    "Wiener SIM": PALETTE["blue"],
    "HiFi-SIM": PALETTE["green"],
    "OIDN": PALETTE["vermilion"],
    TARGET_LABEL: PALETTE["black"],
}


@dataclass(frozen=True)
class Drawing:
    """A figure to be made.

    Attributes:
        name: of its files, without suffix.
        title: in the report.
        description: what there is to see.
        save: writes it to a path without suffix and gives the files, the PNG first.
    """

    name: str
    title: str
    description: str
    save: Callable[[Path], list[Path]]

    def draw(self, folder: Path) -> Figure:
        """Write the files, and give the figure for the report."""
        png, *_ = self.save(folder / self.name)
        return Figure(png, self.title, self.description)


def drawings(
    comparison: Comparison, models: Mapping[str, TrainedModel], worst: Sequence[Mapping[str, Any]]
) -> list[Drawing]:
    """Every figure that this comparison has the data for.

    Args:
        comparison: of `comparison.compare`.
        models: networks by the names of their methods.
        worst: of `statistics.worst_rows`, with `WORST_SCORE`.
    """
    levels = next(iter(comparison.scenes.values())).levels
    colours = palette([*(comparison.labels[name] for name in comparison.methods), TARGET_LABEL], known=_COLOURS)
    figures = [_panels(comparison, level) for level in levels]
    weakest = comparison.examples(most=1, level=levels[0])
    for specimen, example in zip(comparison.scenes, weakest, strict=True):
        figures.append(_decorrelation(comparison, specimen, example))
        if comparison.maps:
            figures.append(_rolling_frc(comparison, specimen, example))
    figures.append(_profiles(weakest, levels[0], colours))
    figures += [_boxes(comparison, specimen, colours) for specimen in comparison.scenes]
    if len(comparison.scenes) >= FEWEST_ON_RADAR:
        figures.append(_radar(comparison, models, colours))
    figures += _psfs(comparison, models)
    figures += [_worst(comparison, specimen, worst) for specimen in comparison.scenes]
    return figures


def _panels(comparison: Comparison, level: str) -> Drawing:
    rows = [example.row for example in comparison.examples(most=1, level=level)]
    return Drawing(
        f"panels_{level}",
        f"Images at {level} fluorescence",
        "For each specimen the images of all methods and the ground truth, and below them two regions enlarged, whose "
        "places the boxes show. Each image from its 0.1th percentile (black) to its 99.9th (white).",
        lambda path: save_panels(path, rows, title=f"{level} fluorescence, held-out scenes"),
    )


def _decorrelation(comparison: Comparison, specimen: str, example: Example) -> Drawing:
    def save(path: Path) -> list[Path]:
        panels = []
        for name in (*comparison.methods, TARGET):
            label = TARGET_LABEL if name == TARGET else comparison.labels[name]
            image, nm = example.images[TARGET if name == TARGET else label], example.pixel_size_nm
            recorded = comparison.recorded.get((specimen, example.level, name))
            if recorded is not None:
                nm *= image.shape[0] / recorded.shape[1]
                image = recorded[example.scene]
            analysis = analyse_decorrelation(jnp.asarray(image))
            panels.append(DecorrelationPanel.from_analysis(label, image, analysis, pixel_size_nm=nm))
        return save_decorrelation(path, panels, title=example.place)

    return Drawing(
        f"decorrelation_{specimen}",
        f"Decorrelation analysis, {example.place}",
        "Each image beside its decorrelation curves: without a filter, with high-pass filters of growing strength, and "
        "refined. The line marks the cutoff, whose period is the resolution.",
        save,
    )


def _rolling_frc(comparison: Comparison, specimen: str, example: Example) -> Drawing:
    def save(path: Path) -> list[Path]:
        panels = []
        for name in comparison.methods:
            label, rolling = comparison.labels[name], comparison.maps[specimen, example.level, name]
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
        return save_rolling_frc(path, panels, title=example.place)

    return Drawing(
        f"rolling_frc_{specimen}",
        f"Rolling FRC, {example.place}",
        "Each image and below it the map of its local resolution, from two acquisitions of the scene that differ in "
        "their noise; grey is background or has no crossing. Mean and worst resolution above each map.",
        save,
    )


def _profiles(examples: Sequence[Example], level: str, colours: Mapping[str, str]) -> Drawing:
    return Drawing(
        "line_profiles",
        f"Line profiles at {level} fluorescence",
        "The ground truth with a line across a structure, and the intensity along it in the image of each method.",
        lambda path: save_line_profiles(path, [example.row for example in examples], colours=colours),
    )


def _boxes(comparison: Comparison, specimen: str, colours: Mapping[str, str]) -> Drawing:
    rows = [row for row in comparison.rows if row["specimen"] == specimen]
    scores = [score for score in BOXES if score in rows[0]]
    label = comparison.labels[specimen]
    distributions = [
        Distribution(
            specimen=label,
            level=level,
            method=comparison.labels[method],
            scores={
                SCORES[score].label: [row[score] for row in rows if (row["level"], row["method"]) == (level, method)]
                for score in scores
            },
        )
        for level in comparison.scenes[specimen].levels
        for method in comparison.methods
    ]
    return Drawing(
        f"box_plots_{specimen}",
        f"Scores at each fluorescence level, {label}",
        "Boxes from the first to the third quartile with the median, for each method and level; every image is a dot.",
        lambda path: save_box_plots(path, distributions, colours=colours),
    )


def _radar(comparison: Comparison, models: Mapping[str, TrainedModel], colours: Mapping[str, str]) -> Drawing:
    values: dict[str, dict[str, float]] = {}
    for method in comparison.methods:
        for specimen in comparison.scenes:
            here = [r[RADAR_SCORE] for r in comparison.rows if (r["method"], r["specimen"]) == (method, specimen)]
            label = comparison.labels[specimen]
            values.setdefault(comparison.labels[method], {})[label] = float(np.mean(here))
    trained_on = {
        comparison.labels[name]: comparison.labels[model.origin["specimen"]]
        for name, model in models.items()
        if model.origin["specimen"] in comparison.labels
    }
    return Drawing(
        "radar",
        "Generalisation across specimens",
        "One axis for each specimen, one line for each method: its mean score there. Marked is the specimen that a "
        "network was trained on.",
        lambda path: save_radar(path, values, score=SCORES[RADAR_SCORE].label, trained_on=trained_on, colours=colours),
    )


def _psfs(comparison: Comparison, models: Mapping[str, TrainedModel]) -> list[Drawing]:
    """The PSFs of the networks that have one."""
    scenes = next(iter(comparison.scenes.values()))
    acquisition = scenes.acquisitions(scenes.levels[0])[0]
    panels = [psf_panel(comparison.labels[name], model, acquisition) for name, model in models.items()]
    shown = [panel for panel in panels if panel is not None]
    if not shown:
        return []
    return [
        Drawing(
            "psf",
            "Theoretical and learned PSF",
            "The theoretical PSF of the microscope, the one the network learned (mean over the frames of one "
            "acquisition), their difference and their profiles, with the errors of symmetry and energy.",
            lambda path: save_psf_comparison(path, shown),
        )
    ]


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


def _worst(comparison: Comparison, specimen: str, worst: Sequence[Mapping[str, Any]]) -> Drawing:
    cases, scenes = [], comparison.scenes[specimen]
    for case in (case for case in worst if case["specimen"] == specimen):
        target = scenes.target[case["scene"]]
        image = jnp.asarray(comparison.images[specimen, case["level"], case["method"]][case["scene"]])
        cases.append(
            WorstCase(
                method=comparison.labels[case["method"]],
                place=f"{scenes.label}, {case['level']}, scene {case['scene']}",
                score=SCORES[case["score"]].label,
                value=case["value"],
                image=np.asarray(affine_match(image, jnp.asarray(target)).apply(image)),
                target=target,
                pixel_size_nm=scenes.microscope.fine_pixel_size_nm,
            )
        )
    return Drawing(
        f"worst_cases_{specimen}",
        f"The worst image of each method, {scenes.label}",
        "By structural similarity after the affine match: the image, the ground truth, and their absolute difference.",
        lambda path: save_worst_cases(path, cases),
    )

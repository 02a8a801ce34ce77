"""The figures of an evaluation: what of a comparison each of them shows, and how it is described to a reader."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from oidn_jax.evaluation.comparison import Comparison
from oidn_jax.evaluation.example import Example
from oidn_jax.evaluation.html import Figure
from oidn_jax.evaluation.methods import NetworkMethod
from oidn_jax.evaluation.scores import analyse_decorrelation
from oidn_jax.figures.distributions import save_box_plots, save_radar
from oidn_jax.figures.panels import save_panels
from oidn_jax.figures.profiles import save_line_profiles
from oidn_jax.figures.psf import PsfPanel, save_psf_comparison
from oidn_jax.figures.resolution import (
    DecorrelationPanel,
    RollingFrcPanel,
    save_decorrelation,
    save_rolling_frc,
)
from oidn_jax.figures.style import specimen_label
from oidn_jax.figures.worst_cases import WorstCase, save_worst_cases
from oidn_jax.losses import psf_energy, psf_symmetry
from oidn_jax.metrics.normalisation import affine_match
from oidn_jax.models.trained import TrainedModel
from oidn_jax.optics.otf import airy_psf

BOXES = ("affine_psnr", "affine_ssim", "affine_nrmse", "da_resolution_nm", "rfrc_mean_nm", "rsp")
RADAR_SCORE = "affine_ssim"
WORST_SCORE = "affine_ssim"
FEWEST_ON_RADAR = 3


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
    levels = list(next(iter(comparison.scenes.values())).raw_frames)
    made = [_panels(comparison, level) for level in levels]
    weakest = comparison.examples(most=1, level=levels[0])
    made += [_decorrelation(comparison, example) for example in weakest]
    made += [_rolling_frc(comparison, example) for example in weakest if comparison.maps]
    made.append(_profiles(weakest, levels[0]))
    made += [_boxes(comparison, specimen) for specimen in comparison.scenes]
    if len(comparison.scenes) >= FEWEST_ON_RADAR:
        made.append(_radar(comparison, models))
    if models:
        made.append(_psfs(comparison, models))
    made += [_worst(comparison, specimen, worst) for specimen in comparison.scenes]
    return made


def _place(example: Example) -> str:
    return f"{specimen_label(example.specimen)}, {example.level} fluorescence"


def _panels(comparison: Comparison, level: str) -> Drawing:
    examples = comparison.examples(most=1, level=level)
    return Drawing(
        f"panels_{level}",
        f"Images at {level} fluorescence",
        "For each specimen the images of all methods and the ground truth, and below them two regions enlarged, whose "
        "places the boxes show. Each image from its minimum (black) to its 99.9th percentile (white).",
        lambda path: save_panels(path, examples, title=f"{level} fluorescence, held-out simulated scenes"),
    )


def _decorrelation(comparison: Comparison, example: Example) -> Drawing:
    def save(path: Path) -> list[Path]:
        panels = []
        for name, image in example.images.items():
            recorded = comparison.recorded.get((example.specimen, example.level, name))
            nm = example.pixel_size_nm
            if recorded is not None:
                image, nm = recorded[example.scene], nm * image.shape[0] / recorded.shape[1]
            found = analyse_decorrelation(jnp.asarray(image))
            panels.append(DecorrelationPanel.of(name, image, found, pixel_size_nm=nm))
        return save_decorrelation(path, panels, title=_place(example))

    return Drawing(
        f"decorrelation_{example.specimen}",
        f"Decorrelation analysis, {_place(example)}",
        "Each image beside its decorrelation curves: without a filter, with high-pass filters of growing strength, and "
        "refined. The line marks the cutoff, whose period is the resolution.",
        save,
    )


def _rolling_frc(comparison: Comparison, example: Example) -> Drawing:
    def save(path: Path) -> list[Path]:
        panels = []
        for name in comparison.methods:
            found = comparison.maps[example.specimen, example.level, name]
            values = {"map_nm": found.map_nm, "mean_nm": found.mean_nm, "max_nm": found.worst_nm}
            panels.append(RollingFrcPanel(name, example.images[name], pixel_size_nm=example.pixel_size_nm, **values))
        return save_rolling_frc(path, panels, title=_place(example))

    return Drawing(
        f"rolling_frc_{example.specimen}",
        f"Rolling FRC, {_place(example)}",
        "Each image and below it the map of its local resolution, from two acquisitions of the scene that differ in "
        "their noise; grey is background or has no crossing. Mean and worst resolution above each map.",
        save,
    )


def _profiles(examples: Sequence[Example], level: str) -> Drawing:
    return Drawing(
        "line_profiles",
        f"Line profiles at {level} fluorescence",
        "The ground truth with a line across a structure, and the intensity along it in the image of each method.",
        lambda path: save_line_profiles(path, examples),
    )


def _boxes(comparison: Comparison, specimen: str) -> Drawing:
    rows = [row for row in comparison.rows if row["specimen"] == specimen]
    scores = [score for score in BOXES if score in rows[0]]
    return Drawing(
        f"box_plots_{specimen}",
        f"Scores at each fluorescence level, {specimen_label(specimen)}",
        "Boxes from the first to the third quartile with the median, for each method and level; every image is a dot.",
        lambda path: save_box_plots(path, rows, scores=scores),
    )


def _radar(comparison: Comparison, models: Mapping[str, TrainedModel]) -> Drawing:
    values: dict[str, dict[str, float]] = {}
    for method in comparison.methods:
        for specimen in comparison.scenes:
            here = [r[RADAR_SCORE] for r in comparison.rows if (r["method"], r["specimen"]) == (method, specimen)]
            values.setdefault(method, {})[specimen] = float(np.mean(here))
    trained_on = {name: trained_specimen(model) for name, model in models.items()}
    return Drawing(
        "radar",
        "Generalisation across specimens",
        "One axis for each specimen, one line for each method: its mean score there. Marked is the specimen that a "
        "network was trained on.",
        lambda path: save_radar(path, values, score=RADAR_SCORE, trained_on=trained_on),
    )


def _psfs(comparison: Comparison, models: Mapping[str, TrainedModel]) -> Drawing:
    scenes = next(iter(comparison.scenes.values()))
    level = next(iter(scenes.raw_frames))
    frames = jnp.asarray(scenes.raw_frames[level][0])
    return Drawing(
        "psf",
        "Theoretical and learned PSF",
        "The theoretical PSF of the microscope, the one the network learned (mean over the frames of one acquisition), "
        "their difference and their profiles, with the errors of symmetry and energy.",
        lambda path: save_psf_comparison(path, [psf_panel(name, model, frames) for name, model in models.items()]),
    )


def psf_panel(name: str, model: TrainedModel, frames: jax.Array) -> PsfPanel:
    """The PSF that a network has for raw frames (h, w, frames), beside that of its microscope."""
    network = model.network
    pixel_size_nm = network.pixel_size_nm / network.scale
    method = NetworkMethod(network, model.params, normalisation=model.normalisation)
    learned = method.image_and_psf(frames)[1]
    optics = {"na": network.na, "emission_wavelength_nm": network.emission_wavelength_nm}
    theoretical = jnp.asarray(airy_psf(network.psf_size, pixel_size_nm=pixel_size_nm, **optics), jnp.float32)
    return PsfPanel(
        name=name,
        theoretical=np.asarray(theoretical),
        learned=np.asarray(learned),
        pixel_size_nm=pixel_size_nm,
        symmetry_error=float(psf_symmetry(learned[None, ..., None])),
        theoretical_symmetry_error=float(psf_symmetry(theoretical[None, ..., None])),
        energy_error=float(psf_energy(learned[None, ..., None])),
    )


def _worst(comparison: Comparison, specimen: str, worst: Sequence[Mapping[str, Any]]) -> Drawing:
    cases, scenes = [], comparison.scenes[specimen]
    for case in (case for case in worst if case["specimen"] == specimen):
        method, scene = case["method"], case["scene"]
        target = scenes.target[scene, ..., 0]
        image = jnp.asarray(comparison.images[specimen, case["level"], method][scene])
        matched = np.asarray(affine_match(image, jnp.asarray(target)).apply(image))
        place = {name: case[name] for name in ("method", "score", "value", "specimen", "level", "scene")}
        pixel_size_nm = scenes.pixel_size_nm / scenes.scale
        cases.append(WorstCase(**place, image=matched, target=target, pixel_size_nm=pixel_size_nm))
    return Drawing(
        f"worst_cases_{specimen}",
        f"The worst image of each method, {specimen_label(specimen)}",
        "By structural similarity after the affine match: the image, the ground truth, and their absolute difference.",
        lambda path: save_worst_cases(path, cases),
    )


def trained_specimen(model: TrainedModel) -> str:
    """The specimen that a network was trained on."""
    return str(model.config["simulation"]["specimen"])

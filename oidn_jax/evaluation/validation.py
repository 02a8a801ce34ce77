"""The evaluation inside the training loop."""

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from oidn_jax.acquisition import Acquisition
from oidn_jax.data.normalisation import fit_min_max
from oidn_jax.evaluation.scenes import Scenes, simulate_scenes
from oidn_jax.evaluation.scores import light, score_min_max
from oidn_jax.evaluation.settings import EvaluationSettings
from oidn_jax.figures.training_panel import TrainingRow, save_training_panel
from oidn_jax.methods import ClassicalMethod, NetworkMethod
from oidn_jax.models.trained import TrainedModel
from oidn_jax.simulation.settings import Simulation


class Validation:
    """Mean min-max scores over all levels of held-out scenes, and a panel of pictures."""

    def __init__(self, simulation: Simulation, settings: EvaluationSettings) -> None:
        """The scenes are simulated when they are first needed."""
        self._make: Callable[[], Scenes] = partial(simulate_scenes, simulation, settings, split="validation")
        self._settings = settings

    @classmethod
    def of_scenes(cls, make: Callable[[], Scenes], settings: EvaluationSettings) -> "Validation":
        """On other scenes than simulated ones, which are made when they are first needed."""
        validation = cls.__new__(cls)
        validation._make, validation._settings = make, settings
        return validation

    @cached_property
    def _scenes(self) -> Scenes:
        return self._make()

    def __call__(self, model: TrainedModel, *, figure_path: Path) -> dict[str, float]:
        """`ssim` and `psnr` over all levels and scenes; the panel shows the medium of the levels."""
        scenes, method, images = self._scenes, NetworkMethod(model, views=1), {}
        scores = []
        for level in scenes.levels:
            target = jnp.asarray(scenes.target_at(level))
            images[level] = [method(acquisition, 0) for acquisition in scenes.acquisitions(level)]
            lights = np.stack([light(image.pixels, dark=image.dark) for image in images[level]])
            scores.append(score_min_max(jnp.asarray(lights), target))
        level = scenes.levels[len(scenes.levels) // 2]
        shown = scenes.acquisitions(level)[: self._settings.panels]
        rows = [
            TrainingRow(
                {
                    "widefield": ClassicalMethod("widefield")(acquisition, 0).pixels,
                    method.label: images[level][scene].pixels,
                    "ground truth": scenes.target_at(level)[scene],
                },
                psf=learned_psf(model, acquisition),
            )
            for scene, acquisition in enumerate(shown)
        ]
        pixel_size_nm = scenes.microscope.fine_pixel_size_nm
        save_training_panel(figure_path, rows, pixel_size_nm=pixel_size_nm, title=f"{level} fluorescence")
        return {name: float(np.mean([score[name] for score in scores])) for name in ("ssim", "psnr")}


def learned_psf(model: TrainedModel, acquisition: Acquisition) -> np.ndarray | None:
    """The PSF (n, n) that a network has for an acquisition, the mean over its frames; None where it has none."""
    if model.guided:
        return None
    frames = acquisition.counts(0).transpose(1, 2, 0)[None].astype(np.float32)
    psf = model(fit_min_max(frames, mode=model.normalisation).apply(frames)).psf
    return None if psf is None else np.asarray(psf)[0].mean(-1)

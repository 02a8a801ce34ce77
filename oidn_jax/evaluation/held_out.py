"""Held-out simulated scenes and the scores of methods on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax.data.errors import InputError
from oidn_jax.data.normalisation import fit_min_max
from oidn_jax.evaluation.figures import save_panel
from oidn_jax.evaluation.methods import Method, NetworkMethod, panel_rows, widefield_method
from oidn_jax.metrics import image as metrics
from oidn_jax.models.oidn import OIDN, SMALLEST_IMAGE
from oidn_jax.simulation.pairs import settings_from_config, simulate_acquisitions


@dataclass(frozen=True)
class HeldOutScenes:
    """The same scenes at every fluorescence level.

    Attributes:
        raw_frames: by fluorescence level, weakest first (low, medium, high), (scenes, h, w, frames) camera counts.
        signal_level: by fluorescence level, the signal level of each scene, from 1: a fluorescence level has several,
            which its scenes take in turn.
        target: (scenes, scale*h, scale*w, 1), min-max normalised, the same at every level.
        offset: counts of the camera without light.
    """

    raw_frames: Mapping[str, np.ndarray]
    signal_level: Mapping[str, tuple[int, ...]]
    target: np.ndarray
    offset: float


def simulate_held_out(config: Any, *, split: str = "test") -> HeldOutScenes:
    """The scenes of `config.evaluation`, whose seed no training run draws from.

    Args:
        config: its `simulation`, `evaluation` and `data` sections.
        split: "test" for what is reported, "validation" for other scenes, by which the best checkpoint is chosen.

    Raises:
        InputError: for settings that are not legal.
    """
    _check(config.evaluation)
    evaluation = config.evaluation
    settings = settings_from_config(config.simulation)
    size = (evaluation.size, evaluation.size)
    simulate = jax.jit(partial(simulate_acquisitions, settings=settings, size=size))
    key = jax.random.fold_in(jax.random.key(evaluation.seed), ("test", "validation").index(split))
    signal_level = {
        name: tuple(levels[i % len(levels)] for i in range(evaluation.scenes))
        for name, levels in settings.fluorescence.items()
    }
    acquisitions = {name: simulate(key, jnp.asarray(levels, jnp.int32) - 1) for name, levels in signal_level.items()}
    target = next(iter(acquisitions.values())).target
    return HeldOutScenes(
        raw_frames={name: np.asarray(acquisition.raw_frames) for name, acquisition in acquisitions.items()},
        signal_level=signal_level,
        target=np.asarray(fit_min_max(target).apply(target)),
        offset=settings.offset,
    )


def _check(evaluation: Any) -> None:
    if evaluation.scenes < 1 or evaluation.panels < 1 or evaluation.size < SMALLEST_IMAGE:
        raise InputError(
            f"config.evaluation has scenes={evaluation.scenes}, panels={evaluation.panels}, size={evaluation.size}; it "
            f"needs at least 1 scene of at least {SMALLEST_IMAGE} pixels, and shows at least 1 in its panels"
        )


@jax.jit
def score_images(image: Float[Array, "b h w"], target: Float[Array, "b h w"]) -> dict[str, Float[Array, "b"]]:
    """PSNR, SSIM, NRMSE and MSE of each image, in two normalisations; the target is in [0, 1], data range 1.

    `minmax_*`: the image min-max normalised, as the target is. `affine_*`: after the least-squares match
    a image + b, which no difference of brightness or offset can spoil.
    """
    scores = {}
    for name, normalised in (
        ("minmax", metrics.min_max_normalise(image)),
        ("affine", metrics.affine_match(image, target)),
    ):
        scores[f"{name}_psnr"] = metrics.psnr(normalised, target, data_range=1.0)
        scores[f"{name}_ssim"] = metrics.ssim(normalised, target, data_range=1.0)
        scores[f"{name}_nrmse"] = metrics.nrmse(normalised, target, data_range=1.0)
        scores[f"{name}_mse"] = metrics.mse(normalised, target)
    return scores


def score_methods(scenes: HeldOutScenes, methods: Mapping[str, Method]) -> list[dict[str, Any]]:
    """One row per level, method and scene: `level`, `method`, `scene`, `signal_level`, then `score_images`."""
    rows = []
    target = jnp.asarray(scenes.target[..., 0])
    for level, raw_frames in scenes.raw_frames.items():
        for name, method in methods.items():
            scores = jax.device_get(score_images(method(jnp.asarray(raw_frames)), target))
            for i in range(len(raw_frames)):
                values = {score: float(value[i]) for score, value in scores.items()}
                signal_level = scenes.signal_level[level][i]
                rows.append({"level": level, "method": name, "scene": i, "signal_level": signal_level, **values})
    return rows


class Validation:
    """The evaluation inside the training loop: mean min-max scores over all levels, and a panel."""

    def __init__(self, config: Any) -> None:
        """Checks the settings; the scenes are simulated when they are first needed."""
        _check(config.evaluation)
        self._config = config

    @cached_property
    def _scenes(self) -> HeldOutScenes:
        return simulate_held_out(self._config, split="validation")

    def __call__(self, network: OIDN, params: Any, *, figure_path: Path) -> dict[str, float]:
        """`ssim`, `psnr` over all levels and scenes; the panel shows the medium of the levels."""
        normalisation = self._config.data.normalisation
        method = NetworkMethod(network, params, normalisation=normalisation)
        rows = score_methods(self._scenes, {"oidn": method})
        levels = list(self._scenes.raw_frames)
        level = levels[len(levels) // 2]
        raw_frames = self._scenes.raw_frames[level][: self._config.evaluation.panels]
        shown = {"widefield": widefield_method(scale=network.scale), "oidn": method}
        save_panel(
            figure_path,
            panel_rows(raw_frames, shown, target=self._scenes.target),
            pixel_size_nm=network.pixel_size_nm / network.scale,
            title=f"{level} fluorescence",
        )
        return {
            "ssim": float(np.mean([row["minmax_ssim"] for row in rows])),
            "psnr": float(np.mean([row["minmax_psnr"] for row in rows])),
        }

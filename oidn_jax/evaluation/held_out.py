"""Held-out simulated scenes, and the evaluation inside the training loop."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax.data.normalisation import fit_min_max
from oidn_jax.errors import InputError
from oidn_jax.evaluation.methods import NetworkMethod, WidefieldMethod, panel_rows
from oidn_jax.figures import save_panel
from oidn_jax.metrics.image import psnr
from oidn_jax.metrics.normalisation import min_max
from oidn_jax.metrics.ssim import ssim
from oidn_jax.models.oidn import OIDN, SMALLEST_IMAGE
from oidn_jax.optics.noise import expose
from oidn_jax.simulation.pairs import settings_from_config, simulate_acquisitions

# Folded into the key of the scenes for their second exposure; scenes fold in their own small numbers.
_REPEATED = 1 << 20


@dataclass(frozen=True)
class HeldOutScenes:
    """The same scenes at every fluorescence level.

    Attributes:
        raw_frames: by fluorescence level, weakest first (low, medium, high), (scenes, h, w, frames) camera counts.
        signal_level: by fluorescence level, the signal level of each scene, from 1: a fluorescence level has several,
            which its scenes take in turn.
        target: (scenes, scale*h, scale*w, 1), min-max normalised, the same at every level.
        specimen: its name.
        pixel_size_nm: of the raw frames.
        scale: pixels of the target per raw pixel.
        offset: counts of the camera without light.
        repeated_frames: as `raw_frames`, the same light exposed once more: only the noise differs, which Fourier ring
            correlation needs. Empty where none were asked for.
    """

    raw_frames: Mapping[str, np.ndarray]
    signal_level: Mapping[str, tuple[int, ...]]
    target: np.ndarray
    specimen: str
    pixel_size_nm: float
    scale: int
    offset: float
    repeated_frames: Mapping[str, np.ndarray]


def simulate_held_out(config: Any, *, split: str = "test", repeated: bool = False) -> HeldOutScenes:
    """The scenes of `config.evaluation`, whose seed no training run draws from.

    Args:
        config: its `simulation`, `evaluation` and `data` sections.
        split: "test" for what is reported, "validation" for other scenes, by which the best checkpoint is chosen.
        repeated: also expose each scene a second time.

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

    def expose_again(level: int, photons: Array) -> np.ndarray:
        keys = [jax.random.fold_in(jax.random.fold_in(key, _REPEATED + level), scene) for scene in range(len(photons))]
        frames = [expose(k, of_scene, settings.camera) for k, of_scene in zip(keys, photons, strict=True)]
        return np.asarray(jnp.stack(frames))

    return HeldOutScenes(
        raw_frames={name: np.asarray(acquisition.raw_frames) for name, acquisition in acquisitions.items()},
        signal_level=signal_level,
        target=np.asarray(fit_min_max(target).apply(target)),
        specimen=settings.specimen,
        pixel_size_nm=settings.pixel_size_nm,
        scale=settings.scale,
        offset=settings.offset,
        repeated_frames={
            name: expose_again(i, acquisition.photons) for i, (name, acquisition) in enumerate(acquisitions.items())
        }
        if repeated
        else {},
    )


def _check(evaluation: Any) -> None:
    if evaluation.scenes < 1 or evaluation.panels < 1 or evaluation.size < SMALLEST_IMAGE:
        raise InputError(
            f"config.evaluation has scenes={evaluation.scenes}, panels={evaluation.panels}, size={evaluation.size}; it "
            f"needs at least 1 scene of at least {SMALLEST_IMAGE} pixels, and shows at least 1 in its panels"
        )


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
        target = jnp.asarray(self._scenes.target[..., 0])
        scores = [score_min_max(method(jnp.asarray(frames)), target) for frames in self._scenes.raw_frames.values()]
        levels = list(self._scenes.raw_frames)
        level = levels[len(levels) // 2]
        raw_frames = self._scenes.raw_frames[level][: self._config.evaluation.panels]
        shown = {"widefield": WidefieldMethod(scale=network.scale), "oidn": method}
        save_panel(
            figure_path,
            panel_rows(raw_frames, shown, target=self._scenes.target),
            pixel_size_nm=network.pixel_size_nm / network.scale,
            title=f"{level} fluorescence",
        )
        return {name: float(np.mean([score[name] for score in scores])) for name in ("ssim", "psnr")}


@jax.jit
def score_min_max(image: Float[Array, "b h w"], target: Float[Array, "b h w"]) -> dict[str, Float[Array, "b"]]:
    """`ssim` and `psnr` of images that are min-max normalised, as the target is; data range 1."""
    normalised = min_max(image).apply(image)
    return {"ssim": ssim(normalised, target, data_range=1.0), "psnr": psnr(normalised, target, data_range=1.0)}

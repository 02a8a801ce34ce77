"""Held-out scenes: raw frames whose truth is known, the same scenes at every fluorescence level."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from oidn_jax.acquisition import Acquisition
from oidn_jax.data.normalisation import fit_min_max
from oidn_jax.evaluation.settings import EvaluationSettings
from oidn_jax.optics.microscope import Microscope
from oidn_jax.optics.noise import Camera, CameraPixels, expose
from oidn_jax.simulation.acquisitions import SimulatedAcquisition, simulate_acquisitions
from oidn_jax.simulation.settings import Simulation

SPLITS = ("test", "validation")
# Folded into the key of the scenes for their second exposure; scenes fold in their own small numbers.
_REPEATED = 1 << 20


@dataclass(frozen=True, eq=False)
class Scenes:
    """Acquisitions and what should come out of them.

    Attributes:
        specimen: its name, as `f_actin`.
        label: in print, as "F-actin".
        microscope: what recorded them.
        raw_frames: by fluorescence level, weakest first (low, medium, high), (scenes, h, w, frames) camera counts.
        signal_level: by fluorescence level, the signal level of each scene, from 1: a fluorescence level has several,
            which its scenes take in turn.
        photons: by fluorescence level, of a frame over the foreground, mean of its signal levels.
        target: (scenes, scale*h, scale*w), min-max normalised, the same at every level.
        repeated_frames: as `raw_frames`, the same light exposed once more: only the noise differs, which Fourier ring
            correlation needs. Empty where none were asked for.
        targets: by fluorescence level, where the specimen moved and they differ; `target` is that of the last then.
        names: of measured scenes, as "Cell_036"; empty for simulated ones.
    """

    specimen: str
    label: str
    microscope: Microscope
    raw_frames: Mapping[str, Shaped[np.ndarray, "scenes h w frames"]]
    signal_level: Mapping[str, tuple[int, ...]]
    photons: Mapping[str, float]
    target: Float[np.ndarray, "scenes h2 w2"]
    repeated_frames: Mapping[str, Shaped[np.ndarray, "scenes h w frames"]]
    targets: Mapping[str, Float[np.ndarray, "scenes h2 w2"]] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    def target_at(self, level: str) -> Float[np.ndarray, "scenes h2 w2"]:
        """What should come out at a level."""
        return self.targets.get(level, self.target)

    @property
    def levels(self) -> list[str]:
        """The fluorescence levels, weakest first."""
        return list(self.raw_frames)

    def acquisitions(self, level: str, *, repeated: bool = False) -> list[Acquisition]:
        """The acquisition of each scene, as a file with these frames would give it."""
        frames = (self.repeated_frames if repeated else self.raw_frames)[level]
        return [Acquisition.of_frames(scene, self.microscope) for scene in frames]


def simulate_scenes(
    simulation: Simulation, settings: EvaluationSettings, *, split: str = "test", repeated: bool = False
) -> Scenes:
    """Scenes from a seed that no training run draws from.

    Args:
        simulation: specimen and microscope.
        settings: how many, how large, which seed.
        split: "test" for what is reported, "validation" for other scenes, by which the best checkpoint is chosen.
        repeated: also expose each scene a second time.
    """
    simulate = jax.jit(partial(simulate_acquisitions, simulation=simulation, size=(settings.size, settings.size)))
    key = jax.random.fold_in(jax.random.key(settings.seed), SPLITS.index(split))
    signal_level = {
        name: tuple(levels[i % len(levels)] for i in range(settings.scenes))
        for name, levels in simulation.settings.fluorescence_levels.items()
    }
    acquisitions = {name: simulate(key, jnp.asarray(levels, jnp.int32) - 1) for name, levels in signal_level.items()}
    target, camera = next(iter(acquisitions.values())).target, simulation.settings.camera

    def expose_again(level: int, acquired: SimulatedAcquisition) -> np.ndarray:
        def of_scene(scene: int) -> Array:
            pixels = CameraPixels(*(jnp.asarray(part)[scene] for part in acquired.camera)).for_frames(-1)
            again = jax.random.fold_in(jax.random.fold_in(key, _REPEATED + level), scene)
            return expose(again, acquired.photons[scene], pixels)

        return _as_stored(jnp.stack([of_scene(scene) for scene in range(len(acquired.photons))]), camera)

    return Scenes(
        specimen=simulation.specimen.name,
        label=simulation.specimen.label,
        microscope=simulation.microscope,
        raw_frames={name: _as_stored(acquired.raw_frames, camera) for name, acquired in acquisitions.items()},
        signal_level=signal_level,
        photons={
            name: float(np.mean([simulation.settings.mean_photons[n - 1] for n in numbers]))
            for name, numbers in simulation.settings.fluorescence_levels.items()
        },
        target=np.asarray(fit_min_max(target).apply(target))[..., 0],
        repeated_frames={name: expose_again(i, acquired) for i, (name, acquired) in enumerate(acquisitions.items())}
        if repeated
        else {},
    )


def _as_stored(counts: Array, camera: Camera) -> np.ndarray:
    """Whole counts as a camera file holds them."""
    return np.asarray(counts).astype(np.uint16 if camera.saturation <= np.iinfo(np.uint16).max else np.float32)

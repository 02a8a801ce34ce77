"""Simulated acquisitions for benchmarks: every specimen drawn once, imaged by any microscope at any light level."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from oidn_jax.optics.forward import form_raw_frames
from oidn_jax.optics.fourier import filter_image, frequency_radius
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.microscope import Microscope
from oidn_jax.optics.noise import Camera, expose
from oidn_jax.optics.otf import airy_otf
from oidn_jax.simulation.acquisitions import draw_illumination
from oidn_jax.simulation.drawing import label
from oidn_jax.simulation.settings import Simulation, SimulationSettings, specimen_settings
from oidn_jax.simulation.specimens import SPECIMENS

SIZE, MARGIN = 256, 16  # raw pixels
# In turn; written out because the number of a scene is its seed, so that another order would be other scenes.
NAMES = ("f_actin", "microtubules", "ccps", "er")

expose_frames = jax.jit(expose, static_argnames="camera")


class Scene(NamedTuple):
    """One acquisition without noise.

    Attributes:
        light: (frames, h, w).
        specimen: on the fine grid.
        target: the specimen times an Airy-shaped transfer function that ends at k_c + |p|.
        illumination: the truth.
    """

    light: Array
    specimen: Array
    target: Array
    illumination: Illumination


# The microscope of BioSR with all its nuisances.
DEFAULT = Simulation(SimulationSettings(), Microscope())
# NA 1.3, an ideal pupil, |p| = 0.92 k_c, modulation depth 0.8, even phases and no fluctuations of the light within an
# orientation; then with uneven phases and flicker, and with weak stripes.
PUPIL = Simulation(
    SimulationSettings(
        illumination_na=0.92 * 1.3 * 488.0 / 525.0,
        modulation_depth=(0.8, 0.8),
        phase_error_deg=0.0,
        frame_brightness=0.0,
        bleaching_per_frame=(0.0, 0.0),
    ),
    Microscope(na=1.3, otf_damping=1.0),
)
PUPIL_JITTER = replace(PUPIL, settings=replace(PUPIL.settings, phase_error_deg=8.0, frame_brightness=0.03))
PUPIL_WEAK = replace(PUPIL, settings=replace(PUPIL.settings, modulation_depth=(0.25, 0.25)))


class SceneCache:
    """Specimens drawn once, imaged by any microscope."""

    def __init__(self):
        self.side = SIZE + 2 * MARGIN
        self.draw = {name: self._compile_drawing(name) for name in NAMES}
        self.drawn: dict[int, Array] = {}
        self.form = jax.jit(partial(form_raw_frames, scale=2))

    def _compile_drawing(self, name: str) -> Callable[[Array], Array]:
        settings, fine_nm = specimen_settings(name), DEFAULT.microscope.fine_pixel_size_nm

        def draw(key: Array) -> Array:
            ideal = SPECIMENS[name].draw(
                key,
                (2 * self.side, 2 * self.side),
                pixel_size_nm=fine_nm,
                density=settings.density,
                brightness_variation=settings.brightness_variation,
            )
            return label(jax.random.fold_in(key, 1), ideal, labels_per_unit=settings.labels_per_um * fine_nm / 1000.0)

        return jax.jit(draw)

    def specimen(self, number: int) -> Array:
        """The specimens in turn."""
        if number not in self.drawn:
            name = NAMES[number % len(NAMES)]
            self.drawn[number] = self.draw[name](jax.random.key(number))
        return self.drawn[number]

    def take(self, simulation: Simulation, *, count: int) -> list[Scene]:
        """One acquisition of each of the first specimens."""
        otf = jnp.asarray(simulation.microscope.fine_otf(self.side, self.side), jnp.float32)
        radius = jnp.asarray(frequency_radius(2 * self.side, 2 * self.side), jnp.float32)
        draw = jax.jit(partial(draw_illumination, simulation=simulation))

        @jax.jit
        def low_pass(specimen: Array, given: Illumination) -> Array:
            reach = simulation.microscope.cutoff + jnp.linalg.norm(given.wave_vector, axis=-1).mean()
            return filter_image(specimen, airy_otf(radius, cutoff=reach / 2))

        raw, fine = slice(MARGIN, -MARGIN), slice(2 * MARGIN, -2 * MARGIN)
        scenes = []
        for i in range(count):
            specimen, given = self.specimen(i), draw(jax.random.key(1000 + i))
            light = jnp.maximum(self.form(specimen, given, otf)[:, raw, raw], 0.0)
            scenes.append(Scene(light, specimen[fine, fine], low_pass(specimen, given)[fine, fine], given))
        return scenes


def photograph(scene: Scene, camera: Camera, *, photons: Array, seed: int) -> Array:
    """The frames minus the camera's offset; `photons` is by what the light is multiplied."""
    counts = expose_frames(jax.random.key(2000 + seed), scene.light * photons, camera=camera)
    return counts - camera.offset

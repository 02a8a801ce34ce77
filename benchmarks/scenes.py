"""Simulated acquisitions for benchmarks: every specimen drawn once, imaged by any microscope at any light level."""

from collections.abc import Callable
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

expose_frames = jax.jit(expose, static_argnums=2)


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


def pupil(
    *,
    modulation_depth: float = 0.8,
    phase_error_deg: float = 0.0,
    frame_brightness: float = 0.0,
    margin: int = MARGIN,
) -> Simulation:
    """NA 1.3, an ideal pupil, |p| = 0.92 k_c; even phases and no fluctuations of the light unless they are given."""
    return Simulation(
        SimulationSettings(
            illumination_na=0.92 * 1.3 * 488.0 / 525.0,
            modulation_depth=(modulation_depth, modulation_depth),
            phase_error_deg=phase_error_deg,
            frame_brightness=frame_brightness,
            bleaching_per_frame=(0.0, 0.0),
            margin=margin,
        ),
        Microscope(na=1.3, otf_damping=1.0),
    )


def default() -> Simulation:
    """The project's own microscope with all its nuisances."""
    return Simulation(SimulationSettings(), Microscope())


class Scenes:
    """Specimens drawn once, imaged by any microscope."""

    def __init__(self):
        self.side = SIZE + 2 * MARGIN
        self.draw = {name: self._compile_drawing(name) for name in SPECIMENS}
        self.drawn: dict[int, Array] = {}
        self.form = jax.jit(partial(form_raw_frames, scale=2))

    def _compile_drawing(self, name: str) -> Callable[[Array], Array]:
        settings, fine_nm = specimen_settings(name), Microscope().fine_pixel_size_nm

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
            name = list(SPECIMENS)[number % len(SPECIMENS)]
            self.drawn[number] = self.draw[name](jax.random.key(number))
        return self.drawn[number]

    def take(self, simulation: Simulation, *, count: int) -> list[Scene]:
        """One acquisition of each of the first specimens."""
        microscope = simulation.microscope
        otf = jnp.asarray(microscope.fine_otf(self.side, self.side), jnp.float32)
        radius = jnp.asarray(frequency_radius(2 * self.side, 2 * self.side), jnp.float32)
        draw = jax.jit(partial(draw_illumination, simulation=simulation))

        @jax.jit
        def low_pass(specimen: Array, illumination: Illumination) -> Array:
            reach = microscope.cutoff + jnp.linalg.norm(illumination.wave_vector, axis=-1).mean()
            return filter_image(specimen, airy_otf(radius, cutoff=reach / 2))

        raw, fine = slice(MARGIN, -MARGIN), slice(2 * MARGIN, -2 * MARGIN)
        scenes = []
        for i in range(count):
            specimen, illumination = self.specimen(i), draw(jax.random.key(1000 + i))
            light = jnp.maximum(self.form(specimen, illumination, otf)[:, raw, raw], 0.0)
            target = low_pass(specimen, illumination)[fine, fine]
            scenes.append(Scene(light, specimen[fine, fine], target, illumination))
        return scenes


def photograph(scene: Scene, camera: Camera, *, photons: Array, seed: int) -> Array:
    """The frames minus the camera's offset; `photons` is by what the light is multiplied."""
    return expose_frames(jax.random.key(2000 + seed), scene.light * photons, camera) - camera.offset

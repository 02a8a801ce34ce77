"""What is checked: the functions of the forward model, and the set-up to check them with."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax.optics import forward, grid, illumination, noise
from oidn_jax.optics.fourier import frequency_radius
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.microscope import Microscope
from oidn_jax.optics.noise import Camera
from oidn_jax.optics.otf import airy_otf, psf_of_otf


class Model(NamedTuple):
    """The functions under check, by default those of `oidn_jax.optics`."""

    in_space: Callable[..., Array] = forward.form_raw_frames_in_space
    in_fourier: Callable[..., Array] = forward.form_raw_frames
    back_project: Callable[..., Array] = forward.back_project
    patterns: Callable[..., Array] = illumination.patterns
    otf: Callable[..., Any] = airy_otf
    psf_of_otf: Callable[..., Array] = psf_of_otf
    bin_pixels: Callable[..., Array] = grid.bin_pixels
    expose: Callable[..., Array] = noise.expose


@dataclass(frozen=True)
class Setup:
    """What a check needs to know.

    Attributes:
        microscope: its objective, pixels and frames.
        illumination_frequency: modulus of the wave vectors, cycles per raw pixel.
        angles: directions of the wave vectors, radians; one for each orientation.
        camera: the camera.
        size: side of the raw frames, pixels.
    """

    microscope: Microscope
    illumination_frequency: float
    angles: tuple[float, ...] = (1.48, 2.5272, 3.5744)
    camera: Camera = field(default_factory=Camera)
    size: int = 32

    @property
    def scale(self) -> int:
        """Fine pixels per raw pixel."""
        return self.microscope.scale

    @property
    def shape(self) -> tuple[int, int]:
        """Of the fine grid."""
        return self.scale * self.size, self.scale * self.size

    def optical_otf(self, model: Model) -> np.ndarray:
        """OTF of the objective on the fine grid."""
        microscope, radius = self.microscope, self.scale * frequency_radius(*self.shape)
        if microscope.measured_otf is not None:
            return microscope.measured_otf(radius, pixel_size_nm=microscope.pixel_size_nm, cutoff=microscope.cutoff)
        return np.asarray(model.otf(radius, cutoff=microscope.cutoff, damping=microscope.otf_damping))

    def otf(self, model: Model) -> Float[Array, "h w"]:
        """OTF on the fine grid, with what makes an exact camera pixel of binning."""
        integrate = self.microscope.integrate_pixel and self.microscope.measured_otf is None
        pixel = forward.pixel_transfer(*self.shape, scale=self.scale, integrate=integrate)
        return jnp.asarray(self.optical_otf(model) * pixel, jnp.float32)

    def illumination(self, key: Array) -> Illumination:
        """Patterns with uneven phases, depths and brightness."""
        phase_key, depth_key, brightness_key = jax.random.split(key, 3)
        count, phases = len(self.angles), self.microscope.phases
        return Illumination(
            illumination.wave_vectors(jnp.asarray(self.angles), jnp.full(count, self.illumination_frequency)),
            2.0 * math.pi * jax.random.uniform(phase_key, (count, phases)),
            jax.random.uniform(depth_key, (count,), minval=0.3, maxval=0.9),
            jax.random.uniform(brightness_key, (count, phases), minval=0.8, maxval=1.2),
        )

    def specimen(self, key: Array) -> Float[Array, "h w"]:
        """Points of random brightness: an object with every frequency."""
        return jax.random.exponential(key, self.shape)


class Law(NamedTuple):
    """A law of the forward model: its statement, what measures its violation, and how much of it rounding explains."""

    statement: str
    violation: Callable[[Model, Setup, Array], Array]
    tolerance: float


class Check(NamedTuple):
    """A law's outcome."""

    statement: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is finite and within the tolerance."""
        return math.isfinite(self.error) and self.error <= self.tolerance


def check(laws: Sequence[Law], setup: Setup, *, model: Model | None = None, seed: int = 0) -> list[Check]:
    """The violation of every law, computed by one compiled program."""

    def violations(key: Array) -> list[Array]:
        return [law.violation(model or Model(), setup, key) for law in laws]

    errors = jax.jit(violations)(jax.random.key(seed))
    return [Check(law.statement, float(error), law.tolerance) for law, error in zip(laws, errors, strict=True)]

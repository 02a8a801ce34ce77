"""What is checked: the functions of the forward model and a microscope to check them with."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax.optics import camera, forward, grid, illumination
from oidn_jax.optics.camera import Camera
from oidn_jax.optics.fourier import frequency_radius
from oidn_jax.optics.illumination import Illumination
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
    expose: Callable[..., Array] = camera.expose


class Microscope(NamedTuple):
    """The microscope of a check; lengths in raw pixels, frequencies in cycles per raw pixel.

    Attributes:
        cutoff: of the OTF.
        illumination_frequency: modulus of the wave vectors.
        angles: directions of the wave vectors, radians.
        phases: of each direction.
        scale: fine pixels per raw pixel.
        damping: of the theoretical OTF.
        integrate_pixel: whether the camera pixel comes on top of the OTF.
        measured: a measured OTF as a function of the modulus of the frequency in cycles per raw pixel, in place of the
            theoretical one; cut off at `cutoff`, beyond which no light passes.
        camera: the camera.
        size: side of the raw frames.
    """

    cutoff: float
    illumination_frequency: float
    angles: tuple[float, ...] = (1.48, 2.5272, 3.5744)
    phases: int = 3
    scale: int = 2
    damping: float = 1.0
    integrate_pixel: bool = False
    measured: Callable[[np.ndarray], np.ndarray] | None = None
    camera: Camera = Camera()
    size: int = 32

    @property
    def shape(self) -> tuple[int, int]:
        """Of the fine grid."""
        return self.scale * self.size, self.scale * self.size

    def optical_otf(self, model: Model) -> np.ndarray:
        """OTF of the objective on the fine grid."""
        radius = self.scale * frequency_radius(*self.shape)
        if self.measured is not None:
            return np.where(radius < self.cutoff, self.measured(radius), 0.0)
        return np.asarray(model.otf(radius, cutoff=self.cutoff, damping=self.damping))

    def otf(self, model: Model) -> Float[Array, "h w"]:
        """OTF on the fine grid, with what makes an exact camera pixel of binning."""
        pixel = forward.pixel_transfer(*self.shape, scale=self.scale, integrate=self.integrate_pixel)
        return jnp.asarray(self.optical_otf(model) * pixel, jnp.float32)

    def illumination(self, key: Array) -> Illumination:
        """Patterns with uneven phases, depths and brightness."""
        phase_key, depth_key, brightness_key = jax.random.split(key, 3)
        count = len(self.angles)
        return Illumination(
            illumination.wave_vectors(jnp.asarray(self.angles), jnp.full(count, self.illumination_frequency)),
            2.0 * math.pi * jax.random.uniform(phase_key, (count, self.phases)),
            jax.random.uniform(depth_key, (count,), minval=0.3, maxval=0.9),
            jax.random.uniform(brightness_key, (count, self.phases), minval=0.8, maxval=1.2),
        )

    def specimen(self, key: Array) -> Float[Array, "h w"]:
        """Points of random brightness: an object with every frequency."""
        return jax.random.exponential(key, self.shape)


class Law(NamedTuple):
    """A law of the forward model: its statement, what measures its violation, and how much of it rounding explains."""

    statement: str
    violation: Callable[[Model, Microscope, Array], Array]
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


def check(laws: Sequence[Law], microscope: Microscope, *, model: Model | None = None, seed: int = 0) -> list[Check]:
    """The violation of every law, computed by one compiled program."""

    def violations(key: Array) -> list[Array]:
        return [law.violation(model or Model(), microscope, key) for law in laws]

    errors = jax.jit(violations)(jax.random.key(seed))
    return [Check(law.statement, float(error), law.tolerance) for law, error in zip(laws, errors, strict=True)]

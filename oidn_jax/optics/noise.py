"""The camera: photons to counts, and the noise of counts.

counts = clip(round(gain (Poisson(photons) + Normal(0, read_noise)) + offset), 0, saturation)

Photons are detected ones (photo-electrons): the quantum efficiency is part of the light level.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax import random
from oidn_jax.errors import IllegalValue

# Below, Poisson numbers come from the exact distribution; above, from its expansion around the normal one.
SMALL_MEAN = 8.0
_TERMS = 28  # P(N >= 28) < 3e-8 for a mean of 8


class NoiseModel(NamedTuple):
    """The noise of camera counts: variance = gain max(counts - offset, 0) + dark_variance.

    Scalars, or one entry per orientation: some programs rescale the orientations before they store them. Of uneven
    illumination that was divided out, (orientations, h, w).

    Attributes:
        gain: counts per photo-electron; 0 where the noise does not depend on the light, as far as is known.
        offset: counts without light.
        dark_variance: counts squared, without light: of the read noise, the dark current and the rounding.
    """

    gain: float | Array | np.ndarray
    offset: float | Array | np.ndarray
    dark_variance: float | Array | np.ndarray

    def variance(self, counts: Float[Array, "*orientations_and_rest"]) -> Float[Array, "*orientations_and_rest"]:
        """Of counts, the orientations on their first axis where the numbers are per orientation.

        At least that of one photo-electron, gain^2: less is a pixel that happens to be dark.
        """
        gain, offset, dark = (
            part.reshape(part.shape[:1] + (1,) * (counts.ndim - part.ndim) + part.shape[1:])
            for part in (jnp.asarray(part, jnp.float32) for part in self)
        )
        return jnp.maximum(gain * jnp.maximum(counts - offset, 0.0) + dark, jnp.maximum(gain**2, 1e-6))


@dataclass(frozen=True)
class Camera:
    """A noise model with saturation, in the terms of a data sheet; the defaults are a scientific CMOS.

    Attributes:
        gain: counts per photo-electron.
        offset: counts without light.
        read_noise: standard deviation, electrons.
        saturation: largest count.

    Raises:
        IllegalValue: for numbers that no camera has.
    """

    gain: float = 1.0
    offset: float = 100.0
    read_noise: float = 1.6
    saturation: float = 65535.0

    def __post_init__(self) -> None:
        if not 0 < self.gain < math.inf:
            raise IllegalValue("gain", self.gain, "it must be positive")
        for name in ("offset", "read_noise"):
            if not 0 <= getattr(self, name) < math.inf:
                raise IllegalValue(name, getattr(self, name), "it must not be negative")
        if not self.saturation > self.offset or (self.saturation != math.inf and self.saturation % 1):
            legal = f"it must be a whole number above the offset, which is {self.offset:g}"
            raise IllegalValue("saturation", self.saturation, legal)

    @property
    def noise(self) -> NoiseModel:
        """Of unsaturated counts: dark variance gain^2 read_noise^2 + 1/12, the last for the rounding."""
        return NoiseModel(self.gain, self.offset, self.gain**2 * self.read_noise**2 + 1.0 / 12.0)


class CameraPixels(NamedTuple):
    """A camera whose pixels differ, as those of a CMOS do; each part is a number or has the shape of the counts.

    Attributes:
        gain: counts per photo-electron.
        offset: counts without light.
        read_noise: standard deviation, electrons.
        saturation: largest count.
    """

    gain: float | Array
    offset: float | Array
    read_noise: float | Array
    saturation: float | Array

    def for_frames(self, axis: int) -> "CameraPixels":
        """Of maps (h, w), those that go with several frames on a further axis."""
        gain, offset, read_noise = (jnp.expand_dims(part, axis) for part in self[:3])
        return CameraPixels(gain, offset, read_noise, self.saturation)

    @property
    def variance(self) -> Float[Array, "h w"]:
        """Of unsaturated counts without light, counts squared: as `Camera.noise` has it."""
        return jnp.asarray(self.gain) ** 2 * jnp.asarray(self.read_noise) ** 2 + 1.0 / 12.0


def poisson(key: Array, mean: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Poisson numbers as floats, from one normal number w per pixel.

    Mean below `SMALL_MEAN`: the number of terms of the cumulative distribution below Phi(w), which is exact. Above:
    the Cornish-Fisher expansion of the inverse distribution (Giles, ACM TOMS 42, 7 (2016), Q_N2),

        floor(mean + sqrt(mean) w + (w^2 + 2) / 6 - (w + w^3 / 2) / (36 sqrt(mean))
              + (-8 / 405 + 7 w^2 / 810 + w^4 / 270) / mean)

    within 3e-4 of the distribution in total variation, of the variance within 4e-4 and of the mean within 2e-6, at a
    mean of 8, and better above (`python -m benchmarks.simulation`). On a CPU many times as fast as jax.random.poisson.
    """
    return poisson_quantile(random.normal(key, mean.shape), mean)


def poisson_quantile(w: Float[Array, "*shape"], mean: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The Poisson number at which the cumulative distribution reaches Phi(w)."""
    small = jnp.clip(mean, 0.0, SMALL_MEAN)
    uniform = jax.scipy.special.ndtr(w)
    term = cumulative = jnp.exp(-small)
    exact = jnp.zeros_like(mean)
    for n in range(1, _TERMS):
        exact = exact + (uniform > cumulative)
        term = term * small / n
        cumulative = cumulative + term
    large = jnp.maximum(mean, SMALL_MEAN)
    root = jnp.sqrt(large)
    expanded = large + root * w + (w**2 + 2.0) / 6.0 - (w + w**3 / 2.0) / (36.0 * root)
    expanded = expanded + (-8.0 / 405.0 + 7.0 * w**2 / 810.0 + w**4 / 270.0) / large
    return jnp.where(mean < SMALL_MEAN, exact, jnp.maximum(jnp.floor(expanded), 0.0))


def expose(key: Array, photons: Float[Array, "*shape"], camera: Camera | CameraPixels) -> Float[Array, "*shape"]:
    """What the camera writes: whole counts, as floats."""
    photon_noise, read_noise = random.normal(key, (2, *photons.shape))
    electrons = poisson_quantile(photon_noise, photons) + camera.read_noise * read_noise
    return jnp.clip(jnp.round(camera.gain * electrons + camera.offset), 0.0, camera.saturation)

"""An OTF as a table, a pytree: compiled functions take any microscope without compiling anew."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax.optics.otf import airy_otf, otf_cutoff, radial_otf

_SAMPLES = 2048


class TransferFunction(NamedTuple):
    """A radially symmetric OTF H(|k|), 1 at zero frequency and 0 from the cutoff on.

    Attributes:
        values: (samples,), evenly spaced from zero frequency on.
        step: scalar, their spacing in cycles per raw pixel.
        cutoff: scalar, cycles per raw pixel.
        unmixed: scalar, the largest component of a frequency that is used; None for no limit. From half a cycle per
            pixel on the camera mixes a frequency with a stronger one.
    """

    values: Array
    step: Array
    cutoff: Array
    unmixed: Array | None = None

    @classmethod
    def theoretical(
        cls,
        *,
        na: float,
        emission_wavelength_nm: float,
        pixel_size_nm: float,
        damping: float = 1.0,
        integrate_pixel: bool = False,
    ) -> "TransferFunction":
        """`airy_otf` of an objective; arguments and errors as there and in `otf_cutoff`.

        With `integrate_pixel` times sinc(k_y) sinc(k_x) of a square camera pixel, which depends on the direction by
        less than 0.5 % up to half a cycle per pixel; the mean of axis and diagonal is taken.
        """
        cutoff = otf_cutoff(na=na, emission_wavelength_nm=emission_wavelength_nm, pixel_size_nm=pixel_size_nm)
        frequency = np.linspace(0.0, cutoff, _SAMPLES)
        values = airy_otf(frequency, cutoff=cutoff, damping=damping)
        if integrate_pixel:
            values = values * (np.sinc(frequency) + np.sinc(frequency / np.sqrt(2.0)) ** 2) / 2.0
        return cls.from_samples(values, cutoff=cutoff)

    @classmethod
    def measured(cls, values: np.ndarray, *, step: float, cutoff: float) -> "TransferFunction":
        """A measured radial OTF within the theoretical cutoff, beyond which samples are noise (`radial_otf`).

        Args:
            values: samples from zero frequency on.
            step: their spacing, cycles per raw pixel.
            cutoff: from `otf_cutoff`, cycles per raw pixel.
        """
        return cls.from_samples(radial_otf(np.linspace(0.0, cutoff, _SAMPLES), values=values, step=step), cutoff=cutoff)

    @classmethod
    def from_samples(cls, values: np.ndarray, *, cutoff: float) -> "TransferFunction":
        """Samples at even steps from zero frequency to the cutoff."""
        step = cutoff / (len(values) - 1)
        return cls(jnp.asarray(values, jnp.float32), jnp.float32(step), jnp.float32(cutoff))

    def __call__(self, ky: Float[Array, "..."], kx: Float[Array, "..."]) -> Float[Array, "..."]:
        """H at the frequencies (k_y, k_x), cycles per raw pixel, arrays that broadcast; linearly interpolated."""
        otf = self.at(jnp.hypot(ky, kx))
        if self.unmixed is None:
            return otf
        return jnp.where(jnp.maximum(jnp.abs(ky), jnp.abs(kx)) < self.unmixed, otf, 0.0)

    def at(self, radius: Float[Array, "..."]) -> Float[Array, "..."]:
        """H at frequencies of this modulus."""
        position = radius / self.step
        below = jnp.clip(jnp.floor(position).astype(jnp.int32), 0, self.values.shape[0] - 2)
        fraction = position - below
        otf = (1.0 - fraction) * self.values[below] + fraction * self.values[below + 1]
        return jnp.where(radius < self.cutoff, otf, 0.0)

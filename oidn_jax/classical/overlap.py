"""Where band 0 and a moved band +1 both carry signal: there they are compared."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from oidn_jax.optics.fourier import frequencies
from oidn_jax.optics.grid import fine_positions

# Parts of the cutoff: below, images have too much power; above, the Airy OTF falls below 0.02.
_LOW, _HIGH = 0.2, 0.934


def overlap(wave_vector: Array, size: tuple[int, int], cutoff: Array) -> tuple[Array, Array]:
    """Where band 0 and the moved band overlap, (h, w), seen from band 0 and from band +1."""

    def both(sign: float) -> Array:
        inside = jnp.ones(size, bool)
        for offset in (0.0, sign):
            ky, kx = shifted_frequencies(offset * wave_vector, size)
            square = ky**2 + kx**2
            inside &= (square > (_LOW * cutoff) ** 2) & (square < (_HIGH * cutoff) ** 2)
        return inside

    return both(1.0), both(-1.0)


def shifted_frequencies(shift: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """Frequencies (k_y, k_x) + shift of a grid of `size`, cycles per raw pixel, zero first, (h, 1) and (1, w)."""
    ky, kx = (jnp.asarray(frequencies(n), jnp.float32) + s for n, s in zip(size, shift, strict=True))
    return ky[:, None], kx[None, :]


def positions(size: int) -> Float[Array, "n"]:
    """Raw pixels of an axis, counted from the one that phases refer to."""
    return jnp.asarray(fine_positions(size, scale=1), jnp.float32)

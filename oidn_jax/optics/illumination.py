"""Sinusoidal illumination of structured illumination microscopy.

I_on(r) = 1 + m_o cos(2 pi p_o . r + phi_on), orientation o, phase n; p in cycles per pixel of the grid r is counted in.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def wave_vectors(
    angles: Float[Array, "orientations"], frequency: Float[Array, "orientations"]
) -> Float[Array, "orientations 2"]:
    """Wave vectors (y, x) = frequency (sin, cos) of the angles in radians; y points down, as rows are stored."""
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1) * frequency[:, None]


def sinusoidal_illumination(
    shape: tuple[int, int],
    *,
    wave_vector: Float[Array, "orientations 2"],
    phase: Float[Array, "orientations phases"],
    modulation_depth: Float[Array, "orientations"],
) -> Float[Array, "orientations phases h w"]:
    """Patterns of mean 1 and range [1 - m, 1 + m]; the first pixel of the grid is the origin of the phase."""
    y, x = jnp.arange(shape[0], dtype=jnp.float32), jnp.arange(shape[1], dtype=jnp.float32)
    # Rank promotion is off in the tests, so the axes are spelt out: orientations, phases, y, x.
    along_y = wave_vector[:, 0, None, None, None] * y[None, None, :, None]
    along_x = wave_vector[:, 1, None, None, None] * x[None, None, None, :]
    argument = 2.0 * jnp.pi * (along_y + along_x) + phase[:, :, None, None]
    return 1.0 + modulation_depth[:, None, None, None] * jnp.cos(argument)

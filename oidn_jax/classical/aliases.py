"""Wave vectors of frames whose pixels are too coarse for the objective.

Sampled frames cannot tell a pattern p from p + n, n whole numbers, and where the OTF's cutoff exceeds half a cycle per
pixel several of these copies may be a pattern's. The moved band tells: it is S(k) H(k + p), so that it agrees with
band 0, S(k) H(k), in the lens between 0 and -p, and in that of another copy it does not. The evidence of a copy is the
coherence of the bands there times the square root of the lens's frequencies, 1 for bands that have nothing in common.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax.classical.regression import regress
from oidn_jax.optics.transfer import TransferFunction

AMBIGUOUS = 0.5  # of the evidence of the copy that is taken, for another one to be as good


def choose_copies(
    faded_frames: Float[Array, "orientations phases h w"],
    wave_vector: Float[Array, "orientations 2"],
    otf: TransferFunction,
    *,
    ring: tuple[float | Array, float | Array],
) -> tuple[Float[Array, "orientations 2"], Float[Array, "orientations"]]:
    """Of the copies of each wave vector within a ring the one with the most evidence, and the next best's part of it.

    Args:
        faded_frames: of even brightness, fading out at the border.
        wave_vector: to a pixel of the spectrum, cycles per raw pixel.
        otf: of a raw frame.
        ring: smallest and largest |p|, cycles per raw pixel.
    """
    steps = jnp.asarray(np.array(list(itertools.product((-1, 0, 1), repeat=2))), jnp.float32)

    def of_orientation(part: tuple[Array, Array]) -> tuple[Array, Array]:
        frames, vector = part
        copies = vector[None] + steps

        def evidence(copy: Array) -> Array:
            regression = regress(frames, copy, otf=otf)
            length = jnp.linalg.norm(copy)
            inside = (length >= ring[0]) & (length <= ring[1]) & (regression.overlap > 0)
            return jnp.where(inside, regression.coherence * jnp.sqrt(regression.overlap), 0.0)

        score = jax.lax.map(evidence, copies)
        best = jnp.argmax(score)
        return copies[best], score.at[best].set(0.0).max() / jnp.maximum(score[best], 1e-12)

    return jax.lax.map(of_orientation, (faded_frames, wave_vector))

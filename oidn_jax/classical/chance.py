"""How often acquisitions without stripes give peaks like those found: the false-alarm probability.

The correlation at p is a sum over the field, X(p) = sum_r g(r) exp(-2 pi i p.r) with g = b1 conj b0. Each block of
8 x 8 pixels contributes a_j exp(i theta_j). With stripes the theta_j agree; without, they are those of noise or of
movement, independent and uniform, whatever the a_j are. Then, for every s (Chernoff's bound, I0 Bessel's function),

    ln P(|X| >= t) <= sum_j ln I0(s a_j) - s t,

which is exp(-t^2 / sum a_j^2) for many equal blocks, and less where few bright ones cannot add up to more. So neither
a sparse object nor a drifting one looks like stripes, as each block's own light is in the bound.

A peak may be anywhere in the ring; but where another orientation is certain, a peak of a turned grating's length and
direction has few places to be, and needs less to be believed.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

SURE = 0.001  # a false-alarm probability that is small enough to believe in stripes
LENGTHS, STEPS = 0.03, math.radians(4.0)  # how far lengths, and the angles between directions, may differ
_BLOCK = 8  # pixels
_RESOLVED = 2.5  # a block is independent of its neighbours where it is this many times as long as 1 / k_c
_PER_PIXEL = 4.0  # positions tried per frequency pixel, as the maximum is looked for between them too
_SLOPES = 24


def alignment(product: Complex[Array, "h w"], vector: Float[Array, "2"], *, cutoff: float | Array) -> Float[Array, ""]:
    """-log2 of the bound for one position: how surely the blocks agree, 0 for not at all.

    Args:
        product: g, of one orientation.
        vector: p, cycles per raw pixel.
        cutoff: of the OTF, cycles per raw pixel.
    """
    h, w = (n // _BLOCK * _BLOCK for n in product.shape)
    waves = [jnp.exp(-2j * jnp.pi * v * jnp.arange(n)) for v, n in zip(vector, (h, w), strict=True)]
    turned = product[:h, :w] * waves[0][:, None] * waves[1][None, :]
    blocks = turned.reshape(h // _BLOCK, _BLOCK, w // _BLOCK, _BLOCK).sum((1, 3)).ravel()
    blocks = blocks / jnp.maximum(jnp.sqrt(jnp.sum(jnp.abs(blocks) ** 2)), 1e-30)
    part, total = jnp.abs(blocks), jnp.abs(blocks.sum())
    # For equal blocks the best s is 2 t / sum a^2; the more unequal they are, or the better they agree, the larger.
    slope = 2.0 * total * jnp.geomspace(1.0, 64.0, _SLOPES)
    steep = slope[:, None] * part[None, :]
    bound = jnp.sum(jnp.log(jax.scipy.special.i0e(steep)) + steep, axis=1) - slope * total
    independent = jnp.minimum(1.0, (_BLOCK * cutoff / _RESOLVED) ** 2)
    return independent * jnp.maximum(-bound.min(), 0.0) / math.log(2.0)


def false_alarm(
    bits: Float[Array, "orientations"],
    vector: Float[Array, "orientations 2"],
    *,
    size: tuple[int, int],
    ring: tuple[float | Array, float | Array],
) -> Float[Array, "orientations"]:
    """Probability of each orientation's peak by chance, 0 to 1.

    With N positions in the ring and M of the length (3 %) and direction (4 degrees) that the surest orientation leaves
    to another, P = N 2^-bits alone; of orientations that fit the surest one, M 2^-bits + P of the surest; and of that
    one at most N 2^-bits prod M 2^-bits over those that fit it.

    Args:
        bits: of `alignment`.
        vector: where, cycles per raw pixel.
        size: (h, w) of the frames.
        ring: limits of |p| searched, cycles per raw pixel.
    """
    count, pixels = bits.shape[0], size[0] * size[1]
    places = jnp.maximum(_PER_PIXEL * math.pi * (ring[1] ** 2 - ring[0] ** 2) * pixels, 1.0)
    surest = jnp.argmax(bits)
    length = jnp.linalg.norm(vector, axis=-1)
    reference = length[surest]
    # +-3 % of the length times +-4 degrees, of every direction of the grating but the surest one's, either way round.
    left = _PER_PIXEL * 2 * LENGTHS * 2 * STEPS * reference**2 * pixels * 2 * max(count - 1, 1)
    left = jnp.maximum(left, 1.0)
    angle = jnp.arctan2(vector[:, 0], vector[:, 1])
    steps = (angle - angle[surest]) * count / jnp.pi
    off = jnp.abs(steps - jnp.rint(steps)) * jnp.pi / count
    another = jnp.mod(jnp.rint(steps), count) != 0
    fits = (jnp.abs(length / reference - 1.0) <= LENGTHS) & (off <= STEPS) & another
    alone = jnp.log2(places) - bits
    given = jnp.log2(left) - bits
    first = alone[surest] + jnp.sum(jnp.where(fits, jnp.minimum(given, 0.0), 0.0))
    first = jnp.exp2(jnp.minimum(first, 0.0))
    chance = jnp.exp2(jnp.minimum(alone, 0.0))
    together = jnp.where(fits, jnp.exp2(jnp.minimum(given, 0.0)) + first, 1.0)
    return jnp.minimum(jnp.minimum(chance, together), jnp.where(jnp.arange(count) == surest, first, 1.0))

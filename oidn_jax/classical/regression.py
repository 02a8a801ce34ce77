"""Phases and modulation depth by regression of band +1 on band 0 in their overlap.

    m exp(i phi) = sum_k H(k + p) H(k) B1(k + p) conj B0(k)  /  sum_k H(k + p)^2 (|B0(k)|^2 - sigma^2),

sigma^2 being the noise power of B0: without subtracting it, noise dilutes the modulation depth. B0 and B1 are the mean
and the first harmonic of frames whose phases are even steps of a period; any others are for `classical.phases`.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from oidn_jax.classical.overlap import in_overlap
from oidn_jax.classical.spectra import noise_power
from oidn_jax.optics.transfer import TransferFunction


class Regression(NamedTuple):
    """Of one orientation, with even steps."""

    phases: Array
    depth: Array
    depth_with_noise: Array
    coherence: Array
    overlap: Array


def regress(frames: Float[Array, "phases h w"], vector: Float[Array, "2"], *, otf: TransferFunction) -> Regression:
    """Phases and modulation depth of one orientation, from frames that fade out at the border.

    B0 and B1 are combinations of the frames; so all needs only the products of each frame at k + p with each at k, and
    of those among themselves.
    """
    count = frames.shape[0]
    seen = in_overlap(frames, vector, otf=otf)
    cross, own = _inner_products(seen.moved, seen.at_rest), _inner_products(seen.at_rest, seen.at_rest).real
    noise = noise_power(jnp.abs(seen.spectra.mean(0, keepdims=True)) ** 2, cutoff=otf.cutoff)[0]
    noise = noise * jnp.sum(seen.moved_transfer**2)

    even = 2.0 * jnp.pi * jnp.arange(count) / count
    first = 2.0 / count * jnp.exp(-1j * even)
    mean = jnp.full(count, 1.0 / count)
    raw, power = first @ cross @ mean, mean @ own @ mean
    energy = (first @ _inner_products(seen.moved, seen.moved) @ jnp.conj(first)).real * power
    return Regression(
        phases=wrapped(jnp.angle(raw) + even),
        depth=jnp.abs(raw) / jnp.maximum(power - noise, 1e-3 * power),
        depth_with_noise=jnp.abs(raw) / power,
        coherence=jnp.abs(raw) / jnp.sqrt(energy),
        overlap=seen.inside.sum(),
    )


def _inner_products(a: Complex[Array, "n h w"], b: Complex[Array, "m h w"]) -> Complex[Array, "n m"]:
    """sum a_n conj b_m over the pixels."""
    return a.reshape(a.shape[0], -1) @ jnp.conj(b).reshape(b.shape[0], -1).T


def wrapped(phase: Array) -> Array:
    """Phases from -pi to pi."""
    return jnp.angle(jnp.exp(1j * phase))

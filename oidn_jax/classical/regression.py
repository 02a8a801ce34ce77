"""Phases and modulation depth by regression of band +1 on band 0 in their overlap.

    m exp(i phi) = sum_k H(k + p) H(k) B1(k + p) conj B0(k)  /  sum_k H(k + p)^2 (|B0(k)|^2 - sigma^2),

sigma^2 being the noise power of B0: without subtracting it, noise dilutes the modulation depth. B0 and B1 are the mean
and the first harmonic of frames whose phases are even steps of a period. Other phases are for `classical.phases`, where
frames hold one wave. Where they may hold two harmonics each frame's own phase is from here: B1 is 2 (D_n - C0), and C0
follows from the frames by least squares with the phases found so far, several times over.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from oidn_jax.classical.overlap import in_overlap
from oidn_jax.classical.spectra import noise_power
from oidn_jax.optics.transfer import TransferFunction

_PHASE_ROUNDS = 6


class Regression(NamedTuple):
    """Of one orientation, with even steps.

    The last three are what `single_phases` needs: products of the frames at k + p with those at k, of these among
    themselves, and the noise in the latter.
    """

    phases: Array
    depth: Array
    depth_with_noise: Array
    coherence: Array
    overlap: Array
    cross: Array
    own: Array
    noise: Array


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
        cross=cross,
        own=own,
        noise=count * noise,
    )


def single_phases(even: Regression) -> tuple[Float[Array, "phases"], Float[Array, ""]]:
    """The phase of each frame, and the modulation depth they have in common."""
    identity, phase = jnp.eye(even.phases.shape[0]), even.phases
    response = jnp.zeros_like(phase, jnp.complex64)
    for _ in range(_PHASE_ROUNDS):
        rows = jnp.stack([jnp.ones_like(phase), jnp.cos(phase), -jnp.sin(phase)], -1)
        still = jnp.linalg.pinv(rows)[0]  # C0 = sum_n still_n D_n
        power = still @ even.own @ still
        strength = power - even.noise * jnp.sum(still**2)
        response = 2.0 * (identity - still[None, :]) @ even.cross @ still / jnp.maximum(strength, 1e-3 * power)
        phase = jnp.angle(response)
    return phase, jnp.abs(response).mean()


def _inner_products(a: Complex[Array, "n h w"], b: Complex[Array, "m h w"]) -> Complex[Array, "n m"]:
    """sum a_n conj b_m over the pixels."""
    return a.reshape(a.shape[0], -1) @ jnp.conj(b).reshape(b.shape[0], -1).T


def wrapped(phase: Array) -> Array:
    """Phases from -pi to pi."""
    return jnp.angle(jnp.exp(1j * phase))

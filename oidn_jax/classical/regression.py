"""Phases and modulation depth by regression of band +1 on band 0 in their overlap.

    m exp(i phi) = sum_k H(k + p) H(k) B1(k + p) conj B0(k)  /  sum_k H(k + p)^2 (|B0(k)|^2 - sigma^2),

sigma^2 being the noise power of B0: without subtracting it, noise dilutes the modulation depth. For even phases B1 is
the first harmonic of the frames. For the phase of each frame, B1 is 2 (D_n - C0), and C0 follows from the frames by
least squares with the phases found so far, several times over.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from oidn_jax.classical.overlap import overlap, positions, shifted_frequencies
from oidn_jax.classical.spectra import noise_power
from oidn_jax.optics.fourier import fft2
from oidn_jax.optics.transfer import TransferFunction

_PHASE_ROUNDS = 6
_PHASE_ERROR = 1.75  # radians, times the confidence


class Regression(NamedTuple):
    """Of one orientation, with even steps and with a phase for each frame."""

    even_phases: Array
    even_depth: Array
    single_phases: Array
    single_depth: Array
    depth_with_noise: Array
    coherence: Array
    overlap: Array


def regress(frames: Float[Array, "phases h w"], vector: Float[Array, "2"], *, otf: TransferFunction) -> Regression:
    """Phases and modulation depth of one orientation, from frames that fade out at the border.

    Whatever the phases, C0 and B1 are combinations of the frames; so all rounds need only the products of each frame
    at k + p with each at k, and of those among themselves.
    """
    count, h, w = frames.shape
    y, x = (jnp.exp(-2j * jnp.pi * v * positions(n)) for v, n in zip(vector, (h, w), strict=True))
    inside, _ = overlap(vector, (h, w), otf.cutoff)
    here, there = (inside * otf(*shifted_frequencies(shift, (h, w))) for shift in (jnp.zeros(2), vector))
    spectra = fft2(frames)
    rest = there[None] * spectra
    moved = here[None] * fft2(frames * (y[:, None] * x[None, :])[None])
    cross, own = _inner_products(moved, rest), _inner_products(rest, rest).real
    # Band 0 of even phases is the mean, whose noise is one over the number of frames of a frame's.
    noise = count * noise_power(jnp.abs(spectra.mean(0, keepdims=True)) ** 2, cutoff=otf.cutoff)[0]
    noise = noise * jnp.sum(there**2)

    even = 2.0 * jnp.pi * jnp.arange(count) / count
    first = 2.0 / count * jnp.exp(-1j * even)
    mean = jnp.full(count, 1.0 / count)
    raw = first @ cross @ mean
    debiased = raw / jnp.maximum(mean @ own @ mean - noise / count, 1e-3 * (mean @ own @ mean))
    single, depth = _single_phases(jnp.angle(raw) + even, cross=cross, own=own, noise=noise)
    energy = (first @ _inner_products(moved, moved) @ jnp.conj(first)).real * (mean @ own @ mean)
    return Regression(
        even_phases=wrapped(jnp.angle(raw) + even),
        even_depth=jnp.abs(debiased),
        single_phases=wrapped(single),
        single_depth=depth,
        depth_with_noise=jnp.abs(raw) / (mean @ own @ mean),
        coherence=jnp.abs(raw) / jnp.sqrt(energy),
        overlap=inside.sum(),
    )


def _inner_products(a: Complex[Array, "n h w"], b: Complex[Array, "m h w"]) -> Complex[Array, "n m"]:
    """sum a_n conj b_m over the pixels."""
    return a.reshape(a.shape[0], -1) @ jnp.conj(b).reshape(b.shape[0], -1).T


def _single_phases(
    phase: Float[Array, "phases"], *, cross: Array, own: Array, noise: Array
) -> tuple[Float[Array, "phases"], Float[Array, ""]]:
    """The phase of each frame, and the modulation depth they have in common."""
    identity = jnp.eye(phase.shape[0])
    response = jnp.zeros_like(phase, jnp.complex64)
    for _ in range(_PHASE_ROUNDS):
        rows = jnp.stack([jnp.ones_like(phase), jnp.cos(phase), -jnp.sin(phase)], -1)
        still = jnp.linalg.pinv(rows)[0]  # C0 = sum_n still_n D_n
        strength = still @ own @ still - noise * jnp.sum(still**2)
        response = (
            2.0 * (identity - still[None, :]) @ cross @ still / jnp.maximum(strength, 1e-3 * (still @ own @ still))
        )
        phase = jnp.angle(response)
    return phase, jnp.abs(response).mean()


def credible_share(
    deviation: Float[Array, "orientations phases"], confidence: Float[Array, "orientations"]
) -> Float[Array, "orientations"]:
    """How much of the deviation of single phases from even steps to believe: t^2 / (t^2 + s^2) (empirical Bayes).

    s = 1.75 / Z is the error of a single phase, as found in simulations; t^2 the excess of the mean squared deviation
    over s^2, of all orientations together, as their phases come from one mechanism.
    """
    phases = deviation.shape[1]
    error = phase_error(confidence) ** 2
    deviation = deviation - deviation.mean(1, keepdims=True)
    excess = (deviation**2).sum(1) / (phases - 1) - error
    weight = 1.0 / error**2
    actual = jnp.maximum((weight * excess).sum() / weight.sum(), 0.0)
    return actual / (actual + error)


def phase_error(confidence: Array | np.ndarray) -> Array | np.ndarray:
    """Standard error of the phase of a single frame, in radians, from the confidence of its orientation."""
    return _PHASE_ERROR / confidence


def wrapped(phase: Array) -> Array:
    """Phases from -pi to pi."""
    return jnp.angle(jnp.exp(1j * phase))

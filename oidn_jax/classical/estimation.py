"""The illumination from raw frames alone: wave vectors, phases, modulation depths and how sure they are.

1. Brightness of each frame: its mean over that of all.
2. Wave vectors to a pixel of the spectrum: `classical.peaks`.
3. To a fraction: with b0, b1 the bands 0 and +1 times H within the overlap (below), maximise
   |c(p)| = |sum_r b1(r) conj b0(r) exp(-2 pi i p.r)|, first on a grid around the peak, then by Newton's method.
4. Phase and modulation depth by regression of band +1 on band 0 in the overlap,

       m exp(i phi) = sum_k H(k + p) H(k) B1(k + p) conj B0(k)  /  sum_k H(k + p)^2 (|B0(k)|^2 - sigma^2),

   sigma^2 being the noise power of B0: without subtracting it noise dilutes the modulation depth.
5. Where the peaks are strong, the phase of each frame: B1 is 2 (D_n - C0), C0 from the frames by least squares with the
   phases found so far, several times over. Weaker data are described better by even steps.

The overlap is where |k| and |k + p| are above 0.2 k_c and H(k) and H(k + p) above 0.02. Steps 2 and 3 use the undamped
Airy OTF, which measured ones fall short of: as a filter it finds weak peaks better; step 4 needs the true OTF.

Source: Gustafsson et al., Biophys. J. 94 (2008) for the regression; Wicker et al., Opt. Express 21 (2013) for phases of
single frames. The subtraction of noise is this project's.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from oidn_jax.classical.peaks import SEARCHED, Peaks, find_peaks, harmonics, peaks_at
from oidn_jax.classical.spectra import TAPER, noise_power, taper, tukey
from oidn_jax.optics.fourier import fft2, frequencies, ifft2
from oidn_jax.optics.grid import fine_positions
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.otf import airy_otf
from oidn_jax.optics.transfer import TransferFunction

_LOW, _FAINT = 0.2, 0.02  # of the overlap: parts of the cutoff, values of the OTF
_WITHIN, _GRID_STEPS = 1.5, 61  # pixels of the spectrum around the peak, points
_MASKS, _NEWTON = 3, 4  # how often the overlap is taken anew, Newton steps each time
_PHASE_ROUNDS = 6
_PHASE_ERROR = 1.75  # radians, times the confidence


class _Regression(NamedTuple):
    """Of one orientation, with even steps and with a phase for each frame."""

    even_phases: Array
    even_depth: Array
    single_phases: Array
    single_depth: Array
    depth_with_noise: Array
    coherence: Array
    overlap: Array


class Estimate(NamedTuple):
    """An estimated illumination and how far to trust it; arrays have one entry per orientation.

    Attributes:
        illumination: ready for reconstruction.
        confidence: Z of the peak (`classical.peaks`), 4 without stripes, 5 is enough, 20 is plenty.
        runner_up: the largest Z elsewhere.
        joint: scalar, True where a weak peak was found only together with the others.
        coherence: |sum b1 conj b0| / (|b0| |b1|), 0 to 1, how well the bands agree in their overlap, noise included.
        modulation_with_noise: modulation depth without subtraction of the noise, as other programs give it.
        single_phases: (orientations, phases), each frame's own phase, whatever the illumination uses.
        overlap: pixels of the spectrum.
    """

    illumination: Illumination
    confidence: Array
    runner_up: Array
    joint: Array
    coherence: Array
    modulation_with_noise: Array
    single_phases: Array
    overlap: Array


def estimate_illumination(
    raw_frames: Float[Array, "frames h w"],
    otf: TransferFunction,
    *,
    orientations: int = 3,
    searched: tuple[float | Array, float | Array] = SEARCHED,
) -> Estimate:
    """Everything about the illumination from one acquisition.

    Args:
        raw_frames: camera offset subtracted, orientation slow and phase fast, phases nominally even steps of a period.
        otf: of a raw frame.
        orientations: number of illumination directions.
        searched: range of |p| in parts of the cutoff.
    """
    frames, _ = _equalise(raw_frames, orientations)
    return _describe(raw_frames, find_peaks(frames, cutoff=otf.cutoff, searched=searched), otf, refine=True)


def measure_patterns(
    raw_frames: Float[Array, "frames h w"], wave_vector: Float[Array, "orientations 2"], otf: TransferFunction
) -> Estimate:
    """The same with known wave vectors, from a calibration: phases, modulation depths and brightness of these frames.

    The confidence says whether these frames show stripes of these wave vectors.
    """
    frames, _ = _equalise(raw_frames, wave_vector.shape[0])
    return _describe(raw_frames, peaks_at(frames, wave_vector, cutoff=otf.cutoff), otf, refine=False)


def measure_brightness(raw_frames: Float[Array, "frames h w"], *, orientations: int) -> Array:
    """Mean of each frame over the mean of all, (orientations, phases)."""
    means = raw_frames.mean((1, 2)).reshape(orientations, -1)
    return jnp.maximum(means, 1e-6) / jnp.maximum(means.mean(), 1e-6)


def _equalise(raw_frames: Array, orientations: int) -> tuple[Float[Array, "orientations phases h w"], Array]:
    brightness = measure_brightness(raw_frames, orientations=orientations)
    frames = raw_frames.reshape(*brightness.shape, *raw_frames.shape[1:])
    return frames / brightness[..., None, None], brightness


def _describe(raw_frames: Array, peaks: Peaks, otf: TransferFunction, *, refine: bool) -> Estimate:
    frames, brightness = _equalise(raw_frames, peaks.wave_vector.shape[0])
    spectra = fft2(taper(frames))
    vector = peaks.wave_vector
    if refine:
        vector = jax.vmap(partial(_refine, otf=otf))(spectra, vector)
    found = jax.vmap(partial(_regress, otf=otf))(spectra, vector)
    deviation = _wrapped(found.single_phases - found.even_phases)
    share = _credible_share(deviation, peaks.confidence)
    depth = found.even_depth + share * (found.single_depth - found.even_depth)
    return Estimate(
        illumination=Illumination(
            wave_vector=vector,
            phase=_wrapped(found.even_phases + share[:, None] * deviation),
            modulation_depth=jnp.clip(depth, 0.0, 1.0),
            brightness=brightness,
        ),
        confidence=peaks.confidence,
        runner_up=peaks.runner_up,
        joint=peaks.joint,
        coherence=found.coherence,
        modulation_with_noise=found.depth_with_noise,
        single_phases=found.single_phases,
        overlap=found.overlap,
    )


def _credible_share(
    deviation: Float[Array, "orientations phases"], confidence: Float[Array, "orientations"]
) -> Float[Array, "orientations"]:
    """How much of the deviation of single phases from even steps to believe: t^2 / (t^2 + s^2) (empirical Bayes).

    s = 1.75 / Z is the error of a single phase, as found in simulations; t^2 the excess of the mean squared deviation
    over s^2, of all orientations together, as their phases come from one mechanism.
    """
    phases = deviation.shape[1]
    error = (_PHASE_ERROR / confidence) ** 2
    deviation = deviation - deviation.mean(1, keepdims=True)
    excess = (deviation**2).sum(1) / (phases - 1) - error
    weight = 1.0 / error**2
    actual = jnp.maximum((weight * excess).sum() / weight.sum(), 0.0)
    return actual / (actual + error)


def _overlap(wave_vector: Array, size: tuple[int, int], cutoff: Array) -> tuple[Array, Array]:
    """Where band 0 and the moved band overlap, (h, w), seen from band 0 and from band +1."""

    def both(sign: float) -> Array:
        inside = jnp.ones(size, bool)
        for offset in (0.0, sign):
            ky, kx = _shifted_frequencies(offset * wave_vector, size)
            radius = jnp.hypot(ky, kx)
            inside &= (radius > _LOW * cutoff) & (airy_otf(radius, cutoff=cutoff) > _FAINT)
        return inside

    return both(1.0), both(-1.0)


def _shifted_frequencies(shift: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    ky, kx = (jnp.asarray(frequencies(n), jnp.float32) + s for n, s in zip(size, shift, strict=True))
    return ky[:, None], kx[None, :]


def _refine(
    spectra: Complex[Array, "phases h w"], start: Float[Array, "2"], *, otf: TransferFunction
) -> Float[Array, "2"]:
    """The wave vector that maximises |c(p)|, of one orientation.

    Two biases are avoided. Each band is weighted with the OTF of the other, so that both end with the same weights
    H(k) H(k + p): different ones would shift the maximum with the object's spectrum. And near the border, where the
    fading of the frames mixes frequencies of different H, the product does not count.
    """
    size = spectra.shape[1], spectra.shape[2]
    rest, moved = harmonics(spectra)

    inside = jnp.asarray(tukey(size, width=TAPER, inset=TAPER), jnp.float32)

    def product(vector: Array) -> Array:
        at_rest, at_band = _overlap(vector, size, otf.cutoff)
        above, below = (otf(*_shifted_frequencies(sign * vector, size)) for sign in (1.0, -1.0))
        return ifft2(at_band * below * moved) * jnp.conj(ifft2(at_rest * above * rest)) * inside

    vector = _grid_maximum(product(start), start)
    for _ in range(_MASKS):
        correlation = product(vector)
        vector = jax.lax.fori_loop(0, _NEWTON, lambda _, v, g=correlation: v + _newton_step(g, v), vector)
    return vector


def _grid_maximum(product: Complex[Array, "h w"], start: Float[Array, "2"]) -> Float[Array, "2"]:
    """The largest |c| on a grid around the start, c(p) = E_y(p_y) g E_x(p_x): two matrix products."""
    steps = jnp.linspace(-_WITHIN, _WITHIN, _GRID_STEPS)
    tried = [start[i] + steps / n for i, n in enumerate(product.shape)]
    waves = [
        jnp.exp(-2j * jnp.pi * t[:, None] * _positions(n)[None]) for t, n in zip(tried, product.shape, strict=True)
    ]
    best = jnp.argmax(jnp.abs(waves[0] @ product @ waves[1].T))
    return jnp.stack([tried[0][best // _GRID_STEPS], tried[1][best % _GRID_STEPS]])


def _positions(size: int) -> Float[Array, "n"]:
    return jnp.asarray(fine_positions(size, scale=1), jnp.float32)


def _newton_step(product: Complex[Array, "h w"], vector: Float[Array, "2"]) -> Float[Array, "2"]:
    """One Newton step on log |c|^2, whose derivatives are the moments of g exp(-2 pi i p.r); at most 0.2 pixels."""
    h, w = product.shape
    moments = [
        jnp.exp(-2j * jnp.pi * v * r)[None] * (-2j * jnp.pi * r[None]) ** jnp.arange(3)[:, None]
        for v, r in ((vector[0], _positions(h)), (vector[1], _positions(w)))
    ]
    c = moments[0] @ product @ moments[1].T
    slope = jnp.stack([c[1, 0], c[0, 1]]) / c[0, 0]
    curvature = jnp.array([[c[2, 0], c[1, 1]], [c[1, 1], c[0, 2]]]) / c[0, 0] - slope[:, None] * slope[None, :]
    size = jnp.array([h, w], jnp.float32)
    step = -jnp.linalg.solve(curvature.real, slope.real)
    largest = jnp.max(jnp.abs(step * size))
    return jnp.where(jnp.isfinite(largest), step * jnp.minimum(1.0, 0.2 / jnp.maximum(largest, 1e-9)), 0.0)


def _regress(spectra: Complex[Array, "phases h w"], vector: Float[Array, "2"], *, otf: TransferFunction) -> _Regression:
    """Phases and modulation depth of one orientation.

    Whatever the phases, C0 and B1 are combinations of the frames; so all rounds need only the correlation of each frame
    at k + p with each at k, and that of each with each at k.
    """
    count, h, w = spectra.shape
    here = otf(*_shifted_frequencies(jnp.zeros(2), (h, w)))
    there = otf(*_shifted_frequencies(vector, (h, w)))
    at_rest, at_band = _overlap(vector, (h, w), otf.cutoff)
    y, x = (jnp.exp(-2j * jnp.pi * v * _positions(n)) for v, n in zip(vector, (h, w), strict=True))
    moved = ifft2(here * at_band * spectra) * (y[:, None] * x[None, :])
    rest = ifft2(here * at_rest * spectra)
    cross = jnp.einsum("nyx,myx->nm", moved, jnp.conj(rest))
    weighted = (there * at_rest)[None] * spectra
    own = jnp.einsum("nyx,myx->nm", weighted, jnp.conj(weighted)).real
    # Band 0 of even phases is the mean, whose noise is one over the number of frames of a frame's.
    noise = count * noise_power(jnp.abs(spectra.mean(0, keepdims=True)) ** 2, cutoff=otf.cutoff)[0]
    noise = noise * jnp.sum((there * at_rest) ** 2)

    even = 2.0 * jnp.pi * jnp.arange(count) / count
    first = 2.0 / count * jnp.exp(-1j * even)
    mean = jnp.full(count, 1.0 / count)
    raw = first @ cross @ mean
    debiased = raw / jnp.maximum(mean @ own @ mean - noise / count, 1e-3 * (mean @ own @ mean))
    single, depth = _single_phases(jnp.angle(raw) + even, cross=cross, own=own, noise=noise)
    b1 = jnp.einsum("nyx,n->yx", moved, first)
    return _Regression(
        even_phases=_wrapped(jnp.angle(raw) + even),
        even_depth=jnp.abs(debiased),
        single_phases=_wrapped(single),
        single_depth=depth,
        depth_with_noise=jnp.abs(raw) / (mean @ own @ mean),
        coherence=jnp.abs(raw) / jnp.sqrt(jnp.sum(jnp.abs(b1) ** 2) * jnp.sum(jnp.abs(rest.mean(0)) ** 2)),
        overlap=at_rest.sum(),
    )


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


def _wrapped(phase: Array) -> Array:
    """Phases from -pi to pi."""
    return jnp.angle(jnp.exp(1j * phase))

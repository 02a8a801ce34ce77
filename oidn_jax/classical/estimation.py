"""The illumination from raw frames alone: wave vectors, phases, modulation depths and how sure they are.

1. Brightness of each frame: its mean over that of all, as far as that is not the object's doing.
2. Wave vectors to a pixel of the spectrum, with a confidence: `classical.peaks`.
3. To a fraction of a pixel: `classical.wave_vectors`.
4. Phases and modulation depth: even phases by `classical.regression`; the phase of each frame, with the brightness it
   goes with, by `classical.phases`. The deviation of the latter from the former is believed as far as it exceeds its
   error: single phases are right for a jittering pattern and strong data, even ones for weak data.

Source: Gustafsson et al., Biophys. J. 94 (2008) for the regression. The subtraction of noise and the weighing of single
phases are this project's.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.stats import chi2

from oidn_jax.classical.aliases import choose_copies
from oidn_jax.classical.chance import SURE, alignment, false_alarm
from oidn_jax.classical.peaks import SEARCHED, Peaks, find_peaks, peaks_at, product_of_bands
from oidn_jax.classical.phases import FittedPhases, fit_phases
from oidn_jax.classical.regression import Regression, regress, wrapped
from oidn_jax.classical.spectra import noise_power, taper
from oidn_jax.classical.wave_vectors import refine_wave_vector
from oidn_jax.optics.fourier import fft2, frequency_radius
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.transfer import TransferFunction

_SPARSENESS_BAND = (0.5, 0.8)  # times the cutoff
# Radians, times the confidence: what structures so few that their frequencies are not independent add to the error.
_SPARSE = 0.4
_PHASE_ERROR = 1.75  # radians, times the confidence and the root of the number of frames: of the mean of their phases


class Estimate(NamedTuple):
    """An estimated illumination and how far to trust it; arrays have one entry per orientation.

    Attributes:
        illumination: ready for reconstruction.
        confidence: Z of the peak (`classical.peaks`), its height over noise: 4 without stripes, 20 is plenty.
        runner_up: the largest Z elsewhere.
        false_alarm: probability of such a peak without stripes (`classical.chance`); at most 0.001 is certain.
        joint: scalar, True where a weak peak was found only together with the others.
        coherence: |sum b1 conj b0| / (|b0| |b1|), 0 to 1, how well the bands agree in their overlap, noise included.
        modulation_with_noise: modulation depth without subtraction of the noise, as other programs give it.
        single_phases: (orientations, phases), each frame's own phase, whatever the illumination uses.
        phase_error: (orientations, phases), their standard errors against the mean of the orientation's, radians.
        overlap: pixels of the spectrum.
        harmonic: scalar, of which harmonic of the phases' steps the illumination is (`estimate_illumination`).
        other_copy: (orientations,), of coarse pixels the evidence of another copy of the wave vector, over that of the
            one taken (`classical.aliases`); 0 for fine ones.
    """

    illumination: Illumination
    confidence: Array
    runner_up: Array
    false_alarm: Array
    joint: Array
    coherence: Array
    modulation_with_noise: Array
    single_phases: Array
    phase_error: Array
    overlap: Array
    harmonic: Array | int = 1
    other_copy: Array | float = 0.0


def estimate_illumination(
    raw_frames: Float[Array, "frames h w"],
    otf: TransferFunction,
    *,
    orientations: int = 3,
    searched: tuple[float | Array, float | Array] = SEARCHED,
    harmonic: int = 1,
    aliased: bool = False,
) -> Estimate:
    """Everything about the illumination from one acquisition.

    Args:
        raw_frames: camera offset subtracted, orientation slow and phase fast, phases nominally even steps of a period.
        otf: of a raw frame.
        orientations: number of illumination directions.
        searched: range of |p| in parts of the cutoff.
        harmonic: 1, or 2 for the fine pattern of three beams, whose phase runs twice as fast. The illumination is that
            pattern alone, of even steps of twice a period over the number of phases, which must be odd.
        aliased: whether the pixels are too coarse for the objective, so that wave vectors have copies to choose from.
    """
    raw_frames = _in_order(raw_frames, orientations, harmonic)
    frames, _ = _equalise(raw_frames, otf, orientations)
    peaks = find_peaks(frames, cutoff=otf.cutoff, searched=searched)
    ring = searched[0] * otf.cutoff, searched[1] * otf.cutoff
    if not aliased:
        return _as_recorded(_describe(raw_frames, peaks, otf, ring=ring), harmonic)
    vector, other_copy = choose_copies(taper(frames), peaks.wave_vector, otf, ring=ring)
    estimate = _describe(raw_frames, peaks._replace(wave_vector=vector), otf, ring=ring)
    return _as_recorded(estimate._replace(other_copy=other_copy), harmonic)


def measure_patterns(
    raw_frames: Float[Array, "frames h w"],
    wave_vector: Float[Array, "orientations 2"],
    otf: TransferFunction,
    *,
    harmonic: int = 1,
) -> Estimate:
    """The same with known wave vectors, from a calibration: phases, modulation depths and brightness of these frames.

    The confidence says whether these frames show stripes of these wave vectors.
    """
    raw_frames = _in_order(raw_frames, wave_vector.shape[0], harmonic)
    frames, _ = _equalise(raw_frames, otf, wave_vector.shape[0])
    measured = _describe(raw_frames, peaks_at(frames, wave_vector, cutoff=otf.cutoff), otf, ring=None)
    return _as_recorded(measured, harmonic)


def harmonics_apart(phases: int) -> tuple[int, ...]:
    """The harmonics of even phases that can be told from the mean, from each other and from their own repetition."""
    return (1, 2) if phases >= 5 and phases % 2 == 1 else (1,)


def _in_order(raw_frames: Array, orientations: int, harmonic: int) -> Array:
    """The frames of each orientation in the order in which the harmonic's phase takes the smallest even steps.

    Frame n has the phase 2 pi (harmonic n mod phases) / phases. So all that holds for the first harmonic holds for it.
    """
    if harmonic == 1:
        return raw_frames
    grouped = raw_frames.reshape(orientations, -1, *raw_frames.shape[1:])
    phases = grouped.shape[1]
    if harmonic not in harmonics_apart(phases):
        raise ValueError(f"harmonic {harmonic} of {phases} phases does not tell; legal: {harmonics_apart(phases)}")
    return grouped[:, np.argsort(harmonic * np.arange(phases) % phases)].reshape(raw_frames.shape)


def _as_recorded(estimate: Estimate, harmonic: int) -> Estimate:
    """An estimate of frames `_in_order`, for the frames as recorded."""
    given = estimate.illumination
    phases = given.phase.shape[1]
    place = harmonic * np.arange(phases) % phases
    given = given._replace(phase=given.phase[:, place], brightness=given.brightness[:, place])
    single, error = estimate.single_phases[:, place], estimate.phase_error[:, place]
    return estimate._replace(illumination=given, single_phases=single, phase_error=error, harmonic=harmonic)


def measure_brightness(raw_frames: Float[Array, "frames h w"], *, orientations: int) -> Array:
    """Mean of each frame over the mean of all, (orientations, phases)."""
    means = raw_frames.mean((1, 2)).reshape(orientations, -1)
    return jnp.maximum(means, 1e-6) / jnp.maximum(means.mean(), 1e-6)


def pattern_shift(reference: Estimate, measured: Estimate) -> Float[np.ndarray, "orientations"]:
    """How far the patterns of one acquisition have moved to those of another of the same wave vectors, in radians.

    The mean over the frames of an orientation of the difference of their phases. 0 where one of the two shows no
    stripes, and for all orientations where the differences are no larger than their errors explain (chi-square below
    its 99th percentile); else shrunk by their error as in `credible_share`, as the patterns come from one mechanism.
    """
    turned = np.exp(1j * (np.asarray(measured.illumination.phase) - np.asarray(reference.illumination.phase)))
    confidence = [np.asarray(estimate.confidence) for estimate in (reference, measured)]
    # The mean of the phases of an orientation is as sure as all of its frames together.
    error = sum((_PHASE_ERROR / z) ** 2 for z in confidence) / turned.shape[1]
    shown = np.maximum(*(np.asarray(estimate.false_alarm) for estimate in (reference, measured))) <= SURE
    shift = np.where(shown, np.angle(turned.mean(1)), 0.0)
    if (shift**2 / error).sum() < chi2.ppf(0.99, max(shown.sum(), 1)):
        return np.zeros_like(shift)
    actual = max(float((shift**2 - error)[shown].mean()), 0.0)
    return shift * actual / (actual + error)


def credible_brightness(
    raw_frames: Float[Array, "frames h w"], otf: TransferFunction, *, orientations: int
) -> Float[Array, "orientations phases"]:
    """`measure_brightness` as far as it is not the object's doing.

    Under stripes the mean of a frame also varies by m Re(exp(i phi) S(-p)) / S(0), the more the fewer structures there
    are. |S(p)|^2 is taken from band 0 between 0.5 and 0.8 of the cutoff, m^2 as 1 / 2; of the variance of the means
    within an orientation, what exceeds the expected one is believed (James-Stein).
    """
    means = measure_brightness(raw_frames, orientations=orientations)
    light = raw_frames.mean(0)
    power = jnp.abs(fft2(taper(light))) ** 2
    radius = jnp.asarray(frequency_radius(*power.shape), jnp.float32)
    ring = (radius > _SPARSENESS_BAND[0] * otf.cutoff) & (radius < _SPARSENESS_BAND[1] * otf.cutoff)
    excess = power - noise_power(power[None], cutoff=otf.cutoff)[0]
    at_pattern = jnp.sum(ring * excess) / jnp.sum(ring * otf.at(radius) ** 2)
    at_zero = jnp.maximum(light.mean(), 1e-6) ** 2 * light.size
    expected = 0.25 * jnp.maximum(at_pattern, 0.0) / at_zero

    level = means.mean(1, keepdims=True)
    deviation = means / level - 1.0
    variance = (deviation**2).sum(1).mean() / (means.shape[1] - 1)
    share = jnp.maximum(1.0 - expected / jnp.maximum(variance, 1e-12), 0.0)
    return level * (1.0 + share * deviation)


def _equalise(
    raw_frames: Array, otf: TransferFunction, orientations: int
) -> tuple[Float[Array, "orientations phases h w"], Array]:
    brightness = credible_brightness(raw_frames, otf, orientations=orientations)
    frames = raw_frames.reshape(*brightness.shape, *raw_frames.shape[1:])
    return frames / brightness[..., None, None], brightness


def _describe(
    raw_frames: Array, peaks: Peaks, otf: TransferFunction, *, ring: tuple[float | Array, float | Array] | None
) -> Estimate:
    """Of peaks that were looked for in a ring (cycles per raw pixel), or of known wave vectors."""
    frames, brightness = _equalise(raw_frames, otf, peaks.wave_vector.shape[0])
    faded, vector = taper(frames), peaks.wave_vector
    if ring is not None:
        vector = jax.vmap(partial(refine_wave_vector, otf=otf))(faded, vector)
    regression, fitted = jax.vmap(partial(_phases, otf=otf))(faded, vector)
    deviation = wrapped(fitted.phase - regression.phases)
    error = jnp.hypot(fitted.error, _SPARSE / peaks.confidence[:, None])
    share = credible_share(deviation, error)
    product = product_of_bands(frames, cutoff=otf.cutoff)
    bits = jax.vmap(partial(alignment, cutoff=otf.cutoff))(product, vector)
    size = (raw_frames.shape[1], raw_frames.shape[2])
    depth = regression.depth + share * (fitted.depth - regression.depth)
    return Estimate(
        illumination=Illumination(
            wave_vector=vector,
            phase=wrapped(regression.phases + share[:, None] * deviation),
            modulation_depth=jnp.clip(depth, 0.0, 1.0),
            brightness=brightness * fitted.brightness,
        ),
        confidence=peaks.confidence,
        runner_up=peaks.runner_up,
        false_alarm=jnp.exp2(-bits) if ring is None else false_alarm(bits, vector, size=size, ring=ring),
        joint=peaks.joint,
        coherence=regression.coherence,
        modulation_with_noise=regression.depth_with_noise,
        single_phases=wrapped(fitted.phase),
        phase_error=error,
        overlap=regression.overlap,
    )


def _phases(frames: Array, vector: Array, *, otf: TransferFunction) -> tuple[Regression, FittedPhases]:
    """Of one orientation: with even phases, and with a phase for each frame."""
    even = regress(frames, vector, otf=otf)
    return even, fit_phases(frames, vector, otf=otf, phase=even.phases, depth=even.depth)


def credible_share(
    deviation: Float[Array, "orientations phases"], error: Float[Array, "orientations phases"]
) -> Float[Array, "orientations"]:
    """How much of the deviation of single phases from even steps to believe: t^2 / (t^2 + s^2) (empirical Bayes).

    s^2 is the mean square of the errors of an orientation's phases; t^2 the excess over it of the mean squared
    deviation, of all orientations together, as their phases come from one mechanism.
    """
    error = (error**2).mean(1)
    deviation = deviation - deviation.mean(1, keepdims=True)
    excess = (deviation**2).mean(1) - error
    weight = 1.0 / error**2
    actual = jnp.maximum((weight * excess).sum() / weight.sum(), 0.0)
    return actual / (actual + error)

"""The illumination from raw frames alone: wave vectors, phases, modulation depths and how sure they are.

1. Brightness of each frame: its mean over that of all, as far as that is not the object's doing.
2. Wave vectors to a pixel of the spectrum, with a confidence: `classical.peaks`.
3. To a fraction of a pixel: `classical.wave_vectors`.
4. Phases and modulation depth: even phases by `classical.regression`; the phase of each frame by `classical.phases`.
   The deviation of the latter from the former is believed as far as it exceeds its error: single phases are right for a
   jittering pattern and strong data, even ones for weak data.

The two harmonics of three beams are of one grating: harmonic h has the wave vector h p, and where the grating moves by
a phase x, h x more. Each measures p with an error of 1 / (h Z) of the same unit, by which they are averaged; and so x,
but there a single frame holds the other harmonic too, by whose depth over its own the error grows.

Source: Gustafsson et al., Biophys. J. 94 (2008) for the regression. The subtraction of noise and the weighing of single
phases are this project's.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.stats import chi2

from oidn_jax.classical.aliases import choose_copies
from oidn_jax.classical.chance import SURE, alignment, false_alarm
from oidn_jax.classical.peaks import SEARCHED, Peaks, find_peaks, peaks_at, product_of_bands
from oidn_jax.classical.phases import FittedPhases, fit_phases
from oidn_jax.classical.regression import Regression, regress, single_phases, wrapped
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
    """An estimated illumination and how far to trust it; arrays have one entry per wave of the illumination.

    Attributes:
        illumination: ready for reconstruction.
        confidence: Z of the peak (`classical.peaks`), its height over noise: 4 without stripes, 20 is plenty.
        runner_up: the largest Z elsewhere.
        false_alarm: probability of such a peak without stripes (`classical.chance`); at most 0.001 is certain.
        joint: scalar, True where a weak peak was found only together with the others.
        coherence: |sum b1 conj b0| / (|b0| |b1|), 0 to 1, how well the bands agree in their overlap, noise included.
        modulation_with_noise: modulation depth without subtraction of the noise, as other programs give it.
        single_phases: (waves, phases), each frame's own phase, whatever the illumination uses.
        phase_error: (waves, phases), their standard errors against the mean of the wave's, radians.
        overlap: pixels of the spectrum.
        harmonic: which harmonic of the phases' steps each wave is (`estimate_illumination`).
        other_copy: of coarse pixels the evidence of another copy of the wave vector, over that of the
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

    @property
    def harmonics(self) -> tuple[int, ...]:
        """The harmonics of the phases' steps that each orientation has, the finest last; of an estimate on the host."""
        return tuple(np.unique(np.asarray(self.harmonic)).tolist())

    @property
    def finest(self) -> "Estimate":
        """That of the finest harmonic alone, one entry for each orientation."""
        return self.of_wave(self.illumination.harmonics - 1)

    def of_wave(self, number: int) -> "Estimate":
        """That of the waves of this number, from 0, of each orientation."""
        given = self.illumination
        waves = slice(number, None, given.harmonics)
        alone = Illumination(
            given.wave_vector[waves], given.phase[waves], given.modulation_depth[waves], given.brightness
        )
        others = {
            name: part[waves] for name, part in self._asdict().items() if name != "illumination" and np.ndim(part)
        }
        return self._replace(illumination=alone, **others)


class _Wave(NamedTuple):
    """What one harmonic says; phases of the frames as recorded."""

    harmonic: int
    peaks: Peaks
    even: Regression
    fitted: FittedPhases
    vector: Array
    false_alarm: Array


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
    frames, brightness = _equalise(raw_frames, otf, orientations)
    ordered = frames_in_order(frames, harmonic)
    peaks = find_peaks(ordered, cutoff=otf.cutoff, searched=searched)
    ring = searched[0] * otf.cutoff, searched[1] * otf.cutoff
    if not aliased:
        return _estimate([_measure(ordered, peaks, otf, harmonic=harmonic, ring=ring)], brightness)
    vector, other_copy = choose_copies(taper(ordered), peaks.wave_vector, otf, ring=ring)
    wave = _measure(ordered, peaks._replace(wave_vector=vector), otf, harmonic=harmonic, ring=ring)
    return _estimate([wave], brightness)._replace(other_copy=other_copy)


def measure_patterns(
    raw_frames: Float[Array, "frames h w"],
    wave_vector: Float[Array, "waves 2"],
    otf: TransferFunction,
    *,
    harmonics: tuple[int, ...] = (1,),
) -> Estimate:
    """The same with known wave vectors, from a calibration: phases, modulation depths and brightness of these frames.

    The confidence says whether these frames show stripes of these wave vectors.

    Args:
        raw_frames: as in `estimate_illumination`.
        wave_vector: of each orientation, and there of each harmonic.
        otf: of a raw frame.
        harmonics: which harmonics of the phases' steps the waves of an orientation are, the finest last.
    """
    count = len(harmonics)
    frames, brightness = _equalise(raw_frames, otf, wave_vector.shape[0] // count)
    waves = []
    for number, harmonic in enumerate(harmonics):
        ordered = frames_in_order(frames, harmonic)
        peaks = peaks_at(ordered, wave_vector[number::count], cutoff=otf.cutoff)
        waves.append(_measure(ordered, peaks, otf, harmonic=harmonic, ring=None))
    return _estimate(waves, brightness)


def vectors_of_one_grating(
    first: Estimate, second: Estimate, *, agree: Bool[np.ndarray, "orientations"], leader: Estimate
) -> Float[np.ndarray, "waves 2"]:
    """The wave vectors p and 2 p of each orientation, of what was found of the two harmonics.

    Args:
        first: of harmonic 1 alone.
        second: of harmonic 2 alone.
        agree: in which orientations both have found a p that is the same within a pixel or so.
        leader: the one of them that is right where they do not.
    """
    weighted, total = np.zeros(2), np.zeros(1)
    for harmonic, each in ((1, first), (2, second)):
        weight = np.where(agree | (each is leader), harmonic * np.asarray(each.confidence), 0.0)[:, None] ** 2
        weighted = weighted + weight * np.asarray(each.illumination.wave_vector) / harmonic
        total = total + weight
    vector = weighted / total
    return np.stack([vector, 2.0 * vector], axis=1).reshape(-1, 2).astype(np.float32)


def harmonics_apart(phases: int) -> tuple[int, ...]:
    """The harmonics of even phases that can be told from the mean, from each other and from their own repetition."""
    return (1, 2) if phases >= 5 and phases % 2 == 1 else (1,)


def frames_in_order(
    frames: Float[Array, "orientations phases h w"], harmonic: int
) -> Float[Array, "orientations phases h w"]:
    """The frames of each orientation in the order in which the harmonic's phase takes the smallest even steps.

    Frame n has the phase 2 pi (harmonic n mod phases) / phases. So all that holds for the first harmonic holds for it.

    Raises:
        ValueError: a harmonic that so many phases do not tell.
    """
    if harmonic == 1:
        return frames
    phases = frames.shape[1]
    if harmonic not in harmonics_apart(phases):
        raise ValueError(f"harmonic {harmonic} of {phases} phases does not tell; legal: {harmonics_apart(phases)}")
    return frames[:, np.argsort(harmonic * np.arange(phases) % phases)]


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


def _measure(
    ordered: Float[Array, "orientations phases h w"],
    peaks: Peaks,
    otf: TransferFunction,
    *,
    harmonic: int,
    ring: tuple[float | Array, float | Array] | None,
) -> _Wave:
    """Of peaks that were looked for in a ring (cycles per raw pixel), or of known wave vectors; frames in order."""
    faded, vector = taper(ordered), peaks.wave_vector
    if ring is not None:
        vector = jax.vmap(partial(refine_wave_vector, otf=otf))(faded, vector)
    even, fitted = jax.vmap(partial(_phases, otf=otf))(faded, vector, peaks.confidence)
    place = harmonic * np.arange(ordered.shape[1]) % ordered.shape[1]
    even = even._replace(phases=even.phases[:, place])
    fitted = FittedPhases(
        phase=fitted.phase[:, place],
        error=fitted.error[:, place],
        depth=fitted.depth,
    )
    bits = jax.vmap(partial(alignment, cutoff=otf.cutoff))(product_of_bands(ordered, cutoff=otf.cutoff), vector)
    size = (ordered.shape[2], ordered.shape[3])
    chance = jnp.exp2(-bits) if ring is None else false_alarm(bits, vector, size=size, ring=ring)
    return _Wave(harmonic, peaks, even, fitted, vector, chance)


def _phases(
    frames: Array, vector: Array, confidence: Array, *, otf: TransferFunction
) -> tuple[Regression, FittedPhases]:
    """Of one orientation: with even phases, and with a phase for each frame."""
    even, count = regress(frames, vector, otf=otf), frames.shape[0]
    if len(harmonics_apart(count)) == 1:
        fitted = fit_phases(frames, vector, otf=otf, phase=even.phases, depth=even.depth)
        return even, fitted._replace(error=jnp.hypot(fitted.error, _SPARSE / confidence))
    # Frames of so many phases may hold another harmonic, which the likelihood of one would take for something else.
    phase, depth = single_phases(even)
    return even, FittedPhases(phase, jnp.full(count, _PHASE_ERROR / confidence), depth)


def _estimate(waves: list[_Wave], brightness: Float[Array, "orientations phases"]) -> Estimate:
    """Of the harmonics of one grating, or of one alone."""
    deviations = [wrapped(wave.fitted.phase - wave.even.phases) for wave in waves]
    errors = [wave.fitted.error for wave in waves]
    if len(waves) == 1:
        share = credible_share(deviations[0], errors[0])
    else:
        harmonics = jnp.array([wave.harmonic for wave in waves])[:, None, None]
        depth = jnp.stack([wave.even.depth for wave in waves])[..., None]
        of_grating = jnp.stack(errors) * jnp.sqrt((depth**2).sum(0, keepdims=True)) / depth / harmonics
        total = (of_grating**-2).sum(0)
        moved = (jnp.stack(deviations) / harmonics / of_grating**2).sum(0) / total
        share = credible_share(moved, total**-0.5)
        deviations = [wave.harmonic * moved for wave in waves]
        errors = [wave.harmonic * total**-0.5 for wave in waves]

    def each(parts: list[Array]) -> Array:
        """An entry for each wave, orientation slow and harmonic fast."""
        return jnp.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:])

    depths = [wave.even.depth + share * (wave.fitted.depth - wave.even.depth) for wave in waves]
    phases = [wave.even.phases + share[:, None] * off for wave, off in zip(waves, deviations, strict=True)]
    return Estimate(
        illumination=Illumination(
            wave_vector=each([wave.vector for wave in waves]),
            phase=wrapped(each(phases)),
            modulation_depth=jnp.clip(each(depths), 0.0, 1.0),
            brightness=brightness,
        ),
        confidence=each([wave.peaks.confidence for wave in waves]),
        runner_up=each([wave.peaks.runner_up for wave in waves]),
        false_alarm=each([wave.false_alarm for wave in waves]),
        joint=jnp.any(jnp.stack([wave.peaks.joint for wave in waves])),
        coherence=each([wave.even.coherence for wave in waves]),
        modulation_with_noise=each([wave.even.depth_with_noise for wave in waves]),
        single_phases=each([wrapped(wave.fitted.phase) for wave in waves]),
        phase_error=each(errors),
        overlap=each([wave.even.overlap for wave in waves]),
        harmonic=jnp.tile(jnp.array([wave.harmonic for wave in waves]), len(brightness)),
    )


def credible_share(
    deviation: Float[Array, "orientations phases"], error: Float[Array, "orientations phases"]
) -> Float[Array, "orientations"]:
    """How much of the deviation of single phases from even steps to believe: t^2 / (t^2 + s^2) (empirical Bayes).

    s^2 is the mean square of the errors of an orientation's phases; t^2 the excess over it of the mean squared
    deviation, of all orientations together, as their phases come from one mechanism, less the standard error of that
    excess without any deviation: of few phases that are not sure, chance alone often shows some.
    """
    freedom = deviation.shape[1] - 1
    error = (error**2).mean(1)
    deviation = deviation - deviation.mean(1, keepdims=True)
    excess = (deviation**2).mean(1) - error
    weight = 1.0 / error**2
    by_chance = jnp.sqrt(2.0 * (weight**2 * error**2).sum() / freedom)
    actual = jnp.maximum(((weight * excess).sum() - by_chance) / weight.sum(), 0.0)
    return actual / (actual + error)

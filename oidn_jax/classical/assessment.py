"""What to think of an estimated illumination, in plain words.

Thresholds: peaks that chance gives more often than `SURE` are no stripes; lengths that differ by more than 3 %, or
directions whose steps differ from 180 degrees over their number by more than 2, are not the patterns of one microscope,
unless every confidence is above 10 and they differ by no more than 9 % and 8 degrees, as those of some microscopes do;
a modulation depth below 0.3 is too little where noise has more than half of the power of the moved band in the overlap,
which is a coherence below 0.7: bright frames make up for weak stripes.
"""

import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from oidn_jax.classical.chance import SURE
from oidn_jax.classical.estimation import Estimate
from oidn_jax.classical.peaks import CERTAIN

ILL_CONDITIONED = 20.0
_SHALLOW, _NOISY = 0.3, 0.7
_LENGTHS, _STEPS_DEG = 0.03, 2.0
# Where all peaks are beyond doubt: more than any uneven microscope that is known, and what periodic objects give.
_UNEVEN_LENGTHS, _UNEVEN_STEPS_DEG = 0.09, 8.0
_UNEVEN_DEG, _UNEVEN_ERRORS = 10.0, 3.0  # a phase that is off by more than both
_BRIGHTNESS = 0.05
_SAME_PIXELS, _OTHER_PIXELS = 1.5, 4.0
DEEP_ENOUGH = 0.05  # of a second harmonic: two beams whose phases are uneven by 20 degrees look like one of 0.02
_BEYOND_DOUBT = 10.0


def assess(estimate: Estimate) -> list[str]:
    """Warnings, one line each, about an estimated illumination; empty when all is well."""
    estimate = jax.device_get(estimate)
    finest, given = estimate.finest, estimate.illumination
    condition = conditions(given.phase, given.modulation_depth, harmonics=given.harmonics)
    coarser = [estimate.of_wave(number) for number in range(given.harmonics - 1)]
    return [
        *(
            f"the first harmonic of orientation {i + 1} does not show for certain (confidence "
            f"{float(each.confidence[i]):.1f}): its bands, of the middle frequencies, may be wrong"
            for each in coarser
            for i in np.flatnonzero(~certain(each))
        ),
        *(warning for i in range(given.orientations) for warning in _assess_orientation(finest, i, condition[i])),
        *_assess_geometry(np.asarray(given.finest), np.asarray(finest.confidence)),
        *_assess_brightness(np.asarray(given.brightness)),
    ]


def _assess_orientation(estimate: Estimate, i: int, condition: float) -> list[str]:
    """Of the finest harmonic alone, but for the condition number, which is of all."""
    warnings, confidence = [], float(estimate.confidence[i])
    depth = float(estimate.illumination.modulation_depth[i])
    name, harmonic = f"orientation {i + 1}", estimate.harmonics[-1]
    if not certain(estimate)[i]:
        warnings.append(
            f"{name}: no stripes found for certain (confidence {confidence:.1f}; chance gives such a peak with a "
            f"probability of {_rounded(float(estimate.false_alarm[i]))}, at most {SURE:g} is enough); its wave vector "
            "may be wrong: record more light or more contrast, check the optics and the frame order, or give an "
            "illumination from a calibration"
        )
    elif depth < _SHALLOW and float(estimate.coherence[i]) < _NOISY:
        warnings.append(
            f"{name}: modulation depth {depth:.2f}, below {_SHALLOW:g}: the super-resolved part of the image is mostly "
            "noise; check polarisation, alignment and movement of the sample"
        )
    if depth >= 0.999 and float(estimate.modulation_with_noise[i]) < 0.5:
        warnings.append(
            f"{name}: modulation depth of 1 or more, from a noisy overlap of the bands (without correction for noise "
            f"{float(estimate.modulation_with_noise[i]):.2f}): not measured, or the OTF is wrong"
        )
    if condition > ILL_CONDITIONED and depth >= _SHALLOW:
        warnings.append(
            f"{name}: its frames hardly differ in phase, so the bands cannot be separated (condition number "
            f"{condition:.3g}, at most {ILL_CONDITIONED:g}); the image is mostly noise"
        )
    phase = np.unwrap(np.asarray(estimate.illumination.phase[i]))
    deviation = np.rad2deg(phase - phase[0] - harmonic * 2 * np.pi * np.arange(len(phase)) / len(phase))
    deviation = (deviation - deviation.mean() + 180) % 360 - 180
    sure = np.maximum(_UNEVEN_DEG, _UNEVEN_ERRORS * np.rad2deg(np.asarray(estimate.phase_error[i])))
    if (np.abs(deviation) > sure).any():
        steps = ", ".join(f"{step:.0f}" for step in np.rad2deg(np.diff(phase)))
        warnings.append(
            f"{name}: the phases are not evenly spaced (steps of {steps} degrees instead of "
            f"{harmonic * 360 / len(phase):.0f}); they are taken as measured"
        )
    return warnings


def certain(estimate: Estimate) -> Bool[np.ndarray, "waves"]:
    """Which waves certainly show: chance gives such peaks at most as often as `SURE`."""
    return np.asarray(estimate.false_alarm) <= SURE


def _rounded(probability: float) -> str:
    """Of an upper bound, which is not known to better than this."""
    return "1" if probability > 0.5 else f"{probability:.1g}"


def conditions(
    phase: Float[Array, "waves phases"] | Float[np.ndarray, "waves phases"],
    modulation_depth: Float[Array, "waves"] | Float[np.ndarray, "waves"],
    *,
    harmonics: int = 1,
) -> Float[np.ndarray, "orientations"]:
    """Condition number of the matrix that mixes the bands into frames; sqrt(2) / m for even phases.

    With m of the finest harmonic for all of them: a weak first harmonic is weighed by its noise, and no fault.
    """
    depth = np.repeat(np.asarray(modulation_depth, np.float64)[harmonics - 1 :: harmonics], harmonics)[:, None]
    phase = np.asarray(phase, np.float64)
    waves = np.stack([depth * np.cos(phase), -depth * np.sin(phase)], axis=1)
    waves = waves.reshape(-1, 2 * harmonics, phase.shape[1])
    return np.linalg.cond(np.concatenate([np.ones_like(waves[:, :1]), waves], axis=1))


def _assess_geometry(
    vector: Float[np.ndarray, "orientations 2"], confidence: Float[np.ndarray, "orientations"]
) -> list[str]:
    """Doubts about geometry; where all peaks are beyond doubt, more than those of any microscope that is known."""
    beyond_doubt = confidence.min() >= _BEYOND_DOUBT
    lengths, steps_deg = (_UNEVEN_LENGTHS, _UNEVEN_STEPS_DEG) if beyond_doubt else (_LENGTHS, _STEPS_DEG)
    warnings, length, count = [], np.hypot(*vector.T), len(vector)
    if length.max() / length.min() > 1 + lengths:
        warnings.append(
            "the stripes of the orientations differ in spacing by "
            f"{100 * (length.max() / length.min() - 1):.0f} % (periods of {', '.join(f'{1 / n:.2f}' for n in length)} "
            "pixels); one of them is probably wrong"
        )
    angle = np.rad2deg(np.arctan2(vector[:, 0], vector[:, 1])) % 180
    steps = np.diff(np.sort(np.append(angle, angle.min() + 180)))
    if count > 1 and np.abs(steps - 180 / count).max() > steps_deg:
        warnings.append(
            f"the directions of the stripes ({', '.join(f'{a:.1f}' for a in angle)} degrees) are not "
            f"{180 / count:.0f} degrees apart; one of them is probably wrong, unless the microscope is built so"
        )
    return warnings


def _assess_brightness(brightness: Float[np.ndarray, "orientations phases"]) -> list[str]:
    relative = brightness / brightness.mean(1, keepdims=True)
    spread = float(np.abs(relative - 1).max())
    if not spread > _BRIGHTNESS:
        return []
    return [
        f"frames of one orientation differ in brightness by up to {100 * spread:.0f} %; this is corrected, but "
        "movement and blinking are not"
    ]


def repeated_stripes(estimate: Estimate, size: tuple[int, int]) -> tuple[int, int] | None:
    """Two orientations that certainly show one pattern, so that they are not two; None where all differ."""
    finest = estimate.finest
    vector, shown = np.asarray(finest.illumination.wave_vector), certain(finest)
    for i in range(len(vector)):
        for j in range(i):
            if shown[i] and shown[j] and _apart(vector[i], vector[j], size) < _SAME_PIXELS:
                return j, i
    return None


def second_harmonic_shows(first: Estimate, second: Estimate, size: tuple[int, int]) -> bool:
    """Whether frames are those of three beams, so that their fine pattern is the second harmonic of the phases.

    Its stripes must be certain and deep enough, and lie at twice the first harmonic's vectors, or be the surer ones. Of
    two beams, the second harmonic holds noise, and of uneven phases a weaker peak at the vectors of the first, or at
    twice those a shallow one.

    Args:
        first: of harmonic 1.
        second: of harmonic 2.
        size: (h, w) of the frames.
    """
    if not certain(second).all() or shallowest(second) < DEEP_ENOUGH:
        return False
    ours, theirs = (np.asarray(estimate.illumination.wave_vector) for estimate in (first, second))
    twice = all(_apart(2 * a, b, size) < _OTHER_PIXELS for a, b in zip(ours, theirs, strict=True))
    return twice or bool(np.asarray(second.confidence).sum() > np.asarray(first.confidence).sum())


def shallowest(estimate: Estimate) -> float:
    """The smallest modulation depth of the finest harmonic."""
    return float(np.min(estimate.finest.illumination.modulation_depth))


def harmonics_agree(first: Estimate, second: Estimate, size: tuple[int, int]) -> Bool[np.ndarray, "orientations"]:
    """In which orientations the second harmonic lies at twice the vectors of the first, both certain."""
    ours, theirs = (np.asarray(estimate.illumination.wave_vector) for estimate in (first, second))
    near = [_apart(2 * a, b, size) < _SAME_PIXELS for a, b in zip(ours, theirs, strict=True)]
    return np.array(near) & certain(first) & certain(second)


def other_stripes(reference: Estimate, alone: Estimate, size: tuple[int, int]) -> bool:
    """Whether two orientations show other patterns than the reference's, or one does beyond any doubt."""
    reference = reference.finest
    ours, theirs = (np.asarray(estimate.illumination.wave_vector) for estimate in (reference, alone))
    apart = np.array([_apart(a, b, size) > _OTHER_PIXELS for a, b in zip(ours, theirs, strict=True)])
    shown = apart & certain(alone)
    return bool(shown.sum() >= 2 or (shown & (np.asarray(alone.confidence) >= CERTAIN)).any())


def _apart(a: np.ndarray, b: np.ndarray, size: tuple[int, int]) -> float:
    """Distance of two wave vectors in pixels of the spectrum, whichever way they point."""
    return min(float(np.hypot(*((a - sign * b) * size))) for sign in (1.0, -1.0))


def other_order_preference(given: Estimate, other: Estimate) -> float:
    """How much better the frames fit the other order, phase slow and orientation fast: the ratio of all confidences.

    Strong stripes give peaks in the wrong order too, of about a third of the height. 0 where the stripes of the other
    order are not certain.

    Args:
        given: what was estimated in the order assumed.
        other: from `in_other_order`.
    """
    shown = certain(other).all() and not bool(other.joint)
    return float(np.sum(other.confidence)) / float(np.sum(given.finest.confidence)) if shown else 0.0


def in_other_order(
    raw_frames: Float[np.ndarray, "frames h w"], *, orientations: int
) -> Float[np.ndarray, "frames h w"]:
    """The frames as they are where orientation is fast instead of slow."""
    grouped = raw_frames.reshape(-1, orientations, *raw_frames.shape[1:])
    return grouped.swapaxes(0, 1).reshape(raw_frames.shape)

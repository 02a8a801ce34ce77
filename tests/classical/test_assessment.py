"""The warnings about an estimated illumination: none about a good one, each of them about what it is for."""

import jax
import numpy as np
import pytest

from oidn_jax.classical.assessment import assess, in_other_order, other_order_preference, second_harmonic_shows
from oidn_jax.classical.estimation import Estimate, estimate_illumination
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.transfer import TransferFunction


def estimate(*, angles_deg=(24.8, 84.8, 144.8), lengths=(0.285, 0.287, 0.284), jitter_deg=0.0, flicker=0.0, **fields):
    """A good estimate, with changes."""
    count = len(angles_deg)
    shape = (count, 3)
    angles, shape = np.deg2rad(angles_deg), (count, 3)
    phase = np.array([[0.3], [1.7], [-2.1]])[:count] + 2 * np.pi / 3 * np.arange(3)[None]
    phase[0, 1] += np.deg2rad(jitter_deg)
    brightness = np.array([[1.02], [0.98], [1.0]])[:count] * np.ones(shape)
    brightness[0, 2] += flicker
    given = Illumination(
        np.stack([np.sin(angles), np.cos(angles)], -1) * np.array(lengths)[:, None],
        np.angle(np.exp(1j * phase)),
        np.full(count, fields.pop("modulation_depth", 0.8)),
        brightness,
    )
    good = Estimate(
        illumination=given,
        confidence=np.array([20.0, 8.0, 30.0])[:count],
        runner_up=np.full(count, 4.0),
        false_alarm=np.full(count, 1e-9),
        joint=np.array(False),
        coherence=np.full(count, 0.5),
        modulation_with_noise=np.full(count, 0.7),
        single_phases=given.phase,
        phase_error=np.full_like(given.phase, 0.03),
        overlap=np.full(count, 1500),
    )
    return good._replace(**fields)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"angles_deg": (-95.1, -35.1, 24.9)},
        {"angles_deg": (84.8, 144.8, 204.8 + 180.0)},
        {"angles_deg": (145.7, 85.0, 24.9)},
        {"angles_deg": (10.0, 100.0), "lengths": (0.28, 0.28)},
        {"angles_deg": (70.0,), "lengths": (0.28,)},
        {"jitter_deg": 8.0},
        {"flicker": 0.03},
        {"modulation_depth": 1.0},
        {"confidence": np.full(3, 3.6)},
        {"modulation_depth": 0.2, "coherence": np.full(3, 0.9)},
    ],
)
def test_no_warning_about_a_good_estimate(changes):
    assert assess(estimate(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"confidence": np.array([20.0, 9.1, 30.0]), "false_alarm": np.array([1e-9, 0.02, 0.0])},
            [
                "orientation 2: no stripes found for certain (confidence 9.1; chance gives such a peak with "
                "a probability of 0.02, at most 0.001"
            ],
        ),
        ({"modulation_depth": 0.2}, [f"orientation {i}: modulation depth 0.20, below 0.3" for i in (1, 2, 3)]),
        (
            {"modulation_depth": 1.0, "modulation_with_noise": np.array([0.7, 0.7, 0.1])},
            ["orientation 3: modulation depth of 1 or more"],
        ),
        ({"jitter_deg": 20.0}, ["orientation 1: the phases are not evenly spaced (steps of 140, 100 degrees"]),
        ({"lengths": (0.285, 0.287, 0.3)}, ["the stripes of the orientations differ in spacing by 5 %"]),
        ({"angles_deg": (24.8, 84.8, 148.0)}, ["the directions of the stripes (24.8, 84.8, 148.0 degrees)"]),
        ({"angles_deg": (24.8, 24.8, 24.8)}, ["the directions of the stripes (24.8, 24.8, 24.8 degrees)"]),
        ({"flicker": 0.12}, ["frames of one orientation differ in brightness by up to 8 %"]),
    ],
)
def test_each_warning_appears_when_it_should(changes, expected):
    warnings = assess(estimate(**changes))
    assert len(warnings) == len(expected)
    for warning, start in zip(warnings, expected, strict=True):
        assert warning.startswith(start)
        assert "\n" not in warning


@pytest.mark.parametrize("confidence", [6.0, 40.0])
@pytest.mark.parametrize(
    ("lengths", "angles_deg", "of_a_microscope"),
    [
        ((0.1821, 0.1815, 0.1953), (120.6, 58.2, 1.8), True),  # of a DMD
        ((0.28, 0.28, 0.308), (10.0, 70.0, 130.0), False),
        ((0.28, 0.28, 0.28), (10.0, 70.0, 139.0), False),
        ((0.25, 0.23, 0.33), (10.0, 155.2, 158.3), False),  # of an object of lines
    ],
)
def test_peaks_beyond_doubt_may_be_of_an_uneven_microscope_but_not_of_any(
    confidence, lengths, angles_deg, of_a_microscope
):
    sure = np.full(3, confidence)
    lines = assess(estimate(lengths=lengths, angles_deg=angles_deg, confidence=sure))
    probably_wrong = [line for line in lines if "one of them is probably wrong" in line]
    assert bool(probably_wrong) == (confidence < 10 or not of_a_microscope)


def test_without_stripes_there_is_one_warning_for_each_orientation_and_none_about_depth():
    warnings = assess(estimate(false_alarm=np.ones(3), modulation_depth=0.1))
    assert [warning.split(":")[0] for warning in warnings] == ["orientation 1", "orientation 2", "orientation 3"]


def test_the_other_order_of_the_frames_is_recognised(golden):
    """Also where the wrong order has peaks that are high enough by themselves, as those of strong stripes are."""
    data = golden("sim_acquisition_crop")
    frames = np.asarray(data["raw_mid"], np.float32) - np.float32(data["offset"])
    otf = TransferFunction.theoretical(na=1.3, emission_wavelength_nm=525.0, pixel_size_nm=62.6)
    swapped = in_other_order(frames, orientations=3)
    np.testing.assert_array_equal(in_other_order(swapped, orientations=3), frames)
    find = jax.jit(estimate_illumination)
    right, wrong = (jax.device_get(find(f, otf)) for f in (frames, swapped))
    assert np.all(right.confidence > 2 * wrong.confidence)
    assert other_order_preference(wrong, right) > 1.5
    assert other_order_preference(right, wrong) < 1


def test_frames_without_stripes_fit_no_order():
    assert other_order_preference(estimate(confidence=np.full(3, 3.0)), estimate(false_alarm=np.full(3, 0.5))) == 0
    assert other_order_preference(estimate(confidence=np.full(3, 3.0)), estimate(joint=np.array(True))) == 0


def test_phases_within_their_errors_are_no_alarm():
    unsure = estimate(jitter_deg=20.0, phase_error=np.full((3, 3), np.deg2rad(6.0)))
    assert not [warning for warning in assess(unsure) if "evenly" in warning]


@pytest.mark.parametrize(
    ("changes", "shows"),
    [
        ({}, True),
        ({"modulation_depth": 0.02}, False),  # what two beams of uneven phases leave at twice their vectors
        ({"false_alarm": np.array([1e-9, 0.01, 1e-9])}, False),
        ({"lengths": (0.25, 0.25, 0.25), "confidence": np.full(3, 6.0)}, False),
        ({"lengths": (0.25, 0.25, 0.25), "confidence": np.full(3, 30.0)}, True),
    ],
)
def test_what_passes_for_the_second_harmonic(changes, shows):
    first = estimate(lengths=(0.15, 0.15, 0.15))
    second = estimate(**{"lengths": (0.3, 0.3, 0.3), **changes})
    assert second_harmonic_shows(first, second, (128, 128)) is shows

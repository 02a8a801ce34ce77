"""The warnings about an estimated illumination: none about a good one, each of them about what it is for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.classical.assessment import assess, other_order_preference
from oidn_jax.classical.estimation import Estimate
from oidn_jax.classical.peaks import find_peaks
from oidn_jax.optics.illumination import Illumination


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
        joint=np.array(False),
        coherence=np.full(count, 0.5),
        modulation_with_noise=np.full(count, 0.7),
        single_phases=given.phase,
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
        {"confidence": np.full(3, 4.9)},
    ],
)
def test_no_warning_about_a_good_estimate(changes):
    assert assess(estimate(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"confidence": np.array([20.0, 4.1, 30.0])}, ["orientation 2: no stripes found for certain (confidence 4.1"]),
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


def test_without_stripes_there_is_one_warning_for_each_orientation_and_none_about_depth():
    warnings = assess(estimate(confidence=np.full(3, 3.8), modulation_depth=0.1))
    assert [warning.split(":")[0] for warning in warnings] == ["orientation 1", "orientation 2", "orientation 3"]


def test_the_other_order_of_the_frames_is_recognised(golden):
    """Also where the wrong order has peaks that are high enough by themselves, as those of strong stripes are."""
    data = golden("sim_acquisition_crop")
    frames = jnp.asarray(data["raw_mid"], jnp.float32) - float(data["offset"])
    frames = frames.reshape(3, 3, *frames.shape[1:])
    swapped, cutoff = frames.swapaxes(0, 1), float(data["cutoff"])
    find = jax.jit(find_peaks)
    right, wrong = (find(f / f.mean((2, 3), keepdims=True), cutoff=cutoff).confidence for f in (frames, swapped))
    assert np.all(wrong > 5.0)
    assert np.all(right > 2 * wrong)
    right_frames, wrong_frames = (f.reshape(9, *f.shape[2:]) for f in (frames, swapped))
    assert other_order_preference(wrong_frames, wrong, cutoff=cutoff) > 1.5
    assert other_order_preference(right_frames, right, cutoff=cutoff) < 1


def test_frames_without_stripes_fit_no_order(key):
    noise = 50.0 + jax.random.normal(key, (9, 128, 128))
    assert other_order_preference(noise, jnp.full(3, 3.0), cutoff=0.31) == 0

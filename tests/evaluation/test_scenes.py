"""Held-out scenes: the same at each level, exposed once more where asked, from a seed that no training draws from."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from oidn_jax.errors import IllegalValue
from oidn_jax.evaluation.scenes import simulate_scenes
from oidn_jax.evaluation.settings import EvaluationSettings
from oidn_jax.optics.noise import Camera
from oidn_jax.simulation.settings import specimen_settings
from tests.evaluation.tiny import LEVELS, MICROSCOPE, settings, simulation, two_scenes

OFFSET = Camera().offset


@pytest.fixture(scope="module")
def scenes():
    return two_scenes()


def test_scenes_are_camera_counts_from_low_to_high_with_a_normalised_target(scenes):
    assert (scenes.specimen, scenes.label, scenes.microscope) == ("ccps", "CCPs", MICROSCOPE)
    assert scenes.levels == LEVELS
    assert scenes.target.shape == (2, 64, 64)
    np.testing.assert_allclose(scenes.target.min((1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(scenes.target.max((1, 2)), 1, atol=1e-6)
    for frames in scenes.raw_frames.values():
        assert frames.shape == (2, 32, 32, 9)
        assert frames.dtype == np.uint16, "as a camera file holds them"
        assert (frames.mean((1, 2, 3)) > OFFSET).all()
    assert not np.array_equal(scenes.target[0], scenes.target[1])


def test_an_acquisition_has_the_frames_of_its_scene_and_the_microscope(scenes):
    for repeated, frames in ((False, scenes.raw_frames), (True, scenes.repeated_frames)):
        first, second = scenes.acquisitions("low", repeated=repeated)
        np.testing.assert_array_equal(first.counts(0), np.moveaxis(frames["low"][0], -1, 0))
        np.testing.assert_array_equal(second.counts(0), np.moveaxis(frames["low"][1], -1, 0))
        assert first.microscope == MICROSCOPE


def test_scenes_are_the_same_at_every_level_with_less_noise_at_higher_ones(scenes):
    """The frames of each scene are most like the best frames of that same scene, the more so the more light."""
    best = scenes.raw_frames["high"].reshape(2, -1)
    likeness = {}
    for level in LEVELS[:2]:
        frames = scenes.raw_frames[level].reshape(2, -1)
        correlation = np.corrcoef(frames, best)[:2, 2:]
        assert correlation.argmax(1).tolist() == [0, 1]
        likeness[level] = correlation.diagonal()
    assert (likeness["low"] > 0.5).all()
    assert (likeness["medium"] > likeness["low"]).all()


def test_the_scenes_of_a_fluorescence_level_take_its_signal_levels_in_turn(scenes):
    """One number of `fluorescence` serves both scenes, and the name of a signal level changes nothing in a scene."""
    assert scenes.signal_level == {"low": (1, 2), "medium": (4, 5), "high": (7, 8)}
    groups = {"high": (7, 8), "medium": (5, 6, 9), "low": (4,)}
    other = simulate_scenes(simulation(fluorescence=groups), settings())
    assert other.signal_level == {"low": (4, 4), "medium": (5, 6), "high": (7, 8)}
    assert other.levels == LEVELS, "the weakest first, whatever the order of the names"
    np.testing.assert_array_equal(other.target, scenes.target)
    np.testing.assert_array_equal(other.raw_frames["low"][0], scenes.raw_frames["medium"][0])
    np.testing.assert_array_equal(other.raw_frames["high"], scenes.raw_frames["high"])
    for scene, name in ((1, "low"), (0, "medium"), (1, "medium")):
        assert not np.array_equal(other.raw_frames[name][scene], scenes.raw_frames["medium"][scene])
    assert other.repeated_frames == {}, "none were asked for"


def test_another_seed_gives_other_scenes_and_more_scenes_keep_the_first_ones(scenes):
    other = simulate_scenes(simulation(), settings(seed=1))
    assert not np.array_equal(other.target, scenes.target)
    single = simulate_scenes(simulation(), settings(scenes=1), repeated=True)
    np.testing.assert_allclose(single.target[0], scenes.target[0], atol=1e-5)
    # A photon more or less where rounding decides.
    for frames, expected in (
        (single.raw_frames, scenes.raw_frames),
        (single.repeated_frames, scenes.repeated_frames),
    ):
        np.testing.assert_allclose(frames["high"][0].astype(float), expected["high"][0].astype(float), atol=3.0)


def test_a_second_exposure_differs_in_its_noise_alone(scenes):
    noise = []
    for level in LEVELS:
        first, second = (frames[level].astype(np.float64) for frames in (scenes.raw_frames, scenes.repeated_frames))
        assert second.shape == first.shape
        # Noise of photons and of the read-out, twice; light above the offset is its own variance.
        light = np.maximum((first + second) / 2 - OFFSET, 0)
        expected = 2 * (light + 1.6**2 + 1 / 12)
        assert np.mean((first - second) ** 2) == pytest.approx(expected.mean(), rel=0.06)
        assert abs(np.mean(first - second)) < 4 * np.sqrt(expected.mean() / first.size)
        noise.append(first - second)
    assert abs(np.corrcoef(noise[0].ravel(), noise[2].ravel())[0, 1]) < 0.05


def test_other_specimens_take_what_was_changed_and_keep_their_own_defaults():
    changes = {"camera": Camera(read_noise=3.0), "density": (1.0, 2.0)}
    changed = replace(specimen_settings("f_actin"), **changes)
    assert changed.for_specimen("er") == replace(specimen_settings("er"), **changes)
    assert specimen_settings("er").for_specimen("f_actin") == specimen_settings("f_actin")
    assert changed.for_specimen("f_actin") == changed
    # What was given holds even where it is the first specimen's default.
    usual = specimen_settings("f_actin")
    assert usual.illumination_na != specimen_settings("er").illumination_na
    given = usual.for_specimen("er", given=["illumination_na"])
    assert given == replace(specimen_settings("er"), illumination_na=usual.illumination_na)


class Bright(NamedTuple):
    """What `simulate_acquisitions` gives, with one count everywhere."""

    raw_frames: np.ndarray
    target: np.ndarray


def test_a_camera_that_counts_beyond_16_bits_keeps_its_counts(monkeypatch):
    bright = Bright(np.full((2, 32, 32, 9), 1e5, np.float32), np.zeros((2, 64, 64, 1), np.float32))
    monkeypatch.setattr("oidn_jax.evaluation.scenes.simulate_acquisitions", lambda *_, simulation, size: bright)
    camera = Camera(saturation=1e6)
    frames = simulate_scenes(simulation(camera=camera), settings()).raw_frames["high"]
    assert frames.min() == 1e5


@pytest.mark.parametrize("field", ["scenes", "panels", "rolling_block", "rolling_skip", "size"])
def test_settings_that_are_not_legal(field):
    with pytest.raises(IllegalValue, match=f"`{field}` is 0; "):
        EvaluationSettings(**{field: 0})

"""Hot and dead pixels: found by standing out more than light can, and only they are changed."""

import numpy as np
import pytest

from oidn_jax.acquisition.defects import find_defects, repair


@pytest.fixture(scope="module")
def frames():
    """Points of light as narrow as an objective of NA 1.49 makes them at 62.6 nm, with photon noise."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    light = np.full((64, 64), 5.0)
    for place in random.uniform((4, 4), (44, 60), (60, 2)):
        light += random.uniform(50, 3000) * np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / (2 * 1.35**2))
    return random.poisson(light, (9, 64, 64)).astype(np.uint16) + 100


def test_light_is_no_defect(frames):
    assert not find_defects(frames).any()


@pytest.mark.parametrize("value", [0, 9000])
def test_defects_are_found_and_nothing_else_is_changed(frames, value):
    broken = frames.copy()
    places = np.zeros((64, 64), bool)
    for place in ((54, 20), (57, 31), (57, 32), (62, 40)):
        places[place] = True
    broken[:, places] = value
    np.testing.assert_array_equal(find_defects(broken), places)
    repaired = repair(broken, places)
    np.testing.assert_array_equal(repaired[:, ~places], frames[:, ~places])
    assert np.abs(repaired[:, places].astype(float) - frames[:, places]).max() < 0.5 * np.ptp(frames)


def test_without_defects_nothing_is_copied(frames):
    assert repair(frames, np.zeros((64, 64), bool)) is frames


def test_frames_that_were_clipped_at_zero_have_no_defects():
    """Points of light on a background that somebody has subtracted and cut off."""
    random = np.random.default_rng(5)
    y, x = np.mgrid[:64, :80]
    points = sum(300 * np.exp(-((y - a) ** 2 + (x - b) ** 2) / 3) for a, b in random.uniform(4, 60, (20, 2)))
    frames = random.poisson(np.broadcast_to(points, (9, 64, 80))) + random.normal(0, 2, (9, 64, 80))
    frames = np.clip(frames - 8, 0, None)
    assert np.median(frames) == 0
    assert not find_defects(frames.round()).any()
    frames[:, 30, 40] += 200
    assert find_defects(frames.round()).sum() == 1

"""The camera of an acquisition: what is given is used, the rest is found in the frames."""

from pathlib import Path

import numpy as np
import pytest

from oidn_jax.data import InputError, RawStack
from oidn_jax.acquisition.camera import CameraSettings, camera_of

OFFSET, READ_NOISE = 100.0, 1.6


@pytest.fixture(scope="module")
def stack():
    """Three orientations, stored with gains of 1, 2 and 4."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[:96, :96]
    light = 40 + 35 * np.sin(2 * np.pi * x / 31) * np.cos(2 * np.pi * y / 27)
    gain = np.repeat([1.0, 2.0, 4.0], 3)[:, None, None]
    electrons = random.poisson(light, (9, 96, 96)) + random.normal(0, READ_NOISE, (9, 96, 96))
    return RawStack(np.round(gain * (electrons + OFFSET))[None].astype(np.uint16), 60.0, None, Path("cell.tif"))


def test_gain_offset_and_noise_are_found(stack):
    camera = camera_of(stack, CameraSettings(), orientations=3)
    assert camera.gain_known
    np.testing.assert_allclose(camera.gain, [1, 2, 4], rtol=0.15)
    np.testing.assert_allclose(camera.offset, OFFSET * np.array([1, 2, 4]), rtol=0.06)
    level = OFFSET + 40
    expected = np.array([1, 4, 16]) * (40 + READ_NOISE**2)
    np.testing.assert_allclose(camera.gain * level * [1, 2, 4] + camera.intercept, expected, rtol=0.1)


def test_what_is_given_is_used(stack):
    camera = camera_of(stack, CameraSettings(gain=2.0, offset=110.0, read_noise=3.0), orientations=3)
    np.testing.assert_array_equal(camera.gain, 2.0)
    np.testing.assert_array_equal(camera.offset, 110.0)
    np.testing.assert_allclose(camera.gain * 110.0 + camera.intercept, (2 * 3.0) ** 2)


def test_without_a_photon_line_the_noise_is_even():
    random = np.random.default_rng(2)
    frames = 1000 + random.normal(0, 5, (1, 9, 64, 64)) + 300 * np.sin(np.arange(64) / 5)
    camera = camera_of(RawStack(frames, 60.0, None, Path("cell.tif")), CameraSettings(), orientations=3)
    assert not camera.gain_known
    np.testing.assert_array_equal(camera.gain, 0.0)
    np.testing.assert_allclose(camera.intercept, 25.0, rtol=0.15)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gain": 0.0}, "gain is 0 .* must be positive"),
        ({"offset": np.nan}, "offset is nan"),
        ({"gain": 1.0, "read_noise": -1.0}, "must not be negative"),
        ({"read_noise": 1.0}, "without the camera gain"),
    ],
)
def test_numbers_that_no_camera_has(settings, message):
    with pytest.raises(InputError, match=message):
        CameraSettings(**settings)

"""The camera of an acquisition: what is given is used, the rest is estimated from the frames."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.acquisition.camera import CameraSettings, noise_model
from oidn_jax.errors import IllegalValue

OFFSET, READ_NOISE = 100.0, 1.6


@pytest.fixture(scope="module")
def frames():
    """Three orientations, stored with gains of 1, 2 and 4."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[:96, :96]
    light = 40 + 35 * np.sin(2 * np.pi * x / 31) * np.cos(2 * np.pi * y / 27)
    gain = np.repeat([1.0, 2.0, 4.0], 3)[:, None, None]
    electrons = random.poisson(light, (9, 96, 96)) + random.normal(0, READ_NOISE, (9, 96, 96))
    return np.round(gain * (electrons + OFFSET)).astype(np.uint16)


def noise_of(frames, **settings):
    return noise_model(frames, CameraSettings(**settings), orientations=3, ceiling=None, source=Path("cell.tif"))


def test_gain_offset_and_noise_are_estimated(frames):
    noise = noise_of(frames)
    np.testing.assert_allclose(noise.gain, [1, 2, 4], rtol=0.15)
    np.testing.assert_allclose(noise.offset, OFFSET * np.array([1, 2, 4]), rtol=0.06)
    variance = noise.variance((OFFSET + 40) * jnp.array([1.0, 2.0, 4.0]))
    np.testing.assert_allclose(variance, np.array([1, 4, 16]) * (40 + READ_NOISE**2), rtol=0.1)


def test_what_is_given_is_used(frames):
    noise = noise_of(frames, camera_gain=2.0, camera_offset=110.0, read_noise=3.0)
    np.testing.assert_array_equal(noise.gain, 2.0)
    np.testing.assert_array_equal(noise.offset, 110.0)
    np.testing.assert_allclose(noise.dark_variance, (2 * 3.0) ** 2)
    np.testing.assert_allclose(noise_of(frames, camera_gain=2.0).dark_variance, (2 * READ_NOISE) ** 2)


def test_without_a_photon_line_the_noise_is_even():
    random = np.random.default_rng(2)
    noise = noise_of(1000 + random.normal(0, 5, (9, 64, 64)) + 300 * np.sin(np.arange(64) / 5))
    np.testing.assert_array_equal(noise.gain, 0.0)
    np.testing.assert_allclose(noise.dark_variance, 25.0, rtol=0.15)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"camera_gain": 0.0}, "camera_gain"),
        ({"camera_offset": np.nan}, "camera_offset"),
        ({"camera_gain": 1.0, "read_noise": -1.0}, "read_noise"),
        ({"read_noise": 1.0}, "read_noise"),
    ],
)
def test_numbers_that_no_camera_has(settings, field):
    with pytest.raises(IllegalValue) as error:
        CameraSettings(**settings)
    assert error.value.field == field


def test_an_offset_above_the_light(frames):
    with pytest.raises(IllegalValue, match=r"cell\.tif has a frame with a mean of") as error:
        noise_of(frames, camera_offset=900.0)
    assert error.value.field == "camera_offset"

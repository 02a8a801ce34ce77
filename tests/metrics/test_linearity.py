"""The power law between an image and the truth: what is linear is 1 at any resolution, gain, offset and noise."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from oidn_jax.metrics.calibration import reliability
from oidn_jax.metrics.linearity import linearity


@pytest.fixture(scope="module")
def truth():
    """Spots and lines of many brightnesses, as sharp as SIM draws them."""
    random = np.random.default_rng(0)
    points = np.zeros((160, 128))
    points[random.integers(0, 160, 150), random.integers(0, 128, 150)] = random.exponential(1.0, 150)
    for row in random.integers(0, 160, 12):
        points[row] += 0.2 * random.uniform(0.2, 2.0)
    return gaussian_filter(points, 2.0)


@pytest.mark.parametrize("sigma", [0.0, 1.0, 4.0])
@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (3e4, 500.0)])
def test_what_is_linear_is_linear_at_every_resolution(truth, sigma, gain, offset):
    image = gain * gaussian_filter(truth, sigma, mode="reflect") + offset
    exponent, r2 = linearity(image.astype(np.float32), truth)
    assert exponent == pytest.approx(1.0, abs=0.02)
    assert r2 > 0.999


def test_noise_lowers_the_share_that_is_explained_and_not_the_exponent(truth):
    noise = np.random.default_rng(1).normal(scale=truth.std(), size=truth.shape)
    exponent, r2 = linearity(truth + noise, truth)
    assert exponent == pytest.approx(1.0, abs=0.1)
    assert r2 == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("power", "low", "high"), [(0.5, 0.3, 0.85), (0.8, 0.7, 0.97), (1.3, 1.1, 1.35), (2.0, 1.3, 2.0)]
)
def test_compressed_and_stretched_brightness_show(truth, power, low, high):
    exponent, r2 = linearity(truth**power, truth)
    assert low < exponent < high
    assert r2 < 0.995


def test_a_compressed_brightness_at_another_resolution_shows(truth):
    image = gaussian_filter(np.sqrt(np.maximum(truth, 0.0)), 1.5)
    assert linearity(image, truth).exponent < 0.85


def test_nothing_can_be_said_of_a_constant(truth):
    for pair in ((np.zeros_like(truth), truth), (truth, np.ones_like(truth))):
        assert np.isnan(linearity(*pair)).all()


def test_errors_that_are_as_expected_have_a_ratio_of_one():
    random = np.random.default_rng(0)
    expected = random.exponential(1.0, (200, 200)) + 0.1
    error = random.exponential(expected)
    assert reliability(error, expected).ratio == pytest.approx(1.0, abs=0.02)
    curve = reliability(error, expected, bins=5)
    np.testing.assert_allclose(curve.measured, curve.expected, rtol=0.05)
    assert (np.diff(curve.expected) > 0).all()
    np.testing.assert_allclose(reliability(3.0 * error, expected, bins=5).measured, 3.0 * curve.measured)
    assert reliability(3.0 * error, expected).ratio == pytest.approx(3.0, abs=0.06)
    assert np.isnan(reliability(error, 0.0 * expected).ratio)

"""The camera's Poisson numbers against the exact distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.simulation import distance_from_poisson
from oidn_jax.optics import camera


@pytest.mark.parametrize("mean", [0.01, 0.7, 3.0, 7.9, 8.1, 15.0, 60.0, 600.0])
def test_quantiles_have_the_poisson_distribution(mean):
    total_variation, error_of_mean, error_of_variance = distance_from_poisson(mean)
    assert total_variation < 4e-4
    assert abs(error_of_mean) < 1e-4
    assert abs(error_of_variance) < 2e-3


def test_no_light_gives_no_photons(key):
    assert not camera.poisson(key, jnp.zeros((20, 20))).any()


def test_keys_decide_and_numbers_are_whole(key):
    mean = jnp.linspace(0.1, 100.0, 400)
    numbers = camera.poisson(key, mean)
    np.testing.assert_array_equal(numbers, camera.poisson(key, mean))
    assert not np.array_equal(numbers, camera.poisson(jax.random.key(1), mean))
    np.testing.assert_array_equal(numbers, jnp.round(numbers))


def test_gain_and_offset_scale_the_electrons(key):
    quiet = camera.Camera(gain=2.5, offset=40.0, read_noise=0.0)
    photons = jnp.full((300,), 50.0)
    electrons = (camera.expose(key, photons, quiet) - 40.0) / 2.5
    np.testing.assert_allclose(electrons, jnp.round(electrons), atol=0.21)  # the counts are rounded
    np.testing.assert_allclose(camera.expected_counts(photons, quiet), 165.0)
    np.testing.assert_allclose(camera.count_variance(photons, quiet), 2.5**2 * 50 + 1 / 12, rtol=1e-6)

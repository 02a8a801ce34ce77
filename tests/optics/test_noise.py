"""The camera's Poisson numbers against the exact distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.simulation import distance_from_poisson
from oidn_jax import random
from oidn_jax.optics import noise
from oidn_jax.optics.noise import Camera, NoiseModel

poisson = jax.jit(noise.poisson)


@pytest.mark.parametrize("mean", [0.01, 0.7, 3.0, 7.9, 8.1, 15.0, 60.0, 600.0])
def test_quantiles_have_the_poisson_distribution(mean):
    total_variation, error_of_mean, error_of_variance = distance_from_poisson(mean)
    assert total_variation < 4e-4
    assert abs(error_of_mean) < 1e-4
    assert abs(error_of_variance) < 2e-3


def test_no_light_gives_no_photons(key):
    assert not poisson(key, jnp.zeros(400)).any()


def test_keys_decide_and_numbers_are_whole(key):
    mean = jnp.linspace(0.1, 100.0, 400)
    numbers = poisson(key, mean)
    np.testing.assert_array_equal(numbers, poisson(key, mean))
    assert not np.array_equal(numbers, poisson(jax.random.key(1), mean))
    np.testing.assert_array_equal(numbers, jnp.round(numbers))


def test_gain_and_offset_scale_the_electrons(key):
    quiet = Camera(gain=2.5, offset=40.0, read_noise=0.0)
    photons = jnp.full((300,), 50.0)
    electrons = (jax.jit(noise.expose, static_argnums=2)(key, photons, quiet) - 40.0) / 2.5
    np.testing.assert_allclose(electrons, jnp.round(electrons), atol=0.21)  # the counts are rounded
    np.testing.assert_allclose(quiet.noise.variance(jnp.full((3,), 165.0)), 2.5**2 * 50 + 1 / 12, rtol=1e-6)


def test_the_variance_is_that_of_the_counts_and_at_least_that_of_one_photo_electron():
    counts = jnp.array([[90.0, 100.0], [101.0, 300.0]])
    numbers = NoiseModel(gain=2.0, offset=100.0, dark_variance=5.0)
    np.testing.assert_allclose(numbers.variance(counts), [[5.0, 5.0], [7.0, 405.0]], rtol=1e-6)
    np.testing.assert_allclose(numbers._replace(dark_variance=0.0).variance(counts), [[4.0, 4.0], [4.0, 400.0]])
    assert np.all(NoiseModel(0.0, 0.0, 0.0).variance(counts) > 0.0)


def test_the_variance_may_be_of_each_orientation(key):
    counts = random.uniform(key, (3, 2, 4, 5), maxval=200.0)
    gain, offset, dark = np.array([1.0, 1.5, 2.0]), np.array([0.0, 10.0, 20.0]), np.array([3.0, 0.0, 9.0])
    variance = NoiseModel(gain, offset, dark).variance(counts)
    for i in range(3):
        alone = NoiseModel(gain[i], offset[i], dark[i]).variance(counts[i])
        np.testing.assert_allclose(variance[i], alone, rtol=1e-6)
    mixed = NoiseModel(gain, 0.0, 4.0).variance(counts)
    np.testing.assert_allclose(mixed[1], NoiseModel(1.5, 0.0, 4.0).variance(counts[1]), rtol=1e-6)

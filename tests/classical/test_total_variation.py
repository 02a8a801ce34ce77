"""Regularised inversion: exact where there is no noise, better than Wiener SIM where there is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import random
from oidn_jax.classical.total_variation import _denoise, _divergence, _gradient, total_variation_sim
from oidn_jax.classical.wiener import wiener_sim
from oidn_jax.optics.fourier import filter_image, frequency_radius
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.noise import NoiseModel, poisson
from oidn_jax.optics.otf import airy_otf
from tests.classical.test_wiener import CUTOFF, TABLE, form_frames, periodic_scene

NOISE = NoiseModel(1.0, 0.0, 2.0)


def block_specimen(size=96):
    """Even patches on dark ground."""
    specimen = np.zeros((size, size), np.float32)
    for y, x, light in np.random.default_rng(0).uniform((8, 8, 100), (80, 80, 600), (12, 3)):
        specimen[int(y) : int(y) + 6, int(x) : int(x) + 6] += light
    return jnp.asarray(specimen)


def blocks(key, given=None):
    """Frames of the patches under the patterns of `periodic_scene`, or those given; their truth in SIM's support."""
    _, usual, _, fine_otf = periodic_scene(key, size=48)
    given = usual if given is None else given
    frames = form_frames(block_specimen(), given, fine_otf)
    reach = float(given.reach(CUTOFF)) / 2
    truth = filter_image(block_specimen(), airy_otf(frequency_radius(96, 96), cutoff=reach))
    return frames, given, truth


def error(image, truth):
    inside = np.s_[12:-12, 12:-12]
    return float(jnp.sqrt(jnp.mean((image[inside] - truth[inside]) ** 2)))


def test_differences_and_their_adjoint(key):
    image, field = random.normal(key, (7, 9)), random.normal(key, (2, 7, 9))
    assert float(jnp.vdot(_gradient(image), field)) == pytest.approx(
        -float(jnp.vdot(image, _divergence(field))), rel=1e-4
    )


def test_the_proximal_step_is_the_least(key):
    """Of 1/2 |x - y|^2 + mu TV(x), x >= 0: no other image near it is less."""
    noisy = random.normal(key, (12, 12)) + 0.5
    dual = jnp.zeros((2, 12, 12))
    for _ in range(200):
        image, dual = _denoise(noisy, dual, jnp.float32(0.3))

    def cost(x):
        return 0.5 * jnp.sum((x - noisy) ** 2) + 0.3 * jnp.sqrt((_gradient(x) ** 2).sum(0)).sum()

    assert float(image.min()) >= 0
    best = float(cost(image))
    for i in range(20):
        other = jnp.maximum(image + 0.02 * random.normal(jax.random.fold_in(key, i), image.shape), 0.0)
        assert float(cost(other)) > best - 1e-3


def test_it_is_better_than_wiener_sim_and_positive(key):
    frames, given, truth = blocks(key)
    noisy = poisson(jax.random.fold_in(key, 2), frames)
    done = []
    image = total_variation_sim(noisy, given, TABLE, NOISE, progress=lambda i, n: done.append((i, n)))
    assert float(image.image.min()) >= 0
    assert error(image.image, truth) < 0.8 * error(jnp.maximum(wiener_sim(noisy, given, TABLE), 0.0), truth)
    assert done[-1] == (200, 200)
    assert image.iterations == len(done) * 10 or done[-2][0] == image.iterations < 200


def test_it_is_proportional_to_light(key):
    """Ten times the counts of a camera of ten times the gain are ten times the image."""
    frames, given, _ = blocks(key)
    noisy = poisson(jax.random.fold_in(key, 2), frames)
    once = total_variation_sim(noisy, given, TABLE, NOISE, most_iterations=30).image
    tenfold = total_variation_sim(10.0 * noisy, given, TABLE, NoiseModel(10.0, 0.0, 200.0), most_iterations=30).image
    np.testing.assert_allclose(tenfold, 10.0 * once, atol=0.01 * float(tenfold.max()))


def test_three_beams(key):
    """Five phases and two waves of each orientation: the frames are weighed by orientation, not by wave."""
    _, given, _, _ = periodic_scene(key, size=48, phases=5)
    both = Illumination(
        jnp.stack([given.wave_vector / 2, given.wave_vector], 1).reshape(-1, 2),
        jnp.stack([given.phase, 2 * given.phase], 1).reshape(-1, 5),
        jnp.tile(jnp.array([0.3, 0.6]), 3),
        given.brightness,
    )
    frames, _, truth = blocks(key, both)
    noisy = poisson(jax.random.fold_in(key, 2), frames)
    image = total_variation_sim(noisy, both, TABLE, NOISE).image
    assert error(image, truth) < error(jnp.maximum(wiener_sim(noisy, both, TABLE), 0.0), truth)


def test_much_of_it_leaves_little(key):
    frames, given, _ = blocks(key)
    weak, strong = (
        total_variation_sim(frames, given, TABLE, NOISE, strength=s, most_iterations=30).image for s in (0.003, 30.0)
    )
    assert float(jnp.abs(jnp.diff(strong)).mean()) < 0.6 * float(jnp.abs(jnp.diff(weak)).mean())

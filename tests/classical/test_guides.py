"""What a guided network sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import random
from oidn_jax.classical.guides import REGULARISATIONS, foreground_mean, guides
from oidn_jax.classical.widefield import deconvolved_widefield
from oidn_jax.classical.wiener import automatic_wiener, wiener_sim
from oidn_jax.models.guided import CONDITIONS, GUIDES, channels, fold
from oidn_jax.models.layers import pixel_shuffle
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.noise import poisson
from tests.classical.test_wiener import CUTOFF, TABLE, periodic_scene

make = jax.jit(guides, static_argnames=("scale", "pad"))
wiener = jax.jit(wiener_sim, static_argnames=("scale", "pad"))


@pytest.fixture
def scene(key):
    """Noisy frames and their illumination."""
    _, given, frames, _ = periodic_scene(key, size=48)
    return poisson(jax.random.fold_in(key, 1), 200.0 * frames), given


def test_they_are_wiener_images_in_units_of_the_foreground(scene):
    frames, given = scene
    made = make(frames, given, TABLE)
    assert (made.images.shape, made.conditions.shape) == ((GUIDES, 96, 96), (CONDITIONS,))
    widefield = (frames / given.brightness.reshape(-1, 1, 1)).mean(0)
    np.testing.assert_allclose(made.unit, widefield[widefield > widefield.mean()].mean(), rtol=1e-5)
    w = automatic_wiener(frames, given, TABLE)
    for image, times in zip(made.images, REGULARISATIONS, strict=True):
        expected = wiener(frames, given, TABLE, wiener=times * w) / made.unit
        np.testing.assert_allclose(image, expected, atol=1e-4 * float(expected.max()))
    length = float(jnp.linalg.norm(given.wave_vector, axis=-1).mean())
    np.testing.assert_allclose(made.conditions[1:], [np.log10(w), CUTOFF, CUTOFF + length], rtol=1e-4)


def test_the_noise_is_that_of_the_widefield_image(key):
    """Read noise of 3 in 9 frames under light of 30."""
    _, given, _, _ = periodic_scene(key, size=64)
    given = given._replace(brightness=jnp.ones((3, 3)))
    frames = 30.0 + 3.0 * random.normal(key, (9, 64, 64))
    np.testing.assert_allclose(make(frames, given, TABLE).conditions[0], np.log10(1.0 / 30.0), atol=0.08)


def test_they_follow_the_light_and_not_its_unit(scene):
    frames, given = scene
    made, brighter = make(frames, given, TABLE), make(7.0 * frames, given, TABLE)
    np.testing.assert_allclose(brighter.images, made.images, atol=1e-4 * float(made.images.max()))
    np.testing.assert_allclose(brighter.conditions, made.conditions, atol=1e-4)
    np.testing.assert_allclose(brighter.unit, 7.0 * made.unit, rtol=1e-5)
    twice = make(frames, given, TABLE, unit=2.0 * made.unit)
    np.testing.assert_allclose(2.0 * twice.images, made.images, atol=1e-4 * float(made.images.max()))


def test_without_stripes_they_are_the_deconvolved_widefield_image(scene, key):
    frames = poisson(key, jnp.broadcast_to(scene[0].mean(0), scene[0].shape))
    given = Illumination.ideal(jnp.zeros((3, 2)))
    made = make(frames, given, TABLE)
    w = float(automatic_wiener(frames, given, TABLE))
    assert float(made.conditions[3]) == pytest.approx(CUTOFF)
    expected = deconvolved_widefield(frames, TABLE, reach=CUTOFF, scale=2, wiener=w)
    np.testing.assert_allclose(made.images[0], expected / made.unit, atol=1e-3 * float(made.images[0].max()))


@pytest.mark.parametrize("scale", [2, 3])
def test_folding_is_undone_by_pixel_shuffle(key, scale):
    images = random.uniform(key, (3, 4 * scale, 5 * scale))
    folded = fold(images, jnp.arange(4.0), scale=scale)
    assert folded.shape == (4, 5, channels(scale=scale))
    for i in range(3):
        part = folded[None, ..., i * scale**2 : (i + 1) * scale**2]
        np.testing.assert_array_equal(pixel_shuffle(part, scale)[0, ..., 0], images[i])
    np.testing.assert_array_equal(folded[2, 3, -4:], jnp.arange(4.0))


def test_the_foreground_of_nothing_is_no_division_by_zero():
    assert float(foreground_mean(jnp.zeros((8, 8)))) == pytest.approx(1e-6)

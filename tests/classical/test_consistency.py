"""Trust maps: noise where image and frames agree, and the place of what was added, taken away or wrong."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import random
from oidn_jax.classical.consistency import BORDER, check_consistency
from oidn_jax.classical.evidence import evidence, significance_threshold
from oidn_jax.optics import forward, fourier, otf
from oidn_jax.optics.illumination import Illumination, wave_vectors
from oidn_jax.optics.noise import NoiseModel
from oidn_jax.optics.transfer import TransferFunction

SIZE = 64
TRANSFER = TransferFunction.theoretical(na=1.4, emission_wavelength_nm=525.0, pixel_size_nm=63.75)
NOISE = NoiseModel(jnp.array([1.0, 1.1, 0.9]), 0.0, jnp.array([3.0, 2.5, 3.5]))
SPOT = (60, 71)
check = jax.jit(partial(check_consistency, otf=TRANSFER, noise=NOISE))
image_frames = jax.jit(partial(forward.form_raw_frames, scale=2))


def gaussian(size, centre, sigma):
    y, x = np.mgrid[:size, :size]
    return np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * sigma**2)).astype(np.float32)


def noisy(frames, key):
    """Counts with exactly the noise that is claimed."""
    variance = NOISE.variance(frames.reshape(3, -1, SIZE, SIZE)).reshape(frames.shape)
    return frames + jnp.sqrt(variance) * random.normal(key, frames.shape)


@pytest.fixture(scope="module")
def scene():
    """A mesh of bright pixels that fades towards the border, its illumination and its frames without noise."""
    keys = jax.random.split(jax.random.key(3), 3)
    vectors = wave_vectors(jnp.array([0.3, 1.35, 2.4]), jnp.full(3, 0.3))
    phase = jnp.linspace(0.0, 2 * jnp.pi, 3, endpoint=False)[None] + 0.3 * random.normal(keys[0], (3, 3))
    brightness = random.uniform(keys[1], (3, 3), minval=0.9, maxval=1.1)
    given = Illumination(vectors, phase, jnp.array([0.6, 0.8, 0.9]), brightness)
    specimen = 600.0 * jax.random.exponential(keys[2], (2 * SIZE, 2 * SIZE)) ** 3
    specimen = specimen * gaussian(2 * SIZE, (64, 64), 20.0) / 6.0
    fine = jnp.asarray(fourier.frequency_radius(2 * SIZE, 2 * SIZE), jnp.float32)
    transfer = TRANSFER.at(2 * fine) * forward.pixel_transfer(2 * SIZE, 2 * SIZE, scale=2, integrate=False)
    # What lies beyond the support of SIM is not in any image.
    image = fourier.filter_image(specimen, (fine < 0.33).astype(jnp.float32))
    return image, given, image_frames(image, given, transfer)


@pytest.fixture(scope="module")
def measured(scene):
    return noisy(scene[2], jax.random.key(5))


@pytest.fixture(scope="module")
def agreed(scene, measured):
    image, given, _ = scene
    return check(image, measured, given)


def inside(maps, scale=1):
    margin = scale * BORDER
    return np.asarray(maps)[..., margin:-margin, margin:-margin]


def test_what_the_true_image_leaves_is_noise(agreed):
    """Standard deviations of the means: 0.008 of the residual, 0.012 of chi-square, 0.05 of the maps."""
    residual, evidence = inside(agreed.residual), inside(agreed.evidence, 2)
    assert abs(residual.mean()) < 0.03
    assert abs(residual.std() - 1.0) < 0.03
    assert abs(inside(agreed.mean_residual).std() - 1.0) < 0.08
    assert abs(agreed.reduced_chi_square - 1.0) < 0.05
    assert abs(inside(agreed.chi_square, 2).mean() - 1.0) < 0.1
    assert abs(evidence.mean()) < 0.15
    assert abs(evidence.std() - 1.0) < 0.12
    assert np.abs(evidence).max() < agreed.threshold
    assert agreed.suspect_area == 0


@pytest.mark.parametrize(("strength", "pick"), [(1.0, np.argmin), (-1.0, np.argmax)], ids=["added", "taken away"])
def test_a_wrong_spot_is_the_extreme_of_the_evidence(scene, measured, strength, pick):
    image, given, _ = scene
    spot = strength * 0.5 * jnp.percentile(image, 99.0) * gaussian(2 * SIZE, SPOT, 1.5)
    result = check(image + spot, measured, given)
    extreme = np.unravel_index(pick(result.evidence), result.evidence.shape)
    assert np.hypot(*np.subtract(extreme, SPOT)) < 1.5
    assert abs(result.evidence[extreme]) > 2 * result.threshold
    assert result.chi_square[extreme] > 5
    assert 0 < result.suspect_area < 0.2


def test_brightness_scale_and_offset_of_the_image_do_not_matter(scene, measured, agreed):
    image, given, _ = scene
    changed = check(1e-3 * image + 0.4, measured, given)
    for name in ("predicted", "evidence", "chi_square", "background"):
        ours, theirs = getattr(changed, name), getattr(agreed, name)
        np.testing.assert_allclose(ours, theirs, atol=2e-3 * float(jnp.abs(theirs).max()), err_msg=name)


def test_the_apodisation_of_the_image_does_not_matter(scene, measured, agreed):
    image, given, _ = scene
    radius = jnp.asarray(fourier.frequency_radius(2 * SIZE, 2 * SIZE), jnp.float32)
    changed = check(fourier.filter_image(image, otf.airy_otf(radius, cutoff=0.36)), measured, given)
    difference = inside(changed.evidence - agreed.evidence, 2)
    assert np.sqrt(np.mean(difference**2)) < 0.2
    np.testing.assert_allclose(changed.reduced_chi_square, agreed.reduced_chi_square, atol=0.01)


def test_wrong_phases_raise_chi_square(scene, measured, agreed):
    image, given, _ = scene
    wrong = check(image, measured, given._replace(phase=given.phase.at[1].add(0.5)))
    assert wrong.reduced_chi_square > agreed.reduced_chi_square + 0.2
    assert wrong.chi_square.max() > 2 * agreed.chi_square.max()


def test_smooth_light_without_pattern_contradicts_nothing(scene, key):
    image, given, frames = scene
    haze = 20.0 + 60.0 * gaussian(SIZE, (30, 36), 16.0)
    light = given.brightness.reshape(-1, 1, 1) * haze[None]
    result = check(image, noisy(frames + light, key), given)
    assert abs(result.reduced_chi_square - 1.0) < 0.05
    assert result.suspect_area < 0.005
    error = inside(result.predicted - frames - light) / np.sqrt(inside(frames + light) + 3.0)
    assert np.sqrt(np.mean(error**2)) < 0.2


def test_smooth_light_that_only_the_image_shows_is_a_contradiction(scene, measured, agreed):
    """It would need negative light in the background, and there is none beyond the error of the offset."""
    image, given, _ = scene
    wrong = check(image + 1.0 * image.max() * gaussian(2 * SIZE, (64, 64), 20.0), measured, given)
    assert wrong.reduced_chi_square > agreed.reduced_chi_square + 0.2
    np.testing.assert_allclose(wrong.background.min(), -4.0 * NOISE.gain.mean(), rtol=1e-4)


def test_the_border_says_nothing(agreed, scene, measured):
    """Light from outside the field is in the frames and not in the image."""
    image, given, _ = scene
    result = check(image, measured.at[:, :4].add(500.0), given)
    for maps, value in ((result.residual, 0.0), (result.mean_residual, 0.0)):
        assert np.all(np.asarray(maps)[..., :BORDER, :] == value)
    for maps, value in ((result.evidence, 0.0), (result.chi_square, 1.0)):
        assert np.all(np.asarray(maps)[: 2 * BORDER] == value)


def test_the_threshold_is_that_of_a_normal_distribution():
    np.testing.assert_allclose(significance_threshold(1.0), 1.95996, rtol=1e-4)
    np.testing.assert_allclose(significance_threshold(1e4), 4.5648, rtol=1e-3)


def test_an_image_of_another_field_is_refused(scene, measured):
    image, given, _ = scene
    with pytest.raises(ValueError, match="no multiple"):
        check(image[:-1], measured, given)


def test_the_true_image_of_three_beams_leaves_noise(scene):
    """And without the first harmonic it does not."""
    image, given, _ = scene
    step, start = 2 * jnp.pi * jnp.arange(5) / 5, jnp.array([0.2, 1.3, 2.9])[:, None]
    three = Illumination(
        jnp.stack([given.wave_vector / 2, given.wave_vector], axis=1).reshape(6, 2),
        jnp.stack([start + step[None], 2 * start + 0.5 + 2 * step[None]], axis=1).reshape(6, 5),
        jnp.array([0.3, 0.6, 0.4, 0.8, 0.3, 0.9]),
        random.uniform(jax.random.key(8), (3, 5), minval=0.9, maxval=1.1),
    )
    fine = jnp.asarray(fourier.frequency_radius(2 * SIZE, 2 * SIZE), jnp.float32)
    transfer = TRANSFER.at(2 * fine) * forward.pixel_transfer(2 * SIZE, 2 * SIZE, scale=2, integrate=False)
    frames = image_frames(image, three, transfer)
    measured = noisy(frames, jax.random.key(5))
    agreed = check(image, measured, three)
    evidence = inside(agreed.evidence, 2)
    assert abs(agreed.reduced_chi_square - 1.0) < 0.05
    assert abs(inside(agreed.chi_square, 2).mean() - 1.0) < 0.1
    assert abs(evidence.std() - 1.0) < 0.12
    assert agreed.suspect_area == 0
    second = Illumination(three.wave_vector[1::2], three.phase[1::2], three.modulation_depth[1::2], three.brightness)
    assert check(image, measured, second).reduced_chi_square > 1.5
    spot = check(image + 0.5 * jnp.percentile(image, 99.0) * gaussian(2 * SIZE, SPOT, 1.5), measured, three)
    extreme = np.unravel_index(np.argmin(spot.evidence), spot.evidence.shape)
    assert np.hypot(*np.subtract(extreme, SPOT)) < 1.5


def test_the_evidence_of_noise_is_standard_normal_under_three_beams(scene):
    """Both harmonics are in the test's own noise: of six draws, also where the first is the deeper one."""
    _, given, _ = scene
    step, start = 2 * jnp.pi * jnp.arange(5) / 5, jnp.array([0.2, 1.3, 2.9])[:, None]
    three = Illumination(
        jnp.stack([given.wave_vector / 2, given.wave_vector], axis=1).reshape(6, 2),
        jnp.stack([start + step[None], 2 * start + 0.5 + 2 * step[None]], axis=1).reshape(6, 5),
        jnp.tile(jnp.array([0.9, 0.5]), 3),
        jnp.ones((3, 5)),
    )
    test = jax.jit(partial(evidence, otf=TRANSFER, scale=2))
    noise = random.normal(jax.random.key(11), (6, 15, SIZE, SIZE))
    maps = np.stack([inside(test(one, jnp.ones_like(one), three), 2) for one in noise])
    np.testing.assert_allclose(maps.std(), 1.0, atol=0.03)

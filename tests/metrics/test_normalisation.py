"""Normalisations: round trips, each image alone, agreement with numpy, and what constant images become."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import random
from oidn_jax.metrics import normalisation
from oidn_jax.metrics.normalisation import NORMALISATIONS, affine_match, centred, min_max, percentile


@pytest.fixture
def images(key):
    return 3.0 + 2.0 * random.normal(key, (2, 3, 20, 17))


@pytest.fixture
def references(key):
    return random.uniform(jax.random.fold_in(key, 1), (2, 3, 20, 17))


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_the_inverse_gives_the_image_back(images, references, name):
    scaling = NORMALISATIONS[name](images, references)
    there = scaling.apply(images)
    assert abs(there - images).min((-2, -1)).max() > 0.01
    np.testing.assert_allclose(scaling.invert(there), images, atol=1e-4 if name == "affine_match" else 1e-5)


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_each_image_has_its_own_scale(images, references, name):
    images = images * jnp.arange(1.0, 7.0).reshape(2, 3, 1, 1)
    alone = NORMALISATIONS[name](images[0, 1], references[0, 1])
    together = NORMALISATIONS[name](images, references)
    assert together.gain.shape == together.origin.shape == together.offset.shape == (2, 3, 1, 1)
    np.testing.assert_allclose(alone.apply(images[0, 1]), together.apply(images)[0, 1], atol=1e-5)


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_the_names_are_those_of_the_functions(images, references, name):
    function = getattr(normalisation, name)
    expected = function(images, references) if name == "affine_match" else function(images)
    jax.tree.map(np.testing.assert_array_equal, NORMALISATIONS[name](images, references), expected)


def test_min_max_spans_zero_to_one(images):
    normalised = min_max(images).apply(images)
    np.testing.assert_allclose(normalised.min((-2, -1)), 0.0, atol=1e-6)
    np.testing.assert_allclose(normalised.max((-2, -1)), 1.0, atol=1e-6)


@pytest.mark.parametrize(("low", "high"), [(0.1, 99.9), (0.0, 100.0), (2.0, 99.8), (50.0, 51.0)])
def test_percentiles_are_those_of_numpy(images, low, high):
    p_low, p_high = np.percentile(np.asarray(images, np.float64), [low, high], (-2, -1), keepdims=True)
    expected = (images - p_low) / (p_high - p_low)
    np.testing.assert_allclose(percentile(images, low=low, high=high).apply(images), expected, rtol=1e-5, atol=1e-5)


def test_default_percentiles_leave_a_hot_pixel_outside(key):
    image = random.uniform(key, (64, 64))
    hot = percentile(image.at[10, 20].set(1000.0)).apply(image)
    np.testing.assert_allclose(hot, percentile(image).apply(image), atol=0.002)
    assert percentile(image, low=0.1, high=99.9) == percentile(image)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 99.0), (1.0, 101.0), (60.0, 60.0), (60.0, 40.0)])
def test_percentiles_that_are_not_are_refused(images, low, high):
    with pytest.raises(ValueError, match=f"low={low}, high={high}; legal: 0 <= low < high <= 100"):
        percentile(images, low=low, high=high)


def test_affine_match_is_least_squares(images, references):
    matched = affine_match(-3.0 * images + 11.0, references).apply(-3.0 * images + 11.0)
    for index in np.ndindex(2, 3):
        image, reference = (np.asarray(x[index], np.float64) for x in (images, references))
        a, b = np.polyfit(image.ravel(), reference.ravel(), 1)
        np.testing.assert_allclose(matched[index], a * image + b, atol=1e-5)


def test_constant_images(references):
    constant = jnp.full(references.shape, 0.1)
    for scaling in (min_max(constant), percentile(constant)):
        np.testing.assert_array_equal(scaling.apply(constant), 0.0)
        np.testing.assert_array_equal(scaling.invert(scaling.apply(constant)), constant)
    matched = affine_match(constant, references)
    expected = jnp.broadcast_to(references.mean((-2, -1), keepdims=True), references.shape)
    np.testing.assert_array_equal(matched.apply(constant), expected)
    np.testing.assert_array_equal(matched.gain, 0.0)


def test_a_gain_of_zero_has_no_inverse(images):
    scaling = affine_match(images, jnp.full(images.shape, 0.1))
    np.testing.assert_array_equal(scaling.gain, 0.0)
    np.testing.assert_array_equal(scaling.invert(images), np.nan)


def test_camera_counts_keep_their_digits(images, references):
    """10000 +- 1 counts: gain x + constant would leave errors of 1e-4."""
    counts = 10000.0 + images / 4
    exact = np.asarray(counts, np.float64)
    low, high = exact.min((-2, -1), keepdims=True), exact.max((-2, -1), keepdims=True)
    np.testing.assert_allclose(min_max(counts).apply(counts), (exact - low) / (high - low), atol=1e-6)
    a, b = np.polyfit(exact[0, 0].ravel(), np.asarray(references[0, 0], np.float64).ravel(), 1)
    np.testing.assert_allclose(affine_match(counts, references).gain[0, 0], a, rtol=1e-4)
    matched = affine_match(counts, references).apply(counts)
    np.testing.assert_allclose(matched[0, 0], a * exact[0, 0] + b, atol=2e-5)


def test_centred_has_no_mean_and_a_constant_becomes_exactly_zero(images):
    np.testing.assert_allclose(centred(1000.0 + images).mean((-2, -1)), 0.0, atol=1e-6)
    for size in ((40, 33), (63, 61)):  # of the second, float32 sums of 0.1 leave a rounding error
        np.testing.assert_array_equal(centred(jnp.full(size, 0.1)), 0.0)


def test_what_is_not_a_number_stays_visible(images, references):
    broken = images.at[0, 0, 3, 3].set(jnp.nan)
    assert np.isnan(centred(broken)[0, 0]).all()
    assert np.isnan(affine_match(broken, references).apply(broken)[0, 0]).all()
    assert np.isnan(min_max(broken).apply(broken)[0, 0]).all()

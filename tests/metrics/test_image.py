"""Metrics against scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import metrics as skimage_metrics

from oidn_jax.metrics import image as metrics


@pytest.fixture
def pair(key):
    reference = jax.random.uniform(key, (2, 40, 33))
    return reference + 0.1 * jax.random.normal(jax.random.fold_in(key, 1), reference.shape), reference


def each(function, image, reference):
    return [
        function(np.asarray(r, np.float64), np.asarray(i, np.float64)) for i, r in zip(image, reference, strict=True)
    ]


@pytest.mark.parametrize("data_range", [1.0, 2.0])
def test_ssim_equals_scikit_image(pair, data_range):
    expected = each(
        lambda r, i: skimage_metrics.structural_similarity(
            r, i, data_range=data_range, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        ),
        *pair,
    )
    np.testing.assert_allclose(metrics.ssim(*pair, data_range=data_range), expected, atol=1e-5)


def test_psnr_mse_nrmse_equal_scikit_image(pair):
    sk = skimage_metrics
    np.testing.assert_allclose(metrics.mse(*pair), each(sk.mean_squared_error, *pair), rtol=1e-5)
    expected = each(lambda r, i: sk.peak_signal_noise_ratio(r, i, data_range=3.0), *pair)
    np.testing.assert_allclose(metrics.psnr(*pair, data_range=3.0), expected, rtol=1e-5)
    expected = each(lambda r, i: sk.normalized_root_mse(r, i, normalization="min-max") * (r.max() - r.min()) / 2, *pair)
    np.testing.assert_allclose(metrics.nrmse(*pair, data_range=2.0), expected, rtol=1e-5)


def test_ssim_refuses_small_images_and_unknown_padding(pair):
    with pytest.raises(ValueError, match="at least 11 x 11 pixels"):
        metrics.ssim(pair[0][:, :10], pair[1][:, :10], data_range=1.0)
    with pytest.raises(ValueError, match="padding is 'reflect'; legal"):
        metrics.ssim(*pair, data_range=1.0, padding="reflect")


def test_min_max_normalise_each_image(pair):
    normalised = metrics.min_max_normalise(pair[0] * jnp.array([2.0, 5.0]).reshape(2, 1, 1) - 3.0)
    np.testing.assert_allclose(normalised.min((1, 2)), 0.0, atol=1e-6)
    np.testing.assert_allclose(normalised.max((1, 2)), 1.0, atol=1e-6)
    np.testing.assert_array_equal(metrics.min_max_normalise(jnp.full((4, 4), 7.0)), 0.0)


def test_affine_match_is_least_squares(pair):
    image, reference = pair
    matched = metrics.affine_match(-3.0 * image + 11.0, reference)
    for m, i, r in zip(matched, image, reference, strict=True):
        a, b = np.polyfit(np.asarray(i, np.float64).ravel(), np.asarray(r, np.float64).ravel(), 1)
        np.testing.assert_allclose(m, a * i + b, atol=1e-4)
    np.testing.assert_allclose(
        metrics.affine_match(jnp.full((4, 4), 2.0), reference[0, :4, :4]), reference[0, :4, :4].mean(), rtol=1e-5
    )

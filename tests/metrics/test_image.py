"""Pixel-wise metrics against scikit-image and numpy, on random images and on its published reference values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import metrics as skimage_metrics

from oidn_jax import random
from oidn_jax.metrics import image as metrics
from tests.metrics import recipes


@pytest.fixture
def pair(key):
    reference = random.uniform(key, (2, 40, 33))
    return reference + 0.1 * random.normal(jax.random.fold_in(key, 1), reference.shape), reference


def each(function, image, reference):
    return [
        function(np.asarray(r, np.float64), np.asarray(i, np.float64)) for i, r in zip(image, reference, strict=True)
    ]


def test_psnr_mse_nrmse_equal_scikit_image(pair):
    sk = skimage_metrics
    np.testing.assert_allclose(metrics.mse(*pair), each(sk.mean_squared_error, *pair), rtol=1e-5)
    expected = each(lambda r, i: sk.peak_signal_noise_ratio(r, i, data_range=3.0), *pair)
    np.testing.assert_allclose(metrics.psnr(*pair, data_range=3.0), expected, rtol=1e-5)
    expected = each(lambda r, i: sk.normalized_root_mse(r, i, normalization="min-max") * (r.max() - r.min()) / 2, *pair)
    np.testing.assert_allclose(metrics.nrmse(*pair, data_range=2.0), expected, rtol=1e-5)


@pytest.mark.parametrize("norm", metrics.NORMS)
def test_relative_nrmse_equals_scikit_image(pair, norm):
    expected = each(lambda r, i: skimage_metrics.normalized_root_mse(r, i, normalization=norm), *pair)
    np.testing.assert_allclose(metrics.nrmse_relative(*pair, norm=norm), expected, rtol=1e-5)


def test_an_unknown_norm_is_refused(pair):
    with pytest.raises(ValueError, match=r"norm is 'range'; legal: 'euclidean', 'min-max', 'mean'"):
        metrics.nrmse_relative(*pair, norm="range")


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (metrics.mse, 0.0007997082334877106),
        (lambda i, r: metrics.nrmse_relative(i, r, norm="euclidean"), 0.15048183384646),
        (lambda i, r: metrics.nrmse_relative(i, r, norm="min-max"), 0.02607010379916171),
        (lambda i, r: metrics.nrmse_relative(i, r, norm="mean"), 0.20769452064522012),
        (lambda i, r: metrics.psnr(i, r, data_range=1.0), 30.9706843263114),
        (lambda i, r: metrics.psnr(i, r, data_range=float(r.max() - r.min())), 31.67714479334734),
    ],
)
def test_reference_values_of_scikit_image(score, expected):
    """Computed once with scikit-image in float64 on these two images; float32 sums agree to 1e-6."""
    np.testing.assert_allclose(
        score(jnp.asarray(recipes.synth1b()), jnp.asarray(recipes.synth1a())), expected, rtol=2e-6
    )


def test_pearson_equals_numpy_and_takes_no_notice_of_scale(pair):
    expected = each(lambda r, i: np.corrcoef(r.ravel(), i.ravel())[0, 1], *pair)
    np.testing.assert_allclose(metrics.pearson(*pair), expected, atol=1e-6)
    np.testing.assert_allclose(metrics.pearson(2.0 * pair[0] - 5.0, pair[1]), expected, atol=1e-6)
    np.testing.assert_allclose(metrics.pearson(-2.0 * pair[0], pair[1]), np.negative(expected), atol=1e-6)


def test_pearson_of_camera_counts_keeps_its_digits(pair):
    """1000 +- 10 counts: as mean(x y) - mean(x) mean(y), float32 leaves an error of 1e-3 and more."""
    image, reference = (1000.0 + 10.0 * x for x in pair)
    expected = each(lambda r, i: np.corrcoef(r.ravel(), i.ravel())[0, 1], image, reference)
    np.testing.assert_allclose(metrics.pearson(image, reference), expected, atol=1e-6)


def test_pearson_with_a_constant_image_is_nan(key):
    """Of 0.1, whose mean over these pixels is not exactly 0.1 in float32."""
    varied = random.uniform(key, (2, 63, 61))
    constant = varied.at[0].set(0.1)
    for image, reference in ((constant, varied), (varied, constant)):
        first, second = metrics.pearson(image, reference)
        assert np.isnan(first)
        assert second > 0.9

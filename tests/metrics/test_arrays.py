"""What every metric does to its arguments: integers, scales, shapes, NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.metrics import image as likeness
from oidn_jax.metrics.decorrelation import decorrelation_analysis, sectorial_decorrelation
from oidn_jax.metrics.drift import find_drift
from oidn_jax.metrics.fourier_ring import fourier_ring_correlation
from oidn_jax.metrics.normalisation import affine_match, min_max, percentile
from oidn_jax.metrics.single_image import single_image_frc, single_image_resolution_nm
from oidn_jax.metrics.squirrel import resolution_scaled_error
from oidn_jax.metrics.ssim import ms_ssim, ssim, ssim_legacy
from tests.metrics import recipes

# Everything that takes images, as a function of two that gives numbers.
MEASURES = {
    "mse": likeness.mse,
    "psnr": lambda a, b: likeness.psnr(a, b, data_range=65535),
    "nrmse": lambda a, b: likeness.nrmse(a, b, data_range=255),
    "nrmse_relative": lambda a, b: likeness.nrmse_relative(a, b, norm="euclidean"),
    "pearson": likeness.pearson,
    "ssim": lambda a, b: ssim(a, b, data_range=255),
    "ms_ssim": lambda a, b: ms_ssim(a, b, data_range=255, scales=2),
    "ssim_legacy": ssim_legacy,
    "min_max": lambda a, b: min_max(a).apply(a),
    "percentile": lambda a, b: percentile(a).apply(a),
    "affine_match": lambda a, b: affine_match(a, b).apply(a),
    "squirrel": lambda a, b: resolution_scaled_error(a, b).rse,
    "decorrelation": lambda a, b: decorrelation_analysis(a).cutoff,
    "sectors": lambda a, b: sectorial_decorrelation(a, sectors=2).cutoff,
    "frc": lambda a, b: fourier_ring_correlation(a, b).smoothed,
    "single frc": lambda a, b: single_image_frc(a).smoothed,
    "drift": find_drift,
}
PAIRWISE = ("mse", "psnr", "nrmse", "nrmse_relative", "pearson", "ssim", "ms_ssim", "ssim_legacy", "affine_match")
GAIN_FREE = ("decorrelation", "sectors", "frc", "single frc", "drift")


@pytest.fixture(scope="module")
def pair():
    return tuple(np.rint(200 * x[:64, :72].clip(0, 1.2)) for x in (recipes.synth1a(), recipes.synth1b()))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [*((name, np.uint16) for name in MEASURES), ("mse", np.uint8), ("frc", np.int16), ("decorrelation", np.float16)],
)
def test_integers_are_pixels_like_any_other(name, dtype, pair):
    expected = MEASURES[name](*(x.astype(np.float32) for x in pair))
    np.testing.assert_allclose(MEASURES[name](*(x.astype(dtype) for x in pair)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", GAIN_FREE)
@pytest.mark.parametrize("gain", [2.0**-80, 2.0**80])
def test_any_brightness_scale(name, gain, pair):
    a, b = (x.astype(np.float32) for x in pair)
    np.testing.assert_array_equal(MEASURES[name](a * np.float32(gain), b * np.float32(gain)), MEASURES[name](a, b))


@pytest.mark.parametrize("name", PAIRWISE)
def test_other_shapes_are_not_broadcast(name, pair):
    a, b = (x.astype(np.float32) for x in pair)
    for other in (b.T, b.reshape(72, 64), b[:1]):
        with pytest.raises(ValueError, match=r"the shapes \(64, 72\) and .*; they must be equal"):
            MEASURES[name](a, other)


@pytest.mark.parametrize("data_range", [0, -1.0])
def test_a_range_is_above_zero(data_range, pair):
    for measure in (likeness.psnr, likeness.nrmse, ssim):
        with pytest.raises(ValueError, match=r"data_range is .*must be above 0"):
            measure(*pair, data_range=data_range)


def test_nan_is_never_a_number(pair):
    image = pair[0].astype(np.float32)
    image[5, 7] = np.nan
    assert np.isnan(fourier_ring_correlation(image, pair[1].astype(np.float32)).correlation).all()
    assert np.isnan(single_image_resolution_nm(single_image_frc(image), pixel_size_nm=30.0))
    assert np.isnan(find_drift(image, pair[1])).all()
    analysis = jax.jit(decorrelation_analysis)(jnp.asarray(image))
    assert np.isnan(analysis.cutoff)
    assert np.isnan(analysis.amplitude)

"""SSIM against scikit-image, MS-SSIM against the formulas of its paper computed directly."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import correlate1d
from skimage.metrics import structural_similarity

from oidn_jax import random
from oidn_jax.metrics.ssim import largest_ms_ssim_scales, ms_ssim, ssim, ssim_legacy
from tests.metrics import recipes

# What scikit-image calls each window.
SKIMAGE = {"gaussian": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}, "uniform": {}}


@pytest.fixture
def pair(key):
    reference = random.uniform(key, (2, 40, 33))
    return reference + 0.1 * random.normal(jax.random.fold_in(key, 1), reference.shape), reference


def by_scikit_image(image, reference, **options):
    pairs = zip(np.asarray(image, np.float64), np.asarray(reference, np.float64), strict=True)
    return [structural_similarity(r, i, **options) for i, r in pairs]


@pytest.mark.parametrize("window", SKIMAGE)
@pytest.mark.parametrize("data_range", [1.0, 2.0])
def test_ssim_equals_scikit_image(pair, window, data_range):
    expected = by_scikit_image(*pair, data_range=data_range, **SKIMAGE[window])
    np.testing.assert_allclose(ssim(*pair, data_range=data_range, window=window), expected, atol=1e-6)


def test_the_gaussian_window_is_the_default(pair):
    np.testing.assert_array_equal(ssim(*pair, data_range=1.0), ssim(*pair, data_range=1.0, window="gaussian"))


@pytest.mark.parametrize(
    ("window", "range_of_the_reference", "expected"),
    [
        ("uniform", False, 0.913576444522336),
        ("gaussian", False, 0.8833655666885482),
        ("uniform", True, 0.9163807193917369),
    ],
)
def test_reference_values_of_scikit_image(window, range_of_the_reference, expected):
    """Computed once with scikit-image in float64 on these two images."""
    image, reference = jnp.asarray(recipes.synth1b()), jnp.asarray(recipes.synth1a())
    data_range = float(reference.max() - reference.min()) if range_of_the_reference else 1.0
    np.testing.assert_allclose(ssim(image, reference, data_range=data_range, window=window), expected, atol=1e-6)


@pytest.mark.parametrize("window", SKIMAGE)
def test_ssim_of_camera_counts_keeps_its_digits(pair, window):
    """1000 +- 10 counts: as E[x^2] - E[x]^2 of the counts themselves, float32 leaves errors of 1e-3 and more."""
    image, reference = (1000.0 + 10.0 * x for x in pair)
    expected = by_scikit_image(image, reference, data_range=10.0, **SKIMAGE[window])
    np.testing.assert_allclose(ssim(image, reference, data_range=10.0, window=window), expected, atol=1e-6)


def test_zero_padding_averages_over_a_border_of_zeros(pair):
    """A larger image with the zeros written out, where the windows about its pixels are those of the smaller one."""
    image, reference = (np.pad(np.asarray(x, np.float64), ((0, 0), (5, 5), (5, 5))) for x in pair)
    means = [windowed(x) for x in (image[0], reference[0])]
    moments = [windowed(x * y) for x, y in ((image[0],) * 2, (reference[0],) * 2, (image[0], reference[0]))]
    expected = np.mean(np.prod(maps(means, moments, data_range=1.0), axis=0))
    np.testing.assert_allclose(ssim(*pair, data_range=1.0, padding="zero")[0], expected, atol=1e-6)


def test_the_gradient_of_ssim_is_that_of_finite_differences(pair):
    image, reference = 0.5 * pair[0][0], pair[1][0]
    direction = 1.0 + jnp.sin(jnp.arange(image.size, dtype=jnp.float32)).reshape(image.shape)

    @jax.jit
    def along(step):
        return ssim(image + step * direction, reference, data_range=1.0)

    expected = (along(0.01) - along(-0.01)) / 0.02
    np.testing.assert_allclose(jax.grad(along)(0.0), expected, rtol=0.005)


def test_legacy_is_scikit_image_without_a_data_range_and_inflated(pair):
    """For floating-point images scikit-image took 2, the span of -1 to 1."""
    np.testing.assert_allclose(ssim_legacy(*pair), by_scikit_image(*pair, data_range=2.0), atol=1e-6)
    noisy = jnp.asarray(recipes.synth1b()), jnp.asarray(recipes.synth1a())
    assert ssim_legacy(*noisy) > ssim(*noisy, data_range=1.0, window="uniform") + 0.02


def test_ssim_refuses_small_images_and_unknown_names(pair):
    small = pair[0][:, :10], pair[1][:, :10]
    with pytest.raises(ValueError, match=r"at least 11 x 11 pixels, got \(10, 33\)"):
        ssim(*small, data_range=1.0)
    with pytest.raises(ValueError, match="at least 7 x 7 pixels"):
        ssim(small[0][:, :6], small[1][:, :6], data_range=1.0, window="uniform")
    with pytest.raises(ValueError, match="padding is 'reflect'; legal: 'valid', 'zero'"):
        ssim(*pair, data_range=1.0, padding="reflect")
    with pytest.raises(ValueError, match="window is 'hann'; legal: 'gaussian', 'uniform'"):
        ssim(*pair, data_range=1.0, window="hann")


# ---------------------------------------------------------------------------------------------------------------------
# MS-SSIM
# ---------------------------------------------------------------------------------------------------------------------

AXIS = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))


def windowed(image):
    """The mean in the Gaussian window about each pixel where it fits."""
    for axis in (0, 1):
        image = correlate1d(image, AXIS / AXIS.sum(), axis)
    return image[5:-5, 5:-5]


WEIGHTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]


def maps(means, moments, *, data_range):
    """Luminance, and contrast times structure with C3 = C2 / 2: equations 1 to 3 of the paper, and their product."""
    (x, y), (xx, yy, xy) = means, moments
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    deviation_x, deviation_y = np.sqrt(np.maximum(xx - x**2, 0)), np.sqrt(np.maximum(yy - y**2, 0))
    luminance = (2 * x * y + c1) / (x**2 + y**2 + c1)
    contrast = (2 * deviation_x * deviation_y + c2) / (deviation_x**2 + deviation_y**2 + c2)
    return luminance, contrast * (xy - x * y + c2 / 2) / (deviation_x * deviation_y + c2 / 2)


def direct_ms_ssim(x, y, *, data_range, weights):
    """As in the paper, one image: a low-pass of 2 x 2 pixels, then every second pixel."""
    product = 1.0
    for scale, weight in enumerate(weights, start=1):
        means = [windowed(z) for z in (x, y)]
        moments = [windowed(z) for z in (x * x, y * y, x * y)]
        luminance, structure = maps(means, moments, data_range=data_range)
        product *= np.mean(luminance * structure if scale == len(weights) else structure) ** weight
        x, y = (
            correlate1d(correlate1d(z, [0.5, 0.5], 0, origin=-1), [0.5, 0.5], 1, origin=-1)[::2, ::2] for z in (x, y)
        )
    return product


def compare(image, reference, *, data_range, scales, weights, atol=2e-6):
    batch = jnp.asarray([image, reference], jnp.float32), jnp.asarray([reference, reference], jnp.float32)
    expected = direct_ms_ssim(
        *(np.asarray(x[0], np.float64) for x in batch), data_range=data_range, weights=np.asarray(weights)
    )
    scores = jax.jit(partial(ms_ssim, data_range=data_range, scales=scales))(*batch)
    np.testing.assert_allclose(scores, [expected, 1.0], atol=atol)
    assert expected < 0.995


def test_ms_ssim_equals_the_paper_computed_directly():
    """Of a displaced image: at a low score, that the five weights of the paper sum to 1.0001 makes a difference."""
    image = np.roll(recipes.synth1b(), 4, axis=1)
    compare(image, recipes.synth1a(), data_range=1.0, scales=5, weights=WEIGHTS)


def test_ms_ssim_of_odd_sizes_and_large_offsets():
    image, reference = (1000 + 100 * x[:163, :201] for x in (recipes.synth1b(), recipes.synth1a()))
    compare(image, reference, data_range=100.0, scales=5, weights=WEIGHTS)


@pytest.mark.parametrize("scales", [1, 3])
def test_fewer_scales_have_weights_of_sum_one(pair, scales):
    image, reference = pair[0][0], pair[1][0]
    image, reference = jnp.tile(image, (2, 2)), jnp.tile(reference, (2, 2))
    weights = np.asarray(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    compare(image, reference, data_range=1.0, scales=scales, weights=weights)
    if scales == 1:
        expected = ssim(image, reference, data_range=1.0)
        np.testing.assert_allclose(ms_ssim(image, reference, data_range=1.0, scales=1), expected, rtol=1e-6)


def test_a_negative_structure_makes_ms_ssim_zero(pair):
    reference = jnp.tile(pair[1][0], (2, 2))
    assert ssim(1.0 - reference, reference, data_range=1.0) < 0
    assert ms_ssim(1.0 - reference, reference, data_range=1.0, scales=2) == 0.0


@pytest.mark.parametrize(
    ("h", "w", "scales"), [(161, 200, 5), (4000, 160, 4), (81, 81, 4), (80, 81, 3), (11, 11, 1), (10, 400, 0)]
)
def test_as_many_scales_as_fit_and_no_more(h, w, scales):
    assert largest_ms_ssim_scales(h, w) == scales
    image = jnp.zeros((h, w))
    if scales:
        np.testing.assert_allclose(
            jax.eval_shape(lambda x: ms_ssim(x, x, data_range=1.0, scales=scales), image).shape, ()
        )
    if scales < 5:
        needed = 10 * 2**scales + 1
        message = rf"needs images of at least {needed} x {needed} pixels, got \({h}, {w}\).* at most {scales} scales"
        with pytest.raises(ValueError, match=message):
            ms_ssim(image, image, data_range=1.0, scales=scales + 1)


@pytest.mark.parametrize("scales", [0, 6])
def test_an_illegal_number_of_scales_is_refused(scales):
    image = jnp.zeros((200, 200))
    with pytest.raises(ValueError, match=f"scales is {scales}; legal: 1 to 5"):
        ms_ssim(image, image, data_range=1.0, scales=scales)

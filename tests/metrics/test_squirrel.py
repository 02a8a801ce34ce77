"""SQUIRREL: its own model, its invariances, and a direct computation with scipy's filters and optimiser."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize_scalar

from oidn_jax.metrics.squirrel import resolution_scaled_error
from tests.metrics import recipes

SHAPE = (64, 80)
GAIN, OFFSET, SIGMA = 700.0, 1000.0, 3.2


@pytest.fixture(scope="module")
def image():
    """Points of sigma 1, some cut by the border."""
    return recipes.points(SHAPE, n=60, sigma=1.0, seed=5)


def blur_and_bin(image, sigma, *, scale=2):
    blurred = gaussian_filter(np.asarray(image, np.float64), sigma, mode="reflect", truncate=12)
    h, w = (n // scale for n in image.shape)
    return blurred.reshape(h, scale, w, scale).mean((1, 3))


@pytest.fixture(scope="module")
def widefield(image):
    return GAIN * blur_and_bin(image, SIGMA) + OFFSET


@pytest.fixture(scope="module")
def noisy(widefield):
    """5 counts of noise on 1000 counts, 100 of them structure."""
    return widefield + np.random.default_rng(7).normal(0, 5, widefield.shape)


def score(image, widefield, **options):
    return resolution_scaled_error(jnp.asarray(image, jnp.float32), jnp.asarray(widefield, jnp.float32), **options)


def test_a_widefield_of_the_model_has_no_error(image, widefield):
    result = score(image, widefield)
    np.testing.assert_allclose(result.sigma_px, SIGMA, atol=2e-3)
    np.testing.assert_allclose([result.alpha, result.beta], [GAIN, OFFSET], rtol=1e-3)
    np.testing.assert_allclose(result.rsp, 1.0, atol=1e-6)
    assert result.rse < 2e-3 * widefield.std()
    assert result.error_map.shape == widefield.shape


@pytest.mark.parametrize(("scale", "shape"), [(1, (33, 40)), (3, (63, 48))])
def test_other_scales_and_odd_sizes(scale, shape):
    image = recipes.points(shape, n=40, sigma=1.5, seed=6)
    widefield = blur_and_bin(image, 2.5, scale=scale)
    result = score(image, widefield)
    np.testing.assert_allclose(result.sigma_px, 2.5, atol=2e-3)
    np.testing.assert_allclose(result.alpha, 1.0, rtol=1e-3)
    assert result.rse < 2e-3 * widefield.std()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_without_blur_every_frequency_is_averaged_as_the_pixels_are(scale):
    image = np.random.default_rng(8).normal(size=(12 * scale, 9 * scale))
    result = score(image, blur_and_bin(image, 0, scale=scale))
    np.testing.assert_allclose([result.alpha, result.sigma_px], [1.0, 0.0], atol=1e-3)
    np.testing.assert_allclose(result.error_map, 0.0, atol=1e-5)


def directly(image, widefield):
    """sigma, alpha, beta and the error map, by scipy."""

    def fit(sigma):
        model = blur_and_bin(image, sigma)
        alpha, beta = np.polyfit(model.ravel(), widefield.ravel(), 1)
        return alpha, beta, alpha * model + beta - widefield

    best = minimize_scalar(
        lambda sigma: np.mean(fit(sigma)[2] ** 2), bounds=(0.8, 10), method="bounded", options={"xatol": 1e-6}
    )
    return best.x, *fit(best.x)


def test_equals_scipy(image, noisy):
    sigma, alpha, beta, error = directly(image, noisy)
    result = score(image, noisy)
    np.testing.assert_allclose(result.rse, np.sqrt(np.mean(error**2)), rtol=1e-5)
    np.testing.assert_allclose(result.rsp, np.corrcoef((noisy + error).ravel(), noisy.ravel())[0, 1], atol=1e-6)
    # The error is flat at its minimum: 1e-3 of sigma changes it by less than float32 can tell.
    np.testing.assert_allclose(result.sigma_px, sigma, rtol=2e-3)
    np.testing.assert_allclose([result.alpha, result.beta], [alpha, beta], rtol=2e-3)
    np.testing.assert_allclose(result.error_map, np.abs(error), atol=0.05)


def test_gain_and_offset_of_the_image_do_not_matter(image, noisy):
    plain, scaled = score(image, noisy), score(40.0 * image + 300.0, noisy)
    for name in ("rse", "rsp", "sigma_px"):
        np.testing.assert_allclose(getattr(scaled, name), getattr(plain, name), rtol=1e-3)
    np.testing.assert_allclose(scaled.error_map, plain.error_map, atol=0.02)
    np.testing.assert_allclose(40.0 * scaled.alpha, plain.alpha, rtol=1e-3)
    np.testing.assert_allclose(scaled.beta, plain.beta - 300.0 * scaled.alpha, rtol=1e-3)


def test_the_error_is_in_units_of_the_widefield(image, noisy):
    plain, scaled = score(image, noisy), score(image, 3.0 * noisy - 500.0)
    np.testing.assert_allclose(scaled.rse, 3.0 * plain.rse, rtol=1e-4)
    np.testing.assert_allclose(scaled.rsp, plain.rsp, atol=1e-6)
    np.testing.assert_allclose(plain.rse, np.sqrt(np.mean(np.square(plain.error_map))), rtol=1e-5)
    np.testing.assert_allclose(plain.rse, 5.0, rtol=0.05)


def test_an_inverted_image_has_a_negative_correlation(image, widefield):
    result = score(1.0 - image, widefield)
    np.testing.assert_allclose(result.rsp, -1.0, atol=1e-6)
    np.testing.assert_allclose(result.alpha, -GAIN, rtol=1e-3)


@pytest.mark.parametrize("change", ["invented", "lost"])
def test_invented_and_lost_structure_raises_the_error_there(image, noisy, change):
    y, x = (41, 52) if change == "invented" else np.unravel_index(image.argmax(), SHAPE)
    grid_y, grid_x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    spot = np.exp(-((grid_y - y) ** 2 + (grid_x - x) ** 2) / (2 * 2.0**2))
    changed = image + spot if change == "invented" else image * (1 - spot)
    before, after = score(image, noisy), score(changed, noisy)
    rise = np.asarray(after.error_map - before.error_map)
    peak_y, peak_x = np.unravel_index(rise.argmax(), rise.shape)
    assert abs(peak_y - y / 2) <= 2
    assert abs(peak_x - x / 2) <= 2
    assert after.rse > 1.3 * before.rse
    assert after.rsp < before.rsp


def test_each_image_of_a_batch_is_scored_alone(image, widefield, noisy):
    images = np.stack([image, 1.0 - image, np.roll(image, 4, 1)])[:, None]
    widefields = np.stack([noisy, widefield, np.roll(widefield, 2, 1)])[:, None]
    together, alone = score(images, widefields), score(images[2, 0], widefields[2, 0])
    for name, value in alone._asdict().items():
        np.testing.assert_allclose(getattr(together, name)[2, 0], value, rtol=2e-3, atol=0.05)


def test_sigma_ends_at_its_bounds(image, widefield):
    np.testing.assert_allclose(score(image, widefield, largest_sigma_px=2.0).sigma_px, 2.0, atol=1e-3)
    sharper = blur_and_bin(image, 0) - 0.3 * (blur_and_bin(image, 2.0) - blur_and_bin(image, 0))
    np.testing.assert_allclose(score(image, sharper).sigma_px, 0.0, atol=1e-3)


def test_a_constant_image_explains_nothing(image, widefield):
    result = score(np.full(SHAPE, 0.1), widefield)
    assert result.alpha == 0.0
    assert np.isnan(result.rsp)
    np.testing.assert_allclose([result.rse, result.beta], [widefield.std(), widefield.mean()], rtol=1e-5)


@pytest.mark.parametrize("shape", [(64, 79), (32, 80), (128, 80), (16, 20), (48, 60)])
def test_sizes_that_do_not_fit_are_refused(widefield, shape):
    with pytest.raises(ValueError, match=r"do not fit: the image needs a whole number of pixels"):
        score(np.zeros(shape), widefield)


@pytest.mark.parametrize("largest", [0.0, -1.0, float("nan")])
def test_a_largest_sigma_that_is_none_is_refused(image, widefield, largest):
    with pytest.raises(ValueError, match=r"largest_sigma_px is .* must be above 0"):
        score(image, widefield, largest_sigma_px=largest)

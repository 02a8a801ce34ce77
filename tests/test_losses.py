"""The loss terms against the authors' numbers and their own definitions."""

import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import losses
from oidn_jax.errors import IllegalValue
from tests.golden_oidn import golden_frames


@pytest.fixture(scope="module")
def pair():
    target = golden_frames(channels=1, size=256)
    noise = np.random.default_rng(1).normal(size=(2, 1, 256, 256))
    prediction = 0.9 * target + 0.05 * noise.transpose(0, 2, 3, 1)
    return jnp.asarray(prediction, jnp.float32), jnp.asarray(target)


def test_the_prediction_is_the_golden_one(pair, golden):
    np.testing.assert_allclose(pair[0][0, :, :, 0], golden("oidn_small")["loss/prediction"], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("ssim_zero_padded", lambda x, y: 1 - losses.ssim_loss(x, y, padding="zero")),
        ("ssim_valid", lambda x, y: 1 - losses.ssim_loss(x, y)),
        ("mse", losses.mean_squared_error),
        ("l1", losses.mean_absolute_error),
        ("charbonnier_fft", losses.fourier_charbonnier),
    ],
)
def test_terms_equal_the_authors(pair, golden, name, term):
    np.testing.assert_allclose(term(*pair), golden("oidn_small")[f"loss/{name}"], rtol=1e-4)


def test_total_is_the_weighted_sum_of_the_terms_with_weight(pair):
    weights = {"mse": 1.0, "ssim": 0.1, "frequency": 0.01, "psf_energy": 0.5, "l1": 0.0}
    psf = jnp.full((2, 8, 8, 9), 1.0 / 32)
    total, terms = losses.total_loss(*pair, psf=psf, weights=weights)
    assert set(terms) == {"mse", "ssim", "frequency", "psf_energy"}
    np.testing.assert_allclose(total, sum(weights[name] * float(value) for name, value in terms.items()), rtol=1e-6)
    np.testing.assert_allclose(terms["psf_energy"], 1.0, rtol=1e-6)


def test_an_unknown_term_is_refused(pair):
    with pytest.raises(IllegalValue, match=r"`weights.mse_loss` is 1.0; there are: mse"):
        losses.total_loss(*pair, weights={"mse_loss": 1.0})


@pytest.mark.parametrize("term", losses.PSF_TERMS)
def test_a_psf_loss_without_a_psf_is_refused_and_no_loss_is_not(pair, term):
    with pytest.raises(IllegalValue, match=rf"`weights.{term}` is 0.5; it must be 0: this network has no PSF"):
        losses.total_loss(*pair, weights={term: 0.5})
    assert losses.total_loss(*pair, weights={term: 0.0}) == (0.0, {})


def test_symmetry_is_zero_for_a_rotationally_symmetric_psf_about_tap_n_half_only():
    y, x = np.mgrid[:8, :8]

    def gaussian(centre):
        psf = np.exp(-((y - centre) ** 2 + (x - centre) ** 2) / 0.5)
        return jnp.asarray(psf / psf.sum(), jnp.float32)[None, :, :, None]

    assert losses.psf_symmetry(gaussian(4.0)) < 1e-6
    assert losses.psf_symmetry(gaussian(3.5)) > 0.1
    delta_in_the_row_without_partner = jnp.zeros((1, 8, 8, 1)).at[0, 0, 4, 0].set(1.0)
    np.testing.assert_allclose(losses.psf_symmetry(delta_in_the_row_without_partner), 2.0)


def test_energy_of_a_psf_that_loses_half_its_light():
    np.testing.assert_allclose(losses.psf_energy(jnp.full((1, 4, 4, 2), 0.5 / 16)), 0.5)


def test_monotonicity_of_a_ramp():
    ramp = jnp.broadcast_to(jnp.arange(4.0)[:, None], (4, 4))[None, :, :, None]
    np.testing.assert_allclose(losses.psf_monotonicity(ramp), 12.0)
    np.testing.assert_allclose(losses.psf_monotonicity(-ramp), 0.0)

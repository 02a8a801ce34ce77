"""Decorrelation analysis against the authors' MATLAB functions, and laws of it.

The numbers are what `apodImRect` and `getDcorr` (commit db536a3 of their repository) gave under Octave for the images
of `recipes`; the curves are in `tests/data/resolution.npz`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from oidn_jax.metrics import decorrelation as da
from tests.metrics import recipes

# kcMax and A0, apodised and not.
MATLAB = {
    "synth1a": ((0.428571, 0.532), (0.428571, 0.561)),
    "synth1b": ((0.428571, 0.532), (0.428571, 0.561)),
    "synth2": ((0.655144, 0.555), (0.752603, 0.584)),
    "synth3": ((0.209413, 0.417), (0.217993, 0.439)),
    "noise128": ((0.0, 0.0), (0.0, 0.0)),
    "clean128": ((0.408163, 0.507), (0.428571, 0.558)),
    "small48": ((0.551937, 0.888), (0.756685, 0.693)),
}
REFINED_STEP = 0.0085


def image_of(name, dtype=np.float32):
    return getattr(recipes, name)().astype(dtype)


@pytest.mark.parametrize("name", MATLAB)
def test_the_numbers_and_curves_of_the_matlab_functions_in_double_precision(name, golden):
    with jax.enable_x64(True):
        for apodise, (kc, a0) in zip((True, False), MATLAB[name], strict=True):
            analysis = jax.device_get(da.decorrelation_analysis(image_of(name, np.float64), apodise=apodise))
            assert analysis.cutoff == pytest.approx(kc, abs=1e-6)
            assert analysis.amplitude == pytest.approx(a0, abs=1e-6)
            if apodise:
                apodised = analysis
    curves = golden("resolution")
    np.testing.assert_allclose(apodised.curves[0], curves[f"da_{name}_d0"], atol=1.1e-3)
    # The program overwrites the last curve of the first pass with the first of the second.
    ours = np.concatenate([apodised.curves[1:-1], apodised.refined_curves])
    np.testing.assert_allclose(ours.T, curves[f"da_{name}_d"], atol=1.1e-3)
    assert np.mean(np.abs(ours.T - curves[f"da_{name}_d"]) > 5e-4) <= 0.011


@pytest.mark.parametrize("name", MATLAB)
def test_single_precision_is_within_a_step(name):
    analysis = da.decorrelation_analysis(image_of(name))
    (kc, a0), _ = MATLAB[name]
    assert float(analysis.cutoff) == pytest.approx(kc, abs=REFINED_STEP)
    assert float(analysis.amplitude) == pytest.approx(a0, abs=1.1e-3)


def test_the_resolution_is_two_pixels_at_nyquist():
    analysis = da.decorrelation_analysis(image_of("synth1a"))
    assert float(analysis.resolution_nm(pixel_size_nm=30.0)) == pytest.approx(4.666667 * 30, rel=1e-5)
    assert np.isinf(da.decorrelation_analysis(image_of("noise128")).resolution_nm(pixel_size_nm=30.0))


def test_each_image_of_a_batch_by_itself():
    batch = np.stack([image_of("synth1a")[:128, :128], image_of("clean128"), image_of("noise128")])
    together = da.decorrelation_analysis(batch.reshape(3, 1, 128, 128))
    assert together.cutoff.shape == (3, 1)
    assert together.curves.shape == (3, 1, 12, 50)
    assert together.radii.shape == (50,)
    for i, image in enumerate(batch):
        alone = da.decorrelation_analysis(image)
        for one, all_of_them in ((alone.cutoff, together.cutoff), (alone.refined_curves, together.refined_curves)):
            np.testing.assert_array_equal(one, all_of_them[i, 0])


def test_gain_mirroring_and_transposition_change_nothing():
    """An offset does change it: the authors keep the coefficient of the mean."""
    image = image_of("synth1a")[:129, :129]
    kc = float(da.decorrelation_analysis(image).cutoff)
    for other in (7.0 * image, image[::-1], image[:, ::-1], image.T):
        assert float(da.decorrelation_analysis(other).cutoff) == pytest.approx(kc, abs=REFINED_STEP)


def test_the_apodisation_ends_at_the_mean_and_leaves_the_middle():
    image = image_of("synth3")
    apodised = np.asarray(da.apodise_border(jnp.asarray(image)))
    for border in (apodised[0], apodised[-1], apodised[:, 0], apodised[:, -1]):
        np.testing.assert_allclose(border, image.mean(), rtol=1e-5)
    np.testing.assert_allclose(apodised[19:-19, 19:-19], image[19:-19, 19:-19], rtol=1e-5)
    weight = (apodised[1, 50] - image.mean()) / (image[1, 50] - image.mean())
    assert weight == pytest.approx(0.006819, abs=1e-4)


# ---------------------------------------------------------------------------------------------------------------------
# Sectors
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["synth1a", "synth2"])
def test_one_sector_is_the_whole_image(name):
    whole, sector = da.decorrelation_analysis(image_of(name)), da.sectorial_decorrelation(image_of(name), sectors=1)
    assert sector.cutoff.shape == (1,)
    assert float(sector.cutoff[0]) == pytest.approx(float(whole.cutoff), abs=1e-6)
    np.testing.assert_allclose(sector.curves[0], whole.curves, atol=1.1e-3)


def test_an_image_blurred_along_x_is_resolved_better_along_y():
    rng = np.random.default_rng(5)
    dots = np.zeros((200, 200))
    dots[rng.integers(0, 200, 800), rng.integers(0, 200, 800)] = 1.0
    image = gaussian_filter(dots, (1.5, 4.0), mode="wrap")
    image = (image / image.max() + 0.01 * rng.standard_normal(image.shape)).astype(np.float32)
    along_x, _, along_y, _ = da.sectorial_decorrelation(image, sectors=4).cutoff
    assert along_y > 1.8 * along_x
    turned = da.sectorial_decorrelation(image.T.copy(), sectors=4).cutoff
    np.testing.assert_allclose(turned[jnp.array([2, 0])], [along_x, along_y], atol=REFINED_STEP)


# ---------------------------------------------------------------------------------------------------------------------
# What cannot be analysed
# ---------------------------------------------------------------------------------------------------------------------


def test_constant_images_are_refused_and_are_nan_under_jit():
    constant = np.full((2, 32, 32), 7.0, np.float32)
    constant[0] = image_of("small48")[:32, :32]
    with pytest.raises(ValueError, match="one value everywhere"):
        da.decorrelation_analysis(constant)
    analysis = jax.jit(da.decorrelation_analysis)(constant)
    assert np.isnan(analysis.cutoff).tolist() == [False, True]
    assert np.isnan(analysis.amplitude).tolist() == [False, True]


def test_other_images_that_are_refused():
    with pytest.raises(ValueError, match="at least 8 x 8 pixels, got 7 x 40"):
        da.decorrelation_analysis(np.ones((7, 40), np.float32))
    image = image_of("small48").copy()
    image[3, 4] = np.nan
    with pytest.raises(ValueError, match="1 NaN or infinite"):
        da.sectorial_decorrelation(image, sectors=2)
    with pytest.raises(ValueError, match="sectors is 0"):
        da.sectorial_decorrelation(image_of("small48"), sectors=0)

"""The microscope: its numbers reach every OTF and PSF, measured ones too, and survive JSON."""

import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.optics.forward import pixel_transfer
from oidn_jax.optics.fourier import frequency_radius
from oidn_jax.optics.microscope import MeasuredOtf, Microscope
from oidn_jax.optics.otf import airy_otf

# The theoretical OTF of the default microscope, sampled as a measurement: cut off at 2 x 1.49 / 0.525 per micrometre.
STEP = 0.02
SAMPLES = airy_otf(STEP * np.arange(290), cutoff=2 * 1.49 / 0.525, damping=0.175)
MEASURED = MeasuredOtf(tuple(SAMPLES.tolist()), STEP, "beads.otf")


def at_half_the_cutoff(microscope):
    return float(microscope.otf().at(jnp.float32(0.5 * microscope.cutoff)))


def test_an_otf_measured_of_the_theoretical_objective_gives_the_same_numbers():
    theoretical, measured = Microscope(), Microscope(measured_otf=MEASURED)
    frequency = jnp.linspace(0.0, 0.5, 40)
    np.testing.assert_allclose(measured.otf().at(frequency), theoretical.otf().at(frequency), atol=2e-4)
    np.testing.assert_allclose(measured.fine_otf(16, 12), theoretical.fine_otf(16, 12), atol=2e-4)


def test_a_measured_otf_serves_everything():
    """One that is twice as damped as the default, so that nothing of the theory can pass for it."""
    damped = airy_otf(STEP * np.arange(290), cutoff=2 * 1.49 / 0.525, damping=0.05)
    microscope = Microscope(measured_otf=MeasuredOtf(tuple(damped.tolist()), STEP, "beads.otf"))
    expected = airy_otf(np.array(0.5), cutoff=1.0, damping=0.05)
    np.testing.assert_allclose(at_half_the_cutoff(microscope), expected, rtol=2e-3)
    radius = 2 * frequency_radius(32, 24)  # cycles per raw pixel
    fine = airy_otf(radius, cutoff=microscope.cutoff, damping=0.05)
    fine = fine * pixel_transfer(32, 24, scale=2, integrate=False)
    np.testing.assert_allclose(microscope.fine_otf(16, 12), fine, atol=1e-3)
    psf, sharper = microscope.psf(8), Microscope().psf(8)
    np.testing.assert_allclose(psf.sum(), 1.0)
    assert np.unravel_index(psf.argmax(), psf.shape) == (4, 4)
    assert psf[4, 4] < 0.9 * sharper[4, 4]
    assert "beads.otf" in microscope.describe_otf()


def test_a_measured_otf_includes_the_camera_pixel():
    for whether in (False, True):
        np.testing.assert_array_equal(
            Microscope(measured_otf=MEASURED, integrate_pixel=whether).fine_otf(8, 8),
            Microscope(measured_otf=MEASURED).fine_otf(8, 8),
        )


def test_another_na_changes_the_cutoff_and_leaves_the_rest():
    microscope = Microscope(otf_damping=0.4, integrate_pixel=True)
    other = replace(microscope, na=1.3)
    assert other.otf_damping == 0.4
    assert other.integrate_pixel
    np.testing.assert_allclose(other.cutoff / microscope.cutoff, 1.3 / 1.49)
    # At the same part of the cutoff, the pixel left out, both OTFs are the same.
    halves = [at_half_the_cutoff(replace(each, integrate_pixel=False)) for each in (microscope, other)]
    np.testing.assert_allclose(halves, airy_otf(np.full(2, 0.5), cutoff=1.0, damping=0.4), rtol=1e-4)


@pytest.mark.parametrize(
    "microscope",
    [Microscope(), Microscope(na=1.3, phases=5, scale=3, measured_otf=MEASURED)],
    ids=["plain", "measured"],
)
def test_json_keeps_a_microscope(microscope):
    again = Microscope.from_plain(json.loads(json.dumps(microscope.plain())))
    assert again == microscope
    assert hash(again) == hash(microscope)


@pytest.mark.parametrize(
    ("field", "value"),
    [("na", 0.0), ("pixel_size_nm", float("nan")), ("scale", 0), ("phases", 0), ("otf_damping", 0.0)],
)
def test_numbers_that_no_microscope_has_are_refused(field, value):
    with pytest.raises(IllegalValue) as refused:
        Microscope(**{field: value})
    assert refused.value.field == field


@pytest.mark.parametrize(("pixel_size_nm", "legal"), [(100.0, "less than 88.1 nm"), (6.0, "in nm")])
def test_pixels_that_sim_cannot_use_are_refused(pixel_size_nm, legal):
    with pytest.raises(InputError, match=legal):
        Microscope(pixel_size_nm=pixel_size_nm).otf()

"""OTF, PSF, illumination and the forward model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.optics import forward, fourier, illumination, otf

MICROSCOPE = {"na": 1.3, "emission_wavelength_nm": 525.0, "pixel_size_nm": 62.6}


def test_otf_cutoff_of_the_test_microscope():
    np.testing.assert_allclose(otf.otf_cutoff(**MICROSCOPE), 0.31002, atol=1e-5)


@pytest.mark.parametrize(("name", "value"), [("na", 0.0), ("pixel_size_nm", -1.0), ("emission_wavelength_nm", np.nan)])
def test_otf_cutoff_refuses(name, value):
    with pytest.raises(ValueError, match=f"{name} is .*must be a positive number"):
        otf.otf_cutoff(**{**MICROSCOPE, name: value})


def test_airy_otf_is_one_at_zero_falls_and_ends_at_the_cutoff():
    frequency = np.linspace(0, 0.4, 41)
    values = otf.airy_otf(frequency, cutoff=0.31)
    assert values[0] == 1.0
    assert np.all(np.diff(values) <= 0)
    assert np.all(values[frequency >= 0.31] == 0)
    np.testing.assert_allclose(otf.airy_otf(np.array([0.155]), cutoff=0.31), 0.391, atol=1e-3)
    np.testing.assert_allclose(otf.airy_otf(np.array([0.155]), cutoff=0.31, damping=0.25), 0.391 / 2, atol=1e-3)
    with pytest.raises(ValueError, match=r"damping is 0\.0; it must be in"):
        otf.airy_otf(frequency, cutoff=0.31, damping=0.0)


def test_airy_psf_is_the_airy_pattern():
    """Against (2 J1(v) / v)^2, with J1 by its integral; the crop of 8 pixels only changes the normalisation."""
    psf = otf.airy_psf(8, **{**MICROSCOPE, "pixel_size_nm": 31.3})
    assert psf.min() >= 0
    np.testing.assert_allclose(psf.sum(), 1.0)
    assert np.unravel_index(psf.argmax(), psf.shape) == (4, 4)
    v = 2 * np.pi * 1.3 / 525.0 * 31.3 * np.arange(1, 4)
    tau = (np.arange(2000) + 0.5) * np.pi / 2000
    bessel = np.cos(tau[:, None] - v[None] * np.sin(tau[:, None])).mean(0)
    np.testing.assert_allclose(psf[4, 5:8] / psf[4, 4], (2 * bessel / v) ** 2, atol=2e-3)


def test_illumination_has_the_given_period_phase_and_depth():
    vectors = illumination.wave_vectors(jnp.array([0.0, jnp.pi / 2]), jnp.array([0.1, 0.25]))
    np.testing.assert_allclose(vectors, [[0, 0.1], [0.25, 0]], atol=1e-6)
    phase = jnp.array([[0.0, 2.0], [1.0, 3.0]])
    pattern = illumination.sinusoidal_illumination(
        (6, 20), wave_vector=vectors, phase=phase, modulation_depth=jnp.array([0.5, 0.8])
    )
    y, x = np.mgrid[:6, :20]
    np.testing.assert_allclose(pattern[0, 1], 1 + 0.5 * np.cos(2 * np.pi * 0.1 * x + 2.0), atol=1e-5)
    np.testing.assert_allclose(pattern[1, 0], 1 + 0.8 * np.cos(2 * np.pi * 0.25 * y + 1.0), atol=1e-5)


def test_frames_of_three_phases_add_up_to_the_widefield(key):
    specimen = jax.random.uniform(key, (32, 32))
    vectors = illumination.wave_vectors(jnp.array([0.3, 1.3, 2.3]), jnp.full(3, 0.14))
    phase = jnp.broadcast_to(2 * jnp.pi / 3 * jnp.arange(3.0), (3, 3)) + 0.4
    pattern = illumination.sinusoidal_illumination(
        (32, 32), wave_vector=vectors, phase=phase, modulation_depth=jnp.full(3, 0.8)
    )
    transfer = otf.airy_otf(fourier.frequency_radius(32, 32), cutoff=0.155)
    frames = forward.form_raw_frames(specimen, pattern, transfer, binning=2)
    assert frames.shape == (9, 16, 16)
    widefield = forward.bin_pixels(fourier.filter_image(specimen, transfer), factor=2)
    for orientation in range(3):
        np.testing.assert_allclose(frames[3 * orientation :][:3].mean(0), widefield, atol=1e-5)
    assert jnp.abs(frames[0] - frames[1]).max() > 0.01


def test_bin_pixels_means_blocks_and_refuses_the_rest():
    image = jnp.arange(24.0).reshape(4, 6)
    np.testing.assert_allclose(forward.bin_pixels(image, factor=2)[0, 0], (0 + 1 + 6 + 7) / 4)
    with pytest.raises(ValueError, match="4 x 6 pixels cannot be binned by 4"):
        forward.bin_pixels(image, factor=4)

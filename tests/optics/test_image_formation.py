"""OTF, PSF, illumination and the forward model."""

import os
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import random
from oidn_jax.data.otf_file import read_radial_otf
from oidn_jax.optics import forward, fourier, grid, illumination, otf

MICROSCOPE = {"na": 1.3, "emission_wavelength_nm": 525.0, "pixel_size_nm": 62.6}


def test_otf_cutoff_of_the_test_microscope():
    np.testing.assert_allclose(otf.otf_cutoff(**MICROSCOPE), 0.31002, atol=1e-5)


@pytest.mark.parametrize(("name", "value"), [("na", 0.0), ("pixel_size_nm", -1.0), ("emission_wavelength_nm", np.nan)])
def test_otf_cutoff_refuses(name, value):
    with pytest.raises(ValueError, match=f"`{name}` is .*must be a positive number"):
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


def test_otfs_of_jax_arrays_equal_those_of_numpy_arrays():
    radius = np.linspace(0, 0.5, 21)
    values = {"values": np.array([2.0, 1.0, 0.5, -0.1, 0.1]), "step": 0.08}
    for function, options in ((otf.airy_otf, {"cutoff": 0.31, "damping": 0.3}), (otf.radial_otf, values)):
        expected = function(radius, **options)
        assert isinstance(expected, np.ndarray)
        np.testing.assert_allclose(jax.jit(lambda r, f=function, o=options: f(r, **o))(radius), expected, atol=1e-6)


def test_gradients_of_the_otf_are_finite_everywhere():
    radius = jnp.asarray(fourier.frequency_radius(8, 8), jnp.float32)
    total = jax.jit(lambda cutoff: otf.airy_otf(radius, cutoff=cutoff, damping=0.5).sum())
    by_cutoff, h = jax.jit(jax.grad(total))(0.2), 1e-3
    ahead, behind = (float(total(0.2 + s * h)) for s in (1, -1))
    np.testing.assert_allclose(by_cutoff, (ahead - behind) / (2 * h), rtol=1e-2)
    slope = jax.jit(jax.vmap(jax.grad(lambda f: otf.airy_otf(f, cutoff=0.2))))
    by_frequency = slope(jnp.array([0.05, 0.1, 0.2, 0.3]))
    assert np.all(by_frequency[:2] < -1)
    np.testing.assert_allclose(by_frequency[2:], 0.0)


def test_a_measured_otf_is_interpolated_normalised_and_ends():
    got = otf.radial_otf(np.array([0.0, 0.04, 0.16, 0.24, 0.4]), values=np.array([2.0, 1.0, 0.5, -0.1]), step=0.08)
    np.testing.assert_allclose(got, [1.0, 0.75, 0.25, 0.0, 0.0])


@pytest.mark.parametrize(
    ("values", "step", "message"),
    [([1.0, 0.5], 0.0, "spacing of the OTF's samples is 0.0"), ([0.0, 1.0], 0.1, "the first of them positive")],
)
def test_a_measured_otf_without_sense_is_refused(values, step, message):
    with pytest.raises(ValueError, match=message):
        otf.radial_otf(np.zeros(3), values=np.array(values), step=step)


def test_the_measured_otf_of_the_real_microscope_is_a_damped_pupil():
    """As documented: NA 1.49, 525 nm, damping 0.175 within 0.011 rms."""
    folder = os.environ.get("OIDN_TEST_DATA")
    if not folder:
        pytest.skip("OIDN_TEST_DATA names no folder of real acquisitions")
    measured = read_radial_otf(Path(folder) / "tirf488_otf2d.mrc")
    microscope = {"na": 1.49, "emission_wavelength_nm": 525.0, "pixel_size_nm": 62.6}
    frequency = np.linspace(0, 0.5, 101)
    values = otf.radial_otf(frequency, values=measured.values, step=measured.frequency_per_um[1] * 0.0626)
    model = otf.airy_otf(frequency, cutoff=otf.otf_cutoff(**microscope), damping=0.175)
    assert np.sqrt(np.mean((values - model) ** 2)) < 0.015


def test_psf_and_otf_are_inverse():
    transfer = otf.airy_otf(fourier.frequency_radius(20, 18), cutoff=0.2)
    psf = otf.psf_of_otf(transfer)
    assert np.unravel_index(psf.argmax(), psf.shape) == (10, 9)
    np.testing.assert_allclose(otf.otf_of_psf(psf), transfer, atol=1e-6)


def test_evanescent_depth():
    """NA 1.41 on cytoplasm: 134 nm; below the critical angle the light goes through the cell."""
    tirf = {"excitation_wavelength_nm": 488.0, "sample_index": 1.38}
    np.testing.assert_allclose(otf.evanescent_depth_nm(illumination_na=1.41, **tirf), 134.2, atol=0.1)
    assert otf.evanescent_depth_nm(illumination_na=1.35, **tirf) == np.inf


def test_patterns_have_the_given_period_phase_depth_and_brightness():
    vectors = illumination.wave_vectors(jnp.array([0.0, jnp.pi / 2]), jnp.array([0.1, 0.25]))
    np.testing.assert_allclose(vectors, [[0, 0.1], [0.25, 0]], atol=1e-6)
    given = illumination.Illumination(
        vectors, jnp.array([[0.0, 2.0], [1.0, 3.0]]), jnp.array([0.5, 0.8]), jnp.array([[1.0, 1.1], [0.9, 1.0]])
    )
    patterns = jax.jit(illumination.patterns, static_argnames=("size", "scale"))
    pattern = patterns(given, size=(6, 20), scale=1)
    y, x = np.mgrid[:6, :20] - np.array([3, 10])[:, None, None]
    np.testing.assert_allclose(pattern[0, 1], 1.1 * (1 + 0.5 * np.cos(2 * np.pi * 0.1 * x + 2.0)), atol=1e-5)
    np.testing.assert_allclose(pattern[1, 0], 0.9 * (1 + 0.8 * np.cos(2 * np.pi * 0.25 * y + 1.0)), atol=1e-5)
    fine = patterns(given, size=(6, 20), scale=2)
    np.testing.assert_allclose(fine[0, 1, 0, :2].mean(), pattern[0, 1, 0, 0], atol=0.03)


def test_bleaching_is_geometric():
    np.testing.assert_allclose(illumination.bleaching(2, 2, per_frame=0.1), [[1.0, 0.9], [0.81, 0.729]], rtol=1e-6)


def golden_illumination(data):
    return illumination.Illumination(
        jnp.asarray(data["wave_vector"], jnp.float32),
        jnp.asarray(data["phase"], jnp.float32),
        jnp.full(3, float(data["modulation_depth"])),
        jnp.ones((3, 3)),
    )


def test_frames_equal_those_of_another_implementation(golden):
    """Noise-free frames simulated by others on a grid whose even fine pixels lie on the raw ones, without pixel area.

    The crop cuts off what lies beyond it, whose light is missing near its border.
    """
    data = golden("sim_acquisition_crop")
    specimen = grid.from_padded_spectrum(jnp.asarray(data["gt"]), scale=2)
    radius = fourier.frequency_radius(256, 256)
    transfer = otf.airy_otf(radius, cutoff=float(data["cutoff"]) / 2)
    transfer = transfer * forward.pixel_transfer(256, 256, scale=2, integrate=False)
    form = jax.jit(partial(forward.form_raw_frames, scale=2))
    frames = form(specimen, golden_illumination(data), transfer)[:, 32:96, 32:96]
    factor = jnp.vdot(frames, data["clean"]) / jnp.vdot(frames, frames)
    error = np.abs(factor * frames - data["clean"])
    assert error.max() < 0.02 * data["clean"].max()
    assert np.median(error) < 0.002 * data["clean"].max()


def test_objects_that_the_camera_does_not_divide_are_refused():
    still = illumination.Illumination.ideal(jnp.zeros((1, 2)))
    with pytest.raises(ValueError, match="15 x 16 pixels cannot be imaged by a camera 2 times as coarse"):
        forward.form_raw_frames(jnp.zeros((15, 16)), still, np.ones((15, 16)), scale=2)


def test_forward_model_is_vmapped_over_acquisitions(key):
    specimens = random.uniform(key, (2, 16, 16))
    vectors = jnp.stack([jnp.full((1, 2), 0.2), jnp.full((1, 2), 0.1)])
    transfer = otf.airy_otf(fourier.frequency_radius(16, 16), cutoff=0.15)

    @jax.jit
    def form(specimen, vector):
        return forward.form_raw_frames(specimen, illumination.Illumination.ideal(vector), transfer, scale=2)

    frames = jax.jit(jax.vmap(form))(specimens, vectors)
    for i in range(2):
        np.testing.assert_allclose(frames[i], form(specimens[i], vectors[i]), atol=1e-5)


def test_background_is_added_in_every_frame_with_its_brightness(key):
    given = illumination.Illumination.ideal(jnp.full((1, 2), 0.2))._replace(brightness=jnp.array([[1.0, 0.5, 2.0]]))
    haze = jnp.full((8, 8), 3.0)

    @jax.jit
    def form(specimen):
        bands = forward.form_bands(specimen, given.wave_vector, np.ones((16, 16)), scale=2)
        return forward.mix_bands(bands, given, background=haze) - forward.mix_bands(bands, given)

    added = form(random.uniform(key, (16, 16)))
    np.testing.assert_allclose(added, jnp.broadcast_to(jnp.array([3.0, 1.5, 6.0])[:, None, None], (3, 8, 8)), atol=1e-5)


def three_beams():
    """Two orientations of five uneven phases, each with a first and a second harmonic."""
    vectors = np.array([[0.06, 0.13], [0.12, 0.26], [-0.11, 0.09], [-0.22, 0.18]])
    phases = np.random.default_rng(5).uniform(0, 2 * np.pi, (4, 5))
    brightness = np.random.default_rng(6).uniform(0.8, 1.2, (2, 5))
    parts = (vectors, phases, np.array([0.3, 0.7, 0.2, 0.6]), brightness)
    return illumination.Illumination(*(jnp.asarray(part, jnp.float32) for part in parts))


def light_of_three_beams(given, size, scale):
    """By numpy, wave by wave, (frames, h, w), on the grid `scale` times as fine as raw frames of a size."""
    y, x = ((np.arange(scale * n) + 0.5) / scale - 0.5 - n // 2 for n in size)
    vectors, phases, depths, brightness = (np.asarray(part, np.float64) for part in given)
    frames = []
    for o in range(2):
        for n in range(5):
            light = np.ones((len(y), len(x)))
            for wave in (2 * o, 2 * o + 1):
                turn = 2 * np.pi * (vectors[wave, 0] * y[:, None] + vectors[wave, 1] * x[None])
                light += depths[wave] * np.cos(turn + phases[wave, n])
            frames.append(brightness[o, n] * light)
    return np.array(frames)


def test_the_light_of_three_beams_is_the_sum_of_its_waves():
    given = three_beams()
    assert (given.orientations, given.harmonics) == (2, 2)
    np.testing.assert_array_equal(given.finest, given.wave_vector[1::2])
    np.testing.assert_allclose(given.reach(0.3), 0.3 + (np.hypot(0.12, 0.26) + np.hypot(0.22, 0.18)) / 2, rtol=1e-5)
    light = jax.jit(illumination.patterns, static_argnames=("size", "scale"))(given, size=(10, 12), scale=2)
    np.testing.assert_allclose(light.reshape(10, 20, 24), light_of_three_beams(given, (10, 12), 2), atol=1e-5)
    second = jax.jit(illumination.patterns, static_argnames=("size", "scale"))(
        given.of_orientation(1), size=(10, 12), scale=2
    )
    np.testing.assert_allclose(second[0], light[1], atol=1e-5)


def test_frames_of_three_beams_equal_a_direct_sum(key):
    """Both forms of the model against numpy: multiply, convolve, add up the pixels."""
    given, size = three_beams(), (10, 12)
    specimen = np.asarray(random.uniform(key, (20, 24)))
    transfer = otf.airy_otf(fourier.frequency_radius(20, 24), cutoff=0.3)
    lit = specimen * light_of_three_beams(given, size, 2)
    blurred = np.fft.ifft2(np.fft.fft2(lit) * transfer).real
    expected = blurred.reshape(10, 10, 2, 12, 2).mean((2, 4))
    in_fourier = jax.jit(partial(forward.form_raw_frames, scale=2))(specimen, given, transfer)
    in_space = jax.jit(partial(forward.form_raw_frames_in_space, scale=2))(specimen, given, otf.psf_of_otf(transfer))
    np.testing.assert_allclose(in_fourier, expected, atol=2e-5)
    np.testing.assert_allclose(in_space, expected, atol=2e-5)


def test_back_projection_is_the_adjoint_for_three_beams(key):
    given = three_beams()
    specimen = random.normal(key, (20, 24))
    frames = random.normal(jax.random.fold_in(key, 1), (10, 10, 12))
    transfer = otf.airy_otf(fourier.frequency_radius(20, 24), cutoff=0.3)
    there = jax.jit(partial(forward.form_raw_frames, scale=2))(specimen, given, transfer)
    back = jax.jit(partial(forward.back_project, scale=2))(frames, given, transfer)
    np.testing.assert_allclose(jnp.vdot(there, frames), jnp.vdot(specimen, back), rtol=1e-4)

"""What is computed for the diagnostics page: bands at their place, stripes that are left, the effective PSF."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile

from oidn_jax.acquisition import Acquisition
from oidn_jax.acquisition.diagnostics import GHOSTS, diagnose, pattern_left, transfer_profiles
from oidn_jax.classical.images import transfer_of_image
from oidn_jax.classical.peaks import SEARCHED
from oidn_jax.figures.diagnostics import width_at_half_maximum
from oidn_jax.methods import ClassicalMethod
from oidn_jax.optics.forward import form_raw_frames, pixel_transfer
from oidn_jax.optics.fourier import frequency_radius
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.microscope import Microscope
from oidn_jax.optics.otf import airy_otf
from tests.acquisition.known_frames import CUTOFF, GRATING, OTF, PIXELS, SIZE, acquired, estimated

DATA = os.environ.get("OIDN_TEST_DATA")


@pytest.fixture(scope="module")
def scene():
    return acquired()


def test_the_correlogram_is_largest_at_the_wave_vectors(scene):
    frames, _, estimate = scene
    numbers = diagnose(frames, jnp.ones((96, 120)), estimate, otf=OTF, method="widefield")
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] - np.array(SIZE)[:, None, None] // 2
    radius = np.hypot(y / SIZE[0], x / SIZE[1]) / CUTOFF
    searched = (radius > SEARCHED[0]) & (radius < SEARCHED[1])
    for score, pixel in zip(np.asarray(numbers.correlogram), PIXELS, strict=True):
        place = np.unravel_index(np.where(searched, score, 0).argmax(), score.shape)
        np.testing.assert_array_equal(np.array(place) - np.array(SIZE) // 2, pixel)


def test_a_grating_beyond_the_cutoff_appears_at_its_place(scene):
    """In band +1 at its own frequency, and in no band 0."""
    _, frames, estimate = scene
    numbers = diagnose(frames, jnp.ones((96, 120)), estimate, otf=OTF, method="widefield")
    moved = np.asarray(numbers.moved[0])
    zero = np.array(moved.shape) // 2
    y, x = np.mgrid[: moved.shape[0], : moved.shape[1]] - zero[:, None, None]
    place = np.unravel_index(np.nanargmax(np.where(np.hypot(y, x) > 5, moved, np.nan)), moved.shape)
    np.testing.assert_array_equal(place - zero, GRATING)
    assert not np.isfinite(numbers.at_rest[0][tuple(zero + GRATING)])


def test_stripes_left_in_the_result_stand_out(scene):
    frames, _, estimate = scene
    noise = np.random.default_rng(0).normal(size=(96, 120))
    y, x = np.mgrid[:96, :120] / 2
    stripes = 0.2 * np.cos(2 * np.pi * (PIXELS[1, 0] / SIZE[0] * y + PIXELS[1, 1] / SIZE[1] * x))
    image = jnp.asarray(noise + stripes, jnp.float32)
    numbers = diagnose(frames, image, estimate, otf=OTF, method="widefield")
    assert numbers.residual_peak[1] > 8
    assert max(numbers.residual_peak[0], numbers.residual_peak[2]) < 4
    np.testing.assert_allclose(numbers.condition, np.sqrt(2) / 0.8, rtol=1e-4)


@pytest.mark.parametrize("method", ["wiener", "hifi"])
def test_the_effective_psf_is_narrower(scene, method):
    """Of an Airy disc the width is 0.51 wavelengths over NA, which is 1.03 over the cutoff."""
    frames, _, estimate = scene

    @jax.jit
    def compute(frames):
        effective = transfer_of_image(frames, estimate.illumination, OTF, method=method)
        return transfer_profiles(effective, estimate.illumination.wave_vector[0], OTF)

    profiles = compute(frames)
    widths = [width_at_half_maximum(np.asarray(profiles.position), np.asarray(row)) for row in profiles.psf]
    assert widths[0] == pytest.approx(1.03 / CUTOFF, rel=0.01)
    assert max(widths[1:]) < 0.75 * widths[0]


def test_ghosts_are_at_all_patterns_frequencies():
    """A peak of the object at one of them, however high, is none."""
    generator = np.random.default_rng(2)
    noise = generator.normal(size=(160, 160)).astype(np.float32)
    vectors = np.array([[0.3, 0.1], [-0.1, 0.3], [0.25, -0.2]], np.float32)
    y, x = np.mgrid[:160, :160] / 2.0
    waves = [np.cos(2 * np.pi * (p[0] * y + p[1] * x)).astype(np.float32) for p in vectors]
    assert pattern_left(noise, vectors, scale=2).factor < GHOSTS
    assert pattern_left(noise + waves[0], vectors, scale=2).factor < 10
    held = pattern_left(noise + 0.3 * sum(waves), vectors, scale=2)
    assert held.factor > 10
    assert 0.2 < held.contrast < 0.3  # amplitude 0.3, standard deviation 1.07, and what a window takes from a peak


def test_each_harmonic_of_three_beams_has_its_correlogram():
    first = jnp.asarray(np.array([[8, -2], [-3, 9], [6, 7]]) / SIZE, jnp.float32)
    step = 2 * jnp.pi * jnp.arange(5) / 5
    given = Illumination(
        jnp.stack([first, 2 * first], axis=1).reshape(6, 2),
        jnp.tile(jnp.stack([step, 2 * step]), (3, 1)),
        jnp.tile(jnp.array([0.4, 0.5]), 3),
        jnp.ones((3, 5)),
    )
    h, w = SIZE
    transfer = airy_otf(frequency_radius(2 * h, 2 * w), cutoff=CUTOFF / 2)
    transfer = jnp.asarray(transfer * pixel_transfer(2 * h, 2 * w, scale=2, integrate=False), jnp.float32)
    points = jax.random.exponential(jax.random.key(0), (2 * h, 2 * w)) ** 4
    frames = jax.jit(lambda sample: form_raw_frames(sample, given, transfer, scale=2))(points)
    estimate = estimated(given)._replace(harmonic=jnp.tile(jnp.array([1, 2]), 3))
    numbers = diagnose(frames, jnp.ones((96, 120)), estimate, otf=OTF, method="wiener", harmonics=(1, 2))
    assert numbers.at_rest.shape[0] == 3
    assert numbers.moved.shape[0] == numbers.correlogram.shape[0] == 6
    for i, vector in enumerate(np.asarray(given.wave_vector)):
        place = tuple(np.rint(vector * SIZE).astype(int) + np.array(SIZE) // 2)
        other = i - 1 if i % 2 else i + 1  # the other harmonic of the same orientation
        assert numbers.correlogram[i][place] > max(4.0, 1.5 * numbers.correlogram[other][place])
    np.testing.assert_allclose(numbers.profiles.frequency[-1], CUTOFF + np.hypot(*given.wave_vector[1]), rtol=1e-5)


@pytest.mark.skipif(DATA is None, reason="OIDN_TEST_DATA names no folder of real acquisitions")
@pytest.mark.parametrize(
    ("name", "optics", "most"),
    [
        ("biosr_levels/microtubules_level09.tif", {}, 2.3),
        ("microtubules_660nm_uneven_phases.tif", {"emission_wavelength_nm": 660.0, "pixel_size_nm": 86.67}, 3.6),
    ],
)
def test_what_is_left_of_the_pattern_in_real_images(name, optics, most):
    """As little as with phases by regression; brightness fitted together with them left 3.5 and 9.7."""
    frames = np.moveaxis(tifffile.imread(Path(DATA) / name), 0, -1)
    acquisition = Acquisition.of_frames(frames, Microscope(**optics), fit_damping=True)
    image = ClassicalMethod("wiener")(acquisition, 0).pixels
    left = pattern_left(image, acquisition.estimate.illumination.wave_vector, scale=2)
    assert float(left.factor) < most


@pytest.mark.skipif(DATA is None, reason="OIDN_TEST_DATA names no folder of real acquisitions")
def test_the_uneven_phases_of_a_real_acquisition():
    """Its owners found steps of 133 to 142 degrees (R. Cao et al., the inverse matrix phase algorithm)."""
    frames = np.moveaxis(tifffile.imread(Path(DATA) / "microtubules_660nm_uneven_phases.tif"), 0, -1)
    optics = Microscope(emission_wavelength_nm=660.0, pixel_size_nm=86.67)
    steps = np.diff(np.unwrap(np.asarray(Acquisition.of_frames(frames, optics).estimate.single_phases)))
    np.testing.assert_allclose(np.rad2deg(steps), 137.5, atol=4.5 + 7.0)

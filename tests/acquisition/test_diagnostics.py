"""What is computed for the diagnostics page: bands at their place, stripes that are left, the effective PSF."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.acquisition.diagnostics import GHOSTS, diagnose, pattern_left, transfer_profiles
from oidn_jax.classical.images import transfer_of_image
from oidn_jax.classical.peaks import SEARCHED
from oidn_jax.figures.diagnostics import width_at_half_maximum
from tests.acquisition.known_frames import CUTOFF, GRATING, OTF, PIXELS, SIZE, acquired


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

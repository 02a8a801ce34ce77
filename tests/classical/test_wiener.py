"""Wiener SIM with known illumination: exact bands, the quality of the reference, and the grid."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.classical.wiener import separate_bands, wiener_sim
from oidn_jax.optics import forward, fourier, grid, illumination, otf
from oidn_jax.optics.illumination import Illumination

CUTOFF = 0.33
reconstruct = jax.jit(wiener_sim, static_argnames=("otf", "cutoff", "scale", "pad"))


def transfer(ky, kx):
    return otf.airy_otf(jnp.hypot(ky, kx), cutoff=CUTOFF)


def periodic_scene(key, *, size=32, phases=3):
    """An object, uneven illumination with wave vectors on the frequency grid, and its noise-free frames."""
    keys = jax.random.split(key, 3)
    vectors = jnp.array([[9.0, 2.0], [-3.0, 8.0], [5.0, -8.0]]) / size
    given = Illumination(
        vectors,
        jnp.linspace(0.0, 2 * jnp.pi, phases, endpoint=False)[None] + 0.3 * jax.random.normal(keys[0], (3, phases)),
        jnp.array([0.5, 0.8, 0.9]),
        jax.random.uniform(keys[1], (3, phases), minval=0.8, maxval=1.2),
    )
    specimen = jax.random.exponential(keys[2], (2 * size, 2 * size))
    fine_otf = otf.airy_otf(fourier.frequency_radius(2 * size, 2 * size), cutoff=CUTOFF / 2)
    fine_otf = fine_otf * forward.pixel_transfer(2 * size, 2 * size, scale=2, integrate=False)
    return specimen, given, jax.jit(partial(forward.form_raw_frames, scale=2))(specimen, given, fine_otf), fine_otf


@pytest.mark.parametrize("phases", [3, 5])
def test_bands_are_separated_exactly(key, phases):
    specimen, given, frames, fine_otf = periodic_scene(key, phases=phases)
    still, modulated, weight = separate_bands(frames, given)
    expected = fourier.ifft2(forward.form_bands(specimen, given.wave_vector, fine_otf, scale=2))
    np.testing.assert_allclose(still, jnp.broadcast_to(expected[0].real, still.shape), atol=1e-4)
    np.testing.assert_allclose(modulated, expected[1:], atol=1e-4)
    assert np.all((weight > 0) & (weight < 0.25))


def test_the_weight_of_evenly_spaced_phases_is_a_quarter_of_the_squared_depth():
    even = Illumination.ideal(jnp.full((1, 2), 0.2), phases=3, modulation_depth=0.6)
    *_, weight = separate_bands(jnp.ones((3, 4, 4)), even)
    np.testing.assert_allclose(weight, 0.09, rtol=1e-5)


def test_without_noise_the_result_is_the_object_within_the_extended_support(key):
    """Also proves that the image lies on the project's grid: a shift by half a fine pixel would be an error of 1."""
    specimen, given, frames, _ = periodic_scene(key)
    image = reconstruct(frames, given, transfer, cutoff=CUTOFF, wiener=1e-3, pad=0)
    reach = CUTOFF + jnp.linalg.norm(given.wave_vector, axis=-1).mean()
    radius = jnp.asarray(fourier.frequency_radius(64, 64), jnp.float32)
    apodised = fourier.fft2(specimen) * otf.airy_otf(radius, cutoff=reach / 2)
    # The support is a flower: judge where its discs reach in every direction.
    inside = np.asarray(radius < 0.2)
    difference = np.abs(fourier.fft2(image) - apodised)[inside]
    assert difference.max() < 0.02 * np.abs(apodised)[inside].max()
    np.testing.assert_allclose(image.mean(), specimen.mean(), rtol=1e-3)


def test_the_quality_of_the_reference_is_reached(golden):
    """PSNR after an affine fit, against the object within the extended support; on 256 x 256 it is 40.8 dB."""
    data = golden("sim_acquisition_crop")
    cutoff = float(data["cutoff"])
    given = Illumination(
        jnp.asarray(data["wave_vector"], jnp.float32),
        jnp.asarray(data["phase"], jnp.float32),
        jnp.full(3, float(data["modulation_depth"])),
        jnp.ones((3, 3)),
    )
    frames = jnp.asarray(data["raw_mid"], jnp.float32) - float(data["offset"])
    image = reconstruct(
        frames, given, lambda ky, kx: otf.airy_otf(jnp.hypot(ky, kx), cutoff=cutoff), cutoff=cutoff, wiener=0.05
    )
    reach = cutoff + np.hypot(*data["wave_vector"].T).mean()
    radius = fourier.frequency_radius(256, 256)
    target = fourier.filter_image(jnp.asarray(data["gt"]), otf.airy_otf(radius, cutoff=reach / 2))

    def score(image):
        a, b = (np.asarray(x)[60:-60, 60:-60].ravel() for x in (image, target))
        design = np.stack([a, np.ones_like(a)], axis=1)
        error = design @ np.linalg.lstsq(design, b, rcond=None)[0] - b
        return 10 * np.log10(np.ptp(b) ** 2 / np.mean(error**2))

    # The reference's object has its even pixels on the raw ones.
    assert score(grid.to_padded_spectrum(image, scale=2)) > 38.0
    assert score(image) < 36.0


def test_the_mirrored_border_keeps_the_phases(key):
    """Padding moves the centre by whole raw pixels on both sides, so the patterns stay where they are."""
    vectors = illumination.wave_vectors(jnp.array([0.4, 1.5, 2.5]), jnp.full(3, 0.28))
    given = Illumination.ideal(vectors, modulation_depth=0.9)
    specimen = jnp.zeros((96, 96)).at[47:49, 45:50].set(jax.random.uniform(key, (2, 5)))
    fine_otf = otf.airy_otf(fourier.frequency_radius(96, 96), cutoff=CUTOFF / 2)
    fine_otf = fine_otf * forward.pixel_transfer(96, 96, scale=2, integrate=False)
    frames = forward.form_raw_frames(specimen, given, fine_otf, scale=2)
    padded, bare = (reconstruct(frames, given, transfer, cutoff=CUTOFF, pad=pad) for pad in (9, 0))
    np.testing.assert_allclose(padded[30:66, 30:66], bare[30:66, 30:66], atol=0.02 * float(bare.max()))

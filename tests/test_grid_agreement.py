"""Everything that makes an image on the fine grid agrees on where a point is: no hidden shift between methods."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.classical.widefield import widefield
from oidn_jax.classical.wiener import wiener_sim
from oidn_jax.models.degradation import degrade
from oidn_jax.optics import forward, fourier, otf
from oidn_jax.optics.grid import fine_positions
from oidn_jax.optics.illumination import Illumination, wave_vectors
from oidn_jax.optics.transfer import TransferFunction

SIZE, POINT, CUTOFF = 32, (31, 36), 0.33


@pytest.fixture(scope="module")
def scene():
    """A point, its illumination and its raw frames."""
    specimen = jnp.zeros((2 * SIZE, 2 * SIZE)).at[POINT].set(1.0)
    given = Illumination.ideal(wave_vectors(jnp.array([0.4, 1.45, 2.5]), jnp.full(3, 0.28)), modulation_depth=0.8)
    transfer = otf.airy_otf(fourier.frequency_radius(2 * SIZE, 2 * SIZE), cutoff=CUTOFF / 2)
    transfer = transfer * forward.pixel_transfer(2 * SIZE, 2 * SIZE, scale=2, integrate=False)
    return specimen, given, forward.form_raw_frames(specimen, given, transfer, scale=2)


def offset_from_point(image):
    """Where the peak is against the point, in fine pixels, to a fraction: the vertex of a parabola along each axis."""
    image = np.asarray(image, float)
    peak = np.unravel_index(image.argmax(), image.shape)
    offsets = []
    for axis in (0, 1):
        step = np.eye(2, dtype=int)[axis]
        before, at, after = image[tuple(peak - step)], image[peak], image[tuple(peak + step)]
        offsets.append(peak[axis] - POINT[axis] + 0.5 * (before - after) / (before - 2 * at + after))
    return np.array(offsets)


def test_the_raw_frames(scene):
    """In raw pixels, at the fine pixel's position on the raw grid."""
    mean = np.asarray(scene[2].mean(0), float)
    expected = [fine_positions(SIZE, scale=2)[p] + SIZE // 2 for p in POINT]
    y, x = np.mgrid[:SIZE, :SIZE]
    near = np.maximum(np.abs(y - expected[0]), np.abs(x - expected[1])) < 4
    place = [(axis * mean * near).sum() / (mean * near).sum() for axis in (y, x)]
    np.testing.assert_allclose(place, expected, atol=0.03)


def test_the_target(scene):
    radius = fourier.frequency_radius(2 * SIZE, 2 * SIZE)
    target = fourier.filter_image(scene[0], otf.airy_otf(radius, cutoff=0.3))
    np.testing.assert_allclose(offset_from_point(target), 0.0, atol=1e-3)


def test_the_widefield_image(scene):
    np.testing.assert_allclose(offset_from_point(widefield(scene[2], scale=2)), 0.0, atol=0.06)


def test_wiener_sim(scene):
    samples = otf.airy_otf(np.linspace(0.0, CUTOFF, 2048), cutoff=CUTOFF)
    table = TransferFunction.from_samples(samples, cutoff=CUTOFF)
    image = jax.jit(partial(wiener_sim, wiener=0.05, pad=0))(scene[2], scene[1], table)
    np.testing.assert_allclose(offset_from_point(image), 0.0, atol=0.02)


def test_the_degradation_of_the_network(scene):
    """The network's PSF has its centre on a tap, so it moves nothing."""
    psf = otf.airy_psf(8, na=1.49, emission_wavelength_nm=525.0, pixel_size_nm=31.3)
    image = degrade(scene[0][None, ..., None], jnp.asarray(psf, jnp.float32)[None, ..., None])
    np.testing.assert_allclose(offset_from_point(image[0, ..., 0]), 0.0, atol=1e-3)


def test_a_padded_spectrum_would_be_half_a_pixel_away(scene):
    """What the tests above would see of a hidden shift."""
    mean = scene[2].mean(0)
    padded = fourier.ifft2(fourier.pad_spectrum(fourier.fft2(mean), factor=2)).real
    np.testing.assert_allclose(offset_from_point(padded), -0.5, atol=0.02)

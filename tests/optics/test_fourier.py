"""Laws of the Fourier convention."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import random
from oidn_jax.optics import fourier

SHAPES = [(16, 16), (17, 20), (20, 17), (15, 19)]


def numpy_centred(x):
    return np.fft.fftshift(np.fft.fft2(np.asarray(x, np.float64), axes=(1, 2), norm="ortho"), axes=(1, 2))


@pytest.mark.parametrize("shape", SHAPES)
def test_centred_spectrum_is_the_shifted_transform(key, shape):
    x = random.normal(key, (2, *shape, 3))
    real, imag = jax.jit(fourier.centred_spectrum)(x)
    np.testing.assert_allclose(real + 1j * np.asarray(imag), numpy_centred(x), atol=2e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_of_the_centred_spectrum_is_its_adjoint(key, shape):
    keys = jax.random.split(key, 3)
    x, g_real, g_imag = (random.normal(k, (1, *shape, 2)) for k in keys)
    pullback = jax.jit(lambda x, gradient: jax.vjp(fourier.centred_spectrum, x)[1](gradient))
    expected = np.fft.ifft2(
        np.fft.ifftshift(np.asarray(g_real) + 1j * np.asarray(g_imag), axes=(1, 2)), axes=(1, 2), norm="ortho"
    ).real
    np.testing.assert_allclose(pullback(x, (g_real, g_imag))[0], expected, atol=2e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_round_trip_and_parseval(key, shape):
    x = random.normal(key, shape)
    np.testing.assert_allclose(fourier.irfft2(fourier.rfft2(x), shape=shape), x, atol=1e-5)
    np.testing.assert_allclose((jnp.abs(fourier.fft2(x)) ** 2).sum(), (x**2).sum(), rtol=1e-5)


def test_filter_image_is_a_periodic_convolution(key):
    x, kernel = random.normal(key, (2, 12, 15)), np.zeros((12, 15))
    kernel[0, 0], kernel[1, 2] = 0.25, 0.75
    filtered = fourier.filter_image(x, np.fft.fft2(kernel))
    np.testing.assert_allclose(filtered, 0.25 * np.asarray(x) + 0.75 * np.roll(x, (1, 2), (1, 2)), atol=1e-5)


@pytest.mark.parametrize(("shape", "factor"), [((8, 6), 2), ((6, 9), 3)])
def test_folding_a_spectrum_samples_the_image(key, shape, factor):
    fine = tuple(factor * n for n in shape)
    image = random.normal(key, (2, *fine))
    folded = jax.jit(lambda image: fourier.fold_spectrum(fourier.fft2(image), factor=factor))(image)
    np.testing.assert_allclose(folded, fourier.fft2(image[:, ::factor, ::factor]), atol=1e-5)


@pytest.mark.parametrize(("shape", "factor"), [((8, 6), 2), ((5, 9), 3), ((7, 7), 2)])
def test_padding_a_spectrum_interpolates_and_folding_undoes_it(key, shape, factor):
    spectrum = fourier.fft2(random.normal(key, shape))
    padded = fourier.pad_spectrum(spectrum, factor=factor)
    np.testing.assert_allclose(fourier.fold_spectrum(padded, factor=factor), spectrum, atol=1e-5)
    np.testing.assert_allclose(fourier.ifft2(padded)[::factor, ::factor], fourier.ifft2(spectrum), atol=1e-5)


def test_frequency_grids_agree():
    centred = fourier.centred_frequency_radius(8)
    np.testing.assert_allclose(np.fft.ifftshift(centred), fourier.frequency_radius(8, 8))
    np.testing.assert_allclose(fourier.frequency_radius(1, 8)[0], np.abs(fourier.frequencies(8)))
    assert centred[4, 4] == 0

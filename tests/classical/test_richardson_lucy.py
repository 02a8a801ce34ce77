"""Accelerated Richardson-Lucy: the formula, written again in double precision, and what it must keep."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from oidn_jax import random
from oidn_jax.classical.richardson_lucy import richardson_lucy
from oidn_jax.optics import fourier

SIZE = (24, 20)
deconvolve = jax.jit(partial(richardson_lucy, iterations=5))


def transfer(shift=0.0):
    """Transform of a Gaussian PSF of sum 1, moved by `shift` pixels."""
    ky = fourier.frequencies(SIZE[0])[:, None]
    blur = np.exp(-20.0 * fourier.frequency_radius(*SIZE) ** 2) * np.exp(-2j * np.pi * shift * ky)
    return jnp.asarray(blur, jnp.complex64)


def sparse_frames(key):
    specimen = jnp.where(random.uniform(key, (3, *SIZE)) > 0.9, 100.0, 1.0)
    return specimen, jnp.maximum(fourier.filter_image(specimen, transfer()), 0.0)


def test_the_published_iteration(key):
    """One acceleration for the stack, from the third iteration on; a PSF that is not symmetric and not of sum 1."""
    _, frames = sparse_frames(key)
    moved = 1.1 * transfer(shift=2.0)
    kernel, observed = np.asarray(moved, complex), np.asarray(frames, float)

    def blur(image, spectrum):
        return np.fft.ifft2(np.fft.fft2(image) * spectrum).real

    estimates, changes, factor = [observed, observed], [], 0.0
    for iteration in range(5):
        if iteration > 1:
            factor = np.clip((changes[-1] * changes[-2]).sum() / (changes[-2] ** 2).sum(), 0.0, 1.0)
        guess = np.maximum(estimates[-1] + factor * (estimates[-1] - estimates[-2]), 0.0)
        ratio = observed / blur(guess, kernel)
        estimates.append(np.maximum(guess * blur(ratio, kernel.conj()) / 1.1, 0.0))
        changes.append(estimates[-1] - guess)
    assert factor > 0.1
    np.testing.assert_allclose(deconvolve(frames, moved), estimates[-1], rtol=1e-3, atol=1e-3)


def test_the_flux_stays_and_the_object_comes_nearer(key):
    specimen, frames = sparse_frames(key)
    estimate = deconvolve(frames, transfer())
    np.testing.assert_allclose(estimate.sum((1, 2)), frames.sum((1, 2)), rtol=1e-4)
    assert jnp.abs(estimate - specimen).mean() < 0.9 * jnp.abs(frames - specimen).mean()
    assert estimate.min() >= 0.0


def test_a_uniform_image_stays():
    np.testing.assert_allclose(deconvolve(jnp.full((3, *SIZE), 7.0), transfer()), 7.0, rtol=1e-5)


def test_negative_values_and_darkness_are_zero(key):
    _, frames = sparse_frames(key)
    clipped = deconvolve(frames.at[:, :8].set(0.0), transfer())
    np.testing.assert_array_equal(deconvolve(frames.at[:, :8].set(-5.0), transfer()), clipped)
    np.testing.assert_array_equal(deconvolve(jnp.full((3, *SIZE), -1.0), transfer()), 0.0)

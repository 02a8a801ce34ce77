"""Laws of the grid: where fine pixels lie against raw pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import random
from oidn_jax.optics import fourier, grid

upsample = jax.jit(grid.upsample, static_argnames="scale")
filtered = jax.jit(fourier.filter_image)


def band_limited(key, shape):
    """A real image without frequencies near Nyquist, where interpolation is ambiguous."""
    radius = fourier.frequency_radius(*shape)
    return filtered(random.normal(key, shape), (radius < 0.4).astype(float))


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_raw_pixel_lies_in_the_middle_of_its_fine_pixels(scale):
    fine = grid.fine_positions(6, scale=scale)
    np.testing.assert_allclose(fine.reshape(6, scale).mean(1), np.arange(6) - 3, atol=1e-12)
    np.testing.assert_allclose(np.diff(fine), 1 / scale)


def test_pixel_0_of_the_fine_grid_lies_a_quarter_raw_pixel_before_raw_pixel_0():
    assert grid.fine_positions(8, scale=2)[0] == -4.25


@pytest.mark.parametrize(("shape", "scale"), [((16, 20), 2), ((15, 18), 3), ((15, 12), 2)])
def test_upsampling_gives_the_values_at_the_fine_positions(key, shape, scale):
    """A plane wave keeps its phase, counted from raw pixel n // 2."""
    p = (2 / shape[0], -3 / shape[1])

    def wave(s):
        y, x = (grid.fine_positions(n, scale=s) for n in shape)
        return np.cos(2 * np.pi * (p[0] * y[:, None] + p[1] * x[None]) + 0.7)

    np.testing.assert_allclose(upsample(jnp.asarray(wave(1)), scale=scale), wave(scale), atol=2e-5)


def test_binning_undoes_upsampling_up_to_its_transfer_function(key):
    image = band_limited(key, (16, 20))
    fine = upsample(image, scale=2).real
    transfer = grid.binning_transfer(32, 40, scale=2)
    np.testing.assert_allclose(
        fourier.fft2(grid.bin_pixels(fine, scale=2)),
        fourier.fold_spectrum(fourier.fft2(fine) * transfer, factor=2),
        atol=1e-4,
    )
    compensated = filtered(fine, np.where(np.abs(transfer) > 1e-3, 1 / np.abs(transfer), 0.0))
    np.testing.assert_allclose(grid.bin_pixels(compensated, scale=2), image, atol=1e-4)


def test_the_padded_spectrum_grid_has_its_even_pixels_on_the_raw_ones(key):
    image = band_limited(key, (16, 20))
    fine = upsample(image, scale=2).real
    padded = grid.to_padded_spectrum(fine, scale=2)
    np.testing.assert_allclose(padded[::2, ::2], image, atol=1e-5)
    np.testing.assert_allclose(grid.from_padded_spectrum(padded, scale=2), fine, atol=1e-5)


def test_a_shift_by_whole_pixels_rolls(key):
    image = random.normal(key, (2, 7, 8))
    shifted = grid.shift_image(image, (2.0, -3.0))
    np.testing.assert_allclose(shifted, jnp.roll(image, (2, -3), (1, 2)), atol=1e-5)


def test_binning_means_blocks_refuses_the_rest_and_has_its_adjoint(key):
    image = jnp.arange(24.0).reshape(4, 6)
    np.testing.assert_allclose(grid.bin_pixels(image, scale=2)[0, 0], (0 + 1 + 6 + 7) / 4)
    with pytest.raises(ValueError, match="4 x 6 pixels cannot be binned by 4"):
        grid.bin_pixels(image, scale=4)
    coarse = random.normal(key, (2, 3))
    np.testing.assert_allclose(
        jnp.vdot(grid.bin_pixels(image, scale=2), coarse),
        jnp.vdot(image, grid.unbin_pixels(coarse, scale=2)),
        rtol=1e-5,
    )

"""The OTF as a table: the same numbers as the formula or the measurement, for any microscope in one program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.optics.otf import airy_otf, otf_cutoff, radial_otf
from oidn_jax.optics.transfer import TransferFunction

MICROSCOPE = {"na": 1.3, "emission_wavelength_nm": 525.0, "pixel_size_nm": 62.6}
CUTOFF = otf_cutoff(**MICROSCOPE)
RADIUS = np.linspace(0.0, 0.999 * CUTOFF, 501)
BEYOND = np.linspace(CUTOFF, 1.5, 501)


@jax.jit
def evaluate(otf, radius):
    return otf.at(radius)


@pytest.mark.parametrize("damping", [1.0, 0.175])
def test_a_theoretical_otf_is_the_formula(damping):
    table = TransferFunction.theoretical(**MICROSCOPE, damping=damping)
    np.testing.assert_allclose(evaluate(table, RADIUS), airy_otf(RADIUS, cutoff=CUTOFF, damping=damping), atol=2e-6)
    np.testing.assert_array_equal(evaluate(table, BEYOND), 0.0)
    np.testing.assert_allclose(table.cutoff, CUTOFF, rtol=1e-6)
    assert evaluate(table, RADIUS)[0] == 1.0


def test_a_measured_otf_is_the_measurement_within_the_cutoff():
    step = 0.01
    values = np.append(3.0 * airy_otf(step * np.arange(30), cutoff=0.28, damping=0.4), [0.02, 0.03, 0.01])
    table = TransferFunction.measured(values, step=step, cutoff=0.305)
    measurement = radial_otf(RADIUS, values=values, step=step)
    np.testing.assert_allclose(evaluate(table, RADIUS), np.where(RADIUS < 0.305, measurement, 0.0), atol=1e-4)
    assert measurement[-1] > 0.0


def test_a_camera_pixel_is_nearly_that_of_the_direction():
    bare, with_pixel = (TransferFunction.theoretical(**MICROSCOPE, integrate_pixel=pixel) for pixel in (False, True))
    ratio = np.asarray(evaluate(with_pixel, RADIUS))[:450] / np.asarray(evaluate(bare, RADIUS))[:450]
    for turned in (0.0, 0.4, np.pi / 4):
        exact = np.sinc(RADIUS * np.sin(turned)) * np.sinc(RADIUS * np.cos(turned))
        np.testing.assert_allclose(ratio, exact[:450], rtol=5e-3)


def test_only_the_modulus_of_the_frequency_counts():
    table = TransferFunction.theoretical(**MICROSCOPE)
    angle = np.arange(6.0)
    call = jax.jit(lambda ky, kx: table(ky, kx))
    values = call(0.16 * np.sin(angle)[:, None], 0.16 * np.cos(angle)[:, None])
    np.testing.assert_allclose(values, airy_otf(np.full((6, 1), 0.16), cutoff=CUTOFF), rtol=1e-5)
    # A column and a row make a grid.
    grid = call(0.1 * angle[:, None], np.zeros((1, 5)))
    np.testing.assert_allclose(grid[1], airy_otf(np.full(5, 0.1), cutoff=CUTOFF), rtol=1e-5)


def test_another_microscope_compiles_nothing_anew():
    traced = []

    @jax.jit
    def traced_once(otf, radius):
        traced.append(otf)
        return otf.at(radius)

    tables = [TransferFunction.theoretical(**{**MICROSCOPE, "na": na}) for na in (1.1, 1.3, 1.49)]
    tables.append(TransferFunction.measured(np.array([1.0, 0.5, 0.1]), step=0.1, cutoff=0.25))
    values = [np.asarray(traced_once(table, RADIUS)) for table in tables]
    assert len(traced) == 1
    assert np.all(values[0][100:400] < values[1][100:400])
    assert np.all(values[1][100:400] < values[2][100:400])


def test_the_samples_may_be_differentiated():
    """At a frequency between two samples the gradient is their weights in the interpolation."""
    table = TransferFunction.from_samples(np.array([1.0, 0.6, 0.3, 0.0]), cutoff=0.3)
    gradient = jax.jit(jax.grad(lambda otf: otf.at(jnp.float32(0.125))))(table).values
    np.testing.assert_allclose(gradient, [0.0, 0.75, 0.25, 0.0], atol=1e-5)

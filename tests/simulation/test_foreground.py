"""Photons as different laboratories count them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import correlate

from oidn_jax.config import experiment_of, load_config
from oidn_jax.simulation.acquisitions import simulate_acquisition
from oidn_jax.simulation.foreground import FOREGROUNDS, biosr_foreground_mean


def test_the_count_of_biosr_follows_its_description():
    """Step by step in NumPy, on an image of spots over a background."""
    random = np.random.default_rng(0)
    image = 5.0 + random.gamma(0.3, 20.0, (60, 50)).astype(np.float32)
    image[20:40, 10:30] += 60.0
    y, x = np.mgrid[-4:5, -4:5]
    window = np.exp(-(y**2 + x**2) / 50.0)
    smooth = correlate(image, window / window.sum(), mode="nearest")
    ordered = np.sort(smooth.ravel())
    low, high = ordered[:3].mean(), ordered[-3:].mean()
    expected = image[(smooth - low) / (high - low) > 0.2].mean()
    assert float(biosr_foreground_mean(jnp.asarray(image))) == pytest.approx(expected, rel=1e-4)
    assert float(biosr_foreground_mean(jnp.zeros((20, 20)))) == pytest.approx(1e-6)


@pytest.mark.parametrize("specimen", ["f_actin", "ccps"])
def test_acquisitions_have_the_photons_of_their_count(specimen):
    simulation = experiment_of(load_config(f"{specimen}:quick,biosr")).run.simulation
    settings = simulation.settings
    assert (settings.mean_photons[1], settings.camera.read_noise) == (25.0, 6.0)
    assert settings.fluorescence_levels["25"] == (2,)
    acquisition = simulate_acquisition(jax.random.key(0), 1, simulation=simulation, size=(48, 48))
    mean = acquisition.photons.mean(-1)
    assert float(FOREGROUNDS["biosr"](mean)) == pytest.approx(25.0, rel=1e-3)
    assert float(FOREGROUNDS["above_mean"](mean)) != pytest.approx(25.0, rel=0.01)

"""Training pairs of a guided network."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.models.guided import channels
from oidn_jax.models.layers import pixel_shuffle
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.microscope import Microscope
from oidn_jax.simulation.guided_pairs import measured, simulate_guided_batch
from oidn_jax.simulation.settings import Simulation, specimen_settings

BRIGHT = dataclasses.replace(
    specimen_settings("microtubules"),
    mean_photons=(2000.0,),
    fluorescence={"all": (1,)},
    background=(0.0, 0.0),
    modulation_depth=(0.9, 0.9),
)


def batch(key, *, microscope=None, **changes):
    simulation = Simulation(dataclasses.replace(BRIGHT, **changes), microscope or Microscope())
    return jax.jit(partial(simulate_guided_batch, batch_size=2, simulation=simulation, size=(48, 40)))(key)


def test_the_guide_of_bright_frames_is_nearly_the_target(key):
    """Same place, same unit: what is left is noise, errors of the illumination and the Wiener filter's own."""
    pairs = batch(key)
    assert pairs["inputs"].shape == (2, 48, 40, channels(scale=2))
    assert pairs["target"].shape == (2, 96, 80, 1)
    guide = pixel_shuffle(pairs["inputs"][..., :4], 2)
    for image, target in zip(guide, pairs["target"], strict=True):
        assert np.corrcoef(np.ravel(image), np.ravel(target))[0, 1] > 0.97
        assert float(jnp.vdot(image, target) / jnp.vdot(target, target)) == pytest.approx(1.0, abs=0.06)
    np.testing.assert_allclose(pairs["peak"].ravel(), np.maximum(pairs["target"].max((1, 2, 3)), 2.0))


def test_an_empty_field_has_a_dark_target_and_a_loss_like_others(key):
    pairs = batch(key, empty=1.0, background=(1.0, 1.0))
    assert not pairs["target"].any()
    assert (np.asarray(pairs["peak"]) == 2.0).all()
    assert np.isfinite(pairs["inputs"]).all()


def test_three_beams_are_guided_alike(key):
    three = batch(key, microscope=Microscope(phases=5), first_harmonic=(0.2, 0.3), modulation_depth=(0.6, 0.8))
    assert three["inputs"].shape == (2, 48, 40, channels(scale=2))
    assert np.isfinite(three["inputs"]).all()


def test_the_illumination_is_as_wrong_as_the_light_makes_it():
    truth = Illumination.ideal(jnp.array([[0.2, 0.1], [-0.1, 0.2], [0.0, 0.22]]), modulation_depth=0.7)
    keys = jax.random.split(jax.random.key(0), 400)

    def errors(photons):
        each = jax.vmap(lambda k: measured(k, truth, photons=jnp.float32(photons)))(keys)
        shown = np.asarray(each.wave_vector).any((1, 2))
        assert 0.9 < shown.mean() < 0.99  # in some no stripes were seen
        return np.std(np.asarray(each.phase)[shown] - np.asarray(truth.phase))

    assert errors(1000.0) == pytest.approx(0.02 + 0.4 / 1000**0.5, rel=0.1)
    assert errors(15.0) == pytest.approx(0.02 + 0.4 / 15**0.5, rel=0.1)

"""The weights that come with the package: their size, what they were trained with, and that they are worth having."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import oidn_jax
from oidn_jax.acquisition import Acquisition
from oidn_jax.commands.parser import DEFAULT_WEIGHTS
from oidn_jax.evaluation.scores import score_likeness
from oidn_jax.methods import ClassicalMethod, NetworkMethod
from oidn_jax.models.weights import SHIPPED, shipped_names
from oidn_jax.optics.microscope import Microscope
from oidn_jax.simulation.acquisitions import simulate_acquisition
from oidn_jax.simulation.settings import Simulation, specimen_settings


def test_the_default_is_there_and_small():
    assert shipped_names() == [DEFAULT_WEIGHTS]
    assert sum(path.stat().st_size for path in (SHIPPED / DEFAULT_WEIGHTS).iterdir()) < 6e6
    model = oidn_jax.load(DEFAULT_WEIGHTS)
    assert model.guided
    assert set(model.origin["specimen"].split(", ")) == {"f_actin", "microtubules", "er", "ccps"}
    low, high = model.range.cutoff
    assert low < Microscope().cutoff < high


CASES = {
    "F-actin": ("f_actin", Microscope(), {}),
    "microtubules": ("microtubules", Microscope(), {}),
    # Which it was not trained with.
    "five phases of three beams": (
        "microtubules",
        Microscope(phases=5),
        {"first_harmonic": (0.2, 0.3), "modulation_depth": (0.6, 0.8)},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_nearer_to_the_truth_than_wiener_sim(case):
    """By 0.5 dB and in structural similarity, at 24 photons."""
    specimen, microscope, changes = CASES[case]
    simulation = Simulation(replace(specimen_settings(specimen), **changes), microscope)
    simulate = jax.jit(lambda key: simulate_acquisition(key, 1, simulation=simulation, size=(96, 96)))
    acquired = jax.device_get(simulate(jax.random.key(1_000_003)))
    acquisition = Acquisition.of_frames(acquired.raw_frames, simulation.microscope)
    methods = (NetworkMethod(oidn_jax.load(DEFAULT_WEIGHTS)), ClassicalMethod("wiener"))
    images = np.stack([np.maximum(method(acquisition, 0).pixels, 0.0) for method in methods])
    target = acquired.target[..., 0] / acquired.target.max()
    scores = score_likeness(jnp.asarray(images), jnp.asarray(np.stack([target, target])))
    assert scores["affine_psnr"][0] > scores["affine_psnr"][1] + 0.5
    assert scores["affine_ssim"][0] > scores["affine_ssim"][1]

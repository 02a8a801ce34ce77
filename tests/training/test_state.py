"""Schedules, optimisers and configurations that cannot be used."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from oidn_jax.config import default_config, experiment_of, use_network
from oidn_jax.errors import IllegalValue
from oidn_jax.training import parallel
from oidn_jax.training.settings import TrainSettings
from oidn_jax.training.state import build_optimizer, learning_rate_schedule

SETTINGS = TrainSettings(steps=100, learning_rate=0.1, decay_every=10)


def test_step_decay_is_the_papers():
    schedule = learning_rate_schedule(SETTINGS)
    np.testing.assert_allclose([schedule(i) for i in (0, 9, 10, 25)], [0.1, 0.1, 0.01, 0.001], rtol=1e-5)


def test_cosine_starts_after_the_warm_up_and_ends_at_zero():
    schedule = learning_rate_schedule(replace(SETTINGS, schedule="cosine", warmup_steps=20))
    np.testing.assert_allclose([schedule(i) for i in (0, 10, 20, 60, 100)], [0, 0.05, 0.1, 0.05, 0], atol=1e-6)


def test_clipping_bounds_the_gradient_that_adam_sees():
    optimizer = build_optimizer(replace(SETTINGS, clip_norm=1.0))
    params = {"w": jnp.zeros(2)}
    _, state = optimizer.update({"w": jnp.array([30.0, 40.0])}, optimizer.init(params), params)
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (2,)]
    np.testing.assert_allclose(optax.tree.norm(moments[0]), 0.1, rtol=1e-5)


ILLEGAL = [
    ("train.schedule", "linear"),
    ("train.warmup_steps", 600_000),
    ("train.steps", 0),
    ("train.patch", 8),
    ("train.ema_decay", 1.0),
    ("train.learning_rate", float("nan")),
    ("loss.weights.mse", -1.0),
    ("loss.ssim_padding", "mirror"),
    ("data.normalisation", "none"),
    ("microscope.otf_damping", 0.0),
    ("simulation.camera.gain", 0.0),
    ("distributed.coordinator", "here:1"),
]


@pytest.mark.parametrize(("field", "value"), ILLEGAL)
def test_an_illegal_value_is_refused_by_the_name_of_its_field(field, value):
    config = default_config()
    config.train.schedule = "cosine"
    config.update_from_flattened_dict({field: value})
    with pytest.raises(IllegalValue) as refused:
        experiment_of(config)
    assert refused.value.field == field
    assert refused.value.value == value or np.isnan(value)


def test_a_loss_of_a_psf_needs_a_network_that_has_one():
    config = default_config()
    use_network(config, "unet")
    experiment_of(config)
    config.loss.weights.psf_energy = 0.5
    with pytest.raises(IllegalValue, match=r"`loss.weights.psf_energy` is 0.5; it must be 0: .* 'unet' has no PSF"):
        experiment_of(config)


def test_a_batch_must_divide_among_the_devices():
    assert parallel.per_device_batch(8) == 2
    with pytest.raises(
        IllegalValue, match=r"`train.batch_size` is 6; it must be a multiple of the 4 cpu devices on 1 host"
    ):
        parallel.per_device_batch(6)

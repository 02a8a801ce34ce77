"""Schedules, optimisers and configurations that cannot be used."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import default
from oidn_jax.errors import InputError
from oidn_jax.training import parallel
from oidn_jax.training.loop import check_config
from oidn_jax.training.state import build_model, build_optimizer, learning_rate_schedule

TRAIN = {
    "steps": 100,
    "learning_rate": 0.1,
    "schedule": "step",
    "decay_every": 10,
    "decay_factor": 0.1,
    "warmup_steps": 0,
    "clip_norm": 0.0,
}


def test_step_decay_is_the_papers():
    schedule = learning_rate_schedule(SimpleNamespace(**TRAIN))
    np.testing.assert_allclose([schedule(i) for i in (0, 9, 10, 25)], [0.1, 0.1, 0.01, 0.001], rtol=1e-5)


def test_cosine_starts_after_the_warm_up_and_ends_at_zero():
    schedule = learning_rate_schedule(SimpleNamespace(**TRAIN | {"schedule": "cosine", "warmup_steps": 20}))
    np.testing.assert_allclose([schedule(i) for i in (0, 10, 20, 60, 100)], [0, 0.05, 0.1, 0.05, 0], atol=1e-6)


def test_clipping_bounds_the_gradient_that_adam_sees():
    optimizer = build_optimizer(SimpleNamespace(**TRAIN | {"clip_norm": 1.0}))
    params = {"w": jnp.zeros(2)}
    _, state = optimizer.update({"w": jnp.array([30.0, 40.0])}, optimizer.init(params), params)
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (2,)]
    np.testing.assert_allclose(optax.tree.norm(moments[0]), 0.1, rtol=1e-5)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("schedule", "linear", r"config\.train\.schedule is 'linear'; legal: 'step', 'cosine'"),
        ("warmup_steps", 200, r"config\.train\.warmup_steps is 200; it must be smaller than config\.train\.steps, 100"),
    ],
)
def test_illegal_schedules_are_refused(field, value, message):
    with pytest.raises(InputError, match=message):
        learning_rate_schedule(SimpleNamespace(**TRAIN | {"schedule": "cosine", field: value}))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("data.path", "somewhere", r"config\.data\.path is 'somewhere'; this version trains on simulated data only"),
        ("train.steps", 0, r"config\.train\.steps is 0; it must be at least 1"),
        ("train.patch", 8, r"config\.train\.patch is 8; the smallest patch is 16"),
        ("train.ema_decay", 1.0, r"config\.train\.ema_decay is 1\.0; it must be in \[0, 1\)"),
        ("loss.weights", {"mse": 1.0}, None),
    ],
)
def test_configurations_are_checked(field, value, message):
    config = default.get_config()
    section, name = field.split(".")
    if message is None:
        check_config(config)
        return
    config[section][name] = value
    with pytest.raises(InputError, match=message):
        check_config(config)


def test_an_illegal_network_is_an_input_error():
    config = default.get_config()
    config.model.psf_init = "gauss"
    with pytest.raises(InputError, match=r"config\.model: psf_init is 'gauss'"):
        build_model(config)


def test_a_batch_must_divide_among_the_devices():
    assert parallel.per_device_batch(8) == 2
    with pytest.raises(InputError, match=r"batch_size is 6; it must be a multiple of the 4 cpu devices on 1 host"):
        parallel.per_device_batch(6)

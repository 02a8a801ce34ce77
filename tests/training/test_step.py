"""The step: data parallelism, halting, moving average, learning."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from oidn_jax import random
from oidn_jax.models.networks import initial_params
from oidn_jax.models.unet import UNet
from oidn_jax.training import parallel
from oidn_jax.training.state import NEVER, TrainState
from oidn_jax.training.step import StepSettings, train_step

WEIGHTS = {"mse": 1.0, "ssim": 0.1, "frequency": 0.01}
NETWORK = UNet(widths=(8, 8))  # compiles in a tenth of the time of an OIDN


def make_settings(*, learning_rate=1e-3, ema_decay=0.0, axis_name=None):
    return StepSettings(NETWORK, optax.adam(learning_rate), WEIGHTS, ema_decay=ema_decay, axis_name=axis_name)


def make_state(key, settings):
    params = initial_params(NETWORK, key)
    return TrainState(
        step=jnp.int32(0),
        params=params,
        opt_state=settings.optimizer.init(params),
        ema_params=jax.tree.map(jnp.copy, params) if settings.ema_decay else None,
        halted_at=jnp.int32(NEVER),
    )


@pytest.fixture
def batch(key):
    raw_frames = random.uniform(key, (4, 16, 16, 9))
    target = jax.image.resize(raw_frames.mean(-1, keepdims=True), (4, 32, 32, 1), "cubic")
    return {"inputs": raw_frames, "target": target}


def test_four_devices_equal_one_device_on_the_joined_batch(key, batch):
    """With out_axes=None a forgotten pmean would pass silently; and the step must compile once, not twice."""
    assert jax.device_count() == 4
    single = make_settings()
    state_one, metrics_one = jax.jit(partial(train_step, settings=single))(make_state(key, single), batch)

    many = make_settings(axis_name=parallel.AXIS)
    traces = []

    def counted(state, batch):
        traces.append(None)
        return train_step(state, batch, settings=many)

    step = parallel.data_parallel(counted)
    shards = jax.tree.map(lambda x: x.reshape(4, 1, *x.shape[1:]), batch)
    state = parallel.replicate(make_state(key, many))
    state_many, metrics_many = step(state, shards)
    np.testing.assert_allclose(metrics_many["loss"], metrics_one["loss"], rtol=1e-5)
    np.testing.assert_allclose(metrics_many["gradient_norm"], metrics_one["gradient_norm"], rtol=1e-3)
    # Adam's first step moves every parameter by the learning rate, so the gradients are compared through its moments.
    moments_many, moments_one = jax.device_get((state_many.opt_state[0].mu, state_one.opt_state[0].mu))
    difference = optax.tree.norm(jax.tree.map(np.subtract, moments_many, moments_one))
    assert difference < 1e-4 * optax.tree.norm(moments_one)
    replicas = [np.asarray(s.data) for s in jax.tree.leaves(state_many.params)[0].addressable_shards]
    assert len(replicas) == 4
    assert all(np.array_equal(replicas[0], replica) for replica in replicas)
    step(state_many, shards)
    assert len(traces) == 1


def test_each_device_draws_its_own_data_and_each_step_anew(key):
    generate = parallel.on_each_device(lambda k: random.normal(k, (2,)))
    first, second = np.asarray(generate(key, 1)), np.asarray(generate(key, 2))
    assert first.shape == (4, 2)
    assert len(np.unique(np.concatenate([first, second]))) == 16
    np.testing.assert_array_equal(first, generate(key, 1))
    expected = random.normal(jax.random.fold_in(jax.random.fold_in(key, 1), 3), (2,))
    np.testing.assert_allclose(first[3], expected, rtol=1e-6)


def test_a_step_that_is_not_finite_changes_nothing_and_is_remembered(key, batch):
    settings = make_settings(ema_decay=0.9)
    step = jax.jit(partial(train_step, settings=settings))
    good, _ = step(make_state(key, settings), batch)
    bad_batch = batch | {"target": batch["target"].at[0, 0, 0, 0].set(jnp.nan)}
    halted, metrics = step(good, bad_batch)
    assert not np.isfinite(metrics["loss"])
    assert int(halted.halted_at) == 1
    later, _ = step(halted, batch)
    for state in (halted, later):
        assert int(state.step) == 1
        jax.tree.map(np.testing.assert_array_equal, state.replace(halted_at=good.halted_at), good)


def test_the_moving_average_follows_the_parameters(key, batch):
    settings = make_settings(ema_decay=0.9)
    before = make_state(key, settings)
    after, _ = jax.jit(partial(train_step, settings=settings))(before, batch)
    jax.tree.map(
        lambda average, old, new: np.testing.assert_allclose(average, 0.9 * old + 0.1 * new, atol=1e-7),
        after.ema_params,
        before.ema_params,
        after.params,
    )
    assert after.evaluation_params is after.ema_params
    assert before.replace(ema_params=None).evaluation_params is before.params


def test_one_batch_is_learnt(key, batch):
    settings = make_settings(learning_rate=5e-3)
    step = jax.jit(partial(train_step, settings=settings))
    state, losses = make_state(key, settings), []
    for _ in range(120):
        state, metrics = step(state, batch)
        losses.append(float(metrics["mse"]))
    assert losses[-1] < 0.1 * losses[0]

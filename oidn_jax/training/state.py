"""The training state and what it is built from: optimiser, schedule, initial parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from oidn_jax.errors import IllegalValue
from oidn_jax.models.networks import build_network, initial_params
from oidn_jax.models.weights import load
from oidn_jax.training.settings import TrainingRun, TrainSettings

NEVER = -1


class TrainState(struct.PyTreeNode):
    """All that a step changes.

    `step` counts updates. `halted_at` is the step whose loss or gradient was not finite, or -1: from then on the state
    no longer changes, so it stays the last good one however late the host notices. `ema_params` is None without EMA.
    """

    # Any: jax rebuilds the tree with shapes, shardings and placeholders in the place of the int32 and float32 arrays.
    step: Any
    params: Any
    opt_state: Any
    ema_params: Any
    halted_at: Any

    @property
    def evaluation_params(self) -> Any:
        """The moving average where there is one, else the parameters."""
        return self.params if self.ema_params is None else self.ema_params


def learning_rate_schedule(settings: TrainSettings) -> optax.Schedule:
    """Learning rate by step: step decay or cosine to zero, after a linear warm-up."""
    rate, warmup_steps = settings.learning_rate, settings.warmup_steps
    if settings.schedule == "step":
        after = optax.exponential_decay(rate, settings.decay_every, settings.decay_factor, staircase=True)
    else:
        after = optax.cosine_decay_schedule(rate, settings.steps - warmup_steps)
    if not warmup_steps:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, rate, warmup_steps), after], [warmup_steps])


def build_optimizer(settings: TrainSettings) -> optax.GradientTransformation:
    """Adam with the schedule, after clipping by the global norm if `clip_norm` > 0."""
    adam = optax.adam(learning_rate_schedule(settings))
    return optax.chain(optax.clip_by_global_norm(settings.clip_norm), adam) if settings.clip_norm > 0 else adam


def initial_state(run: TrainingRun, network: nn.Module, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step, on one kind of device a function of the run's seed, or its weights, alone.

    Raises:
        InputError: for a `begin_with` that cannot be read, or of another network.
    """
    # rbg keys: the dozens of small draws compile in a fifth of the time they take with the default generator.
    key = jax.random.key(run.seed, impl="rbg")
    params = _given_params(run) if run.train.begin_with else initial_params(network, key)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        # A copy: the step donates its state, and one buffer cannot be given away twice.
        ema_params=jax.tree.map(jnp.copy, params) if run.train.ema_decay > 0 else None,
        halted_at=jnp.full((), NEVER, jnp.int32),
    )


def _given_params(run: TrainingRun) -> Any:
    """Those of `train.begin_with`."""
    model = load(run.train.begin_with)
    network = build_network(model.fields, run.microscope)
    if network != build_network(run.model, run.microscope):
        legal = f"these weights are of {dict(model.fields)}, the configuration's `model` is {dict(run.model)}"
        raise IllegalValue("train.begin_with", run.train.begin_with, legal)
    return jax.tree.map(jnp.asarray, model.params)

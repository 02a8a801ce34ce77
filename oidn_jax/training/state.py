"""The training state and what it is built from: network, optimiser, schedule."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from oidn_jax.errors import InputError
from oidn_jax.models.oidn import OIDN, SMALLEST_IMAGE

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


def build_model(config: Any) -> OIDN:
    """The network of a configuration.

    Raises:
        InputError: for a field that is not legal.
    """
    try:
        return OIDN(**dict(config.model))
    except (TypeError, ValueError) as error:
        raise InputError(f"config.model: {error}") from error


def learning_rate_schedule(train: Any) -> optax.Schedule:
    """Learning rate by step: step decay or cosine to zero, after a linear warm-up.

    Raises:
        InputError: for an unknown schedule or a warm-up longer than the run.
    """
    if train.schedule == "step":
        after = optax.exponential_decay(train.learning_rate, train.decay_every, train.decay_factor, staircase=True)
    elif train.schedule == "cosine":
        if train.warmup_steps >= train.steps:
            raise InputError(
                f"config.train.warmup_steps is {train.warmup_steps}; it must be smaller than "
                f"config.train.steps, {train.steps}"
            )
        after = optax.cosine_decay_schedule(train.learning_rate, train.steps - train.warmup_steps)
    else:
        raise InputError(f"config.train.schedule is {train.schedule!r}; legal: 'step', 'cosine'")
    if not train.warmup_steps:
        return after
    warmup = optax.linear_schedule(0.0, train.learning_rate, train.warmup_steps)
    return optax.join_schedules([warmup, after], [train.warmup_steps])


def build_optimizer(train: Any) -> optax.GradientTransformation:
    """Adam with the schedule of the `train` section, after clipping by the global norm if `clip_norm` > 0."""
    adam = optax.adam(learning_rate_schedule(train))
    return optax.chain(optax.clip_by_global_norm(train.clip_norm), adam) if train.clip_norm > 0 else adam


def initial_state(config: Any, model: OIDN, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step, on one kind of device a function of `config.seed` alone."""
    frames = jnp.zeros((1, SMALLEST_IMAGE, SMALLEST_IMAGE, model.frames))
    # rbg keys: the dozens of small draws compile in a fifth of the time they take with the default generator.
    params = jax.jit(model.init)(jax.random.key(config.seed, impl="rbg"), frames)["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        # A copy: the step donates its state, and one buffer cannot be given away twice.
        ema_params=jax.tree.map(jnp.copy, params) if config.train.ema_decay > 0 else None,
        halted_at=jnp.full((), NEVER, jnp.int32),
    )

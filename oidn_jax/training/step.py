"""One training step, a pure function."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float

from oidn_jax.losses import total_loss
from oidn_jax.models.networks import predict
from oidn_jax.models.prediction import Prediction
from oidn_jax.training.state import NEVER, TrainState


@dataclass(frozen=True)
class StepSettings:
    """What a step needs beside state and batch, all static."""

    network: nn.Module
    optimizer: optax.GradientTransformation
    weights: Mapping[str, float]
    ssim_padding: str = "valid"
    ema_decay: float = 0.0
    axis_name: str | None = None  # of the devices the gradients are averaged over


def prediction_loss(
    prediction: Prediction,
    target: Float[Array, "b h w 1"],
    *,
    peak: Float[Array, "b 1 1 1"] | None = None,
    weights: Mapping[str, float],
    ssim_padding: str = "valid",
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """`total_loss` of what a network gives; with a `peak` both images, and the expected error, are divided by it."""
    image, log_error = prediction.image, prediction.log_error
    if peak is not None:
        image, target = image / peak, target / peak
        log_error = None if log_error is None else log_error - jnp.log(peak)
    return total_loss(
        image,
        target,
        psf=prediction.psf,
        psf_correction=prediction.psf_correction,
        log_error=log_error,
        weights=weights,
        ssim_padding=ssim_padding,
    )


def train_step(
    state: TrainState, batch: Mapping[str, Array], *, settings: StepSettings
) -> tuple[TrainState, dict[str, Array]]:
    """Loss, gradient, update: (state, batch) -> (state, metrics).

    The network has no randomness of its own, so there is no key. Where the loss or the gradient is not finite the
    update is dropped and `halted_at` set; a halted state stays as it is.

    Args:
        state: before the step.
        batch: `inputs` (b, h, w, channels) and `target` (b, scale*h, scale*w, 1), normalised, or the loss divides the
            target and the image by `peak` (b, 1, 1, 1).
        settings: static.

    Returns:
        The state after the step, and `loss`, its unweighted terms and `gradient_norm`.
    """

    def loss_of(params):
        prediction = predict(settings.network, params, batch["inputs"])
        return prediction_loss(
            prediction,
            batch["target"],
            peak=batch.get("peak"),
            weights=settings.weights,
            ssim_padding=settings.ssim_padding,
        )

    (loss, terms), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    if settings.axis_name is not None:
        loss, terms, gradients = jax.lax.pmean((loss, terms, gradients), settings.axis_name)
    gradient_norm = optax.tree.norm(gradients)
    updates, opt_state = settings.optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema_params = state.ema_params
    if ema_params is not None:
        ema_params = optax.incremental_update(params, ema_params, 1.0 - settings.ema_decay)

    running = state.halted_at == NEVER
    good = running & jnp.isfinite(loss) & jnp.isfinite(gradient_norm)
    updated = state.replace(step=state.step + 1, params=params, opt_state=opt_state, ema_params=ema_params)
    state_after = jax.tree.map(lambda new, old: jnp.where(good, new, old), updated, state)
    halted_at = jnp.where(running & ~good, state.step, state.halted_at)
    metrics = {"loss": loss, **terms, "gradient_norm": gradient_norm}
    return state_after.replace(halted_at=halted_at), metrics

"""The training loop: data, step, log, evaluation, checkpoints, in that order and in one place."""

import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
import optax

from oidn_jax.errors import InputError
from oidn_jax.data.normalisation import MODES as NORMALISATIONS
from oidn_jax.metrics.ssim import PADDINGS
from oidn_jax.models.oidn import OIDN, SMALLEST_IMAGE
from oidn_jax.simulation.pairs import settings_from_config, simulate_training_batch
from oidn_jax.training import checkpoint, parallel
from oidn_jax.training.log import MetricLog, ProgressBar
from oidn_jax.training.state import NEVER, TrainState, build_model, build_optimizer, initial_state
from oidn_jax.training.step import StepSettings, train_step


class TrainingDiverged(RuntimeError):
    """The loss or its gradient was not finite; the last good state has been saved."""


@runtime_checkable
class Evaluator(Protocol):
    """What the loop asks of an evaluation."""

    def __call__(self, network: OIDN, params: Any, *, figure_path: Path) -> dict[str, float]:
        """Scores on held-out data by name, `ssim` among them; leaves a panel of pictures at `figure_path`."""
        ...


class StopRequest:
    """Ctrl-C and SIGTERM as a flag that the loop looks at between steps. Use as a context manager."""

    def __init__(self) -> None:
        """Not requested yet."""
        self.requested = False

    def _request(self, signal_number: int, frame: FrameType | None) -> None:
        if self.requested and signal_number == signal.SIGINT:
            raise KeyboardInterrupt  # a second Ctrl-C does not wait for the step
        self.requested = True
        print("stopping after this step; Ctrl-C again to stop without saving", file=sys.stderr)

    def __enter__(self) -> "StopRequest":
        """Takes over both signals."""
        self._before = {s: signal.signal(s, self._request) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: Any) -> None:
        """Gives them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Outcome(NamedTuple):
    """How a run ended: the state on the host, and whether all steps are done."""

    state: TrainState
    finished: bool


def check_config(config: Any) -> None:
    """Checks across sections that nothing else makes.

    Raises:
        InputError: naming the field.
    """
    train = config.train
    if config.data.path:
        raise InputError(
            f"config.data.path is {config.data.path!r}; this version trains on simulated data only: leave it empty"
        )
    for name in ("steps", "log_every", "evaluate_every", "checkpoint_every", "decay_every"):
        if getattr(train, name) < 1:
            raise InputError(f"config.train.{name} is {getattr(train, name)}; it must be at least 1")
    if train.patch < SMALLEST_IMAGE:
        raise InputError(f"config.train.patch is {train.patch}; the smallest patch is {SMALLEST_IMAGE} pixels")
    for name in ("learning_rate", "decay_factor"):
        if not getattr(train, name) > 0:
            raise InputError(f"config.train.{name} is {getattr(train, name)}; it must be positive")
    for name in ("warmup_steps", "clip_norm"):
        if not getattr(train, name) >= 0:
            raise InputError(f"config.train.{name} is {getattr(train, name)}; it must not be negative, 0 for none")
    if config.data.normalisation not in NORMALISATIONS:
        legal = ", ".join(NORMALISATIONS)
        raise InputError(f"config.data.normalisation is {config.data.normalisation!r}; legal: {legal}")
    weights = dict(config.loss.weights)
    if not all(np.isfinite(weight) and weight >= 0 for weight in weights.values()) or not any(weights.values()):
        raise InputError(f"config.loss.weights are {weights}; each must be 0 or positive, and not all of them 0")
    if config.loss.ssim_padding not in PADDINGS:
        raise InputError(f"config.loss.ssim_padding is {config.loss.ssim_padding!r}; legal: {', '.join(PADDINGS)}")
    if not 0 <= train.ema_decay < 1:
        raise InputError(f"config.train.ema_decay is {train.ema_decay}; it must be in [0, 1), 0 for none")


def _batch_generator(config: Any) -> Callable[[Any], dict[str, Any]]:
    return partial(
        simulate_training_batch,
        batch_size=parallel.per_device_batch(config.train.batch_size),
        settings=settings_from_config(config.simulation),
        size=(config.train.patch, config.train.patch),
        normalisation=config.data.normalisation,
    )


def _step_settings(config: Any, model: OIDN, optimizer: optax.GradientTransformation) -> StepSettings:
    return StepSettings(
        model=model,
        optimizer=optimizer,
        weights=dict(config.loss.weights),
        ssim_padding=config.loss.ssim_padding,
        ema_decay=config.train.ema_decay,
        axis_name=parallel.AXIS,
    )


class Clock:
    """Seconds per step since the last restart; restarted after what is not a step (evaluation, saving)."""

    def __init__(self, step: int) -> None:
        """Starts at a step."""
        self.restart(step)

    def restart(self, step: int) -> None:
        """Starts again."""
        self._time, self._step = time.perf_counter(), step

    def seconds_per_step(self, step: int) -> float:
        """Mean since the start."""
        return (time.perf_counter() - self._time) / max(step - self._step, 1)


def _find_checkpoint(config: Any, workdir: Path, say: Callable[[str], None]) -> tuple[Path, int] | None:
    """Where to resume from, and its step: the workdir itself, else `config.train.resume_from`, else nothing.

    Raises:
        InputError: for a `resume_from` without a checkpoint, a checkpoint of another network, or hosts that do not see
            the same workdir.
    """
    source = workdir
    record = checkpoint.read_record(workdir, "last")
    if record is None and checkpoint.read_record(workdir, "best") is not None:
        raise InputError(f"{workdir} holds a best checkpoint but no last one to go on from; use another --workdir")
    if record is None and config.train.resume_from:
        source = Path(config.train.resume_from)
        record = checkpoint.read_record(source, "last")
        if record is None:
            raise InputError(f"config.train.resume_from is {str(source)!r}, which holds no checkpoint")
    start = record["step"] if record else 0
    if parallel.from_main_process(float(start)) != start:
        raise InputError(f"the hosts do not see the same checkpoints; put {workdir} on a file system they share")
    if record is None:
        return None
    ours = checkpoint.plain_config(config)
    checkpoint.check_same_network(ours, record["config"], workdir=source, exempt=checkpoint.COMPUTATION_FIELDS)
    changed = checkpoint.changed_fields(ours, record["config"])
    if changed:
        say(f"changed since that checkpoint: {', '.join(changed)}")
    return source, start


def _starting_state(fresh: TrainState, source: Path | None) -> TrainState:
    """The state to start from, on the devices."""
    if source is None:
        return parallel.replicate(fresh)
    # A run that diverged goes on from its last good state: a changed setting may help it.
    state = checkpoint.read_state(source, "last", like=fresh)
    return parallel.replicate(state.replace(halted_at=fresh.halted_at))


def train(
    config: Any, workdir: str | Path, *, evaluator: Evaluator | None = None, say: Callable[[str], None] = print
) -> Outcome:
    """Train as the configuration says, resuming from the workdir's last checkpoint where there is one.

    Args:
        config: with the fields of `configs/default.py`.
        workdir: for checkpoints, `metrics.jsonl`, TensorBoard events and panels.
        evaluator: scores the network every `config.train.evaluate_every` steps; the best by SSIM is kept.
        say: called with each line for the user, on the main process.

    Returns:
        The final state on the host, and whether the run is finished (it is not after Ctrl-C or SIGTERM).

    Raises:
        InputError: for a configuration or a workdir that cannot be used.
        TrainingDiverged: if the loss or its gradient was not finite.
    """
    check_config(config)
    workdir, settings = Path(workdir), config.train
    main = parallel.is_main_process()
    speak = say if main else lambda line: None
    model, optimizer = build_model(config), build_optimizer(settings)
    generate = parallel.on_each_device(_batch_generator(config))
    step_on_devices = parallel.data_parallel(partial(train_step, settings=_step_settings(config, model, optimizer)))
    data_key = jax.random.key(config.seed + 1)
    source, start = _find_checkpoint(config, workdir, speak) or (None, 0)
    state = _starting_state(initial_state(config, model, optimizer), source)
    if start >= settings.steps:
        speak(f"nothing to do: {workdir} has finished {start} of {settings.steps} steps")
        return Outcome(jax.device_get(state), True)

    with (
        checkpoint.Checkpoints(workdir) as checkpoints,
        StopRequest() as stop,
        MetricLog(workdir, first_step=start, writes=main) as log,
        ProgressBar(settings.steps, start=start, visible=main) as bar,
    ):
        speak(f"training on simulated data (config.data.path is empty), {parallel.describe_devices()}, {workdir}")
        if source is not None:
            speak(f"resuming from step {start} of {source}")
        best_ssim = checkpoints.forget_after(start)
        plain, scores, metrics, stopped = checkpoint.plain_config(config), {}, {}, False
        clock, step = Clock(start), start
        for step in range(start + 1, settings.steps + 1):
            # Dispatch is asynchronous: waiting for the step before keeps the loop at most one step ahead of the
            # devices, so that a stop is answered at once and the bar is true.
            jax.block_until_ready(metrics)
            state, metrics = step_on_devices(state, generate(data_key, step))
            bar.update(step)

            def due(every: int, step: int = step) -> bool:
                return step % every == 0 or step == settings.steps

            log_due, evaluate_due = due(settings.log_every), due(settings.evaluate_every)
            # Hosts must decide together, and asking costs a round trip: several of them only ask when they log.
            stopped = parallel.any_process(stop.requested, ask=log_due)
            save_due = due(settings.checkpoint_every) or stopped
            if not (log_due or evaluate_due or save_due):
                continue
            if int(state.halted_at) != NEVER:
                break
            if log_due:
                values = {name: float(value) for name, value in jax.device_get(metrics).items()}
                bar.update(step, loss=values["loss"])
                log.write(step, "train", {**values, "seconds_per_step": clock.seconds_per_step(step)})
            if evaluate_due and evaluator is not None:
                if main:
                    params = jax.device_get(state.evaluation_params)
                    scores = evaluator(model, params, figure_path=workdir / "panels" / f"step_{step:08d}.png")
                    log.write(step, "validation", scores)
                    speak(f"step {step} of {settings.steps}: " + ", ".join(f"{k} {v:.4g}" for k, v in scores.items()))
                ssim = parallel.from_main_process(scores.get("ssim", np.nan))
                if ssim > best_ssim:
                    best_ssim = ssim
                    checkpoints.save("best", state, config=plain, scores={**scores, "ssim": ssim})
            if save_due:
                checkpoints.save("last", state, config=plain, scores=scores)
            clock.restart(step)
            if stopped:
                break
        halted_at = int(state.halted_at)
        if halted_at != NEVER:
            checkpoints.save("last", state, config=plain, scores=scores)
    if halted_at != NEVER:
        raise TrainingDiverged(
            f"the loss or its gradient was not finite at step {halted_at + 1}; the state after step {int(state.step)} "
            f"is saved in {workdir}; a smaller config.train.learning_rate or config.train.clip_norm=1 usually helps"
        )
    if step < settings.steps:
        speak(f"stopped after step {step} of {settings.steps}, saved in {workdir}; the same command goes on from here")
    return Outcome(jax.device_get(state), step == settings.steps)

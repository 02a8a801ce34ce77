"""The training loop: data, step, log, evaluation, checkpoints, in that order and in one place."""

import contextlib
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from flax import linen as nn

from oidn_jax.data.folder_lock import locked
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.models.layers import SMALLEST_IMAGE
from oidn_jax.models.networks import build_network, input_channels, predict
from oidn_jax.models.trained import TrainedModel
from oidn_jax.models.weights import kept_steps
from oidn_jax.training import checkpoint, parallel
from oidn_jax.training.batches import BatchAt, checked_batches, distinct_simulations, simulated_batches
from oidn_jax.training.log import MetricLog, OnMetrics
from oidn_jax.training.pace import Pace
from oidn_jax.training.profile import ProfileWindow
from oidn_jax.training.progress import ProgressDisplay
from oidn_jax.training.settings import TrainingRun
from oidn_jax.training.state import NEVER, TrainState, build_optimizer, initial_state, learning_rate_schedule
from oidn_jax.training.step import StepSettings, prediction_loss, train_step
from oidn_jax.training.summary import summary
from oidn_jax.version import __version__


class TrainingDiverged(RuntimeError):
    """The loss or its gradient was not finite; the last good state has been saved."""


@runtime_checkable
class Evaluator(Protocol):
    """What the loop asks of an evaluation."""

    def __call__(self, model: TrainedModel, *, figure_path: Path) -> dict[str, float]:
        """Scores on held-out data by name, `ssim` among them; leaves a panel of pictures at `figure_path`."""
        ...


class StopRequest:
    """Ctrl-C and SIGTERM as a flag that the loop looks at between steps. Use as a context manager.

    Signals reach the main thread only: on another thread nothing is taken over, and whoever runs the loop stops it.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        """Not requested yet; `say` is called with a line when it is."""
        self.requested, self._say = False, say
        self._before: dict[int, Any] = {}

    def _request(self, signal_number: int, frame: FrameType | None) -> None:
        if self.requested and signal_number == signal.SIGINT:
            raise KeyboardInterrupt  # a second Ctrl-C does not wait for the step
        if not self.requested:
            self.requested = True
            self._say("stopping after this step; Ctrl-C again to stop without saving")

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._request) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Outcome(NamedTuple):
    """How a run ended: the state on the host, and whether all steps are done."""

    state: TrainState
    finished: bool


def _find_checkpoint(
    run: TrainingRun, workdir: Path, like: TrainState, say: Callable[[str], None]
) -> tuple[Path, TrainState] | None:
    """Where to resume from, and the state there: the workdir itself, else `train.resume_from`, else nothing.

    Raises:
        InputError: for a `resume_from` without a checkpoint, a checkpoint of another network, or a damaged one.
    """

    def read(source: Path) -> tuple[dict[str, Any], TrainState] | None:
        def check(record: Mapping[str, Any]) -> None:
            checkpoint.check_same_network(
                run.configuration, record["config"], workdir=source, exempt=checkpoint.COMPUTATION_FIELDS
            )

        return checkpoint.resume(source, like=like, check=check, say=say)

    source = workdir
    kept = read(workdir)
    if kept is None and kept_steps(workdir, "best"):
        raise InputError(f"{workdir} holds a best checkpoint but no last one to go on from; use another `workdir`")
    if kept is None and run.train.resume_from:
        source = Path(run.train.resume_from)
        kept = read(source)
        if kept is None:
            raise IllegalValue("train.resume_from", str(source), "it holds no checkpoint")
    if kept is None:
        return None
    record, state = kept
    changed = checkpoint.changed_fields(run.configuration, record["config"])
    if changed:
        say(f"changed since that checkpoint: {', '.join(changed)}")
    # A run that diverged goes on from its last good state: a changed setting may help it.
    return source, state.replace(halted_at=np.int32(NEVER))


def _check_loss(run: TrainingRun, network: nn.Module, params: Any) -> None:
    """Refuses terms of what the network does not give, before anything is compiled or written."""

    def loss(params: Any, inputs: jax.Array) -> jax.Array:
        prediction = predict(network, params, inputs)
        return prediction_loss(
            prediction,
            prediction.image,
            weights=run.loss.weights,
            ssim_padding=run.loss.ssim_padding,
        )[0]

    try:
        jax.eval_shape(loss, params, np.zeros((1, SMALLEST_IMAGE, SMALLEST_IMAGE, input_channels(network)), np.float32))
    except IllegalValue as error:
        raise error.within("loss") from error


def train(
    run: TrainingRun,
    workdir: str | Path,
    *,
    batch_at: BatchAt | None = None,
    data: Mapping[str, Any] | None = None,
    evaluator: Evaluator | None = None,
    say: Callable[[str], None] = print,
    progress: Callable[[int, int], None] | None = None,
    on_metrics: OnMetrics | None = None,
) -> Outcome:
    """Train, resuming from the workdir's last checkpoint where there is one.

    Args:
        run: what to train, on what and how.
        workdir: for checkpoints, `metrics.jsonl`, TensorBoard events and panels.
        batch_at: where the batches come from (`training.batches`); None simulates them.
        data: with a `batch_at`, what the origin of the weights says of its data, for JSON.
        evaluator: scores the network every `evaluate_every` steps; the best by SSIM is kept.
        say: called with each line for the user, on the main process.
        progress: called after each step with the steps done and of all, in the place of the bar on a terminal.
        on_metrics: called on the main process with each record of `metrics.jsonl` when it is written, as to hand it to
            an experiment tracker; one that raises is told to `say`, and is not called again.

    Returns:
        The final state on the host, and whether the run is finished (it is not after Ctrl-C or SIGTERM).

    Raises:
        InputError: for a run or a workdir that cannot be used.
        WriteError: if the disk is full, or fails.
        TrainingDiverged: if the loss or its gradient was not finite.
        HostLost: if another host has ended.
    """
    workdir, main = Path(workdir), parallel.is_main_process()
    speak = say if main else lambda line: None
    facts = {**checkpoint.shared_fields(run.configuration), "version of oidn_jax": __version__}
    with parallel.lost_hosts_named(), contextlib.ExitStack() as held:
        parallel.agree({**facts, "workdir": str(workdir)})
        parallel.on_all(lambda: held.enter_context(locked(workdir, speak)) if main else None)
        return _train(
            run,
            workdir,
            batch_at=batch_at,
            data=data,
            evaluator=evaluator,
            speak=speak,
            progress=progress,
            on_metrics=on_metrics,
        )


def _train(
    run: TrainingRun,
    workdir: Path,
    *,
    batch_at: BatchAt | None,
    data: Mapping[str, Any] | None,
    evaluator: Evaluator | None,
    speak: Callable[[str], None],
    progress: Callable[[int, int], None] | None,
    on_metrics: OnMetrics | None,
) -> Outcome:
    """Trains in a workdir that nobody else writes to; `speak` is silent on all hosts but the main one."""
    settings, main = run.train, parallel.is_main_process()
    network, optimizer = build_network(run.model, run.microscope), build_optimizer(settings)
    step_settings = StepSettings(
        network=network,
        optimizer=optimizer,
        weights=dict(run.loss.weights),
        ssim_padding=run.loss.ssim_padding,
        ema_decay=settings.ema_decay,
        axis_name=parallel.AXIS,
    )
    programs = len(distinct_simulations(run)) if batch_at is None else 1
    source_of_data = "simulated data" if batch_at is None else "the data given"
    if batch_at is not None:
        data = {"data": "given", **(data or {})}
        source_of_data = "measured data" if data["data"] == "measured" else source_of_data
    batch_at = simulated_batches(run) if batch_at is None else checked_batches(batch_at, run)
    step_on_devices = parallel.data_parallel(partial(train_step, settings=step_settings))
    # A run that is resumed needs the weights no more that it began with.
    resumed = replace(run, train=replace(settings, begin_with=""))
    like = jax.eval_shape(lambda: initial_state(resumed, network, optimizer))
    _check_loss(run, network, like.params)
    source, state = parallel.on_all(
        lambda: _find_checkpoint(run, workdir, like, speak) or (None, initial_state(run, network, optimizer))
    )
    start = int(state.step)
    parallel.agree({"step of the last checkpoint": start})
    state = parallel.replicate(state)
    if start >= settings.steps:
        speak(f"nothing to do: {workdir} has finished {start} of {settings.steps} steps")
        return Outcome(jax.device_get(state), True)

    learning_rate = jax.jit(learning_rate_schedule(settings))
    rhythm = {"evaluation": settings.evaluate_every, "best": settings.evaluate_every, "last": settings.checkpoint_every}
    pace = Pace(settings.steps, every=rhythm)
    with (
        StopRequest(speak) as stop,
        MetricLog(workdir, first_step=start, writes=main, say=speak, on_metrics=on_metrics) as log,
        ProgressDisplay(settings.steps, start=start, visible=main, pace=pace, say=speak, instead=progress) as display,
        ProfileWindow(workdir, settings.profile_steps, start=start, visible=main, say=speak) as profile,
    ):
        speak(f"training on {source_of_data}, {parallel.describe_devices()}, {workdir}")
        if source is not None:
            speak(f"resuming from step {start} of {source}")
        if programs > 1:
            speak(f"each of its {programs} specimens under microscopes is compiled when its turn first comes")
        checkpoints = checkpoint.Checkpoints(workdir, run, data=data) if main else None
        best_ssim = checkpoints.forget_after(start, speak) if checkpoints else np.inf
        scores, stopped, step = {}, False, start
        batch = parallel.shard(batch_at(start + 1))
        for step in range(start + 1, settings.steps + 1):
            # Dispatch is asynchronous: while the devices take this step, the host makes or reads the next batch. Then
            # it waits for the step, so that a stop is answered at once and the bar is true.
            with profile.step(step), pace.step():
                state, metrics = step_on_devices(state, batch)
                if step < settings.steps:
                    batch = parallel.shard(batch_at(step + 1))
                jax.block_until_ready(metrics)
            display.update(step, metrics)

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
            if log_due and main:
                values = {name: float(value) for name, value in jax.device_get(metrics).items()}
                display.show_loss(values["loss"])
                rate = {"learning_rate": float(learning_rate(np.int32(step - 1)))}
                log.write(step, "train", {**values, **rate, **_throughput(pace, settings.batch_size)})
            if evaluate_due and evaluator is not None:
                if main:
                    with pace.pause("evaluation"):
                        model = checkpoint.trained_model(run, state.evaluation_params, step=step, scores={})
                        scores = evaluator(model, figure_path=workdir / "panels" / f"step_{step:08d}.png")
                    log.write(step, "validation", scores)
                    words = [*display.told(step, metrics), *(f"{k} {v:.4g}" for k, v in scores.items())]
                    speak(f"step {step} of {settings.steps}: {', '.join(words)}")
                if checkpoints and scores["ssim"] > best_ssim:
                    best_ssim = scores["ssim"]
                    with pace.pause("best"):
                        checkpoints.save("best", state, scores=scores)
            if save_due and checkpoints:
                with pace.pause("last"):
                    checkpoints.save("last", state, scores=scores)
            if stopped:
                break
        halted_at = int(state.halted_at)
        if halted_at != NEVER and checkpoints:
            checkpoints.save("last", state, scores=scores)
        parallel.wait_for_all()
    done = int(state.step)
    for line in summary(workdir, start=start, done=done, total=settings.steps, pace=pace) if main else ():
        speak(line)
    if halted_at != NEVER:
        raise TrainingDiverged(
            f"the loss or its gradient was not finite at step {halted_at + 1}; the state after step {done} "
            f"is saved in {workdir}; a smaller `train.learning_rate` or a `train.clip_norm` of 1 usually helps"
        )
    if step < settings.steps:
        speak(f"stopped after step {step} of {settings.steps}, saved in {workdir}; the same command goes on from here")
    return Outcome(jax.device_get(state), step == settings.steps)


def _throughput(pace: Pace, batch_size: int) -> dict[str, float]:
    """Of a line of the log; no times where all steps since the line before were compiled."""
    memory = {"peak_memory_mb": parallel.peak_memory_bytes() / 1e6}
    seconds = pace.mean_since_told()
    if seconds is None:
        return memory
    return {"seconds_per_step": seconds, "patches_per_second": batch_size / seconds, **memory}

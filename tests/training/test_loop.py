"""Runs: exact resume, checkpoints, what stops a run and what it leaves behind."""

import gc
import json
import re
import shutil
import signal
import threading
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest

import oidn_jax
from oidn_jax.errors import InputError
from oidn_jax.models import weights
from oidn_jax.models.networks import build_network
from oidn_jax.training import checkpoint, loop, parallel
from oidn_jax.training.loop import TrainingDiverged
from oidn_jax.training.state import build_optimizer, initial_state
from tests.training.runs import (
    FakeEvaluator,
    assert_equal_bits,
    batch_at,
    quiet,
    steps_logged,
    unet_run,
    with_model,
)

train = partial(loop.train, batch_at=batch_at)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    return workdir, train(unet_run(), workdir, evaluator=FakeEvaluator(), say=quiet)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that a SIGTERM during the evaluation of step 3 stops after step 4."""
    workdir, lines = tmp_path_factory.mktemp("stopped"), []
    outcome = train(unet_run(), workdir, evaluator=FakeEvaluator(interrupt_at=1), say=lines.append)
    assert not outcome.finished
    assert int(outcome.state.step) == 4
    steps, best, last, stop = lines[-4:]
    assert re.match(r"4 of 6 steps done, 4 of them now in .* s, median .* s per step$", steps)
    assert best == f"best validation: ssim 0.1 at step 3, weights in {workdir}/checkpoints/best/3/model"
    assert last == f"last checkpoint: step 4, weights in {workdir}/checkpoints/last/4/model"
    assert stop.startswith("stopped after step 4 of 6, saved in")
    return workdir


@pytest.fixture
def without_learning(monkeypatch):
    """Steps that only count: for what is kept when, the network does not matter."""

    def count(state, batch):
        return state.replace(step=state.step + 1), {"loss": np.float32(1.0)}

    monkeypatch.setattr(parallel, "data_parallel", lambda step: count)


def test_a_run_leaves_its_log_and_both_checkpoints(uninterrupted):
    workdir, outcome = uninterrupted
    assert outcome.finished
    assert int(outcome.state.step) == 6
    assert steps_logged(workdir) == [1, 2, 3, 4, 5, 6]
    assert steps_logged(workdir, "validation") == [3, 6]
    assert checkpoint.read_record(workdir, "last")["step"] == 6
    assert checkpoint.read_record(workdir, "best")["scores"] == {"ssim": 0.2}
    assert list((workdir / "tensorboard").glob("events*"))


def test_a_line_of_the_log_has_what_people_watch(uninterrupted):
    workdir, _ = uninterrupted
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    training = [line for line in lines if line["split"] == "train"]
    every = {"step", "split", "loss", "mse", "ssim", "frequency", "gradient_norm", "learning_rate", "peak_memory_mb"}
    times = {"seconds_per_step", "patches_per_second"}
    assert set(training[0]) == every  # the first step is compiled
    assert all(set(line) == every | times for line in training[1:])
    assert [line["learning_rate"] for line in training[:2]] == [0.0, pytest.approx(2e-3)]  # warm-up of one step
    assert training[5]["learning_rate"] == pytest.approx(2e-3 * 0.5 * (1 + np.cos(np.pi * 4 / 5)))
    for line in training[1:]:
        assert line["patches_per_second"] * line["seconds_per_step"] == pytest.approx(4)
        assert 10 < line["peak_memory_mb"] < 1e6


def test_a_hook_gets_each_record_until_it_fails_and_the_run_goes_on(tmp_path, without_learning):
    records, lines = [], []

    def track(record):
        records.append(record)
        record = dict(record)
        if record.pop("split") == "validation":
            raise ConnectionError("no\nroute")

    assert train(unet_run(), tmp_path, evaluator=FakeEvaluator(), say=lines.append, on_metrics=track).finished
    written = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert records == written[:4]
    assert [record["split"] for record in records] == ["train"] * 3 + ["validation"]
    warned = [line for line in lines if line.startswith("warning")]
    assert warned == ["warning: on_metrics failed at step 3 and is not called again (ConnectionError: no route)"]


def test_a_file_gets_lines_of_the_first_step_and_of_each_evaluation(tmp_path, without_learning):
    lines = []
    train(unet_run(profile_steps=(2, 2)), tmp_path, evaluator=FakeEvaluator(), say=lines.append)
    about = [line for line in lines if line.startswith("step ")]
    assert [line.split(",")[0] for line in about] == [f"step {step} of 6: loss 1" for step in (1, 3, 6)]
    assert re.search(r"loss 1, .* s per step, .* s left, ssim 0\.1$", about[1])
    assert re.search(r"loss 1, .* s per step, ssim 0\.2$", about[2])
    assert [line for line in lines if line.startswith("profile of step 2 in ")]


def leave_as_stopped(workdir):
    """Nothing but the last checkpoint and the log up to it."""


def leave_as_killed(workdir):
    """A kill leaves log lines after the last checkpoint, half a line, and an unfinished checkpoint."""
    with (workdir / "metrics.jsonl").open("a") as log:
        log.write('{"step": 5, "split": "train", "loss": 0.5}\n{"step": 6, "spl')
    unfinished = workdir / "checkpoints" / "last" / "5.orbax-checkpoint-tmp"
    shutil.copytree(workdir / "checkpoints" / "last" / "4", unfinished)
    (unfinished / "commit_success.txt").unlink(missing_ok=True)


@pytest.mark.parametrize("leave", [leave_as_stopped, leave_as_killed])
def test_resumed_is_uninterrupted_bit_for_bit(uninterrupted, stopped, tmp_path, leave):
    workdir, lines, asked = tmp_path / "copy", [], []
    shutil.copytree(stopped, workdir)
    leave(workdir)

    def source(step):
        asked.append(step)
        return batch_at(step)

    evaluator = FakeEvaluator(scores=[0.2])
    resumed = loop.train(unet_run(), workdir, batch_at=source, evaluator=evaluator, say=lines.append)
    assert any(line.startswith("resuming from step 4") for line in lines)
    assert lines[-3].startswith("6 of 6 steps done, 2 of them now in ")
    assert lines[-2].startswith("best validation: ssim 0.2 at step 6, ")
    assert asked == [5, 6]
    assert_equal_bits(resumed.state, uninterrupted[1].state)
    assert steps_logged(workdir) == [1, 2, 3, 4, 5, 6]


def test_simulated_data_and_an_oidn_are_resumed_bit_for_bit(tiny_workdir, tiny_experiment, tmp_path):
    run = tiny_experiment.run
    halfway = loop.train(replace(run, train=replace(run.train, steps=2)), tmp_path, say=quiet)
    assert int(halfway.state.step) == 2
    resumed = loop.train(run, tmp_path, say=quiet)
    assert_equal_bits(resumed.state, checkpoint.read_state(tiny_workdir, "last", like=resumed.state))


def test_a_finished_run_has_nothing_to_do(uninterrupted):
    workdir, outcome = uninterrupted
    lines = []
    again = train(unet_run(), workdir, say=lines.append)
    assert lines[-1] == f"nothing to do: {workdir} has finished 6 of 6 steps"
    assert_equal_bits(again.state, outcome.state)


def test_the_next_batch_is_asked_for_before_the_step_is_awaited(tmp_path, monkeypatch):
    events = []

    def count(state, batch):
        events.append(f"step {int(state.step) + 1}")
        return state.replace(step=state.step + 1), {"loss": np.float32(1.0)}

    def source(step):
        events.append(f"batch {step}")
        return batch_at(step)

    monkeypatch.setattr(parallel, "data_parallel", lambda step: count)
    monkeypatch.setattr(jax, "block_until_ready", lambda metrics: events.append("wait"))
    never = {"log_every": 9, "evaluate_every": 9, "checkpoint_every": 9}
    loop.train(unet_run(steps=3, **never), tmp_path, batch_at=source, say=quiet)
    assert events == ["batch 1", "step 1", "batch 2", "wait", "step 2", "batch 3", "wait", "step 3", "wait"]


def test_the_best_checkpoint_is_the_best(tmp_path, without_learning):
    train(unet_run(), tmp_path, evaluator=FakeEvaluator(scores=[0.5, 0.3]), say=quiet)
    record = checkpoint.read_record(tmp_path, "best")
    assert (record["step"], record["scores"]["ssim"]) == (3, 0.5)
    assert oidn_jax.load(tmp_path).origin["step"] == 3
    assert oidn_jax.load(tmp_path, checkpoint="last").origin["step"] == 6


def test_a_stop_at_an_evaluation_step_loses_no_evaluation(tmp_path, without_learning):
    """The signal comes inside the evaluation of the last step: the run is finished, evaluated and saved."""
    outcome = train(unet_run(), tmp_path, evaluator=FakeEvaluator(interrupt_at=2), say=quiet)
    assert outcome.finished
    assert steps_logged(tmp_path, "validation") == [3, 6]
    assert checkpoint.read_record(tmp_path, "last")["step"] == 6


def test_a_best_checkpoint_later_than_the_last_is_forgotten(tmp_path, without_learning):
    """orbax saves no step before its latest, so a stale best would keep every new one out without a word."""
    train(unet_run(), tmp_path, evaluator=FakeEvaluator(scores=[0.1, 0.9]), say=quiet)
    train(unet_run(steps=2), tmp_path / "short", say=quiet)
    shutil.rmtree(tmp_path / "checkpoints" / "last")
    shutil.copytree(tmp_path / "short" / "checkpoints" / "last", tmp_path / "checkpoints" / "last")
    train(unet_run(), tmp_path, evaluator=FakeEvaluator(scores=[0.5, 0.3]), say=quiet)
    record = checkpoint.read_record(tmp_path, "best")
    assert (record["step"], record["scores"]["ssim"]) == (3, 0.5)


def remove_the_record(step_folder):
    shutil.rmtree(step_folder / "record")


def largest_data_file(step_folder):
    return max(step_folder.glob("state/**/d/*"), key=lambda file: file.stat().st_size)


def cut_data(step_folder):
    file = largest_data_file(step_folder)
    file.write_bytes(file.read_bytes()[:1000])


def remove_data(step_folder):
    largest_data_file(step_folder).unlink()


@pytest.mark.parametrize("damage", [remove_the_record, cut_data, remove_data])
def test_a_damaged_state_is_told(damage, uninterrupted, tmp_path, capfd):
    workdir, outcome = tmp_path / "copy", uninterrupted[1]
    shutil.copytree(uninterrupted[0], workdir)
    damage(workdir / "checkpoints" / "last" / "6")
    with pytest.raises(InputError, match=r"the last checkpoint \(step 6\) in .* is damaged"):
        checkpoint.read_state(workdir, "last", like=outcome.state)
    gc.collect()
    assert "Traceback" not in capfd.readouterr().err


def test_changed_settings_are_told(uninterrupted, tmp_path, without_learning):
    lines = []
    train(unet_run(steps=7, learning_rate=1e-4, resume_from=str(uninterrupted[0])), tmp_path, say=lines.append)
    assert lines[0] == "changed since that checkpoint: train.learning_rate 0.002 to 0.0001"


def test_a_run_can_continue_another_and_a_missing_one_is_an_error(uninterrupted, tmp_path, without_learning):
    workdir, _ = uninterrupted
    lines = []
    outcome = train(unet_run(steps=7, resume_from=str(workdir)), tmp_path / "new", say=lines.append)
    assert any(line.startswith(f"resuming from step 6 of {workdir}") for line in lines)
    assert int(outcome.state.step) == 7
    assert checkpoint.read_record(workdir, "last")["step"] == 6
    with pytest.raises(InputError, match=r"`train.resume_from` is .*it holds no checkpoint"):
        train(unet_run(resume_from=str(tmp_path / "nowhere")), tmp_path / "other", say=quiet)
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "nowhere").exists()


def test_a_run_can_begin_with_weights_of_the_same_network(uninterrupted, tmp_path):
    workdir, _ = uninterrupted
    model = oidn_jax.load(workdir, checkpoint="best")
    run = unet_run(begin_with=str(weights.newest_step(workdir, "best") / "model"))
    network = build_network(run.model, run.microscope)
    state = initial_state(run, network, build_optimizer(run.train))
    assert_equal_bits(state.params, model.params)
    assert_equal_bits(state.ema_params, model.params)
    assert int(state.step) == 0
    with pytest.raises(InputError, match=r"`train\.begin_with` is .*'widths': \(4, 8\)"):
        train(with_model(run, widths=(4, 16)), tmp_path, say=quiet)
    with pytest.raises(InputError, match="there is no folder nowhere"):
        train(unet_run(begin_with="nowhere"), tmp_path, say=quiet)


def test_a_run_goes_on_without_the_weights_it_began_with(uninterrupted, tmp_path):
    begin = shutil.copytree(weights.newest_step(uninterrupted[0], "last") / "model", tmp_path / "begin")
    train(unet_run(steps=2, begin_with=str(begin)), tmp_path / "run", say=quiet)
    shutil.rmtree(begin)
    lines = []
    assert train(unet_run(steps=3, begin_with=str(begin)), tmp_path / "run", say=lines.append).finished
    assert any(line.startswith("resuming from step 2") for line in lines)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(tmp_path):
    run = unet_run(learning_rate=1e30, clip_norm=0.0, warmup_steps=0, schedule="step", log_every=3)
    with pytest.raises(TrainingDiverged, match=r"was not finite at step [23]; the state after step [12] is saved"):
        train(run, tmp_path, say=quiet)
    assert checkpoint.read_record(tmp_path, "last")["step"] in (1, 2)
    model = oidn_jax.load(tmp_path, checkpoint="last")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(model.params)))


def test_a_checkpoint_of_another_network_or_optimiser_is_refused(uninterrupted, tiny_workdir, tiny_experiment):
    workdir, _ = uninterrupted
    with pytest.raises(InputError, match=r"`model.widths` is \[4, 8\] there and \[4, 16\] here"):
        train(with_model(unet_run(), widths=(4, 16)), workdir, say=quiet)
    with pytest.raises(InputError, match=r"`model.psf_init` is 'theoretical' there and 'authors' here"):
        train(with_model(tiny_experiment.run, psf_init="authors"), tiny_workdir, say=quiet)
    with pytest.raises(InputError, match="does not fit this configuration"):
        train(unet_run(ema_decay=0.0, steps=8), workdir, say=quiet)


def test_another_computation_of_the_same_network_is_resumed(uninterrupted, tmp_path, without_learning):
    run = with_model(unet_run(steps=7, resume_from=str(uninterrupted[0])), dtype="bfloat16")
    lines = []
    assert train(run, tmp_path, say=lines.append).finished
    assert "model.dtype 'float32' to 'bfloat16'" in lines[0]


def test_a_loaded_model_has_the_moving_average_and_its_configuration(uninterrupted):
    workdir, outcome = uninterrupted
    model, run = oidn_jax.load(workdir, checkpoint="last"), unet_run()
    assert_equal_bits(model.params, outcome.state.ema_params)
    assert model.configuration == run.configuration
    assert len(model.configuration["simulation"]["mean_photons"]) == 12
    assert (model.patch, model.normalisation, model.microscope) == (16, "joint", run.microscope)
    expected = {"name": "f_actin:quick", "data": "given", "seed": 0, "step": 6, "checkpoint": "last"}
    assert "specimen" not in model.origin  # of data that were given nobody knows it
    assert {name: model.origin[name] for name in expected} == expected
    assert model(np.zeros((1, 16, 18, 9))).image.shape == (1, 32, 36, 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("best", "holds no best checkpoint"),
        (None, "holds no checkpoint; give the workdir of a training run, or train there"),
        ("newest", "`checkpoint` is 'newest'; legal: 'best', 'last'"),
    ],
)
def test_a_workdir_without_a_checkpoint(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        oidn_jax.load(tmp_path, checkpoint=name)
    with pytest.raises(InputError, match="there is no folder"):
        oidn_jax.load(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_the_start_depends_on_the_seed_alone():
    run = unet_run()
    network, optimizer = build_network(run.model, run.microscope), build_optimizer(run.train)
    once, again, other = (
        initial_state(each, network, optimizer).params for each in (run, run, replace(run, seed=run.seed + 1))
    )
    assert_equal_bits(once, again)
    assert not np.array_equal(jax.tree.leaves(once)[1], jax.tree.leaves(other)[1])


def test_a_run_off_the_main_thread_leaves_the_signals_alone(tmp_path, without_learning):
    seen, finished = [], []

    def source(step):
        seen.append([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)])
        return batch_at(step)

    def work():
        finished.append(loop.train(unet_run(steps=2), tmp_path, batch_at=source, say=quiet).finished)

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert finished == [True]
    assert seen == [before, before]


def test_a_stop_request_takes_signals_on_the_main_thread_and_gives_them_back():
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    with loop.StopRequest(quiet):
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in numbers] == before

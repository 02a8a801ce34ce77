"""Runs: exact resume, checkpoints, what stops a run and what it leaves behind."""

import gc
import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest

from configs import f_actin
from oidn_jax.errors import InputError
from oidn_jax.training import checkpoint
from oidn_jax.training.loop import TrainingDiverged, train


def tiny_run_config(**train_fields):
    config = f_actin.get_config("quick")
    config.model.update(width=8, groups=1, blocks=1)
    config.simulation.update(margin=4, specimen="ccps", density=(1.0, 2.0))  # the quickest to draw
    config.train.update(
        steps=6, batch_size=4, patch=16, warmup_steps=1, log_every=1, evaluate_every=3, checkpoint_every=2
    )
    config.train.update(train_fields)
    return config


class FakeEvaluator:
    """Scores by a list; leaves no picture. `interrupt_at` sends this process a SIGTERM at that call."""

    def __init__(self, scores=(), interrupt_at=None):
        self.scores, self.calls, self.interrupt_at = list(scores), 0, interrupt_at

    def __call__(self, network, params, *, figure_path):
        self.calls += 1
        if self.interrupt_at == self.calls:
            os.kill(os.getpid(), signal.SIGTERM)
        return {"ssim": self.scores[self.calls - 1] if self.scores else 0.1 * self.calls}


def assert_equal_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b))


def steps_logged(workdir, split="train"):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if line["split"] == split]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    return workdir, train(tiny_run_config(), workdir, evaluator=FakeEvaluator(), say=lambda line: None)


def test_a_run_leaves_its_log_and_both_checkpoints(uninterrupted):
    workdir, outcome = uninterrupted
    assert outcome.finished
    assert int(outcome.state.step) == 6
    assert steps_logged(workdir) == [1, 2, 3, 4, 5, 6]
    assert steps_logged(workdir, "validation") == [3, 6]
    assert checkpoint.read_record(workdir, "last")["step"] == 6
    assert checkpoint.read_record(workdir, "best")["scores"] == {"ssim": 0.2}
    assert list((workdir / "tensorboard").glob("events*"))


def test_stopped_by_sigterm_and_resumed_is_uninterrupted_bit_for_bit(uninterrupted, tmp_path):
    said = []
    stopped = train(tiny_run_config(), tmp_path, evaluator=FakeEvaluator(interrupt_at=1), say=said.append)
    assert not stopped.finished
    assert int(stopped.state.step) == 4
    assert said[-1].startswith("stopped after step 4 of 6, saved in")
    resumed = train(tiny_run_config(), tmp_path, evaluator=FakeEvaluator(scores=[0.2]), say=said.append)
    assert any(line.startswith("resuming from step 4") for line in said)
    assert_equal_bits(resumed.state, uninterrupted[1].state)
    assert steps_logged(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_killed_between_checkpoints_and_resumed_is_uninterrupted_bit_for_bit(uninterrupted, tmp_path):
    """A kill leaves the last checkpoint, log lines after it, half a line, and an unfinished checkpoint."""
    train(tiny_run_config(steps=4, schedule="step"), tmp_path / "a", say=lambda line: None)
    train(tiny_run_config(schedule="step"), tmp_path / "b", say=lambda line: None)
    workdir = tmp_path / "a"
    with (workdir / "metrics.jsonl").open("a") as log:
        log.write('{"step": 5, "split": "train", "loss": 0.5}\n{"step": 6, "spl')
    unfinished = workdir / "checkpoints" / "last" / "5.orbax-checkpoint-tmp"
    shutil.copytree(workdir / "checkpoints" / "last" / "4", unfinished)
    (unfinished / "commit_success.txt").unlink(missing_ok=True)
    resumed = train(tiny_run_config(schedule="step"), workdir, say=lambda line: None)
    reference = train(tiny_run_config(schedule="step"), tmp_path / "b", say=lambda line: None)
    assert_equal_bits(resumed.state, reference.state)
    assert steps_logged(workdir) == [1, 2, 3, 4, 5, 6]


def test_a_finished_run_has_nothing_to_do(uninterrupted):
    workdir, outcome = uninterrupted
    said = []
    again = train(tiny_run_config(), workdir, say=said.append)
    assert said[-1] == f"nothing to do: {workdir} has finished 6 of 6 steps"
    assert_equal_bits(again.state, outcome.state)


def test_the_best_checkpoint_is_the_best(tmp_path):
    evaluator = FakeEvaluator(scores=[0.5, 0.3])
    train(tiny_run_config(), tmp_path, evaluator=evaluator, say=lambda line: None)
    record = checkpoint.read_record(tmp_path, "best")
    assert (record["step"], record["scores"]["ssim"]) == (3, 0.5)
    assert checkpoint.load_model(tmp_path).origin["step"] == 3
    assert checkpoint.load_model(tmp_path, checkpoint="last").origin["step"] == 6


def test_a_stop_at_an_evaluation_step_loses_no_evaluation(uninterrupted, tmp_path):
    """The signal comes inside the evaluation of the last step: the run is finished, evaluated and saved."""
    outcome = train(tiny_run_config(), tmp_path, evaluator=FakeEvaluator(interrupt_at=2), say=lambda line: None)
    assert outcome.finished
    assert steps_logged(tmp_path, "validation") == [3, 6]
    assert_equal_bits(outcome.state, uninterrupted[1].state)


def test_a_best_checkpoint_later_than_the_last_is_forgotten(tmp_path):
    """orbax saves no step before its latest, so a stale best would keep every new one out without a word."""
    train(tiny_run_config(), tmp_path, evaluator=FakeEvaluator(scores=[0.1, 0.9]), say=lambda line: None)
    train(tiny_run_config(steps=2), tmp_path / "short", say=lambda line: None)
    shutil.rmtree(tmp_path / "checkpoints" / "last")
    shutil.copytree(tmp_path / "short" / "checkpoints" / "last", tmp_path / "checkpoints" / "last")
    train(tiny_run_config(), tmp_path, evaluator=FakeEvaluator(scores=[0.5, 0.3]), say=lambda line: None)
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
def test_a_damaged_checkpoint_is_told(damage, uninterrupted, tmp_path, capfd):
    workdir = tmp_path / "copy"
    shutil.copytree(uninterrupted[0], workdir)
    damage(workdir / "checkpoints" / "best" / "6")
    with pytest.raises(InputError, match=r"the best checkpoint \(step 6\) in .* is damaged"):
        checkpoint.load_model(workdir, checkpoint="best")
    gc.collect()
    assert "Traceback" not in capfd.readouterr().err


def test_changed_settings_are_told_and_another_start_is_refused(uninterrupted, tmp_path):
    said = []
    config = tiny_run_config(steps=7, learning_rate=1e-4, resume_from=str(uninterrupted[0]))
    train(config, tmp_path / "new", say=said.append)
    assert said[0] == "changed since that checkpoint: train.learning_rate 0.002 to 0.0001"
    config.model.psf_init = "authors"
    with pytest.raises(InputError, match=r"config\.model\.psf_init is 'theoretical' there and 'authors' here"):
        train(config, tmp_path / "other", say=said.append)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(tmp_path):
    config = tiny_run_config(learning_rate=1e30, clip_norm=0.0, warmup_steps=0, schedule="step", log_every=3)
    with pytest.raises(TrainingDiverged, match=r"was not finite at step [23]; the state after step [12] is saved"):
        train(config, tmp_path, say=lambda line: None)
    like = checkpoint.read_record(tmp_path, "last")
    assert like["step"] in (1, 2)
    model = checkpoint.load_model(tmp_path, checkpoint="last")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(model.params)))


def test_a_run_can_continue_another_and_a_missing_one_is_an_error(uninterrupted, tmp_path):
    workdir, _ = uninterrupted
    said = []
    config = tiny_run_config(steps=7, resume_from=str(workdir))
    outcome = train(config, tmp_path / "new", say=said.append)
    assert any(line.startswith(f"resuming from step 6 of {workdir}") for line in said)
    assert int(outcome.state.step) == 7
    assert checkpoint.read_record(workdir, "last")["step"] == 6
    with pytest.raises(InputError, match=r"resume_from is .*which holds no checkpoint"):
        train(tiny_run_config(resume_from=str(tmp_path / "nowhere")), tmp_path / "other", say=lambda line: None)
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "nowhere").exists()


def test_a_checkpoint_of_another_network_or_optimiser_is_refused(uninterrupted):
    workdir, _ = uninterrupted
    config = tiny_run_config()
    config.model.width = 16
    with pytest.raises(InputError, match=r"config\.model\.width is 8 there and 16 here"):
        train(config, workdir, say=lambda line: None)
    with pytest.raises(InputError, match="does not fit this configuration"):
        train(tiny_run_config(ema_decay=0.0, steps=8), workdir, say=lambda line: None)


def test_a_loaded_model_has_the_moving_average_and_its_configuration(uninterrupted):
    workdir, outcome = uninterrupted
    model = checkpoint.load_model(workdir, checkpoint="last")
    assert_equal_bits(model.params, outcome.state.ema_params)
    simulation = tiny_run_config().simulation
    assert len(model.config["simulation"]["mean_photons"]) == 12
    assert tuple(model.config["simulation"]["mean_photons"]) == simulation.mean_photons
    assert model.config["simulation"]["fluorescence"]["low"] == [1, 2, 3, 4]
    assert (model.patch, model.normalisation, model.frames, model.scale) == (16, "joint", 9, 2)
    assert model(np.zeros((1, 16, 18, 9))).shape == (1, 32, 36, 1)


@pytest.mark.parametrize(
    ("checkpoint_name", "message"),
    [
        ("best", "holds no best checkpoint"),
        (None, "holds no checkpoint; train one"),
        ("newest", "legal: 'best', 'last'"),
    ],
)
def test_a_workdir_without_a_checkpoint(tmp_path, checkpoint_name, message):
    with pytest.raises(InputError, match=message):
        checkpoint.load_model(tmp_path, checkpoint=checkpoint_name)
    with pytest.raises(InputError, match="there is no workdir"):
        checkpoint.load_model(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []

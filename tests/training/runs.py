"""Runs of seconds for laws that hold for every network, and what they leave."""

import json
import os
import signal
from dataclasses import replace

import jax
import numpy as np

from oidn_jax.config import experiment_of, use_network
from oidn_jax.training.checkpoint import plain
from oidn_jax.training.settings import TrainingRun
from tests.conftest import make_tiny_config


def unet_run(**train_fields) -> TrainingRun:
    """Of a U-Net, which compiles in a tenth of the time of an OIDN; with a moving average and clipping."""
    config = make_tiny_config()
    use_network(config, "unet")
    config.model.widths = (4, 8)
    config.train.update(steps=6, log_every=1, evaluate_every=3, checkpoint_every=2)
    config.train.update(schedule="cosine", warmup_steps=1)
    config.train.update(train_fields)
    return experiment_of(config).run


def with_model(run, **fields) -> TrainingRun:
    """The same run of a network with other fields."""
    model = {**run.model, **fields}
    return replace(run, model=model, configuration={**run.configuration, "model": plain(model)})


def batch_at(step, *, channels=9):
    """A batch as a reader of files gives it."""
    generator = np.random.default_rng(step)
    raw_frames = generator.random((4, 16, 16, channels), np.float32)
    target = np.repeat(np.repeat(raw_frames.mean(-1, keepdims=True), 2, axis=1), 2, axis=2)
    return {"inputs": raw_frames, "target": target}


class FakeEvaluator:
    """Scores by a list; leaves no picture. `interrupt_at` sends this process a SIGTERM at that call."""

    def __init__(self, scores=(), interrupt_at=None):
        self.scores, self.calls, self.interrupt_at = list(scores), 0, interrupt_at

    def __call__(self, model, *, figure_path):
        self.calls += 1
        if self.interrupt_at == self.calls:
            os.kill(os.getpid(), signal.SIGTERM)
        return {"ssim": self.scores[self.calls - 1] if self.scores else 0.1 * self.calls}


def assert_equal_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b))


def steps_logged(workdir, split="train"):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if line["split"] == split]


def quiet(line):
    """Nobody listens."""

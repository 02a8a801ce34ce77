"""Two hosts, as two processes on this machine: they must train as one host with all the devices would."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from oidn_jax.training.loop import train
from tests.conftest import TINY
from tests.training.runs import unet_run

ROOT = Path(__file__).resolve().parents[2]
CHANGES = {name: value for name, value in TINY.items() if not name.startswith("model.")} | {
    "model.name": "unet",
    "model.widths": (4, 8),
    "train.steps": 2,
}


def start(workdir, distributed):
    changes = [f"--config.{name}={value}" for name, value in (CHANGES | distributed).items()]
    return subprocess.Popen(
        [sys.executable, "train.py", "--config=f_actin:quick", *changes, f"--workdir={workdir}"],
        cwd=ROOT,
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    try:
        stdout, stderr = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    return stdout


def train_losses(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["split"] == "train"]


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_two_hosts_train_as_one(tmp_path, free_port):
    distributed = {
        "distributed.enabled": True,
        "distributed.coordinator": f"127.0.0.1:{free_port}",
        "distributed.num_processes": 2,
    }
    hosts = [start(tmp_path / "two", distributed | {"distributed.process_id": i}) for i in range(2)]
    outputs = [finish(host) for host in hosts]
    assert "4 cpu devices on 2 hosts" in outputs[0]
    assert "training" not in outputs[1]  # only the main process speaks
    assert (tmp_path / "two" / "checkpoints" / "best").is_dir()

    settings = {"schedule": "step", "warmup_steps": 0, "log_every": 2}
    train(unet_run(steps=2, **settings), tmp_path / "one", say=lambda line: None)
    assert train_losses(tmp_path / "two") == pytest.approx(train_losses(tmp_path / "one"), rel=1e-4)
    # And one host goes on from what two have saved.
    lines = []
    train(unet_run(steps=3, **settings), tmp_path / "two", say=lines.append)
    assert any(line.startswith("resuming from step 2") for line in lines)
    assert not any(line.startswith("changed") for line in lines)

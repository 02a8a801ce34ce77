"""Two hosts, as two processes on this machine: they must train as one host with all the devices would.

Where they cannot, each of them ends within a minute and says why.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oidn_jax.errors import InputError
from oidn_jax.models.weights import kept_steps
from oidn_jax.training import parallel
from oidn_jax.training.loop import train
from oidn_jax.training.settings import DistributedSettings
from tests.conftest import TINY
from tests.training.runs import unet_run

ROOT = Path(__file__).resolve().parents[2]
CHANGES = {name: value for name, value in TINY.items() if not name.startswith("model.")} | {
    "model.name": "unet",
    "model.widths": (4, 8),
    "train.steps": 2,
}


@pytest.fixture
def start(free_port):
    """A function that starts one of two hosts; none of them outlives the test."""
    hosts = []

    def start(workdir, number, cwd=ROOT, **changes):
        hosts.append(begin(workdir, free_port, number, cwd=cwd, **changes))
        return hosts[-1]

    yield start
    for host in hosts:
        host.kill()
        host.communicate()


def begin(workdir, port, number, *, cwd, **changes):
    distributed = {
        "distributed.enabled": True,
        "distributed.coordinator": f"127.0.0.1:{port}",
        "distributed.num_processes": 2,
        "distributed.process_id": number,
    }
    changes = [f"--config.{name}={value}" for name, value in (CHANGES | distributed | changes).items()]
    return subprocess.Popen(
        [sys.executable, ROOT / "train.py", "--config=f_actin:quick", *changes, f"--workdir={workdir}"],
        cwd=cwd,
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, code=0):
    """What it said, and of what went wrong one line."""
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == code, stderr
    assert stderr.count("\n") == (code != 0), stderr
    return stderr if code else stdout


def train_losses(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["split"] == "train"]


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_two_hosts_train_as_one(tmp_path, start):
    hosts = [start(tmp_path / "two", number) for number in range(2)]
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


def test_hosts_that_disagree_are_told_what_about(monkeypatch):
    facts = {"train.steps": 4, "workdir": "run", "step of the last checkpoint": 0}
    for name, value in (("train.steps", 6), ("workdir", "other"), ("step of the last checkpoint", 2)):
        monkeypatch.setattr(parallel, "gather", lambda mine, name=name, value=value: [mine, mine, mine | {name: value}])
        expected = f"the hosts disagree: `{name}` is {facts[name]!r} on host 0 and {value!r} on host 2"
        with pytest.raises(InputError, match=expected):
            parallel.agree(facts)
    monkeypatch.setattr(parallel, "gather", lambda mine: [mine, mine, mine])
    parallel.agree(facts)


def test_what_stops_one_host_stops_all(monkeypatch):
    def refuse():
        raise InputError("it is damaged")

    monkeypatch.setattr(parallel, "gather", lambda mine: [mine, "it is damaged"])
    with pytest.raises(InputError, match="host 1 cannot begin: it is damaged"):
        parallel.on_all(lambda: 7)
    with pytest.raises(InputError, match=r"^it is damaged"):
        parallel.on_all(refuse)
    monkeypatch.setattr(parallel, "gather", lambda mine: [mine, None])
    assert parallel.on_all(lambda: 7) == 7


def test_what_hosts_tell_each_other_is_exact():
    """float32, which jax would send, ends at 16,777,216."""
    for value in (16_777_217, 2**53 + 1, 0.1, None, {"a": ["b", 1e300]}):
        assert parallel.gather(value) == [value]


@pytest.mark.parametrize(
    ("coordinator", "loopback"),
    [
        ("127.0.0.1:1234", True),
        ("[::1]:1234", True),
        ("localhost:1234", True),
        ("10.0.0.1:1234", False),
        ("node7:1234", False),
    ],
)
def test_a_coordinator_of_this_machine_alone_listens_to_this_machine_alone(monkeypatch, coordinator, loopback):
    given = {}
    monkeypatch.setattr(parallel, "_end_in_one_line", lambda: None)
    monkeypatch.setattr(parallel.jax.distributed, "initialize", lambda **arguments: given.update(arguments))
    parallel.initialise(DistributedSettings(enabled=True, coordinator=coordinator, num_processes=2, process_id=0))
    assert given["coordinator_bind_address"] == (coordinator if loopback else None)


@pytest.mark.slow
def test_a_damaged_checkpoint_on_one_host_stops_both(tmp_path, start):
    """Hosts whose workdirs are not one: only the second's is damaged."""
    train(unet_run(steps=2, schedule="step", warmup_steps=0), tmp_path / "a" / "run", say=lambda line: None)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for record in (tmp_path / "b").glob("run/checkpoints/*/*/record/metadata"):
        record.write_text("{}")
    hosts = [start("run", number, cwd=tmp_path / "ab"[number]) for number in range(2)]
    errors = [finish(host, code=2) for host in hosts]
    assert errors[0].startswith("error: host 1 cannot begin: the last checkpoint (step 2) in run is damaged")
    assert errors[1].startswith("error: the last checkpoint (step 2) in run is damaged")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["steps", "log_every", "checkpoint_every"])
def test_two_hosts_that_disagree_end_at_once(tmp_path, start, name):
    hosts = [start(tmp_path / "two", 0), start(tmp_path / "two", 1, **{f"train.{name}": 7})]
    for host in hosts:
        assert f"the hosts disagree: --config.train.{name} is 2 on host 0 and 7 on host 1" in finish(host, code=2)
    assert not (tmp_path / "two").exists()


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_the_death_of_a_host_ends_the_other_in_one_line(tmp_path, start, victim):
    forever = {"train.steps": 10**6, "train.evaluate_every": 10**6, "train.log_every": 1, "train.checkpoint_every": 1}
    hosts = [start(tmp_path / "two", number, **forever) for number in range(2)]
    while len(kept_steps(tmp_path / "two", "last")) < 2:
        time.sleep(0.1)
        assert all(host.poll() is None for host in hosts)
    hosts[victim].kill()
    begins = time.monotonic()
    assert finish(hosts[1 - victim], code=1).startswith("error: the other hosts are lost")
    assert time.monotonic() < begins + 60
    # One host goes on from what is there.
    step, lines = int(kept_steps(tmp_path / "two", "last")[0].name), []
    train(unet_run(steps=step + 1, schedule="step", warmup_steps=0), tmp_path / "two", say=lines.append)
    assert any(line.startswith(f"resuming from step {step}") for line in lines)
    assert train_losses(tmp_path / "two")

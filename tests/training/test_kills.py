"""The real `train.py`, ended at random points: going on to the end must give the bits of a run that nobody disturbed.

One kill in the suite, fifty with `-m slow`, and with it two hosts of which one is killed.
"""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oidn_jax.models.weights import kept_steps
from oidn_jax.training.checkpoint import read_record
from tests.conftest import TINY

ROOT = Path(__file__).resolve().parents[2]
STEPS = 30
# A checkpoint every third step, so that many of the kills meet one that is being written.
SETTINGS = {name: value for name, value in TINY.items() if not name.startswith("model.")} | {
    "model.name": "unet",
    "model.widths": (4, 8),
    "train.steps": STEPS,
    "train.log_every": 1,
    "train.evaluate_every": 10,
    "train.checkpoint_every": 3,
}
LONGEST_S = 600
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP)


def flags(workdir, **changes):
    settings = {f"config.{name}": value for name, value in (SETTINGS | changes).items()} | {"workdir": workdir}
    return ["--config=f_actin:quick", *(f"--{name}={value}" for name, value in settings.items())]


def start(workdir, **changes):
    return subprocess.Popen(
        [sys.executable, "train.py", *flags(workdir, **changes)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    """Code, output and errors of a process, which must have no traceback."""
    try:
        out, err = process.communicate(timeout=LONGEST_S)
    finally:
        process.kill()
    assert "Traceback" not in err, err
    return process.returncode, out, err


def log_of(workdir):
    """Every line by split and step, without what depends on the clock; no two of a kind."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    timed = {"seconds_per_step", "patches_per_second", "peak_memory_mb"}
    entries = {(line["split"], line["step"]): {name: line[name] for name in line.keys() - timed} for line in lines}
    assert len(entries) == len(lines)
    return entries


def assert_the_same_run(workdir, reference):
    for kind in ("last", "best"):
        record, expected = read_record(workdir, kind), read_record(reference, kind)
        assert record["leaves"] == expected["leaves"]
        assert (record["step"], record["scores"]) == (expected["step"], expected["scores"])
        assert [folder.name for folder in kept_steps(workdir, kind)] == [
            folder.name for folder in kept_steps(reference, kind)
        ]
    assert log_of(workdir) == log_of(reference)
    assert list(workdir.rglob("*.partial")) == []
    assert not (workdir / "running.lock").exists()


def newest(workdir):
    return max((int(folder.name) for folder in kept_steps(workdir, "last")), default=0)


def end_at_random(process, chance):
    """Ends a process somewhere between its start and its end; the signal that it was sent first."""
    out, begins = "", time.monotonic()
    if chance.random() < 0.8:  # most of a short run is its start: four of five kills come after it
        for line in process.stdout:
            out += line
            if line.startswith("training on"):
                break
        begins = time.monotonic()
    duration_s = chance.uniform(0, 6)
    while process.poll() is None and time.monotonic() < begins + duration_s:
        time.sleep(0.01)
    number = chance.choice(SIGNALS)
    process.send_signal(number)
    if number == signal.SIGSTOP:
        time.sleep(chance.uniform(0, 1))
        process.send_signal(chance.choice((signal.SIGCONT, signal.SIGKILL)))
        if process.poll() is None:
            time.sleep(chance.uniform(0, 1))
            process.kill()
    return number


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A run that nobody disturbed, in a process of its own as the others."""
    workdir = tmp_path_factory.mktemp("kills") / "reference"
    code, _, err = ended(start(workdir))
    assert (code, err) == (0, "")
    assert [step for split, step in log_of(workdir) if split == "train"] == list(range(1, STEPS + 1))
    return workdir


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, reference):
    process = start(tmp_path / "run")
    while process.poll() is None and newest(tmp_path / "run") < 6:
        time.sleep(0.002)
    process.kill()
    code, _, _ = ended(process)
    assert code == -signal.SIGKILL
    assert newest(tmp_path / "run") < STEPS
    code, out, err = ended(start(tmp_path / "run"))
    assert (code, err) == (0, "")
    assert "was left locked by process" in out
    assert "resuming from step" in out
    assert_the_same_run(tmp_path / "run", reference)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_ten_random_kills(tmp_path, reference, seed):
    chance, n_kills, finished = random.Random(seed), 0, 0
    while n_kills < 10:
        workdir, before = tmp_path / f"run_{finished}", newest(tmp_path / f"run_{finished}")
        process = start(workdir)
        number = end_at_random(process, chance)
        code, _, err = ended(process)
        n_kills += code != 0
        assert code in (0, 130, -signal.SIGKILL, -signal.SIGTERM), (number, err)
        assert newest(workdir) >= before, "a checkpoint is lost"
        if newest(workdir) == STEPS:
            assert ended(start(workdir))[0] == 0
            assert_the_same_run(workdir, reference)
            finished += 1
    workdir = tmp_path / f"run_{finished}"
    assert ended(start(workdir))[0] == 0
    assert_the_same_run(workdir, reference)

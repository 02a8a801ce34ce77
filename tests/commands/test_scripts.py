"""The three scripts of the top level as processes: what only a process shows. The rest is tested with the commands."""

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from oidn_jax.data import write_raw_tiff
from oidn_jax.training.checkpoint import read_record
from tests.commands.test_train import flags
from tests.methods.fakes import raw_counts

ROOT = Path(__file__).resolve().parents[2]


def process(script, *words):
    """Runs a script as a user does, in the checkout."""
    command = [sys.executable, script, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def assert_fine(done):
    assert (done.returncode, done.stderr) == (0, "")


def test_train_stops_at_a_signal_and_goes_on(tmp_path):
    """From a configuration of the checkout; Ctrl-C is a signal like SIGTERM, and both save first."""
    workdir = tmp_path / "run"
    often = ["--config.train.log_every=1", "--config.train.evaluate_every=9999", "--config.train.checkpoint_every=9999"]
    words = ["--config=configs/f_actin.py:quick", *flags("unet")[1:], f"--workdir={workdir}", *often]
    command = [sys.executable, "train.py", *words, "--config.train.steps=9999"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            wait_for_lines(workdir / "metrics.jsonl", 3, started)
            started.send_signal(signal.SIGINT)
            out, err = started.communicate(timeout=120)
        finally:
            started.kill()
    assert (started.returncode, err) == (0, "")
    assert "training on simulated data, 4 cpu devices" in out
    last = read_record(workdir, "last")["step"]
    assert 3 <= last < 9999
    *_, last_checkpoint, stopped, again = out.splitlines()
    assert last_checkpoint.startswith(f"last checkpoint: step {last}, weights in {workdir}")
    assert stopped.startswith(f"stopped after step {last} of 9999, saved in {workdir}")
    assert again == f"  {shlex.join(['python', *command[1:]])}"

    done = process("train.py", *words, f"--config.train.steps={last + 1}", "--config.evaluation.scenes=1")
    assert_fine(done)
    assert f"resuming from step {last} of {workdir}" in done.stdout
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["split"] == "train"] == list(range(1, last + 2))


def wait_for_lines(path, count, started):
    deadline = time.monotonic() + 240
    while not path.exists() or path.read_text().count("\n") < count:
        assert started.poll() is None, started.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_reconstruct_succeeds_and_refuses(tmp_path):
    source, out = tmp_path / "cell.tif", tmp_path / "out"
    write_raw_tiff(source, raw_counts(32, 32)[0], pixel_size_nm=62.6)
    words = "reconstruct.py", source, "--method=widefield", f"--out={out}"
    done = process(*words)
    assert_fine(done)
    assert done.stdout == f"{out / 'cell_sr.tif'}: 64 x 64 pixels, 31.3 nm per pixel\n"
    assert np.isfinite(tifffile.imread(out / "cell_sr.tif")).all()

    done = process(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_reconstruct_is_stopped_by_ctrl_c_and_leaves_nothing(tmp_path):
    source, out = tmp_path / "cell.tif", tmp_path / "out"
    tifffile.imwrite(source, np.tile(raw_counts(48, 48), (600, 1, 1, 1)), imagej=True, metadata={"axes": "TCYX"})
    command = [sys.executable, "reconstruct.py", str(source), "--method=widefield", f"--out={out}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            while not (out.is_dir() and list(out.iterdir())):  # the image is being written
                assert started.poll() is None, started.communicate()
                time.sleep(0.01)
            started.send_signal(signal.SIGINT)
            lines, err = started.communicate(timeout=120)
        finally:
            started.kill()
    assert (started.returncode, lines) == (130, "")
    assert err.endswith("stopped\n")
    assert "Traceback" not in err
    assert list(out.iterdir()) == []


def test_a_reader_that_has_enough_is_no_bug(tmp_path):
    source = tmp_path / "cell.tif"
    write_raw_tiff(source, raw_counts(32, 32)[0], pixel_size_nm=62.6)
    command = [sys.executable, "-m", "oidn_jax.commands.main", "inspect", *[str(source)] * 3]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        started.stdout.close()
        err = started.stderr.read()
    assert (started.returncode, err) == (141, "")


def test_evaluate_succeeds(tmp_path, tiny_flags):
    words = "evaluate.py", *tiny_flags, f"--out={tmp_path / 'out'}", "--methods=widefield"
    assert_fine(process(*words))
    assert (tmp_path / "out" / "report.html").is_file()

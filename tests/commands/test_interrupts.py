"""Ctrl-C ends every command within seconds with 130 and one word, and leaves nothing half written."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.commands.test_evaluate import FLAGS
from tests.commands.test_train import flags
from tests.methods.fakes import raw_counts

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 10  # one or two, were it not for the other tests that run meanwhile

pytestmark = pytest.mark.usefixtures("heeds_ctrl_c")


def start(*words):
    command = [sys.executable, *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process):
    """What a process has said at its end, which must be near."""
    with process:  # which closes its pipes
        try:
            return process.communicate(timeout=SECONDS)
        finally:
            process.kill()


def assert_stopped(process):
    _, err = ended(process)
    check_stopped(process, err)


def check_stopped(process, err):
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "stopped"
    assert "Traceback" not in err


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Command lines that take long."""
    folder = tmp_path_factory.mktemp("inputs")
    tifffile.imwrite(folder / "cell.tif", np.tile(raw_counts(48, 48), (600, 1, 1, 1)), imagej=True)
    tifffile.imwrite(folder / "image.tif", raw_counts(512, 512)[0, 0])
    return {
        "reconstruct": [folder / "cell.tif", "--method=widefield"],
        "evaluate": [*FLAGS, "--methods=widefield,wiener"],
        "train": [*flags("unet"), "--config.train.steps=9999"],
        "measure": [folder / "image.tif", "--skip=1"],
        "inspect": [*[folder / "cell.tif"] * 9],
        "export": ["--config=ccps", "--cells=9", "--size=64", "--patch=32"],
        "laws": [],
    }


OUTPUT = {"reconstruct": "--out={}", "evaluate": "--out={}", "train": "--workdir={}", "export": "--out={}"}


@pytest.mark.parametrize("seconds", [0.3, 2.5])  # while its modules are imported, and at work
@pytest.mark.parametrize("name", ["reconstruct", "evaluate", "train", "measure", "inspect", "export", "laws"])
def test_every_command_ends(tmp_path, words, name, seconds):
    output = [OUTPUT[name].format(tmp_path / "out")] if name in OUTPUT else []
    process = start("-m", "oidn_jax.commands.main", name, *words[name], *output)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    out, err = ended(process)
    if name == "train" and "stopped after step" in out:  # it had begun: it has saved, and can go on
        assert process.returncode == 0
    else:
        check_stopped(process, err)
    assert [path for path in tmp_path.rglob("*") if ".partial" in path.name] == []


SWALLOWS = """
import pathlib, sys, time
from oidn_jax.commands.interrupts import take_interrupts
take_interrupts()
from oidn_jax.data.atomic import partial_file, partial_folder
folder = pathlib.Path(sys.argv[1])
with partial_folder(folder, last="b"), partial_file(folder / "a", n_bytes=1) as partial:
    partial.touch()
    print("ready", flush=True)
    while True:
        try:
            time.sleep(9)
        except BaseException:
            pass
"""
TRAINS = """
import sys, threading
from oidn_jax.commands.interrupts import take_interrupts
from oidn_jax.commands.run import run
take_interrupts()
from oidn_jax.training.loop import StopRequest
def body():
    with StopRequest(lambda line: print(line, flush=True)):
        print("ready", flush=True)
        while True:
            try:
                threading.Event().wait()
            except BaseException:
                if sys.argv[1] == "unwinds":
                    raise
run(body)
"""
HURRIES = """
import os, signal, socket
from oidn_jax.commands import interrupts
interrupts._GRACE_S = 0
heard, told = socket.socketpair()
told.send(bytes([signal.SIGINT] * 2))
interrupts._wait(heard, told)
"""
WAITS = """
import time
from oidn_jax.commands.interrupts import take_interrupts
take_interrupts()
print("ready", flush=True)
time.sleep(2)
print("done")
"""


def test_what_swallows_the_exception_ends_and_leaves_nothing(tmp_path):
    process = start("-c", SWALLOWS, tmp_path)
    assert process.stdout.readline() == "ready\n"
    assert len(list(tmp_path.iterdir())) == 2
    process.send_signal(signal.SIGINT)
    assert_stopped(process)
    assert list(tmp_path.iterdir()) == []


def test_two_that_are_read_at_once_are_two(tmp_path):
    process = start("-c", HURRIES)
    _, err = ended(process)
    check_stopped(process, err)


@pytest.mark.parametrize("body", ["unwinds", "swallows"])
def test_the_second_one_ends_a_training_that_does_not_come_to_its_next_step(body):
    process = start("-c", TRAINS, body)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline().startswith("stopping after this step")
    process.send_signal(signal.SIGINT)
    assert_stopped(process)


def test_two_in_quick_succession():
    process = start("-c", WAITS)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    assert ended(process) == ("", "stopped\n")


def test_where_it_is_ignored_it_stays_so():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = start("-c", WAITS)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert ended(process) == ("done\n", "")
    assert process.returncode == 0


def test_a_line_that_was_printed_is_not_lost():
    program = WAITS.replace('print("ready", flush=True)', 'print("ready")')
    process = start("-c", program)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert_stopped(process)

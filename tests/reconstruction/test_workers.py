"""Files on workers: the same bits as without, what is wrong with one does not stop the others."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oidn_jax.data import InputError, write_raw_tiff
from oidn_jax.errors import WriteError
from oidn_jax.methods import ClassicalMethod, NetworkMethod
from oidn_jax.reconstruction import Messages, Outputs, Workers, files, reconstruct_files
from tests.methods.fakes import MICROSCOPE, raw_counts, untrained

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def scheduler():
    """The address of a scheduler with two workers, all in this process."""
    import distributed

    options = {"processes": False, "dashboard_address": None, "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster:
        yield cluster.scheduler_address


def write(path, seed=0):
    return write_raw_tiff(path, raw_counts(32, 32, seed=seed)[0], pixel_size_nm=60.0)


@pytest.fixture
def run(tmp_path, scheduler, monkeypatch):
    """A function that reconstructs files of the current folder, tmp_path, on workers."""
    monkeypatch.chdir(tmp_path)

    def run(*inputs, out="out", method=None, alone=False, **outputs):
        run.said, run.warned, run.progress = [], [], []
        return reconstruct_files(
            inputs,
            method or ClassicalMethod("widefield"),
            out,
            microscope=MICROSCOPE,
            outputs=Outputs(**outputs),
            messages=Messages(run.said.append, run.warned.append, lambda *call: run.progress.append(call)),
            workers=None if alone else Workers(scheduler=scheduler),
        )

    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_the_bits_are_those_without_workers(tmp_path, run):
    names = [write(tmp_path / f"{name}.tif", seed).name for seed, name in enumerate("ab")]
    method = NetworkMethod(untrained(), tile=32)
    alone = run(*names, out="alone", method=method, alone=True, preview=True)
    lines = [line.replace("alone", "out") for line in run.said]
    written = run(*names, method=method, preview=True)
    assert [path.name for path in written] == [path.name for path in alone] == ["a_sr.tif", "b_sr.tif"]
    assert contents("out") == contents("alone")
    assert sorted(run.said) == sorted(lines)
    assert [text for text, _ in run.progress] == ["0 of 2 images", "1 of 2 images", "2 of 2 images"]
    assert [fraction for _, fraction in run.progress] == pytest.approx([0, 0.5, 1])


def test_the_other_files_go_on(tmp_path, run):
    names = [write(tmp_path / f"{name}.tif", seed).name for seed, name in enumerate(["a", "cut", "dark", "d"])]
    (tmp_path / "cut.tif").write_bytes((tmp_path / "cut.tif").read_bytes()[:-500])
    stack = raw_counts(32, 32)[0]
    stack[4] = 7
    write_raw_tiff(tmp_path / "dark.tif", stack, pixel_size_nm=60.0, overwrite=True)
    with pytest.raises(InputError, match=r"2 of 4 files could not be reconstructed, for the reasons above"):
        run(*names)
    assert sorted(contents("out")) == ["a_sr.tif", "d_sr.tif"]
    reasons = [line for line in run.warned if line.startswith(("cut.tif", "dark.tif"))]
    assert "cut.tif is truncated" in reasons[0]
    assert "dark.tif" in reasons[1]
    assert "one value everywhere" in reasons[1]
    # The rest is done when the files have been put right.
    for name in ("cut", "dark"):
        (tmp_path / f"{name}.tif").unlink()
        write(tmp_path / f"{name}.tif")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert len(run(*names, resume=True)) == 4
    assert run.said[0] == "2 of 4 images are there already; 2 are made"
    assert before.items() <= {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}.items()
    run(*names, resume=True)
    assert run.said == ["4 of 4 images are there already; 0 are made"]


def test_what_is_wrong_with_all_files_is_said_once(tmp_path, run):
    with pytest.raises(InputError, match=r"a\.tif does not exist"):
        run("a.tif", "b.tif")
    assert run.warned == []
    write(tmp_path / "a.tif")
    run("a.tif")
    with pytest.raises(InputError, match=r"a_sr\.tif exists already"):
        run("a.tif")


def test_a_full_disk_ends_it(tmp_path, run, monkeypatch):
    names = [write(tmp_path / f"{name}.tif").name for name in "abc"]

    def full(*arguments, **options):
        raise WriteError(f"out/a_sr.tif cannot be written ({os.strerror(errno.ENOSPC)})")

    monkeypatch.setattr(files, "_run", full)
    with pytest.raises(WriteError, match=r"No space left on device\) \(0 images are written, and stay\)"):
        run(*names)
    assert not (tmp_path / "out").exists()
    with pytest.raises(WriteError, match="No space left on device"):
        run(*names, alone=True)


def test_a_bug_is_raised_when_the_others_have_ended(tmp_path, run, monkeypatch):
    names, usual = [write(tmp_path / f"{name}.tif").name for name in "abc"], files._run

    def wrong(job, *arguments):
        if job.name.name == "b.tif":
            raise ZeroDivisionError("ours")
        usual(job, *arguments)

    monkeypatch.setattr(files, "_run", wrong)
    with pytest.raises(ZeroDivisionError, match="ours"):
        run(*names)
    assert sorted(contents("out")) == ["a_sr.tif", "c_sr.tif"]
    assert sum(line.startswith("b.tif: an error of this program") for line in run.warned) == 1


def test_a_folder_that_does_not_show_the_images(tmp_path, run, monkeypatch):
    monkeypatch.setattr(files, "_run", lambda *arguments: None)
    with pytest.raises(InputError, match=r"1 images .* are not there, the first out/a_sr.tif; give as `out` a folder"):
        run(write(tmp_path / "a.tif").name)


@pytest.mark.slow
def test_the_command_with_two_processes_one_killed(tmp_path):
    """One process is killed in the middle of its first file."""
    names = [write(tmp_path / f"{name}.tif", seed).name for seed, name in enumerate("abcd")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def command(out, *flags):
        words = ["reconstruct", *names, "--method=widefield", f"--out={out}", "--preview", *flags]
        program = [sys.executable, "-m", "oidn_jax.commands.main", *words]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
        return subprocess.Popen(program, env=environment, **options)

    alone = command("alone")
    assert alone.wait(1200) == 0, alone.communicate()
    process = command("out", "--workers=2")
    killed = None
    while killed is None and process.poll() is None:
        partials = list((tmp_path / "out").glob(".*.partial"))
        if partials:
            killed = int(partials[0].name.split(".")[3])
            os.kill(killed, signal.SIGKILL)
        time.sleep(0.005)
    out, err = process.communicate(timeout=1200)
    assert process.returncode == 0, err
    assert f"process {killed} has ended by signal 9; another one takes its place" in err
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")
    assert len([line for line in out.splitlines() if "pixels" in line]) == 4
    assert not [name for name in contents(tmp_path / "out") if name.startswith(".")]
    again = command("out", "--workers=2", "--resume")
    out, err = again.communicate(timeout=1200)
    assert "4 of 4 images are there already; 0 are made" in out

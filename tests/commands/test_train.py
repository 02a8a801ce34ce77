"""`oidn-jax train` with every network, and what becomes of it: images and their resolution."""

import errno
import json
import os
import re
import signal
import threading

import numpy as np
import pytest
import tifffile

import oidn_jax
from oidn_jax.acquisition import Acquisition
from oidn_jax.config import experiment_of, use_network
from oidn_jax.data import write_raw_tiff
from oidn_jax.methods import ClassicalMethod, NetworkMethod
from oidn_jax.models.networks import NETWORKS
from oidn_jax.optics.microscope import Microscope
from oidn_jax.training import checkpoint
from oidn_jax.training.checkpoint import read_record
from oidn_jax.training.loop import train
from tests.conftest import TINY
from tests.methods.fakes import raw_counts

# Those of `tiny_workdir`, so that the program is compiled once.
FIELDS = {
    **{name: {"width": 8, "groups": 1, "blocks": 1} for name in ("oidn", "dfcan", "apcan", "rcan")},
    "unet": {"widths": (4, 8)},
}


TRACKING = """
import json

def log(record):
    with open("tracked.jsonl", "a") as file:
        print(json.dumps(record), file=file)
"""


def flags(network, **changes):
    """Those of a run of 2 steps."""
    settings = {name: value for name, value in TINY.items() if not name.startswith("model.")}
    settings |= {"model.name": network, **{f"model.{name}": value for name, value in FIELDS[network].items()}}
    settings |= {"train.steps": 2, **changes}
    return ["--config=f_actin:quick", *(f"--config.{name}={value}" for name, value in settings.items())]


@pytest.mark.parametrize("network", [name for name in NETWORKS if name != "guided"])
def test_every_network_trains_loads_reconstructs_and_is_measured(tmp_path, monkeypatch, command, network):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tracking.py").write_text(TRACKING)
    code, out, err = command("train", *flags(network), "--workdir=run", "--on-metrics=tracking.py:log")
    assert (code, err) == (0, "")
    assert (tmp_path / "tracked.jsonl").read_text() == (tmp_path / "run" / "metrics.jsonl").read_text()
    assert "training on simulated data" in out
    assert re.search(r"^step 2 of 2: .*ssim", out, re.MULTILINE)
    assert read_record(tmp_path / "run", "last")["step"] == 2
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {"train", "validation"} <= {line["split"] for line in lines}
    assert list((tmp_path / "run" / "panels").glob("*.png"))

    model = oidn_jax.load("run")
    assert (model.fields["name"], model.origin["step"], model.origin["checkpoint"]) == (network, 2, "best")

    counts = raw_counts(40, 40)[0]
    write_raw_tiff(tmp_path / "cell.tif", counts, pixel_size_nm=62.6)
    code, out, err = command("reconstruct", "cell.tif", "--workdir=run", "--out=out", "--checkpoint=last")
    assert (code, out, err) == (0, "out/cell_sr.tif: 80 x 80 pixels, 31.3 nm per pixel\n", "")
    acquisition = Acquisition.of_frames(np.moveaxis(counts, 0, -1), model.microscope)
    expected = NetworkMethod(oidn_jax.load("run", checkpoint="last"))(acquisition, 0)
    np.testing.assert_array_equal(tifffile.imread("out/cell_sr.tif"), expected.pixels)

    code, out, _ = command("measure", "out/cell_sr.tif", "--no-rolling", "--json")
    assert code == 0
    assert json.loads(out)["pixel_size_nm"] == pytest.approx(31.3)


def test_a_guided_network_trains_and_reconstructs_what_no_microscope_of_its_training_recorded(
    tmp_path, monkeypatch, command
):
    monkeypatch.chdir(tmp_path)
    settings = {name: value for name, value in TINY.items() if not name.startswith("model.")}
    settings |= {"model.name": "guided", "model.widths": "(4,8)", "train.steps": 1}
    words = ["--config=f_actin:quick", *(f"--config.{name}={value}" for name, value in settings.items())]
    code, _, err = command("train", *words, "--workdir=run")
    assert (code, err) == (0, "")
    model = oidn_jax.load("run", checkpoint="last")
    assert model.guided

    counts = raw_counts(64, 72)[0][[0, 1, 2, 6, 7, 8]]  # two orientations
    write_raw_tiff(tmp_path / "cell.tif", counts, pixel_size_nm=90.0)
    flags = ["--orientations=2", "--na=1.2", "--emission-nm=600", "--otf-damping=0.5"]
    code, out, _ = command("reconstruct", "cell.tif", "--workdir=run", "--checkpoint=last", "--out=out", *flags)
    assert code == 0
    assert "out/cell_sr.tif: 128 x 144 pixels, 45 nm per pixel" in out
    microscope = Microscope(na=1.2, emission_wavelength_nm=600.0, pixel_size_nm=90.0, orientations=2, otf_damping=0.5)
    acquisition = Acquisition.of_frames(np.moveaxis(counts, 0, -1), microscope)
    expected = NetworkMethod(model)(acquisition, 0)
    np.testing.assert_array_equal(tifffile.imread("out/cell_sr.tif"), expected.pixels)
    # One step from its start it is still nearly the Wiener image.
    wiener = ClassicalMethod("wiener")(acquisition, 0).pixels
    assert np.corrcoef(expected.pixels.ravel(), wiener.ravel())[0, 1] > 0.98


def test_it_runs_off_the_main_thread_and_leaves_the_signals_alone(tmp_path, tiny_config):
    use_network(tiny_config, "unet")
    tiny_config.model.widths = (4, 8)
    tiny_config.train.update(steps=2, evaluate_every=9, checkpoint_every=2)
    handlers, outcomes = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)], []
    run = experiment_of(tiny_config).run
    thread = threading.Thread(target=lambda: outcomes.append(train(run, tmp_path, say=lambda line: None)))
    thread.start()
    thread.join()
    assert outcomes[0].finished
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


WRONG = {
    "no configuration": ([], "--config"),
    "a stray word": (["--config=er", "here"], "here"),
    "an unknown flag": (["--config=er", "--wrokdir=here"], "--wrokdir=here"),
    "an illegal value": (["--config=er", "--config.train.patch=8"], r"--config\.train\.patch is 8; .*16"),
    "a value of the simulation": (
        ["--config=er", "--config.simulation.modulation_depth=(0.9, 0.5)"],
        r"--config\.simulation\.modulation_depth is \(0\.9, 0\.5\)",
    ),
    "a value of the evaluation": (
        ["--config=er", "--config.evaluation.panels=0"],
        r"--config\.evaluation\.panels is 0",
    ),
    "a value of the network": (["--config=er", "--config.model.width=0"], r"--config\.model\.width is 0"),
    "an unknown network": (["--config=er", "--config.model.name=resnet"], r"--config\.model\.name is 'resnet'"),
    "a window of the profiler that is none": (
        ["--config=er", "--config.train.profile_steps=(3, 1)"],
        r"--config\.train\.profile_steps is \(3, 1\); .*--config\.train\.steps \(500000\)",
    ),
    "a hook that is not there": (["--config=er", "--on-metrics=nowhere.py:log"], r"--on-metrics is 'nowhere\.py:log'"),
    "a batch that devices cannot share": (
        ["--config=er", "--config.train.batch_size=3"],
        r"--config\.train\.batch_size",
    ),
    "a loss of what the network has not": (
        ["--config=er", "--config.model.name=unet", "--config.loss.weights.psf_energy=1"],
        r"--config\.loss\.weights\.psf_energy is 1",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line_and_nothing_is_written(tmp_path, monkeypatch, refused, case):
    monkeypatch.chdir(tmp_path)
    words, message = WRONG[case]
    refused(message, "train", *words)
    assert list(tmp_path.iterdir()) == []


def test_a_workdir_that_cannot_be_written(tmp_path, command):
    """Running as root, whom no permission stops, tests have no folder that cannot be written."""
    (tmp_path / "file").write_text("mine")
    code, _, err = command("train", *flags("unet"), f"--workdir={tmp_path / 'file' / 'run'}")
    assert code == 2
    assert "cannot write to the workdir" in err
    assert err.count("\n") == 1


def test_a_checkpoint_of_another_network_is_kept(tmp_path, tiny_flags, tiny_workdir, command):
    before = {path: path.stat().st_mtime_ns for path in tiny_workdir.rglob("*")}
    code, _, err = command("train", *tiny_flags, "--config.model.width=12", f"--workdir={tiny_workdir}")
    assert code == 2
    assert re.search(r"--config\.model\.width is 8 there and 12 here; use another --workdir", err)
    assert err.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in tiny_workdir.rglob("*")} == before


def test_a_training_that_diverges_ends_with_1(tmp_path, command):
    code, _, err = command(
        "train", *flags("unet", **{"train.learning_rate": 1e30, "train.steps": 4}), f"--workdir={tmp_path}"
    )
    assert code == 1
    assert re.match(r"error: the loss or its gradient was not finite .*--config\.train\.learning_rate", err)
    assert err.count("\n") == 1


def test_a_full_disk_ends_with_1(tmp_path, command, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint.ocp.Checkpointer, "save", refuse)
    code, _, err = command("train", *flags("unet"), f"--workdir={tmp_path}")
    assert code == 1
    assert re.match(r"error: the \w+ checkpoint of step 2 cannot be written to .* MB of room .*No space left", err)
    assert err.count("\n") == 1
    assert list(tmp_path.rglob(".*")) == []

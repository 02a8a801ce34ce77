"""Workdirs of version 0.1.0, whose checkpoints held `state` and `record` alone, and other sections of configuration."""

import copy
import shutil
from dataclasses import replace

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

import oidn_jax
from oidn_jax.config import experiment_of
from oidn_jax.errors import InputError
from oidn_jax.models import weights
from oidn_jax.models.networks import build_network
from oidn_jax.training import checkpoint, loop
from oidn_jax.training.old_workdir import upgraded_configuration
from oidn_jax.training.state import build_optimizer, initial_state
from tests.conftest import make_tiny_config
from tests.training.runs import assert_equal_bits, batch_at

OPTICS, FRAMES = ("na", "emission_wavelength_nm", "pixel_size_nm"), ("orientations", "phases", "scale")


def old_configuration(configuration):
    """As version 0.1.0 wrote it: optics and frames in sections of their own, and again in model and simulation."""
    old = copy.deepcopy(dict(configuration))
    microscope = old.pop("microscope")
    assert microscope.pop("otf_file") == ""
    shared = {name: microscope.pop(name) for name in OPTICS + FRAMES}
    old["optics"], old["frames"] = ({name: shared[name] for name in names} for names in (OPTICS, FRAMES))
    assert old["model"].pop("name") == "oidn"
    old["model"] |= shared
    old["simulation"] |= {**shared, **microscope, **old["simulation"].pop("camera")}
    old["data"]["path"] = ""
    return old


@pytest.fixture(scope="module")
def reference(tiny_workdir):
    """The run of today with its state after 4 steps."""
    run = experiment_of(make_tiny_config()).run
    network, optimizer = build_network(run.model, run.microscope), build_optimizer(run.train)
    like = jax.eval_shape(lambda: initial_state(run, network, optimizer))
    return run, checkpoint.read_state(tiny_workdir, "last", like=like)


@pytest.fixture(scope="module")
def old_workdir(reference, tmp_path_factory):
    """The same run as version 0.1.0 left it."""
    run, state = reference
    workdir = tmp_path_factory.mktemp("old") / "run"
    record = {
        "version": "0.1.0",
        "step": 4,
        "config": old_configuration(run.configuration),
        "scores": {"ssim": 0.7},
        "shapes": [list(leaf.shape) for leaf in jax.tree.leaves(state)],
    }
    for kind in ("best", "last"):
        with ocp.CheckpointManager(workdir / "checkpoints" / kind) as manager:
            items = ocp.args.Composite(state=ocp.args.StandardSave(state), record=ocp.args.JsonSave(record))
            manager.save(4, args=items)
    return workdir


def test_its_configuration_becomes_that_of_today(reference):
    configuration = reference[0].configuration
    upgraded = upgraded_configuration(old_configuration(configuration))
    assert upgraded == configuration
    assert checkpoint.changed_fields(configuration, upgraded) == []
    assert upgraded_configuration(configuration) is configuration


@pytest.mark.parametrize("kind", [None, "last"])
def test_it_loads(old_workdir, reference, tiny_workdir, kind):
    run, state = reference
    model = oidn_jax.load(old_workdir, checkpoint=kind)
    assert_equal_bits(model.params, state.ema_params)
    assert (model.microscope, model.normalisation, model.patch) == (run.microscope, "joint", 16)
    expected = {"version": "0.1.0", "step": 4, "specimen": "ccps", "checkpoint": kind or "best"}
    assert {name: model.origin[name] for name in expected} == expected
    frames = np.random.default_rng(0).random((1, 16, 18, 9), np.float32)
    assert_equal_bits(model(frames), oidn_jax.load(tiny_workdir, checkpoint="last")(frames))


def test_it_is_resumed_and_then_one_of_today(old_workdir, reference, tmp_path, monkeypatch):
    run, state = reference
    started, lines = [], []

    def count(state, batch):
        started.append(jax.device_get(state))
        return state.replace(step=state.step + 1), {"loss": np.float32(1.0)}

    monkeypatch.setattr(loop.parallel, "data_parallel", lambda step: count)
    longer = replace(run, train=replace(run.train, steps=5, resume_from=str(old_workdir)))
    loop.train(longer, tmp_path, batch_at=batch_at, say=lines.append)
    assert_equal_bits(started[0], state)
    assert not any("changed" in line for line in lines)
    assert any(line.startswith("resuming from step 4") for line in lines)
    assert weights.load(tmp_path).origin["step"] == 5


def test_a_damaged_one_is_told(old_workdir, tmp_path):
    shutil.copytree(old_workdir, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "checkpoints" / "last" / "4" / "state")
    with pytest.raises(InputError, match=r"last checkpoint of .* \(step 4\) is damaged"):
        oidn_jax.load(tmp_path / "copy", checkpoint="last")


def test_a_checkpoint_of_today_without_its_model_is_damaged(tiny_workdir, tmp_path):
    shutil.copytree(tiny_workdir, tmp_path / "copy")
    shutil.rmtree(weights.newest_step(tmp_path / "copy", "best") / "model")
    with pytest.raises(InputError, match=r"best checkpoint of .* is damaged"):
        oidn_jax.load(tmp_path / "copy", checkpoint="best")


def test_a_reader_of_models_alone_says_what_it_is(old_workdir):
    with pytest.raises(weights.OldWorkdir, match=r"version 0\.1\.0"):
        weights.load(old_workdir)


def test_fields_that_a_network_has_got_since_have_the_value_they_had_before():
    config = {"microscope": {}, "model": {"name": "oidn", "width": 4}}
    model = upgraded_configuration(config)["model"]
    assert (model["width"], model["attention"], model["degradation"]) == (4, "both", "psf")

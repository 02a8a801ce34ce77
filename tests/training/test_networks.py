"""Every network: it trains, its checkpoint holds a model by itself, and that gives the same image bit for bit."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

import oidn_jax
from oidn_jax.config import experiment_of, use_network
from oidn_jax.errors import InputError
from oidn_jax.models import weights
from oidn_jax.models.networks import NETWORKS, build_network, input_channels
from oidn_jax.training.checkpoint import trained_model
from oidn_jax.training.loop import train
from tests.conftest import TINY, make_tiny_config
from tests.training.runs import assert_equal_bits, batch_at, quiet

ROOT = Path(__file__).resolve().parents[2]
FIELDS = {
    "oidn": {name.removeprefix("model."): value for name, value in TINY.items() if name.startswith("model.")},
    **{name: {"width": 8, "groups": 1, "blocks": 1} for name in ("dfcan", "apcan", "rcan")},
    "unet": {"widths": (4, 8)},
    "guided": {"widths": (4, 8)},
}


def inputs_of(run):
    """Some that the network takes."""
    channels = input_channels(build_network(run.model, run.microscope))
    return np.random.default_rng(0).random((1, 16, 18, channels), np.float32)


def run_of(network):
    """Two steps of the tiny run: the same compiled program as that of `tiny_workdir`."""
    config = make_tiny_config()
    if network != config.model.name:
        use_network(config, network)
    config.model.update(FIELDS[network])
    config.train.steps = 2
    return experiment_of(config).run


@pytest.fixture(scope="module", params=NETWORKS)
def trained(request, tmp_path_factory):
    """The run, its workdir and what it has come to."""
    workdir, run = tmp_path_factory.mktemp(request.param), run_of(request.param)
    outcome = train(
        run,
        workdir,
        batch_at=partial(batch_at, channels=inputs_of(run).shape[-1]),
        evaluator=lambda model, *, figure_path: {"ssim": 0.5},
        say=quiet,
    )
    assert outcome.finished
    return run, workdir, outcome


def test_it_learns_from_every_term_of_the_loss(trained):
    run, workdir, _ = trained
    first = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[0])
    terms = {name: weight for name, weight in run.loss.weights.items() if weight}
    assert set(terms) < set(first)
    assert first["loss"] == pytest.approx(sum(weight * first[name] for name, weight in terms.items()), rel=1e-4)
    assert first["gradient_norm"] > 0


def test_the_loaded_model_gives_the_same_image_bit_for_bit(trained):
    run, workdir, outcome = trained
    expected = trained_model(run, outcome.state.evaluation_params, step=2, scores={})(inputs_of(run))
    for source in (workdir, weights.newest_step(workdir, "best") / "model"):
        model = oidn_jax.load(source)
        assert_equal_bits(model(inputs_of(run)), expected)
        assert (model.microscope, model.fields, model.origin["scores"]) == (run.microscope, run.model, {"ssim": 0.5})
    assert (oidn_jax.load(workdir).origin["checkpoint"]) == "best"


def test_a_checkpoint_holds_the_weights_by_themselves(trained):
    _, workdir, _ = trained
    for kind in weights.KINDS:
        folder = workdir / "checkpoints" / kind / "2" / "model"
        assert {path.name for path in folder.iterdir()} >= {"weights.safetensors", "model.json"}


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of the weights by themselves."""
    return Path(shutil.copytree(weights.newest_step(trained[1], "last") / "model", tmp_path / "model"))


def test_half_the_size_gives_nearly_the_same_image(trained, tmp_path):
    run, workdir, _ = trained
    model = oidn_jax.load(workdir)
    for name, half in (("whole", False), ("half", True)):
        weights.write_model(tmp_path / name, model, half=half)
    size = {name: (tmp_path / name / "weights.safetensors").stat().st_size for name in ("whole", "half")}
    assert size["half"] < 0.75 * size["whole"]  # names of leaves are in it too
    read = oidn_jax.load(tmp_path / "half")
    assert {leaf.dtype.name for leaf in jax.tree.leaves(read.params)} == {"float32"}
    expected, image = (each(inputs_of(run)).image for each in (model, read))
    np.testing.assert_allclose(image, expected, rtol=0, atol=2e-3)


def test_the_origin_says_what_it_was_trained_with(trained):
    run, workdir, outcome = trained
    simulated = trained_model(run, outcome.state.params, step=2, scores={})
    assert (simulated.range, simulated.origin["specimen"]) == (run.range, "ccps")
    assert oidn_jax.load(workdir).range is None  # of batches that were given


def flip_a_bit(folder):
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-5] ^= 1
    (folder / "weights.safetensors").write_bytes(content)


def cut_the_weights(folder):
    content = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(content[:-100])


def remove_the_weights(folder):
    (folder / "weights.safetensors").unlink()


def edit(**fields):
    """Writes other fields into the JSON, as with an editor."""

    def write(folder):
        content = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps(content | fields))

    return write


def write_another(**fields):
    """Writes a model that does not go together."""

    def write(folder):
        weights.write_model(folder, replace(oidn_jax.load(folder), **fields))

    return write


def spoil_the_weights(value):
    """Writes weights of a value, or of another type."""

    def write(folder):
        model = oidn_jax.load(folder)
        params = jax.tree.map(lambda leaf: np.full(leaf.shape, value), model.params)
        weights.write_model(folder, replace(model, params=params))

    return write


def cut_the_json(folder):
    (folder / "model.json").write_text((folder / "model.json").read_text()[:-20])


DAMAGES = {
    "a flipped bit": (flip_a_bit, "is damaged: .*SHA-256 differs"),
    "cut weights": (cut_the_weights, "is damaged: .*SHA-256 differs"),
    "no weights": (remove_the_weights, "holds no model .*weights.safetensors"),
    "a cut JSON": (cut_the_json, "model.json is damaged"),
    "an edited normalisation": (edit(normalisation="per_frame"), "is damaged: .*SHA-256 differs"),
    "an edited microscope": (edit(microscope={"na": 1.0}), "is damaged: .*SHA-256 differs"),
    "another format": (edit(format="oidn_jax model 9"), "model.json is of another version"),
    "another network": (write_another(fields={"name": "unet", "widths": [8, 8]}), "the network needs"),
    "an unknown network": (write_another(fields={"name": "gan"}), "`name` is 'gan'; legal: 'oidn', 'unet'"),
    "an unknown field": (write_another(fields={"name": "unet", "depth": 2}), "`depth` is 2; the network 'unet' has"),
    "an unknown normalisation": (write_another(normalisation="none"), "normalisation 'none'; legal: joint"),
    "a patch too small": (write_another(patch=8), "patch 8"),
    "weights of another type": (spoil_the_weights(np.int32(1)), "int32.*the network needs .*float32"),
    "weights that are NaN": (spoil_the_weights(np.float32(np.nan)), "NaN or infinite"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("trained", ["unet"], indirect=True)
def test_a_model_that_cannot_be_used_is_told(folder, damage):
    do, message = DAMAGES[damage]
    do(folder)
    with pytest.raises(InputError, match=message):
        oidn_jax.load(folder)


@pytest.mark.parametrize("trained", ["unet"], indirect=True)
def test_a_name_is_that_of_weights_that_come_with_the_package(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "SHIPPED", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"come with the package \(none yet\)"):
        oidn_jax.load("tiny_unet")
    model = oidn_jax.load(trained[1], checkpoint="last")
    weights.write_model(tmp_path / "weights" / "tiny_unet", replace(model, origin={"name": "tiny"}))
    named = oidn_jax.load("tiny_unet")
    with pytest.raises(InputError, match=r"`checkpoint` is 'last'; .*no training run"):
        oidn_jax.load("tiny_unet", checkpoint="last")
    with pytest.raises(InputError, match=r"`checkpoint` is 'best'; .*no training run"):
        oidn_jax.load(tmp_path / "weights" / "tiny_unet", checkpoint="best")
    assert named.origin == {"name": "tiny"}
    assert_equal_bits(named.params, model.params)
    assert weights.shipped_names() == ["tiny_unet"]
    with pytest.raises(InputError, match=r"come with the package \(tiny_unet\)"):
        oidn_jax.load("tiny_net")


@pytest.mark.parametrize("trained", ["unet"], indirect=True)
def test_reading_a_model_needs_no_optimiser_and_no_orbax(trained):
    program = (
        "import sys; from oidn_jax.models import weights; model = weights.load(sys.argv[1]); "
        "print(model.label, sorted({'orbax', 'optax', 'ml_collections', 'matplotlib'} & set(sys.modules)))"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", program, str(trained[1])], cwd=ROOT, env=os.environ, capture_output=True, text=True
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout == "U-Net []\n"


@pytest.mark.parametrize("trained", ["unet"], indirect=True)
def test_parameters_are_float32_however_they_are_computed(trained):
    run, _, outcome = trained
    model = trained_model(run, outcome.state.evaluation_params, step=2, scores={})
    coarse = replace(model, fields={**model.fields, "dtype": "bfloat16"})
    image, coarse_image = model(inputs_of(run)).image, coarse(inputs_of(run)).image
    assert {leaf.dtype for leaf in jax.tree.leaves(coarse.params)} == {np.dtype("float32")}
    difference = float(np.abs(image - coarse_image).max() / np.abs(image).max())
    assert 0 < difference < 0.05

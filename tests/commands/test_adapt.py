"""`oidn-jax adapt`: what it writes, what it refuses."""

import re
from dataclasses import replace

import jax
import numpy as np
import pytest

from oidn_jax import load
from oidn_jax.data import write_raw_tiff
from oidn_jax.models.networks import initial_params
from oidn_jax.models.weights import write_model
from tests.acquisition.simulated import MICROSCOPE, PIXEL_NM, counts
from tests.methods.fakes import untrained

OPTICS = ("--na=1.3", "--emission-nm=525", "--otf-damping=1")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder: raw frames of spots and of nothing, weights of a guided network and of another."""
    monkeypatch.chdir(tmp_path)
    write_raw_tiff(tmp_path / "cell.tif", counts(), pixel_size_nm=PIXEL_NM)
    noise = np.random.default_rng(0).poisson(100.0, counts().shape).astype(np.uint16)
    write_raw_tiff(tmp_path / "noise.tif", noise, pixel_size_nm=PIXEL_NM)
    model = untrained("guided", microscope=MICROSCOPE)
    write_model(tmp_path / "weights", replace(model, params=initial_params(model.network, jax.random.key(0))))
    write_model(tmp_path / "other", untrained("unet", microscope=MICROSCOPE))
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    return tmp_path


WRONG = {
    "no output": (["cell.tif", "--workdir=weights"], "required: --out"),
    "weights that are not there": (["cell.tif", "--workdir=none", "--out=out"], "there is no folder none"),
    "no guided network": (["cell.tif", "--workdir=other", "--out=out"], "a guided network can be adapted, not 'unet'"),
    "no raw frames": (["weights/model.json", "--workdir=weights", "--out=out"], r"model\.json"),
    "no stripes": (["noise.tif", "--workdir=weights", "--out=out", *OPTICS], "stripes are not certain"),
    "weights that are there": (["cell.tif", "--workdir=weights", "--out=other"], "exists already.*--overwrite"),
    "a training run": (["cell.tif", "--workdir=weights", "--out=run"], "run is a training run"),
    "a file": (["cell.tif", "--workdir=weights", "--out=cell.tif"], r"cell\.tif is a file"),
    "no steps": (["cell.tif", "--workdir=weights", "--out=out", "--steps=0"], "--steps is 0"),
    "too few of a pair": (
        ["cell.tif", "cell.tif", "--workdir=weights", "--out=out", "--pair=cell.tif", *OPTICS],
        "2 acquisitions and 1 of --pair",
    ),
    "a pair of one exposure": (
        ["cell.tif", "--workdir=weights", "--out=out", "--pair=cell.tif", *OPTICS],
        "not a brighter image of the same field",
    ),
    "a harmonic of a known pattern": (
        ["cell.tif", "--workdir=weights", "--out=out", "--illumination=a", "--harmonic=1"],
        "--harmonic is said by",
    ),
    "a change of no microscope": (
        ["cell.tif", "--workdir=weights", "--out=out", "--config=er", "--config.train.steps=3"],
        r"--config\.train\.steps has no use",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line_and_nothing_is_written(folder, command, case):
    words, pattern = WRONG[case]
    before = sorted(folder.rglob("*"))
    code, out, err = command("adapt", *words)
    (line,) = [line for line in err.splitlines() if not line.startswith("warning: ")]
    assert (code, out) == (2, "")
    assert re.search(pattern, line), line
    assert sorted(folder.rglob("*")) == before


def test_what_it_writes_is_a_model_that_says_what_it_learned_from(folder, command):
    code, out, err = command("adapt", "cell.tif", "--workdir=weights", "--out=out", "--steps=25", "--seed=3", *OPTICS)
    assert (code, err) == (0, "")
    assert out.startswith("out: step 25 of 25, held-out loss ")
    model = load(folder / "out")
    (to,) = model.origin["adapted"]
    assert (to["files"], to["seed"], to["step"]) == (["cell.tif"], 3, 25)
    given = jax.tree.leaves(load(folder / "weights").params)
    assert any((a != b).any() for a, b in zip(jax.tree.leaves(model.params), given, strict=True))


def test_where_nothing_gets_better_nothing_is_written_and_it_says_so(folder, command, monkeypatch):
    monkeypatch.setattr("oidn_jax.training.adaptation._error_of_mean", lambda values: 1e9)
    code, out, err = command("adapt", "cell.tif", "--workdir=weights", "--out=out", "--steps=1", *OPTICS)
    assert (code, out) == (1, "")
    assert err == "none of 1 steps is better than the weights given: nothing is written\n"
    assert not (folder / "out").exists()

"""Training and evaluation on measured data through the commands, on exported cells and on real exposures."""

import csv
import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest

import oidn_jax
from oidn_jax.optics.microscope import Microscope
from oidn_jax.simulation.export.biosr import Export, export_cells
from oidn_jax.simulation.settings import Simulation
from tests.conftest import TINY, make_tiny_config
from tests.data.trees import write_real_tree

DATA = os.environ.get("OIDN_TEST_DATA")
SPLIT = {"training": "2-3", "validation": "1", "test": "4-5"}
SETTINGS = {name: value for name, value in TINY.items() if not name.startswith("model.")}
SETTINGS |= {"model.name": "unet", "model.widths": "(4,8)", "train.steps": 2, "evaluation.scenes": 1}


def flags(**changes):
    settings = SETTINGS | {f"data.split.{name}": cells for name, cells in SPLIT.items()} | changes
    return ["--config=f_actin:quick", *(f"--config.{name}={value}" for name, value in settings.items())]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Exported cells of pits at three levels."""
    from oidn_jax.config import experiment_of

    out = tmp_path_factory.mktemp("export")
    settings = experiment_of(make_tiny_config()).run.simulation.settings
    settings = replace(
        settings, mean_photons=(20.0, 60.0, 300.0), fluorescence={"low": (1,), "medium": (2,), "high": (3,)}
    )
    for _ in export_cells(
        Export(Simulation(settings, Microscope()), out, cells=5, size=32, patches=2, patch=16), say=lambda line: None
    ):
        pass
    return out


@pytest.fixture(scope="module")
def workdir(tree, tmp_path_factory):
    return tmp_path_factory.mktemp("run") / "run"


def test_the_root_is_all_that_is_set(tree, workdir, command, monkeypatch):
    monkeypatch.setenv("BIOSR_ROOT", str(tree))
    code, out, err = command("train", *flags(), f"--workdir={workdir}")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"CCPs (BioSR): 5 cells (1-5) at 3 levels (1-3), 15 acquisitions, of {tree}"
    assert lines[1:3] == ["training: 6 acquisitions of the cells 2-3", "validation: 3 acquisitions of the cells 1"]
    assert "training on measured data" in out
    assert re.search(r"^step 2 of 2: .*ssim", out, re.MULTILINE)
    model = oidn_jax.load(workdir)
    assert model.origin["data"] == "measured"
    assert model.origin["measured"]["cells"] == {"training": "2-3", "validation": "1"}
    assert model.configuration["data"]["split"] == SPLIT
    assert "range" not in model.origin


def test_the_test_cells_are_evaluated_level_by_level(tree, workdir, tmp_path, command):
    words = (f"--config.data.root={tree}", f"--workdir={workdir}", "--methods=widefield,network")
    code, out, err = command("evaluate", *flags(), *words, f"--out={tmp_path / 'out'}")
    assert (code, err) == (0, "")
    assert "test: 6 acquisitions of the cells 4-5" in out
    with (tmp_path / "out" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["level"], row["cell"], row["signal_level"]) for row in rows if row["method"] == "unet"] == [
        (f"level_{level:02d}", f"Cell_{cell:03d}", str(level)) for level in (1, 2, 3) for cell in (4, 5)
    ]
    assert all(np.isfinite(float(row["minmax_psnr"])) for row in rows)
    result = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert not any("was trained on some of these cells" in line for line in result["remarks"])
    assert "measured cells (Cell_004 to Cell_005)" in (tmp_path / "out" / "report.html").read_text()

    other = {"data.split.training": "1", "data.split.validation": "", "data.split.test": "3-4"}
    code, out, _ = command("evaluate", *flags(**other), *words, f"--out={tmp_path / 'other'}")
    assert code == 0
    assert "unet was trained on some of these cells: 3" in out


def test_an_empty_root_simulates(tree, command, monkeypatch, refused):
    monkeypatch.setenv("BIOSR_ROOT", "nowhere")
    refused("nowhere does not exist", "train", *flags())
    refused("measured data are of one specimen and microscope, .*`variety` names others", "train", "--config=guided")
    refused(r"--config\.model\.width is 0", "train", "--config=er", "--config.data.root=", "--config.model.width=0")


def test_mistakes_are_one_line(tree, tmp_path, refused):
    root = f"--config.data.root={tree}"
    away = flags(**{"data.split.training": "6-35"})
    refused(r"--config\.data\.split\.training is '6-35'; .* has the cells 1-5", "train", *away, root)
    refused("holds CCPs, but nothing of ER", "train", *flags(**{"simulation.specimen": "er"}), root)
    words = (f"--out={tmp_path}", "--methods=widefield")
    refused("--specimens is of simulated scenes", "evaluate", *flags(), root, *words, "--specimens=er")
    refused("nothing can be learned|has the cells", "evaluate", *flags(**{"data.split.test": "9"}), root, *words)


@pytest.mark.skipif(DATA is None, reason="OIDN_TEST_DATA names no folder of real acquisitions")
def test_real_exposures_are_trained_on(tmp_path, command):
    root = write_real_tree(tmp_path / "real", DATA, levels=(2, 6, 12), cells=(1, 6, 36))
    changes = {"simulation.specimen": "f_actin", "data.split.training": "6", "data.split.test": "36"}
    code, out, err = command("train", *flags(**changes), f"--config.data.root={root}", f"--workdir={tmp_path / 'run'}")
    assert (code, err) == (0, "")
    assert "F-actin (BioSR): 3 cells (1, 6, 36) at 3 levels (2, 6, 12), 9 acquisitions" in out
    assert "doubtful" not in out

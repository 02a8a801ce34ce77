"""The exported data set: BioSR's layout, readable by others, true to its JSON, reproducible, refused where wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import mrc
import numpy as np
import pytest

from oidn_jax.data import InputError, read_raw_stack
from oidn_jax.data.mrc import read_mrc_header
from oidn_jax.optics import forward
from oidn_jax.optics.grid import bin_pixels
from oidn_jax.optics.illumination import Illumination
from oidn_jax.simulation.acquisition import optical_transfer
from oidn_jax.simulation.export.biosr import Export, export_cells
from oidn_jax.simulation.settings import AcquisitionSettings

ROOT = Path(__file__).resolve().parents[2]
LEVELS = {"mean_photons": (20.0, 60.0, 300.0), "fluorescence": {"low": (1,), "medium": (2,), "high": (3,)}}
SETTINGS = AcquisitionSettings(
    specimen="ccps", density=(2.0, 3.0), margin=8, background=(0.0, 0.0), illumination_na=1.35, **LEVELS
)


def export(out, *, settings=SETTINGS, **options):
    options = {"cells": 2, "size": 48, "patches": 3, "patch": 24} | options
    lines = []
    folders = list(export_cells(Export(settings, out, **options), say=lines.append))
    return folders, lines


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    out = tmp_path_factory.mktemp("export")
    export(out)
    return out


@pytest.fixture(scope="module")
def er_tree(tmp_path_factory):
    out = tmp_path_factory.mktemp("export")
    export(out, settings=AcquisitionSettings(specimen="er", density=(2.0, 3.0), margin=8, **LEVELS), patches=0, cells=1)
    return out


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_layout_is_that_of_biosr(tree):
    assert sorted(path.name for path in (tree / "CCPs").iterdir()) == ["Cell_001", "Cell_002"]
    raw = [f"RawSIMData_level_{level:02d}.mrc" for level in (1, 2, 3)]
    assert names(tree / "CCPs" / "Cell_001") == sorted(
        [*raw, "RawSIMData_gt.mrc", "SIM_gt.mrc", "Truth.mrc", "truth.json"]
    )


def test_the_reticulum_has_a_target_for_each_level(er_tree):
    expected = [
        f"{kind}/{kind}_level_{level:02d}.mrc"
        for kind in ("RawSIMData", "RawGTSIMData", "GTSIM", "Truth")
        for level in (1, 2, 3)
    ]
    assert names(er_tree / "ER" / "Cell_001") == sorted([*expected, "truth.json"])
    assert not (er_tree / "patches").exists()


def test_files_are_read_by_us_and_by_others(tree):
    cell = tree / "CCPs" / "Cell_001"
    stack = read_raw_stack(cell / "RawSIMData_level_02.mrc")
    assert stack.frames.shape == (1, 9, 48, 48)
    assert stack.frames.dtype == np.uint16
    np.testing.assert_allclose(stack.pixel_size_nm, 62.6, rtol=1e-5)
    np.testing.assert_array_equal(stack.frames[0], mrc.imread(str(cell / "RawSIMData_level_02.mrc")))
    target = mrc.imread(str(cell / "SIM_gt.mrc"))
    assert target.shape[-2:] == (96, 96)
    assert target.max() == 60000
    np.testing.assert_allclose(read_mrc_header(cell / "SIM_gt.mrc").pixel_size_nm, 31.3, rtol=1e-5)


def illumination_of(level):
    """The illumination in the JSON, as an outsider would take it from there."""
    names = ("wave_vector_yx_cycles_per_pixel", "phase_rad", "modulation_depth", "brightness")
    return Illumination(*(jnp.asarray(level[name], jnp.float32) for name in names))


def test_truth_and_illumination_explain_the_raw_frames(tree):
    """The object in the file, under the illumination in the JSON, gives the bright frames within their noise."""
    cell = tree / "CCPs" / "Cell_001"
    truth = json.loads((cell / "truth.json").read_text())
    specimen = jnp.asarray(np.array(mrc.imread(str(cell / "Truth.mrc"))).reshape(96, 96))
    illumination = illumination_of(truth["levels"]["03"])
    frames = forward.form_raw_frames(specimen, illumination, optical_transfer(SETTINGS, (48, 48)), scale=2)
    counts = read_raw_stack(cell / "RawSIMData_gt.mrc").frames[0].astype(float) - truth["settings"]["offset"]
    inside = np.s_[:, 10:-10, 10:-10]  # what lies beyond the field is not in the file
    a, b = np.asarray(frames)[inside].ravel(), counts[inside].ravel()
    np.testing.assert_allclose(np.corrcoef(a, b)[0, 1], 1.0, atol=2e-3)
    turned = illumination._replace(phase=illumination.phase + 0.5)
    wrong = forward.form_raw_frames(specimen, turned, optical_transfer(SETTINGS, (48, 48)), scale=2)
    assert np.corrcoef(np.asarray(wrong)[inside].ravel(), b)[0, 1] < np.corrcoef(a, b)[0, 1] - 1e-3


def test_the_json_tells_level_grid_and_seed(tree):
    truth = json.loads((tree / "CCPs" / "Cell_002" / "truth.json").read_text())
    assert [level["mean_photons"] for level in truth["levels"].values()] == [20.0, 60.0, 300.0]
    assert truth["seed"] == 0
    assert "(j + 1/2) / scale - 1/2" in truth["grid"]
    level = truth["levels"]["01"]
    np.testing.assert_allclose(level["period_nm"], 180.7, rtol=0.02)
    assert level["drift_sr_pixels"] == [0, 0]


def test_levels_differ_in_noise_and_cells_in_scene(tree):
    def frames(cell, level):
        return read_raw_stack(tree / "CCPs" / f"Cell_{cell:03d}" / f"RawSIMData_level_{level:02d}.mrc").frames.astype(
            float
        )

    assert frames(1, 3).mean() > frames(1, 1).mean() + 5
    assert np.corrcoef(frames(1, 3).mean((0, 1)).ravel(), frames(2, 3).mean((0, 1)).ravel())[0, 1] < 0.6


def test_the_reticulum_moves_and_its_target_with_it(er_tree):
    cell = er_tree / "ER" / "Cell_001"
    drifts = [level["drift_sr_pixels"] for level in json.loads((cell / "truth.json").read_text())["levels"].values()]
    assert drifts[0] == [0, 0]
    assert drifts[2] != [0, 0]
    truth = [np.array(mrc.imread(str(cell / "Truth" / f"Truth_level_{i:02d}.mrc"))).reshape(96, 96) for i in (1, 3)]
    moved = np.roll(truth[0], drifts[2], (0, 1))[30:-30, 30:-30]
    np.testing.assert_allclose(truth[1][30:-30, 30:-30], moved, atol=1e-5)
    target = np.array(mrc.imread(str(cell / "GTSIM" / "GTSIM_level_03.mrc"))).reshape(96, 96).astype(np.float32)
    raw = read_raw_stack(cell / "RawSIMData" / "RawSIMData_level_03.mrc").frames[0].mean(0)
    assert np.corrcoef(np.ravel(bin_pixels(jnp.asarray(target), scale=2)), raw.ravel())[0, 1] > 0.5


def test_patches_are_split_by_cell(tree):
    folder = tree / "patches" / "CCPs"
    assert names(folder / "validate_gt") == names(folder / "training_gt") == [f"{i:08d}.tif" for i in (1, 2, 3)]
    assert names(folder / "training" / "00000001") == [f"{i}.tif" for i in range(1, 10)]


def test_the_same_seed_gives_the_same_files(tree, tmp_path):
    export(tmp_path, cells=1, patches=0)
    for name in ("RawSIMData_level_01.mrc", "SIM_gt.mrc", "truth.json"):
        ours, theirs = (root / "CCPs" / "Cell_001" / name for root in (tmp_path, tree))
        assert ours.read_bytes() == theirs.read_bytes(), name


def test_existing_data_are_kept_unless_told(tree):
    before = (tree / "CCPs" / "Cell_001" / "SIM_gt.mrc").read_bytes()
    with pytest.raises(InputError, match="holds data already; give --overwrite"):
        export(tree, seed=5)
    assert (tree / "CCPs" / "Cell_001" / "SIM_gt.mrc").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cells": 0}, "--cells is 0; it must be from 1 to 999"),
        ({"patch": 64}, "--size is 48 and --patch 64"),
        ({"seed": -1}, "--seed -1; neither may be negative"),
    ],
)
def test_wrong_numbers_are_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        export(tmp_path, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out=x"], "give either --specimen=NAME"),
        (["--specimen=er"], "--out is missing"),
        (["--specimen=liver", "--out=x"], "specimen"),
        (["--specimen=er", "--config=configs/er.py", "--out=x"], "give either --specimen=NAME"),
    ],
)
def test_wrong_flags_are_one_line(tmp_path, arguments, message):
    command = [sys.executable, "-m", "oidn_jax.simulation.export", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    outcome = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("error: ")
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1

"""The exported data set: BioSR's layout, readable by others, true to its JSON, reproducible, refused where wrong."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax.numpy as jnp
import mrc
import numpy as np
import pytest
from tifffile import imread

from oidn_jax.data.mrc import open_mrc
from oidn_jax.data.raw_stack import open_raw_stack
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.optics import forward
from oidn_jax.optics.grid import bin_pixels
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.microscope import Microscope
from oidn_jax.optics.noise import Camera
from oidn_jax.simulation.export.biosr import Export, export_cells
from oidn_jax.simulation.settings import Simulation, SimulationSettings

MICROSCOPE = Microscope()
SETTINGS = SimulationSettings(
    specimen="ccps",
    density=(2.0, 3.0),
    margin=8,
    background=(0.5, 1.0),
    illumination_na=1.35,
    mean_photons=(20.0, 60.0, 300.0),
    fluorescence={"low": (1,), "medium": (2,), "high": (3,)},
)


def order(
    out, *, settings=SETTINGS, microscope=MICROSCOPE, cells=2, size=48, patches=3, patch=24, seed=0, overwrite=False
):
    return Export(
        Simulation(settings, microscope),
        out,
        cells=cells,
        size=size,
        patches=patches,
        patch=patch,
        seed=seed,
        overwrite=overwrite,
    )


def export(*arguments, **options):
    lines = []
    for _ in export_cells(order(*arguments, **options), say=lines.append):
        pass
    return lines


def raw_frames(path, *, phases=3):
    return open_raw_stack(path, phases=phases).read(0)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    out = tmp_path_factory.mktemp("export")
    export(out)
    return out


@pytest.fixture(scope="module")
def er_tree(tmp_path_factory):
    out = tmp_path_factory.mktemp("export")
    export(out, settings=dataclasses.replace(SETTINGS, specimen="er", background=(0.0, 1.0)), patches=0, cells=1)
    return out


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_layout_is_that_of_biosr(tree):
    assert sorted(path.name for path in (tree / "CCPs").iterdir()) == ["Cell_001", "Cell_002", "export.json"]
    raw = [f"RawSIMData_level_{level:02d}.mrc" for level in (1, 2, 3)]
    assert names(tree / "CCPs" / "Cell_001") == sorted(
        [*raw, "RawSIMData_gt.mrc", "SIM_gt.mrc", "Truth.mrc", "Background.mrc", "truth.json"]
    )


def test_the_reticulum_has_a_target_for_each_level(er_tree):
    expected = [
        f"{kind}/{kind}_level_{level:02d}.mrc"
        for kind in ("RawSIMData", "RawGTSIMData", "GTSIM", "Truth")
        for level in (1, 2, 3)
    ]
    assert names(er_tree / "ER" / "Cell_001") == sorted([*expected, "Background.mrc", "truth.json"])
    assert not (er_tree / "patches").exists()


def test_files_are_read_by_us_and_by_others(tree):
    cell = tree / "CCPs" / "Cell_001"
    stack = open_raw_stack(cell / "RawSIMData_level_02.mrc")
    assert stack.shape == (1, 9, 48, 48)
    assert stack.dtype == np.uint16
    np.testing.assert_allclose(stack.pixel_size_nm, 62.6, rtol=1e-5)
    np.testing.assert_array_equal(stack.read(0), mrc.imread(str(cell / "RawSIMData_level_02.mrc")))
    target = mrc.imread(str(cell / "SIM_gt.mrc"))
    assert target.shape[-2:] == (96, 96)
    assert target.max() == 60000
    np.testing.assert_allclose(open_mrc(cell / "SIM_gt.mrc").pixel_size_nm, 31.3, rtol=1e-5)


def illumination_of(level):
    """The illumination in the JSON, as an outsider would take it from there."""
    names = ("wave_vector_yx_cycles_per_pixel", "phase_rad", "modulation_depth", "brightness")
    return Illumination(*(jnp.asarray(level[name], jnp.float32) for name in names))


@pytest.fixture(scope="module")
def three_beam_tree(tmp_path_factory):
    out = tmp_path_factory.mktemp("export")
    settings = dataclasses.replace(SETTINGS, first_harmonic=(0.2, 0.4), modulation_depth=(0.5, 0.9))
    export(out, settings=settings, microscope=Microscope(phases=5), patches=0, cells=1)
    return out


@pytest.mark.parametrize(
    ("beams", "file", "light"),
    [
        ("tree", "gt", "bright_photons_per_unit"),
        ("tree", "level_03", "photons_per_unit"),
        ("three_beam_tree", "level_03", "photons_per_unit"),
    ],
)
def test_truth_and_illumination_explain_the_raw_frames(request, beams, file, light):
    """From files and JSON alone, as an outsider would: the frames within their noise, chi^2 / pixel = 1."""
    cell = request.getfixturevalue(beams) / "CCPs" / "Cell_001"
    truth = json.loads((cell / "truth.json").read_text())
    level, camera = truth["levels"]["03"], truth["settings"]["simulation"]["camera"]
    specimen = jnp.asarray(np.array(mrc.imread(str(cell / "Truth.mrc"))).reshape(96, 96))
    background = jnp.asarray(np.array(mrc.imread(str(cell / "Background.mrc"))).reshape(48, 48))
    phases = truth["settings"]["microscope"]["phases"]
    counts = raw_frames(cell / f"RawSIMData_{file}.mrc", phases=phases).astype(float)
    electrons = (counts - camera["offset"]) / camera["gain"]
    otf = jnp.asarray(MICROSCOPE.fine_otf(48, 48), jnp.float32)

    def misfit(illumination):
        bands = forward.form_bands(specimen, illumination.wave_vector, otf, scale=2)
        expected = level[light] * np.asarray(forward.mix_bands(bands, illumination, background=background))
        inside = np.s_[:, 16:-16, 16:-16]  # what lies beyond the field is not in the file
        variance = expected[inside] + camera["read_noise"] ** 2 + 1 / 12
        return np.mean((electrons[inside] - expected[inside]) ** 2 / variance)

    illumination = illumination_of(level)
    np.testing.assert_allclose(misfit(illumination), 1.0, atol=0.1)
    assert misfit(illumination._replace(phase=illumination.phase + 0.3)) > misfit(illumination) + 0.1


def test_the_json_tells_level_grid_and_seed(tree):
    truth = json.loads((tree / "CCPs" / "Cell_002" / "truth.json").read_text())
    assert [level["mean_photons"] for level in truth["levels"].values()] == [20.0, 60.0, 300.0]
    assert truth["seed"] == 0
    assert "(j + 1/2) / scale - 1/2" in truth["grid"]
    level = truth["levels"]["01"]
    np.testing.assert_allclose(level["period_nm"], 180.7, rtol=0.02)
    assert level["drift_sr_pixels"] == [0, 0]
    assert "photons_per_unit * max(bin" in truth["model"]


def test_levels_differ_in_noise_and_cells_in_scene(tree):
    def frames(cell, level):
        return raw_frames(tree / "CCPs" / f"Cell_{cell:03d}" / f"RawSIMData_level_{level:02d}.mrc").astype(float)

    assert frames(1, 3).mean() > frames(1, 1).mean() + 5
    assert np.corrcoef(frames(1, 3).mean(0).ravel(), frames(2, 3).mean(0).ravel())[0, 1] < 0.6


def test_the_reticulum_moves_and_its_target_with_it(er_tree):
    cell = er_tree / "ER" / "Cell_001"
    drifts = [level["drift_sr_pixels"] for level in json.loads((cell / "truth.json").read_text())["levels"].values()]
    assert drifts[0] == [0, 0]
    assert drifts[2] != [0, 0]
    truth = [np.array(mrc.imread(str(cell / "Truth" / f"Truth_level_{i:02d}.mrc"))).reshape(96, 96) for i in (1, 3)]
    moved = np.roll(truth[0], drifts[2], (0, 1))[30:-30, 30:-30]
    np.testing.assert_allclose(truth[1][30:-30, 30:-30], moved, atol=1e-5)
    target = np.array(mrc.imread(str(cell / "GTSIM" / "GTSIM_level_03.mrc"))).reshape(96, 96).astype(np.float32)
    raw = raw_frames(cell / "RawSIMData" / "RawSIMData_level_03.mrc").mean(0)
    assert np.corrcoef(np.ravel(bin_pixels(jnp.asarray(target), scale=2)), raw.ravel())[0, 1] > 0.5


def test_patches_are_split_by_cell(tree):
    folder = tree / "patches" / "CCPs"
    assert names(folder / "validate_gt") == names(folder / "training_gt") == [f"{i:08d}.tif" for i in (1, 2, 3)]
    assert names(folder / "training" / "00000001") == [f"{i}.tif" for i in range(1, 10)]


def test_the_same_seed_gives_the_same_files(tree, tmp_path):
    export(tmp_path, cells=1, patches=0)
    for name in ("RawSIMData_level_01.mrc", "SIM_gt.mrc", "Background.mrc"):
        ours, theirs = (root / "CCPs" / "Cell_001" / name for root in (tmp_path, tree))
        assert ours.read_bytes() == theirs.read_bytes(), name


def test_patches_tell_where_they_come_from(tree):
    """Cell, level and corner of each: cut there, the raw frames are the patch, up to the scaling of the whole stack."""
    patches = json.loads((tree / "patches" / "CCPs" / "truth.json").read_text())["patches"]
    assert len(patches) == 6
    known = patches["training/00000002"]
    assert known["cell"] == "Cell_002"
    y, x = known["corner_yx"]
    stack = raw_frames(tree / "CCPs" / known["cell"] / f"RawSIMData_level_{known['level']:02d}.mrc")
    scaled = np.rint((stack.astype(float) - stack.min()) * 65535 / (stack.max() - stack.min()))
    patch = imread(tree / "patches" / "CCPs" / "training" / "00000002" / "4.tif")
    np.testing.assert_array_equal(patch.reshape(24, 24), scaled[3, y : y + 24, x : x + 24])


def test_a_stopped_export_goes_on_and_ends_as_if_it_had_not_stopped(tree, tmp_path):
    cells = export_cells(order(tmp_path), say=lambda line: None)
    first = next(cells)
    cells.close()
    kept = (first / "SIM_gt.mrc").stat().st_mtime_ns
    (tmp_path / "CCPs" / "Cell_002").mkdir()
    (tmp_path / "CCPs" / "Cell_002" / "SIM_gt.mrc").write_bytes(b"half")
    lines = export(tmp_path)
    assert lines[0].endswith("Cell_001: complete")
    assert (first / "SIM_gt.mrc").stat().st_mtime_ns == kept
    assert names(tmp_path) == names(tree)
    for name in names(tree):
        if not name.endswith(".tif"):  # TIFF files carry the time
            assert (tmp_path / name).read_bytes() == (tree / name).read_bytes(), name


def test_another_export_is_kept_unless_told(tree, tmp_path):
    shutil.copytree(tree, tmp_path, dirs_exist_ok=True)
    before = (tmp_path / "CCPs" / "Cell_001" / "SIM_gt.mrc").read_bytes()
    with pytest.raises(InputError, match="other settings; allow `overwrite` to remove it"):
        export(tmp_path, seed=5)
    assert (tmp_path / "CCPs" / "Cell_001" / "SIM_gt.mrc").read_bytes() == before
    export(tmp_path, seed=5, cells=1, patches=0, overwrite=True)
    assert (tmp_path / "CCPs" / "Cell_001" / "SIM_gt.mrc").read_bytes() != before
    assert not (tmp_path / "CCPs" / "Cell_002").exists()
    assert not (tmp_path / "patches" / "CCPs").exists()


def test_what_is_no_export_is_never_removed(tmp_path):
    (tmp_path / "CCPs").mkdir()
    (tmp_path / "CCPs" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds data that are no export of ours"):
        export(tmp_path, overwrite=True)
    assert (tmp_path / "CCPs" / "mine.txt").read_text() == "mine"


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "CCPs").write_text("")
    with pytest.raises(InputError, match="CCPs is a file"):
        export(tmp_path)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"cells": 0}, "cells"),
        ({"patch": 64}, "patch"),
        ({"size": 8}, "size"),
        ({"seed": -1}, "seed"),
        ({"out": Path()}, "out"),
        ({"settings": dataclasses.replace(SETTINGS, camera=Camera(saturation=1e5))}, "simulation.camera.saturation"),
    ],
)
def test_wrong_numbers_are_refused(change, field):
    with pytest.raises(IllegalValue) as refusal:
        order(**{"out": Path("data"), **change})
    assert refusal.value.field == field

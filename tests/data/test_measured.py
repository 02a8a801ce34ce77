"""Measured data are found whoever laid them out, what is missing is said, and counts come back that were stretched."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from oidn_jax.data import write_priism, write_raw_tiff
from oidn_jax.data.measured import find_measured, open_raw, read_pair
from oidn_jax.data.pairs import LINEAR, NONLINEAR, parse_ranges, ranges, specimen_key
from oidn_jax.data.patch_folder import write_patch_pair
from oidn_jax.data.stretched import restore_counts
from oidn_jax.errors import InputError
from tests.data.trees import field, frames_of, stretched, write_biosr, write_frames

DATA = os.environ.get("OIDN_TEST_DATA")


def only(root):
    (measured,) = find_measured(root)
    return measured


def test_a_tree_of_specimens(tmp_path):
    write_biosr(tmp_path, cells=(1, 2, 12))
    write_biosr(tmp_path, specimen="CCPs", cells=(4,), levels=(1, 2))
    ccps, actin = find_measured(tmp_path)
    assert (ccps.name, actin.name, actin.layout, actin.recording) == ("CCPs", "F-actin", "BioSR", LINEAR)
    assert (actin.cells, actin.levels) == ([1, 2, 12], [1, 2, 3])
    assert [pair.name for pair in actin.pairs[2:4]] == ["Cell_001 level 03", "Cell_002 level 01"]
    pair = actin.pairs[3]
    cell = tmp_path / "F-actin" / "Cell_002"
    assert (pair.cell, pair.level, pair.raw, pair.target) == (
        2,
        1,
        cell / "RawSIMData_level_01.mrc",
        cell / "SIM_gt.mrc",
    )
    assert actin.missing == ()
    assert actin.describe() == "F-actin (BioSR): 3 cells (1-2, 12) at 3 levels (1-3), 9 acquisitions"


def test_the_bright_acquisition_is_never_an_input(tmp_path):
    write_biosr(tmp_path)
    write_biosr(tmp_path, specimen="ER")
    raw = [pair.raw.name for measured in find_measured(tmp_path) for pair in measured.pairs]
    assert raw
    assert all(name.startswith("RawSIMData_level_") for name in raw)


@pytest.mark.parametrize("place", ["F-actin", "."])
def test_the_folder_of_one_specimen_is_enough(tmp_path, place, monkeypatch):
    write_biosr(tmp_path)
    monkeypatch.chdir(tmp_path / "F-actin")
    assert only(tmp_path / "F-actin" if place != "." else Path()).name == "F-actin"


def test_folders_that_an_archive_brought_are_looked_into(tmp_path):
    write_biosr(tmp_path / "BioSR" / "F-actin")
    assert only(tmp_path).cells == [1, 2, 3]


def test_the_reticulum_has_a_target_of_each_level(tmp_path):
    write_biosr(tmp_path, specimen="ER", cells=(1,))
    measured = only(tmp_path)
    assert [pair.target.name for pair in measured.pairs] == [f"GTSIM_level_{n:02d}.mrc" for n in (1, 2, 3)]
    (tmp_path / "ER" / "Cell_001" / "GTSIM" / "GTSIM_level_02.mrc").unlink()
    measured = only(tmp_path)
    assert [pair.target is None for pair in measured.pairs] == [False, True, False]
    assert len(measured.missing) == 1
    assert measured.missing[0].endswith("has no GTSIM_level_02.mrc, the target of its level")


def test_nonlinear_frames_and_their_target(tmp_path):
    write_biosr(tmp_path, specimen="F-actin_Nonlinear", cells=(1,), levels=(1,), frames=25, scale=3)
    measured = only(tmp_path)
    assert measured.recording == NONLINEAR
    assert measured.pairs[0].target.name == "SIM_gt_a.mrc"
    raw, target = read_pair(measured.pairs[0], measured.recording)
    assert (raw.shape, target.shape) == ((25, 32, 32), (96, 96))


def test_what_is_missing_is_said(tmp_path):
    write_biosr(tmp_path, cells=(1, 2, 3, 4))
    cells = tmp_path / "F-actin"
    (cells / "Cell_001" / "SIM_gt.mrc").unlink()
    (cells / "Cell_002" / "RawSIMData_level_02.mrc").unlink()
    for path in (cells / "Cell_003").glob("RawSIMData_level*"):
        path.unlink()
    measured = only(tmp_path)
    assert [line.replace(str(cells), "") for line in measured.missing] == [
        "/Cell_001 has no SIM_gt.mrc, the target of its levels",
        "/Cell_002 has no raw frames of level 2, which other cells have",
        "/Cell_003 has no RawSIMData_level_NN.mrc",
    ]
    assert measured.cells == [1, 2, 4]
    assert measured.describe().endswith("8 acquisitions, not all with a target")


def test_what_is_no_measured_data_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no measured data: neither cells of BioSR"):
        find_measured(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        find_measured(tmp_path / "away")
    (tmp_path / "notes.txt").write_text("bought on Monday\n")
    with pytest.raises(InputError, match="is no list of pairs"):
        find_measured(tmp_path / "notes.txt")


def write_patches(root, split, indices, *, pages=False):
    for index in indices:
        target = field(index)
        raw, fine = frames_of(target, photons=50, seed=index), np.rint(20000 * target).astype(np.uint16)
        if pages:
            write_raw_tiff(root / split / f"{index}.tif", raw, pixel_size_nm=62.6)
            write_raw_tiff(root / f"{split}_gt" / f"{index}.tif", fine[None], pixel_size_nm=31.3)
        else:
            write_patch_pair(root, raw, fine, split=split, index=index, pixel_size_nm=62.6)


@pytest.mark.parametrize("pages", [False, True])
def test_patch_folders_in_natural_order(tmp_path, pages):
    write_patches(tmp_path, "training", (1, 2, 10), pages=pages)
    write_patches(tmp_path, "validate", (1,), pages=pages)
    measured = only(tmp_path)
    assert measured.layout == "DL-SR patches"
    numbers = [int(pair.name.rpartition("/")[2]) for pair in measured.pairs if pair.split == "training"]
    assert numbers == [1, 2, 10]
    assert [pair.split for pair in measured.pairs] == ["training"] * 3 + ["validation"]
    raw, target = read_pair(measured.pairs[1], measured.recording)
    np.testing.assert_array_equal(raw, frames_of(field(2), photons=50, seed=2))
    assert target.shape == (64, 64)
    assert "3 for training, 1 for validation, 4 acquisitions" in measured.describe()


def test_patches_without_partners_are_said(tmp_path):
    write_patches(tmp_path, "training", (1, 2))
    (tmp_path / "training_gt" / "00000002.tif").rename(tmp_path / "training_gt" / "00000003.tif")
    measured = only(tmp_path)
    assert [pair.target is None for pair in measured.pairs] == [False, True]
    assert "has no 00000002.tif, the target of" in measured.missing[0]
    assert "has no 00000003, the raw frames of" in measured.missing[1]


def test_lists_of_pairs(tmp_path):
    write_patches(tmp_path / "in it", "training", (1, 2), pages=True)
    lines = ["# made by hand", "'in it/training/1.tif' 'in it/training_gt/1.tif'", ""]
    (tmp_path / "train_list.txt").write_text("\n".join(lines) + "in it/training/2.tif\tin it/training_gt/2.tif\n")
    (tmp_path / "val.txt").write_text("'in it/training/2.tif' away.tif\n")
    measured = only(tmp_path)
    assert (measured.layout, [pair.split for pair in measured.pairs]) == ("a list of files", ["training"] * 2)
    assert len(measured.missing) == 1
    assert measured.missing[0].endswith("away.tif is missing")
    assert read_pair(measured.pairs[1], LINEAR)[0].shape == (9, 32, 32)
    assert len(only(tmp_path / "train_list.txt").pairs) == 2


@pytest.mark.parametrize("rounding", [np.rint, np.floor])
@pytest.mark.parametrize("together", [True, False])
def test_stretched_frames_become_counts_again(together, rounding):
    frames = frames_of(field(1), photons=200)
    restored = restore_counts(stretched(frames, together=together, rounding=rounding))
    low = frames.min() if together else frames.min((1, 2), keepdims=True)
    np.testing.assert_array_equal(restored.counts, frames - low)
    assert ("together" if together else "by itself") in restored.remark


def test_what_was_not_stretched_or_cannot_be_undone_is_left_alone():
    frames = frames_of(field(1), photons=200)
    assert restore_counts(frames) is None
    assert restore_counts(frames.astype(np.float32)) is None
    floats = np.random.default_rng(0).random((9, 64, 64))
    assert restore_counts(stretched(floats)) is None
    assert restore_counts(np.tile(np.uint16([0, 65535]), (9, 16, 8))) is None


def test_test_images_are_recognised_and_restored(tmp_path):
    frames = {level: frames_of(field(1), photons=50 * level, seed=level) for level in (1, 2, 10)}
    for level, of_level in frames.items():
        write_frames(tmp_path / "F-actin" / "input_raw_sim_images" / f"level_{level:02d}", stretched(of_level))
    measured = only(tmp_path)
    assert (measured.name, measured.layout, measured.levels) == ("F-actin", "DL-SR test images", [1, 2, 10])
    assert measured.describe() == "F-actin (DL-SR test images): levels 1-2, 10, 3 acquisitions, no target"
    stack = open_raw(measured.pairs[2], measured.recording)
    np.testing.assert_array_equal(stack.read(0), frames[10] - frames[10].min())
    assert "restored to counts" in stack.images.remarks[0]
    assert only(tmp_path / "F-actin" / "input_raw_sim_images").name == "F-actin"


@pytest.mark.skipif(DATA is None, reason="OIDN_TEST_DATA names no folder of real acquisitions")
@pytest.mark.parametrize("together", [True, False])
def test_real_counts_come_back_from_what_the_test_images_do_to_them(together):
    for level in (1, 6, 12):
        frames = tifffile.imread(Path(DATA) / "biosr_levels" / f"f_actin_level{level:02d}.tif")
        restored = restore_counts(stretched(frames, together=together))
        np.testing.assert_array_equal(restored.counts, frames - frames.min(None if together else (1, 2), keepdims=True))


def test_a_target_of_another_size_is_refused(tmp_path):
    write_biosr(tmp_path, cells=(1,))
    write_priism(
        tmp_path / "F-actin" / "Cell_001" / "SIM_gt.mrc",
        np.zeros((1, 64, 66), np.uint16),
        pixel_size_nm=31.3,
        overwrite=True,
    )
    measured = only(tmp_path)
    with pytest.raises(InputError, match=r"is 64 x 66 pixels, but .* 32 x 32; a target is 2 times as large"):
        read_pair(measured.pairs[0], measured.recording)


def test_numbers_in_words():
    assert ranges([7, 1, 2, 3]) == "1-3, 7"
    assert parse_ranges("1-3, 7") == {1, 2, 3, 7}
    assert parse_ranges("") == frozenset()
    for wrong in ("a", "3-1", "1-", "-1"):
        with pytest.raises(ValueError, match=wrong):
            parse_ranges(wrong)
    assert specimen_key("F-actin") == specimen_key("f_actin")

"""`oidn-jax data` on small trees of its own, and on one of real exposures where there are some."""

import json
import os
import re
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
import tifffile

from oidn_jax.data.measured import find_measured, read_pair
from oidn_jax.data.pairs import LINEAR
from oidn_jax.data.patch_folder import to_uint16
from oidn_jax.simulation.foreground import biosr_foreground_mean
from tests.data.trees import field, frames_of, stretched, write_biosr, write_frames, write_real_tree

DATA = os.environ.get("OIDN_TEST_DATA")


def photons(text):
    """The photo-electrons of each level, as printed."""
    line = next(line for line in text.splitlines() if "photo-electrons" in line)
    return [float(value) for value in re.findall(r"\d\d: ([\d.e+]+)", line)]


def test_inspect_says_what_is_there_and_draws_it(tmp_path, command):
    write_biosr(tmp_path / "data", cells=(1, 2), size=64)
    code, out, err = command("data", "inspect", tmp_path / "data", f"--out={tmp_path / 'look'}")
    assert (code, err) == (0, "")
    assert out.startswith("F-actin (BioSR): 2 cells (1-2) at 3 levels (1-3), 6 acquisitions\n")
    assert "9 frames (3 orientations x 3 phases) of 64 x 64 pixels, 62.6 nm per pixel, targets 2 times as large" in out
    assert "nothing is missing or broken: 6 acquisitions were read" in out
    light = [20 * field(cell, size=64).reshape(64, 2, 64, 2).mean((1, 3)) for cell in (1, 2)]
    expected = np.median([biosr_foreground_mean(jnp.asarray(one, jnp.float32)) for one in light])
    np.testing.assert_allclose(photons(out), expected * np.array([1.0, 2.0, 3.0]), rtol=0.3)
    assert sorted(path.name for path in (tmp_path / "look").iterdir()) == [
        "contact_F-actin.pdf",
        "contact_F-actin.png",
    ]


def test_inspect_names_what_is_broken_and_exits_with_1(tmp_path, command):
    write_biosr(tmp_path, cells=(1, 2))
    (tmp_path / "F-actin" / "Cell_001" / "SIM_gt.mrc").unlink()
    path = tmp_path / "F-actin" / "Cell_002" / "RawSIMData_level_02.mrc"
    path.write_bytes(path.read_bytes()[:-5])
    code, out, err = command("data", "inspect", tmp_path)
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert [line.strip().partition(":")[0] for line in lines[-2:]] == ["missing", "broken"]
    assert lines[-2].endswith("Cell_001 has no SIM_gt.mrc, the target of its levels")
    assert "RawSIMData_level_02.mrc is truncated" in lines[-1]


def test_inspect_restores_test_images(tmp_path, command):
    for level in (1, 2):
        frames = frames_of(field(1, size=64), photons=100 * level, seed=level)
        write_frames(tmp_path / "CCPs" / "input_raw_sim_images" / f"level_{level:02d}", stretched(frames))
    code, out, _ = command("data", "inspect", tmp_path)
    assert code == 0
    assert "CCPs (DL-SR test images): levels 1-2, 2 acquisitions, no target" in out
    assert "level_02: the frames were stretched to 16 bits together; restored to counts" in out


def test_inspect_refuses_in_one_line(tmp_path, refused):
    refused("holds no measured data", "data", "inspect", tmp_path)
    refused("action", "data", "look")


PREPARE = ("--training=2-3", "--validation=1", "--patches=7", "--validation-patches=2", "--patch=16")


def test_prepare_writes_what_dlsr_reads(tmp_path, command):
    write_biosr(tmp_path / "data")
    code, out, err = command("data", "prepare", tmp_path / "data", f"--out={tmp_path / 'out'}", *PREPARE)
    assert (code, err) == (0, "")
    assert out.endswith("F-actin: 7 patches for training and 2 patches for validation of 16 x 16 raw pixels\n")
    folder = tmp_path / "out" / "F-actin"
    measured, (patches,) = find_measured(tmp_path / "data")[0], find_measured(tmp_path / "out")
    assert [len(patches.of_split(split)) for split in ("training", "validation")] == [7, 2]
    known = json.loads((folder / "patches.json").read_text())["patches"]
    assert {known[pair.name]["cell"] for pair in patches.of_split("training")} == {2, 3}
    assert {known[pair.name]["cell"] for pair in patches.of_split("validation")} == {1}
    assert any(facts["quarter_turns"] or facts["mirrored"] for facts in known.values())
    pairs = {(pair.cell, pair.level): pair for pair in measured.pairs}
    for pair in patches.pairs:
        raw, target = read_pair(pair, LINEAR)
        facts = known[pair.name]
        whole = [to_uint16(image, "it") for image in read_pair(pairs[facts["cell"], facts["level"]], LINEAR)]
        y, x = facts["corner_yx"]
        expected = whole[0][:, y : y + 16, x : x + 16], whole[1][2 * y : 2 * y + 32, 2 * x : 2 * x + 32]
        for image, part in zip((raw, target), expected, strict=True):
            part = np.rot90(part, facts["quarter_turns"], axes=(-2, -1))
            np.testing.assert_array_equal(image, part[..., ::-1] if facts["mirrored"] else part)


def test_a_stopped_preparation_goes_on_and_another_is_kept(tmp_path, command, refused):
    write_biosr(tmp_path / "data")
    words = ("data", "prepare", tmp_path / "data", f"--out={tmp_path / 'out'}", *PREPARE)
    assert command(*words).code == 0
    folder = tmp_path / "out" / "F-actin"
    kept, gone = folder / "training_gt" / "00000001.tif", folder / "training_gt" / "00000005.tif"
    before, content = kept.stat().st_mtime_ns, tifffile.imread(gone)
    gone.unlink()
    (folder / "training" / "00000005" / "9.tif").unlink()
    assert command(*words).code == 0
    assert kept.stat().st_mtime_ns == before
    np.testing.assert_array_equal(tifffile.imread(gone), content)
    refused("holds an export with other settings; allow --overwrite", *words, "--seed=1")
    assert command(*words, "--seed=1", "--overwrite").code == 0


def test_prepare_refuses_in_one_line(tmp_path, refused, command):
    write_biosr(tmp_path / "data")
    words = ("data", "prepare", tmp_path / "data", f"--out={tmp_path / 'out'}")
    refused("share the cells 5", *words, "--training=5-6")
    refused("has the cells 1-3 at the levels 1-3, none of them for training; give its cells as --training", *words)
    refused("--patch is 8; it must be at least 16", *words, "--patch=8")
    refused("32 x 32 pixels, smaller than --patch; .*--broken", *words, *PREPARE, "--patch=64")
    for out in ("data", "data/F-actin/patches"):
        words_there = (*words[:3], f"--out={tmp_path / out}", *PREPARE, "--overwrite")
        refused("where the data are, which --overwrite could remove; give as --out a folder apart", *words_there)
    assert (tmp_path / "data" / "F-actin" / "Cell_001" / "RawSIMData_level_01.mrc").exists()
    shutil.copytree(tmp_path / "data" / "F-actin", tmp_path / "data" / "part" / "F-actin")
    refused("would be prepared into one folder; give them one by one", *words, *PREPARE)
    shutil.rmtree(tmp_path / "data" / "part")
    path = tmp_path / "data" / "F-actin" / "Cell_002" / "RawSIMData_level_02.mrc"
    path.write_bytes(b"")
    refused(r"1 of 9 acquisitions cannot be used: .*is empty \(0 bytes\)", *words, *PREPARE)
    assert not (tmp_path / "out").exists()
    code, out, _ = command(*words, *PREPARE, "--broken=skip")
    assert code == 0
    assert out.startswith("skipped: ")


@pytest.mark.skipif(DATA is None, reason="OIDN_TEST_DATA names no folder of real acquisitions")
def test_inspect_counts_real_photons(tmp_path, command):
    write_real_tree(tmp_path, DATA, levels=(1, 5, 12))
    code, out, _ = command("data", "inspect", tmp_path)
    assert code == 0, out
    weak, medium, bright = photons(out)
    # light relative to the last level: .029 and .198
    assert 0.015 < weak / bright < 0.05
    assert medium / bright == pytest.approx(0.198, rel=0.15)
    gain = float(re.search(r"([\d.]+) counts each", out)[1])
    assert gain == pytest.approx(2.1, rel=0.2)

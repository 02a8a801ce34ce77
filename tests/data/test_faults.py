"""Every way a file can be wrong is found and named, and a good tree has no fault."""

import re

import numpy as np
import pytest
import tifffile

from oidn_jax.data import write_priism
from oidn_jax.data.faults import examine_all, faults_of_pairs, faults_of_set
from oidn_jax.data.measured import find_measured
from tests.data.trees import field, frames_of, write_biosr


def faults(root):
    (measured,) = find_measured(root)
    examined = examine_all(measured.pairs, measured.recording)
    return [fault.line for fault in (*faults_of_pairs(examined), *faults_of_set(measured, examined))]


@pytest.mark.parametrize("specimen", ["F-actin", "ER"])
def test_a_good_tree_has_none(tmp_path, specimen):
    assert faults(write_biosr(tmp_path, specimen=specimen)) == []


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def garble(path):
    content = bytearray(path.read_bytes())
    content[:16] = b"\xff" * 16
    path.write_bytes(content)


def rewrite(change):
    def write(path):
        frames = frames_of(field(2), photons=40, seed=7)
        write_priism(path, np.ascontiguousarray(change(frames)), pixel_size_nm=62.6, overwrite=True)

    return write


# What is done to level 2 of cell 2, and what is said of it.
SPOILED = {
    "empty": (lambda path: path.write_bytes(b""), r"is empty \(0 bytes\)"),
    "truncated": (cut, "is truncated"),
    "corrupt": (garble, "is not an MRC file"),
    "text": (lambda path: path.write_text("404 not found " * 99), "is not an MRC file|has the MRC mode"),
    "dark": (rewrite(np.zeros_like), r"is empty: image 1 of 9 has one value everywhere \(0\), and 8 more are so"),
    "too few frames": (rewrite(lambda frames: frames[:8]), "holds 8 images"),
    "too many frames": (rewrite(lambda frames: np.concatenate([frames, frames])), "holds 18 frames; one acquisition"),
    "another size": (rewrite(lambda frames: frames[:, :30, :30]), "is 64 x 64 pixels, but .* 30 x 30"),
    "much too bright": (
        rewrite(lambda frames: 100 + (frames - 100) * 9),
        r"level_03\.mrc is darker than level 02 .* one of them is mislabelled",
    ),
}


@pytest.mark.parametrize("case", SPOILED)
def test_each_spoiled_file_is_named(tmp_path, case):
    write_biosr(tmp_path)
    spoil, message = SPOILED[case]
    path = tmp_path / "F-actin" / "Cell_002" / "RawSIMData_level_02.mrc"
    spoil(path)
    (line,) = faults(tmp_path)
    assert "Cell_002" in line
    assert re.search(message, line), line


def test_copies_are_mislabelled(tmp_path):
    write_biosr(tmp_path)
    cells = tmp_path / "F-actin"
    (cells / "Cell_003" / "RawSIMData_level_01.mrc").write_bytes(
        (cells / "Cell_002" / "RawSIMData_level_01.mrc").read_bytes()
    )
    (line,) = faults(tmp_path)
    assert line.endswith("Cell_002/RawSIMData_level_01.mrc: mislabelled")
    assert "Cell_003/RawSIMData_level_01.mrc has the pixels of" in line


def test_the_bright_acquisition_as_a_level(tmp_path):
    write_biosr(tmp_path, cells=(1,), levels=(1, 2, 3))
    cell = tmp_path / "F-actin" / "Cell_001"
    write_priism(
        cell / "RawSIMData_gt.mrc", frames_of(field(1), photons=900, seed=1), pixel_size_nm=62.6, overwrite=True
    )
    assert faults(tmp_path) == []
    (cell / "RawSIMData_level_03.mrc").write_bytes((cell / "RawSIMData_gt.mrc").read_bytes())
    (line,) = faults(tmp_path)
    assert "RawSIMData_gt.mrc, which its target was made of" in line


def test_the_target_of_another_cell(tmp_path):
    write_biosr(tmp_path, cells=(1, 2, 3, 4))
    cells = tmp_path / "F-actin"
    (cells / "Cell_004" / "SIM_gt.mrc").write_bytes((cells / "Cell_001" / "SIM_gt.mrc").read_bytes())
    assert any(
        re.search("Cell_004/SIM_gt.mrc has the pixels of .*Cell_001/SIM_gt.mrc: mislabelled", line)
        for line in faults(tmp_path)
    )


def test_a_target_of_something_else(tmp_path):
    write_biosr(tmp_path, cells=(1,))
    noise = np.random.default_rng(0).integers(0, 60000, (1, 64, 64)).astype(np.uint16)
    write_priism(tmp_path / "F-actin" / "Cell_001" / "SIM_gt.mrc", noise, pixel_size_nm=31.3, overwrite=True)
    (line,) = faults(tmp_path)
    assert re.search("Cell_001/SIM_gt.mrc shows something else than .*level_03.mrc", line)


def test_a_flipped_target(tmp_path):
    write_biosr(tmp_path, cells=(1, 2))
    path = tmp_path / "F-actin" / "Cell_002" / "SIM_gt.mrc"
    fine = np.rint(60000 * field(2) / field(2).max()).astype(np.uint16)
    write_priism(path, np.ascontiguousarray(fine[::-1])[None], pixel_size_nm=31.3, overwrite=True)
    (line,) = faults(tmp_path)
    assert re.search(r"Cell_002/SIM_gt.mrc is upside down against .*RawSIMData_level_03.mrc", line)


def test_not_a_number(tmp_path):
    write_biosr(tmp_path, cells=(1,), levels=(1,))
    folder = tmp_path / "F-actin" / "Cell_001"
    target = field(1).astype(np.float32)
    target[3, 4] = np.inf
    (folder / "SIM_gt.mrc").unlink()
    tifffile.imwrite(folder / "SIM_gt.tif", target)
    (line,) = faults(tmp_path)
    assert line.endswith("SIM_gt.tif has 1 NaN or infinite pixels")


def test_an_odd_size_among_cells(tmp_path):
    write_biosr(tmp_path, cells=(1, 2))
    write_biosr(tmp_path, cells=(3,), levels=(1,), size=24)
    (line,) = faults(tmp_path)
    assert line.endswith("RawSIMData_level_01.mrc is 24 x 24 pixels, most of its set are 32 x 32")

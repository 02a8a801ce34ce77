"""Scenes of measured cells: which cells, which levels, which part, and what should come out of them."""

import shutil

import numpy as np
import pytest

from oidn_jax.data.faults import examine_all
from oidn_jax.data.measured import find_measured, read_pair
from oidn_jax.evaluation.measured import fluorescence_groups, validation_scenes, whole_scenes
from tests.data.trees import write_biosr
from tests.evaluation.tiny import settings, simulation


def scenes(root, specimen, **fields):
    (measured,) = find_measured(root)
    return measured, validation_scenes(measured, measured.pairs, simulation(specimen), settings(**fields))


def test_cells_take_the_levels_of_a_group_in_turn(tmp_path):
    write_biosr(tmp_path, cells=(1, 2, 3), levels=(1, 2, 3, 4, 5, 6), size=40)
    measured, made = scenes(tmp_path, "f_actin", scenes=2, size=24)
    assert (made.specimen, made.names) == ("f_actin", ("Cell_001", "Cell_002"))
    assert made.signal_level == {"low": (1, 2), "medium": (3, 4), "high": (5, 6)}
    pairs = {(pair.cell, pair.level): pair for pair in measured.pairs}
    for name, numbers in made.signal_level.items():
        assert made.raw_frames[name].shape == (2, 24, 24, 9)
        for scene, level in enumerate(numbers):
            raw, target = read_pair(pairs[scene + 1, level], measured.recording)
            windows = np.lib.stride_tricks.sliding_window_view(raw, (24, 24), axis=(1, 2))
            part = np.moveaxis(made.raw_frames[name][scene], -1, 0)
            (places,) = np.argwhere((windows == part[:, None, None]).all((0, 3, 4))).tolist()
            y, x = places
            fine = target[2 * y : 2 * y + 48, 2 * x : 2 * x + 48].astype(float)
            expected = (fine - fine.min()) / (fine.max() - fine.min())
            np.testing.assert_allclose(made.target_at(name)[scene], expected, atol=1e-6)


def test_the_reticulum_has_a_target_for_each_level(tmp_path):
    write_biosr(tmp_path, specimen="ER", cells=(1,), levels=(1, 2))
    other = tmp_path / "other"
    write_biosr(other, specimen="ER", cells=(7,), levels=(1,))
    moved = tmp_path / "ER" / "Cell_001" / "GTSIM" / "GTSIM_level_02.mrc"
    moved.write_bytes((other / "ER" / "Cell_007" / "GTSIM" / "GTSIM_level_01.mrc").read_bytes())
    _, made = scenes(tmp_path / "ER", "er", scenes=1, size=32)
    assert made.levels == ["level_01", "level_02"]
    assert not np.allclose(made.target_at("level_01"), made.target_at("level_02"))
    np.testing.assert_array_equal(made.target, made.target_at("level_02"))


def test_cells_that_lack_a_level_are_left_out(tmp_path):
    write_biosr(tmp_path, cells=(1, 2))
    (tmp_path / "F-actin" / "Cell_001" / "RawSIMData_level_02.mrc").unlink()
    _, made = scenes(tmp_path, "f_actin", scenes=2, size=32)
    assert made.names == ("Cell_002",)


def test_a_level_that_one_cell_has_alone_is_left_out(tmp_path):
    write_biosr(tmp_path, cells=(1, 2, 3))
    folder = tmp_path / "F-actin" / "Cell_002"
    shutil.copy(folder / "RawSIMData_level_03.mrc", folder / "RawSIMData_level_04.mrc")
    _, made = scenes(tmp_path, "f_actin", scenes=3, size=32)
    assert made.names == ("Cell_001", "Cell_002", "Cell_003")
    measured, _ = scenes(tmp_path, "f_actin", scenes=3, size=32)
    _, lines = whole_scenes(measured, examine_all(measured.pairs, measured.recording), simulation("f_actin"))
    assert lines == ["levels that most cells lack are left out: 4"]


@pytest.mark.parametrize(("count", "sizes"), [(12, [4, 4, 4]), (9, [3, 3, 3]), (6, [2, 2, 2]), (2, [1, 1])])
def test_levels_are_grouped_in_thirds(count, sizes):
    groups = fluorescence_groups(range(1, count + 1))
    assert list(map(len, groups.values())) == sizes
    assert [level for group in groups.values() for level in group] == list(range(1, count + 1))

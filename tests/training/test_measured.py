"""Batches from measured pairs: a function of seed and step, shared by hosts, in register, and never of broken files."""

import json
import re
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.acquisition import Acquisition
from oidn_jax.classical.guides import guides
from oidn_jax.config import experiment_of, use_network
from oidn_jax.data.measured import open_raw, read_pair
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.models.layers import pixel_shuffle
from oidn_jax.optics.microscope import Microscope
from oidn_jax.simulation.export.biosr import Export, export_cells
from oidn_jax.simulation.settings import Simulation
from oidn_jax.training.loop import train
from oidn_jax.training.measured import MeasuredBatches, choose_data, find_set, make_field
from tests.conftest import make_tiny_config
from tests.data.trees import write_biosr
from tests.training.runs import assert_equal_bits, quiet


def make_run(root, *, network="unet", specimen="f_actin", **changes):
    config = make_tiny_config()
    use_network(config, network)
    config.model.widths = (4, 8)
    config.simulation.specimen = specimen
    config.train.update(steps=6, log_every=1, evaluate_every=100, checkpoint_every=2)
    config.data.root = str(root)
    config.data.split.update({"training": "2-4", "validation": "1", "test": "5"})
    config.update_from_flattened_dict(changes)
    return experiment_of(config).run


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_biosr(tmp_path_factory.mktemp("biosr"), cells=(1, 2, 3, 4, 5), size=40)


def source(run, **options):
    return MeasuredBatches(run, choose_data(run, say=quiet), say=quiet, **options)


def test_a_batch_hangs_on_seed_and_step_alone(tree):
    run = make_run(tree)
    one, other = source(run), source(run)
    in_order = [one(step) for step in range(1, 7)]
    assert_equal_bits(in_order, [other.batch(step) for step in range(1, 7)])
    assert_equal_bits(other(4), in_order[3])
    assert_equal_bits(other(5), in_order[4])
    assert_equal_bits(other(2), in_order[1])
    assert not np.array_equal(in_order[0]["inputs"], in_order[1]["inputs"])
    assert not np.array_equal(source(make_run(tree, seed=1))(1)["inputs"], in_order[0]["inputs"])
    one.close()
    other.close()


def test_hosts_share_what_one_sees_alone(tree):
    run = make_run(tree)
    shares = [source(run, host=host, hosts=2).batch(3) for host in range(2)]
    together = {name: np.concatenate([share[name] for share in shares]) for name in shares[0]}
    assert_equal_bits(together, source(run).batch(3))


def test_a_file_that_vanishes_is_told_in_one_line(tmp_path):
    write_biosr(tmp_path, cells=(1, 2), levels=(1,))
    batches = source(make_run(tmp_path))
    first = batches(1)
    assert first["inputs"].shape == (4, 16, 16, 9)
    batches.close()
    (tmp_path / "F-actin" / "Cell_002" / "RawSIMData_level_01.mrc").unlink()
    with pytest.raises(InputError) as refusal:
        batches(1)
    assert str(refusal.value).startswith(f"{tmp_path}/F-actin/Cell_002/RawSIMData_level_01.mrc does not exist")
    assert "\n" not in str(refusal.value)


def test_batches_are_what_the_loop_takes(tree):
    batch = source(make_run(tree)).batch(1)
    assert {name: (array.shape, array.dtype.name) for name, array in batch.items()} == {
        "inputs": ((4, 16, 16, 9), "float32"),
        "target": ((4, 32, 32, 1), "float32"),
    }
    for array in batch.values():
        np.testing.assert_array_equal(array.min((1, 2, 3)), 0)
        np.testing.assert_allclose(array.max((1, 2, 3)), 1, rtol=1e-6)


def test_per_frame_normalisation(tree):
    inputs = source(make_run(tree, **{"data.normalisation": "per_frame"})).batch(1)["inputs"]
    np.testing.assert_allclose(inputs.max((1, 2)), 1, rtol=1e-6)


@pytest.mark.parametrize("turn", [True, False])
def test_patches_are_of_the_training_cells_in_register_and_turned_together(tree, turn):
    """Every patch is found again in one of the training cells, in one of the eight turns or in none."""
    run = make_run(tree, **{"data.turn": turn, "data.levels": "3", "train.steps": 12})
    data = choose_data(run, say=quiet)
    assert {(pair.cell, pair.level) for pair in data.training} == {(2, 3), (3, 3), (4, 3)}
    batches, fields = (
        MeasuredBatches(run, data, say=quiet),
        [read_pair(p, data.measured.recording) for p in data.training],
    )
    turns = set()
    for step in range(1, 4):
        batch = batches.batch(step)
        for inputs, target in zip(batch["inputs"], batch["target"], strict=True):
            turns.add(where(inputs, target[..., 0], fields))
    assert len(turns) > 4 if turn else turns == {(0, False)}


def where(inputs, target, fields):
    """The turn by which a patch comes from one of the fields; there must be one, for both images the same."""
    side = len(inputs)
    for turns in range(4):
        for mirrored in (False, True):
            frames, fine = (image[:, ::-1] if mirrored else image for image in (inputs, target))
            frames, fine = np.rot90(frames, -turns), np.rot90(fine, -turns)
            for raw, whole in fields:
                for y in range(raw.shape[1] - side + 1):
                    for x in range(raw.shape[2] - side + 1):
                        part = raw[:, y : y + side, x : x + side].astype(np.float32)
                        part = (part - part.min()) / (part.max() - part.min())
                        if np.array_equal(part[0, 0], frames[0, :, 0]) and np.array_equal(
                            np.moveaxis(part, 0, -1), frames
                        ):
                            expected = whole[2 * y : 2 * (y + side), 2 * x : 2 * (x + side)].astype(np.float32)
                            expected = (expected - expected.min()) / (expected.max() - expected.min())
                            np.testing.assert_array_equal(fine, expected)
                            return turns, mirrored
    raise AssertionError("the patch is of no field")


def test_a_run_that_was_stopped_goes_on_with_the_same_data(tree, tmp_path):
    run = make_run(tree)
    data = choose_data(run, say=quiet)
    whole = train(run, tmp_path / "whole", batch_at=MeasuredBatches(run, data, say=quiet), say=quiet).state
    first = replace(run, train=replace(run.train, steps=2))
    train(first, tmp_path / "parts", batch_at=MeasuredBatches(first, data, say=quiet), say=quiet)
    lines = []
    outcome = train(
        run,
        tmp_path / "parts",
        batch_at=MeasuredBatches(run, data, say=quiet),
        data=data.origin(run, training=data.training),
        say=lines.append,
    )
    assert outcome.finished
    assert lines[0].startswith("training on measured data")
    assert_equal_bits(outcome.state.params, whole.params)
    record = json.loads((tmp_path / "parts" / "checkpoints" / "last" / "6" / "model" / "model.json").read_text())
    origin = record["origin"]
    assert (origin["data"], origin["specimen"]) == ("measured", "f_actin")
    assert origin["measured"]["cells"] == {"training": "2-4", "validation": "1"}
    assert origin["measured"]["split"] == {"training": "2-4", "validation": "1", "test": "5"}
    assert record["configuration"]["data"]["root"] == str(tree)


@pytest.fixture
def broken(tmp_path):
    write_biosr(tmp_path, cells=(1, 2, 3))
    path = tmp_path / "F-actin" / "Cell_002" / "RawSIMData_level_02.mrc"
    path.write_bytes(path.read_bytes()[:-9])
    (tmp_path / "F-actin" / "Cell_003" / "SIM_gt.mrc").unlink()
    return tmp_path


def test_broken_files_are_refused_before_the_first_step(broken):
    with pytest.raises(InputError) as refusal:
        choose_data(make_run(broken), say=quiet)
    text = str(refusal.value)
    assert text.startswith("4 of 9 acquisitions cannot be used: ")
    assert "Cell_002/RawSIMData_level_02.mrc is truncated" in text
    assert "Cell_003/RawSIMData_level_01.mrc has no target" in text
    assert "; and 1 more. Mend them, or give 'skip' as `data.broken`" in text


def test_broken_files_are_skipped_where_told(broken):
    lines = []
    data = choose_data(make_run(broken, **{"data.broken": "skip"}), say=lines.append)
    assert [pair.name for pair in data.training] == ["Cell_002 level 01", "Cell_002 level 03"]
    assert sum(line.startswith("skipped: ") for line in lines) == len(data.skipped) == 4
    assert "training: 2 acquisitions of the cells 2" in lines


def test_a_patch_larger_than_the_frames(tree):
    with pytest.raises(InputError, match=r"is 40 x 40 pixels, smaller than `train.patch`"):
        choose_data(make_run(tree, **{"train.patch": 64}), say=quiet)


def test_no_cells_to_train_on(tree):
    with pytest.raises(IllegalValue, match=r"`data.split.training` is '6-35'; .* has the cells 1-5"):
        choose_data(make_run(tree, **{"data.split.training": "6-35", "data.split.test": ""}), say=quiet)


def test_another_pixel_size(tree):
    with pytest.raises(IllegalValue, match=r"`microscope.pixel_size_nm` is 80.0; .* says 62.6 nm"):
        choose_data(make_run(tree, **{"microscope.pixel_size_nm": 80.0}), say=quiet)


def test_the_set_of_the_specimen_is_taken(tree, tmp_path):
    run = make_run(tree)
    assert find_set(tree, run.simulation.specimen, run.microscope).name == "F-actin"
    er = make_run(tree, specimen="er")
    with pytest.raises(InputError, match="holds F-actin, but nothing of ER"):
        find_set(tree, er.simulation.specimen, er.microscope)
    write_biosr(tmp_path, specimen="my cells", cells=(6,), levels=(1,))
    assert find_set(tmp_path, er.simulation.specimen, er.microscope).name == "my cells"
    write_biosr(tmp_path, specimen="F-actin_Nonlinear", cells=(6,), levels=(1,), frames=25, scale=3)
    with pytest.raises(InputError, match="has 5 orientations x 5 phases and targets 3 times as large"):
        find_set(tmp_path, run.simulation.specimen, run.microscope)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("data.split.training", "1-", "give numbers and ranges by commas"),
        ("data.split.training", "1-3", "no cell can be in two splits, and 1 is in `data.split.validation` too"),
        ("data.broken", "ignore", "legal: 'refuse', 'skip'"),
        ("data.levels", "high", "give numbers and ranges by commas"),
        ("data.readers", 0, "it must be at least 1"),
    ],
)
def test_illegal_settings(tree, field, value, message):
    with pytest.raises(IllegalValue, match=re.escape(message)) as refusal:
        make_run(tree, **{field: value})
    assert refusal.value.field == field


@pytest.fixture(scope="module")
def striped(tmp_path_factory):
    """Exported cells, whose frames have stripes."""
    out, settings = tmp_path_factory.mktemp("export"), make_run("").simulation.settings
    settings = replace(
        settings, specimen="ccps", density=(2.0, 3.0), mean_photons=(100.0, 400.0), fluorescence={"all": (1, 2)}
    )
    for _ in export_cells(Export(Simulation(settings, Microscope()), out, cells=2, size=64, patches=0), say=quiet):
        pass
    return out


def test_a_guided_network_is_given_guides_of_the_whole_turned_with_the_target(striped):
    changes = {"data.split.training": "1-2", "data.split.validation": "", "train.patch": 32, "data.levels": "2"}
    run, lines = make_run(striped, network="guided", specimen="ccps", **changes), []
    data = choose_data(run, say=quiet)
    batches = MeasuredBatches(run, data, say=lines.append)
    assert lines == ["estimating the illumination of 2 acquisitions"]
    fields = [make_field(pair, data.measured.recording, run.microscope) for pair in data.training]
    for pair, field in zip(data.training, fields, strict=True):
        acquisition = Acquisition(open_raw(pair, data.measured.recording), run.microscope)
        expected = guides(jnp.asarray(acquisition.light(0)), acquisition.illumination(0), acquisition.otf)
        np.testing.assert_allclose(field.images, expected.images, rtol=2e-3, atol=2e-2)
        np.testing.assert_allclose(field.conditions, expected.conditions, rtol=1e-4)
        slope = np.polyfit(field.target.ravel(), field.images[0].astype(float).ravel(), 1)[0]
        assert slope == pytest.approx(1.0, abs=0.01)
    for step in range(1, 3):
        batch = batches.batch(step)
        assert batch["inputs"].shape == (4, 32, 32, 16)
        assert batch["peak"].shape == (4, 1, 1, 1)
        guide = np.asarray(pixel_shuffle(jnp.asarray(batch["inputs"][..., :4]), 2))[..., 0]
        for one, target, peak in zip(guide, batch["target"][..., 0], batch["peak"], strict=True):
            assert np.corrcoef(one.ravel(), target.ravel())[0, 1] > 0.8
            assert peak.item() == max(target.max(), 2.0)
            assert any(_is_part(one, field.images[0].astype(np.float32)) for field in fields)


def _is_part(part, image):
    """Whether a patch is of an image, in one of its eight turns."""
    turned = [np.rot90(one, turns) for one in (part, part[:, ::-1]) for turns in range(4)]
    windows = np.lib.stride_tricks.sliding_window_view(image, part.shape)[::2, ::2]
    return any((windows[:, :, 0, 0] == one[0, 0])[(windows == one).all((2, 3))].any() for one in turned)


def test_a_guided_network_trains_on_them(striped, tmp_path):
    changes = {"data.split.training": "1", "data.split.validation": "", "data.split.test": "", "data.levels": "2"}
    run = make_run(striped, network="guided", specimen="ccps", **changes, **{"train.steps": 1})
    batches = MeasuredBatches(run, choose_data(run, say=quiet), say=quiet)
    assert train(run, tmp_path, batch_at=batches, say=quiet).finished

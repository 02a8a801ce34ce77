"""What disks do to a run: bits that flip, files that are cut or gone, no room, a read that fails.

Whatever happens, a run goes on to the bits of one that nobody disturbed, or says in one line why it cannot.
"""

import contextlib
import gc
import json
import random
import resource
import shutil
from functools import partial

import jax
import numpy as np
import pytest

import oidn_jax
from oidn_jax.errors import InputError, WriteError
from oidn_jax.models.weights import kept_steps
from oidn_jax.training import checkpoint, loop
from oidn_jax.training.checkpoint import Checkpoints, DamagedCheckpoint, resume
from oidn_jax.training.log import MetricLog
from tests.training.runs import FakeEvaluator, assert_equal_bits, batch_at, quiet, steps_logged, unet_run

train = partial(loop.train, batch_at=batch_at)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A workdir with the last checkpoints of steps 4 and 6, the best of 3 and 6; and its final state."""
    workdir = tmp_path_factory.mktemp("uninterrupted")
    outcome = train(unet_run(), workdir, evaluator=FakeEvaluator(), say=quiet)
    steps = {kind: [int(folder.name) for folder in kept_steps(workdir, kind)] for kind in ("last", "best")}
    assert steps == {"last": [6, 4], "best": [6, 3]}
    return workdir, outcome.state


@pytest.fixture
def copy(uninterrupted, tmp_path):
    return shutil.copytree(uninterrupted[0], tmp_path / "run")


@contextlib.contextmanager
def largest_file(n_bytes):
    """No file may grow beyond this: what a full disk is for a program."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


# ---- damaged checkpoints --------------------------------------------------------------------------------------------


def flip(content, chance):
    place = chance.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]


DAMAGES = {
    "flipped": flip,
    "cut": lambda content, chance: content[: chance.randrange(len(content))],
    "zeroed from the middle on": lambda content, chance: content[: len(content) // 2] + bytes(len(content) // 2),
    "emptied": lambda content, chance: b"",
    "missing": None,
}


@contextlib.contextmanager
def damaged(path, damage, chance):
    """A file with a damage, for the block."""
    before = path.read_bytes()
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(before, chance))
    yield
    path.write_bytes(before)


def resumed(workdir, like):
    """The state that a run goes on from, and what it says."""
    lines = []
    kept = resume(workdir, like=like, check=lambda record: None, say=lines.append)
    assert kept
    return kept[1], lines


def never_other_parameters(workdir, uninterrupted, cases):
    """How many of the cases, (file, damage, chance), made a run go on from the checkpoint before."""
    final = uninterrupted[1]
    before = checkpoint.read_state(only_step_4(workdir), "last", like=final)
    n_passed_over = 0
    for path, damage, chance in cases:
        with damaged(path, damage, chance):
            state, lines = resumed(workdir, final)
        if lines:
            n_passed_over += 1
            assert lines == [
                f"the last checkpoint (step 6) in {workdir} is damaged; going on from the one before, of step 4"
            ]
        assert_equal_bits(state, before if lines else final)
    return n_passed_over


def only_step_4(workdir):
    other = workdir.parent / "step_4"
    shutil.copytree(workdir / "checkpoints" / "last" / "4", other / "checkpoints" / "last" / "4")
    return other


def record_of(workdir, kind):
    """Without the files' names, which orbax draws at random."""
    record = checkpoint.read_record(workdir, kind)
    del record["files"], record["sha256"]
    return record


def files_of(workdir):
    return sorted(path for path in (workdir / "checkpoints" / "last" / "6").rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_file_of_a_checkpoint_damaged(uninterrupted, copy, capfd, damage):
    chance = random.Random(0)
    cases = [(path, DAMAGES[damage], chance) for path in files_of(copy)]
    assert never_other_parameters(copy, uninterrupted, cases) >= 3  # of the record, the arrays and their index
    gc.collect()
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_a_thousand_flipped_bits(uninterrupted, copy, capfd):
    chance = random.Random(1)
    files = files_of(copy)
    weights = [path.stat().st_size for path in files]
    cases = [(path, flip, chance) for path in chance.choices(files, weights, k=1000)]
    assert never_other_parameters(copy, uninterrupted, cases) > 100
    gc.collect()
    assert "Traceback" not in capfd.readouterr().err


def test_a_run_goes_on_from_the_checkpoint_before_to_the_same_bits(uninterrupted, copy):
    data = max((copy / "checkpoints" / "last" / "6" / "state" / "d").glob("*"), key=lambda path: path.stat().st_size)
    data.write_bytes(flip(data.read_bytes(), random.Random(2)))
    lines = []
    outcome = train(unet_run(), copy, evaluator=FakeEvaluator(scores=[0.2]), say=lines.append)
    assert sum("is damaged; going on from the one before, of step 4" in line for line in lines) == 1
    assert_equal_bits(outcome.state, uninterrupted[1])
    assert (steps_logged(copy), steps_logged(copy, "validation")) == ([1, 2, 3, 4, 5, 6], [3, 6])
    for kind, steps in (("last", ["6", "4"]), ("best", ["6", "3"])):
        assert [folder.name for folder in kept_steps(copy, kind)] == steps
        assert record_of(copy, kind) == record_of(uninterrupted[0], kind)


def test_all_checkpoints_damaged_is_one_line(copy):
    for folder in kept_steps(copy, "last"):
        (folder / "record" / "metadata").write_text("{}")
    with pytest.raises(DamagedCheckpoint, match=r"the last checkpoint \(step 6\) in .* is damaged; remove"):
        train(unet_run(), copy, say=quiet)
    assert len(kept_steps(copy, "last")) == 2


def test_a_damaged_best_checkpoint_is_told_and_the_best_before_counts(copy):
    (copy / "checkpoints" / "best" / "3" / "record" / "metadata").write_text("{}")
    run, lines = unet_run(), []
    best = Checkpoints(copy, run).forget_after(4, lines.append)
    assert best == -np.inf
    assert lines == [f"the best checkpoint (step 3) in {copy} is damaged; the best is chosen without it"]


def test_a_damaged_model_names_the_one_before(copy):
    weights = copy / "checkpoints" / "best" / "6" / "model" / "weights.safetensors"
    weights.write_bytes(flip(weights.read_bytes(), random.Random(3)))
    with pytest.raises(InputError, match=r"is damaged: .*, or give .*best/3/model, of the checkpoint before") as told:
        oidn_jax.load(copy)
    named = str(told.value).split(", or give ")[1].split(", of the checkpoint")[0]
    assert oidn_jax.load(named).origin["step"] == 3


RECORDS = {
    "a list": "[]",
    "a number": "7",
    "nothing of it": '{"step": 6}',
    "a configuration of nothing": '{"step": 6, "config": {}, "scores": {}, "shapes": []}',
    "a configuration of lists": '{"step": 6, "config": [], "scores": {}, "shapes": []}',
    "a nest": "[" * 100_000,
    "a nest in it": '{"step": 6, "config": ' + '{"microscope": ' * 900 + "1" + "}" * 901,
    "no text": "\udcff",
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_of_before_that_is_damaged_is_one_line(copy, name):
    """Records of earlier versions have no SHA-256."""
    record = copy / "checkpoints" / "last" / "6" / "record" / "metadata"
    record.write_text(RECORDS[name], errors="surrogateescape")
    with pytest.raises(DamagedCheckpoint, match="is damaged"):
        checkpoint.read_record(copy, "last")


def test_a_checkpoint_of_before_is_read_as_it_is(uninterrupted, copy):
    path = copy / "checkpoints" / "last" / "6" / "record" / "metadata"
    record = json.loads(path.read_text())
    del record["sha256"]
    path.write_text(json.dumps(record))
    with pytest.raises(DamagedCheckpoint):  # of today, but for a name that somebody has changed
        checkpoint.read_record(copy, "last")
    del record["leaves"], record["files"]
    path.write_text(json.dumps(record))
    state, lines = resumed(copy, uninterrupted[1])
    assert lines == []
    assert_equal_bits(state, uninterrupted[1])


def test_odd_names_beside_the_checkpoints_are_no_checkpoints(uninterrupted, copy):
    folder = copy / "checkpoints" / "last"
    for name in ("²", "٣", "07", "-1", "8.tmp", "x"):
        (folder / name).mkdir()
    (folder / "9").write_text("a file")
    (folder / "10").symlink_to(folder / "nowhere")
    assert [path.name for path in kept_steps(copy, "last")] == ["6", "4"]
    assert_equal_bits(resumed(copy, uninterrupted[1])[0], uninterrupted[1])


def test_a_link_under_the_name_of_an_unfinished_checkpoint_is_not_followed(copy, tmp_path):
    """Earlier versions wrote to `8.orbax-checkpoint-tmp`, whatever stood there."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    (copy / "checkpoints" / "last" / "8.orbax-checkpoint-tmp").symlink_to(tmp_path / "mine")
    save(copy, unet_run(), step=8)
    assert [path.name for path in kept_steps(copy, "last")] == ["8", "6"]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


def save(workdir, run, *, step, kind="last"):
    """Saves the state of the newest checkpoint once more, as that of another step."""
    from oidn_jax.models.networks import build_network
    from oidn_jax.training.state import build_optimizer, initial_state

    network, optimizer = build_network(run.model, run.microscope), build_optimizer(run.train)
    like = jax.eval_shape(lambda: initial_state(run, network, optimizer))
    state = checkpoint.read_state(workdir, "last", like=like).replace(step=np.int32(step))
    Checkpoints(workdir, run).save(kind, state, scores={"ssim": 0.5})


# ---- no room --------------------------------------------------------------------------------------------------------


def test_a_full_disk_at_a_checkpoint_is_one_line_and_keeps_what_is_there(uninterrupted, copy, capfd):
    run, before = unet_run(), {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    with largest_file(3000), pytest.raises(WriteError, match=r"step 8 cannot be written to .*last: .* MB of room"):
        save(copy, run, step=8)
    gc.collect()
    assert "Traceback" not in capfd.readouterr().err
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before
    assert_equal_bits(resumed(copy, uninterrupted[1])[0], uninterrupted[1])
    save(copy, run, step=8)
    assert [path.name for path in kept_steps(copy, "last")] == ["8", "6"]


def test_a_full_disk_in_the_log_leaves_no_part_of_a_line(tmp_path):
    log = MetricLog(tmp_path, first_step=0)
    with log:
        log.write(1, "train", {"loss": 1.0})
        written = (tmp_path / "metrics.jsonl").read_bytes()
        with largest_file(len(written) + 10), pytest.raises(WriteError, match=r"metrics\.jsonl cannot be written"):
            log.write(2, "train", {"loss": 1.0})
        assert (tmp_path / "metrics.jsonl").read_bytes() == written


def test_a_full_disk_in_the_middle_of_a_run(uninterrupted, tmp_path):
    """It ends at the checkpoint of step 4; with room, the same command goes on to the same bits."""
    with contextlib.ExitStack() as disk:

        def source(step):
            if step == 5:  # asked for before step 4 is saved
                disk.enter_context(largest_file(5000))
            return batch_at(step)

        with pytest.raises(WriteError, match="the last checkpoint of step 4 cannot be written"):
            loop.train(unet_run(), tmp_path, batch_at=source, evaluator=FakeEvaluator(), say=quiet)
    assert [path.name for path in kept_steps(tmp_path, "last")] == ["2"]
    assert list(tmp_path.rglob(".*")) == []
    outcome = train(unet_run(), tmp_path, evaluator=FakeEvaluator(), say=quiet)
    assert_equal_bits(outcome.state, uninterrupted[1])
    assert steps_logged(tmp_path) == [1, 2, 3, 4, 5, 6]


# ---- the log, and reading -------------------------------------------------------------------------------------------


def test_a_damaged_line_of_the_log_is_told_and_dropped(tmp_path):
    lines = []
    for content, expected in (
        (b'{"step": 1}\n{"step": \xff}\n{"step": 2}\n{"step": 3', [1, 2]),
        (b'{"step": 1}\n[1]\n' + b"[" * 100_000 + b'\n{"step": 2}\n{"step": 3}\n', [1, 2]),
        (b"\xff", []),
    ):
        (tmp_path / "metrics.jsonl").write_bytes(content)
        with MetricLog(tmp_path, first_step=2, say=lines.append) as log:
            log.write(3, "train", {"loss": 1.0})
        left = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
        assert left == [*expected, 3]
    path = tmp_path / "metrics.jsonl"
    assert lines == [f"1 damaged lines of {path} are dropped", f"2 damaged lines of {path} are dropped"]


def test_a_read_error_in_the_middle_keeps_all_before(uninterrupted, tmp_path):
    def source(step):
        if step == 6:
            raise OSError(5, "Input/output error")
        return batch_at(step)

    with pytest.raises(OSError, match="Input/output error"):
        loop.train(unet_run(), tmp_path, batch_at=source, evaluator=FakeEvaluator(), say=quiet)
    assert [path.name for path in kept_steps(tmp_path, "last")] == ["4", "2"]
    assert not (tmp_path / "running.lock").exists()
    outcome = train(unet_run(), tmp_path, evaluator=FakeEvaluator(scores=[0.2]), say=quiet)
    assert_equal_bits(outcome.state, uninterrupted[1])
    assert steps_logged(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_a_workdir_is_trained_in_once_at_a_time(tmp_path):
    def source(step):
        with pytest.raises(InputError, match="is writing to the workdir"):
            train(unet_run(), tmp_path, say=quiet)
        return batch_at(step)

    assert loop.train(unet_run(steps=2), tmp_path, batch_at=source, say=quiet).finished

"""Checkpoints of PyTorch without it: files that PyTorch itself has written, round trips, and hostile files.

`torch_zip.pth` and `torch_legacy.pth` are by `torch.save` of PyTorch 2.13.0 (`tests/data/torch_checkpoints.py`), the
second in the older format. What `write_state` writes, `torch.load(..., weights_only=True)` of the same version read.
"""

import io
import os
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from oidn_jax.data.torch_file import read_state, write_state
from oidn_jax.errors import InputError

DATA = Path(__file__).parent


def state():
    """What both files hold, and the views among it."""
    numbers = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7
    return {
        "head.0.weight": numbers,
        "turned": numbers.transpose(2, 0, 1),
        "part": numbers[1, :, 1:3],
        "half": np.float32([0.5, -2.0]),
        "double": np.float32([1e-3, 1 / 3]),
        "steps": np.float32(7),
        "nothing": np.zeros((0, 3), np.float32),
        "a.parameter": np.float32([1.0, 2.0]),
    }


def refusal(path):
    with pytest.raises(InputError) as refused:
        read_state(path)
    message = str(refused.value)
    assert "\n" not in message
    assert str(path) in message
    assert len(message) < 300 + len(str(path))
    return message


def assert_same(read, expected):
    assert list(read) == list(expected)
    for name, value in expected.items():
        assert read[name].dtype == np.float32
        np.testing.assert_array_equal(read[name], value, err_msg=name)
        assert read[name].shape == value.shape, name


@pytest.mark.parametrize("name", ["torch_zip.pth", "torch_legacy.pth"])
def test_files_that_pytorch_wrote(name):
    assert_same(read_state(DATA / name), state())


def test_what_is_written_is_read(tmp_path):
    write_state(tmp_path / "best.pth.tar", state())
    assert_same(read_state(tmp_path / "best.pth.tar"), state())


def test_the_layout_is_that_of_pytorch(tmp_path):
    """Names, storages in order, nothing compressed; the pickle is of protocol 2 and looks up what torch.save does."""
    write_state(tmp_path / "best.pth.tar", state())
    with zipfile.ZipFile(tmp_path / "best.pth.tar") as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        names = [entry.filename for entry in archive.infolist()]
        expected = ["data.pkl", "byteorder", *(f"data/{key}" for key in range(len(state()))), "version"]
        assert names == [f"archive/{name}" for name in expected]
        assert archive.read("archive/version") == b"3\n"
        assert archive.read("archive/byteorder") == b"little"
        assert archive.read("archive/data/2") == np.ascontiguousarray(state()["part"]).tobytes()
        operations = list(pickletools.genops(archive.read("archive/data.pkl")))
    assert operations[0][:2] == (pickletools.genops(b"\x80\x02.").__next__()[0], 2)
    looked_up = {argument for operation, argument, _ in operations if operation.name == "GLOBAL"}
    assert looked_up == {"torch FloatStorage", "torch._utils _rebuild_tensor_v2", "collections OrderedDict"}


class Payload:
    """Leaves a file where it is unpickled by a careless reader."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def archive_of(pickled, path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", np.zeros(4, np.float32).tobytes())
        archive.writestr("archive/version", "3\n")
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("archived", [True, False])
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, protocol, archived):
    harmed = tmp_path / "harmed"
    pickled = pickle.dumps({"model_state_dict": {"weight": Payload(harmed)}}, protocol)
    path = tmp_path / "best.pth.tar"
    if archived:
        archive_of(pickled, path)
    else:
        path.write_bytes(pickled)
    assert "is refused: it asks for posix.system, and a checkpoint needs tensors only" in refusal(path)
    assert not harmed.exists()
    pickle.loads(pickled)
    assert harmed.exists(), "the payload works"


def tensor(storage=b"X\x01\x00\x00\x000", *, size=4, offset=0, shape=b"K\x04", strides=b"K\x01"):
    """A checkpoint of one tensor, by its opcodes."""
    number = b"J" + size.to_bytes(4, "little", signed=True)
    persistent = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + storage + b"X\x03\x00\x00\x00cpu" + number + b"tQ"
    start = b"J" + offset.to_bytes(4, "little", signed=True)
    rebuilt = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + persistent + start + b"(" + shape + b"t(" + strides + b"t\x89}tR"
    )
    return b"\x80\x02}X\x10\x00\x00\x00model_state_dict}X\x01\x00\x00\x00w" + rebuilt + b"ss."


HOSTILE = {
    "a class of ours": (b"cposix\nsystem\n.", "posix.system"),
    "a module of ours": (b"coidn_jax.data.torch_file\nread_state\n.", "oidn_jax.data.torch_file.read_state"),
    "evaluation": (b"cbuiltins\neval\n(X\x01\x00\x00\x001tR.", "builtins.eval"),
    "a dotted name": (b"\x80\x04X\x05\x00\x00\x00torchX\x0f\x00\x00\x00_utils.sys.exit\x93.", "torch._utils.sys.exit"),
    "an attribute of a function": (b"ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb.", "damaged"),
    "a class's own method": (b"ccollections\nOrderedDict\n}b.", "damaged"),
    "a long name": (b"c" + b"a" * 5000 + b"\nb\n.", "it asks for aaaa"),
    "a huge table": (b"\x80\x02}r\xff\xff\xff\xfe.", "more memory than it is long"),
    "a tensor before its storage": (tensor(offset=-1), "a tensor of no numbers"),
    "a tensor beyond its storage": (tensor(offset=1), "beyond its storage"),
    "strides beyond its storage": (tensor(strides=b"K\x02"), "beyond its storage"),
    "negative strides": (tensor(offset=3, strides=b"J\xff\xff\xff\xff"), "a tensor of no numbers"),
    "a larger storage than there is": (tensor(size=5), "damaged"),
    "a storage that is not there": (tensor(b"X\x01\x00\x00\x009"), "it lacks data/9"),
    "a tensor larger than the file": (tensor(shape=b"J\x00\x00\x00\x40", strides=b"K\x00"), "larger than the file"),
    "more strides than axes": (tensor(strides=b"K\x01K\x01"), "damaged"),
    "a number": (b"K\x01.", "damaged"),
    "numbers in place of tensors": (b"\x80\x02}X\x01\x00\x00\x00aK\x01s.", "holds more than tensors by their names"),
    "tensors without names": (b"\x80\x02}K\x01K\x01s.", "holds more than tensors by their names"),
    "an empty pickle": (b"", "damaged"),
    "no pickle": (b"hello", "damaged"),
    "an unknown storage": (b"ctorch\nQInt8Storage\n.", "torch.QInt8Storage"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_asks_for_anything_else_is_refused(tmp_path, what):
    pickled, message = HOSTILE[what]
    assert message in refusal(archive_of(pickled, tmp_path / "a.pth"))


def test_the_hand_made_tensor_is_one(tmp_path):
    assert_same(read_state(archive_of(tensor(), tmp_path / "a.pth")), {"w": np.zeros(4, np.float32)})


def test_compressed_records_are_refused(tmp_path):
    """A file of kilobytes would take gigabytes."""
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", tensor(size=10**6, shape=b"J\x40\x42\x0f\x00"))
        archive.writestr("archive/data/0", bytes(4 * 10**6))
    assert "compressed" in refusal(tmp_path / "a.pth")


@pytest.mark.parametrize("name", ["torch_zip.pth", "torch_legacy.pth"])
def test_every_truncated_or_flipped_file_is_refused_or_read(tmp_path, name):
    whole = (DATA / name).read_bytes()
    path, messages = tmp_path / "a.pth", []
    random = np.random.default_rng(0)
    for length in random.integers(0, len(whole), 60):
        path.write_bytes(whole[:length])
        refusal(path)
    for place in random.integers(0, len(whole), 200):
        changed = bytearray(whole)
        changed[place] ^= 1 << random.integers(8)
        path.write_bytes(changed)
        try:
            read_state(path)
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert not any("\n" in message for message in messages)


def test_missing_files_and_folders_are_told(tmp_path):
    assert "cannot be read" in refusal(tmp_path / "a.pth")
    assert "cannot be read" in refusal(tmp_path)


def test_what_a_training_keeps_beside_the_weights_is_not_read(tmp_path):
    """Scores as numbers of numpy, and the attributes of an OrderedDict, which torch sets."""
    weights = OrderedDict()
    weights._metadata = {"version": 1}
    content = {"epoch": 3, "best": np.float64(0.5), "model_state_dict": weights, "losses": [0.1, None, True]}
    pickled = pickle.dumps(content, 2)
    assert b"_metadata" in pickled
    assert read_state(archive_of(pickled, tmp_path / "a.pth")) == {}
    assert io.BytesIO(pickled).read(2) == b"\x80\x02"

"""A file is at its place complete or not at all, whatever happens on the way."""

import json
import os

import pytest

from oidn_jax.data.atomic import check_target, explained, partial_file, write_atomically, write_json, write_text
from oidn_jax.errors import InputError


def test_text_and_json(tmp_path):
    path = tmp_path / "new" / "folder" / "notes.txt"
    write_text(path, "µm\n")
    assert path.read_bytes() == "µm\n".encode()
    write_json(path, {"a": [1, None]})
    assert json.loads(path.read_text()) == {"a": [1, None]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert [file.name for file in path.parent.iterdir()] == ["notes.txt"]


def test_targets_are_refused_before_the_work(tmp_path):
    path = tmp_path / "cell.tif"
    check_target(path, overwrite=False)
    path.write_bytes(b"precious")
    check_target(path, overwrite=True)
    with pytest.raises(InputError, match=r"exists already; .* `overwrite`"):
        check_target(path, overwrite=False)
    with pytest.raises(InputError, match="is a folder"):
        check_target(tmp_path, overwrite=True)
    # Too long for a file system: the first already when it is looked at, the second only as the partial file.
    with pytest.raises(InputError, match="File name too long"):
        check_target(tmp_path / ("x" * 300), overwrite=True)
    with pytest.raises(InputError, match="File name too long"):
        write_text(tmp_path / ("x" * 240), "")
    with pytest.raises(InputError, match=r"folder .* cannot be made"):
        write_text(path / "deeper" / "file", "")


@pytest.mark.parametrize(
    ("failure", "raised", "words"),
    [
        (
            OSError(28, "No space left on device"),
            InputError,
            r"cannot be written \(No space left on device\).* 7 bytes",
        ),
        (KeyboardInterrupt("stopped"), KeyboardInterrupt, "stopped"),
    ],
)
def test_a_failed_write_leaves_nothing_and_the_old_file(tmp_path, failure, raised, words):
    path = tmp_path / "cell.tif"
    path.write_bytes(b"precious")

    def fail(partial):
        partial.write_bytes(b"half")
        assert path.read_bytes() == b"precious"
        raise failure

    with pytest.raises(raised, match=words):
        write_atomically(path, fail, n_bytes=7)
    assert [file.name for file in tmp_path.iterdir()] == ["cell.tif"]
    assert path.read_bytes() == b"precious"


def test_a_failed_rename_leaves_nothing_and_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "cell.tif"
    path.write_bytes(b"precious")

    def fail(source, target):
        assert source.read_bytes() == b"new"
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match="Permission denied"):
        write_text(path, "new")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"precious"]


def test_errors_of_the_block_that_are_not_about_the_file_pass(tmp_path):
    def read_another():
        with partial_file(tmp_path / "a", n_bytes=1) as partial:
            with explained(tmp_path / "a", n_bytes=1):
                partial.touch()
            (tmp_path / "another").read_bytes()

    with pytest.raises(FileNotFoundError):
        read_another()
    assert list(tmp_path.iterdir()) == []

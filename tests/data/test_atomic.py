"""A file is at its place complete or not at all, whatever happens on the way."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from oidn_jax.data.atomic import (
    check_room,
    check_target,
    explained,
    partial_file,
    partial_folder,
    remove_folder,
    remove_leftovers,
    remove_leftovers_of,
    write_atomically,
    write_json,
    write_text,
)
from oidn_jax.errors import InputError, WriteError

ROOT = Path(__file__).resolve().parents[2]


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
    with pytest.raises(InputError, match="File name too long"):
        check_target(tmp_path / ("x" * 300), overwrite=True)
    with pytest.raises(InputError, match="File name too long"):
        check_target(tmp_path / "of" / "no folder" / ("x" * 300), overwrite=True)
    write_text(tmp_path / ("x" * 255), "")  # as long as a name can be
    with pytest.raises(InputError, match=r"folder .* cannot be made"):
        write_text(path / "deeper" / "file", "")


@pytest.mark.parametrize(
    ("failure", "raised", "words"),
    [
        (
            OSError(28, "No space left on device"),
            WriteError,
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


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("old")
    path.chmod(0o640)
    write_text(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)


def test_a_folder_takes_its_place_file_by_file_and_deletes_nothing(tmp_path):
    (tmp_path / "old.txt").write_text("old")
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "a.txt").chmod(0o640)
    with partial_folder(tmp_path, last="a.txt") as new:
        write_text(new / "a.txt", "new")
        write_text(new / "deeper" / "b.txt", "new")
        assert (tmp_path / "a.txt").read_text() == "old"
    contents = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert contents == {"old.txt": "old", "a.txt": "new", "deeper/b.txt": "new"}
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    with pytest.raises(InputError, match=r"folder .* cannot be made"), partial_folder(tmp_path / "a.txt", last="x"):
        raise AssertionError


def test_a_folder_that_a_killed_program_left_is_removed(tmp_path):
    program = (
        "import os, sys, pathlib; from oidn_jax.data.atomic import partial_folder\n"
        "with partial_folder(pathlib.Path(sys.argv[1]), last='a.txt') as partial:\n"
        "    (partial / 'a.txt').touch(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=False)
    assert len(list(tmp_path.iterdir())) == 1
    with partial_folder(tmp_path, last="a.txt") as new:
        (new / "a.txt").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_program_left_is_removed_and_what_others_write_is_not(tmp_path):
    program = (
        "import os, sys, pathlib; from oidn_jax.data.atomic import partial_file\n"
        "with partial_file(pathlib.Path(sys.argv[1]), n_bytes=1) as partial:\n"
        "    partial.write_bytes(b'half'); os._exit(9)"
    )
    path = tmp_path / "cell.tif"
    subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=False)
    (left,) = tmp_path.iterdir()
    mine = left.with_name(left.name.replace(left.name.split(".")[3], str(os.getpid())))
    for other in (mine, tmp_path / "b.tif", tmp_path / f".x{left.name}"):
        other.touch()
    write_text(path, "whole")
    assert {file.name for file in tmp_path.iterdir()} == {"cell.tif", "b.tif", mine.name, f".x{left.name}"}


def test_a_folder_is_removed_at_once_and_with_it_what_killed_programs_left(tmp_path):
    (tmp_path / "6" / "deep").mkdir(parents=True)
    remove_folder(tmp_path / "6")
    assert list(tmp_path.iterdir()) == []
    program = (
        "import os, sys, pathlib; from oidn_jax.data import atomic\n"
        "atomic._remove = lambda partial: os._exit(9)\n"
        "atomic.remove_folder(pathlib.Path(sys.argv[1]))"
    )
    (tmp_path / "6" / "deep").mkdir(parents=True)
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "6")], cwd=ROOT, check=False)
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".partial")
    others = {f".x.{'0' * 8}.1.x.partial", ".partial", "x.partial", ".a.b.partial"}
    for name in others:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == others


def test_what_anybody_left_of_a_file_is_removed_where_nobody_writes_it(tmp_path):
    """Of a process of another machine nobody here can tell whether it runs."""
    with partial_file(tmp_path / "b.tif", n_bytes=1) as other, partial_file(tmp_path / "a.tif", n_bytes=1) as partial:
        other.touch()
        partial.touch()
        elsewhere = tmp_path / partial.name.replace(partial.name.split(".")[2], "0" * 8)
        elsewhere.touch()
        remove_leftovers(tmp_path)
        assert elsewhere.exists()
        remove_leftovers_of([tmp_path / "a.tif", tmp_path / "missing" / "c.tif"])
        assert list(tmp_path.iterdir()) == [other]
        partial.touch()  # the block ends well only with a file


def test_what_is_to_be_done_at_the_end_is_done(tmp_path):
    program = (
        "import sys, pathlib; from oidn_jax.data.atomic import at_end, remove_unfinished\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "with at_end((path / 'ended').touch):\n"
        "    with at_end((path / 'not this').touch): pass\n"
        "    remove_unfinished()"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["ended"]


def test_room_is_asked_for_and_given_back(tmp_path):
    check_room(tmp_path, 3 * 2**20 + 5)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            check_room(tmp_path, 3 * 2**20 + 5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "kind"), [(28, WriteError), (27, WriteError), (5, WriteError), (13, InputError)])
def test_a_disk_that_refuses_is_no_mistake_of_the_user(tmp_path, number, kind):
    with pytest.raises(InputError) as refused, explained(tmp_path, n_bytes=7):
        raise OSError(number, os.strerror(number))
    assert type(refused.value) is kind

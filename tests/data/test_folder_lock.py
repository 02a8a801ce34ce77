"""One writer for a folder, on this machine and on others."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oidn_jax.data import folder_lock
from oidn_jax.data.atomic import HOST
from oidn_jax.data.folder_lock import NAME, locked
from oidn_jax.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
HOLD = "import sys, time; from pathlib import Path; from oidn_jax.data.folder_lock import locked\n"
HOLD += "with locked(Path(sys.argv[1]), print): print('held', flush=True); time.sleep(600)"


def leave(folder, machine, age_s, process=123):
    path = folder / NAME
    path.write_text(json.dumps({"machine": machine, "process": process}))
    os.utime(path, (time.time() - age_s,) * 2)


def take(folder):
    """What is said when the lock of a folder is taken and given back."""
    lines = []
    with locked(folder, lines.append):
        assert json.loads((folder / NAME).read_text()) == {"machine": HOST, "process": os.getpid()}
    assert not (folder / NAME).exists()
    return lines


def test_it_is_held_by_one_and_leaves_nothing(tmp_path):
    folder = tmp_path / "a" / "b"
    with locked(folder, print):
        with pytest.raises(InputError, match=f"process {os.getpid()} on {HOST} is writing to the workdir .*`workdir`"):
            take(folder)
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []
    folder.mkdir(parents=True)
    assert take(folder) == []
    assert folder.is_dir()


def test_it_ends_with_its_process_however_that_ends(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {holder.pid} on {HOST} is writing to"):
            take(tmp_path)
        holder.kill()
    (line,) = take(tmp_path)
    assert line.startswith(f"{tmp_path} was left locked by process {holder.pid} on {HOST}, which no longer runs")


def test_that_of_another_machine_is_judged_by_its_age(tmp_path):
    leave(tmp_path, "elsewhere", age_s=100)
    with pytest.raises(InputError, match=r"process 123 on elsewhere is writing to .*running\.lock"):
        take(tmp_path)
    assert (tmp_path / NAME).exists()
    leave(tmp_path, "elsewhere", age_s=720)
    assert "by process 123 on elsewhere, which has not touched it for 12 minutes" in take(tmp_path)[0]


def test_it_is_touched_while_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "_TOUCHED_EVERY_S", 0.01)
    with locked(tmp_path, print):
        os.utime(tmp_path / NAME, (0, 0))
        deadline = time.monotonic() + 60
        while (tmp_path / NAME).stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"machine": 1}', b"[" * 4000])
def test_a_damaged_one_stops_nobody(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    assert take(tmp_path) == []


def test_a_link_in_its_place_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / NAME).symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match="cannot write to the workdir"):
        take(tmp_path)
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot write to the workdir"):
        take(tmp_path / "file" / "run")

"""Work spread over processes: each item once, whatever happens to a process."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oidn_jax.data import workers
from oidn_jax.data.folder_lock import NAME, locked
from oidn_jax.data.workers import Workers, environment_of, share_of_cores, spread
from oidn_jax.errors import IllegalValue, InputError
from tests.data import work

ROOT = Path(__file__).resolve().parents[2]
INTERRUPTED = """
from pathlib import Path
from oidn_jax.commands.interrupts import take_interrupts
take_interrupts()
from oidn_jax.data.folder_lock import locked
from oidn_jax.data.workers import Workers, spread
from tests.data.work import write_slowly
folder = Path({folder!r})
with locked(folder, print):
    list(spread(write_slowly, folder, ["a", "b"], Workers(2), folder=folder, warn=print))
"""


@pytest.fixture(scope="module")
def scheduler():
    """The address of a scheduler with two workers, all in this process."""
    import distributed

    options = {"processes": False, "dashboard_address": None, "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def run(tmp_path):
    """A function that spreads, and gives the results by their number; the lines of warning are in `run.warned`."""

    def run(function, shared, items, those):
        run.warned = []
        with contextlib.closing(
            spread(function, shared, items, those, folder=tmp_path, warn=run.warned.append)
        ) as results:
            given = list(results)
        assert sorted(number for number, _ in given) == list(range(len(items)))  # each once
        return [result for _, result in sorted(given, key=lambda pair: pair[0])]

    return run


def test_each_item_has_its_result(run, scheduler):
    *results, last = run(work.double, 3, [*range(20), -1], Workers(scheduler=scheduler))
    assert results == [3 * number for number in range(20)]
    assert isinstance(last, ValueError)
    assert str(last) == "-1 is negative"
    assert run.warned == []


def test_what_all_items_need_is_loaded_once(run, scheduler, monkeypatch):
    loaded, loads = [], workers.pickle.loads
    monkeypatch.setattr(workers.pickle, "loads", lambda payload: loaded.append(len(payload)) or loads(payload))
    monkeypatch.setattr(workers, "_HELD", {})
    assert run(work.double, 5, list(range(9)), Workers(scheduler=scheduler)) == [5 * number for number in range(9)]
    assert len([size for size in loaded if size == len(workers.pickle.dumps((work.double, 5)))]) == 1


def test_a_worker_with_other_versions_is_refused(run, scheduler, monkeypatch):
    given = [{"jax": "0.1"}, {"jax": "0.2"}]
    monkeypatch.setattr(workers, "_versions", lambda: given.pop(0) if len(given) > 1 else given[0])
    with pytest.raises(InputError, match=r"a worker has jax 0\.2 \(here 0\.1\); start it in the environment"):
        run(work.double, 1, [1], Workers(scheduler=scheduler))


def test_a_scheduler_file(tmp_path):
    path = tmp_path / "scheduler.json"
    path.write_text(json.dumps({"address": "tcp://10.0.0.7:8786", "workers": {}}))
    assert Workers(scheduler=str(path)).address == "tcp://10.0.0.7:8786"
    path.write_text("[]")
    for wrong in (str(path), str(tmp_path / "nowhere.json"), "localhost:8786"):
        with pytest.raises(IllegalValue, match=r"`dask` is .* it must be the address of a scheduler"):
            Workers(scheduler=wrong)


def test_no_scheduler(run, monkeypatch):
    monkeypatch.setattr(workers, "_CONNECT_S", 0.5)
    with pytest.raises(InputError, match=r"no scheduler of dask answers at tcp://127\.0\.0\.1:9") as error:
        run(work.double, 1, [1], Workers(scheduler="tcp://127.0.0.1:9"))
    assert "\n" not in str(error.value)


def test_wrong_workers(monkeypatch):
    for wrong in ({}, {"count": 2, "scheduler": "tcp://a:1"}):
        with pytest.raises(InputError, match=r"give either `workers`, .* or `dask`"):
            Workers(**wrong)
    with pytest.raises(IllegalValue, match="`workers` is 0"):
        Workers(0)
    monkeypatch.setattr(workers, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"dask.distributed, which is not installed: pip install 'oidn-jax\[dask\]'"):
        Workers(2)


def test_processes_share_the_cores():
    assert [share_of_cores(i, 2, [0, 1, 4, 5, 6]) for i in range(2)] == [[0, 1], [4, 5, 6]]
    assert [share_of_cores(i, 3, [2, 3]) for i in range(3)] == [[2], [3], [2]]
    assert share_of_cores(0, 3, []) == []
    for count in range(1, 9):
        assert sorted(core for i in range(count) for core in share_of_cores(i, count, range(8))) == list(range(8))


def test_processes_share_the_gpus():
    def gpus(count, **environment):
        names = ("CUDA_VISIBLE_DEVICES", "XLA_PYTHON_CLIENT_MEM_FRACTION")
        return [tuple(environment_of(i, count, environment).get(name) for name in names) for i in range(count)]

    assert gpus(2, CUDA_VISIBLE_DEVICES="3,7") == [("3", None), ("7", None)]
    assert gpus(3, CUDA_VISIBLE_DEVICES="3,7") == [("3", "0.375"), ("7", "0.375"), ("3", "0.375")]
    assert gpus(2, CUDA_VISIBLE_DEVICES="1", XLA_PYTHON_CLIENT_MEM_FRACTION="0.2")[1] == ("1", "0.2")
    assert gpus(1, CUDA_VISIBLE_DEVICES="") == [("", None)]
    assert gpus(1, CUDA_VISIBLE_DEVICES="0,1", JAX_PLATFORMS="cpu") == [("0,1", None)]


def test_a_process_that_is_killed_loses_nothing(tmp_path, run):
    names = ["a", "b", "c", "d"]
    assert run(work.write, tmp_path, names, Workers(2)) == names
    assert {name: (tmp_path / name).read_text() for name in names} == dict.fromkeys(names, "half of all")
    begun = (tmp_path / "log").read_text().split()
    assert set(begun) == set(names)
    assert begun.count("b") == 2
    assert len(begun) <= 6  # the item before may be written again, where its result died with the process
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert sum("has ended by signal 9; another one takes its place" in line for line in run.warned) == 1


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_leaves_nothing(tmp_path):
    code = INTERRUPTED.format(folder=str(tmp_path))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, **options)
    try:
        deadline = time.monotonic() + 300
        while not all((tmp_path / f"{name} has begun").exists() for name in "ab"):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert len(list(tmp_path.glob(".*.partial"))) == 2
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert err == "stopped\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a has begun", "b has begun"]


@pytest.mark.slow
def test_an_item_that_kills_its_processes_is_given_up(run):
    first, *rest = run(work.dies, None, [-1, 1, 2], Workers(1))
    assert rest == [1, 2]
    assert isinstance(first, InputError)
    assert "all processes that worked on it died" in str(first)


@pytest.mark.slow
def test_processes_are_kept_to_their_cores(run):
    mine = sorted(os.sched_getaffinity(0))
    for process, cores in run(work.where, None, list(range(8)), Workers(2)):
        assert process != os.getpid()
        assert set(cores) <= set(mine)
        assert len(cores) == max(len(mine) // 2, 1)


def test_the_lock_names_its_setting(tmp_path):
    message = f"is writing to the folder {tmp_path}; wait until it ends, or use another `out`"
    with locked(tmp_path, print), pytest.raises(InputError, match=message), locked(tmp_path, print, setting="out"):
        pass
    assert not (tmp_path / NAME).exists()

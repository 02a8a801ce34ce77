"""Work spread over processes by `dask.distributed`: those of a scheduler that runs already, or some of this machine.

Contract: each item is worked on by one process at a time, and its result is given once. An item whose process dies is
worked on again by another one, as is one whose result was still on its way then. What all items need (a trained model)
is sent once, and loaded once in each process, which also compiles its programs once; a process works on one item at a
time, however many threads it was given. Processes of this machine are kept to its cores, a share for each, and a new
one takes the place of one that ends.
"""

import contextlib
import hashlib
import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from oidn_jax.data.atomic import at_end, remove_leftovers
from oidn_jax.data.regular_file import read_small
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.version import __version__

_CONNECT_S, _LOOK_EVERY_S, _RESULT_S, _END_S = 20.0, 0.05, 1.0, 5.0
_MOST_BYTES = 10**7
_ALIKE = ("jax", "jaxlib", "numpy")
# Of a GPU's memory, what jax takes of it at once where one process has it.
_GPU_SHARE = 0.75
# The cores are taken before anything that counts them is imported.
_PROCESS = """\
import os, sys
cores = sys.argv.pop(1)
if cores:
    os.sched_setaffinity(0, map(int, cores.split(",")))
from distributed.cli.dask_worker import main
main()
"""

# In a process of a worker: what the items of a run need, by the digest of its pickle.
_HELD: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {}
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Workers:
    """Processes that work is spread over; one of the two is given.

    Attributes:
        count: of processes to start on this machine.
        scheduler: of dask, which runs already: its address, as `tcp://host:port`, or the path of its scheduler file.

    Raises:
        InputError: none of them or both; `dask.distributed` is not installed.
        IllegalValue: no processes; neither an address nor a scheduler file.
    """

    count: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if (self.count is None) == (self.scheduler is None):
            raise InputError("give either `workers`, a number of processes, or `dask`, a scheduler that runs already")
        if self.count is not None and self.count < 1:
            raise IllegalValue("workers", self.count, "it must be a whole number of at least 1")
        if find_spec("distributed") is None:
            raise InputError(
                "work is spread over processes by dask.distributed, which is not installed: pip install "
                "'oidn-jax[dask]', or leave `workers` and `dask` out"
            )
        if self.scheduler is not None:
            _ = self.address

    @property
    def address(self) -> str:
        """Of the scheduler that runs already."""
        assert self.scheduler is not None
        if "://" in self.scheduler:
            return self.scheduler
        try:
            return str(json.loads(read_small(Path(self.scheduler), most_bytes=_MOST_BYTES))["address"])
        except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise IllegalValue(
                "dask",
                self.scheduler,
                f"it must be the address of a scheduler, as tcp://host:port, or the file of one ({error})",
            ) from error


def spread(
    function: Callable[[Any, Any], Any],
    shared: Any,
    items: Sequence[Any],
    workers: Workers,
    *,
    folder: Path,
    warn: Callable[[str], None],
) -> Generator[tuple[int, Any], None, None]:
    """Applies `function(shared, item)` to each item in some process; gives numbers and results as they come.

    Where the function raises an error, this is the result, as is an `InputError` where all processes died that worked
    on an item. To be closed when it is left early: items that nobody has begun are then never begun.

    Args:
        function: at the top of a module; picklable, as `shared`, the items and the results are.
        shared: what all items need.
        items: what is to be done.
        workers: who does it.
        folder: that the function writes to, from which the half-written files of processes that died are removed.
        warn: called with a line where a process has ended, or where there is none yet.

    Raises:
        InputError: no scheduler, or one that ends; processes that cannot work, or have other versions than this one.
    """
    payload = pickle.dumps((function, shared))
    with contextlib.ExitStack() as stack:
        stack.enter_context(_without_log())
        local = None if workers.count is None else stack.enter_context(_local(workers.count, folder, warn))
        address = workers.address if local is None else local.address
        client = stack.enter_context(_connected(address))
        if local is None and not client.nthreads():
            warn(f"the scheduler at {address} has no workers yet; the work begins when they come")
        yield from _results(client, payload, items, address, local)


def _results(
    client: Any, payload: bytes, items: Sequence[Any], address: str, local: "_Local | None"
) -> Generator[tuple[int, Any], None, None]:
    from dask import config
    from distributed import CancelledError, KilledWorker

    token = hashlib.sha256(payload).hexdigest()
    told, folder = _versions(), os.getcwd()
    with config.set({"distributed.admin.large-graph-warning-threshold": f"{10 * len(payload) + 10**9}B"}):
        # As a task of its own the scheduler keeps it, and gives it again where the process that had it has died.
        kept = client.submit(_same, payload, key=f"settings-{token[:16]}-{time.time_ns()}")

    def done(numbers: Sequence[int]) -> Generator[tuple[int, Any], None, None]:
        some = [items[number] for number in numbers]
        futures = client.map(_apply, some, payload=kept, token=token, told=told, folder=folder, pure=False)
        for index, result in _as_they_come(client, futures, local):
            if isinstance(result, CancelledError):
                raise InputError(
                    f"the scheduler at {address} has ended, or dropped the work; what is written stays: go on with "
                    "`resume`"
                )
            if isinstance(result, ImportError):
                raise InputError(f"a worker at {address} cannot work ({result}); start it in this environment")
            if isinstance(result, _OtherVersions):
                raise result
            yield numbers[index], result

    suspects = []
    for number, result in done(range(len(items))):
        if isinstance(result, KilledWorker):
            suspects.append(number)
        else:
            yield number, result
    # Dask blames the items that waited for a process too: each is tried again, with nothing beside it.
    for suspect in suspects:
        for number, result in done([suspect]):
            given_up = isinstance(result, KilledWorker)
            words = "all processes that worked on it died, perhaps for want of memory; take it out, or do it alone"
            yield number, InputError(words) if given_up else result


def _as_they_come(client: Any, futures: list[Any], local: "_Local | None") -> Generator[tuple[int, Any], None, None]:
    """Numbers and results of tasks; those that have not been begun are cancelled when it is left early."""
    from distributed import as_completed

    numbers = {future.key: number for number, future in enumerate(futures)}
    completed = as_completed(futures, loop=client.loop)
    futures.clear()  # dask forgets a result when nobody has its future any more
    try:
        while completed.count():
            if local is not None:
                local.replace_ended()
            if not completed.has_ready():
                time.sleep(_LOOK_EVERY_S)
                continue
            for future in completed.next_batch(block=False):
                result = _result(future, local)
                if local is not None:
                    local.ended_in_a_row = 0
                yield numbers[future.key], result
    finally:
        client.cancel(list(completed.futures))


def _result(future: Any, local: "_Local | None") -> Any:
    """Of a task that has ended, or its error; where the process that had it died just then, it is made again."""
    while True:
        try:
            return future.result(timeout=_RESULT_S)
        except TimeoutError as error:
            if future.status == "error":
                return error
            if local is not None:
                local.replace_ended()
        except Exception as error:
            return error


class _OtherVersions(InputError):
    """A worker is no worker for this command."""


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """What dask tells of each step is not for users; what they should know of it, this file tells."""
    import distributed  # noqa: F401 -- sets the levels when it is imported

    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    from distributed import Client

    try:
        client = Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"no scheduler of dask answers at {address} ({error}); check `dask`") from error
    try:
        yield client
    finally:
        client.close()


def _same(payload: bytes) -> bytes:
    return payload


def _versions() -> dict[str, str]:
    """Of what the bits of an image depend on most."""
    return {"oidn_jax": __version__, **{name: metadata.version(name) for name in _ALIKE}}


def _apply(item: Any, *, payload: bytes, token: str, told: Mapping[str, str], folder: str) -> Any:
    """What a task does, in the process of a worker."""
    other = {name: version for name, version in _versions().items() if version != told[name]}
    if other:
        theirs = ", ".join(f"{name} {version} (here {told[name]})" for name, version in other.items())
        raise _OtherVersions(f"a worker has {theirs}; start it in the environment of this command")
    # Relative paths are those of the command, where its folder is seen here too.
    beside = contextlib.chdir(folder) if os.path.isdir(folder) else contextlib.nullcontext()
    with _ONE_AT_A_TIME, beside:
        if token not in _HELD:
            _HELD.clear()
            _HELD[token] = pickle.loads(payload)
        function, shared = _HELD[token]
        return function(shared, item)


@contextlib.contextmanager
def _local(count: int, folder: Path, warn: Callable[[str], None]) -> Iterator["_Local"]:
    """A scheduler in this process, which only this machine reaches, and processes that work for it."""
    from distributed import LocalCluster

    cluster = LocalCluster(
        n_workers=0,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        # No dashboard; but what tells of the scheduler's health would listen to the whole network.
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
    )
    with cluster:
        local = _Local(count, cluster.scheduler_address, folder, warn)
        with at_end(local.stop):
            try:
                local.start()
                yield local
            finally:
                local.stop()


class _Local:
    """Processes of this machine.

    Attributes:
        address: of their scheduler.
        ended_in_a_row: how many of them have ended since a result came.
    """

    def __init__(self, count: int, address: str, folder: Path, warn: Callable[[str], None]) -> None:
        """Starts none yet."""
        self.address, self.ended_in_a_row = address, 0
        self._count, self._folder, self._warn = count, folder, warn
        self._scratch = Path(tempfile.mkdtemp(prefix="oidn-jax-"))
        self._processes: list[subprocess.Popen] = []
        self._stopped = False

    def start(self) -> None:
        """All of them."""
        cores = _cores()
        if 0 < len(cores) < self._count:
            self._warn(f"`workers` is {self._count}, and this process may use {len(cores)} cores, which they share")
        self._processes = [self._start(number) for number in range(self._count)]

    def _start(self, number: int) -> subprocess.Popen:
        cores = ",".join(map(str, share_of_cores(number, self._count, _cores())))
        options = ["nthreads=1", f"name={number}", "no-nanny", "memory-limit=0", "death-timeout=60", "host=127.0.0.1"]
        options += ["no-dashboard", "dashboard-address=127.0.0.1:0", f"local-directory={self._scratch}"]
        words = [self.address, *(f"--{option}" for option in options)]
        return subprocess.Popen(
            [sys.executable, "-c", _PROCESS, cores, *words],
            env=environment_of(number, self._count, os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C of the terminal is for this process, which then ends them
        )

    def replace_ended(self) -> None:
        """Starts a process for each that has ended.

        Raises:
            InputError: where they end and end.
        """
        for number, process in enumerate(self._processes):
            code = process.poll()
            if code is None or self._stopped:
                continue
            end = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            self.ended_in_a_row += 1
            # A file that kills each process it comes to costs four, until dask gives it up.
            if self.ended_in_a_row > 5 * self._count:
                raise InputError(f"the processes of `workers` end as soon as they begin, the last {end}")
            self._warn(f"process {process.pid} has ended {end}; another one takes its place, and its file")
            self._processes[number] = self._start(number)

    def stop(self) -> None:
        """Ends them, and removes what they have half written."""
        self._stopped = True
        for process in self._processes:
            with contextlib.suppress(OSError):
                process.kill()
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
        remove_leftovers(self._folder)
        shutil.rmtree(self._scratch, ignore_errors=True)


def _cores() -> list[int]:
    """That this process may use; none where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def share_of_cores(number: int, count: int, cores: Sequence[int]) -> list[int]:
    """Of process `number` of `count`: none has a core of another, unless there are more processes than cores."""
    if count >= len(cores):
        return [cores[number % len(cores)]] if cores else []
    return list(cores[number * len(cores) // count : (number + 1) * len(cores) // count])


def environment_of(number: int, count: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Of process `number` of `count`: this package, no lines of dask, and one GPU where there are some."""
    here = str(Path(__file__).parents[2])
    paths = [path for path in (here, environment.get("PYTHONPATH")) if path]
    own = {**environment, "PYTHONPATH": os.pathsep.join(paths), "DASK_LOGGING__DISTRIBUTED": "critical"}
    gpus = _gpus(environment)
    if gpus:
        own["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        sharing = -(-count // len(gpus))
        if sharing > 1:
            own.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{_GPU_SHARE / sharing:.3f}")
    return own


def _gpus(environment: Mapping[str, str]) -> list[str]:
    """Names of the GPUs by NVIDIA that processes may use."""
    if environment.get("JAX_PLATFORMS") == "cpu":
        return []
    if "CUDA_VISIBLE_DEVICES" in environment:
        return [name for name in environment["CUDA_VISIBLE_DEVICES"].split(",") if name]
    return [str(number) for number, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]

"""Everything that knows about devices and hosts: data parallelism by `jax.pmap`.

`jax.pmap` is jit and shard_map inside since JAX 0.8 and in maintenance; nothing outside this file knows that it is
used. With `out_axes=None` the outputs are taken from one replica, so a step must `pmean` all that depends on its batch.
"""

import atexit
import contextlib
import ctypes
import ipaddress
import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NoReturn, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxlib import utils as jaxlib_utils  # pyright: ignore[reportAttributeAccessIssue]

from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.training.settings import DistributedSettings

AXIS = "batch"
# A host that is not heard of for so long is given up, and one that ends waits so long for the others.
_SILENCE_S, _FAREWELL_S = 30, 30
_LOST = (
    "the other hosts are lost: one of them has ended, cannot be reached, or did not come, and says why in its own last "
    "line; the same command on every host goes on from the last checkpoint"
)
_NO_CPP_LINES = 4  # above absl's FATAL
_ENDING = threading.Event()  # this process has said what it had to

T = TypeVar("T")


class HostLost(RuntimeError):
    """Another host has ended, or cannot be reached."""


def initialise(settings: DistributedSettings) -> None:
    """Join the other hosts, if the settings say so; before any other use of jax.

    Raises:
        IllegalValue: if no cluster is found where the environment must tell who takes part.
    """
    if not settings.enabled:
        return
    _end_in_one_line()
    join = partial(
        jax.distributed.initialize, heartbeat_timeout_seconds=_SILENCE_S, shutdown_timeout_seconds=_FAREWELL_S
    )
    if settings.coordinator:
        join(
            coordinator_address=settings.coordinator,
            num_processes=settings.num_processes,
            process_id=settings.process_id,
            coordinator_bind_address=settings.coordinator if _is_loopback(settings.coordinator) else None,
        )
        return
    try:
        join()
    except ValueError as error:
        legal = "no cluster was found in the environment: give HOST:PORT, and `distributed.process_id` to each host"
        raise IllegalValue("distributed.coordinator", "", legal) from error


def _is_loopback(coordinator: str) -> bool:
    """Whether only this machine can reach the coordinator, which then listens to nobody else (jax: to everybody)."""
    host = coordinator.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _end_in_one_line() -> None:
    """When another host is lost, jax aborts the process from C++, past Python: let that be one line and exit code 1.

    `TF_CPP_MIN_LOG_LEVEL=0` in the environment leaves jax's own lines there.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "0":  # jax sets it to 1
        jaxlib_utils.absl_set_min_log_level(_NO_CPP_LINES)
    ctypes.CDLL(None).signal(signal.SIGABRT, _on_abort)
    atexit.register(_ENDING.set)  # before jax's own farewell, which fails where a host is lost


@ctypes.CFUNCTYPE(None, ctypes.c_int)
def _on_abort(_: int) -> NoReturn:
    if not _ENDING.is_set():
        os.write(2, f"error: {_LOST}\n".encode())
    os._exit(1)


@contextlib.contextmanager
def lost_hosts_named() -> Iterator[None]:
    """Makes what jax raises inside the block when a host is lost a `HostLost`.

    Raises:
        HostLost: see above.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        reason = str(error).partition("\n")[0]
        raise HostLost(f"{_LOST} ({reason})") from error


def process_index() -> int:
    """Number of this process among the hosts."""
    return jax.process_index()


def process_count() -> int:
    """How many hosts there are."""
    return jax.process_count()


def is_main_process() -> bool:
    """Whether this process is the one that writes logs and pictures."""
    return process_index() == 0


def describe_devices() -> str:
    """For example `2 cpu devices on 1 host`."""
    count, hosts = jax.device_count(), jax.process_count()
    devices = f"{count} {jax.devices()[0].platform} device{'s' * (count > 1)}"
    return f"{devices} on {hosts} host{'s' * (hosts > 1)}"


def peak_memory_bytes() -> int:
    """The most that was in use at one time: on the fullest device of this host, or of this process in RAM.

    The latter where the platform does not count the memory of its devices, as on a CPU.
    """
    counts = [device.memory_stats() or {} for device in jax.local_devices()]
    peaks = [count["peak_bytes_in_use"] for count in counts if "peak_bytes_in_use" in count]
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return max(peaks) if peaks else unit_bytes * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def per_device_batch(batch_size: int) -> int:
    """Samples per device of a global batch.

    Raises:
        IllegalValue: if the devices cannot share it evenly.
    """
    count = jax.device_count()
    if batch_size < 1 or batch_size % count:
        legal = f"it must be a multiple of the {describe_devices()}, as {max(batch_size // count, 1) * count}"
        raise IllegalValue("train.batch_size", batch_size, legal)
    return batch_size // count


def shard(batch: Any) -> Any:
    """A batch of this host for its devices: arrays (b, h, w, c) are cut, those with a device axis are ready.

    Raises:
        ValueError: if the devices cannot share it evenly.
    """
    count = jax.local_device_count()

    def cut(array: Any) -> Any:
        if array.ndim > 4:
            return array
        if len(array) % count:
            raise ValueError(f"a batch of {len(array)} samples cannot be shared by {count} devices")
        return np.reshape(array, (count, len(array) // count, *array.shape[1:]))

    return jax.tree.map(cut, batch)


def replicate(tree: Any) -> Any:
    """Put a tree of host values on every device of this host, as pmap returns it.

    Done before the first step, which otherwise would compile twice.
    """
    sharding = NamedSharding(Mesh(np.array(jax.local_devices()), (AXIS,)), PartitionSpec())
    return jax.device_put(jax.device_get(tree), sharding)


def data_parallel(step: Callable) -> Callable:
    """`step(state, batch) -> (state, metrics)` over the devices: the state on all of them, the batch split."""
    return jax.pmap(step, axis_name=AXIS, in_axes=(None, 0), out_axes=(None, None), donate_argnums=0)


def on_each_device(generate: Callable) -> Callable:
    """`generate(key) -> batch` on each device, as a function of (key, step).

    Each device gets `fold_in(fold_in(key, step), device)`, so that the data of a step depend on nothing else.
    """

    def generate_here(_: Any, key: Any, step: Any) -> Any:
        return generate(jax.random.fold_in(jax.random.fold_in(key, step), jax.lax.axis_index(AXIS)))

    mapped = jax.pmap(generate_here, axis_name=AXIS, in_axes=(0, None, None))
    device_slots = np.arange(jax.local_device_count())
    return lambda key, step: mapped(device_slots, key, np.int32(step))


def any_process(flag: bool, *, ask: bool) -> bool:
    """Whether the flag is set on any host.

    Args:
        flag: of this host.
        ask: whether to ask the other hosts now, the same on all of them; where not, several hosts answer False.
    """
    if jax.process_count() == 1:
        return flag
    return ask and any(gather(flag))


def gather(value: Any) -> list[Any]:
    """What each host gives, anything that JSON can hold, by the number of the host; on every host the same."""
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    if jax.process_count() == 1:
        return [json.loads(bytes(text))]
    sizes = np.ravel(multihost_utils.process_allgather(np.asarray([len(text)], np.int32)))
    texts = multihost_utils.process_allgather(np.pad(text, (0, max(sizes) - len(text))))
    return [json.loads(bytes(row[:size])) for row, size in zip(np.asarray(texts), sizes, strict=True)]


def agree(facts: Mapping[str, Any]) -> None:
    """Refuses hosts that would do different things, and then wait for each other for ever.

    Args:
        facts: by their names as settings, as JSON can hold them.

    Raises:
        InputError: on every host, naming the first fact that differs.
    """
    first, *others = gather(dict(facts))
    for host, theirs in enumerate(others, start=1):
        for name in sorted(first.keys() | theirs.keys()):
            if first.get(name) != theirs.get(name):
                raise InputError(
                    f"the hosts disagree: `{name}` is {first.get(name)!r} on host 0 and {theirs.get(name)!r} on host "
                    f"{host}; give all of them the same command, and a `workdir` on a file system that they share"
                )


def on_all(prepare: Callable[[], T]) -> T:
    """What `prepare` gives on this host, if it succeeds on every host.

    Raises:
        InputError: that of `prepare`, and on the other hosts what it said.
    """
    prepared, error = [], None
    try:
        prepared = [prepare()]
    except InputError as refused:
        error = refused
    for host, reason in enumerate(gather(error and str(error))):
        if reason and not error:
            raise InputError(f"host {host} cannot begin: {reason}")
    if error:
        raise error
    return prepared[0]


def wait_for_all() -> None:
    """Returns when every host has come here: the end of one would end the others."""
    gather(None)

"""Everything that knows about devices and hosts: data parallelism by `jax.pmap`.

`jax.pmap` is jit and shard_map inside since JAX 0.8 and in maintenance; nothing outside this file knows that it is
used. With `out_axes=None` the outputs are taken from one replica, so a step must `pmean` all that depends on its batch.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from oidn_jax.errors import IllegalValue
from oidn_jax.training.settings import DistributedSettings

AXIS = "batch"


def initialise(settings: DistributedSettings) -> None:
    """Join the other hosts, if the settings say so; before any other use of jax.

    Raises:
        IllegalValue: if no cluster is found where the environment must tell who takes part.
    """
    if not settings.enabled:
        return
    if settings.coordinator:
        jax.distributed.initialize(
            coordinator_address=settings.coordinator,
            num_processes=settings.num_processes,
            process_id=settings.process_id,
        )
        return
    try:
        jax.distributed.initialize()
    except ValueError as error:
        legal = "no cluster was found in the environment: give HOST:PORT, and `distributed.process_id` to each host"
        raise IllegalValue("distributed.coordinator", "", legal) from error


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
    return ask and bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def from_main_process(value: float) -> float:
    """The main process's value on every host, so that all decide alike."""
    if jax.process_count() == 1:
        return value
    return float(multihost_utils.broadcast_one_to_all(np.float32(value)))

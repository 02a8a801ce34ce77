"""Where the batches of a run come from.

A source is a function `batch_at(step) -> batch` on the host, called once for each step from 1 on, ahead of the step
that uses it; a run that is resumed at step n asks for n + 1 next, so what it returns may depend on the step alone. The
batch is `inputs` (b, h, w, channels) and `target` (b, scale*h, scale*w, 1), float32, normalised; of a guided network
guides and target in the guides' unit, and perhaps `peak` (b, 1, 1, 1), by which the loss divides. They are numpy arrays
of this host's share of `batch_size`, as read from files, or arrays that `parallel.on_each_device` made on the devices.
Nothing of a source is traced.
"""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import numpy as np

from oidn_jax.errors import InputError
from oidn_jax.models.networks import build_network, input_channels
from oidn_jax.simulation.guided_pairs import simulate_guided_batch
from oidn_jax.simulation.pairs import simulate_training_batch
from oidn_jax.simulation.settings import Simulation
from oidn_jax.training import parallel
from oidn_jax.training.settings import TrainingRun

Batch = Mapping[str, jax.Array | np.ndarray]
BatchAt = Callable[[int], Batch]

_LARGEST = 20.0  # a bright spot outside the patch that a normalisation was fitted to, but no counts


def simulated_batches(run: TrainingRun) -> BatchAt:
    """Acquisitions simulated on the devices, never twice the same; those of a batch are of one of `run.simulations`.

    These take turns, in an order that is another one in each round.

    Raises:
        IllegalValue: if the devices cannot share a batch evenly.
    """
    key, count = jax.random.key(run.seed + 1), len(run.simulations)
    each = distinct_simulations(run)
    programs = [parallel.on_each_device(_simulate(run, simulation)) for simulation in each]
    turns = [programs[each.index(simulation)] for simulation in run.simulations]

    def batch_at(step: int) -> Batch:
        order = np.random.default_rng((run.seed, step // count)).permutation(count)
        return turns[order[step % count]](key, step)

    return batch_at


def distinct_simulations(run: TrainingRun) -> list[Simulation]:
    """Those of a run, each of which is a program; the same one may be named twice."""
    return [simulation for i, simulation in enumerate(run.simulations) if simulation not in run.simulations[:i]]


def _simulate(run: TrainingRun, simulation: Simulation) -> Callable[[jax.Array], Batch]:
    """Batches of one simulation by key, as the network takes them."""
    count, size = parallel.per_device_batch(run.train.batch_size), (run.train.patch, run.train.patch)
    if run.guided:
        return partial(simulate_guided_batch, batch_size=count, simulation=simulation, size=size)
    return partial(
        simulate_training_batch,
        batch_size=count,
        simulation=simulation,
        size=size,
        normalisation=run.data.normalisation,
    )


def checked_batches(batch_at: BatchAt, run: TrainingRun) -> BatchAt:
    """A source whose numpy batches are looked at before they reach the devices.

    Raises:
        InputError: when a batch is asked for that has other keys, shapes or types than the run needs, NaN, or values
            so far from 0 to 1 that nobody has normalised them. Arrays on devices are taken as they are.
    """
    share = run.train.batch_size // parallel.process_count()
    patch, fine = run.train.patch, run.microscope.scale * run.train.patch
    channels = input_channels(build_network(run.model, run.microscope))
    shapes = {"inputs": (share, patch, patch, channels), "target": (share, fine, fine, 1)}
    legal = shapes | ({"peak": (share, 1, 1, 1)} if run.guided else {})  # which a batch may do without
    largest = np.finfo(np.float32).max if run.guided else _LARGEST  # guides are in a unit, and nobody normalises them

    def checked(step: int) -> Batch:
        batch = batch_at(step)
        if not set(shapes) <= set(batch) <= set(legal):
            raise InputError(f"the batch of step {step} has {', '.join(batch)}; it must have {', '.join(shapes)}")
        for name, array in batch.items():
            if not isinstance(array, np.ndarray):
                continue
            if array.shape != legal[name] or array.dtype != np.float32:
                raise InputError(
                    f"{name} of step {step} is {array.dtype} {array.shape}; it must be float32 {legal[name]} "
                    "(`train.batch_size` over the hosts, `train.patch`)"
                )
            if not np.abs(array).max() <= largest:
                raise InputError(
                    f"{name} of step {step} has values from {array.min():g} to {array.max():g}; they must be "
                    "normalised, about 0 to 1 (`data.normalisation`)"
                )
        return batch

    return checked

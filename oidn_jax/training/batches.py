"""Where the batches of a run come from.

A source is a function `batch_at(step) -> batch` on the host, called once for each step from 1 on, ahead of the step
that uses it; a run that is resumed at step n asks for n + 1 next, so what it returns may depend on the step alone. The
batch is `raw_frames` (b, h, w, frames) and `target` (b, scale*h, scale*w, 1), float32, normalised: numpy arrays of this
host's share of `batch_size`, as read from files, or arrays that `parallel.on_each_device` made on the devices. Nothing
of a source is traced.
"""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import numpy as np

from oidn_jax.simulation.pairs import simulate_training_batch
from oidn_jax.training import parallel
from oidn_jax.training.settings import TrainingRun

Batch = Mapping[str, jax.Array | np.ndarray]
BatchAt = Callable[[int], Batch]


def simulated_batches(run: TrainingRun) -> BatchAt:
    """Acquisitions simulated on the devices, never twice the same.

    Raises:
        IllegalValue: if the devices cannot share a batch evenly.
    """
    simulate = partial(
        simulate_training_batch,
        batch_size=parallel.per_device_batch(run.train.batch_size),
        simulation=run.simulation,
        size=(run.train.patch, run.train.patch),
        normalisation=run.data.normalisation,
    )
    return partial(parallel.on_each_device(simulate), jax.random.key(run.seed + 1))

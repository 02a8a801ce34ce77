"""Speed of the simulated training data against the train step, and error and speed of its Poisson numbers.

python -m benchmarks.simulation [--networks quick paper] [--rounds 5] [--record]

For every specimen: milliseconds for a patch of the stream that training consumes, patches per second, and how many
times as fast as the train step of the same configuration consumes them, in one run. For the Poisson numbers: the exact
distance of their distribution from Poisson's, and the time against `jax.random.poisson`.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.record import Column, RecordedTable, record
from oidn_jax.config import SIZES, experiment_of, specimen_config
from oidn_jax.models.networks import build_network
from oidn_jax.optics.noise import poisson, poisson_quantile
from oidn_jax.simulation.pairs import simulate_training_batch
from oidn_jax.simulation.specimens import SPECIMENS
from oidn_jax.training.state import build_optimizer, initial_state
from oidn_jax.training.step import StepSettings, train_step

quantiles = jax.jit(poisson_quantile)
MEANS = (0.1, 1.0, 4.0, 7.9, 8.1, 15.0, 60.0, 600.0)


def median_seconds(functions: dict[str, Callable[[], Any]], *, rounds: int) -> dict[str, float]:
    """Median time of each function, all of them in turn; the first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for round_number in range(rounds + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function())
            if round_number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def stream_table(size: str, *, rounds: int) -> RecordedTable:
    """The stream of each specimen against the train step."""
    functions: dict[str, Callable[[], Any]] = {}
    runs = {name: experiment_of(specimen_config(name, size)).run for name in SPECIMENS}
    for specimen, run in runs.items():
        generate = jax.jit(
            partial(
                simulate_training_batch,
                batch_size=run.train.batch_size,
                simulation=run.simulation,
                size=(run.train.patch, run.train.patch),
                normalisation=run.data.normalisation,
            )
        )
        functions[specimen] = partial(generate, jax.random.key(0))
    run = runs["er"]
    network, optimizer = build_network(run.model, run.microscope), build_optimizer(run.train)
    step = jax.jit(partial(train_step, settings=StepSettings(network, optimizer, run.loss.weights)))
    functions["train step"] = partial(step, initial_state(run, network, optimizer), functions["er"]())
    seconds = median_seconds(functions, rounds=rounds)

    patches, patch = run.train.batch_size, run.train.patch
    columns = [
        Column(f"{size}, {patch} × {patch}"),
        Column("ms per patch", "{:.0f}"),
        Column("patches per s", "{:.1f}"),
        Column("times the train step's rate", "{:.1f}"),
    ]
    rows = [
        [name, 1e3 * value / patches, patches / value, None if name == "train step" else seconds["train step"] / value]
        for name, value in seconds.items()
    ]
    return RecordedTable(size, f"{patches} patches, {jax.devices()[0].device_kind}, median", columns, rows)


def distance_from_poisson(mean: float) -> tuple[float, float, float]:
    """Total variation distance, and relative errors of mean and variance, without sampling error.

    The numbers are a monotonic function of a normal number: evenly spaced quantiles of it give their distribution.
    """
    steps = 2**20
    w = jax.scipy.special.ndtri((jnp.arange(steps) + 0.5) / steps)
    numbers = np.asarray(quantiles(w, jnp.full(steps, mean))).astype(int)
    most = int(mean + 12 * math.sqrt(mean) + 20)
    n = np.arange(most + 1)
    expected = np.exp(n * math.log(mean) - mean - np.array([math.lgamma(k + 1) for k in n]))
    share = np.bincount(numbers, minlength=most + 1)[: most + 1] / steps
    return 0.5 * float(np.abs(share - expected).sum()), numbers.mean() / mean - 1.0, numbers.var() / mean - 1.0


def poisson_table(*, rounds: int) -> RecordedTable:
    """Error of the Poisson numbers, and time for a million of them."""
    columns = [
        Column("mean", "{:g}"),
        Column("total variation", "{:.0e}"),
        Column("error of the mean", "{:.0e}"),
        Column("error of the variance", "{:.0e}"),
        Column("ms", "{:.0f}"),
        Column("`jax.random.poisson`, ms", "{:.0f}"),
        Column("ratio", "{:.0f}"),
    ]
    rows = []
    key = jax.random.key(0)
    ours, theirs = jax.jit(poisson), jax.jit(jax.random.poisson)
    for mean in MEANS:
        light = jnp.full((1000, 1000), mean)
        seconds = median_seconds(
            {"ours": partial(ours, key, light), "theirs": partial(theirs, key, light)}, rounds=rounds
        )
        took, theirs_took = seconds["ours"], seconds["theirs"]
        rows.append([mean, *distance_from_poisson(mean), 1e3 * took, 1e3 * theirs_took, theirs_took / took])
    return RecordedTable("poisson", f"a million Poisson numbers, {jax.devices()[0].device_kind}, median", columns, rows)


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=SIZES, default=SIZES, help="default: all")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default 5)")
    parser.add_argument("--record", action="store_true", help="write docs/benchmarks/simulation.json")
    options = parser.parse_args()
    tables = [poisson_table(rounds=options.rounds)]
    tables += [stream_table(size, rounds=options.rounds) for size in options.networks]
    for table in tables:
        table.print()
    if options.record:
        record("simulation", tables)


if __name__ == "__main__":
    main()

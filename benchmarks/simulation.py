"""Speed of the simulated training data against the train step, and error and speed of its Poisson numbers.

python -m benchmarks.simulation [--network paper] [--rounds 5]

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
from rich.table import Table

from benchmarks import record
from oidn_jax.config import SIZES, experiment_of, load_config
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


def stream_table(size: str, *, rounds: int) -> Table:
    """The stream of each specimen against the train step."""
    functions: dict[str, Callable[[], Any]] = {}
    runs = {name: experiment_of(load_config(f"{name}:{size}")).run for name in SPECIMENS}
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
    step = jax.jit(partial(train_step, settings=StepSettings(network, optimizer, dict(run.loss.weights))))
    functions["train step"] = partial(step, initial_state(run, network, optimizer), functions["er"]())
    seconds = median_seconds(functions, rounds=rounds)

    patches = run.train.batch_size
    table = Table(title=f"{size}: {patches} patches of {run.train.patch}, {jax.devices()[0].device_kind}, median")
    for column in ("", "ms per patch", "patches per s", "times the train step's rate"):
        table.add_column(column, justify="right" if column else "left")
    for name, value in seconds.items():
        ratio = "" if name == "train step" else f"{seconds['train step'] / value:.1f}"
        table.add_row(name, f"{1e3 * value / patches:.1f}", f"{patches / value:.1f}", ratio)
    return table


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


def poisson_table(*, rounds: int) -> Table:
    """Error of the Poisson numbers, and time for a million of them."""
    table = Table(title=f"Poisson numbers, a million of them, {jax.devices()[0].device_kind}, median")
    columns = (
        "mean",
        "total variation",
        "mean, relative",
        "variance, relative",
        "ms",
        "jax.random.poisson ms",
        "ratio",
    )
    for column in columns:
        table.add_column(column, justify="right")
    key = jax.random.key(0)
    ours, theirs = jax.jit(poisson), jax.jit(jax.random.poisson)
    for mean in MEANS:
        light = jnp.full((1000, 1000), mean)
        seconds = median_seconds(
            {"ours": partial(ours, key, light), "theirs": partial(theirs, key, light)}, rounds=rounds
        )
        errors = [f"{error:.0e}" for error in distance_from_poisson(mean)]
        times = [f"{1e3 * seconds[name]:.0f}" for name in ("ours", "theirs")]
        table.add_row(f"{mean:g}", *errors, *times, f"{seconds['theirs'] / seconds['ours']:.0f}")
    return table


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=SIZES, default="quick", help="default: quick")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default 5)")
    options = parser.parse_args()
    tables = [poisson_table(rounds=options.rounds), stream_table(options.network, rounds=options.rounds)]
    record.show(f"simulation_{options.network}", tables)


if __name__ == "__main__":
    main()

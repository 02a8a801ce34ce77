"""Speed and memory of OIDN, against the rate of a bare convolution in the same run: python -m benchmarks.network.

Prints seconds per patch, GFLOP/s, peak memory and compile time of the forward pass, forward + backward and a train step
(batch 1; the step also has the loss and Adam), and the rate of one 64-to-64 3x3 convolution, forward and forward +
backward. The rounds of all of them are interleaved and medians are compared, so a slow moment hits all alike.

FLOPs are those of the convolutions (a multiply and an add are two), counted on the traced network; a train step counts
three times the forward pass. The gated 1x1 products (under 2 %), transforms, attention statistics and the optimiser
are not counted, their time is.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.record import Column, RecordedTable, record
from oidn_jax import random
from oidn_jax.config import default_config, experiment_of
from oidn_jax.models.layers import LAYOUT, conv_same
from oidn_jax.models.networks import build_network, predict
from oidn_jax.training.state import build_optimizer, initial_state
from oidn_jax.training.step import StepSettings, train_step


def count_flops(jaxpr: Any) -> float:
    """FLOPs of the convolutions of a traced function, those inside loops times their length."""
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            kernel, out = equation.invars[1].aval, equation.outvars[0].aval
            taps_and_channels = np.prod(kernel.shape) / kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
            total += 2.0 * np.prod(out.shape) * taps_and_channels
        length = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                total += length * count_flops(inner)
    return total


def compile_timed(function: Callable, *arguments: Any) -> tuple[Callable, float]:
    """The compiled function and the seconds it took, tracing included."""
    start = time.perf_counter()
    compiled = jax.jit(function).lower(*arguments).compile()
    return compiled, time.perf_counter() - start


def make_parts(*, patch: int, dtype: str, remat: bool) -> dict[str, tuple[Callable, tuple, float]]:
    """By name: a function, its arguments and its GFLOPs."""
    config = default_config()
    config.model.update(dtype=dtype, remat=remat)
    run = experiment_of(config).run
    network, optimizer = build_network(run.model, run.microscope), build_optimizer(run.train)
    state = initial_state(run, network, optimizer)
    scale = run.microscope.scale
    key = jax.random.key(0)
    batch = {
        "inputs": random.uniform(key, (1, patch, patch, run.microscope.frames)),
        "target": random.uniform(key, (1, scale * patch, scale * patch, 1)),
    }

    def forward(params, raw_frames):
        return predict(network, params, raw_frames).image

    def gradient(params, raw_frames):
        return jax.grad(lambda params: (forward(params, raw_frames) ** 2).mean())(params)

    gflops = count_flops(jax.make_jaxpr(forward)(state.params, batch["inputs"]).jaxpr) / 1e9
    settings = StepSettings(network, optimizer, run.loss.weights)
    x = random.normal(key, (1, patch, patch, 64), dtype)
    kernel = 0.05 * random.normal(key, (3, 3, 64, 64), dtype)
    conv_gflops = 2.0 * patch * patch * 9 * 64 * 64 / 1e9

    def bare(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT)

    def with_gradients(convolve, x, kernel):
        out, pullback = jax.vjp(convolve, x, kernel)
        return out, pullback(out)

    return {
        "convolution": (bare, (x, kernel), conv_gflops),
        "convolution + gradients": (partial(with_gradients, bare), (x, kernel), 3 * conv_gflops),
        "our convolution + gradients": (partial(with_gradients, conv_same), (x, kernel), 3 * conv_gflops),
        "network forward": (forward, (state.params, batch["inputs"]), gflops),
        "network forward + backward": (gradient, (state.params, batch["inputs"]), 3 * gflops),
        "network train step": (partial(train_step, settings=settings), (state, batch), 3 * gflops),
    }


def peak_memory(name: str, options: argparse.Namespace) -> float:
    """Peak memory, GB, of a process that compiles and runs one part twice."""
    command = [sys.executable, "-m", "benchmarks.network", "--memory-of", name, "--patch", str(options.patch)]
    command += ["--dtype", options.dtype] + ["--remat"] * options.remat
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["peak_gb"]


def report_own_memory(name: str, options: argparse.Namespace) -> None:
    """Run one part twice and print the peak memory of this process as JSON."""
    function, arguments, _ = make_parts(patch=options.patch, dtype=options.dtype, remat=options.remat)[name]
    compiled, _ = compile_timed(function, *arguments)
    for _ in range(2):
        jax.block_until_ready(compiled(*arguments))
    on_device = jax.local_devices()[0].memory_stats() or {}
    print(json.dumps({"peak_gb": on_device.get("peak_bytes_in_use", peak_resident_bytes()) / 1e9}))


def peak_resident_bytes() -> int:
    """Peak resident memory of this process; not `getrusage`, whose peak a child inherits from its parent on Linux."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(options: argparse.Namespace) -> RecordedTable:
    """Times all parts in turn."""
    parts = make_parts(patch=options.patch, dtype=options.dtype, remat=options.remat)
    compiled = {name: compile_timed(function, *arguments) for name, (function, arguments, _) in parts.items()}
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for round_number in range(options.rounds + 1):
        for name, (_, arguments, _) in parts.items():
            repeats = 1 if name.startswith("network") else 10
            for _ in range(repeats):
                start = time.perf_counter()
                jax.block_until_ready(compiled[name][0](*arguments))
                if round_number:  # the first round warms up
                    seconds[name].append(time.perf_counter() - start)
    rate = {name: gflops / statistics.median(seconds[name]) for name, (_, _, gflops) in parts.items()}

    columns = [
        Column(""),
        Column("seconds", "{:#.3g}"),
        Column("fastest", "{:#.3g}"),
        Column("GFLOP", "{:.1f}"),
        Column("GFLOP/s", "{:.0f}"),
        Column("of bare convolution", "{:.0%}"),
        Column("compile s", "{:.1f}"),
        Column("peak GB", "{:.2f}"),
    ]
    rows = []
    for name, (_, _, gflops) in parts.items():
        reference = "convolution" if name in ("convolution", "network forward") else "convolution + gradients"
        rows.append(
            [
                name,
                statistics.median(seconds[name]),
                min(seconds[name]),
                gflops,
                rate[name],
                rate[name] / rate[reference],
                compiled[name][1],
                peak_memory(name, options) if name.startswith("network") else None,
            ]
        )
    title = f"{options.dtype}, {options.patch} x {options.patch}, {jax.devices()[0].device_kind}, median"
    return RecordedTable("parts", title, columns, rows)


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", type=int, default=128, help="raw pixels (default 128)")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--remat", action="store_true", help="recompute activations in the backward pass")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default 5)")
    parser.add_argument("--record", action="store_true", help="write docs/benchmarks/network.json")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        report_own_memory(options.memory_of, options)
        return
    table = measure(options)
    table.print()
    if options.record:
        record("network", [table])


if __name__ == "__main__":
    main()

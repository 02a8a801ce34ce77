"""Speed of decorrelation analysis, rolling FRC and the image metrics, against a direct computation in the same run.

python -m benchmarks.metrics [--rounds 5] [--full-map] [--record]

The direct computations are NumPy: for every filter and every radius the sums over the whole plane; for every block two
transforms and the sums over its rings. They are written for this benchmark; docs/metrics.md has the times of the
published programs. The floor of decorrelation analysis is one real transform of the image; that of a map, the two
transforms of every block, batched.
"""

import argparse
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.record import Column, RecordedTable, record
from benchmarks.simulation import median_seconds
from oidn_jax.metrics.decorrelation import decorrelation_analysis
from oidn_jax.metrics.fourier_ring import fourier_ring_correlation, hamming_window
from oidn_jax.metrics.rolling_frc import RollingFrcOptions, rolling_frc
from oidn_jax.metrics.squirrel import resolution_scaled_error
from oidn_jax.metrics.ssim import ms_ssim, ssim
from oidn_jax.optics.fourier import rfft2

SIDES = (256, 512, 1004)
CURVES, RADII = 22, 50
BLOCK = 64


def noisy_pair(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Blurred points with noise, twice."""
    rng = np.random.default_rng(0)
    points = np.zeros((side, side))
    n = side**2 // 40
    points[rng.integers(0, side, n), rng.integers(0, side, n)] = rng.uniform(0.5, 1.0, n)
    clean = gaussian_filter(points, 2.0, mode="wrap")
    clean /= clean.max()
    first, second = (clean + 0.02 * rng.standard_normal((2, side, side))).astype(np.float32)
    return first, second


def direct_decorrelation(image: np.ndarray) -> np.ndarray:
    """Twenty-two curves of fifty radii, each sum over the whole plane."""
    n = (image.shape[0] - 1) // 2 * 2 + 1
    amplitude = np.abs(np.fft.fftshift(np.fft.fft2(image[:n, :n]))).astype(np.float32)
    x2 = np.linspace(-1, 1, n, dtype=np.float32) ** 2
    r2 = x2[:, None] + x2[None, :]
    curves = np.empty((CURVES, RADII))
    for i, strength in enumerate(np.geomspace(n / 4, 0.15, CURVES)):
        filtered = amplitude * (1 - np.exp(-2 * np.float32(strength) ** 2 * r2)) * (r2 < 1)
        norm = np.sqrt((filtered**2).sum())
        for j, radius in enumerate(np.linspace(0, 1, RADII)):
            within = r2 < radius**2
            curves[i, j] = (filtered * within).sum() / (norm * np.sqrt(max(within.sum(), 1)))
    return curves


def direct_block(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The curve of one block, ring by ring."""
    window = np.outer(np.hamming(BLOCK), np.hamming(BLOCK))
    a, b = (np.fft.fftshift(np.fft.fft2(block / block.max() * window)) for block in (first, second))
    centre = np.arange(BLOCK) - BLOCK // 2
    ring = np.rint(np.hypot(centre[:, None], centre[None, :]))
    curve = np.empty(BLOCK // 2)
    for i in range(BLOCK // 2):
        at = ring == i + 1
        energy = np.sqrt((np.abs(a[at]) ** 2).sum() * (np.abs(b[at]) ** 2).sum())
        curve[i] = np.abs((a[at] * b[at].conj()).sum()) / energy
    return curve


def decorrelation_table(*, rounds: int) -> RecordedTable:
    """Decorrelation analysis at several sizes."""
    transform = jax.jit(rfft2)
    columns = [
        Column("decorrelation analysis"),
        Column("ms", "{:.1f}"),
        Column("one transform, ms", "{:.1f}"),
        Column("ratio", "{:.0f}"),
        Column("direct, ms", "{:.0f}"),
        Column("direct / ours", "{:.0f}"),
    ]
    rows = []
    for side in SIDES:
        image = noisy_pair(side)[0]
        odd = jnp.asarray(image[: (side - 1) // 2 * 2 + 1, : (side - 1) // 2 * 2 + 1])
        ours = median_seconds(
            {"ours": partial(decorrelation_analysis, image), "transform": partial(transform, odd)}, rounds=rounds
        )
        start = time.perf_counter()
        direct_decorrelation(image)
        direct = time.perf_counter() - start
        whole, bare = 1000 * ours["ours"], 1000 * ours["transform"]
        rows.append([f"{side} × {side}", whole, bare, whole / bare, 1000 * direct, 1000 * direct / whole])
    return RecordedTable("decorrelation", "decorrelation analysis", columns, rows)


def rolling_table(*, rounds: int, full_map: bool) -> RecordedTable:
    """rFRC maps, per block."""
    columns = [
        Column(f"rolling FRC, blocks of {BLOCK} × {BLOCK}"),
        Column("blocks", "{:,}"),
        Column("s", "{:.2f}"),
        Column("µs per block", "{:.1f}"),
        Column("transforms, µs", "{:.1f}"),
        Column("direct, µs", "{:.0f}"),
        Column("direct / ours", "{:.0f}"),
    ]
    rows = []
    first, second = noisy_pair(1004)
    blocks = jnp.asarray(np.stack([first[:BLOCK, :BLOCK], second[:BLOCK, :BLOCK]]))[None].repeat(256, 0)
    window = jnp.asarray(hamming_window(BLOCK, BLOCK)[None, None], jnp.float32)
    transforms = jax.jit(lambda stack: rfft2(stack * window))
    floor = median_seconds({"transforms": partial(transforms, blocks)}, rounds=rounds)["transforms"] / 256
    start = time.perf_counter()
    for i in range(200):
        direct_block(first[i : i + BLOCK, i : i + BLOCK], second[i : i + BLOCK, i : i + BLOCK])
    direct = (time.perf_counter() - start) / 200
    for side, skip, times in ((256, 4, rounds), (1004, 8, rounds), *(((1004, 1, 1),) if full_map else ())):
        pair = (first[:side, :side], second[:side, :side])
        options = RollingFrcOptions(skip=skip, block=BLOCK, background=0.0)
        compute = partial(rolling_frc, *pair, pixel_size_nm=31.3, options=options)
        seconds = median_seconds({"map": compute}, rounds=times)["map"] if skip > 1 else _once(compute)
        count = int(compute().foreground[::skip, ::skip].sum()) if skip > 1 else side * side
        name, each = f"{side} × {side}, skip {skip}", seconds / count
        rows.append([name, count, seconds, 1e6 * each, 1e6 * floor, 1e6 * direct, direct / each])
    return RecordedTable("rolling", "rolling FRC", columns, rows)


def _once(compute: Any) -> float:
    start = time.perf_counter()
    compute()
    return time.perf_counter() - start


def image_table(*, rounds: int) -> RecordedTable:
    """The other metrics at 1004 x 1004."""
    first, second = (jnp.asarray(image) for image in noisy_pair(1004))
    widefield = first.reshape(502, 2, 502, 2).mean((1, 3))
    compiled = {
        "SSIM": jax.jit(partial(ssim, data_range=1.0)),
        "MS-SSIM": jax.jit(partial(ms_ssim, data_range=1.0)),
        "FRC": fourier_ring_correlation,
        "SQUIRREL": jax.jit(resolution_scaled_error),
    }
    functions = {name: partial(f, first, widefield if name == "SQUIRREL" else second) for name, f in compiled.items()}
    rows = [[name, 1000 * seconds] for name, seconds in median_seconds(functions, rounds=rounds).items()]
    return RecordedTable("images", "the other metrics", [Column("1004 × 1004"), Column("ms", "{:.0f}")], rows)


def main() -> None:
    """Parse, measure, print."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--rounds", type=int, default=5)
    flags.add_argument("--full-map", action="store_true", help="also a map of 1004 x 1004 pixels at skip 1")
    flags.add_argument("--record", action="store_true", help="write docs/benchmarks/metrics.json")
    options = flags.parse_args()
    tables = [
        decorrelation_table(rounds=options.rounds),
        rolling_table(rounds=options.rounds, full_map=options.full_map),
        image_table(rounds=options.rounds),
    ]
    for table in tables:
        table.print()
    if options.record:
        record("metrics", tables)


if __name__ == "__main__":
    main()

"""Classical SIM: speed against its bare transforms, accuracy of the estimated illumination, quality of the images.

python -m benchmarks.classical [speed accuracy quality] [--rounds 5] [--acquisitions 50] [--record]

Three parts, by default all. The acquisitions of the last two (`benchmarks.scenes`) are simulated, without light from
out of focus: 256 x 256 frames of the four specimens in turn.

- speed: milliseconds, and how many times as long as the bare transforms: those complex ones that the implementation
  calls, batched, in one compiled function of their own in the same run; a real one counts as half a complex one;
- accuracy: error of the wave vectors in frequency pixels, of the phases in degrees (of an orientation, the mean over
  its frames, and of single frames), of the modulation depths; the smallest confidence; how often the orientations had
  to be searched together; how many orientations are off by more than a pixel, which the errors leave out;
- quality: PSNR in dB after an affine fit against the specimen times an Airy-shaped transfer function that ends at
  k_c + |p|, and Fourier ring correlation with the specimen, mean over the rings between k_c and k_c + |p|; one
  acquisition of each specimen, mean. "peak" photons are the 99.9th percentile of the mean frame.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from benchmarks.record import Column, RecordedTable, record
from benchmarks.scenes import DEFAULT, NAMES, PUPIL, PUPIL_JITTER, PUPIL_WEAK, SIZE, Scene, SceneCache, photograph
from benchmarks.simulation import median_seconds
from oidn_jax import random
from oidn_jax.classical.estimation import Estimate, estimate_illumination
from oidn_jax.classical.guides import foreground_mean
from oidn_jax.classical.hifi import hifi_sim
from oidn_jax.classical.spectra import tukey
from oidn_jax.classical.widefield import deconvolved_widefield, widefield
from oidn_jax.classical.wiener import PAD, wiener_sim
from oidn_jax.optics.fourier import fft2, frequency_radius, ifft2
from oidn_jax.optics.illumination import Illumination, wave_vectors
from oidn_jax.optics.transfer import TransferFunction

BORDER = 20  # fine pixels left out of the PSNR
TIMES = 8
WIDEFIELD_WIENER = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)

estimate = jax.jit(estimate_illumination)
wiener = jax.jit(wiener_sim, static_argnames=("scale", "pad"))
hifi = jax.jit(hifi_sim, static_argnames=("scale", "iterations", "pad"))
deconvolve = jax.jit(deconvolved_widefield, static_argnames=("scale", "pad"))


# ---------------------------------------------------------------------------------------------------------------------
# Speed
# ---------------------------------------------------------------------------------------------------------------------


def bare_transforms(shapes: list[tuple[int, int]]) -> Callable[[], Any]:
    """A function that does nothing but complex transforms, given as (number, side)."""
    spectra = [jnp.full((number, side, side), 1.0 + 0.5j, jnp.complex64) for number, side in shapes]
    return partial(jax.jit(lambda batches: [fft2(batch) for batch in batches]), spectra)


def methods(frames: Array, otf: TransferFunction) -> dict[str, tuple[Any, tuple, list[tuple[int, int]]]]:
    """By name: what is compiled, what it is called with, and its transforms as (number, side)."""
    side = frames.shape[-1]
    padded, fine = side + 2 * PAD, 2 * (side + 2 * PAD)
    given = Illumination.ideal(wave_vectors(jnp.array([0.4, 1.45, 2.5]), jnp.full(3, 0.285)), modulation_depth=0.8)
    series = frames[None] + jnp.arange(float(TIMES))[:, None, None, None]

    def reconstruct(frames: Array, given: Illumination, otf: TransferFunction) -> Array:
        return wiener_sim(frames, given, otf)

    def both(frames: Array, otf: TransferFunction) -> Array:
        return reconstruct(frames, estimate_illumination(frames, otf).illumination, otf)

    def spectrally_optimised(frames: Array, given: Illumination, otf: TransferFunction, *, iterations: int) -> Array:
        return hifi_sim(frames, given, otf, iterations=iterations).hifi

    # Brightness: 1. Search: 6 bands forward, 6 back, 3 correlations. Sub-pixel: 6 bands, and 2 products of 2 bands for
    # each of 3 orientations. Regression: 2 for each frame.
    search = [(1 + 6 + 6 + 3 + 6 + 2 * 2 * 3 + 2 * 9, side)]
    bands, image = [(6, padded)], [(1, fine)]
    deconvolution = [(5 * 4 * 9 // 2, padded)]  # 4 real ones for each frame and iteration
    images = [(1 + 2 // 2, fine)]  # one complex, and a real one there and back
    one = (frames, given, otf)
    return {
        "estimate": (estimate_illumination, (frames, otf), search),
        "Wiener": (reconstruct, one, [(3, side), *bands, *image]),
        "estimate + Wiener": (both, (frames, otf), [*search, (3, side), *bands, *image]),
        f"Wiener, {TIMES} times by vmap": (
            jax.vmap(reconstruct, in_axes=(0, None, None)),
            (series, given, otf),
            [(TIMES * number, n) for number, n in [(3, side), *bands, *image]],
        ),
        "HiFi, no Richardson-Lucy": (partial(spectrally_optimised, iterations=0), one, [*bands, *images]),
        "HiFi, 5 iterations": (partial(spectrally_optimised, iterations=5), one, [*deconvolution, *bands, *images]),
    }


def speed_table(side: int, *, rounds: int) -> RecordedTable:
    """Time of every method on frames of `side` x `side`."""
    frames = 100.0 + 10.0 * random.normal(jax.random.key(0), (9, side, side))
    otf = TransferFunction.theoretical(na=1.3, emission_wavelength_nm=525.0, pixel_size_nm=62.6)
    chosen = methods(frames, otf)
    pair = jnp.ones((side, side), jnp.complex64)
    functions: dict[str, Callable[[], Any]] = {"pair": partial(jax.jit(lambda image: ifft2(fft2(image))), pair)}
    compile_seconds = {}
    for name, (function, arguments, transforms) in chosen.items():
        start = time.perf_counter()
        compiled = jax.jit(function).lower(*arguments).compile()
        compile_seconds[name] = time.perf_counter() - start
        functions[name] = partial(compiled, *arguments)
        functions[f"bare {name}"] = bare_transforms(transforms)
    seconds = median_seconds(functions, rounds=rounds)
    columns = [
        Column(f"{side} × {side}"),
        Column("ms per acquisition", "{:.0f}"),
        Column("bare transforms"),
        Column("their ms", "{:.0f}"),
        Column("ratio", "{:.1f}"),
        Column("compile s", "{:.1f}"),
    ]
    rows = []
    for name, (_, _, transforms) in chosen.items():
        took, bare = seconds[name], seconds[f"bare {name}"]
        rows.append(
            [
                name,
                1e3 * took / (TIMES if "vmap" in name else 1),
                " + ".join(f"{number} × {n}²" for number, n in transforms),
                1e3 * bare,
                took / bare,
                compile_seconds[name],
            ]
        )
    title = f"9 frames, median; a transform of {side} x {side} and back: {1e3 * seconds['pair']:.1f} ms"
    return RecordedTable(f"speed-{side}", title, columns, rows)


# ---------------------------------------------------------------------------------------------------------------------
# Accuracy
# ---------------------------------------------------------------------------------------------------------------------


def errors(estimated: Estimate, truth: Illumination) -> dict[str, np.ndarray]:
    """By name, one value for each orientation, or a row of one for each of its frames."""
    vector = np.asarray(estimated.illumination.wave_vector - truth.wave_vector)
    turn = np.exp(1j * np.asarray(estimated.illumination.phase - truth.phase))
    return {
        "vector": SIZE * np.hypot(*vector.T),
        "phase": np.abs(np.rad2deg(np.angle(turn.mean(1)))),
        "frame": np.abs(np.rad2deg(np.angle(turn))),
        "depth": np.abs(np.asarray(estimated.illumination.modulation_depth - truth.modulation_depth)),
        "confidence": np.asarray(estimated.confidence),
    }


def accuracy_table(scenes: SceneCache, *, count: int) -> RecordedTable:
    """Errors of the estimated illumination."""
    columns = [
        Column("microscope"),
        Column("photons", "{:.0f}"),
        Column("wave vector, frequency pixels", "{:.3f} {:.3f} {:.3f}"),
        Column("phase of an orientation, °", "{:.1f} {:.1f} {:.1f}"),
        Column("of a frame, °", "{:.1f} {:.1f} {:.1f}"),
        Column("modulation depth", "{:.3f} {:.3f} {:.3f}"),
        Column("least Z", "{:.1f}"),
        Column("joint"),
        Column("missed"),
    ]
    cells = []
    cases = {
        "pupil": (PUPIL, ("high", "medium", "low")),
        "pupil, jitter 8 deg, 3 %": (PUPIL_JITTER, ("medium",)),
        "pupil, depth 0.25": (PUPIL_WEAK, ("medium",)),
        "default": (DEFAULT, ("high", "medium", "low")),
    }
    for name, (simulation, groups) in cases.items():
        settings, otf = simulation.settings, simulation.microscope.otf()
        taken = scenes.take(simulation, count=count)
        for group in groups:
            numbers = settings.fluorescence[group]
            photons = settings.mean_photons[numbers[len(numbers) // 2] - 1]
            rows, joint = [], 0
            for i, scene in enumerate(taken):
                scaled = photons / foreground_mean(scene.light.mean(0))
                estimated = estimate(photograph(scene, settings.camera, photons=scaled, seed=i), otf)
                rows.append(errors(estimated, scene.illumination))
                joint += int(estimated.joint)
            values = {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
            near = values["vector"] < 1.0
            cells.append(
                [
                    name,
                    photons,
                    *(
                        np.percentile(values[key][near], [50, 90, 100]).tolist()
                        for key in ("vector", "phase", "frame", "depth")
                    ),
                    values["confidence"].min(),
                    joint,
                    int(np.sum(~near)),
                ]
            )
    title = f"estimated illumination, {count} acquisitions in each row; 50 %, 90 %, worst"
    return RecordedTable("accuracy", title, columns, cells)


# ---------------------------------------------------------------------------------------------------------------------
# Quality
# ---------------------------------------------------------------------------------------------------------------------


def psnr(image: Array, target: Array) -> float:
    """In dB, after an affine fit of the image."""
    a, b = (np.asarray(x, np.float64)[BORDER:-BORDER, BORDER:-BORDER].ravel() for x in (image, target))
    slope, constant = np.polyfit(a, b, 1)
    return float(10 * np.log10(np.ptp(b) ** 2 / np.mean((slope * a + constant - b) ** 2)))


def ring_correlation(image: Array, truth: Array, *, limits: tuple[float, float]) -> float:
    """Mean Fourier ring correlation between frequencies in cycles per raw pixel."""
    window = jnp.asarray(tukey((image.shape[0], image.shape[1])), jnp.float32)
    a, b = (np.asarray(fft2((x - x.mean()) * window)) for x in (image, truth))
    ring = np.rint(frequency_radius(*image.shape) * image.shape[0]).astype(int).ravel()
    products = (np.real(a * np.conj(b)), np.abs(a) ** 2, np.abs(b) ** 2)
    cross, power_a, power_b = (np.bincount(ring, product.ravel()) for product in products)
    inside = slice(*(int(limit / 2 * image.shape[0]) for limit in limits))
    return float(np.mean(cross[inside] / np.sqrt(power_a[inside] * power_b[inside])))


def quality_of(scene: Scene, frames: Array, otf: TransferFunction) -> dict[str, tuple[float, float]]:
    """PSNR and ring correlation of every method."""
    cutoff, truth = float(otf.cutoff), scene.illumination
    reach = cutoff + float(jnp.linalg.norm(truth.wave_vector, axis=-1).mean())
    estimated = estimate(frames, otf).illumination
    deconvolved = [deconvolve(frames, otf, reach=reach, wiener=jnp.float32(w)) for w in WIDEFIELD_WIENER]
    images = {
        "widefield": widefield(frames, scale=2),
        "widefield, best deconvolved": max(deconvolved, key=lambda image: psnr(image, scene.target)),
        "Wiener": wiener(frames, estimated, otf),
        "Wiener, true illumination": wiener(frames, truth, otf),
        "HiFi, no Richardson-Lucy": hifi(frames, estimated, otf, iterations=0).hifi,
        "HiFi, 5 iterations": hifi(frames, estimated, otf, iterations=5).hifi,
    }
    limits = (cutoff, reach)
    return {
        name: (psnr(image, scene.target), ring_correlation(image, scene.specimen, limits=limits))
        for name, image in images.items()
    }


def quality_table(scenes: SceneCache) -> RecordedTable:
    """Quality of the images."""
    cases = [
        ("peak 2000", 2000.0, PUPIL),
        ("peak 300", 300.0, PUPIL),
        ("peak 50", 50.0, PUPIL),
        ("peak 300, jitter 8 deg, 3 %", 300.0, PUPIL_JITTER),
        ("peak 300, depth 0.25", 300.0, PUPIL_WEAK),
    ]
    rows: dict[str, list[Any]] = {}
    for _, peak, simulation in cases:
        camera, otf, scores = simulation.settings.camera, simulation.microscope.otf(), []
        for i, scene in enumerate(scenes.take(simulation, count=len(NAMES))):
            scaled = peak / jnp.percentile(scene.light.mean(0), 99.9)
            scores.append(quality_of(scene, photograph(scene, camera, photons=scaled, seed=i), otf))
        for method in scores[0]:
            mean = np.mean([score[method] for score in scores], axis=0).tolist()
            rows.setdefault(method, [method]).append(mean)
    title = 'image quality, "pupil" microscope: PSNR in dB / ring correlation of the super-resolved band'
    columns = [Column(""), *(Column(name, "{:.1f} / {:.2f}") for name, _, _ in cases)]
    return RecordedTable("quality", title, columns, list(rows.values()))


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("speed", "accuracy", "quality")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(parts)}; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default 5)")
    parser.add_argument("--acquisitions", type=int, default=50, help="in each row of accuracy (default 50)")
    parser.add_argument("--record", action="store_true", help="write docs/benchmarks/classical.json")
    options = parser.parse_args()
    chosen = options.parts or parts
    if not set(chosen) <= set(parts):
        parser.error(f"the parts are {', '.join(parts)}")
    scenes, tables = SceneCache(), []
    if "speed" in chosen:
        tables += [speed_table(side, rounds=options.rounds) for side in (256, 512)]
    if "accuracy" in chosen:
        tables.append(accuracy_table(scenes, count=options.acquisitions))
    if "quality" in chosen:
        tables.append(quality_table(scenes))
    for table in tables:
        table.print()
    if options.record:
        record("classical", tables)


if __name__ == "__main__":
    main()

"""What the trust maps find: python -m benchmarks.trust [--out docs/images/trust_roc.png].

Spots and short filaments are added to reconstructions, or taken from them, and looked for in the maps of
`oidn_jax.classical.consistency`. A place counts with the largest |evidence|, or chi-square, within the change's
footprint; false positives are places of the same kind in the unchanged reconstruction: anywhere for what was added,
among the brightest tenth for what was removed. Contrast is in parts of the 99th percentile of the image for what was
added, of the brightness on the spot for what was removed. "Best" is the detection rate of the matched filter that
knows shape, place and sign of the change and has the noise of the frames, all of it, against it. A Wiener image made of
these frames has fitted a part of this noise, so in it changes are found that this filter misses.
"""

import argparse
from collections import defaultdict
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from benchmarks.record import Column, RecordedTable
from oidn_jax.classical.consistency import BORDER, check_consistency
from oidn_jax.classical.estimation import estimate_illumination
from oidn_jax.classical.wiener import wiener_sim
from oidn_jax.optics.microscope import Microscope
from oidn_jax.simulation.acquisitions import simulate_acquisition
from oidn_jax.simulation.settings import Simulation, specimen_settings

BASES = ("ideal target", "Wiener SIM")
CHANGES = ("inserted", "removed")
# (FWHM, length) in fine pixels; a spot has no length.
SHAPES = {"spot 1": (1.0, 0.0), "spot 2": (2.0, 0.0), "spot 4": (4.0, 0.0), "spot 8": (8.0, 0.0), "line 2": (2.0, 12.0)}
CONTRASTS = (0.1, 0.2, 0.5, 1.0)
_CELL = 32  # fine pixels, one change in each


class Case(NamedTuple):
    """One kind of change."""

    base: str
    level: str
    change: str
    shape: str
    contrast: float


class Scores(NamedTuple):
    """Of one kind of change: a score for each changed place and each unchanged one, and the matched filter's d'."""

    changed: list[float]
    unchanged: list[float]
    best: list[float]


class Bench:
    """The compiled simulation, reconstruction and check."""

    def __init__(self, size: int, *, estimated: bool):
        self.settings = specimen_settings("f_actin")
        simulation = Simulation(self.settings, Microscope())
        otf = simulation.microscope.otf()
        noise = self.settings.camera.noise._replace(offset=0.0)
        self.simulate = jax.jit(partial(simulate_acquisition, simulation=simulation, size=(size, size)))
        self.check = jax.jit(partial(check_consistency, otf=otf, noise=noise))
        self.estimate = jax.jit(partial(estimate_illumination, otf=otf)) if estimated else None
        self.wiener = jax.jit(partial(wiener_sim, otf=otf))

    def scene(self, seed: int, level: int) -> tuple[Any, dict[str, np.ndarray], Any]:
        """Raw frames without offset, the reconstructions by name, and the illumination."""
        acquisition = self.simulate(jax.random.key(seed), level - 1)
        raw_frames = jnp.moveaxis(acquisition.raw_frames, -1, 0) - self.settings.camera.offset
        given = acquisition.illumination if self.estimate is None else self.estimate(raw_frames).illumination
        images = (acquisition.target[..., 0], self.wiener(raw_frames, given))
        return raw_frames, dict(zip(BASES, map(np.asarray, images), strict=True)), given


def distance_to(place: np.ndarray, size: int, *, length: float, angle: float) -> np.ndarray:
    """Distance of every pixel from a line of this length around a place (y, x)."""
    y, x = np.mgrid[:size, :size] - place[:, None, None]
    along, across = y * np.sin(angle) + x * np.cos(angle), y * np.cos(angle) - x * np.sin(angle)
    return np.hypot(np.maximum(np.abs(along) - length / 2, 0.0), across)


def choose_places(image: np.ndarray, change: str, random: np.random.Generator) -> list[np.ndarray]:
    """One place in each cell inside the border: anywhere for an insertion, its brightest pixel for a removal."""
    places = []
    for corner in np.ndindex(*(n // _CELL for n in image.shape)):
        low = np.array(corner) * _CELL + _CELL // 4
        cell = image[low[0] : low[0] + _CELL // 2, low[1] : low[1] + _CELL // 2]
        inserted = change == "inserted"
        place = low + (random.integers(0, _CELL // 2, 2) if inserted else np.unravel_index(cell.argmax(), cell.shape))
        margin = 2 * BORDER + 6
        inside = np.all((place >= margin) & (place < np.array(image.shape) - margin))
        if inside and (inserted or cell.max() > np.percentile(image, 90)):
            places.append(place)
    return places


def unchanged_places(image: np.ndarray, change: str) -> list[np.ndarray]:
    """Every fourth pixel inside the border; for removals those among the brightest tenth."""
    margin = 2 * BORDER + 6
    lattice = [np.array(p) for p in np.ndindex(*image.shape) if min(p) >= margin and p[0] % 4 == 0 and p[1] % 4 == 0]
    lattice = [p for p in lattice if max(p) < len(image) - margin]
    return lattice if change == "inserted" else [p for p in lattice if image[tuple(p)] > np.percentile(image, 90)]


def highest(values: np.ndarray, places: list[np.ndarray], radius: float) -> list[float]:
    """The largest value within a radius of each place."""
    reach = int(radius)
    footprint = np.argwhere(np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1]) <= radius) - reach
    where = np.array(places)[:, None] + footprint[None]
    return list(values[where[..., 0], where[..., 1]].max(axis=1))


def study_scene(bench: Bench, scores: dict[tuple[str, Case], Scores], *, seed: int, name: str, level: int) -> None:
    """Adds the scores of every kind of change in one scene to `scores`, by map and case."""
    raw_frames, images, illumination = bench.scene(seed, level)
    random = np.random.default_rng(seed)
    for base, image in images.items():
        before = jax.device_get(bench.check(jnp.asarray(image), raw_frames, illumination))
        for change in CHANGES:
            places, others = choose_places(image, change, random), unchanged_places(image, change)
            angles = random.uniform(0, np.pi, len(places))
            for shape, (fwhm, length) in SHAPES.items():
                distance = [
                    distance_to(p, len(image), length=length, angle=a) for p, a in zip(places, angles, strict=True)
                ]
                bump = np.exp(-4.0 * np.log(2.0) * (np.min(distance, axis=0) / fwhm) ** 2)
                radius = max(fwhm / 2, 2.0)
                for contrast in CONTRASTS:
                    strength = contrast * (np.percentile(image, 99) if change == "inserted" else -image)
                    changed = jnp.asarray(image + strength * bump, jnp.float32)
                    after = jax.device_get(bench.check(changed, raw_frames, illumination))
                    best = distances_in_noise(before, after, raw_frames, places)
                    for statistic in ("evidence", "chi_square"):
                        maps = [np.abs(getattr(x, statistic)) for x in (after, before)]
                        case = scores[statistic, Case(base, name, change, shape, contrast)]
                        case.changed.extend(highest(maps[0], places, radius))
                        case.unchanged.extend(highest(maps[1], others, radius))
                        case.best.extend(best)


def distances_in_noise(before: Any, after: Any, raw_frames: Any, places: list[np.ndarray]) -> list[float]:
    """d' of each change: the norm of what it does to the expected frames, in units of their noise."""
    noise = (np.asarray(raw_frames) - before.predicted) / np.where(before.residual == 0, np.inf, before.residual)
    square = (((after.predicted - before.predicted) / np.where(noise == 0, np.inf, noise)) ** 2).sum(axis=0)
    half = _CELL // 4
    return [float(np.sqrt(square[y - half : y + half, x - half : x + half].sum())) for y, x in np.array(places) // 2]


def rates(scores: Scores) -> tuple[float, float, float]:
    """Area under the ROC curve, detection rate at 1 % false positives, and the best possible one."""
    unchanged, changed = np.sort(scores.unchanged), np.array(scores.changed)
    above = 0.5 * sum(np.searchsorted(unchanged, changed, side) for side in ("left", "right"))
    limit = NormalDist().inv_cdf(0.99)
    best = np.mean([NormalDist().cdf(d - limit) for d in scores.best])
    return float(np.mean(above) / len(unchanged)), float(np.mean(changed > np.quantile(unchanged, 0.99))), float(best)


def table_of(scores: dict[tuple[str, Case], Scores], levels: dict[str, float]) -> RecordedTable:
    """One row for each base, level, change and shape."""
    columns = [Column("image"), Column("photons", "{:.0f}"), Column("change"), Column("shape")]
    columns += [Column(f"contrast {contrast}", "{:.0f} ({:.0f}) | {:.0f} | {:.0f}") for contrast in CONTRASTS]
    rows = []
    for base in BASES:
        for level, photons in levels.items():
            for change in CHANGES:
                for shape in SHAPES:
                    cells = []
                    for contrast in CONTRASTS:
                        case = Case(base, level, change, shape, contrast)
                        area, detected, best = rates(scores["evidence", case])
                        chi = rates(scores["chi_square", case])[1]
                        cells.append([100 * detected, 100 * area, 100 * chi, 100 * best])
                    rows.append([base, photons, change, shape, *cells])
    title = "detected at 1 % false positives, per cent: evidence (area under its ROC curve) | chi-square | best"
    return RecordedTable("trust", title, columns, rows)


def draw(scores: dict[tuple[str, Case], Scores], levels: dict[str, float], out: Path) -> None:
    """Detection against contrast for both images, and the ROC curves of weak insertions into the ideal target."""
    figure, axes = plt.subplots(4, len(levels), figsize=(4.0 * len(levels), 14.0), squeeze=False, layout="constrained")
    for column, (level, photons) in enumerate(levels.items()):
        for row, (base, change) in enumerate([(b, c) for b in BASES for c in CHANGES][:3]):
            axis = axes[row, column]
            for colour, shape in enumerate(SHAPES):
                cases = [Case(base, level, change, shape, c) for c in CONTRASTS]
                evidence = [rates(scores["evidence", case]) for case in cases]
                chi = [rates(scores["chi_square", case])[1] for case in cases]
                axis.plot(CONTRASTS, [r[1] for r in evidence], "o-", color=f"C{colour}", label=shape)
                axis.plot(CONTRASTS, chi, ":", color=f"C{colour}")
                axis.plot(CONTRASTS, [r[2] for r in evidence], "--", color=f"C{colour}", lw=0.8)
            axis.set(xscale="log", ylim=(-0.02, 1.02), xlabel="contrast", ylabel="detected at 1 % false positives")
            axis.set_title(f"{change}, {base}, {photons:.0f} photons")
        for colour, shape in enumerate(SHAPES):
            for statistic, style in (("evidence", "-"), ("chi_square", ":")):
                case = scores[statistic, Case(BASES[0], level, "inserted", shape, 0.2)]
                thresholds = np.sort(np.concatenate([case.changed, case.unchanged]))[::-1]
                curve = [1.0 - np.searchsorted(np.sort(s), thresholds) / len(s) for s in case[1::-1]]
                axes[3, column].plot(*curve, style, color=f"C{colour}")
        axes[3, column].set(xscale="log", xlim=(1e-3, 1), xlabel="false positives", ylabel="true positives")
        axes[3, column].set_title(f"inserted, contrast 0.2, {BASES[0]}, {photons:.0f} photons", fontsize=9)
    axes[0, 0].legend(title="FWHM, fine pixels", fontsize=8)
    figure.suptitle("solid: evidence, dotted: chi-square, dashed: best possible")
    figure.savefig(out, dpi=90)


def main() -> None:
    """Parse, study, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/trust_roc.png"))
    parser.add_argument("--size", type=int, default=128, help="raw pixels (default 128)")
    parser.add_argument("--scenes", type=int, default=4, help="at each of three signal levels (default 4)")
    parser.add_argument("--true-illumination", action="store_true", help="instead of estimating it from the frames")
    options = parser.parse_args()
    bench = Bench(options.size, estimated=not options.true_illumination)
    chosen = {name: numbers[len(numbers) // 2] for name, numbers in bench.settings.fluorescence_levels.items()}
    scores: dict[tuple[str, Case], Scores] = defaultdict(lambda: Scores([], [], []))
    for name, level in chosen.items():
        for seed in range(options.scenes):
            study_scene(bench, scores, seed=seed, name=name, level=level)
    levels = {name: bench.settings.mean_photons[level - 1] for name, level in chosen.items()}
    table_of(scores, levels).print()
    draw(scores, levels, options.out)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()

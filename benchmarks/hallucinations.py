"""How often methods show what is not there, and lose what is.

python -m benchmarks.hallucinations [--workdir DIR] [--methods widefield,wiener,tv] [--scenes 2] [--record]

Changed scenes: of every specimen one is exposed as it is, and with a change in each cell of 24 fine pixels: a spot or
a short filament more, or a gap in a structure (as large as the PSF, at the brightest place of the cell). Contrast is in
parts of the 99th percentile of the ideal image for what is inserted, of the local light for a gap. An image shows the
share f = <w, g image - ideal image without changes> of a change, w the change as an ideal SIM would show it, against
its surroundings and normalised to <w, change> = 1, g the image's gain from its regression on the ideal image. A change
is lost where it is in the scene and f < 1/2, and invented where it is not and f > 1/2: both are 0 of a method without
any error; of one that shows nothing of the change they are 100 and 0, of one that throws a coin 50.

Empty fields: even light, light from out of focus, and even light on a camera whose columns keep an offset (of 1
photo-electron), all as bright as the scenes' foreground. Images are smoothed to the PSF, less a mean four times as
wide. Given are the share of the field that is then brighter than 4 standard deviations (sigma) of what Wiener SIM makes
of even light, little, as its regularisation grows where there is no structure; and how many features there are in 100
square micrometres that stand out: brighter than 4 standard deviations of the image's own background, and than 1 of
Wiener SIM's, so that a dark, smooth background hides no worms.

The microscope is that of BioSR, its camera's read noise 6 electrons. Illumination, noise and offset are estimated from
each acquisition, as `oidn-jax reconstruct` does.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter, label

import oidn_jax
from benchmarks.record import Column, RecordedTable, record
from oidn_jax.acquisition import Acquisition
from oidn_jax.commands.run import run
from oidn_jax.errors import IllegalValue
from oidn_jax.methods import ClassicalMethod, Method, NetworkMethod
from oidn_jax.methods.classical import LABELS
from oidn_jax.optics.forward import form_raw_frames
from oidn_jax.optics.fourier import filter_image, frequency_radius
from oidn_jax.optics.microscope import Microscope
from oidn_jax.optics.noise import expose
from oidn_jax.optics.otf import airy_otf
from oidn_jax.simulation.acquisitions import SimulatedAcquisition, simulate_acquisition
from oidn_jax.simulation.settings import Simulation, specimen_settings
from oidn_jax.simulation.specimens import SPECIMENS

# (FWHM, length) in fine pixels.
CHANGES = {"spot": (2.0, 0.0), "filament": (2.0, 14.0), "gap": (6.0, 0.0)}
CONTRASTS = (0.2, 0.5, 1.0)
FIELDS = ("noise", "haze", "columns")
READ_NOISE, COLUMNS = 6.0, 1.0  # photo-electrons
CLEAR = 4.0  # standard deviations
_CELL, _BORDER, _REACH = 24, 24, 12  # fine pixels


class Change(NamedTuple):
    """What is done to a scene at one place.

    Attributes:
        kind: of `CHANGES`.
        contrast: of `CONTRASTS`.
        weights: (h2, w2), whose scalar product with a difference of images is the share of the change in it.
    """

    kind: str
    contrast: float
    weights: Float[np.ndarray, "h2 w2"]


class Bench:
    """The simulated microscope, for frames of one size."""

    def __init__(self, size: int, photons: Sequence[float]):
        self.size, self.microscope = size, Microscope()
        levels = {"all": tuple(range(1, len(photons) + 1))}
        self.simulate = {}
        for name in SPECIMENS:
            settings = specimen_settings(name)
            settings = replace(
                settings,
                mean_photons=tuple(photons),
                fluorescence=levels,
                camera=replace(settings.camera, read_noise=READ_NOISE),
            )
            simulation = Simulation(settings, self.microscope)
            self.simulate[name] = jax.jit(partial(simulate_acquisition, simulation=simulation, size=(size, size)))
        otf = jnp.asarray(self.microscope.fine_otf(size, size), jnp.float32)
        self.form = jax.jit(partial(form_raw_frames, otf=otf, scale=self.microscope.scale))
        self.radius = jnp.asarray(frequency_radius(2 * size, 2 * size), jnp.float32)

    def ideal(self, specimen: Float[np.ndarray, "*n h2 w2"], scene: SimulatedAcquisition) -> np.ndarray:
        """As linear SIM could show it at best."""
        reach = scene.illumination.reach(self.microscope.cutoff)
        return np.asarray(filter_image(jnp.asarray(specimen), airy_otf(self.radius, cutoff=reach / 2)))

    def acquired(
        self, scene: SimulatedAcquisition, photons: np.ndarray, *, seed: int, columns: float = 0.0
    ) -> Acquisition:
        """Frames of so many photons (h, w, frames), as a camera file would give them; `columns` scatter the offset."""
        fixed = columns * np.random.default_rng(seed).standard_normal(photons.shape[1])
        camera = scene.camera._replace(offset=scene.camera.offset + scene.camera.gain * fixed.astype(np.float32))
        counts = expose(jax.random.key(seed), jnp.asarray(photons), camera.for_frames(-1))
        return Acquisition.of_frames(np.asarray(counts).astype(np.uint16), self.microscope)


def choose_changes(
    bench: Bench, scene: SimulatedAcquisition, random: np.random.Generator
) -> tuple[Float[np.ndarray, "h2 w2"], list[Change]]:
    """What is added to the specimen, and the changes one by one; kinds and contrasts in turn, cells in random order."""
    specimen, target = np.asarray(scene.specimen), np.asarray(scene.target[..., 0])
    side, bright = len(target), np.percentile(target, 90)
    corners = random.permutation(np.argwhere(np.ones(((side - 2 * _BORDER) // _CELL,) * 2)) * _CELL + _BORDER)
    cases = [(kind, contrast) for contrast in CONTRASTS for kind in CHANGES]
    kinds, parts, places = [], [], []
    for number, corner in enumerate(corners):
        kind, contrast = cases[(number + random.integers(len(cases))) % len(cases)]
        cell = target[corner[0] + 6 : corner[0] + 18, corner[1] + 6 : corner[1] + 18]
        within = np.array(np.unravel_index(cell.argmax(), cell.shape)) if kind == "gap" else random.integers(0, 12, 2)
        if kind == "gap" and cell.max() < bright:
            continue
        place = corner + 6 + within
        bump = drawn(place, side, CHANGES[kind], angle=random.uniform(0.0, np.pi))
        kinds.append((kind, contrast))
        parts.append(-contrast * specimen * bump if kind == "gap" else bump)
        places.append(place)
    shown, changes = bench.ideal(np.stack(parts).astype(np.float32), scene), []
    total, brightest = np.zeros_like(specimen), np.percentile(target, 99)
    for (kind, contrast), part, seen, place in zip(kinds, parts, shown, places, strict=True):
        scale = 1.0 if kind == "gap" else contrast * brightest / seen.max()
        total += scale * part
        changes.append(Change(kind, contrast, weights_of(scale * seen, place)))
    return total, changes


def drawn(place: np.ndarray, side: int, shape: tuple[float, float], *, angle: float) -> Float[np.ndarray, "side side"]:
    """A spot or line of height 1: full width at half maximum, and length."""
    fwhm, length = shape
    y, x = np.mgrid[:side, :side] - place[:, None, None]
    along, across = y * np.sin(angle) + x * np.cos(angle), y * np.cos(angle) - x * np.sin(angle)
    distance = np.hypot(np.maximum(np.abs(along) - length / 2, 0.0), across)
    return np.exp(-4.0 * np.log(2.0) * (distance / fwhm) ** 2)


def weights_of(change: Float[np.ndarray, "h w"], place: np.ndarray) -> Float[np.ndarray, "h w"]:
    """Weights near a place whose scalar product with a constant is 0 and with the change is 1."""
    y, x = np.indices(change.shape) - place[:, None, None]
    near = np.hypot(y, x) < _REACH
    weights = near * (change - change[near].mean())
    return weights / (weights * change).sum()


def shares(
    image: Float[np.ndarray, "h w"],
    target: Float[np.ndarray, "h w"],
    changes: Sequence[Change],
    *,
    gain: float,
) -> list[float]:
    """The share of each change that an image shows, `gain` being its gain over the target without changes."""
    difference = image / gain - target
    return [float((change.weights * difference).sum()) for change in changes]


def gain_of(image: Float[np.ndarray, "h w"], target: Float[np.ndarray, "h w"]) -> float:
    """Of least squares, the image against the target, which has no noise."""
    deviation = target - target.mean()
    return float((image * deviation).sum() / (deviation**2).sum())


def study_changes(bench: Bench, methods: Mapping[str, Method], photons: Sequence[float], *, scenes: int):
    """By (photons, kind, contrast, method): for each change whether it is lost, and for each absent one, invented."""
    lost, invented = defaultdict(list), defaultdict(list)
    for number in range(scenes):
        for which, (name, simulate) in enumerate(bench.simulate.items()):
            seed = 100 * number + which
            for level, light in enumerate(photons):
                scene: SimulatedAcquisition = jax.device_get(simulate(jax.random.key(seed), level))
                total, changes = choose_changes(bench, scene, np.random.default_rng(seed))
                added = np.moveaxis(np.asarray(bench.form(jnp.asarray(total), scene.illumination)), 0, -1)
                changed = np.maximum(scene.photons + scene.photons_per_unit * added, 0.0)
                target = np.asarray(scene.target[..., 0])
                without = bench.acquired(scene, np.asarray(scene.photons), seed=2 * seed + 10_000 * level)
                present = bench.acquired(scene, np.asarray(changed), seed=2 * seed + 10_000 * level + 1)
                for method_name, method in methods.items():
                    image = method(without, 0).pixels
                    gain = gain_of(image, target)
                    absent = shares(image, target, changes, gain=gain)
                    there = shares(method(present, 0).pixels, target, changes, gain=gain)
                    for change, off, on in zip(changes, absent, there, strict=True):
                        key = (light, change.kind, change.contrast, method_name)
                        invented[key].append(off > 0.5)
                        lost[key].append(on < 0.5)
                print(f"{name}, {light:g} photons, scene {number + 1} of {scenes}", flush=True)
    return lost, invented


def changes_table(lost: Mapping, invented: Mapping, methods: Sequence[str]) -> RecordedTable:
    """One row for each light, kind and contrast."""
    columns = [Column("photons", "{:g}"), Column("change"), Column("contrast", "{:g}"), Column("places")]
    columns += [Column(name, "{:.0f} / {:.0f}") for name in methods]
    rows = []
    for light, kind, contrast in dict.fromkeys(key[:3] for key in lost):
        keys = [(light, kind, contrast, name) for name in methods]
        cells = [[100.0 * np.mean(lost[key]), 100.0 * np.mean(invented[key])] for key in keys]
        rows.append([light, kind, contrast, len(lost[keys[0]]), *cells])
    rows.sort(key=lambda row: (row[0], list(CHANGES).index(row[1]), row[2]))
    return RecordedTable("changes", "lost where it is / invented where it is not, per cent of places", columns, rows)


def empty_field(scene: SimulatedAcquisition, kind: str, light: float) -> Float[np.ndarray, "h w frames"]:
    """Photons of a field without anything in focus, their mean `light`."""
    field = scene.background / scene.background.mean() if kind == "haze" else np.ones(scene.photons.shape[:2])
    return np.repeat(light * field[..., None], scene.photons.shape[-1], axis=-1).astype(np.float32)


def at_psf_scale(image: Float[np.ndarray, "h w"], sigma: float) -> Float[np.ndarray, "h w"]:
    """Smoothed to the PSF against its surroundings, the border left out."""
    smooth = gaussian_filter(image, sigma) - gaussian_filter(image, 4.0 * sigma)
    return smooth[_BORDER:-_BORDER, _BORDER:-_BORDER]


def scatter(values: np.ndarray) -> float:
    """The standard deviation, of what is no outlier."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def features(smooth: Float[np.ndarray, "h w"], *, noise: float, pixel_um: float) -> tuple[float, float]:
    """Share of the field beyond `CLEAR` times the noise, and the features in 100 square micrometres that stand out.

    Args:
        smooth: of `at_psf_scale`.
        noise: standard deviation of that of Wiener SIM.
        pixel_um: side of a pixel.
    """
    standing = smooth > max(CLEAR * scatter(smooth), noise)
    numbers = np.zeros(smooth.shape, np.int32)
    label(standing, structure=np.ones((3, 3)), output=numbers)
    return float((smooth > CLEAR * noise).mean()), 100.0 * int(numbers.max()) / (smooth.size * pixel_um**2)


def study_empty(bench: Bench, methods: Mapping[str, Method], photons: Sequence[float], *, fields: int) -> RecordedTable:
    """One row for each kind of field and light."""
    microscope, wiener = bench.microscope, ClassicalMethod("wiener")
    fine_nm = microscope.fine_pixel_size_nm
    sigma = 0.51 * microscope.emission_wavelength_nm / microscope.na / 2.355 / fine_nm
    rows = []
    for level, light in enumerate(photons):
        images = defaultdict(list)
        for number in range(fields):
            scene: SimulatedAcquisition = jax.device_get(
                bench.simulate["microtubules"](jax.random.key(7000 + number), level)
            )
            for kind in FIELDS:
                columns = COLUMNS if kind == "columns" else 0.0
                photons_here = empty_field(scene, kind, light)
                acquisition = bench.acquired(scene, photons_here, seed=8000 + number, columns=columns)
                chosen = {**methods, None: wiener} if kind == "noise" else methods
                for name, method in chosen.items():
                    images[kind, name].append(at_psf_scale(method(acquisition, 0).pixels, sigma))
            print(f"empty, {light:g} photons, field {number + 1} of {fields}", flush=True)
        noise = float(np.mean([scatter(image) for image in images["noise", None]]))
        for kind in FIELDS:
            cells = []
            for name in methods:
                of_images = [features(image, noise=noise, pixel_um=fine_nm / 1000.0) for image in images[kind, name]]
                share, count = np.mean(of_images, axis=0)
                cells.append([100.0 * share, count])
            rows.append([kind, light, 100.0 * noise / light, *cells])
    rows.sort(key=lambda row: (FIELDS.index(row[0]), row[1]))
    columns = [Column("field"), Column("photons", "{:g}"), Column("sigma, % of light", "{:.2f}")]
    columns += [Column(name, "{:.2f} / {:.1f}") for name in methods]
    title = "per cent of an empty field beyond 4 sigma of Wiener SIM's noise / features in 100 um2 that stand out"
    return RecordedTable("empty", title, columns, rows)


def chosen_methods(names: Sequence[str], workdirs: Sequence[str]) -> dict[str, Method]:
    """By their labels."""
    unknown = [name for name in names if name not in LABELS]
    if unknown:
        raise IllegalValue("methods", ", ".join(names), f"legal: {', '.join(LABELS)}")
    methods: dict[str, Method] = {LABELS[name]: ClassicalMethod(name) for name in names}
    for workdir in workdirs:
        method = NetworkMethod(oidn_jax.load(workdir))
        methods[method.label if method.label not in methods else Path(workdir).name] = method
    return methods


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", action="append", default=[], help="a network; again for each further one")
    parser.add_argument("--methods", default="widefield,wiener,tv", help="default: widefield,wiener,tv")
    parser.add_argument("--scenes", type=int, default=2, help="of each specimen at each light (default 2)")
    parser.add_argument("--fields", type=int, default=4, help="empty ones of each kind at each light (default 4)")
    parser.add_argument("--size", type=int, default=128, help="raw pixels (default 128)")
    parser.add_argument("--photons", type=float, nargs="+", default=[10.0, 60.0, 600.0])
    parser.add_argument("--record", action="store_true", help="write docs/benchmarks/hallucinations.json")
    options = parser.parse_args()
    methods = chosen_methods(options.methods.split(","), options.workdir)
    bench = Bench(options.size, options.photons)
    lost, invented = study_changes(bench, methods, options.photons, scenes=options.scenes)
    tables = [changes_table(lost, invented, list(methods))]
    tables.append(study_empty(bench, methods, options.photons, fields=options.fields))
    for table in tables:
        table.print()
    if options.record:
        record("hallucinations", tables)


if __name__ == "__main__":
    run(main)

"""Line profiles: how narrow a line is, and which pairs of lines are separate, by every method.

python -m benchmarks.profiles [--peak 300] [--out docs/images/profiles.png]

Lines of 50 nm width across the field, single and in pairs of growing distance, 256 x 256 frames of the microscope that
`benchmarks.scenes` calls "pupil", its illumination known. Printed: full width at half maximum of the
single line, the dip between the lines of each pair (1 - minimum between them / mean of the two maxima; 0.26 is
Rayleigh's), and the deepest negative rim beside the single line, in parts of its height. Profiles are means along the
lines.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline

from benchmarks.classical import deconvolve, hifi, wiener
from benchmarks.record import Column, RecordedTable
from benchmarks.scenes import PUPIL, expose_frames
from oidn_jax.classical.widefield import widefield
from oidn_jax.optics.forward import form_raw_frames
from oidn_jax.optics.illumination import Illumination, wave_vectors

SIZE = 256
DISTANCES_NM = (0.0, 90.0, 105.0, 120.0, 140.0, 160.0, 200.0, 260.0)  # 0: a single line
WIDTH_NM, LENGTH = 50.0, 48  # of a line; rows of each kind, fine pixels
FINE_NM = PUPIL.microscope.fine_pixel_size_nm
FIRST_ROW, CENTRES = 60, FINE_NM * (70.17 * np.arange(6) + 81.3)
OFFSETS = np.arange(-300.0, 301.0)


def draw_lines() -> np.ndarray:
    """Bands of rows, each with its kind of vertical lines at several places along x, on the fine grid."""
    x = FINE_NM * np.arange(2 * SIZE)
    specimen = np.zeros((2 * SIZE, 2 * SIZE))
    for i, distance in enumerate(DISTANCES_NM):
        first = FIRST_ROW + i * LENGTH
        for position in {*(CENTRES - distance / 2), *(CENTRES + distance / 2)}:
            specimen[first : first + LENGTH] += np.exp(-((x - position) ** 2) / (2 * (WIDTH_NM / 2.355) ** 2))[None]
    return specimen


def profiles_of(image: np.ndarray) -> np.ndarray:
    """For each kind the mean profile over places and rows at `OFFSETS`."""
    x, profiles = FINE_NM * np.arange(2 * SIZE), []
    for i in range(len(DISTANCES_NM)):
        rows = slice(FIRST_ROW + i * LENGTH + 10, FIRST_ROW + (i + 1) * LENGTH - 10)
        curve = CubicSpline(x, image[rows].mean(0))
        profiles.append(np.mean([curve(OFFSETS + centre) for centre in CENTRES], axis=0))
    return np.array(profiles)


def images(peak: float) -> dict[str, np.ndarray]:
    """What every method makes of the lines."""
    given = Illumination.ideal(
        wave_vectors(jnp.deg2rad(jnp.array([5.0, 65.0, 125.0])), jnp.full(3, PUPIL.illumination_frequency)),
        modulation_depth=0.8,
    )
    otf, camera = PUPIL.microscope.otf(), PUPIL.settings.camera
    fine_otf = jnp.asarray(PUPIL.microscope.fine_otf(SIZE, SIZE), jnp.float32)
    light = jax.jit(form_raw_frames, static_argnames="scale")(
        jnp.asarray(draw_lines(), jnp.float32), given, fine_otf, scale=2
    )
    photons = jnp.maximum(light, 0.0) * peak / jnp.percentile(light.mean(0), 99.9)
    frames = expose_frames(jax.random.key(0), photons, camera=camera) - camera.offset
    reach = otf.cutoff + PUPIL.illumination_frequency
    results = {
        "widefield": widefield(frames, scale=2),
        "widefield, deconvolved": deconvolve(frames, otf, reach=reach, wiener=jnp.float32(0.05)),
        "Wiener": wiener(frames, given, otf),
        "HiFi, no Richardson-Lucy": hifi(frames, given, otf, iterations=0).hifi,
        "HiFi, 5 iterations": hifi(frames, given, otf, iterations=5).hifi,
    }
    return {name: np.asarray(image, np.float64) for name, image in results.items()}


def width_of(profile: np.ndarray) -> float:
    """Full width at half maximum of a single line over its surroundings, nm."""
    height = profile - np.median(profile[np.abs(OFFSETS) > 250])
    return float(np.count_nonzero(height[np.abs(OFFSETS) < 200] > height.max() / 2))


def dip_of(profile: np.ndarray, distance: float) -> float:
    """How far the profile falls between the lines, in parts of its height over the surroundings."""
    height = profile - np.median(profile[np.abs(OFFSETS) > 250])
    near = [height[np.abs(OFFSETS - sign * distance / 2) < 40].max() for sign in (-1, 1)]
    return float(1.0 - height[np.abs(OFFSETS) < 20].min() / np.mean(near))


def table_of(profiles: dict[str, np.ndarray], peak: float) -> RecordedTable:
    """Widths and dips."""
    columns = [Column(""), Column("width, nm", "{:.0f}"), Column("rim", "{:.2f}")]
    columns += [Column(f"{distance:g} nm", "{:.2f}") for distance in DISTANCES_NM[1:]]
    rows = []
    for name, curves in profiles.items():
        single = curves[0] - np.median(curves[0][np.abs(OFFSETS) > 250])
        dips = [dip_of(curve, distance) for curve, distance in zip(curves[1:], DISTANCES_NM[1:], strict=True)]
        rows.append([name, width_of(curves[0]), single.min() / single.max(), *dips])
    title = f"line profiles, peak {peak:g} photons: width of a line, rim, dips between pairs"
    return RecordedTable("profiles", title, columns, rows)


def draw(profiles: dict[str, np.ndarray], out: Path) -> None:
    """A panel for each of a few kinds of lines."""
    kinds = [0, *(DISTANCES_NM.index(distance) for distance in (120.0, 160.0, 260.0))]
    figure = Figure(figsize=(14, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, kind in zip(figure.subplots(1, len(kinds), sharey=True), kinds, strict=True):
        for name, curves in profiles.items():
            height = curves[kind] - np.median(curves[kind][np.abs(OFFSETS) > 250])
            axes.plot(OFFSETS, height / height.max(), label=name)
        axes.set_title(f"two lines, {DISTANCES_NM[kind]:g} nm apart" if kind else "one line")
        axes.set(xlabel="position (nm)", xlim=(-300, 300))
    figure.axes[0].set_ylabel("intensity")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(out, dpi=100)


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peak", type=float, default=300.0, help="photons, 99.9th percentile of the mean frame")
    parser.add_argument("--out", type=Path, help="PNG to write")
    options = parser.parse_args()
    profiles = {name: profiles_of(image) for name, image in images(options.peak).items()}
    table_of(profiles, options.peak).print()
    if options.out is not None:
        draw(profiles, options.out)


if __name__ == "__main__":
    main()

"""A page about one reconstruction: what the raw frames show, what was found in them, what came out.

Frequencies come in cycles per raw pixel, (y, x); spectra as log10 of the modulus with the zero frequency at index
n // 2. Orientations have the same colour (Okabe and Ito's, which the colour-blind tell apart) and their waves, of three
beams two harmonics each, the same mark everywhere. The page shows what SIMcheck (Ball et al., Sci. Rep. 5, 2015) and
fairSIM (Müller et al., Nat. Commun. 7, 2016) check.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from oidn_jax.figures import layout
from oidn_jax.figures.images import draw_image, stretch
from oidn_jax.figures.style import PALETTE, figure_style, save

_COLOURS = tuple(PALETTE[name] for name in ("orange", "sky blue", "purple", "green", "vermilion", "blue"))
_MARKS = ("o", "s", "D", "^", "v", "p")
# Of a spectrum the lower quarter is noise, and the zero frequency outshines all.
_SPECTRUM_PERCENTILES = (25.0, 99.95)
_BLANK = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
_OUTLINE = [withStroke(linewidth=3.0, foreground="black")]
_PROFILES = (
    ("raw frames", "black", ":"),
    ("along $p_1$", PALETTE["blue"], "-"),
    ("across", PALETTE["vermilion"], "--"),
)
_TEXT_PT, _TITLE_PT = 9.0, 10.0
_WIDTH, _HEIGHT, _TOP, _LINE = 16.0, 12.0, 3.8, 0.18  # inches
_ROW = 2.0  # of a wave, at least
_WARNINGS_MM = 385.0


@dataclass(frozen=True)
class DiagnosticsPage:
    """What the page shows; arrays have one entry for each orientation, or for each wave, a harmonic of an orientation.

    Attributes:
        method: that gave the image, as it is called.
        pixel_size_nm: of the raw frames; without it lengths are in raw pixels, and there is no scale bar.
        widefield: (h, w), the mean of the raw frames.
        image: (h2, w2), what was reconstructed, a whole number of pixels per raw pixel.
        cutoff: of the OTF.
        searched: the range of |p| in which the wave vectors were looked for.
        brightness: (orientations, phases), mean of each frame over the mean of all.
        raw_spectrum: (h, w), root mean square over the frames.
        result_spectrum: (h2, w2).
        correlogram: (waves, h, w), Z for every wave vector, not as a logarithm.
        at_rest: (orientations, ..., ...), band 0 on the fine grid, NaN outside its support.
        moved: (waves, ..., ...), band +1 at its place, NaN outside its support.
        wave_vector: (waves, 2).
        phase: (waves, phases), radians, as used.
        single_phases: (waves, phases), each frame's own.
        modulation_depth: (waves,), as used.
        modulation_with_noise: (waves,), without correction for noise.
        confidence: (waves,), Z of the peak.
        runner_up: (waves,), the largest Z elsewhere.
        coherence: (waves,), of the bands where they overlap.
        overlap: (waves,), frequency pixels of that.
        condition: (orientations,), condition number of what mixes bands into frames.
        residual_peak: (waves,), the result's spectrum at p over the median of its ring.
        frequency: (n,), of the transfer functions.
        transfer: (1 or 3, n), of the raw frames; and, for a method that has an effective one, along the first wave
            vector and across it; the largest value 1.
        position: (m,), raw pixels, of the PSFs.
        psf: (1 or 3, m), of the same, 1 at position 0.
        envelopes: (orientations, ..., ...), brightness of each over the field; None where they do not differ.
        harmonics: of the phases, that the waves of an orientation are, the finest last.
        warnings: printed at the bottom.
    """

    method: str
    pixel_size_nm: float | None
    widefield: Real[np.ndarray, "h w"]
    image: Real[np.ndarray, "h2 w2"]
    cutoff: float
    searched: tuple[float, float]
    brightness: Float[np.ndarray, "orientations phases"]
    raw_spectrum: Float[np.ndarray, "h w"]
    result_spectrum: Float[np.ndarray, "h2 w2"]
    correlogram: Float[np.ndarray, "waves h w"]
    at_rest: Float[np.ndarray, "orientations bands_h bands_w"]
    moved: Float[np.ndarray, "waves bands_h bands_w"]
    wave_vector: Float[np.ndarray, "waves 2"]
    phase: Float[np.ndarray, "waves phases"]
    single_phases: Float[np.ndarray, "waves phases"]
    modulation_depth: Float[np.ndarray, "waves"]
    modulation_with_noise: Float[np.ndarray, "waves"]
    confidence: Float[np.ndarray, "waves"]
    runner_up: Float[np.ndarray, "waves"]
    coherence: Float[np.ndarray, "waves"]
    overlap: Real[np.ndarray, "waves"]
    condition: Float[np.ndarray, "orientations"]
    residual_peak: Float[np.ndarray, "waves"]
    frequency: Float[np.ndarray, "n"]
    transfer: Float[np.ndarray, "profiles n"]
    position: Float[np.ndarray, "m"]
    psf: Float[np.ndarray, "profiles m"]
    envelopes: Float[np.ndarray, "orientations bins_y bins_x"] | None = None
    harmonics: tuple[int, ...] = (1,)
    warnings: Sequence[str] = field(default=())

    @property
    def scale(self) -> int:
        """Fine pixels per raw pixel."""
        return self.image.shape[0] // self.widefield.shape[0]

    @property
    def finest(self) -> Float[np.ndarray, "orientations 2"]:
        """The wave vectors of the finest harmonic."""
        return self.wave_vector[len(self.harmonics) - 1 :: len(self.harmonics)]

    @property
    def waves(self) -> list[tuple[int, str]]:
        """The orientation of each wave, and the short name of the wave."""
        several = len(self.harmonics) > 1
        return [
            (i, f"{i + 1}, harmonic {harmonic}" if several else f"{i + 1}")
            for i in range(len(self.brightness))
            for harmonic in self.harmonics
        ]


class Units(NamedTuple):
    """Factors from cycles per raw pixel and from raw pixels to what axes show, and its names."""

    frequency: float
    frequency_unit: str
    length: float
    length_unit: str


def page_units(pixel_size_nm: float | None) -> Units:
    """Cycles per micrometre and nanometres for a known pixel size, else pixels."""
    if pixel_size_nm is None:
        return Units(1.0, "cycles/pixel", 1.0, "pixels")
    return Units(1000.0 / pixel_size_nm, "cycles/µm", pixel_size_nm, "nm")


def save_diagnostics(path: Path, page: DiagnosticsPage, *, overwrite: bool = False) -> Path:
    """Draws the page as a PNG.

    Raises:
        InputError: the file exists and `overwrite` is False, or cannot be written.
    """
    with figure_style(_TEXT_PT):
        return save(_draw(page), path, overwrite=overwrite)


def _draw(page: DiagnosticsPage) -> Figure:
    units = page_units(page.pixel_size_nm)
    lines = [
        f"{'   ' if i else '• '}{line}"
        for text in page.warnings
        for i, line in enumerate(layout.wrap(text, width_mm=_WARNINGS_MM))
    ]
    bottom = _LINE * (len(lines) + 3) if lines else 0.0
    height = max(_HEIGHT, _TOP + _ROW * len(page.wave_vector))
    figure = Figure(figsize=(_WIDTH, height + bottom), layout="constrained")
    FigureCanvasAgg(figure)
    (orientations, phases), (h, w) = page.brightness.shape, page.widefield.shape
    pixel = "pixel size unknown" if page.pixel_size_nm is None else f"{page.pixel_size_nm:g} nm each"
    figure.suptitle(
        f"{page.method}: {orientations} × {phases} frames of {w} × {h} pixels, {pixel}; "
        f"cutoff $k_c$ = {units.frequency * page.cutoff:.3g} {units.frequency_unit}",
        fontsize=13,
    )
    rows = [_TOP, height - _TOP] + ([bottom] if lines else [])
    parts = figure.subfigures(len(rows), 1, height_ratios=rows, squeeze=False)[:, 0]
    _draw_images(parts[0], page, units)
    left, right = parts[1].subfigures(1, 2, width_ratios=(7.8, 8.2) if orientations > 1 else (4.0, 12.0))
    _draw_orientations(left, page, units)
    _draw_numbers(right, page, units)
    if lines:
        parts[2].text(0.012, 1.0 - 0.12 / bottom, "Warnings", color="#B00000", weight="bold", va="top", fontsize=11)
        parts[2].text(0.012, 1.0 - 0.36 / bottom, "\n".join(lines), va="top")
    for axes in figure.axes:
        axes.title.set_fontsize(_TITLE_PT)
    return figure


# ---------------------------------------------------------------------------------------------------------------------
# Above: frames, spectra, images
# ---------------------------------------------------------------------------------------------------------------------


def _draw_images(part: SubFigure, page: DiagnosticsPage, units: Units) -> None:
    uneven = page.envelopes is not None
    widths = (2.8, *((1.4,) if uneven else ()), 3.0, 3.0, 3.5, 3.5)
    brightness, *field_of_view, raw, result, widefield, image = part.subplots(1, len(widths), width_ratios=widths)
    if page.envelopes is not None:
        _draw_envelopes(field_of_view[0], page.envelopes)
    _draw_brightness(brightness, page.brightness)
    reach = page.cutoff + float(np.hypot(*page.finest.T).mean())
    _draw_spectrum(raw, page.raw_spectrum, units, limit=0.5)
    raw.set_title("spectrum of the raw frames, marks: ±p\nsolid: $k_c$, dotted: searched")
    for radius in page.searched:
        _draw_circle(raw, radius, units, line=":")
    _draw_spectrum(result, page.result_spectrum, units, limit=1.05 * reach, scale=page.scale)
    peaks = page.residual_peak
    left_over = (
        ", ".join(f"{peak:.1f}" for peak in peaks) if len(peaks) <= 4 else f"{peaks.min():.1f} to {peaks.max():.1f}"
    )
    result.set_title(f"spectrum of the result, dashed: $k_c$ + |p|\npeaks at p over their ring: {left_over}")
    _draw_circle(result, reach, units, line="--")
    for axes in (raw, result):
        _draw_circle(axes, page.cutoff, units)
        _name_frequencies(axes, units)
        for i, vector in enumerate(page.wave_vector):
            for sign in (1, -1):
                _mark_vector(axes, sign * vector, units, mark=_MARKS[i % len(_MARKS)], colour=_colour(page.waves[i][0]))
    raw_nm = page.pixel_size_nm
    draw_image(widefield, page.widefield, pixel_size_nm=raw_nm, interpolation="bicubic")
    fine_nm = None if raw_nm is None else raw_nm / page.scale
    draw_image(image, page.image, pixel_size_nm=fine_nm, interpolation="bicubic")
    widefield.set_title("widefield (mean of the frames)")
    image.set_title(f"result ({page.method})")


def _draw_envelopes(axes: Axes, envelopes: Float[np.ndarray, "orientations bins_y bins_x"]) -> None:
    """The maps of the orientations, one above the other."""
    apart = np.pad(envelopes, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)
    limits = float(envelopes.min()), float(envelopes.max())
    draw_image(axes, apart.reshape(-1, envelopes.shape[2])[:-1], limits=limits)
    axes.set(xticks=[], yticks=[])
    axes.set_title(f"over the field, 1 at top\n{limits[0]:.2f} to {limits[1]:.2f}")


def _colour(index: int) -> str:
    """Of an orientation."""
    return _COLOURS[index % len(_COLOURS)]


def _heading(page: DiagnosticsPage, wave: int) -> str:
    """Of a wave's column."""
    return page.waves[wave][1].replace(", ", ",\n") if len(page.harmonics) > 1 else f"orientation {page.waves[wave][1]}"


def _draw_brightness(axes: Axes, brightness: Float[np.ndarray, "orientations phases"]) -> None:
    """Deviation of each frame's mean from that of all, in percent."""
    phases, percent = brightness.shape[1], 100.0 * (brightness - 1.0)
    for i, row in enumerate(percent):
        axes.bar(1 + i * phases + np.arange(phases), row, color=_colour(i), label=f"orientation {i + 1}")
    axes.axhline(0.0, color="black", linewidth=0.8)
    limit = 1.5 * max(2.0, float(np.abs(percent).max()))
    axes.set(ylim=(-limit, limit), xticks=range(1, percent.size + 1, math.ceil(percent.size / 10)))
    axes.set(xlabel="frame", ylabel="deviation from average (%)")
    axes.legend(ncols=2, loc="upper left", handlelength=1.0, columnspacing=1.0)
    axes.set_title(f"mean of each frame\nspread {np.ptp(percent):.1f} %")


def _draw_spectrum(
    axes: Axes,
    spectrum: Real[np.ndarray, "h w"],
    units: Units,
    *,
    limit: float,
    scale: int = 1,
    limits: tuple[float, float] | None = None,
) -> None:
    """A centred spectrum of pixels `scale` times as fine as raw ones, up to a frequency; k_y downwards, as rows.

    The contrast is that of what is shown, unless `limits` gives it.
    """
    edges = [scale * (np.arange(n + 1) - n // 2 - 0.5) / n for n in spectrum.shape]
    top, bottom, left, right = (units.frequency * edge for ends in edges for edge in (ends[0], ends[-1]))
    inside = np.hypot(edges[0][:-1, None], edges[1][None, :-1]) < limit
    limits = limits or stretch(spectrum[inside], percentiles=_SPECTRUM_PERCENTILES)
    draw_image(axes, spectrum, limits=limits, extent=(left, right, bottom, top))
    limit *= units.frequency
    axes.set(xlim=(-limit, limit), ylim=(limit, -limit), facecolor="black")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))


def _name_frequencies(axes: Axes, units: Units) -> None:
    """The unit of both axes of a spectrum."""
    axes.set_xlabel(f"$k_x$, $k_y$ ({units.frequency_unit})", labelpad=1)


def _draw_circle(
    axes: Axes,
    radius: float,
    units: Units,
    *,
    centre: Float[np.ndarray, "2"] | tuple[float, float] = (0.0, 0.0),
    line: str = "-",
    colour: str = "white",
) -> None:
    """A circle around a frequency (y, x)."""
    y, x = (units.frequency * part for part in centre)
    axes.add_patch(Circle((x, y), units.frequency * radius, fill=False, color=colour, linestyle=line, linewidth=1.0))


def _mark_vector(axes: Axes, vector: Float[np.ndarray, "2"], units: Units, *, mark: str, colour: str) -> None:
    """The mark of a wave, open, around a frequency (y, x)."""
    y, x = units.frequency * vector
    (drawn,) = axes.plot(x, y, mark, markersize=12, fillstyle="none", color=colour)
    drawn.set(markeredgewidth=1.5, path_effects=_OUTLINE)


# ---------------------------------------------------------------------------------------------------------------------
# Left: a row for each wave
# ---------------------------------------------------------------------------------------------------------------------


def _draw_orientations(part: SubFigure, page: DiagnosticsPage, units: Units) -> None:
    count = len(page.wave_vector)
    reach = 1.02 * (page.cutoff + float(np.hypot(*page.wave_vector.T).max()))
    rows = part.subplots(count, 3, squeeze=False) if count > 1 else part.subplots(3, 1, squeeze=False).T
    for i, (vector, (correlation, at_rest, moved)) in enumerate(zip(page.wave_vector, rows, strict=True)):
        (orientation, name), z, other = page.waves[i], float(page.confidence[i]), float(page.runner_up[i])
        colour = _colour(orientation)
        score, limits = np.log10(np.maximum(page.correlogram[i], 1.0)), (0.0, float(np.log10(max(z, other, 2.0))))
        _draw_spectrum(correlation, score, units, limit=1.3 * page.cutoff, limits=limits)
        _enlarge(correlation, vector, units, reach=6.0 / max(score.shape), colour=colour)
        _mark_vector(correlation, vector, units, mark=_MARKS[i % len(_MARKS)], colour=colour)
        for radius in page.searched:
            _draw_circle(correlation, radius, units, line=":")
        apart = ": " if len(page.harmonics) == 1 else ":\n"  # longer names take a line of their own
        correlation.set_title(f"{name}{apart}correlation Z = {z:.1f}, next {other:.1f}")
        for axes, band, centre in ((at_rest, page.at_rest[orientation], 0.0 * vector), (moved, page.moved[i], -vector)):
            _draw_spectrum(axes, band, units, limit=reach, scale=page.scale)
            _draw_circle(axes, page.cutoff, units, line=":")
            _draw_circle(axes, page.cutoff, units, centre=centre, colour=colour)
        at_rest.set_title(f"{orientation + 1}: band 0")
        moved.set_title(f"{name}{apart}band +{i % len(page.harmonics) + 1}, at −p")
    for axes in rows[-1]:
        _name_frequencies(axes, units)


def _enlarge(axes: Axes, vector: Float[np.ndarray, "2"], units: Units, *, reach: float, colour: str) -> None:
    """A corner of the axes shows their image around a frequency (y, x) enlarged."""
    y, x = units.frequency * vector
    # Neither +p nor -p lies in that corner.
    left = 0.0 if x * y > 0 else 0.7
    inset = axes.inset_axes((left, 0.0, 0.3, 0.3))
    image = axes.images[0]
    left, right, bottom, top = image.get_extent()
    draw_image(
        inset,
        np.asarray(image.get_array()),
        limits=image.get_clim(),
        extent=(left, right, bottom, top),
        interpolation="nearest",
    )
    reach *= units.frequency
    inset.set(xlim=(x - reach, x + reach), ylim=(y + reach, y - reach))
    for spine in inset.spines.values():
        spine.set(visible=True, color=colour)


# ---------------------------------------------------------------------------------------------------------------------
# Right: numbers
# ---------------------------------------------------------------------------------------------------------------------


def _draw_numbers(part: SubFigure, page: DiagnosticsPage, units: Units) -> None:
    (plots,), (table,) = part.subfigures(2, 1, squeeze=False, height_ratios=(5.2, 3.0))
    (modulation, phases), (transfer, psf) = plots.subplots(2, 2, height_ratios=(1.25, 1.0))
    _draw_modulation(modulation, page)
    _draw_phases(phases, page)
    _draw_transfer(transfer, page, units)
    _draw_psf(psf, page, units)
    _draw_table(table, page)


def _draw_modulation(axes: Axes, page: DiagnosticsPage) -> None:
    """Modulation depth as used, and without correction for noise."""
    used, uncorrected = page.modulation_depth, page.modulation_with_noise
    for i in range(len(used)):
        for x, value, filled in ((i - 0.2, used[i], True), (i + 0.2, uncorrected[i], False)):
            colour = _colour(page.waves[i][0])
            axes.bar(x, value, 0.36, facecolor=colour if filled else "white", edgecolor=colour, linewidth=1.5)
            axes.text(x, value + 0.03, f"{value:.2f}", ha="center", bbox=_BLANK)
    axes.axhline(1.0, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    count = len(used)
    axes.set(ylim=(0.0, 1.15 * max(1.0, float(used.max()), float(uncorrected.max()))), xticks=range(count))
    axes.set_xlim((count - 1) / 2 - max(count, 3) / 2, (count - 1) / 2 + max(count, 3) / 2)
    if len(page.harmonics) > 1:
        axes.set_xticklabels([name.replace(", harmonic ", "\n") for _, name in page.waves])
        axes.set_xlabel("orientation, harmonic")
    else:
        axes.set_xticklabels([_heading(page, i) for i in range(count)])
    axes.set_title("modulation depth\nfilled: corrected for noise, empty: not")


def _draw_phases(axes: Axes, page: DiagnosticsPage) -> None:
    """Phases on circles, the innermost of the first orientation: as used, and those of single frames."""
    count = len(page.phase)
    turns = np.linspace(0.0, 2.0 * np.pi, 200)
    for i in range(count):
        radius = 0.4 + 0.6 * (i + 1) / count
        axes.plot(radius * np.cos(turns), radius * np.sin(turns), color="0.85", linewidth=0.8, zorder=0)
        for phase in page.single_phases[i]:
            ends = np.array([radius - 0.11, radius + 0.11])
            axes.plot(ends * np.cos(phase), ends * np.sin(phase), color="black", linewidth=1.2, zorder=1)
        for n, phase in enumerate(page.phase[i]):
            x, y = radius * np.cos(phase), radius * np.sin(phase)
            axes.plot(x, y, _MARKS[i % len(_MARKS)], color=_colour(page.waves[i][0]), markersize=11)
            axes.text(x, y, f"{n + 1}", fontsize=7, ha="center", va="center_baseline")
    axes.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal")
    axes.set_axis_off()
    axes.set_title("phases of the frames\nmarks: as used, lines: of each frame alone")


def _draw_transfer(axes: Axes, page: DiagnosticsPage, units: Units) -> None:
    """OTFs over frequency, and where they end."""
    for row, (name, colour, line) in zip(page.transfer, _PROFILES, strict=False):
        axes.plot(units.frequency * page.frequency, row, label=name, color=colour, linestyle=line, linewidth=1.5)
    top = 1.05 * max(1.0, float(page.transfer.max()))
    for name, radius in (
        ("$k_c$", page.cutoff),
        ("$k_c$ + |p|", page.cutoff + float(np.hypot(*page.finest[0]))),
    ):
        axes.axvline(units.frequency * radius, color="0.6", linewidth=0.8)
        axes.text(units.frequency * radius, 0.97 * top, f"{name} ", ha="right", va="top")
    axes.set(xlim=(0, None), ylim=(0, top), xlabel=f"frequency ({units.frequency_unit})")
    axes.legend(loc="center right", bbox_to_anchor=(0.94, 0.55))
    axes.set_title("optical transfer function" + ("" if len(page.transfer) > 1 else "; the result has none"))


def _draw_psf(axes: Axes, page: DiagnosticsPage, units: Units) -> None:
    """PSFs over position with their widths."""
    position = units.length * page.position
    for row, (name, colour, line) in zip(page.psf, _PROFILES, strict=False):
        label = f"{name}: {width_at_half_maximum(position, row):.3g} {units.length_unit}"
        both_sides = np.append(-position[:0:-1], position), np.append(row[:0:-1], row)
        axes.plot(*both_sides, label=label, color=colour, linestyle=line, linewidth=1.5)
    axes.axhline(0.0, color="0.6", linewidth=0.8)
    axes.set(xlim=(-position[-1], position[-1]), ylim=(None, 1.5), xlabel=f"position ({units.length_unit})")
    axes.legend(loc="upper right", handlelength=1.2, borderaxespad=0.2)
    axes.set_title("point spread function, full width at half maximum")


def width_at_half_maximum(position: Float[np.ndarray, "n"], profile: Float[np.ndarray, "n"]) -> float:
    """Full width of a symmetric profile from its maximum 1 at position 0 on; NaN if it does not fall to 1/2."""
    below = np.flatnonzero(profile < 0.5)
    if not len(below):
        return float("nan")
    pair = slice(below[0] - 1, below[0] + 1)
    return 2.0 * float(np.interp(-0.5, -profile[pair], position[pair]))


def numbers_in_words(page: DiagnosticsPage) -> dict[str, list[str]]:
    """The numbers of each wave by what they are, angles from x towards y (downwards)."""
    units, vector = page_units(page.pixel_size_nm), page.wave_vector
    length = np.hypot(*vector.T)
    return {
        "|p| (cycles/pixel)": [f"{n:.5f}" for n in length],
        "p (x, y) (frequency pixels)": [f"{x:.2f}, {y:.2f}" for y, x in vector * page.widefield.shape],
        f"period ({units.length_unit})": [f"{units.length / n:.4g}" for n in length],
        "angle (degrees)": [f"{angle:.2f}" for angle in np.rad2deg(np.arctan2(vector[:, 0], vector[:, 1])) % 180],
        "phases (degrees)": [", ".join(f"{phase % 360:.0f}" for phase in row) for row in np.rad2deg(page.phase)],
        "modulation, corrected / not": [
            f"{used:.2f} / {uncorrected:.2f}"
            for used, uncorrected in zip(page.modulation_depth, page.modulation_with_noise, strict=True)
        ],
        "confidence Z": [f"{z:.1f}" for z in page.confidence],
        "coherence of the bands": [f"{c:.2f}" for c in page.coherence],
        "overlap (frequency pixels)": [f"{n:.0f}" for n in page.overlap],
        "condition of the mixing": [f"{c:.2f}" for c in np.repeat(page.condition, len(page.harmonics))],
    }


def _draw_table(part: SubFigure, page: DiagnosticsPage) -> None:
    """The numbers, a column for each wave."""
    axes = part.subplots()
    axes.set_axis_off()
    rows, count = numbers_in_words(page), len(page.wave_vector)
    if count > 3:  # narrow columns
        rows = {name: [textwrap.fill(cell, 16) for cell in cells] for name, cells in rows.items()}
    table = axes.table(
        list(rows.values()),
        rowLabels=list(rows),
        colLabels=[_heading(page, i) for i in range(count)],
        cellLoc="center",
        edges="horizontal",
        bbox=Bbox.from_bounds(0.3, 0.0, 0.7, 1.0),
    )
    table.auto_set_font_size(False)
    table.set_fontsize(_TEXT_PT if count <= 3 else 7)
    for cell in table.get_celld().values():
        cell.set_edgecolor("0.85")
    for i in range(count):
        table[0, i].set_text_props(color=_colour(page.waves[i][0]), weight="bold")

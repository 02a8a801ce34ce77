"""The panels of `reconstruction.diagnostics`: each draws given numbers into given axes.

Frequencies come in cycles per raw pixel, lengths in raw pixels; `Units` says what the axes show. Orientations have the
same colour (Okabe and Ito's, which the colour-blind tell apart) and the same mark everywhere.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Real
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from oidn_jax.classical.estimation import Estimate
from oidn_jax.figures.preview import draw_scale_bar

Numbers = Array | np.ndarray

COLOURS = ("#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#D55E00", "#0072B2")
MARKS = ("o", "s", "D", "^", "v", "p")
_CONTRAST_PERCENTILES = (0.1, 99.9)
_SPECTRUM_PERCENTILES = (25.0, 99.95)
_SMALL = 8.5  # points
_BLANK = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
_OUTLINE = [withStroke(linewidth=3.0, foreground="black")]
_PROFILES: dict[str, Any] = {
    "raw frames": {"color": "black", "linestyle": ":"},
    "along $p_1$": {"color": COLOURS[-1], "linestyle": "-"},
    "across": {"color": COLOURS[4], "linestyle": "--"},
}


class Units(NamedTuple):
    """Factors from cycles per raw pixel and from raw pixels to what axes show, and its names."""

    frequency: float
    frequency_unit: str
    length: float
    length_unit: str
    pixel_size_nm: float | None

    @property
    def pixel(self) -> str:
        """The raw pixel in words."""
        return "pixel size unknown" if self.pixel_size_nm is None else f"{self.pixel_size_nm:g} nm each"

    @classmethod
    def of(cls, pixel_size_nm: float | None) -> "Units":
        """Cycles per micrometre and nanometres for a known pixel size, else pixels."""
        if pixel_size_nm is None:
            return cls(1.0, "cycles/pixel", 1.0, "pixels", None)
        return cls(1000.0 / pixel_size_nm, "cycles/µm", pixel_size_nm, "nm", pixel_size_nm)


class Profiles(NamedTuple):
    """Transfer functions over frequency and PSFs over position (raw pixels), the largest value 1.

    Rows of `otf` and `psf`: of the raw frames; and, for a method that has an effective transfer function, that along
    the first wave vector and across it.
    """

    frequency: Array
    otf: Array
    position: Array
    psf: Array


def colour(index: int) -> str:
    """Of an orientation."""
    return COLOURS[index % len(COLOURS)]


def draw_brightness(axes: Axes, brightness: Float[Numbers, "orientations phases"]) -> None:
    """Deviation of each frame's mean from that of all, in percent."""
    phases, percent = brightness.shape[1], 100.0 * (brightness - 1.0)
    for i, row in enumerate(percent):
        axes.bar(1 + i * phases + np.arange(phases), row, color=colour(i), label=f"orientation {i + 1}")
    axes.axhline(0.0, color="black", linewidth=0.8)
    limit = 1.5 * max(2.0, float(np.abs(percent).max()))
    axes.set(
        ylim=(-limit, limit), xticks=range(1, percent.size + 1), xlabel="frame", ylabel="deviation from average (%)"
    )
    axes.legend(fontsize=_SMALL, frameon=False, ncols=2, loc="upper left", handlelength=1.0, columnspacing=1.0)
    axes.set_title(f"mean of each frame\nspread {np.ptp(percent):.1f} %")


def draw_spectrum(
    axes: Axes,
    spectrum: Real[Numbers, "h w"],
    units: Units,
    *,
    limit: float,
    scale: int = 1,
    contrast: tuple[float, float] | None = None,
) -> None:
    """A centred spectrum of pixels `scale` times as fine as raw ones, up to a frequency; k_y downwards, as rows.

    The contrast is that of quantiles of what is shown, unless it is given.
    """
    edges = [scale * (np.arange(n + 1) - n // 2 - 0.5) / n for n in spectrum.shape]
    top, bottom, left, right = (units.frequency * edge for ends in edges for edge in (ends[0], ends[-1]))
    if contrast is None:
        inside = np.hypot(edges[0][:-1, None], edges[1][None, :-1]) < limit
        contrast = tuple(np.nanpercentile(spectrum[inside], _SPECTRUM_PERCENTILES))
    axes.imshow(spectrum, cmap="gray", clim=contrast, extent=(left, right, bottom, top))
    limit *= units.frequency
    axes.set(xlim=(-limit, limit), ylim=(limit, -limit), facecolor="black")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))


def name_frequencies(axes: Axes, units: Units) -> None:
    """The unit of both axes of a spectrum."""
    axes.set_xlabel(f"$k_x$, $k_y$ ({units.frequency_unit})", labelpad=1)


def draw_circle(
    axes: Axes,
    radius: float,
    units: Units,
    *,
    centre: Float[Numbers, "2"] | tuple[float, float] = (0.0, 0.0),
    line: str = "-",
    colour: str = "white",
) -> None:
    """A circle around a frequency (y, x)."""
    y, x = (units.frequency * part for part in centre)
    axes.add_patch(Circle((x, y), units.frequency * radius, fill=False, color=colour, linestyle=line, linewidth=1.0))


def mark_vector(axes: Axes, vector: Float[Numbers, "2"], units: Units, *, index: int) -> None:
    """The mark of an orientation, open, around a frequency (y, x)."""
    y, x = units.frequency * vector
    (drawn,) = axes.plot(x, y, MARKS[index % len(MARKS)], markersize=12, fillstyle="none", color=colour(index))
    drawn.set(markeredgewidth=1.5, path_effects=_OUTLINE)


def enlarge(axes: Axes, vector: Float[Numbers, "2"], units: Units, *, reach: float, index: int) -> None:
    """A corner of the axes shows their image around a frequency (y, x) enlarged."""
    y, x = units.frequency * vector
    # Neither +p nor -p lies in that corner.
    left = 0.0 if x * y > 0 else 0.7
    inset = axes.inset_axes((left, 0.0, 0.3, 0.3), xticks=[], yticks=[])
    image = axes.images[0]
    inset.imshow(
        np.asarray(image.get_array()),
        cmap="gray",
        clim=image.get_clim(),
        extent=image.get_extent(),
        interpolation="nearest",
    )
    reach *= units.frequency
    inset.set(xlim=(x - reach, x + reach), ylim=(y + reach, y - reach))
    inset.spines[:].set_color(colour(index))


def draw_image(axes: Axes, image: Float[Numbers, "h w"], units: Units, *, size: tuple[int, ...]) -> None:
    """An image of a field of `size` raw pixels, with a scale bar."""
    low, high = np.percentile(image, _CONTRAST_PERCENTILES)
    h, w = size
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, extent=(0, w, h, 0), interpolation="bicubic")
    axes.set_axis_off()
    if units.pixel_size_nm is not None:
        draw_scale_bar(axes, (h, w), units.pixel_size_nm)


def draw_modulation(axes: Axes, estimate: Estimate) -> None:
    """Modulation depth as used, and without correction for noise."""
    depths = (estimate.illumination.modulation_depth, estimate.modulation_with_noise)
    for i, (used, raw) in enumerate(zip(*depths, strict=True)):
        for x, value, filled in ((i - 0.2, used, True), (i + 0.2, raw, False)):
            axes.bar(x, value, 0.36, facecolor=colour(i) if filled else "white", edgecolor=colour(i), linewidth=1.5)
            axes.text(x, value + 0.03, f"{value:.2f}", ha="center", fontsize=_SMALL, bbox=_BLANK)
    axes.axhline(1.0, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    count = len(depths[0])
    axes.set(ylim=(0.0, 1.15 * max(1.0, np.max(depths))), xticks=range(count))
    axes.set_xlim((count - 1) / 2 - max(count, 3) / 2, (count - 1) / 2 + max(count, 3) / 2)
    axes.set_xticklabels([f"orientation {i + 1}" for i in range(count)])
    axes.set_title("modulation depth\nfilled: corrected for noise, empty: not")


def draw_phases(axes: Axes, estimate: Estimate) -> None:
    """Phases on circles, the innermost of the first orientation: as used, and those of single frames."""
    count = len(estimate.confidence)
    turns = np.linspace(0.0, 2.0 * np.pi, 200)
    for i in range(count):
        radius = 0.4 + 0.6 * (i + 1) / count
        axes.plot(radius * np.cos(turns), radius * np.sin(turns), color="0.85", linewidth=0.8, zorder=0)
        for phase in estimate.single_phases[i]:
            ends = np.array([radius - 0.11, radius + 0.11])
            axes.plot(ends * np.cos(phase), ends * np.sin(phase), color="black", linewidth=1.2, zorder=1)
        for n, phase in enumerate(estimate.illumination.phase[i]):
            x, y = radius * np.cos(phase), radius * np.sin(phase)
            axes.plot(x, y, MARKS[i % len(MARKS)], color=colour(i), markersize=11)
            axes.text(x, y, f"{n + 1}", fontsize=7, ha="center", va="center_baseline")
    axes.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal")
    axes.set_axis_off()
    axes.set_title("phases of the frames\nmarks: as used, lines: of each frame alone")


def draw_transfer(axes: Axes, profiles: Profiles, units: Units, *, reach: Mapping[str, float]) -> None:
    """OTFs over frequency, and where they end."""
    for row, (name, style) in zip(profiles.otf, _PROFILES.items(), strict=False):
        axes.plot(units.frequency * profiles.frequency, row, label=name, **style)
    top = 1.05 * max(1.0, float(profiles.otf.max()))
    for name, radius in reach.items():
        axes.axvline(units.frequency * radius, color="0.6", linewidth=0.8)
        axes.text(units.frequency * radius, 0.97 * top, f"{name} ", ha="right", va="top", fontsize=_SMALL)
    axes.set(xlim=(0, None), ylim=(0, top), xlabel=f"frequency ({units.frequency_unit})")
    axes.legend(fontsize=_SMALL, frameon=False, loc="center right", bbox_to_anchor=(0.94, 0.55))
    axes.set_title("optical transfer function" + ("" if len(profiles.otf) > 1 else "; the result has none"))


def draw_psf(axes: Axes, profiles: Profiles, units: Units) -> None:
    """PSFs over position with their widths."""
    position = units.length * profiles.position
    for row, (name, style) in zip(profiles.psf, _PROFILES.items(), strict=False):
        label = f"{name}: {width_at_half_maximum(position, row):.3g} {units.length_unit}"
        axes.plot(np.append(-position[:0:-1], position), np.append(row[:0:-1], row), label=label, **style)
    axes.axhline(0.0, color="0.6", linewidth=0.8)
    axes.set(xlim=(-position[-1], position[-1]), ylim=(None, 1.15), xlabel=f"position ({units.length_unit})")
    axes.legend(fontsize=_SMALL, frameon=False, loc="upper right", handlelength=1.2, borderaxespad=0.2)
    axes.set_title("point spread function, full width at half maximum")


def width_at_half_maximum(position: Float[Numbers, "n"], profile: Float[Numbers, "n"]) -> float:
    """Full width of a symmetric profile from its maximum 1 at position 0 on; NaN if it does not fall to 1/2."""
    below = np.flatnonzero(profile < 0.5)
    if not len(below):
        return float("nan")
    pair = slice(below[0] - 1, below[0] + 1)
    return 2.0 * float(np.interp(-0.5, -profile[pair], position[pair]))


def table_of(
    estimate: Estimate, units: Units, *, size: tuple[int, ...], condition: Float[Numbers, "orientations"]
) -> dict[str, list[str]]:
    """The numbers of each orientation in words; `size` of the raw frames, angles from x towards y (downwards)."""
    given, vector = estimate.illumination, np.asarray(estimate.illumination.wave_vector)
    length = np.hypot(*vector.T)
    pixels = vector * size
    degrees = np.rad2deg(np.asarray(given.phase))
    return {
        "|p| (cycles/pixel)": [f"{n:.5f}" for n in length],
        "p (x, y) (frequency pixels)": [f"{x:.2f}, {y:.2f}" for y, x in pixels],
        f"period ({units.length_unit})": [f"{units.length / n:.4g}" for n in length],
        "angle (degrees)": [f"{angle:.2f}" for angle in np.rad2deg(np.arctan2(vector[:, 0], vector[:, 1])) % 180],
        "phases (degrees)": [", ".join(f"{phase % 360:.0f}" for phase in row) for row in degrees],
        "modulation, corrected / not": [
            f"{m:.2f} / {raw:.2f}"
            for m, raw in zip(given.modulation_depth, estimate.modulation_with_noise, strict=True)
        ],
        "confidence Z": [f"{z:.1f}" for z in estimate.confidence],
        "coherence of the bands": [f"{c:.2f}" for c in estimate.coherence],
        "overlap (frequency pixels)": [f"{n:.0f}" for n in estimate.overlap],
        "condition of the mixing": [f"{c:.2f}" for c in condition],
    }


def draw_table(
    part: SubFigure,
    estimate: Estimate,
    units: Units,
    *,
    size: tuple[int, ...],
    condition: Float[Numbers, "orientations"],
) -> None:
    """The table, a column for each orientation."""
    axes = part.subplots()
    axes.set_axis_off()
    rows = table_of(estimate, units, size=size, condition=condition)
    count = len(condition)
    table = axes.table(
        list(rows.values()),
        rowLabels=list(rows),
        colLabels=[f"orientation {i + 1}" for i in range(count)],
        cellLoc="center",
        edges="horizontal",
        bbox=Bbox.from_bounds(0.3, 0.0, 0.7, 1.0),
    )
    table.auto_set_font_size(False)
    table.set_fontsize(9 if count <= 3 else 7)
    for cell in table.get_celld().values():
        cell.set_edgecolor("0.85")
    for i in range(count):
        table[0, i].set_text_props(color=colour(i), weight="bold")


def draw_warnings(part: SubFigure, lines: Sequence[str], *, height: float) -> None:
    """Lines of text into a part of the page that is `height` inches high."""
    part.text(0.012, 1.0 - 0.12 / height, "Warnings", color="#B00000", weight="bold", va="top", fontsize=11)
    part.text(0.012, 1.0 - 0.36 / height, "\n".join(lines), va="top", fontsize=9)

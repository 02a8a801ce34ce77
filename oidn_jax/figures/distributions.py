"""Distributions of scores over images, and a radar of how networks do on specimens they were not trained on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch
from matplotlib.ticker import MaxNLocator

from oidn_jax.figures import layout
from oidn_jax.figures.style import LIGHT_GREY, figure_style, save_print

# ---------------------------------------------------------------------------------------------------------------------
# Box plots
# ---------------------------------------------------------------------------------------------------------------------

_MOST_ACROSS = 4
_AXIS_MM, _RIGHT_MM, _PLOT_MM, _ABOVE_MM, _BELOW_MM = 11.5, 1.0, 36.0, 6.0, 8.0
_GROUP, _BOX, _SPREAD = 0.8, 0.82, 0.6  # of the distance of two levels, of a method's share, of a box
_GOLDEN = 0.5 * (5.0**0.5 - 1.0)


@dataclass(frozen=True)
class Distribution:
    """The scores of the images of one specimen at one fluorescence level by one method, all of them as they are called.

    Attributes:
        specimen: as "F-actin".
        level: as "low".
        method: as "Wiener SIM".
        scores: values, one for each image, by score, as "PSNR (dB)"; NaN and infinity are left out and counted.
    """

    specimen: str
    level: str
    method: str
    scores: Mapping[str, Sequence[float] | np.ndarray]


def save_box_plots(path: Path, distributions: Sequence[Distribution], *, colours: Mapping[str, str]) -> list[Path]:
    """Boxes of each score by level and method, with a point for each image; a row of plots per specimen.

    Boxes reach from the first to the third quartile with a line at the median (`numpy.percentile`), whiskers to the
    last value within 1.5 times the interquartile range. Values that are not finite are left out and counted below.

    Args:
        path: of the files, without suffix.
        distributions: specimens, levels, methods and scores are shown in the order in which they come; more than four
            scores take further rows.
        colours: by method (`style.palette`).

    Returns:
        The files, `[path.png, path.pdf]`.
    """
    with figure_style():
        specimens, methods = _unique(d.specimen for d in distributions), _unique(d.method for d in distributions)
        scores = _unique(score for d in distributions for score in d.scores)
        lines_each, pitch = -(-len(scores) // _MOST_ACROSS), _ABOVE_MM + _PLOT_MM + _BELOW_MM
        across = -(-len(scores) // lines_each)
        width = layout.COLUMN_WIDTH_MM if across == 1 else layout.FULL_WIDTH_MM
        note = layout.wrap(_note(distributions, scores), width_mm=width - 2.0)
        bottom = len(specimens) * lines_each * pitch
        below = bottom + layout.legend_height_mm(methods, width_mm=width) + 1.0
        figure = layout.new_figure(width, below + layout.LINE_MM * len(note) + 1.5)
        share = (width - _RIGHT_MM) / across
        for row, specimen in enumerate(specimens):
            members = [d for d in distributions if d.specimen == specimen]
            top = row * lines_each * pitch
            if len(specimens) > 1:
                layout.add_letter(figure, (1.0, top + 0.8), row)
            layout.add_text(figure, (5.0 if len(specimens) > 1 else 1.0, top + 1.0), specimen, va="top")
            for index, score in enumerate(scores):
                left, y = index % across * share + _AXIS_MM, top + index // across * pitch + _ABOVE_MM
                axis = layout.add_axes(figure, (left, y, share - _AXIS_MM, _PLOT_MM))
                _draw_boxes(axis, members, score, methods=methods, colours=colours)
        handles = [Patch(facecolor=_tint(colours[m]), edgecolor=colours[m], label=m) for m in methods]
        layout.add_legend(figure, handles, top_mm=bottom)
        layout.add_text(figure, (1.0, below), "\n".join(note), va="top")
        return save_print(figure, path)


def _unique(labels: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(labels))


def _finite(distribution: Distribution, score: str) -> np.ndarray:
    values = np.asarray(distribution.scores.get(score, ()), np.float64)
    return values[np.isfinite(values)]


def _note(distributions: Sequence[Distribution], scores: Sequence[str]) -> str:
    text = (
        "Boxes: quartiles and median; whiskers: the last images within 1.5 interquartile ranges; points: single images."
    )
    missing = {
        score: sum(len(d.scores.get(score, ())) - _finite(d, score).size for d in distributions) for score in scores
    }
    counts = ", ".join(f"{count} of {score}" for score, count in missing.items() if count)
    return f"{text} Not finite and left out: {counts}." if counts else text


def _draw_boxes(
    axis: Axes,
    distributions: Sequence[Distribution],
    score: str,
    *,
    methods: Sequence[str],
    colours: Mapping[str, str],
) -> None:
    levels, share = _unique(d.level for d in distributions), _GROUP / len(methods)
    for distribution in distributions:
        values = _finite(distribution, score)
        if values.size:
            number = methods.index(distribution.method) - (len(methods) - 1) / 2.0
            place = levels.index(distribution.level) + number * share
            _draw_box(axis, values, place, width=_BOX * share, colour=colours[distribution.method])
    axis.set(xlim=(-0.5, len(levels) - 0.5), xticks=range(len(levels)), xlabel="Fluorescence", ylabel=score)
    axis.set_xticklabels(levels)
    axis.tick_params(axis="x", length=0.0)
    axis.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], min_n_ticks=3))
    if not axis.lines:
        axis.set_yticks([])
        axis.text(0.5, 0.5, "no finite values", transform=axis.transAxes, ha="center", va="center")


def _draw_box(axis: Axes, values: np.ndarray, place: float, *, width: float, colour: str) -> None:
    axis.boxplot(
        values,
        positions=[place],
        widths=width,
        showfliers=False,
        showcaps=False,
        patch_artist=True,
        manage_ticks=False,
        boxprops={"facecolor": _tint(colour), "edgecolor": colour, "linewidth": 0.6},
        medianprops={"color": colour, "linewidth": 1.4, "solid_capstyle": "butt"},
        whiskerprops={"color": colour, "linewidth": 0.6},
    )
    # Multiples of the golden ratio fill an interval evenly, whatever their number; no random numbers are needed.
    jitter = ((np.arange(values.size) + 1) * _GOLDEN % 1.0 - 0.5) * width * _SPREAD
    axis.plot(place + jitter, values, color=colour, linestyle="none", marker="o", markersize=1.6, markeredgewidth=0.0)


def _tint(colour: str) -> tuple[float, float, float]:
    r, g, b = (1.0 - 0.3 * (1.0 - part) for part in to_rgb(colour))
    return r, g, b


# ---------------------------------------------------------------------------------------------------------------------
# Radar
# ---------------------------------------------------------------------------------------------------------------------

_FEWEST_AXES = 3
_RADAR_MM, _REACH = 56.0, 1.2  # height of the plot, and half of it over the radius of the rim
_VERTEX_PT, _STAR_PT = 2.0, 7.0


def save_radar(
    path: Path,
    values: Mapping[str, Mapping[str, float]],
    *,
    score: str,
    trained_on: Mapping[str, str],
    colours: Mapping[str, str],
) -> list[Path]:
    """A radar with an axis per specimen and a polygon per method; a star marks what a network was trained on.

    The centre is not 0: the range is that of the values, so that differences are seen, and stands below. A polygon has
    a gap where a value is missing or not finite.

    Args:
        path: of the files, without suffix.
        values: score by method and specimen, as both are called.
        score: how the score is called, with its unit.
        trained_on: specimen by method, for networks.
        colours: by method (`style.palette`).

    Returns:
        The files, `[path.png, path.pdf]`.

    Raises:
        ValueError: with fewer than three specimens, which span no area.
    """
    specimens = _unique(specimen for by_specimen in values.values() for specimen in by_specimen)
    if len(specimens) < _FEWEST_AXES:
        raise ValueError(
            f"a radar needs at least {_FEWEST_AXES} specimens, got {len(specimens)} ({', '.join(specimens)}); draw box "
            "plots instead"
        )
    with figure_style():
        table = np.asarray([[row.get(specimen, np.nan) for specimen in specimens] for row in values.values()])
        ticks = _radial_ticks(table[np.isfinite(table)])
        labels = _tick_labels(ticks)
        width = layout.COLUMN_WIDTH_MM
        note = layout.wrap(
            f"Radial axis: {score}, from {labels[0]} at the centre to {labels[-1]} at the rim.", width_mm=width - 2.0
        )
        handles = [
            Line2D([], [], color=colours[label], marker="o", markersize=_VERTEX_PT, label=label) for label in values
        ]
        if any(trained_on.get(label) in specimens for label in values):
            handles.append(_star([], [], colour="black", label="trained on this specimen"))
        legend = layout.legend_height_mm([str(handle.get_label()) for handle in handles], width_mm=width) + 1.0
        figure = layout.new_figure(width, _RADAR_MM + legend + layout.LINE_MM * len(note) + 2.5)
        axis = layout.add_axes(figure, (0.0, 0.5, width, _RADAR_MM))
        angles = np.pi / 2.0 - 2.0 * np.pi * np.arange(len(specimens)) / len(specimens)
        rings, radii = ((value - ticks[0]) / (ticks[-1] - ticks[0]) for value in (ticks, table))
        _draw_grid(axis, angles, dict(zip(labels, rings, strict=True)), names=specimens)
        for label, row in zip(values, radii, strict=True):
            x, y = row * np.cos(angles), row * np.sin(angles)
            axis.plot(
                np.append(x, x[0]),
                np.append(y, y[0]),
                color=colours[label],
                linewidth=1.0,
                marker="o",
                markersize=_VERTEX_PT,
            )
            if trained_on.get(label) in specimens:
                home = specimens.index(trained_on[label])
                axis.add_line(_star([x[home]], [y[home]], colour=colours[label]))
        layout.add_legend(figure, handles, top_mm=_RADAR_MM + 1.5)
        layout.add_text(figure, (1.0, _RADAR_MM + 1.5 + legend), "\n".join(note), va="top")
        return save_print(figure, path)


def _star(x: Sequence[float], y: Sequence[float], *, colour: str, label: str = "") -> Line2D:
    return Line2D(
        x,
        y,
        color=colour,
        linestyle="none",
        marker="*",
        markersize=_STAR_PT,
        markeredgewidth=0.4,
        markeredgecolor="white",
        zorder=3.0,
        label=label,
    )


def _radial_ticks(values: np.ndarray) -> np.ndarray:
    """Round numbers from below the smallest value, so that no value lies in the centre, to the largest or beyond."""
    if not values.size:
        return np.linspace(0.0, 1.0, 5)
    low, high = float(values.min()), float(values.max())
    # Values that are all the same have no range, but need one to be drawn.
    low -= 0.25 * (high - low) or 0.1 * abs(low) or 0.1
    return np.asarray(MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high))


def _tick_labels(ticks: np.ndarray) -> list[str]:
    """As many digits as tell neighbours apart."""
    decimals = max(0, -int(np.floor(np.log10(ticks[1] - ticks[0]) + 1e-9)))
    return [f"{tick:.{decimals}f}" for tick in ticks]


def _draw_grid(axis: Axes, angles: np.ndarray, rings: Mapping[str, float], *, names: Sequence[str]) -> None:
    reach = _REACH * layout.COLUMN_WIDTH_MM / _RADAR_MM
    axis.set(xlim=(-reach, reach), ylim=(-_REACH, _REACH))
    axis.set_axis_off()
    between = angles[0] + (angles[1] - angles[0]) / 2.0
    for label, radius in rings.items():
        axis.add_patch(Circle((0.0, 0.0), radius, fill=False, color=LIGHT_GREY, linewidth=0.5))
        box = {"facecolor": "white", "alpha": 0.8, "linewidth": 0.0, "pad": 0.6}
        place = (radius * np.cos(between), radius * np.sin(between))
        axis.text(*place, label, ha="center", va="center", bbox=box, zorder=4.0)
    for angle, name in zip(angles, names, strict=True):
        x, y = np.cos(angle), np.sin(angle)
        axis.plot([0.0, x], [0.0, y], color=LIGHT_GREY, linewidth=0.5)
        sides = ("center", "left", "right")
        across = sides[0 if abs(x) < 0.1 else 1 if x > 0 else 2]
        along = "center" if abs(y) < 0.1 else "bottom" if y > 0 else "top"
        axis.text(1.06 * x, 1.06 * y, name, ha=across, va=along)

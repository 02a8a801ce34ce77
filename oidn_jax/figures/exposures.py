"""Curves over the exposure: what each method knows of the brightest one, by period, and what its frames contradict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, ScalarFormatter

from oidn_jax.figures import layout
from oidn_jax.figures.style import figure_style, save_print

_AXIS_MM, _PLOT_MM, _ABOVE_MM, _BELOW_MM, _RIGHT_MM = 10.5, 34.0, 6.0, 8.5, 1.5
_ACROSS = 3


@dataclass(frozen=True)
class ExposureCurve:
    """A plot: one number over the exposure.

    Attributes:
        title: what it is.
        values: by method, one for each exposure.
        exposure: of each value, positive; on a logarithmic axis.
        lowest: where the axis begins; None for where the values do.
    """

    title: str
    values: Mapping[str, Sequence[float]]
    exposure: Sequence[float]
    lowest: float | None = None


def save_exposure_curves(
    path: Path, plots: Sequence[ExposureCurve], *, unit: str, colours: Mapping[str, str]
) -> list[Path]:
    """All plots, three in a row, with one legend.

    Args:
        path: of the files, without suffix.
        plots: in the order they are shown.
        unit: what the exposure is, as "Photo-electrons per pixel".
        colours: by method (`style.palette`).

    Returns:
        The files, `[path.png, path.pdf]`.
    """
    with figure_style():
        methods = list(dict.fromkeys(method for plot in plots for method in plot.values))
        width, rows = layout.FULL_WIDTH_MM, -(-len(plots) // _ACROSS)
        pitch, bottom = width / _ACROSS, rows * (_ABOVE_MM + _PLOT_MM + _BELOW_MM)
        figure = layout.new_figure(width, bottom + layout.legend_height_mm(methods, width_mm=width) + 1.0)
        for index, plot in enumerate(plots):
            left, top = index % _ACROSS * pitch, index // _ACROSS * (_ABOVE_MM + _PLOT_MM + _BELOW_MM)
            layout.add_letter(figure, (left + 1.0, top + 1.0), index)
            layout.add_text(figure, (left + _AXIS_MM, top + 1.0), plot.title, va="top")
            box = (left + _AXIS_MM, top + _ABOVE_MM, pitch - _AXIS_MM - _RIGHT_MM, _PLOT_MM)
            _draw(layout.add_axes(figure, box), plot, colours=colours)
            if index + _ACROSS >= len(plots):
                middle = left + 0.5 * (_AXIS_MM + pitch - _RIGHT_MM)
                layout.add_text(figure, (middle, top + _ABOVE_MM + _PLOT_MM + _BELOW_MM - 1.5), unit, ha="center")
        handles = [
            Line2D([], [], color=colours[method], marker="o", markersize=2.5, label=method) for method in methods
        ]
        layout.add_legend(figure, handles, top_mm=bottom)
        return save_print(figure, path)


def _draw(axes: Axes, plot: ExposureCurve, *, colours: Mapping[str, str]) -> None:
    for method, values in plot.values.items():
        axes.plot(plot.exposure, values, color=colours[method], marker="o", markersize=2.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    shown = np.concatenate([np.asarray(values, float) for values in plot.values.values()])
    if plot.lowest is not None and np.isfinite(shown).any():
        axes.set_ylim(bottom=min(plot.lowest, float(np.nanmin(shown))))

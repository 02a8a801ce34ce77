"""Reliability curves: the mean error of an image's pixels over the error that was expected of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from oidn_jax.figures import layout
from oidn_jax.figures.style import figure_style, save_print
from oidn_jax.metrics.calibration import Reliability

_AXIS_MM, _PLOT_MM, _ABOVE_MM, _BELOW_MM, _RIGHT_MM = 12.5, 40.0, 6.0, 9.5, 1.5
_ACROSS = 3


@dataclass(frozen=True)
class ReliabilityPanel:
    """A plot.

    Attributes:
        title: as "F-actin, low fluorescence".
        curves: by method.
    """

    title: str
    curves: Mapping[str, Reliability]


def save_reliability(path: Path, panels: Sequence[ReliabilityPanel], *, colours: Mapping[str, str]) -> list[Path]:
    """All plots, three in a row, with one legend; on the dotted diagonal errors are as expected.

    Args:
        path: of the files, without suffix.
        panels: in the order they are shown.
        colours: by method (`style.palette`).

    Returns:
        The files, `[path.png, path.pdf]`.
    """
    with figure_style():
        methods = list(dict.fromkeys(method for panel in panels for method in panel.curves))
        width, rows = layout.FULL_WIDTH_MM, -(-len(panels) // _ACROSS)
        pitch, row_mm = width / _ACROSS, _ABOVE_MM + _PLOT_MM + _BELOW_MM
        figure = layout.new_figure(width, rows * row_mm + layout.legend_height_mm(methods, width_mm=width) + 1.0)
        for index, panel in enumerate(panels):
            left, top = index % _ACROSS * pitch, index // _ACROSS * row_mm
            layout.add_letter(figure, (left + 1.0, top + 1.0), index)
            layout.add_text(figure, (left + _AXIS_MM, top + 1.0), panel.title, va="top")
            box = (left + _AXIS_MM, top + _ABOVE_MM, pitch - _AXIS_MM - _RIGHT_MM, _PLOT_MM)
            _draw(layout.add_axes(figure, box), panel, colours=colours, outer=index % _ACROSS == 0)
            middle = left + 0.5 * (_AXIS_MM + pitch - _RIGHT_MM)
            layout.add_text(figure, (middle, top + row_mm - 1.5), "Expected error", ha="center")
        handles = [
            Line2D([], [], color=colours[method], marker="o", markersize=2.5, label=method) for method in methods
        ]
        layout.add_legend(figure, handles, top_mm=rows * row_mm)
        return save_print(figure, path)


def _draw(axes: Axes, panel: ReliabilityPanel, *, colours: Mapping[str, str], outer: bool) -> None:
    for method, curve in panel.curves.items():
        axes.plot(curve.expected, curve.measured, color=colours[method], marker="o", markersize=2.5)
    values = np.concatenate([np.concatenate(curve) for curve in panel.curves.values()])
    positive = values[np.isfinite(values) & (values > 0)]
    limits = (0.7 * positive.min(), 1.4 * positive.max()) if positive.size else (1e-3, 1.0)
    axes.plot(limits, limits, color="0.5", linestyle=":", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    if outer:
        axes.set_ylabel("Mean error")

"""Bars with their spread: a number of each of several configurations, one panel for each score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from oidn_jax.figures import layout
from oidn_jax.figures.style import GREY, LIGHT_GREY, PALETTE, figure_style, save_print

_ROW_MM, _ABOVE_MM, _BELOW_MM, _RIGHT_MM, _GAP_MM = 4.2, 6.5, 8.0, 2.5, 4.0
_BAR = 0.72  # of a row
_ROOM = 0.15  # of the range of the values, beyond it


@dataclass(frozen=True)
class BarPanel:
    """One score.

    Attributes:
        score: as "PSNR (dB)".
        values: by configuration, one for each repetition; values that are not finite are left out.
    """

    score: str
    values: Mapping[str, Sequence[float]]


def save_bars(path: Path, panels: Sequence[BarPanel], *, repetition: str) -> list[Path]:
    """Horizontal bars up to the mean, a whisker of one standard deviation (n - 1) to each side, a dot for each value.

    The first configuration is in colour and a line at its mean goes through the others. Axes begin near the smallest
    value, not at 0, so that differences are seen; that is written below.

    Args:
        path: of the files, without suffix.
        panels: side by side; their configurations are in the order of the first panel's.
        repetition: what the single values are, as "seed".

    Returns:
        The files, `[path.png, path.pdf]`.
    """
    with figure_style():
        names = list(panels[0].values)
        width = layout.FULL_WIDTH_MM
        left = max(map(layout.text_width_mm, names)) + 3.0
        plot = _ROW_MM * len(names)
        note = layout.wrap(
            f"Bars: mean; whiskers: standard deviation; dots: each {repetition}. Axes do not begin at 0.",
            width_mm=width - 2.0,
        )
        bottom = _ABOVE_MM + plot + _BELOW_MM
        figure = layout.new_figure(width, bottom + layout.LINE_MM * len(note) + 2.0)
        share = (width - left - _RIGHT_MM) / len(panels)
        for index, panel in enumerate(panels):
            x = left + index * share
            layout.add_letter(figure, (x, 1.0), index)
            axes = layout.add_axes(figure, (x, _ABOVE_MM, share - _GAP_MM, plot))
            _draw(axes, panel, names)
            axes.set_yticks(range(len(names)), names if index == 0 else [""] * len(names))
        layout.add_text(figure, (1.0, bottom), "\n".join(note), va="top")
        return save_print(figure, path)


def _draw(axes: Axes, panel: BarPanel, names: Sequence[str]) -> None:
    finite = {name: _finite(panel.values.get(name, ())) for name in names}
    everything = np.concatenate(list(finite.values()))
    axes.set(ylim=(len(names) - 0.5, -0.5), xlabel=panel.score)
    axes.tick_params(axis="y", length=0.0)
    if not everything.size:
        axes.set_xticks([])
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", va="center")
        return
    low, high = float(everything.min()), float(everything.max())
    room = _ROOM * (high - low) or 0.05 * abs(high) or 1.0
    low -= room
    axes.set_xlim(low, high + room)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    for row, name in enumerate(names):
        values = finite[name]
        if not values.size:
            continue
        mean, colour = float(values.mean()), PALETTE["vermilion"] if row == 0 else GREY
        axes.barh(row, mean - low, left=low, height=_BAR, color=colour, alpha=0.45, linewidth=0.0)
        if values.size > 1:
            axes.errorbar(mean, row, xerr=float(values.std(ddof=1)), color="black", linewidth=0.8, capsize=1.5)
        axes.plot(values, np.full(values.size, row), color="black", linestyle="none", marker="o", markersize=1.6)
    if finite[names[0]].size:
        axes.axvline(float(finite[names[0]].mean()), color=LIGHT_GREY, linewidth=0.8, zorder=0.5)


def _finite(values: Sequence[float]) -> np.ndarray:
    numbers = np.asarray(list(values), np.float64)
    return numbers[np.isfinite(numbers)]

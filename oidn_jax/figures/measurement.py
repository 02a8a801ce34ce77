"""One page about the resolution of an image: the image, decorrelation and ring-correlation curves, the local map."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oidn_jax.figures import layout
from oidn_jax.figures.images import draw_image
from oidn_jax.figures.resolution import DecorrelationPanel, RollingFrcPanel, draw_decorrelation, draw_map, map_colours
from oidn_jax.figures.style import GREY, PALETTE, PRINT_DPI, figure_style, save

_ROW_MM, _IMAGE_MM, _PLOT_LEFT_MM, _PLOT_MM = 70.0, 56.0, 90.0, (86.0, 48.0)
_MAP_LEFT_MM = 4.0
_COLOURS = (PALETTE["vermilion"], PALETTE["blue"], PALETTE["green"])


@dataclass(frozen=True)
class RingThreshold:
    """A threshold of a ring correlation.

    Attributes:
        label: its name and what it gives, as "1/7: 102.3 nm".
        values: (rings,).
        cutoff: where the curve falls below it, in parts of Nyquist's frequency; NaN where it does not.
    """

    label: str
    values: np.ndarray
    cutoff: float


@dataclass(frozen=True)
class RingCurve:
    """A Fourier ring correlation over frequencies in parts of Nyquist's.

    Attributes:
        label: of the axis, as "FRC".
        frequency: (rings,).
        correlation: (rings,).
        smoothed: (rings,), the mean over seven rings.
        thresholds: at most three.
        end: the last frequency that is shown.
    """

    label: str
    frequency: np.ndarray
    correlation: np.ndarray
    smoothed: np.ndarray
    thresholds: Sequence[RingThreshold]
    end: float = 1.0


@dataclass(frozen=True)
class MeasurementPage:
    """What the page shows; lengths are in `unit`, whatever the name of their field says.

    Attributes:
        title: of the page.
        unit: "nm", or "px" where the pixel size is not known: there is no scale bar then.
        decorrelation: of the image.
        rings: of two images or one, or None.
        rolling: the local map, or None; its label is written above it.
    """

    title: str
    unit: str
    decorrelation: DecorrelationPanel
    rings: RingCurve | None = None
    rolling: RollingFrcPanel | None = None


def save_measurement(path: Path, page: MeasurementPage, *, overwrite: bool = False) -> Path:
    """Draws a measurement, as PNG, PDF or SVG by the suffix.

    Raises:
        InputError: as `style.save`.
    """
    with figure_style():
        return save(_draw(page), path, dpi=PRINT_DPI, overwrite=overwrite)


def _draw(page: MeasurementPage) -> Figure:
    panel, rows = page.decorrelation, 1 if page.rings is None and page.rolling is None else 2
    figure = layout.new_figure(layout.FULL_WIDTH_MM, layout.TITLE_MM + _ROW_MM * rows, title=page.title)
    top = layout.TITLE_MM + 6.0
    axes = layout.add_axes(figure, (_MAP_LEFT_MM, top, _IMAGE_MM, _IMAGE_MM))
    draw_image(axes, panel.image, pixel_size_nm=panel.pixel_size_nm if page.unit == "nm" else None)
    axes = layout.add_axes(figure, (_PLOT_LEFT_MM, top + 3.0, *_PLOT_MM))
    draw_decorrelation(axes, panel, highest=panel.highest, unit=page.unit)
    if page.rolling is not None:
        _draw_map(figure, page.rolling, top=top + _ROW_MM, unit=page.unit)
    if page.rings is not None:
        _draw_rings(layout.add_axes(figure, (_PLOT_LEFT_MM, top + _ROW_MM + 3.0, *_PLOT_MM)), page.rings)
    return figure


def _draw_map(figure: Figure, panel: RollingFrcPanel, *, top: float, unit: str) -> None:
    colours = map_colours([panel])
    draw_map(layout.add_axes(figure, (_MAP_LEFT_MM, top, _IMAGE_MM, _IMAGE_MM)), panel, colours=colours)
    # Above the map and its colour bar, up to the plot beside them.
    heading = layout.wrap(panel.label, width_mm=_PLOT_LEFT_MM - _MAP_LEFT_MM - 2.0)
    layout.add_text(figure, (_MAP_LEFT_MM, top - 1.0), "\n".join(heading), va="bottom")
    if colours is not None:
        place = (_MAP_LEFT_MM + 1.0 + _IMAGE_MM, top, 2.5, _IMAGE_MM)
        bar = figure.colorbar(colours[0], cax=layout.add_axes(figure, place), extend=colours[1])
        bar.set_label(f"Local resolution ({unit})")


def _draw_rings(axes: Axes, rings: RingCurve) -> None:
    axes.plot(rings.frequency, rings.correlation, color=GREY, linewidth=0.5)
    axes.plot(rings.frequency, rings.smoothed, color="black", linewidth=1.2, label="mean of 7 rings")
    bottom = min(-0.05, float(np.nanmin(rings.smoothed)))
    for threshold, colour in zip(rings.thresholds, _COLOURS, strict=False):
        axes.plot(rings.frequency, threshold.values, color=colour, linewidth=0.8, label=threshold.label)
        if np.isfinite(threshold.cutoff):
            crossing = float(np.interp(threshold.cutoff, rings.frequency, threshold.values))
            axes.plot([threshold.cutoff] * 2, [bottom, crossing], color=colour, linewidth=0.8, linestyle=":")
    axes.set(xlim=(0.0, rings.end), ylim=(bottom, 1.05))
    axes.set(xlabel="Frequency / Nyquist frequency", ylabel=rings.label)
    axes.legend(loc="upper right", frameon=True, facecolor="white", edgecolor="none")

"""Resolution: decorrelation analysis and rolling Fourier ring correlation, each beside its image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from oidn_jax.figures import layout
from oidn_jax.figures.style import (
    GREY,
    NO_VALUE,
    PALETTE,
    draw_image,
    finite_or,
    hide_ticks,
    method_label,
    publication_style,
    save_figure,
)
from oidn_jax.metrics.decorrelation import Decorrelation


@dataclass(frozen=True)
class DecorrelationPanel:
    """The decorrelation analysis of one image.

    Attributes:
        name: of the method.
        image: (h, w).
        pixel_size_nm: of the image.
        radii: (n,) frequencies of the first pass, 1 is Nyquist's.
        curves: (1 + filters, n): without a filter, then with high-pass filters, weakest first.
        refined_radii: (n,) of the second pass.
        refined_curves: (filters, n).
        peaks: (k, 2) frequency and amplitude of the local maxima; frequency 0 where a curve has none.
        kc: the highest frequency with structure; 0 where there is none.
        a0: highest value of the curve without a filter.
        resolution_nm: 2 pixel_size_nm / kc; infinite without structure.
    """

    name: str
    image: np.ndarray
    pixel_size_nm: float
    radii: np.ndarray
    curves: np.ndarray
    refined_radii: np.ndarray
    refined_curves: np.ndarray
    peaks: np.ndarray
    kc: float
    a0: float
    resolution_nm: float

    @classmethod
    def of(cls, name: str, image: np.ndarray, found: Decorrelation, *, pixel_size_nm: float) -> "DecorrelationPanel":
        """The panel of an image with what decorrelation analysis found in it."""
        return cls(
            name=name,
            image=image,
            pixel_size_nm=pixel_size_nm,
            radii=np.asarray(found.radii),
            curves=np.asarray(found.curves),
            refined_radii=np.asarray(found.refined_radii),
            refined_curves=np.asarray(found.refined_curves),
            peaks=np.asarray(found.peaks),
            kc=float(found.cutoff),
            a0=float(found.amplitude),
            resolution_nm=float(found.resolution_nm(pixel_size_nm=pixel_size_nm)),
        )


@dataclass(frozen=True)
class RollingFrcPanel:
    """A map of the local resolution.

    Attributes:
        name: of the method.
        image: (h, w).
        map_nm: resolution, on the field of the image; NaN where there is no value.
        pixel_size_nm: of the image.
        mean_nm: over the map; NaN without values.
        max_nm: the worst; NaN without values.
    """

    name: str
    image: np.ndarray
    map_nm: np.ndarray
    pixel_size_nm: float
    mean_nm: float
    max_nm: float


# ---------------------------------------------------------------------------------------------------------------------
# Decorrelation analysis
# ---------------------------------------------------------------------------------------------------------------------

_IMAGE_MM, _PLOT_MM, _PITCH_MM = 32.0, (40.5, 30.0), 46.0
_TO_PLOT_MM = 44.5
_CURVES_REACH = 0.85  # of the height: above them is room for the numbers
_DASHES = (0, (3.0, 1.5))
_ROUND = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)


def save_decorrelation(path: Path, panels: Sequence[DecorrelationPanel], *, title: str = "") -> list[Path]:
    """Each image beside its decorrelation curves, two panels in a row; every plot has the same scale.

    Args:
        path: of the files, without suffix.
        panels: in the order they are shown.
        title: of the figure.

    Returns:
        The files, `[path.png, path.pdf]`.
    """
    with publication_style():
        across, top = min(len(panels), 2), layout.TITLE_MM if title else 0.0
        width = layout.FULL_WIDTH_MM if across == 2 else layout.COLUMN_WIDTH_MM
        handles, bottom = _decorrelation_handles(), top + -(-len(panels) // across) * _PITCH_MM
        lines = layout.legend_lines([str(handle.get_label()) for handle in handles], width_mm=width)
        figure = layout.new_figure(width, bottom + lines * layout.LEGEND_LINE_MM + 0.5, title=title)
        drawn = [np.nan_to_num(curves) for panel in panels for curves in (panel.curves, panel.refined_curves)]
        highest = max(float(curves.max(initial=0.0)) for curves in drawn) or 1.0
        for index, panel in enumerate(panels):
            left = (index % across) * (layout.FULL_WIDTH_MM + 2.0) / 2.0
            y = top + (index // across) * _PITCH_MM
            if len(panels) > 1:
                layout.add_letter(figure, (left + 1.0, y + 0.8), index)
            layout.add_text(
                figure, (left + (5.0 if len(panels) > 1 else 1.0), y + 1.0), method_label(panel.name), va="top"
            )
            image = layout.add_axes(figure, (left + 1.0, y + 6.0, _IMAGE_MM, _IMAGE_MM))
            draw_image(image, panel.image, pixel_size_nm=panel.pixel_size_nm)
            axis = layout.add_axes(figure, (left + _TO_PLOT_MM, y + 8.0, *_PLOT_MM))
            draw_decorrelation(axis, panel, highest=highest)
        layout.add_legend(figure, handles, top_mm=bottom)
        return save_figure(figure, path)


def draw_decorrelation(axis: Axes, panel: DecorrelationPanel, *, highest: float, unit: str = "nm") -> None:
    """Curves, local maxima and cutoff; `highest` is the largest value to be drawn, `unit` that of the pixel size."""
    passes = (
        (panel.radii, panel.curves[1:], PALETTE["blue"], "solid"),
        (panel.refined_radii, panel.refined_curves, PALETTE["vermilion"], _DASHES),
    )
    for radii, curves, colour, line in passes:
        for curve, shade in zip(curves, _shades(colour, len(curves)), strict=True):
            axis.plot(radii, curve, color=shade, linewidth=0.5, linestyle=line)
    axis.plot(panel.radii, panel.curves[0], color="black", linewidth=1.2)
    found = panel.peaks[panel.peaks[:, 0] > 0.0]
    axis.plot(found[:, 0], found[:, 1], color="black", linestyle="none", marker="o", markersize=1.8)
    text = "no cut-off found"
    if np.isfinite(panel.resolution_nm):
        axis.axvline(panel.kc, ymax=_CURVES_REACH, color=GREY, linewidth=0.8, linestyle=":")
        digits = 0 if unit == "nm" else 2
        resolution = finite_or(panel.resolution_nm, lambda length: f"{length:.{digits}f} {unit}", otherwise="no value")
        text = f"$k_c$ = {panel.kc:.2f}, {resolution}; $A_0$ = {panel.a0:.2f}"
    axis.set(xlim=(0.0, 1.0), ylim=(0.0, highest / _CURVES_REACH), xticks=np.linspace(0.0, 1.0, 6))
    axis.set(xlabel="Frequency / Nyquist frequency", ylabel="Decorrelation")
    axis.text(0.99, 0.98, text, transform=axis.transAxes, ha="right", va="top")
    _add_resolution_axis(axis, finest_nm=2.0 * panel.pixel_size_nm, unit=unit)


def _add_resolution_axis(axis: Axes, *, finest_nm: float, unit: str) -> None:
    """An axis above with the frequency as a resolution, `finest_nm` over the frequency, at round numbers."""
    decade = 10.0 ** np.floor(np.log10(finest_nm))
    shown: list[float] = []
    for nm in sorted((step * decade * ten for ten in (1.0, 10.0) for step in _ROUND), reverse=True):
        position = finest_nm / nm
        if 0.1 < position <= 1.0 and (not shown or position - finest_nm / shown[-1] > 0.14):
            shown.append(nm)
    top = axis.twiny()
    top.spines["top"].set_visible(True)
    top.set(xlim=(0.0, 1.0), xticks=[finest_nm / nm for nm in shown], xlabel=f"Resolution ({unit})")
    top.set_xticklabels([f"{nm:g}" for nm in shown])


def _shades(colour: str, count: int) -> list[np.ndarray]:
    """From light to the colour itself."""
    return [1.0 - weight * (1.0 - np.asarray(to_rgb(colour))) for weight in np.linspace(0.3, 1.0, count)]


def _decorrelation_handles() -> list[Line2D]:
    return [
        Line2D([], [], color="black", linewidth=1.2, label="unfiltered"),
        Line2D([], [], color=PALETTE["blue"], label="high-pass, weak (light) to strong"),
        Line2D([], [], color=PALETTE["vermilion"], linestyle=_DASHES, label="refined high-pass"),
        Line2D([], [], color="black", linestyle="none", marker="o", markersize=2.0, label="local maxima"),
        Line2D([], [], color=GREY, linestyle=":", label="cut-off $k_c$"),
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Rolling Fourier ring correlation
# ---------------------------------------------------------------------------------------------------------------------

_MOST_ACROSS, _LARGEST_MM, _GAP_MM, _HEADING_MM = 5, 55.0, 1.0, 7.5
_BAR_MM, _BESIDE_MM = 2.5, 15.0
_ROBUST = (2.0, 98.0)  # percentiles
Colours = tuple[ScalarMappable, str]


def save_rolling_frc(path: Path, panels: Sequence[RollingFrcPanel], *, title: str = "") -> list[Path]:
    """Images with their maps of local resolution below, all maps in the same colours.

    Colours reach from the 2nd to the 98th percentile of all values; where values lie beyond, the colour bar has an
    arrow.

    Args:
        path: of the files, without suffix.
        panels: in the order they are shown, at most five in a row.
        title: of the figure.

    Returns:
        The files, `[path.png, path.pdf]`.
    """
    with publication_style():
        rows, top = -(-len(panels) // _MOST_ACROSS), layout.TITLE_MM if title else 0.0
        across = -(-len(panels) // rows)
        width = layout.FULL_WIDTH_MM if across > 2 else layout.COLUMN_WIDTH_MM
        fitting = ((layout.PAGE_HEIGHT_MM - top - 4.0) / rows - _HEADING_MM - 2.0) / 2.0
        cell = min((width - 1.0 - _BESIDE_MM) / across, fitting, _LARGEST_MM) - _GAP_MM
        pitch = _HEADING_MM + 2.0 * (cell + _GAP_MM) + 2.0
        colours, unknown = map_colours(panels), not all(np.isfinite(panel.map_nm).all() for panel in panels)
        height = top + rows * pitch + (4.0 if unknown else 0.0)
        beside = _BESIDE_MM if colours else 0.0
        figure = layout.new_figure(1.0 + across * (cell + _GAP_MM) + beside, height, title=title)
        for index, panel in enumerate(panels):
            left, y = 1.0 + (index % across) * (cell + _GAP_MM), top + (index // across) * pitch
            _draw_rolling_frc(figure, panel, (left, y, cell), colours=colours)
            if len(panels) > 1:
                layout.add_letter(figure, (left, y + 0.8), index)
        if colours is not None:
            left, y = 1.5 + across * (cell + _GAP_MM), top + _HEADING_MM + cell + _GAP_MM
            bar = figure.colorbar(colours[0], cax=layout.add_axes(figure, (left, y, _BAR_MM, cell)), extend=colours[1])
            bar.set_label("Local resolution (nm)")
            bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue] -- the stub calls the spine a function
        if unknown:
            patch = Patch(facecolor=NO_VALUE, label="no value")
            figure.legend(handles=[patch], loc="lower left", borderaxespad=0.5, handlelength=1.0)
        return save_figure(figure, path)


def map_colours(panels: Sequence[RollingFrcPanel]) -> Colours | None:
    """The common colours and where values lie beyond them ("neither", "min", "max", "both"); None without values."""
    values = np.concatenate([panel.map_nm[np.isfinite(panel.map_nm)] for panel in panels])
    if not values.size:
        return None
    low, high = (float(limit) for limit in np.percentile(values, _ROBUST))
    if low == high:
        low, high = 0.95 * low, 1.05 * high
    beyond = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    extend = beyond[bool(values.min() < low), bool(values.max() > high)]
    return ScalarMappable(Normalize(low, high), _viridis()), extend


def _viridis() -> Colormap:
    return matplotlib.colormaps["viridis"].with_extremes(bad=NO_VALUE)


def _draw_rolling_frc(
    figure: Figure,
    panel: RollingFrcPanel,
    place_mm: tuple[float, float, float],
    *,
    colours: Colours | None,
) -> None:
    left, y, cell = place_mm
    numbers = "no value"
    if np.isfinite(panel.mean_nm):
        numbers = f"mean {panel.mean_nm:.0f}, max {finite_or(panel.max_nm, '{:.0f}'.format, otherwise='∞')} nm"
    heading = f"{method_label(panel.name)}\n{numbers}"
    layout.add_text(figure, (left + cell / 2.0, y + 1.0), heading, ha="center", va="top", linespacing=1.1)
    image = layout.add_axes(figure, (left, y + _HEADING_MM, cell, cell))
    draw_image(image, panel.image, pixel_size_nm=panel.pixel_size_nm)
    draw_map(layout.add_axes(figure, (left, y + _HEADING_MM + cell + _GAP_MM, cell, cell)), panel, colours=colours)


def draw_map(axis: Axes, panel: RollingFrcPanel, *, colours: Colours | None) -> None:
    """The map alone, in the colours of `map_colours`; grey where there is no value."""
    h, w = panel.image.shape
    low, high = colours[0].get_clim() if colours else (0.0, 1.0)
    axis.imshow(panel.map_nm, cmap=_viridis(), vmin=low, vmax=high, extent=(-0.5, w - 0.5, h - 0.5, -0.5))
    hide_ticks(axis)

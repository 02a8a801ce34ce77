"""Resolution: decorrelation analysis and rolling Fourier ring correlation, each beside its image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize, to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from oidn_jax.figures import layout
from oidn_jax.figures.images import draw_image, stretch
from oidn_jax.figures.style import GREY, NO_VALUE, PALETTE, figure_style, save_print
from oidn_jax.metrics.decorrelation import Decorrelation


@dataclass(frozen=True)
class DecorrelationPanel:
    """The decorrelation analysis of one image.

    Attributes:
        label: of the method.
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

    label: str
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

    @property
    def highest(self) -> float:
        """The largest value of a curve; 1 without any."""
        curves = (np.nan_to_num(values).max(initial=0.0) for values in (self.curves, self.refined_curves))
        return float(max(curves)) or 1.0

    @classmethod
    def from_analysis(
        cls, label: str, image: np.ndarray, analysis: Decorrelation, *, pixel_size_nm: float
    ) -> "DecorrelationPanel":
        """The panel of an image with its decorrelation analysis."""
        return cls(
            label=label,
            image=image,
            pixel_size_nm=pixel_size_nm,
            radii=np.asarray(analysis.radii),
            curves=np.asarray(analysis.curves),
            refined_radii=np.asarray(analysis.refined_radii),
            refined_curves=np.asarray(analysis.refined_curves),
            peaks=np.asarray(analysis.peaks),
            kc=float(analysis.cutoff),
            a0=float(analysis.amplitude),
            resolution_nm=float(analysis.resolution_nm(pixel_size_nm=pixel_size_nm)),
        )


@dataclass(frozen=True)
class RollingFrcPanel:
    """A map of the local resolution.

    Attributes:
        label: of the method.
        image: (h, w).
        map_nm: resolution, on the field of the image; NaN where there is no value.
        pixel_size_nm: of the image.
        mean_nm: over the map; NaN without values.
        worst_nm: NaN without values.
    """

    label: str
    image: np.ndarray
    map_nm: np.ndarray
    pixel_size_nm: float
    mean_nm: float
    worst_nm: float


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
    with figure_style():
        across, top = min(len(panels), 2), layout.TITLE_MM if title else 0.0
        width = layout.FULL_WIDTH_MM if across == 2 else layout.COLUMN_WIDTH_MM
        handles, bottom = _decorrelation_handles(), top + -(-len(panels) // across) * _PITCH_MM
        legend = layout.legend_height_mm([str(handle.get_label()) for handle in handles], width_mm=width)
        figure = layout.new_figure(width, bottom + legend + 0.5, title=title)
        highest = max(panel.highest for panel in panels)
        for index, panel in enumerate(panels):
            left = (index % across) * (layout.FULL_WIDTH_MM + 2.0) / 2.0
            y = top + (index // across) * _PITCH_MM
            if len(panels) > 1:
                layout.add_letter(figure, (left + 1.0, y + 0.8), index)
            layout.add_text(figure, (left + (5.0 if len(panels) > 1 else 1.0), y + 1.0), panel.label, va="top")
            image = layout.add_axes(figure, (left + 1.0, y + 6.0, _IMAGE_MM, _IMAGE_MM))
            draw_image(image, panel.image, pixel_size_nm=panel.pixel_size_nm)
            axis = layout.add_axes(figure, (left + _TO_PLOT_MM, y + 8.0, *_PLOT_MM))
            draw_decorrelation(axis, panel, highest=highest)
        layout.add_legend(figure, handles, top_mm=bottom)
        return save_print(figure, path)


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
    peaks = panel.peaks[panel.peaks[:, 0] > 0.0]
    axis.plot(peaks[:, 0], peaks[:, 1], color="black", linestyle="none", marker="o", markersize=1.8)
    text = "no cut-off found"
    if np.isfinite(panel.resolution_nm):
        axis.axvline(panel.kc, ymax=_CURVES_REACH, color=GREY, linewidth=0.8, linestyle=":")
        digits = 0 if unit == "nm" else 2
        text = f"$k_c$ = {panel.kc:.2f}, {panel.resolution_nm:.{digits}f} {unit}; $A_0$ = {panel.a0:.2f}"
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

_MOST_ACROSS, _LARGEST_MM, _GAP_MM, _LETTER_MM = 5, 55.0, 1.0, 3.5
_BAR_MM, _BESIDE_MM = 2.5, 15.0
_ROBUST = (2.0, 98.0)  # percentiles
_NO_BREAK = "\N{NO-BREAK SPACE}"
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
    with figure_style():
        rows, top = -(-len(panels) // _MOST_ACROSS), layout.TITLE_MM if title else 0.0
        across = -(-len(panels) // rows)
        cell, heading = _cell_and_heading(panels, rows=rows, across=across, top=top)
        pitch = heading + 2.0 * (cell + _GAP_MM) + 2.0
        colours, unknown = map_colours(panels), not all(np.isfinite(panel.map_nm).all() for panel in panels)
        height = top + rows * pitch + (4.0 if unknown else 0.0)
        beside = _BESIDE_MM if colours else 0.0
        figure = layout.new_figure(1.0 + across * (cell + _GAP_MM) + beside, height, title=title)
        for index, panel in enumerate(panels):
            left, y = 1.0 + (index % across) * (cell + _GAP_MM), top + (index // across) * pitch
            if len(panels) > 1:
                layout.add_letter(figure, (left, y + 0.8), index)
            place = (left + _letter_mm(panels), y + 1.0)
            layout.add_text(figure, place, "\n".join(_heading(panel, width_mm=cell - _letter_mm(panels))), va="top")
            image = layout.add_axes(figure, (left, y + heading, cell, cell))
            draw_image(image, panel.image, pixel_size_nm=panel.pixel_size_nm)
            draw_map(layout.add_axes(figure, (left, y + heading + cell + _GAP_MM, cell, cell)), panel, colours=colours)
        if colours is not None:
            left, y = 1.5 + across * (cell + _GAP_MM), top + heading + cell + _GAP_MM
            bar = figure.colorbar(colours[0], cax=layout.add_axes(figure, (left, y, _BAR_MM, cell)), extend=colours[1])
            bar.set_label("Local resolution (nm)")
            bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue] -- the stub calls the spine a function
        if unknown:
            patch = Patch(facecolor=NO_VALUE, label="no value")
            figure.legend(handles=[patch], loc="lower left", borderaxespad=0.5, handlelength=1.0)
        return save_print(figure, path)


def _cell_and_heading(panels: Sequence[RollingFrcPanel], *, rows: int, across: int, top: float) -> tuple[float, float]:
    """The side of an image and the height of the text above it, mm, so that texts fit above images."""
    width = layout.FULL_WIDTH_MM if across > 2 else layout.COLUMN_WIDTH_MM
    lines = 2
    while True:
        heading = 1.3 + layout.LINE_MM * lines
        fitting = ((layout.PAGE_HEIGHT_MM - top - 4.0) / rows - heading - 2.0) / 2.0
        cell = min((width - 1.0 - _BESIDE_MM) / across, fitting, _LARGEST_MM) - _GAP_MM
        needed = max(len(_heading(panel, width_mm=cell - _letter_mm(panels))) for panel in panels)
        if needed <= lines:
            return cell, heading
        lines = needed


def _letter_mm(panels: Sequence[RollingFrcPanel]) -> float:
    """The room for the letter of a panel, if there are several."""
    return _LETTER_MM if len(panels) > 1 else 0.0


def _heading(panel: RollingFrcPanel, *, width_mm: float) -> list[str]:
    """Lines of text above an image: its label and its numbers."""
    numbers = "no value"
    if np.isfinite(panel.mean_nm):
        worst = f"{panel.worst_nm:.0f}" if np.isfinite(panel.worst_nm) else "∞"
        numbers = f"mean {panel.mean_nm:.0f},|max {worst} nm".replace(" ", _NO_BREAK).replace("|", " ")
    return layout.wrap(f"{panel.label}\n{numbers}", width_mm=width_mm)


def map_colours(panels: Sequence[RollingFrcPanel]) -> Colours | None:
    """The common colours and where values lie beyond them ("neither", "min", "max", "both"); None without values."""
    values = np.concatenate([panel.map_nm[np.isfinite(panel.map_nm)] for panel in panels])
    if not values.size:
        return None
    low, high = stretch(values, percentiles=_ROBUST)
    if low == high:
        low, high = 0.95 * low, 1.05 * high
    beyond = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    extend = beyond[bool(values.min() < low), bool(values.max() > high)]
    return ScalarMappable(Normalize(low, high), _viridis()), extend


def _viridis() -> Colormap:
    return matplotlib.colormaps["viridis"].with_extremes(bad=NO_VALUE)


def draw_map(axis: Axes, panel: RollingFrcPanel, *, colours: Colours | None) -> None:
    """The map alone, in the colours of `map_colours`; grey where there is no value."""
    h, w = panel.image.shape
    limits = colours[0].get_clim() if colours else (0.0, 1.0)
    draw_image(axis, panel.map_nm, limits=limits, colours=_viridis(), extent=(-0.5, w - 0.5, h - 0.5, -0.5))

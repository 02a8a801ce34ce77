"""Learned PSFs beside the theoretical ones: pictures, difference, profiles with their widths."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from oidn_jax.evaluation.figures import layout
from oidn_jax.evaluation.figures.style import (
    LIGHT_GREY,
    PALETTE,
    draw_scale_bar,
    finite_or,
    hide_ticks,
    publication_style,
    save_figure,
    specimen_label,
)


@dataclass(frozen=True)
class PsfPanel:
    """One learned PSF.

    Attributes:
        name: of the specimen or network.
        theoretical: (n, n), centre on tap n // 2.
        learned: (n, n), likewise.
        pixel_size_nm: of a tap.
        symmetry_error: of the learned PSF.
        theoretical_symmetry_error: of the theoretical one.
        energy_error: of the learned PSF.
    """

    name: str
    theoretical: np.ndarray
    learned: np.ndarray
    pixel_size_nm: float
    symmetry_error: float
    theoretical_symmetry_error: float
    energy_error: float


_TAPS_MM, _PITCH_MM, _ABOVE_MM, _BAR_MM = 25.0, 42.5, 9.0, 2.0
_LEFT_MM = {"theory": 1.0, "learned": 27.0, "bar": 53.0, "difference": 65.0, "difference bar": 91.0}
_PROFILE_MM, _RADIAL_MM, _PLOT_MM = 113.0, 149.5, 29.5
_THEORY, _LEARNED = "black", PALETTE["vermilion"]
_HORIZONTAL, _VERTICAL = "solid", (0, (2.0, 1.0))
_CURVES_REACH = 0.72  # of the height of a plot: above them is room for the widths


def save_psf_comparison(path: Path, panels: Sequence[PsfPanel]) -> list[Path]:
    """A row per PSF: theory, learned, difference, central profiles and radial profile with their FWHM.

    All values are over the maximum of the theoretical PSF, so that the two can be compared. A cross marks the centre.

    Args:
        path: of the files, without suffix.
        panels: in the order they are shown.

    Returns:
        The files, `[path.png, path.pdf]`.
    """
    with publication_style():
        handles = [
            Line2D([], [], color=_THEORY, label="theory"),
            Line2D([], [], color=_LEARNED, label="learned"),
            Line2D([], [], color="black", linestyle=_HORIZONTAL, label="horizontal (x)"),
            Line2D([], [], color="black", linestyle=_VERTICAL, label="vertical (y)"),
            Line2D([], [], color="black", linestyle="none", marker="o", markersize=1.5, label="single taps"),
        ]
        bottom = len(panels) * _PITCH_MM
        figure = layout.new_figure(layout.FULL_WIDTH_MM, bottom + layout.LEGEND_LINE_MM + 0.5)
        for index, panel in enumerate(panels):
            top = index * _PITCH_MM
            if len(panels) > 1:
                layout.add_letter(figure, (1.0, top + 0.8), index)
            text = (
                f"{specimen_label(panel.name)}: symmetry error {panel.symmetry_error:.3g} (theory "
                f"{panel.theoretical_symmetry_error:.3g}), energy error {panel.energy_error:.3g}"
            )
            layout.add_text(figure, (5.0 if len(panels) > 1 else 1.0, top + 1.0), text, va="top")
            _draw_row(figure, panel, top=top + _ABOVE_MM)
        layout.add_legend(figure, handles, top_mm=bottom)
        return save_figure(figure, path)


def full_width_at_half_maximum(positions: np.ndarray, profile: np.ndarray) -> float:
    """Distance of the two places next to the maximum where the linearly interpolated profile is half of it.

    Args:
        positions: (n,), ascending; the width has their unit.
        profile: (n,), its background 0.

    Returns:
        The width; NaN if the profile has NaN, no positive maximum, or does not fall to half on either side.
    """
    if not np.isfinite(profile).all() or profile.max(initial=0.0) <= 0.0:
        return float("nan")
    peak, half = int(profile.argmax()), 0.5 * float(profile.max())
    edges = []
    for step, last in ((-1, 0), (1, len(profile) - 1)):
        i = peak
        while i != last and profile[i] > half:
            i += step
        if profile[i] > half:
            return float("nan")
        inner = i - step
        share = (profile[inner] - half) / (profile[inner] - profile[i])
        edges.append(float(positions[inner] + share * (positions[i] - positions[inner])))
    return edges[1] - edges[0]


def radial_profile(psf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean distance from tap n // 2 in taps, and mean value, of the taps whose distance rounds to 0, 1, ..., n // 2."""
    distance = _distance(psf)
    ring = np.rint(distance).astype(int)
    rings = range(min(psf.shape) // 2 + 1)
    radii, values = ([float(array[ring == i].mean()) for i in rings] for array in (distance, psf))
    return np.asarray(radii), np.asarray(values)


def _distance(psf: np.ndarray) -> np.ndarray:
    ys, xs = np.indices(psf.shape)
    return np.hypot(ys - psf.shape[0] // 2, xs - psf.shape[1] // 2)


def _draw_row(figure: Figure, panel: PsfPanel, *, top: float) -> None:
    finite = panel.theoretical[np.isfinite(panel.theoretical)]
    scale = float(finite.max(initial=0.0)) or 1.0
    theory, learned = panel.theoretical / scale, panel.learned / scale
    difference = learned - theory
    highest = max(float(np.nan_to_num(psf).max(initial=0.0)) for psf in (theory, learned)) or 1.0
    largest = float(np.abs(np.nan_to_num(difference)).max(initial=0.0)) or 1.0
    for name, taps, colours, limits in (
        ("theory", theory, "magma", (0.0, highest)),
        ("learned", learned, "magma", (0.0, highest)),
        ("difference", difference, "PuOr_r", (-largest, largest)),
    ):
        axis = layout.add_axes(figure, (_LEFT_MM[name], top, _TAPS_MM, _TAPS_MM))
        drawn = _draw_taps(axis, taps, colours, limits=limits)
        axis.set_title("learned − theory" if name == "difference" else name)
        if name == "theory":
            draw_scale_bar(axis, (taps.shape[0], taps.shape[1]), pixel_size_nm=panel.pixel_size_nm)
        else:
            place = _LEFT_MM["bar" if name == "learned" else "difference bar"]
            bar = figure.colorbar(drawn, cax=layout.add_axes(figure, (place, top, _BAR_MM, _TAPS_MM)))
            bar.locator = MaxNLocator(4, symmetric=name == "difference")
            bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue] -- the stub calls the spine a function
    caption = "Values over the maximum of the theoretical PSF; cross: centre"
    layout.add_text(figure, (1.0, top + _TAPS_MM + 1.5), caption, va="top")
    plots = [layout.add_axes(figure, (left, top, _PLOT_MM, _TAPS_MM)) for left in (_PROFILE_MM, _RADIAL_MM)]
    _draw_profiles(plots[0], (theory, learned), pixel_size_nm=panel.pixel_size_nm)
    _draw_radial(plots[1], (theory, learned), pixel_size_nm=panel.pixel_size_nm)
    for axis in plots:
        axis.set(ylim=(min(0.0, axis.get_ylim()[0]), highest / _CURVES_REACH), yticks=(0.0, 0.5, 1.0))
        axis.axhline(0.0, color=LIGHT_GREY, linewidth=0.5, zorder=0.5)


def _draw_taps(axis: Axes, taps: np.ndarray, colours: str, *, limits: tuple[float, float]) -> AxesImage:
    drawn = axis.imshow(taps, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    hide_ticks(axis)
    centre = ([taps.shape[1] // 2], [taps.shape[0] // 2])
    for colour, size, width in (("white", 5.0, 1.8), ("black", 4.0, 0.7)):
        axis.plot(*centre, color=colour, linestyle="none", marker="+", markersize=size, markeredgewidth=width)
    return drawn


def _draw_profiles(axis: Axes, psfs: tuple[np.ndarray, np.ndarray], *, pixel_size_nm: float) -> None:
    for line, (psf, colour) in enumerate(zip(psfs, (_THEORY, _LEARNED), strict=True)):
        widths = []
        middle = (psf.shape[0] // 2, psf.shape[1] // 2)
        for profile, centre, style in (
            (psf[middle[0]], middle[1], _HORIZONTAL),
            (psf[:, middle[1]], middle[0], _VERTICAL),
        ):
            position = (np.arange(len(profile)) - centre) * pixel_size_nm
            axis.plot(position, profile, color=colour, linestyle=style, marker="o", markersize=1.5)
            width = full_width_at_half_maximum(position, profile)
            widths.append(finite_or(width, "{:.0f}".format, otherwise="–"))
        _write_width(axis, f"FWHM x {widths[0]}, y {widths[1]} nm", line=line, colour=colour)
    axis.set(xlabel="Position (nm)", ylabel="Relative value")


def _draw_radial(axis: Axes, psfs: tuple[np.ndarray, np.ndarray], *, pixel_size_nm: float) -> None:
    for line, (psf, colour) in enumerate(zip(psfs, (_THEORY, _LEARNED), strict=True)):
        radii, values = radial_profile(psf)
        radii = radii * pixel_size_nm
        inside = _distance(psf) <= min(psf.shape) // 2
        taps = (_distance(psf)[inside] * pixel_size_nm, psf[inside])
        axis.plot(*taps, color=colour, linestyle="none", marker="o", markersize=1.5, markeredgewidth=0.0)
        axis.plot(radii, values, color=colour)
        # Both sides of the centre: the profile is one of a disc.
        width = full_width_at_half_maximum(np.append(-radii[:0:-1], radii), np.append(values[:0:-1], values))
        text = finite_or(width, "{:.0f} nm".format, otherwise="–")
        _write_width(axis, f"FWHM {text}", line=line, colour=colour)
    axis.set(xlabel="Radius (nm)")
    axis.set_xlim(left=0.0)


def _write_width(axis: Axes, text: str, *, line: int, colour: str) -> None:
    axis.text(0.99, 0.99 - 0.125 * line, text, transform=axis.transAxes, color=colour, ha="right", va="top")

"""The PSF that a network learned beside that of its microscope."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from oidn_jax.figures import layout
from oidn_jax.figures.images import draw_image
from oidn_jax.figures.style import PALETTE, figure_style, save_print

_MAP_MM, _BAR_MM, _PLOT_MM = 23.0, 2.0, (22.0, 23.0)
_MAP_LEFTS_MM, _BAR_LEFTS_MM, _PLOT_LEFTS_MM = (1.0, 25.5, 61.5), (49.5, 85.5), (108.0, 132.3, 156.6)
_TO_MAPS_MM, _PITCH_MM = 9.0, 41.5
_CURVES_REACH = 0.66  # of the height of a plot: above them is room for the widths
_COLOURS = {"theoretical": PALETTE["blue"], "learned": PALETTE["vermilion"]}


@dataclass(frozen=True)
class PsfPanel:
    """What is shown of one network; PSFs have their centre on tap n // 2 and a sum of 1.

    Attributes:
        label: of the method.
        theoretical: (n, n) of the microscope.
        learned: (n, n).
        pixel_size_nm: of the taps.
        symmetry_error: of the learned PSF, `losses.psf_symmetry`.
        theoretical_symmetry_error: of the theoretical one: the taps of an even n have no partner at one side.
        energy_error: of the learned PSF, |sum - 1|.
    """

    label: str
    theoretical: np.ndarray
    learned: np.ndarray
    pixel_size_nm: float
    symmetry_error: float
    theoretical_symmetry_error: float
    energy_error: float


def save_psf_comparison(path: Path, panels: Sequence[PsfPanel]) -> list[Path]:
    """For each network both PSFs, their difference, and their profiles along x, along y and over the radius.

    Args:
        path: of the files, without suffix.
        panels: one for each network.

    Returns:
        The files, `[path.png, path.pdf]`.
    """
    with figure_style():
        bottom = len(panels) * _PITCH_MM
        figure = layout.new_figure(layout.FULL_WIDTH_MM, bottom + layout.LEGEND_LINE_MM + 0.5)
        for index, panel in enumerate(panels):
            top = index * _PITCH_MM
            if len(panels) > 1:
                layout.add_letter(figure, (1.0, top + 0.8), index)
            errors = (
                f"{panel.label}: symmetry error {panel.symmetry_error:.3f} (theoretical "
                f"{panel.theoretical_symmetry_error:.3f}), energy error {panel.energy_error:.1e}"
            )
            layout.add_text(figure, (5.0 if len(panels) > 1 else 1.0, top + 1.0), errors, va="top")
            _draw_maps(figure, panel, top=top + _TO_MAPS_MM)
            _draw_profiles(figure, panel, top=top + _TO_MAPS_MM)
        handles = [
            Line2D([], [], color=colour, marker="o", markersize=1.8, label=name) for name, colour in _COLOURS.items()
        ]
        layout.add_legend(figure, handles, top_mm=bottom)
        return save_print(figure, path)


def _draw_maps(figure: Figure, panel: PsfPanel, *, top: float) -> None:
    highest, difference = _highest(panel), panel.learned - panel.theoretical
    largest = float(np.nan_to_num(np.abs(difference)).max()) or 1.0
    maps = (
        ("Theoretical", panel.theoretical, (0.0, highest), "magma"),
        ("Learned", panel.learned, (0.0, highest), "magma"),
        ("Learned − theoretical", difference, (-largest, largest), "PuOr_r"),
    )
    for left, (title, values, limits, colours) in zip(_MAP_LEFTS_MM, maps, strict=True):
        axis = layout.add_axes(figure, (left, top, _MAP_MM, _MAP_MM))
        drawn = draw_image(axis, values, limits=limits, colours=colours, interpolation="nearest")
        centre = len(values) // 2
        # Black with a white rim: seen on every colour.
        for colour, size, width in (("white", 5.0, 1.8), ("black", 4.0, 0.7)):
            axis.plot(centre, centre, marker="+", color=colour, markersize=size, markeredgewidth=width)
        axis.set_title(title)
        if title != "Learned":
            axis.set_xlabel(f"{len(values)} taps, {len(values) * panel.pixel_size_nm:.0f} nm")
        if title != "Theoretical":
            place = _BAR_LEFTS_MM[0 if title == "Learned" else 1]
            bar = figure.colorbar(drawn, cax=layout.add_axes(figure, (place, top, _BAR_MM, _MAP_MM)))
            bar.locator = MaxNLocator(4)
            bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue] -- the stub calls the spine a function


def _highest(panel: PsfPanel) -> float:
    return max(float(np.nan_to_num(psf).max()) for psf in (panel.theoretical, panel.learned)) or 1.0


def _draw_profiles(figure: Figure, panel: PsfPanel, *, top: float) -> None:
    centre, taps_nm = len(panel.learned) // 2, panel.pixel_size_nm
    axes = [layout.add_axes(figure, (left, top, *_PLOT_MM)) for left in _PLOT_LEFTS_MM]
    for line, (psf, colour) in enumerate(zip((panel.theoretical, panel.learned), _COLOURS.values(), strict=True)):
        for axis, profile in zip(axes, (psf[centre], psf[:, centre]), strict=False):
            position = (np.arange(len(profile)) - centre) * taps_nm
            axis.plot(position, profile, color=colour, marker="o", markersize=1.8)
            _write_width(axis, full_width_at_half_maximum(profile) * taps_nm, colour=colour, line=line)
        radius, mean = radial_profile(psf)
        axes[2].plot(radius * taps_nm, mean, color=colour, marker="o", markersize=1.8)
        # On both sides of the centre, at the distance of one tap: rings are not evenly spaced.
        even = np.arange(int(radius[-1]) + 1.0)
        across = np.interp(even, radius, mean)
        width = full_width_at_half_maximum(np.append(across[:0:-1], across))
        _write_width(axes[2], width * taps_nm, colour=colour, line=line)
    for axis, title in zip(axes, ("FWHM along x", "FWHM along y", "FWHM of rings"), strict=True):
        axis.set_title(title)
        axis.set(ylim=(0.0, _highest(panel) / _CURVES_REACH), xlabel="Position (nm)")
        axis.yaxis.set_major_locator(MaxNLocator(4))
        if axis is not axes[0]:
            axis.set_yticklabels([])
    axes[0].set_ylabel("PSF")
    axes[2].set_xlabel("Distance (nm)")


def _write_width(axis: Axes, width_nm: float, *, colour: str, line: int) -> None:
    """A width in the colour of its curve, which the legend names: three plots side by side have no room for words."""
    text = f" {width_nm:.0f} nm" if np.isfinite(width_nm) else " –"
    axis.text(0.0, 0.99 - 0.14 * line, text, transform=axis.transAxes, va="top", color=colour)


def radial_profile(psf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances from tap n // 2, one for each that occurs, and the mean of the taps there."""
    offset = np.arange(len(psf)) - len(psf) // 2
    distance = np.hypot(offset[:, None], offset[None, :]).round(6)
    radii, index = np.unique(distance, return_inverse=True)
    index = index.ravel()
    return radii, np.bincount(index, psf.ravel()) / np.bincount(index)


def full_width_at_half_maximum(profile: np.ndarray) -> float:
    """Width in samples where a profile is above half its maximum, between samples by a line.

    NaN where one side does not fall to the half.
    """
    values = np.asarray(profile, np.float64)
    peak = int(np.nanargmax(values)) if np.isfinite(values).any() else 0
    half = values[peak] / 2.0

    def reach(side: np.ndarray) -> float:
        below = np.flatnonzero(side <= half)
        if not below.size:
            return float("nan")
        i = int(below[0])
        return i - 1 + (side[i - 1] - half) / (side[i - 1] - side[i])

    return reach(values[peak:]) + reach(values[peak::-1])

"""The PSF that a network learned beside that of its microscope."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oidn_jax.evaluation.figures import layout
from oidn_jax.evaluation.figures.style import (
    PALETTE,
    finite_or,
    hide_ticks,
    method_label,
    publication_style,
    save_figure,
)

_MAP_MM, _MAP_GAP_MM, _BAR_MM = 26.0, 16.0, 2.0
_PLOT_MM, _PLOT_GAP_MM = (46.0, 26.0), 13.5
_PITCH_MM = 88.0
_COLOURS = {"theoretical": PALETTE["blue"], "learned": PALETTE["vermilion"]}


@dataclass(frozen=True)
class PsfPanel:
    """What is shown of one network; PSFs have their centre on tap n // 2 and a sum of 1.

    Attributes:
        name: of the method.
        theoretical: (n, n) of the microscope.
        learned: (n, n).
        pixel_size_nm: of the taps.
        symmetry_error: of the learned PSF, `losses.psf_symmetry`.
        theoretical_symmetry_error: of the theoretical one: the taps of an even n have no partner at one side.
        energy_error: of the learned PSF, |sum - 1|.
    """

    name: str
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
    with publication_style():
        figure = layout.new_figure(layout.FULL_WIDTH_MM, len(panels) * _PITCH_MM)
        for index, panel in enumerate(panels):
            top = index * _PITCH_MM + 1.0
            if len(panels) > 1:
                layout.add_letter(figure, (1.0, top), index)
            errors = (
                f"{method_label(panel.name)}: symmetry error {panel.symmetry_error:.3f} (theoretical "
                f"{panel.theoretical_symmetry_error:.3f}), energy error {panel.energy_error:.1e}"
            )
            layout.add_text(figure, (5.0, top), errors, va="top")
            _draw_maps(figure, panel, top=top + 8.5)
            _draw_profiles(figure, panel, top=top + 49.0)
        return save_figure(figure, path)


def _draw_maps(figure: Figure, panel: PsfPanel, *, top: float) -> None:
    highest = float(max(panel.theoretical.max(), panel.learned.max()))
    difference = panel.learned - panel.theoretical
    largest = float(np.abs(difference).max()) or 1.0
    shown = (
        ("Theoretical PSF", panel.theoretical, {"cmap": "magma", "vmin": 0.0, "vmax": highest}),
        ("Learned PSF", panel.learned, {"cmap": "magma", "vmin": 0.0, "vmax": highest}),
        ("Learned − theoretical", difference, {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}),
    )
    for column, (title, values, how) in enumerate(shown):
        left = 12.0 + column * (_MAP_MM + _MAP_GAP_MM + 15.0)
        axis = layout.add_axes(figure, (left, top, _MAP_MM, _MAP_MM))
        drawn = axis.imshow(values, interpolation="nearest", **how)
        hide_ticks(axis)
        centre = len(values) // 2
        colour = "black" if column == 2 else "white"
        axis.plot(centre, centre, marker="+", color=colour, markersize=4, markeredgewidth=0.6)
        axis.set_title(title)
        axis.set_xlabel(f"{len(values)} taps, {len(values) * panel.pixel_size_nm:.0f} nm")
        bar = layout.add_axes(figure, (left + _MAP_MM + 1.0, top, _BAR_MM, _MAP_MM))
        figure.colorbar(drawn, cax=bar).outline.set_visible(False)  # pyright: ignore[reportCallIssue] -- as in the stub of resolution.py


def _draw_profiles(figure: Figure, panel: PsfPanel, *, top: float) -> None:
    psfs = {"theoretical": panel.theoretical, "learned": panel.learned}
    centre = len(panel.learned) // 2
    cuts = (
        ("Along x", {name: psf[centre] for name, psf in psfs.items()}),
        ("Along y", {name: psf[:, centre] for name, psf in psfs.items()}),
    )
    for column, (title, profiles) in enumerate(cuts):
        left = 12.0 + column * (_PLOT_MM[0] + _PLOT_GAP_MM - 3.0)
        axis = layout.add_axes(figure, (left, top, *_PLOT_MM))
        texts = []
        for name, profile in profiles.items():
            position = (np.arange(len(profile)) - centre) * panel.pixel_size_nm
            axis.plot(position, profile, color=_COLOURS[name], marker="o", markersize=1.8, label=name)
            fwhm = full_width_at_half_maximum(profile) * panel.pixel_size_nm
            texts.append(f"{name}: {finite_or(fwhm, '{:.0f} nm'.format, otherwise='wider than the taps')}")
        _finish(axis, title=title, xlabel="Position (nm)")
        axis.text(0.02, 0.98, "FWHM\n" + "\n".join(texts), transform=axis.transAxes, va="top", fontsize=6)
    axis = layout.add_axes(figure, (12.0 + 2 * (_PLOT_MM[0] + _PLOT_GAP_MM - 3.0), top, *_PLOT_MM))
    for name, psf in psfs.items():
        radius, mean = radial_profile(psf)
        axis.plot(radius * panel.pixel_size_nm, mean, color=_COLOURS[name], marker="o", markersize=1.8, label=name)
    _finish(axis, title="Mean over rings", xlabel="Distance from the centre (nm)")
    axis.legend(loc="upper right")


def _finish(axis: Axes, *, title: str, xlabel: str) -> None:
    axis.set_title(title)
    axis.set(xlabel=xlabel, ylabel="PSF" if title == "Along x" else "")
    axis.set_ylim(0.0, axis.get_ylim()[1] * 1.25)


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

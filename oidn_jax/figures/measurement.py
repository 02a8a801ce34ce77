"""One page about the resolution of an image: the image, decorrelation and ring-correlation curves, the local map."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oidn_jax.data.atomic import check_target, write_atomically
from oidn_jax.errors import InputError
from oidn_jax.figures import layout
from oidn_jax.figures.resolution import (
    DecorrelationPanel,
    RollingFrcPanel,
    draw_decorrelation,
    draw_map,
    map_colours,
)
from oidn_jax.figures.style import DPI, GREY, PALETTE, draw_image, publication_style
from oidn_jax.resolution.measurement import Measurement, ring_resolutions

SUFFIXES = (".png", ".pdf", ".svg")
_ROW_MM, _IMAGE_MM, _PLOT_LEFT_MM, _PLOT_MM = 70.0, 56.0, 90.0, (86.0, 48.0)
_TYPICAL_BYTES = 1 << 20


def check_plot(path: str | None, *, overwrite: bool) -> None:
    """Refuses a file for the figure before anything is computed.

    Raises:
        InputError: a suffix other than .png, .pdf, .svg; a folder, or an existing file without `overwrite`.
    """
    if path is not None:
        if Path(path).suffix.lower() not in SUFFIXES:
            raise InputError(f"--plot={path} is no picture by its name; legal: {', '.join(SUFFIXES)}")
        check_target(Path(path), overwrite=overwrite)


def save_measurement(path: str | Path, found: Measurement) -> None:
    """Draws a measurement, as PNG, PDF or SVG by the suffix.

    Raises:
        InputError: if the file cannot be written.
    """
    path = Path(path)
    form = path.suffix.lower()[1:]
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(form)
    with publication_style():
        figure = _page(found)
        write_atomically(
            path,
            lambda partial: figure.savefig(partial, format=form, dpi=DPI, metadata=metadata),
            n_bytes=_TYPICAL_BYTES,
        )


def _page(found: Measurement) -> Figure:
    measured = found.measured
    second = found.rings is not None or found.rolling is not None
    height = layout.TITLE_MM + _ROW_MM * (2 if second else 1)
    figure = layout.new_figure(layout.FULL_WIDTH_MM, height, title=measured.path.name)
    top = layout.TITLE_MM + 6.0
    image = layout.add_axes(figure, (4.0, top, _IMAGE_MM, _IMAGE_MM))
    draw_image(image, measured.image, pixel_size_nm=found.pixel_size, scale_bar=measured.pixel_size_nm is not None)
    axis = layout.add_axes(figure, (_PLOT_LEFT_MM, top + 3.0, *_PLOT_MM))
    panel = DecorrelationPanel.of("", measured.image, found.decorrelation, pixel_size_nm=found.pixel_size)
    highest = float(max(panel.curves.max(), panel.refined_curves.max())) or 1.0
    draw_decorrelation(axis, panel, highest=highest, unit=found.unit)
    if found.rolling is not None:
        _draw_map(figure, found, top=top + _ROW_MM)
    if found.rings is not None:
        _draw_rings(layout.add_axes(figure, (_PLOT_LEFT_MM, top + _ROW_MM + 3.0, *_PLOT_MM)), found)
    return figure


def _draw_map(figure: Figure, found: Measurement, *, top: float) -> None:
    of = found.rolling
    assert of is not None, "drawn only where there is one"
    numbers = {"map_nm": of.map_nm, "mean_nm": of.mean_nm, "max_nm": of.worst_nm}
    panel = RollingFrcPanel("", found.measured.image, pixel_size_nm=found.pixel_size, **numbers)
    colours = map_colours([panel])
    axis = layout.add_axes(figure, (4.0, top, _IMAGE_MM, _IMAGE_MM))
    draw_map(axis, panel, colours=colours)
    kind = "Rolling FRC" if found.other is not None else "Single-image rolling FRC"
    text = f"mean {of.mean_nm:.1f}, worst {of.worst_nm:.1f} {found.unit}" if np.isfinite(of.mean_nm) else "no value"
    text += "" if found.reliable else ", not reliable"
    layout.add_text(figure, (4.0, top - 1.0), f"{kind}: {text}", va="bottom")
    if colours is not None:
        bar = figure.colorbar(
            colours[0], cax=layout.add_axes(figure, (5.0 + _IMAGE_MM, top, 2.5, _IMAGE_MM)), extend=colours[1]
        )
        bar.set_label(f"Local resolution ({found.unit})")


def _draw_rings(axis: Axes, found: Measurement) -> None:
    rings = found.rings
    assert rings is not None, "drawn only where there are"
    nyquist = 2.0 * np.asarray(rings.frequency)
    axis.plot(nyquist, rings.correlation, color=GREY, linewidth=0.5)
    axis.plot(nyquist, rings.smoothed, color="black", linewidth=1.2, label="mean of 7 rings")
    colours = (PALETTE["vermilion"], PALETTE["blue"], PALETTE["green"])
    for (name, value), colour in zip(ring_resolutions(found).items(), colours, strict=False):
        text = f"{value:.1f} {found.unit}" if np.isfinite(value) else "no crossing"
        if found.other is None:
            text += ", calibrated" if found.reliable else ", not reliable"
        axis.plot(nyquist, rings.threshold(name), color=colour, linewidth=0.8, label=f"{name}: {text}")
        cutoff = 2.0 * float(rings.cutoff(threshold=name))
        if np.isfinite(cutoff):
            axis.axvline(cutoff, color=colour, linewidth=0.8, linestyle=":")
    end = 1.0 if found.other is not None else 0.5
    axis.set(xlim=(0.0, end), ylim=(min(-0.05, float(np.nanmin(rings.smoothed))), 1.05))
    axis.set(xlabel="Frequency / Nyquist frequency", ylabel="FRC" if found.other is not None else "Single-image FRC")
    axis.legend(loc="upper right")

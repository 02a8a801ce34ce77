"""A picture to look at: widefield beside super-resolution.

Contract: one PNG per acquisition, written complete or not at all; pixels of the TIFF file are what counts, this is for
eyes only (contrast stretched per panel, large images reduced).
"""

import math
import os
import uuid
from pathlib import Path

import numpy as np
from jaxtyping import Real
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from oidn_jax.errors import InputError

_DOTS_PER_INCH = 100
_PANEL_INCHES = 6.0
_NARROWEST_PANEL_INCHES = 2.0
_TITLE_INCHES = 0.4
_CONTRAST_PERCENTILES = (0.1, 99.9)


def write_preview(
    path: Path,
    raw_frames: Real[np.ndarray, "h w frames"],
    sr_image: Real[np.ndarray, "sr_h sr_w"],
    *,
    pixel_size_nm: float | None,
    overwrite: bool = False,
) -> Path:
    """Draws the widefield image (the mean of the raw frames) beside the SR image, with a scale bar.

    Each panel shows the values between its 0.1 and 99.9 percentiles. Without a pixel size there is no scale bar, and
    the title says so.

    Args:
        path: the PNG to write; its folder must exist.
        raw_frames: (h, w, frames) of one time point.
        sr_image: (scale * h, scale * w) of the same.
        pixel_size_nm: of the raw frames.
        overwrite: replace an existing file.

    Returns:
        The path written.

    Raises:
        InputError: the file exists, or cannot be written.
    """
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already; choose another output folder or pass --overwrite")
    height, width = raw_frames.shape[:2]
    panel = np.maximum(_PANEL_INCHES * np.array([width, height]) / max(width, height), _NARROWEST_PANEL_INCHES)
    figure = Figure(figsize=(2 * panel[0], panel[1] + _TITLE_INCHES), dpi=_DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    top = panel[1] / (panel[1] + _TITLE_INCHES)
    widefield = raw_frames.mean(axis=-1, dtype=np.float64)
    unknown = " (pixel size unknown)" if pixel_size_nm is None else ""
    for left, image, title in ((0.0, widefield, "widefield"), (0.5, sr_image, f"super-resolution{unknown}")):
        axes = figure.add_axes((left, 0.0, 0.5, top))
        low, high = np.percentile(image, _CONTRAST_PERCENTILES)
        extent = (0, width, height, 0)
        axes.imshow(image, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="bicubic")
        axes.set_axis_off()
        axes.set_title(title)
    if pixel_size_nm is not None:
        draw_scale_bar(figure.axes[-1], (height, width), pixel_size_nm)
    _save_atomically(figure, path)
    return path


def scale_bar_um(width_um: float) -> float:
    """The longest of 1, 2, 5 times a power of ten that is at most a quarter of the width; µm in, µm out."""
    longest = width_um / 4
    decade = 10.0 ** math.floor(math.log10(longest))
    return max(step * decade for step in (1, 2, 5) if step * decade <= longest)


def draw_scale_bar(axes: Axes, size: tuple[int, int], pixel_size_nm: float) -> None:
    """Draws the bar in the lower right corner of axes that count raw pixels, `size` = (height, width) of them."""
    height, width = size
    length_um = scale_bar_um(width * pixel_size_nm / 1000)
    length = 1000 * length_um / pixel_size_nm
    margin, thickness = 0.04 * max(width, height), 0.012 * max(width, height)
    right, bottom = width - margin, height - margin
    axes.barh(bottom - thickness / 2, length, thickness, left=right - length, color="white", edgecolor="black")
    axes.text(
        right - length / 2,
        bottom - 1.5 * thickness,
        f"{length_um:g} µm",
        color="white",
        ha="center",
        va="bottom",
        bbox={"facecolor": "black", "edgecolor": "none", "alpha": 0.5, "pad": 1.5},
    )
    axes.set(xlim=(0, width), ylim=(height, 0))


def _save_atomically(figure: Figure, path: Path) -> None:
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        figure.savefig(partial, format="png")
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another output folder") from error
    finally:
        partial.unlink(missing_ok=True)

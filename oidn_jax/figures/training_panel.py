"""The panel that a training run writes at each evaluation, and `evaluate.py` for a quick look."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from oidn_jax.figures.style import scale_bar_um

PSF_TITLE = "learned PSF"


def save_panel(path: Path, rows: Sequence[Mapping[str, np.ndarray]], *, pixel_size_nm: float, title: str = "") -> None:
    """One row of pictures per scene, each with its name, images from black (minimum) to white (99.9th percentile).

    Args:
        path: of the PNG; its folder is created.
        rows: pictures by name, the same names in each row; images have the pixel size `pixel_size_nm` and a scale bar,
            the PSF is shown in false colour at the same pixel size.
        pixel_size_nm: of the super-resolved grid.
        title: of the figure.
    """
    columns = list(rows[0])
    figure = Figure(figsize=(3.2 * len(columns), 3.3 * len(rows) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for axis_row, pictures in zip(axes, rows, strict=True):
        for axis, (name, picture) in zip(axis_row, pictures.items(), strict=True):
            axis.set_xticks([])
            axis.set_yticks([])
            if name == PSF_TITLE:
                drawn = axis.imshow(picture, cmap="magma", vmin=0.0)
                figure.colorbar(drawn, ax=axis, shrink=0.8)
                axis.set_title(f"{name}, {picture.shape[0] * pixel_size_nm:.0f} nm wide")
            else:
                axis.imshow(picture, cmap="gray", vmin=picture.min(), vmax=np.percentile(picture, 99.9))
                axis.set_title(name)
                _draw_scale_bar(axis, picture.shape, pixel_size_nm)
    if title:
        figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _draw_scale_bar(axis, shape: tuple[int, ...], pixel_size_nm: float) -> None:
    """A bar of 1, 2 or 5 times a power of ten micrometres, about a quarter of the image wide."""
    length_um = scale_bar_um(shape[1] * pixel_size_nm / 1000.0)
    length = length_um * 1000.0 / pixel_size_nm
    x, y, height = shape[1] * 0.95 - length, shape[0] * 0.94, max(shape[0] * 0.015, 1.0)
    axis.add_patch(Rectangle((x, y), length, height, color="white"))
    axis.text(x + length / 2, y - height, f"{length_um:g} µm", color="white", ha="center", va="bottom", fontsize=9)

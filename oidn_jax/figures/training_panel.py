"""A row of pictures per scene, for a quick look: the panel that a training run writes at each evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from oidn_jax.figures.images import draw_image
from oidn_jax.figures.style import SCREEN_PT, figure_style, save

_CELL_INCHES, _TITLE_INCHES = (3.2, 3.3), 0.4


@dataclass(frozen=True)
class TrainingRow:
    """What is shown of one scene.

    Attributes:
        images: (h, w) by name, in the order they are shown.
        psf: (n, n) that the network has, on the pixels of the images; None if it has none.
    """

    images: Mapping[str, np.ndarray]
    psf: np.ndarray | None = None


def save_training_panel(path: Path, rows: Sequence[TrainingRow], *, pixel_size_nm: float, title: str = "") -> Path:
    """Draws the images with a scale bar each, and the PSFs in false colour; an existing panel is replaced.

    Args:
        path: of the PNG; its folder is created.
        rows: with the same images and, all or none, a PSF.
        pixel_size_nm: of all pictures.
        title: of the figure.

    Raises:
        ValueError: for rows of different length.
    """
    columns = len(rows[0].images) + (rows[0].psf is not None)
    with figure_style(SCREEN_PT):
        width, height = _CELL_INCHES[0] * columns, _CELL_INCHES[1] * len(rows) + _TITLE_INCHES
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for cells, row in zip(axes, rows, strict=True):
            images = [*row.images.items()] + ([] if row.psf is None else [("learned PSF", row.psf)])
            for cell, (name, image) in zip(cells, images, strict=True):
                if image is row.psf:
                    drawn = draw_image(cell, image, limits=(0.0, float(image.max())), colours="magma")
                    figure.colorbar(drawn, ax=cell, shrink=0.8)
                    name = f"{name}, {image.shape[0] * pixel_size_nm:.0f} nm wide"
                else:
                    draw_image(cell, image, pixel_size_nm=pixel_size_nm)
                cell.set_title(name)
        figure.suptitle(title)
        return save(figure, path, overwrite=True)

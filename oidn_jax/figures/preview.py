"""A picture to look at: widefield beside super-resolution.

Pixels of the TIFF file are what counts, this is for eyes only: contrast stretched per image, large images reduced.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Real
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from oidn_jax.figures.images import draw_image
from oidn_jax.figures.style import SCREEN_PT, figure_style, save

_PANEL_INCHES = 6.0
_NARROWEST_PANEL_INCHES = 2.0
_TITLE_INCHES = 0.4


def save_preview(
    path: Path,
    widefield: Real[np.ndarray, "h w"],
    sr_image: Real[np.ndarray, "sr_h sr_w"],
    *,
    pixel_size_nm: float | None,
    overwrite: bool = False,
) -> Path:
    """Draws the widefield image beside the SR image, with a scale bar.

    Without a pixel size there is no scale bar, and the title says so.

    Args:
        path: the PNG to write.
        widefield: the mean of the raw frames.
        sr_image: of the same field.
        pixel_size_nm: of the SR image.
        overwrite: replace an existing file.

    Returns:
        The path written.

    Raises:
        InputError: the file exists, or cannot be written.
    """
    height, width = sr_image.shape
    panel = np.maximum(_PANEL_INCHES * np.array([width, height]) / max(width, height), _NARROWEST_PANEL_INCHES)
    unknown = "\n(pixel size unknown)" if pixel_size_nm is None else ""
    title_inches = _TITLE_INCHES * (2 if unknown else 1)
    with figure_style(SCREEN_PT):
        figure = Figure(figsize=(2 * panel[0], panel[1] + title_inches))
        FigureCanvasAgg(figure)
        top = panel[1] / (panel[1] + title_inches)
        axes = [figure.add_axes((left, 0.0, 0.5, top)) for left in (0.0, 0.5)]
        draw_image(axes[0], widefield, interpolation="bicubic")
        draw_image(axes[1], sr_image, pixel_size_nm=pixel_size_nm, interpolation="bicubic")
        axes[0].set_title("widefield")
        axes[1].set_title(f"super-resolution{unknown}")
        return save(figure, path, overwrite=overwrite)

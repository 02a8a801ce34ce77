"""Line profiles: the intensity across a structure in the image of every method."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from scipy.ndimage import gaussian_filter, map_coordinates

from oidn_jax.figures import layout
from oidn_jax.figures.images import ImageRow, draw_image, stretch
from oidn_jax.figures.style import PALETTE, figure_style, save_print

Line = tuple[tuple[float, float], tuple[float, float]]

_IMAGE_MM, _PITCH_MM, _TO_PLOT_MM, _PLOT_MM = 32.0, 46.5, 44.0, 32.0
_LENGTH_PX = 32.0  # 1 µm at 31.3 nm
_SAMPLES_PER_PIXEL = 4
_AVERAGED = (-1.0, 0.0, 1.0)  # parallel lines, pixels
_STRUCTURE_SIGMA, _TENSOR_SIGMA = 1.5, 3.0


def save_line_profiles(path: Path, rows: Sequence[ImageRow], *, colours: Mapping[str, str]) -> list[Path]:
    """For each row the reference with a line, and beside it the profile along it in each image; two in a row.

    Profiles are the mean over three lines a pixel apart, each scaled from its own minimum to its maximum.

    Args:
        path: of the files, without suffix.
        rows: one per specimen.
        colours: of the profiles, by the label of the image (`style.palette`).

    Returns:
        The files, `[path.png, path.pdf]`.
    """
    with figure_style():
        across = min(len(rows), 2)
        width = layout.FULL_WIDTH_MM
        labels = dict.fromkeys(label for row in rows for label in row.images)
        bottom = -(-len(rows) // across) * _PITCH_MM
        figure = layout.new_figure(width, bottom + layout.legend_height_mm(labels, width_mm=width) + 0.5)
        handles: dict[str, Line2D] = {}
        plot_width = (width + 2.0) / across - _TO_PLOT_MM - (7.5 if across == 2 else 5.5)
        for index, row in enumerate(rows):
            left, top = index % across * (width + 2.0) / across + 1.0, index // across * _PITCH_MM
            if len(rows) > 1:
                layout.add_letter(figure, (left, top + 0.8), index)
            layout.add_text(figure, (left + (4.0 if len(rows) > 1 else 0.0), top + 1.0), row.heading, va="top")
            image = layout.add_axes(figure, (left, top + 5.5, _IMAGE_MM, _IMAGE_MM))
            reference = row.images[row.reference]
            draw_image(image, reference, pixel_size_nm=row.pixel_size_nm)
            line = profile_line(reference)
            (y0, x0), (y1, x1) = line
            image.plot([x0, x1], [y0, y1], color=PALETTE["yellow"], linewidth=1.0, solid_capstyle="butt")
            plot = layout.add_axes(figure, (left + _TO_PLOT_MM, top + 5.5, plot_width, _PLOT_MM))
            handles |= _draw_profiles(plot, row, line, colours=colours)
        layout.add_legend(figure, list(handles.values()), top_mm=bottom)
        return save_print(figure, path)


def _draw_profiles(axis: Axes, row: ImageRow, line: Line, *, colours: Mapping[str, str]) -> dict[str, Line2D]:
    handles = {}
    for label, image in row.images.items():
        position, profile = sample_profile(image, line)
        low, high = profile.min(), profile.max()
        scaled = (profile - low) / (high - low if high > low else 1.0)
        (handles[label],) = axis.plot(
            position * row.pixel_size_nm / 1000.0,
            scaled,
            color=colours[label],
            label=label,
            linestyle="--" if label == row.reference else "-",
            linewidth=1.0,
        )
    (y0, x0), (y1, x1) = line
    length_um = np.hypot(y1 - y0, x1 - x0) * row.pixel_size_nm / 1000.0
    axis.set(xlim=(0.0, length_um), ylim=(-0.03, 1.08), xlabel="Position (µm)")
    axis.set(ylabel="Intensity, min–max", yticks=(0.0, 0.5, 1.0))
    return handles


def profile_line(target: np.ndarray) -> Line:
    """A line across a bright structure: its ends (y, x), inside the image.

    Its middle is the pixel with the strongest coherent structure that a line of that length can reach, its direction
    that of the steepest change there: across a filament, by the structure tensor of the image at 1.5 pixels, averaged
    over 3. It is 32 pixels long, 1 µm in images of 31.3 nm pixels, or a third of a smaller image.
    """
    length = min(_LENGTH_PX, min(target.shape) / 3.0)
    margin = int(np.ceil(length / 2.0)) + 1
    image = np.minimum(np.nan_to_num(target.astype(np.float64)), stretch(target)[1])
    smooth = gaussian_filter(image, _STRUCTURE_SIGMA)
    dy, dx = np.gradient(smooth)
    yy, xx, xy = (gaussian_filter(product, _TENSOR_SIGMA) for product in (dy * dy, dx * dx, dy * dx))
    coherence = np.hypot(yy - xx, 2.0 * xy)
    score = np.full(target.shape, -np.inf)
    inside = np.s_[margin : target.shape[0] - margin, margin : target.shape[1] - margin]
    # Bright and of one direction: the ridge of a filament, neither its flank nor a crossing.
    score[inside] = ((smooth - smooth.min()) * coherence)[inside]
    y, x = np.unravel_index(score.argmax(), score.shape)
    angle = 0.5 * np.arctan2(2.0 * xy[y, x], xx[y, x] - yy[y, x])
    step_y, step_x = 0.5 * length * np.sin(angle), 0.5 * length * np.cos(angle)
    return (float(y - step_y), float(x - step_x)), (float(y + step_y), float(x + step_x))


def sample_profile(image: np.ndarray, line: Line) -> tuple[np.ndarray, np.ndarray]:
    """Positions along a line, four per pixel, and the image there: cubic splines, the mean of three parallel lines."""
    (y0, x0), (y1, x1) = line
    length = float(np.hypot(y1 - y0, x1 - x0))
    position = np.linspace(0.0, length, max(int(length * _SAMPLES_PER_PIXEL), 2))
    along = np.array([y1 - y0, x1 - x0]) / length
    across = np.array([-along[1], along[0]])
    values = np.nan_to_num(image.astype(np.float64))
    lines = []
    for offset in _AVERAGED:
        start = np.array([y0, x0]) + offset * across
        lines.append(map_coordinates(values, start[:, None] + along[:, None] * position, order=3, mode="nearest"))
    return position, np.mean(lines, 0)

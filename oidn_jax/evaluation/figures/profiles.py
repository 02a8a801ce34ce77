"""Intensity along a line across the structure, of every method."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D
from scipy.ndimage import gaussian_filter, map_coordinates

from oidn_jax.evaluation.example import TARGET, Example
from oidn_jax.evaluation.figures import layout
from oidn_jax.evaluation.figures.style import (
    PALETTE,
    draw_image,
    grey_limits,
    method_colours,
    method_label,
    publication_style,
    save_figure,
    specimen_label,
)

Line = tuple[tuple[float, float], tuple[float, float]]

_LENGTH = 32.0  # pixels: 1 µm of 31.3 nm
_RIM = 2.0  # pixels between a line and the rim
_INNER, _OUTER = 1.0, 3.0  # pixels: of the gradient, and of its mean over the neighbourhood
_STEP, _PARALLEL = 0.5, (-1.0, 0.0, 1.0)  # pixels

_IMAGE_MM, _TO_PLOT_MM, _PLOT_MM, _PITCH_MM, _ABOVE_MM = 32.0, 43.5, (43.0, 32.0), 46.5, 5.5


def save_line_profiles(path: Path, examples: Sequence[Example]) -> list[Path]:
    """Each target with a line across its structure, beside it every method along that line, two examples in a row.

    Profiles are means over three parallel lines, one pixel apart, and min-max normalised each.

    Args:
        path: of the files, without suffix.
        examples: their images with the target.

    Returns:
        The files, `[path.png, path.pdf]`.
    """
    with publication_style():
        across = min(len(examples), 2)
        width = layout.FULL_WIDTH_MM if across == 2 else layout.COLUMN_WIDTH_MM
        colours = method_colours(list(dict.fromkeys(name for example in examples for name in example.images)))
        handles = [
            Line2D([], [], color=colour, linewidth=_line_width(name), label=method_label(name))
            for name, colour in colours.items()
        ]
        bottom = -(-len(examples) // across) * _PITCH_MM
        lines = layout.legend_lines([str(handle.get_label()) for handle in handles], width_mm=width)
        figure = layout.new_figure(width, bottom + lines * layout.LEGEND_LINE_MM + 0.5)
        for index, example in enumerate(examples):
            left, top = index % across * (width + 2.0) / 2.0, index // across * _PITCH_MM
            if len(examples) > 1:
                layout.add_letter(figure, (left + 1.0, top + 0.8), index)
            name = f"{specimen_label(example.specimen)}, {example.level} fluorescence"
            layout.add_text(figure, (left + (5.0 if len(examples) > 1 else 1.0), top + 1.0), name, va="top")
            line, target = profile_line(example.images[TARGET]), example.images[TARGET]
            axis = layout.add_axes(figure, (left + 1.0, top + _ABOVE_MM, _IMAGE_MM, _IMAGE_MM))
            draw_image(axis, target, pixel_size_nm=example.pixel_size_nm)
            axis.plot([line[0][1], line[1][1]], [line[0][0], line[1][0]], color=PALETTE["orange"], linewidth=1.0)
            axis = layout.add_axes(figure, (left + _TO_PLOT_MM, top + _ABOVE_MM, *_PLOT_MM))
            for name, image in example.images.items():
                distance, values = line_profile(image, line)
                distance_um = distance * example.pixel_size_nm / 1000.0
                axis.plot(distance_um, values, color=colours[name], linewidth=_line_width(name))
            axis.set(xlim=(0.0, distance_um[-1]), ylim=(-0.03, 1.05), yticks=(0.0, 0.5, 1.0))
            axis.set(xlabel="Distance (µm)", ylabel="Normalised intensity")
        layout.add_legend(figure, handles, top_mm=bottom)
        return save_figure(figure, path)


def _line_width(name: str) -> float:
    return 1.6 if name == TARGET else 0.9


def profile_line(target: np.ndarray) -> Line:
    """A line (y, x) to (y, x) across the brightest oriented structure whose line fits into the image.

    Its middle is where brightness times coherence is largest, its direction is that in which the image changes most: the
    eigenvector of the larger eigenvalue of the structure tensor. 32 pixels long, or a third of the image.
    """
    image = np.minimum(np.nan_to_num(target.astype(np.float64)), grey_limits(target)[1])
    length = min(_LENGTH, min(image.shape) / 3.0)
    gy, gx = (gaussian_filter(image, _INNER, order=order) for order in ((1, 0), (0, 1)))
    yy, xx, xy = (gaussian_filter(product, _OUTER) for product in (gy * gy, gx * gx, gy * gx))
    difference = np.hypot(yy - xx, 2.0 * xy)
    coherence = difference / np.maximum(yy + xx, np.finfo(np.float64).tiny)
    angle = 0.5 * np.arctan2(2.0 * xy, xx - yy)  # of the gradient, from x to y
    score = gaussian_filter(image - image.min(), _INNER) * coherence
    ys, xs = np.indices(image.shape)
    dy, dx = 0.5 * length * np.sin(angle), 0.5 * length * np.cos(angle)
    inside = np.ones(image.shape, bool)
    for middle, half, size in ((ys, np.abs(dy), image.shape[0]), (xs, np.abs(dx), image.shape[1])):
        inside &= (middle - half >= _RIM) & (middle + half <= size - 1 - _RIM)
    y, x = np.unravel_index(np.where(inside, score, -np.inf).argmax(), image.shape)
    dy, dx = float(dy[y, x]), float(dx[y, x])
    return (float(y) - dy, float(x) - dx), (float(y) + dy, float(x) + dx)


def line_profile(image: np.ndarray, line: Line) -> tuple[np.ndarray, np.ndarray]:
    """Distance from the start in pixels, about every half, and the min-max normalised image there.

    Interpolated linearly; the mean of three parallel lines, one pixel apart. A constant profile gives 0.
    """
    start, end = np.asarray(line[0]), np.asarray(line[1])
    length = float(np.hypot(*(end - start)))
    distance = np.linspace(0.0, length, int(np.ceil(length / _STEP)) + 1)
    along = (end - start) / length
    across = np.asarray([-along[1], along[0]])
    points = start + distance[:, None] * along + np.asarray(_PARALLEL)[:, None, None] * across
    values = map_coordinates(image.astype(np.float64), np.moveaxis(points, -1, 0), order=1, mode="nearest").mean(0)
    low, high = values.min(), values.max()
    return distance, (values - low) / (high - low) if high > low else np.zeros_like(values)

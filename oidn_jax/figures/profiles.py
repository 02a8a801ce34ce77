"""Line profiles: the intensity across a structure in the image of every method."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from scipy.ndimage import gaussian_filter, map_coordinates

from oidn_jax.evaluation.example import TARGET, Example
from oidn_jax.figures import layout
from oidn_jax.figures.style import (
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

_IMAGE_MM, _PITCH_MM, _TO_PLOT_MM, _PLOT_MM = 32.0, 46.5, 44.0, 32.0
_LENGTH_PX = 32.0  # 1 µm at 31.3 nm
_SAMPLES_PER_PIXEL = 4
_AVERAGED = (-1.0, 0.0, 1.0)  # parallel lines, pixels
_STRUCTURE_SIGMA, _TENSOR_SIGMA = 1.5, 3.0


def save_line_profiles(path: Path, examples: Sequence[Example]) -> list[Path]:
    """For each example the ground truth with a line, and beside it the profile along it in each image; two in a row.

    Profiles are the mean over three lines a pixel apart, each scaled from its own minimum to its maximum.

    Args:
        path: of the files, without suffix.
        examples: with the target among their images.

    Returns:
        The files, `[path.png, path.pdf]`.
    """
    with publication_style():
        across = min(len(examples), 2)
        width = layout.FULL_WIDTH_MM
        colours = method_colours([name for example in examples for name in example.images])
        lines = layout.legend_lines([method_label(name) for name in colours], width_mm=width)
        bottom = -(-len(examples) // across) * _PITCH_MM
        figure = layout.new_figure(width, bottom + lines * layout.LEGEND_LINE_MM + 0.5)
        handles, plot_width = {}, (width + 2.0) / across - _TO_PLOT_MM - (7.5 if across == 2 else 5.5)
        for index, example in enumerate(examples):
            left, top = index % across * (width + 2.0) / across + 1.0, index // across * _PITCH_MM
            if len(examples) > 1:
                layout.add_letter(figure, (left, top + 0.8), index)
            label = f"{specimen_label(example.specimen)}, {example.level} fluorescence"
            layout.add_text(figure, (left + (4.0 if len(examples) > 1 else 0.0), top + 1.0), label, va="top")
            image = layout.add_axes(figure, (left, top + 5.5, _IMAGE_MM, _IMAGE_MM))
            target = example.images[TARGET]
            draw_image(image, target, pixel_size_nm=example.pixel_size_nm)
            line = profile_line(target)
            (y0, x0), (y1, x1) = line
            image.plot([x0, x1], [y0, y1], color=PALETTE["yellow"], linewidth=1.0, solid_capstyle="butt")
            plot = layout.add_axes(figure, (left + _TO_PLOT_MM, top + 5.5, plot_width, _PLOT_MM))
            handles |= _draw_profiles(plot, example, line, colours=colours)
        layout.add_legend(figure, list(handles.values()), top_mm=bottom)
        return save_figure(figure, path)


def _draw_profiles(axis: Axes, example: Example, line: Line, *, colours: dict[str, str]) -> dict:
    handles = {}
    for name, image in example.images.items():
        position, profile = sample_profile(image, line)
        low, high = profile.min(), profile.max()
        scaled = (profile - low) / (high - low if high > low else 1.0)
        (handles[name],) = axis.plot(
            position * example.pixel_size_nm / 1000.0,
            scaled,
            color=colours[name],
            label=method_label(name),
            linestyle="--" if name == TARGET else "-",
            linewidth=1.0,
        )
    (y0, x0), (y1, x1) = line
    length_um = np.hypot(y1 - y0, x1 - x0) * example.pixel_size_nm / 1000.0
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
    image = np.minimum(np.nan_to_num(target.astype(np.float64)), grey_limits(target)[1])
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

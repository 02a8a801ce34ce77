"""Panels: what every method made of one acquisition per specimen, as a whole and in two enlarged regions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.ndimage import gaussian_gradient_magnitude

from oidn_jax.figures import layout
from oidn_jax.figures.images import ImageRow, draw_image, draw_scale_bar, hide_ticks, scale_bar_label, stretch
from oidn_jax.figures.style import PALETTE, figure_style, save_print

Region = tuple[int, int, int]

_ZOOM = 4  # the side of the image over that of a region
_ZOOM_COLOURS = (PALETTE["orange"], PALETTE["sky blue"])
_LEFT, _RIM, _GAP, _BETWEEN = 9.5, 0.8, 1.0, 3.0  # mm
_FEW = 3  # images that fit into one column of a journal


def save_panels(path: Path, rows: Sequence[ImageRow], *, title: str = "") -> list[Path]:
    """One block per row: its images, and under them two regions enlarged, chosen in the reference.

    Every image has the contrast of `images.stretch`, and its enlarged regions the same; scale bars hold for the whole
    row, those of regions are drawn where their labels have room. Where the blocks are too high for a page, the two
    regions stand side by side.

    Args:
        path: of the files, without suffix.
        rows: one per specimen.
        title: of the figure.

    Returns:
        The files, `[path.png, path.pdf]`.
    """
    with figure_style():
        plan = _plan(rows, top=layout.TITLE_MM if title else _RIM)
        figure = layout.new_figure(plan.width, plan.height, title=title)
        for index, (row, top) in enumerate(zip(rows, plan.tops, strict=True)):
            if len(rows) > 1:
                layout.add_letter(figure, (1.0, top), index)
            _draw_block(figure, row, plan, top=top + plan.heading)
        return save_print(figure, path)


def zoom_regions(target: np.ndarray) -> tuple[Region, Region]:
    """Two square regions (y, x, side) with much structure: the sum of the gradient's modulus is largest.

    Their side is a quarter of the image's. They keep a quarter of their side from the rim and from each other. The
    gradient is taken at 1 pixel, of the image without its brightest thousandth, so that one pixel does not decide.
    """
    side = max(min(target.shape) // _ZOOM, 1)
    margin = side // 4
    clipped = np.minimum(np.nan_to_num(target.astype(np.float64)), stretch(target)[1])
    total = np.pad(gaussian_gradient_magnitude(clipped, 1.0).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    score = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    ys, xs = np.indices(score.shape)
    inside = np.minimum(ys, xs) >= margin
    inside &= (ys < score.shape[0] - margin) & (xs < score.shape[1] - margin)
    score = np.where(inside, score, -np.inf)
    y, x = (int(i) for i in np.unravel_index(score.argmax(), score.shape))
    apart = np.maximum(np.abs(ys - y), np.abs(xs - x)) >= side + margin
    y2, x2 = (int(i) for i in np.unravel_index(np.where(apart, score, -np.inf).argmax(), score.shape))
    return (y, x, side), (y2, x2, side)


@dataclass(frozen=True)
class _Plan:
    """Sizes in mm: of the page, of a cell, of the labels above it, and where each block starts.

    `stacked`: the two regions of an image stand one above the other.
    """

    width: float
    height: float
    cell: float
    heading: float
    tops: list[float]
    stacked: bool


def _plan(rows: Sequence[ImageRow], *, top: float) -> _Plan:
    labels = {label for row in rows for label in row.images}
    lines = 1
    while True:
        plan = _plan_with(rows, top=top, heading=0.9 + layout.LINE_MM * lines)
        needed = max(len(layout.wrap(label, width_mm=plan.cell)) for label in labels)
        if needed <= lines:
            return plan
        lines = needed


def _plan_with(rows: Sequence[ImageRow], *, top: float, heading: float) -> _Plan:
    columns = max(len(row.images) for row in rows)
    page = layout.COLUMN_WIDTH_MM if columns <= _FEW else layout.FULL_WIDTH_MM
    gaps = _LEFT + _RIM + (columns - 1) * _GAP
    widest = (page - gaps) / columns
    ratios = [shape[0] / shape[1] for shape in (row.images[row.reference].shape for row in rows)]
    between = top + len(rows) * heading + (len(rows) - 1) * _BETWEEN + _RIM

    def fixed(stacked: bool) -> float:
        return between + len(rows) * (2.0 * _GAP if stacked else 0.5 * _GAP)

    def growing(stacked: bool) -> float:
        return sum(ratios) + len(rows) * (2.0 if stacked else 0.5)

    stacked = fixed(True) + widest * growing(True) <= layout.PAGE_HEIGHT_MM
    cell = min(widest, (layout.PAGE_HEIGHT_MM - fixed(stacked)) / growing(stacked))
    blocks = [cell * (ratio + (2.0 if stacked else 0.5)) + _GAP * (2.0 if stacked else 0.5) for ratio in ratios]
    tops = [top + sum(blocks[:i]) + i * (heading + _BETWEEN) for i in range(len(blocks))]
    return _Plan(columns * cell + gaps, fixed(stacked) + cell * growing(stacked), cell, heading, tops, stacked)


def _draw_block(figure: Figure, row: ImageRow, plan: _Plan, *, top: float) -> None:
    reference = row.images[row.reference]
    regions, height = zoom_regions(reference), plan.cell * reference.shape[0] / reference.shape[1]
    for column, (label, image) in enumerate(row.images.items()):
        left = _LEFT + column * (plan.cell + _GAP)
        heading = "\n".join(layout.wrap(label, width_mm=plan.cell))
        layout.add_text(figure, (left + plan.cell / 2.0, top - 0.7), heading, ha="center", va="bottom")
        whole, bar_nm = layout.add_axes(figure, (left, top, plan.cell, height)), None if column else row.pixel_size_nm
        draw_image(whole, image, pixel_size_nm=bar_nm)
        for number, (region, colour) in enumerate(zip(regions, _ZOOM_COLOURS, strict=True)):
            _frame(whole, region, colour)
            zoom = layout.add_axes(figure, _zoom_box(plan, number, left=left, top=top + height + _GAP))
            _draw_zoom(zoom, image, region, colour=colour)
            label = scale_bar_label(width_px=region[2], pixel_size_nm=row.pixel_size_nm)
            # Beside each other, regions may be narrower than the label; the frames in the image then tell their size.
            if (
                column == 0
                and layout.text_width_mm(label) + 3.0 < layout.size_mm(figure)[0] * zoom.get_position().width
            ):
                draw_scale_bar(zoom, width_px=region[2], pixel_size_nm=row.pixel_size_nm)
    bottom = top + height + _GAP + (2.0 * plan.cell + _GAP if plan.stacked else (plan.cell - _GAP) / 2.0)
    heading = "\n".join(layout.wrap(row.heading, width_mm=bottom - top))
    layout.add_text(figure, (_LEFT - 1.2, (top + bottom) / 2.0), heading, rotation=90.0, ha="right", va="center")


def _zoom_box(plan: _Plan, number: int, *, left: float, top: float) -> tuple[float, float, float, float]:
    if plan.stacked:
        return left, top + number * (plan.cell + _GAP), plan.cell, plan.cell
    side = (plan.cell - _GAP) / 2.0
    return left + number * (side + _GAP), top, side, side


def _frame(axis: Axes, region: Region, colour: str) -> None:
    y, x, side = region
    axis.add_patch(Rectangle((x - 0.5, y - 0.5), side, side, fill=False, edgecolor=colour, linewidth=0.8))


def _draw_zoom(axis: Axes, image: np.ndarray, region: Region, *, colour: str) -> None:
    """A region with the grey scale of the whole image, so that it is a part of it and nothing else."""
    y, x, side = region
    draw_image(axis, image[y : y + side, x : x + side], limits=stretch(image))
    hide_ticks(axis, frame=colour)

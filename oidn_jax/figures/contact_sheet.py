"""A contact sheet of measured data: a row for each acquisition or cell, its raw frames at a few levels, its target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oidn_jax.figures import layout
from oidn_jax.figures.images import draw_image
from oidn_jax.figures.style import figure_style, save_print

_HEADING_MM, _GAP_MM, _LABEL_MM, _MOST_MM = 26.0, 1.5, 4.0, 42.0


@dataclass(frozen=True)
class ContactRow:
    """What is shown of one cell.

    Attributes:
        heading: its name.
        images: (h, w) by what they are, in the order they are shown; of one field, whatever their pixels.
        pixel_size_nm: of each image, for a scale bar; None where nobody knows it.
    """

    heading: str
    images: Mapping[str, np.ndarray]
    pixel_size_nm: Mapping[str, float | None]


def save_contact_sheet(path: Path, rows: Sequence[ContactRow], *, title: str) -> list[Path]:
    """All rows one below the other, each image with a stretch of its own, a scale bar on the last.

    Args:
        path: of the files, without suffix.
        rows: at least one; they may have different images.
        title: of the sheet.

    Returns:
        The files, `[path.png, path.pdf]`.
    """
    with figure_style():
        columns = max(len(row.images) for row in rows)
        cell = min((layout.FULL_WIDTH_MM - _HEADING_MM) / columns - _GAP_MM, _MOST_MM)
        pitch = cell + _LABEL_MM + _GAP_MM
        figure = layout.new_figure(layout.FULL_WIDTH_MM, layout.TITLE_MM + len(rows) * pitch, title=title)
        for number, row in enumerate(rows):
            top = layout.TITLE_MM + number * pitch
            lines = layout.wrap(row.heading, width_mm=_HEADING_MM - 2.0)
            layout.add_text(figure, (1.0, top + _LABEL_MM), "\n".join(lines), va="top")
            for column, (label, image) in enumerate(row.images.items()):
                left = _HEADING_MM + column * (cell + _GAP_MM)
                layout.add_text(figure, (left, top + 0.5), label, va="top")
                axes = layout.add_axes(figure, (left, top + _LABEL_MM, cell, cell))
                is_last = column == len(row.images) - 1
                draw_image(axes, image, pixel_size_nm=row.pixel_size_nm.get(label) if is_last else None)
        return save_print(figure, path)

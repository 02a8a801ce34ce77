"""The page: places and sizes in mm from its upper left corner, so that panels align and no layout has to be solved."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

FULL_WIDTH_MM = 180.0
COLUMN_WIDTH_MM = 88.0
PAGE_HEIGHT_MM = 230.0
TITLE_MM = 6.0
LINE_MM = 3.1  # of text of 7 pt
LEGEND_LINE_MM = 3.7

_MM_PER_INCH = 25.4
_CHARACTERS_PER_MM = 0.92  # of text of 7 pt, on the safe side
_HANDLE_MM = 9.0  # of a legend, with the space around it


def new_figure(width_mm: float, height_mm: float, *, title: str = "") -> Figure:
    """An empty page; a title, in bold, takes the first `TITLE_MM`."""
    figure = Figure(figsize=(width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH))
    FigureCanvasAgg(figure)
    if title:
        add_text(figure, (1.0, 1.0), title, va="top", fontsize=8, fontweight="bold")
    return figure


def add_axes(figure: Figure, box_mm: tuple[float, float, float, float]) -> Axes:
    """Axes in a box (left, top, width, height); tick labels and names are outside of it."""
    width, height = size_mm(figure)
    left, top, box_width, box_height = box_mm
    return figure.add_axes((left / width, 1.0 - (top + box_height) / height, box_width / width, box_height / height))


def add_text(figure: Figure, position_mm: tuple[float, float], text: str, **options: object) -> Text:
    """Text at (x, y); `options` are those of matplotlib's `Figure.text`."""
    width, height = size_mm(figure)
    return figure.text(position_mm[0] / width, 1.0 - position_mm[1] / height, text, **options)  # pyright: ignore[reportArgumentType] -- passed on as given


def add_letter(figure: Figure, position_mm: tuple[float, float], index: int) -> None:
    """The bold letter of a panel, a for index 0, with its upper left corner at a position."""
    add_text(figure, position_mm, chr(ord("a") + index), va="top", fontsize=8, fontweight="bold")


def size_mm(figure: Figure) -> tuple[float, float]:
    """Width and height of a page."""
    width, height = figure.get_size_inches()
    return float(width) * _MM_PER_INCH, float(height) * _MM_PER_INCH


def wrap(text: str, *, width_mm: float) -> list[str]:
    """Lines of text of 7 pt that fit into a width."""
    return textwrap.wrap(text, int(width_mm * _CHARACTERS_PER_MM))


def legend_lines(labels: Sequence[str], *, width_mm: float) -> int:
    """The lines that a legend takes in a width."""
    return -(-len(labels) // _legend_columns(labels, width_mm=width_mm))


def add_legend(figure: Figure, handles: Sequence[Artist], *, top_mm: float) -> None:
    """A legend in the middle of the page, as wide as fits; it takes `legend_lines` times `LEGEND_LINE_MM`."""
    width, height = size_mm(figure)
    labels = [str(handle.get_label()) for handle in handles]
    figure.legend(
        handles=list(handles),
        loc="upper center",
        bbox_to_anchor=(0.5, 1.0 - top_mm / height),
        ncols=_legend_columns(labels, width_mm=width),
        borderaxespad=0.0,
    )


def _legend_columns(labels: Sequence[str], *, width_mm: float) -> int:
    """As many as fit side by side: labels fill one column after the other, the first ones with one more."""
    lengths = [len(label) / _CHARACTERS_PER_MM + _HANDLE_MM for label in labels]
    for columns in range(len(labels), 1, -1):
        if sum(max(column) for column in np.array_split(lengths, columns)) <= width_mm:
            return columns
    return 1

"""The printed page: places and sizes in mm from its upper left corner, texts measured in the font they are drawn in.

So panels align, and no layout has to be solved. All functions are called under `style.figure_style`.
"""

from collections.abc import Iterable, Sequence

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

FULL_WIDTH_MM = 180.0
COLUMN_WIDTH_MM = 88.0
PAGE_HEIGHT_MM = 230.0
TITLE_MM = 6.0
LINE_MM = 3.1  # of text of 7 pt
LEGEND_LINE_MM = 3.7

_TITLE_PT = 8.0
_MM_PER_INCH = 25.4
_MM_PER_PT = _MM_PER_INCH / 72.0
_HINTING = 1.03  # letters on a grid of pixels are a little wider than their outlines
_HANDLE_MM = 9.0  # of a legend, with the space around it


def new_figure(width_mm: float, height_mm: float, *, title: str = "") -> Figure:
    """An empty page; a title, in bold, takes the first `TITLE_MM`."""
    figure = Figure(figsize=(width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH))
    FigureCanvasAgg(figure)
    if title:
        add_text(figure, (1.0, 1.0), title, va="top", size_pt=_TITLE_PT, weight="bold")
    return figure


def add_axes(figure: Figure, box_mm: tuple[float, float, float, float]) -> Axes:
    """Axes in a box (left, top, width, height); tick labels and names are outside of it."""
    width, height = size_mm(figure)
    left, top, box_width, box_height = box_mm
    return figure.add_axes((left / width, 1.0 - (top + box_height) / height, box_width / width, box_height / height))


def add_text(
    figure: Figure,
    position_mm: tuple[float, float],
    text: str,
    *,
    ha: str = "left",
    va: str = "baseline",
    rotation: float = 0.0,
    size_pt: float | None = None,
    weight: str = "normal",
) -> Text:
    """Text at (x, y), by default of the style's size; several lines are centred on each other as `ha` says."""
    width, height = size_mm(figure)
    return figure.text(
        position_mm[0] / width,
        1.0 - position_mm[1] / height,
        text,
        ha=ha,
        va=va,
        rotation=rotation,
        multialignment="center" if rotation else ha,
        size=size_pt,
        weight=weight,
        linespacing=1.15,
    )


def add_letter(figure: Figure, position_mm: tuple[float, float], index: int) -> None:
    """The bold letter of a panel, a for index 0, with its upper left corner at a position."""
    add_text(figure, position_mm, chr(ord("a") + index), va="top", size_pt=_TITLE_PT, weight="bold")


def size_mm(figure: Figure) -> tuple[float, float]:
    """Width and height of a page."""
    width, height = figure.get_size_inches()
    return float(width) * _MM_PER_INCH, float(height) * _MM_PER_INCH


def text_width_mm(text: str) -> float:
    """How wide a line of text of the style's size is, in its font."""
    ismath = "$" in text
    points, _, _ = text_to_path.get_text_width_height_descent(text, _font(), ismath)
    return _HINTING * _MM_PER_PT * points


def _font() -> FontProperties:
    settings = matplotlib.rcParams
    return FontProperties(family=settings["font.family"], size=settings["font.size"])


def wrap(text: str, *, width_mm: float) -> list[str]:
    """Lines of text that fit into a width, as long as no word is longer; line breaks and no-break spaces stay."""
    lines = []
    for paragraph in text.split("\n"):
        lines.append("")
        for word in paragraph.split(" "):
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and text_width_mm(longer) > width_mm:
                lines.append(word)
            else:
                lines[-1] = longer
    return lines


def legend_height_mm(labels: Iterable[str], *, width_mm: float) -> float:
    """What a legend takes in a width."""
    labels = list(labels)
    return LEGEND_LINE_MM * -(-len(labels) // _legend_columns(labels, width_mm=width_mm))


def add_legend(figure: Figure, handles: Sequence[Artist], *, top_mm: float) -> None:
    """A legend in the middle of the page, as wide as fits; it takes `legend_height_mm`."""
    width, height = size_mm(figure)
    figure.legend(
        handles=list(handles),
        loc="upper center",
        bbox_to_anchor=(0.5, 1.0 - top_mm / height),
        ncols=_legend_columns([str(handle.get_label()) for handle in handles], width_mm=width),
        borderaxespad=0.0,
    )


def _legend_columns(labels: Sequence[str], *, width_mm: float) -> int:
    """As many as fit side by side: labels fill one column after the other, the first ones with one more."""
    lengths = [text_width_mm(label) + _HANDLE_MM for label in labels]
    for columns in range(len(labels), 1, -1):
        if sum(max(column) for column in np.array_split(lengths, columns)) <= width_mm:
            return columns
    return 1

"""The worst images of an evaluation: what was made, what it should be, where it is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from oidn_jax.evaluation.figures import layout
from oidn_jax.evaluation.figures.style import (
    draw_image,
    finite_or,
    grey_limits,
    hide_ticks,
    method_label,
    publication_style,
    save_figure,
    score_label,
    specimen_label,
)


@dataclass(frozen=True)
class WorstCase:
    """One image that did badly.

    Attributes:
        method: its name.
        score: name of the score by which it was chosen.
        value: of that score.
        specimen: its name.
        level: fluorescence level.
        scene: number among the held-out scenes, from 0.
        image: (h, w), brought to the scale of the target.
        target: (h, w).
        pixel_size_nm: of both.
    """

    method: str
    score: str
    value: float
    specimen: str
    level: str
    scene: int
    image: np.ndarray
    target: np.ndarray
    pixel_size_nm: float


_TEXT_MM, _GAP_MM, _BESIDE_MM, _HEADING_MM = 40.0, 1.0, 13.0, 4.5
_LARGEST_MM, _SMALLEST_MM, _BAR_MM = 41.0, 18.0, 2.0


def save_worst_cases(path: Path, cases: Sequence[WorstCase]) -> list[Path]:
    """A row per case: what it is and how bad, the image, the target, the absolute error.

    Image and target have one grey scale, that of the target; errors reach from 0 to their 99.9th percentile.

    Args:
        path: of the files, without suffix.
        cases: in the order they are shown.

    Returns:
        The files, `[path.png, path.pdf]`.
    """
    with publication_style():
        fitting = (layout.PAGE_HEIGHT_MM - _HEADING_MM) / max(len(cases), 1) - 2.0 * _GAP_MM
        cell = min(max(fitting, _SMALLEST_MM), _LARGEST_MM)
        pitch = cell + 2.0 * _GAP_MM
        lefts = [_TEXT_MM + i * (cell + _GAP_MM) for i in range(3)]
        figure = layout.new_figure(lefts[-1] + cell + _BESIDE_MM, _HEADING_MM + len(cases) * pitch)
        for left, name in zip(lefts, ("Image", method_label("target"), "Absolute error"), strict=True):
            layout.add_text(figure, (left + cell / 2.0, 1.0), name, ha="center", va="top")
        for index, case in enumerate(cases):
            top = _HEADING_MM + index * pitch
            if len(cases) > 1:
                layout.add_letter(figure, (1.0, top + 0.3), index)
            layout.add_text(figure, (5.0, top + 0.5), _words(case), va="top", linespacing=1.4)
            _draw_case(figure, case, [(left, top, cell, cell) for left in lefts])
        return save_figure(figure, path)


def _words(case: WorstCase) -> str:
    label = score_label(case.score)
    name, unit = label.removesuffix(")").rsplit(" (", 1) if label.endswith(")") else (label, "")
    value = finite_or(case.value, "{:.4g}".format, otherwise=str(case.value))
    place = f"{specimen_label(case.specimen)}\n{case.level} fluorescence, scene {case.scene}"
    return f"{method_label(case.method)}\n{name} {value} {unit}".rstrip() + f"\n{place}"


def _draw_case(figure: Figure, case: WorstCase, boxes: Sequence[tuple[float, float, float, float]]) -> None:
    limits = grey_limits(case.target)
    for number, (image, box) in enumerate(zip((case.image, case.target), boxes, strict=False)):
        axis = layout.add_axes(figure, box)
        draw_image(axis, image, pixel_size_nm=case.pixel_size_nm, scale_bar=number == 0, limits=limits)
    error = np.abs(case.image.astype(np.float64) - case.target)
    highest = grey_limits(error)[1] or 1.0
    axis = layout.add_axes(figure, boxes[2])
    drawn = axis.imshow(error, cmap="inferno", vmin=0.0, vmax=highest)
    hide_ticks(axis)
    left, top, cell, _ = boxes[2]
    place = layout.add_axes(figure, (left + cell + _GAP_MM, top, _BAR_MM, cell))
    extend = "max" if np.nan_to_num(error).max(initial=0.0) > highest else "neither"
    bar = figure.colorbar(drawn, cax=place, extend=extend)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue] -- the stub calls the spine a function

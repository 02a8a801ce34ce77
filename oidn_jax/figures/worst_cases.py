"""The worst images: what a method made, what it should have made, and where they differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oidn_jax.figures import layout
from oidn_jax.figures.style import (
    draw_image,
    grey_limits,
    hide_ticks,
    method_label,
    publication_style,
    save_figure,
    score_label,
    specimen_label,
)

_GAP_MM, _TOP_MM, _TEXT_MM, _BAR_MM, _BESIDE_MM = 1.5, 5.0, 34.0, 2.0, 14.0
_LARGEST_MM, _SMALLEST_MM = 43.0, 20.0


@dataclass(frozen=True)
class WorstCase:
    """One image that is worse than all others of its method.

    Attributes:
        method: its name.
        score: by which it is the worst.
        value: of the score.
        specimen: its name.
        level: fluorescence level.
        scene: its number.
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


def save_worst_cases(path: Path, cases: Sequence[WorstCase]) -> list[Path]:
    """A row for each case: image, ground truth, absolute difference; the first two in the grey scale of the truth.

    Args:
        path: of the files, without suffix.
        cases: in the order of the rows; without any the figure says so.

    Returns:
        The files, `[path.png, path.pdf]`.
    """
    with publication_style():
        fitting = (layout.PAGE_HEIGHT_MM - _TOP_MM) / max(len(cases), 1) - _GAP_MM
        cell = min(max(fitting, _SMALLEST_MM), _LARGEST_MM)  # rows of many cases still fit on a page
        pitch = cell + _GAP_MM
        width = _TEXT_MM + 3.0 * pitch + _BESIDE_MM - _GAP_MM
        figure = layout.new_figure(width, _TOP_MM + max(len(cases), 0.3) * pitch)
        if not cases:
            layout.add_text(figure, (2.0, _TOP_MM), "No image has a value of this score.", va="top")
        lefts = [_TEXT_MM + i * pitch for i in range(3)]
        for left, title in zip(lefts, ("Image", "Ground truth", "Absolute difference"), strict=True):
            if cases:
                layout.add_text(figure, (left + cell / 2.0, _TOP_MM - 1.0), title, ha="center")
        errors = [np.abs(case.image - case.target) for case in cases]
        highest = max((grey_limits(error)[1] for error in errors), default=1.0) or 1.0
        for row, (case, error) in enumerate(zip(cases, errors, strict=True)):
            top = _TOP_MM + row * pitch
            specimen = f"{specimen_label(case.specimen)}, {case.level},\nscene {case.scene}"
            text = f"{method_label(case.method)}\n{specimen}\n\n{score_label(case.score)}\n{case.value:.3g}"
            layout.add_text(figure, (5.0 if len(cases) > 1 else 1.0, top + 0.5), text, va="top", linespacing=1.3)
            if len(cases) > 1:
                layout.add_letter(figure, (1.0, top + 0.3), row)
            limits = grey_limits(case.target)
            for left, image in zip(lefts, (case.image, case.target), strict=False):
                axis = layout.add_axes(figure, (left, top, cell, cell))
                draw_image(axis, image, pixel_size_nm=case.pixel_size_nm, scale_bar=left == lefts[0], limits=limits)
            axis = layout.add_axes(figure, (lefts[2], top, cell, cell))
            drawn = axis.imshow(error, cmap="inferno", vmin=0.0, vmax=highest)
            hide_ticks(axis)
            bar = layout.add_axes(figure, (lefts[2] + cell + 1.0, top, _BAR_MM, cell))
            figure.colorbar(drawn, cax=bar, extend="max").outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        return save_figure(figure, path)

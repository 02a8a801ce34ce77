"""The worst images: what a method made, what it should have made, and where they differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oidn_jax.figures import layout
from oidn_jax.figures.images import draw_image, stretch
from oidn_jax.figures.style import figure_style, save_print

_GAP_MM, _TOP_MM, _TEXT_MM, _BAR_MM, _BESIDE_MM, _RIM_MM = 1.5, 5.0, 34.0, 2.0, 14.0, 1.8
_LARGEST_MM, _SMALLEST_MM = 43.0, 20.0


@dataclass(frozen=True)
class WorstCase:
    """One image that is worse than all others of its method.

    Attributes:
        method: how it is called.
        place: what the image shows, as "F-actin, low, scene 3".
        score: how the score by which it is the worst is called, with its unit.
        value: of the score.
        image: (h, w), brought to the scale of the target.
        target: (h, w).
        pixel_size_nm: of both.
    """

    method: str
    place: str
    score: str
    value: float
    image: np.ndarray
    target: np.ndarray
    pixel_size_nm: float


def save_worst_cases(path: Path, cases: Sequence[WorstCase]) -> list[Path]:
    """A row for each case: image, ground truth, absolute difference; the first two in the contrast of the truth.

    Args:
        path: of the files, without suffix.
        cases: in the order of the rows; without any the figure says so.

    Returns:
        The files, `[path.png, path.pdf]`.
    """
    with figure_style():
        fitting = (layout.PAGE_HEIGHT_MM - _TOP_MM - _RIM_MM) / max(len(cases), 1) - _GAP_MM
        cell = min(max(fitting, _SMALLEST_MM), _LARGEST_MM)  # rows of many cases still fit on a page
        pitch = cell + _GAP_MM
        width = _TEXT_MM + 3.0 * pitch + _BESIDE_MM - _GAP_MM
        figure = layout.new_figure(width, _TOP_MM + max(len(cases), 0.3) * pitch - _GAP_MM + _RIM_MM)
        if not cases:
            layout.add_text(figure, (2.0, _TOP_MM), "No image has a value of this score.", va="top")
        lefts = [_TEXT_MM + i * pitch for i in range(3)]
        for left, title in zip(lefts, ("Image", "Ground truth", "Absolute difference"), strict=True):
            if cases:
                layout.add_text(figure, (left + cell / 2.0, _TOP_MM - 1.0), title, ha="center")
        errors = [np.abs(case.image - case.target) for case in cases]
        highest = max((stretch(error)[1] for error in errors), default=1.0) or 1.0
        for row, (case, error) in enumerate(zip(cases, errors, strict=True)):
            top, text_left = _TOP_MM + row * pitch, 5.0 if len(cases) > 1 else 1.0
            # The lowest rows of a full page have room for five lines, not for a gap between them.
            gap = "\n\n" if cell > 1.5 * _SMALLEST_MM else "\n"
            text = f"{case.method}\n{case.place}{gap}{case.score}\n{case.value:.3g}"
            lines = layout.wrap(text, width_mm=_TEXT_MM - text_left - 1.0)
            layout.add_text(figure, (text_left, top + 0.5), "\n".join(lines), va="top")
            if len(cases) > 1:
                layout.add_letter(figure, (1.0, top + 0.3), row)
            limits = stretch(case.target)
            axis = layout.add_axes(figure, (lefts[0], top, cell, cell))
            draw_image(axis, case.image, pixel_size_nm=case.pixel_size_nm, limits=limits)
            draw_image(layout.add_axes(figure, (lefts[1], top, cell, cell)), case.target, limits=limits)
            axis = layout.add_axes(figure, (lefts[2], top, cell, cell))
            drawn = draw_image(axis, error, limits=(0.0, highest), colours="inferno")
            bar = layout.add_axes(figure, (lefts[2] + cell + 1.0, top, _BAR_MM, cell))
            figure.colorbar(drawn, cax=bar, extend="max").outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        return save_print(figure, path)

"""Figures caught before they become files, and the fonts they are drawn with."""

import os
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.image import AxesImage
from matplotlib.text import Text
from matplotlib.transforms import Bbox

BUNDLED = [font for font in fontManager.ttflist if Path(font.fname).is_relative_to(matplotlib.get_data_path())]
ARIAL_LIKE = {"Arial", "Liberation Sans"}

# A machine that has no fonts but matplotlib's own.
if os.environ.get("OIDN_TEST_FONTS") == "bundled":
    fontManager.ttflist = BUNDLED


@pytest.fixture(params=["DejaVu Sans alone", "like Arial"])
def fonts(request, monkeypatch):
    """Both situations a reader's machine may be in."""
    if request.param == "DejaVu Sans alone":
        monkeypatch.setattr(fontManager, "ttflist", BUNDLED)
    elif ARIAL_LIKE.isdisjoint(font.name for font in fontManager.ttflist):
        pytest.skip("no font like Arial is installed (Debian: fonts-liberation)")
    return request.param


@dataclass(frozen=True)
class Drawn:
    """A figure that was drawn, its texts with their places, and the name and resolution of its first file."""

    figure: Figure
    texts: list[tuple[str, Bbox]]
    file: str
    dpi: float

    @property
    def words(self) -> list[str]:
        """Its texts, each on one line however it was wrapped."""
        return [" ".join(text.split()) for text, _ in self.texts]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved: laid out as they would be, but not turned into pixels, which is what takes time."""
    figures, draw = [], Text.draw

    def savefig(figure, file, *, dpi, **options):
        Path(file).touch()
        if any(figure is earlier.figure for earlier in figures):
            return
        shown = []
        with monkeypatch.context() as patch:
            patch.setattr(AxesImage, "draw", lambda image, renderer: None)
            patch.setattr(Text, "draw", lambda text, *given: (shown.append(text), draw(text, *given))[1])
            figure.set_dpi(dpi)
            figure.draw_without_rendering()
        texts = [
            (text.get_text(), text.get_window_extent()) for text in shown if text.get_text() and text.get_visible()
        ]
        figures.append(Drawn(figure, texts, Path(file).name.split(".")[1], dpi))

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures

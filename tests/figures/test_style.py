"""Files: whole, the same each time, text as text; the style leaves no trace; a colour for every label."""

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from PIL import Image

from oidn_jax.errors import InputError
from oidn_jax.figures import layout
from oidn_jax.figures.panels import save_panels
from oidn_jax.figures.style import GREY, PALETTE, figure_style, palette, save
from tests.figures.examples import image_row


def test_files_of_a_figure_are_the_same_each_time_and_carry_their_fonts(tmp_path, fonts):
    written = [save_panels(tmp_path / run / "panels", [image_row()], title="low") for run in ("a", "b")]
    for first, second in zip(*written, strict=True):
        assert first.read_bytes() == second.read_bytes()
    png, pdf = written[0]
    assert (png.name, pdf.name) == ("panels.png", "panels.pdf")
    with Image.open(png) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert image.width == pytest.approx(88 / 25.4 * 300, abs=1)
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF")
    assert b"CreationDate" not in content
    assert b"/FontFile2" in content
    assert (b"DejaVuSans" in content) == (fonts == "DejaVu Sans alone")
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == ["panels.pdf", "panels.png"]


def small_figure():
    figure = Figure(figsize=(1, 1))
    figure.add_axes((0.1, 0.1, 0.8, 0.8)).plot([0, 1])
    return figure


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_the_suffix_says_the_format(tmp_path, suffix):
    for run in "ab":
        with figure_style():
            save(small_figure(), tmp_path / run / f"figure.{suffix}")
    first, second = ((tmp_path / run / f"figure.{suffix}").read_bytes() for run in "ab")
    assert first == second
    assert {"png": b"PNG", "pdf": b"%PDF", "svg": b"<svg"}[suffix] in first


def test_no_file_is_replaced_unless_allowed_and_no_half_file_is_left(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="exists already"):
        save(small_figure(), path)

    def full(self, part, **options):
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", full)
        with pytest.raises(InputError, match="No space left"):
            save(small_figure(), path, overwrite=True)
    assert path.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [path]
    save(small_figure(), path, overwrite=True)
    assert b"PNG" in path.read_bytes()
    with pytest.raises(InputError, match=r"`plot` is .*\.gif.*\.png, \.pdf or \.svg"):
        save(small_figure(), tmp_path / "figure.gif")


def test_the_style_leaves_no_trace(fonts):
    before = dict(matplotlib.rcParams)
    with figure_style():
        assert matplotlib.rcParams["pdf.fonttype"] == 42
        assert set(matplotlib.rcParams["font.family"]) <= {font.name for font in fontManager.ttflist}
        assert (matplotlib.rcParams["font.family"] == ["DejaVu Sans"]) == (fonts == "DejaVu Sans alone")
    assert dict(matplotlib.rcParams) == before


def test_every_label_has_a_colour_and_known_ones_keep_theirs():
    known = {"OIDN": PALETTE["vermilion"], "Widefield": GREY}
    colours = palette(["a", "OIDN", "b", "a"], known=known)
    assert len(set(colours.values())) == 3
    assert colours["OIDN"] == PALETTE["vermilion"]
    assert GREY not in colours.values()
    first = palette(["a"])["a"]
    assert palette(["a"], known={"not shown": first})["a"] != first, "the colour of a known label"
    assert set(palette(map(str, range(20)))) == set(map(str, range(20)))


def test_lines_are_as_wide_as_they_may_be_and_lose_no_word(fonts):
    text = "Boxes: quartiles and median; WWWWW MMMMM iiiii lllll " * 8
    with figure_style():
        for width in (30.0, 86.0):
            lines = layout.wrap(text, width_mm=width)
            assert " ".join(lines) == text.strip()
            assert max(map(layout.text_width_mm, lines)) <= width
            # The first word of the next line would not have fitted.
            for line, following in itertools.pairwise(lines):
                assert layout.text_width_mm(f"{line} {following.split()[0]}") > width
        widths = np.array([layout.text_width_mm(text) for text in ("i", "W", "$k_c$", "in 10\N{NO-BREAK SPACE}nm")])
        assert (widths > 0).all()
        assert widths[1] > 2 * widths[0]

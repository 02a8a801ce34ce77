"""The diagnostics page: marks lie on the peaks, bands at their place, numbers and units are right."""

import numpy as np
import pytest

from oidn_jax.figures.diagnostics import numbers_in_words, save_diagnostics, width_at_half_maximum
from tests.figures.examples import VECTORS, diagnostics_page

SIZE = np.array((48, 60))


def panel(page, title):
    """The one panel whose title contains a text."""
    (axes,) = (axes for axes in page.figure.axes if title in axes.get_title())
    return axes


def brightest(axes):
    """Where the largest pixel of a panel's image is drawn, (y, x)."""
    (image,) = axes.images
    values = np.asarray(image.get_array())
    left, right, bottom, top = image.get_extent()
    row, column = np.unravel_index(values.argmax(), values.shape)
    (h, w) = values.shape
    return top + (row + 0.5) / h * (bottom - top), left + (column + 0.5) / w * (right - left)


def marked(axes):
    """Where the marks of a panel are, (marks, 2)."""
    return np.array([(line.get_ydata()[0], line.get_xdata()[0]) for line in axes.lines])


def test_marks_lie_on_the_peaks(tmp_path, drawn, fonts):
    save_diagnostics(tmp_path / "cell.png", diagnostics_page(warnings=["a long warning " * 40, "short"]))
    (page,) = drawn
    vectors = VECTORS * 1000 / 50 / SIZE
    signed = np.stack([vectors, -vectors], 1).reshape(-1, 2)
    for title in ("spectrum of the raw frames", "spectrum of the result"):
        np.testing.assert_allclose(marked(panel(page, title)), signed, rtol=1e-5)
    # The first of the six brightest pixels.
    np.testing.assert_allclose(brightest(panel(page, "spectrum of the raw frames")), -vectors[0])
    for i, vector in enumerate(vectors):
        axes = panel(page, f"{i + 1}: correlation Z = {20 + i}.0, next 4.0")
        np.testing.assert_allclose(marked(axes), [vector], rtol=1e-5)
        np.testing.assert_allclose(brightest(axes), vector, rtol=1e-5)
        (enlarged,) = axes.child_axes
        np.testing.assert_allclose((np.mean(enlarged.get_ylim()), np.mean(enlarged.get_xlim())), vector, rtol=1e-5)
        np.testing.assert_allclose(panel(page, f"{i + 1}: band +1").patches[1].center, -vector[::-1], rtol=1e-5)
    assert "Warnings" in page.words
    curves = panel(page, "optical transfer").lines[:3]
    assert [line.get_label() for line in curves] == ["raw frames", "along $p_1$", "across"]
    width, height = page.figure.bbox.size
    for text, box in page.texts:
        assert 0 <= box.x0 < box.x1 <= width, text
        assert 0 <= box.y0 < box.y1 <= height, text


def test_a_page_of_another_kind(tmp_path, drawn):
    """Five phases, one orientation, unknown pixel size, a method without transfer function, an upright field."""
    given = diagnostics_page(vectors=np.array([[11, -9]]), size=(60, 40), phases=5, profiles=1, pixel_size_nm=None)
    save_diagnostics(tmp_path / "cell.png", given)
    (page,) = drawn
    np.testing.assert_allclose(brightest(panel(page, "1: correlation")), [11 / 60, -9 / 40], rtol=1e-5)
    assert len(panel(page, "mean of each frame").patches) == 5
    assert "cycles/pixel" in panel(page, "spectrum of the result").get_xlabel()
    assert not any(text.endswith((" nm", "µm")) for text in page.words)
    assert panel(page, "optical transfer").get_title().endswith("the result has none")
    assert len(page.figure.subfigs) == 2


def test_the_numbers_are_in_the_units_of_the_page():
    period = 1 / np.hypot(*(VECTORS / SIZE).T)
    for pixel_size_nm, unit, factor in ((50.0, "nm", 50.0), (None, "pixels", 1.0)):
        words = numbers_in_words(diagnostics_page(pixel_size_nm=pixel_size_nm))
        assert words[f"period ({unit})"] == [f"{factor * n:.4g}" for n in period]
        assert words["p (x, y) (frequency pixels)"] == [f"{x:.2f}, {y:.2f}" for y, x in VECTORS]
        assert words["phases (degrees)"] == ["0, 120, 240"] * 3


def test_the_width_of_a_symmetric_profile():
    position = np.linspace(0, 8, 321)
    assert width_at_half_maximum(position, np.exp(-0.5 * position**2)) == pytest.approx(2.3548, rel=1e-3)
    assert np.isnan(width_at_half_maximum(position, np.ones(321)))


def test_three_beams_have_a_row_for_each_harmonic(tmp_path, drawn):
    vectors = np.array([[6, -2], [12, -4], [-3, 7], [-6, 14], [5, 6], [10, 12]])
    given = diagnostics_page(vectors=vectors, phases=5, harmonics=(1, 2), warnings=["one"])
    save_diagnostics(tmp_path / "cell.png", given)
    (page,) = drawn
    for i, vector in enumerate(vectors * 1000 / 50 / SIZE):
        name = f"{i // 2 + 1}, harmonic {i % 2 + 1}"
        axes = panel(page, f"{name}:\ncorrelation Z = {20 + i}.0")
        np.testing.assert_allclose(marked(axes), [vector], rtol=1e-5)
        moved = panel(page, f"{name}:\nband +{i % 2 + 1}, at")
        np.testing.assert_allclose(moved.patches[1].center, -vector[::-1], rtol=1e-5)
    reach = 0.32 + np.hypot(*(vectors[1::2] / SIZE).T).mean()
    dashed = [patch.radius for patch in panel(page, "spectrum of the result").patches if patch.get_linestyle() == "--"]
    np.testing.assert_allclose(dashed, [20 * reach], rtol=1e-5)
    assert len(numbers_in_words(given)["condition of the mixing"]) == 6
    assert len(panel(page, "mean of each frame").patches) == 15
    width, height = page.figure.bbox.size
    for text, box in page.texts:
        assert 0 <= box.x0 < box.x1 <= width, text
        assert 0 <= box.y0 < box.y1 <= height, text

"""Panels: every picture and its name is drawn, and nothing depends on a display."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from oidn_jax.figures import save_panel


def picture(seed, side=64):
    return np.random.default_rng(seed).gamma(1.0, size=(side, side)).astype(np.float32)


def row(seed=0, side=64):
    return {"widefield": picture(seed, side), "prediction": picture(seed + 1, side), "learned PSF": picture(9, 8)}


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, whose parts can be looked at."""
    figures, save = [], Figure.savefig

    def savefig(self, *args, **options):
        figures.append(self)
        return save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures


@pytest.mark.parametrize("rows", [1, 2])
def test_the_size_of_a_panel_and_that_it_shows_something(tmp_path, rows):
    path = tmp_path / "new" / "folder" / "panel.png"
    save_panel(path, [row(seed) for seed in range(rows)], pixel_size_nm=31.3, title="low fluorescence")
    image = imread(path)[..., :3]
    height, width = image.shape[:2]
    assert width == pytest.approx(3 * 3.2 * 110, abs=2)
    assert height == pytest.approx((3.3 * rows + 0.4) * 110, abs=2)
    for column in np.array_split(image, 3, axis=1):
        assert column.std() > 0.1
        for part in np.array_split(column, rows, axis=0):
            assert part.std() > 0.1
    assert [file.name for file in path.parent.iterdir()] == ["panel.png"]


def test_pictures_names_units_and_title(tmp_path, drawn):
    given = row()
    save_panel(tmp_path / "panel.png", [given], pixel_size_nm=30.0, title="low fluorescence")
    (figure,) = drawn
    pictures = [axis for axis in figure.axes if axis.get_title()]
    assert [axis.get_title() for axis in pictures] == ["widefield", "prediction", "learned PSF, 240 nm wide"]
    for axis, expected in zip(pictures, given.values(), strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), expected)
    assert figure.get_suptitle() == "low fluorescence"
    assert [text.get_text() for text in pictures[0].texts] == ["0.2 µm"]
    assert len(pictures[2].texts) == 0


def test_one_outlier_does_not_darken_an_image(tmp_path, drawn):
    bright = picture(0)
    bright[3, 3] = 1e6
    save_panel(tmp_path / "panel.png", [{"prediction": bright}], pixel_size_nm=30.0)
    (image,) = drawn[0].axes[0].images
    low, high = image.get_clim()
    assert low == bright.min()
    assert high < 100


@pytest.mark.parametrize(
    ("width", "pixel_size_nm", "length_um"),
    [(64, 31.25, 0.5), (256, 31.3, 2), (1024, 31.3, 5), (1024, 40.0, 10), (32, 30.0, 0.2), (64, 5000.0, 50)],
)
def test_the_scale_bar_is_true_and_at_most_a_quarter_of_the_image(tmp_path, drawn, width, pixel_size_nm, length_um):
    save_panel(tmp_path / "panel.png", [{"target": picture(0, width)}], pixel_size_nm=pixel_size_nm)
    axis: Axes = drawn[0].axes[0]
    (bar,) = [patch for patch in axis.patches if isinstance(patch, Rectangle)]
    assert bar.get_width() * pixel_size_nm / 1000 == pytest.approx(length_um)
    assert axis.texts[0].get_text() == f"{length_um:g} µm"
    assert width / 10 <= bar.get_width() <= width / 4
    assert bar.get_x() + bar.get_width() < width
    assert bar.get_y() + bar.get_height() < width


def test_rows_of_other_pictures_are_refused(tmp_path):
    other = {"widefield": picture(0)}
    with pytest.raises(ValueError, match="shorter"):
        save_panel(tmp_path / "panel.png", [row(), other], pixel_size_nm=30.0)
    assert list(tmp_path.iterdir()) == []


def test_a_constant_picture_is_drawn(tmp_path):
    """What an untrained network may give: no warning, no division by zero."""
    save_panel(tmp_path / "panel.png", [{"prediction": np.zeros((16, 16), np.float32)}], pixel_size_nm=30.0)
    assert imread(tmp_path / "panel.png").std() > 0

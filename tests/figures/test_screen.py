"""Pages for the screen: the panel of a training run, the preview, trust."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread

from oidn_jax.errors import InputError
from oidn_jax.figures.images import stretch
from oidn_jax.figures.preview import save_preview
from oidn_jax.figures.training_panel import TrainingRow, save_training_panel
from oidn_jax.figures.trust import save_trust
from tests.figures.examples import gaussian_psf, picture, trust_page


def row(seed=0, side=64):
    return TrainingRow({"widefield": picture(seed, side), "prediction": picture(seed + 1, side)}, gaussian_psf(2.0))


def test_a_training_panel_is_replaced_and_shows_something_everywhere(tmp_path):
    path = tmp_path / "new" / "folder" / "panel.png"
    for title in ("low", "high"):
        save_training_panel(path, [row(0), row(1)], pixel_size_nm=31.3, title=title)
    image = imread(path)[..., :3]
    for column in np.array_split(image, 3, axis=1):
        for part in np.array_split(column, 2, axis=0):
            assert part.std() > 0.1
    assert [file.name for file in path.parent.iterdir()] == ["panel.png"]


def test_pictures_names_units_and_title(tmp_path, drawn):
    given = row()
    save_training_panel(tmp_path / "panel.png", [given], pixel_size_nm=30.0, title="low fluorescence")
    save_training_panel(tmp_path / "panel.png", [TrainingRow(given.images)], pixel_size_nm=30.0)
    page, without_psf = drawn
    pictures = [axes for axes in page.figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in pictures] == ["widefield", "prediction", "learned PSF, 240 nm wide"]
    for axes, expected in zip(pictures, [*given.images.values(), given.psf], strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), expected)
    assert page.figure.get_suptitle() == "low fluorescence"
    assert page.words.count("200 nm") == 2, "a scale bar for each image, none for the PSF"
    assert [axes.get_title() for axes in without_psf.figure.axes] == ["widefield", "prediction"]


def test_rows_of_other_pictures_are_refused(tmp_path):
    other = TrainingRow({"widefield": picture(0)})
    with pytest.raises(ValueError, match="shorter"):
        save_training_panel(tmp_path / "panel.png", [row(), other], pixel_size_nm=30.0)
    assert list(tmp_path.iterdir()) == []


def test_a_constant_picture_is_drawn(tmp_path):
    """What an untrained network may give: no warning, no division by zero."""
    constant = TrainingRow({"prediction": np.zeros((16, 16), np.float32)}, np.zeros((4, 4)))
    save_training_panel(tmp_path / "panel.png", [constant], pixel_size_nm=30.0)
    assert imread(tmp_path / "panel.png").std() > 0


def test_a_preview_shows_both_images_of_one_field(tmp_path, drawn):
    widefield, sr_image = picture(0, 48)[:40], picture(1, 96)[:80]
    path = tmp_path / "cell_sr.png"
    assert save_preview(path, widefield, sr_image, pixel_size_nm=30.0) == path
    save_preview(path, widefield, sr_image, pixel_size_nm=None, overwrite=True)
    known, unknown = drawn
    left, right = known.figure.axes
    np.testing.assert_array_equal(left.images[0].get_array(), widefield)
    np.testing.assert_array_equal(right.images[0].get_array(), sr_image)
    assert left.images[0].get_clim() == stretch(widefield)
    assert known.words == ["widefield", "super-resolution", "500 nm"]
    assert unknown.words == ["widefield", "super-resolution (pixel size unknown)"]
    with pytest.raises(InputError, match="exists already"):
        save_preview(path, widefield, sr_image, pixel_size_nm=None)


@pytest.mark.parametrize("shape", [(16, 16), (16, 400), (400, 16)])
def test_a_preview_of_any_shape_fits_a_screen(tmp_path, drawn, shape, fonts):
    image = np.random.default_rng(0).random(shape)
    save_preview(tmp_path / "cell_sr.png", image, np.kron(image, np.ones((2, 2))), pixel_size_nm=None)
    width, height = drawn[0].figure.get_size_inches() * drawn[0].dpi
    assert 200 <= min(width, height) <= max(width, height) <= 1300
    (first, second) = [box for _, box in drawn[0].texts]
    assert first.x1 < second.x0
    assert first.x0 >= 0
    assert second.x1 <= width


@pytest.mark.parametrize("columns", [3, 4])
def test_a_long_verdict_stays_on_the_trust_page(tmp_path, drawn, columns):
    words = "contradicted area 0.04 %, detail confirmed down to periods of 134 nm, ghosts of the pattern, " * 4
    known = {} if columns == 3 else {"error": np.ones((64, 96)), "additions": np.zeros((64, 96))}
    save_trust(tmp_path / "cell_trust.png", replace(trust_page(), title=words, **known))
    (figure,) = drawn
    box, page = figure.figure._suptitle.get_window_extent(), figure.figure.bbox
    assert page.x0 <= box.x0 < box.x1 <= page.x1
    assert box.y1 <= page.y1


def test_trust_marks_what_contradicts_the_image(tmp_path, drawn):
    page = trust_page()
    save_trust(tmp_path / "cell_trust.png", page)
    axes = drawn[0].figure.axes
    image, marked = axes[0].images[0], axes[1].images[0].get_array()
    coloured = np.argwhere(np.ptp(marked, axis=-1) > 1e-6)
    np.testing.assert_array_equal(coloured, [[10, 20], [30, 40]])
    assert marked[10, 20, 2] > marked[10, 20, 0], "missing light is blue"
    assert marked[30, 40, 0] > marked[30, 40, 2], "light that is not in the data is orange"
    np.testing.assert_array_equal(image.get_array(), page.image)
    assert {"500 nm", "reduced chi-square 0.987", page.title} <= set(drawn[0].words)
    (histogram,) = [a for a in axes if a.get_xlabel() == "residual / expected noise"]
    density, edges, _ = histogram.patches[0].get_data()
    inside = page.residual[:, 4:-4, 4:-4]  # nothing is said of the border
    np.testing.assert_allclose(density * np.diff(edges) * inside.size, np.histogram(inside, edges)[0], rtol=1e-6)
    save_trust(tmp_path / "without.png", trust_page(pixel_size_nm=None))
    assert "500 nm" not in drawn[1].words

"""The preview: a PNG of both images with a scale bar, for images of any shape."""

import numpy as np
import pytest
from matplotlib import figure
from matplotlib.image import imread

from oidn_jax.data import InputError
from oidn_jax.reconstruction import preview, write_preview
from tests.reconstruction.fakes import acquisition, upsampled


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A function that writes a preview and gives the figure that was drawn, and its pixels."""
    figures = []
    save = figure.Figure.savefig
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *a, **o: (figures.append(self), save(self, *a, **o))[1])

    def draw(shape=(40, 48), *, pixel_size_nm=60.0, name="cell_sr.png"):
        frames = acquisition(*shape)[0].transpose(1, 2, 0)
        sr_image = upsampled(frames.mean(-1).astype(np.float32))
        path = write_preview(tmp_path / name, frames, sr_image, pixel_size_nm=pixel_size_nm)
        return figures[-1], imread(path), frames

    return draw


def test_what_is_drawn(drawn):
    drawing, pixels, frames = drawn()
    widefield, sr = drawing.axes
    assert (widefield.get_title(), sr.get_title()) == ("widefield", "super-resolution")
    np.testing.assert_array_equal(widefield.images[0].get_array(), frames.mean(-1))
    assert sr.images[0].get_array().shape == (80, 96)
    low, high = np.percentile(frames.mean(-1), [0.1, 99.9])
    assert widefield.images[0].get_clim() == (low, high)
    assert [text.get_text() for text in sr.texts] == ["0.5 µm"]
    assert pixels[..., :3].std() > 0.1
    bar = sr.patches[0]
    assert bar.get_width() == pytest.approx(500 / 60)
    assert 0 < bar.get_x() < bar.get_x() + bar.get_width() < 48


def test_without_a_pixel_size_there_is_no_scale_bar(drawn):
    drawing, _, _ = drawn(pixel_size_nm=None)
    assert drawing.axes[1].get_title() == "super-resolution (pixel size unknown)"
    assert not drawing.axes[1].patches
    assert not drawing.axes[1].texts


@pytest.mark.parametrize("shape", [(16, 16), (16, 400), (400, 16)])
def test_any_shape(drawn, shape):
    _, pixels, _ = drawn(shape)
    assert 200 <= min(pixels.shape[:2]) <= max(pixels.shape[:2]) <= 1300


@pytest.mark.parametrize(
    ("width_um", "length_um"),
    [(4.0, 1), (7.9, 1), (8.0, 2), (19.9, 2), (20.0, 5), (64.0, 10), (2.8, 0.5), (0.05, 0.01)],
)
def test_scale_bars_are_round_numbers(width_um, length_um):
    assert preview.scale_bar_um(width_um) == pytest.approx(length_um)


def test_an_existing_preview_is_kept(tmp_path, drawn):
    (tmp_path / "cell_sr.png").write_bytes(b"mine")
    with pytest.raises(InputError, match="exists already"):
        drawn()
    assert (tmp_path / "cell_sr.png").read_bytes() == b"mine"


def test_a_folder_that_cannot_be_written(drawn):
    with pytest.raises(InputError, match=r"cell_sr.png cannot be written \(.+\); choose another output folder"):
        drawn(name="missing/cell_sr.png")

"""The diagnostics page: what is computed arrives where it is drawn."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread

from oidn_jax.errors import InputError
from oidn_jax.figures.diagnostics import numbers_in_words
from oidn_jax.reconstruction import diagnostics
from tests.acquisition.known_frames import CUTOFF, OTF, PIXELS, SIZE, acquired


@pytest.fixture(scope="module")
def scene():
    return acquired()


def test_the_page_has_the_numbers_of_the_estimate(tmp_path, monkeypatch, scene):
    frames, _, estimate = scene
    pages, save = [], diagnostics.save_diagnostics

    def keep(path, page, **options):
        pages.append(page)
        return save(path, page, **options)

    monkeypatch.setattr(diagnostics, "save_diagnostics", keep)
    path = tmp_path / "cell.png"
    image = jnp.repeat(jnp.repeat(frames.mean(0), 2, 0), 2, 1)
    diagnostics.write_diagnostics(
        path, frames, image, estimate=estimate, otf=OTF, method="oidn", pixel_size_nm=50.0, warnings=["careful"]
    )
    assert imread(path)[..., :3].std() > 0.1
    assert [entry.name for entry in tmp_path.iterdir()] == ["cell.png"]
    (page,) = pages
    assert (page.method, page.scale, page.cutoff) == ("OIDN", 2, pytest.approx(CUTOFF))
    np.testing.assert_allclose(page.wave_vector * SIZE, PIXELS, rtol=1e-5)
    for score, pixel in zip(page.correlogram, PIXELS, strict=True):
        y, x = np.array(SIZE) // 2 + pixel
        assert score[y, x] == score[y - 1 : y + 2, x - 1 : x + 2].max() > 4
    words = numbers_in_words(page)
    assert words["modulation, corrected / not"] == ["0.80 / 0.50"] * 3
    assert words["confidence Z"] == ["20.0", "21.0", "22.0"]
    assert len(page.psf) == len(page.transfer) == 1
    with pytest.raises(InputError, match="exists already"):
        diagnostics.write_diagnostics(
            path, frames, image, estimate=estimate, otf=OTF, method="oidn", pixel_size_nm=None
        )

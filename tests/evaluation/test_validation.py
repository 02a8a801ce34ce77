"""The evaluation inside the training loop: scenes of its own, mean scores, a panel of pictures."""

import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.evaluation import validation
from oidn_jax.evaluation.scenes import simulate_scenes
from oidn_jax.evaluation.scores import light, score_min_max
from oidn_jax.evaluation.validation import Validation, learned_psf
from oidn_jax.methods import ClassicalMethod, NetworkMethod
from tests.evaluation.tiny import model, settings, simulation, two_scenes


@pytest.fixture
def panels(monkeypatch):
    """The panels that are drawn."""
    drawn = []

    def save(path, rows, **given):
        drawn.append((path, rows, given))

    monkeypatch.setattr(validation, "save_training_panel", save)
    return drawn


def test_validation_is_the_mean_over_levels_and_scenes_of_its_own(tmp_path, panels):
    network = model("oidn")
    figure = tmp_path / "panels" / "step.png"
    scores = Validation(simulation(), settings())(network, figure_path=figure)
    own = simulate_scenes(simulation(), settings(), split="validation")
    assert not np.array_equal(own.target, two_scenes().target)
    method, expected = NetworkMethod(network), []
    for level in own.levels:
        images = [method(acquisition, 0) for acquisition in own.acquisitions(level)]
        lights = np.stack([light(image.pixels, dark=image.dark) for image in images])
        expected.append(score_min_max(jnp.asarray(lights), jnp.asarray(own.target)))
    assert set(scores) == {"ssim", "psnr"}
    for name, value in scores.items():
        assert value == pytest.approx(np.mean([score[name] for score in expected]), rel=1e-6)
    ((path, rows, given),) = panels
    assert path == figure
    assert given == {"pixel_size_nm": 31.3, "title": "medium fluorescence"}
    (row,) = rows
    acquisition = own.acquisitions("medium")[0]
    shown = {
        "widefield": ClassicalMethod("widefield")(acquisition, 0).pixels,
        "OIDN": method(acquisition, 0).pixels,
        "ground truth": own.target[0],
    }
    assert list(row.images) == list(shown)
    for name, image in shown.items():
        np.testing.assert_array_equal(row.images[name], image)
    np.testing.assert_array_equal(row.psf, learned_psf(network, acquisition))
    assert row.psf.sum() == pytest.approx(1, abs=1e-4)


def test_a_network_without_a_psf_is_validated(tmp_path, panels):
    scores = Validation(simulation(), settings(scenes=1))(model("unet"), figure_path=tmp_path / "step.png")
    assert np.isfinite(list(scores.values())).all()
    ((_, (row,), _),) = panels
    assert row.psf is None
    assert list(row.images) == ["widefield", "U-Net", "ground truth"]

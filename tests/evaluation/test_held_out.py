"""Held-out scenes and scores: the same scenes at each level, fair scores, a row for each image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.classical.microscope import Microscope
from oidn_jax.data.errors import InputError
from oidn_jax.evaluation.held_out import (
    Validation,
    score_images,
    score_methods,
    simulate_held_out,
)
from oidn_jax.evaluation.methods import ClassicalMethod, NetworkMethod, panel_rows, widefield_method
from oidn_jax.models.oidn import OIDN
from tests.conftest import make_tiny_config

LEVELS = ["low", "medium", "high"]
SCORES = {f"{kind}_{score}" for kind in ("minmax", "affine") for score in ("psnr", "ssim", "nrmse", "mse")}
NETWORK = OIDN(width=4, groups=1, blocks=1, pixel_size_nm=60.0)


def two_scenes(**fields):
    config = make_tiny_config()
    config.evaluation.update(scenes=2, **fields)
    return config


@pytest.fixture(scope="module")
def scenes():
    return simulate_held_out(two_scenes())


@pytest.fixture(scope="module")
def params():
    return jax.jit(NETWORK.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 9)))["params"]


def perfect(scenes):
    return lambda raw_frames: jnp.asarray(scenes.target[: len(raw_frames), ..., 0])


# ---------------------------------------------------------------------------------------------------------------------
# Scenes
# ---------------------------------------------------------------------------------------------------------------------


def test_scenes_are_camera_counts_from_low_to_high_with_a_normalised_target(scenes):
    assert list(scenes.raw_frames) == LEVELS
    assert scenes.target.shape == (2, 64, 64, 1)
    np.testing.assert_allclose(scenes.target.min((1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(scenes.target.max((1, 2, 3)), 1, atol=1e-6)
    assert scenes.offset == 100.0
    for frames in scenes.raw_frames.values():
        assert isinstance(frames, np.ndarray)
        np.testing.assert_array_equal(frames, np.round(frames))
        assert (frames.mean((1, 2, 3)) > scenes.offset).all()
    assert not np.array_equal(scenes.target[0], scenes.target[1])


def test_scenes_are_the_same_at_every_level_with_less_noise_at_higher_ones(scenes):
    """The frames of each scene are most like the best frames of that same scene, the more so the more light."""
    best = scenes.raw_frames["high"].reshape(2, -1)
    likeness = {}
    for level in LEVELS[:2]:
        frames = scenes.raw_frames[level].reshape(2, -1)
        correlation = np.corrcoef(frames, best)[:2, 2:]
        assert correlation.argmax(1).tolist() == [0, 1]
        likeness[level] = correlation.diagonal()
    assert (likeness["low"] > 0.5).all()
    assert (likeness["medium"] > likeness["low"]).all()


def test_the_scenes_of_a_fluorescence_level_take_its_signal_levels_in_turn(scenes):
    """One number of `fluorescence` serves both scenes, and the name of a signal level changes nothing in a scene."""
    assert scenes.signal_level == {"low": (1, 2), "medium": (5, 6), "high": (9, 10)}
    config = two_scenes()
    config.simulation.fluorescence.update(low=(5,), medium=(6, 7, 8))
    other = simulate_held_out(config)
    assert other.signal_level == {"low": (5, 5), "medium": (6, 7), "high": (9, 10)}
    np.testing.assert_array_equal(other.raw_frames["low"][0], scenes.raw_frames["medium"][0])
    np.testing.assert_array_equal(other.raw_frames["high"], scenes.raw_frames["high"])
    for scene, name in ((1, "low"), (0, "medium"), (1, "medium")):
        assert not np.array_equal(other.raw_frames[name][scene], scenes.raw_frames["medium"][scene])


def test_scenes_depend_on_the_seed_alone(scenes):
    again = simulate_held_out(two_scenes())
    np.testing.assert_array_equal(again.target, scenes.target)
    for level in LEVELS:
        np.testing.assert_array_equal(again.raw_frames[level], scenes.raw_frames[level])
    other = simulate_held_out(two_scenes(seed=1))
    assert not np.array_equal(other.target, scenes.target)


def test_more_scenes_keep_the_first_ones(scenes):
    single = simulate_held_out(make_tiny_config())
    np.testing.assert_allclose(single.target[0], scenes.target[0], atol=1e-5)
    # A photon more or less where rounding decides.
    np.testing.assert_allclose(single.raw_frames["high"][0], scenes.raw_frames["high"][0], atol=3.0)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("evaluation.scenes", 0, r"config\.evaluation has scenes=0, .* at least 1 scene"),
        ("evaluation.size", 15, r"config\.evaluation has .*size=15; it needs .* at least 16 pixels"),
        ("evaluation.panels", 0, r"config\.evaluation has .*panels=0, .* at least 1 in its panels"),
        ("simulation.scale", 1, r"config\.simulation: the extended support reaches"),
    ],
)
def test_settings_that_are_not_legal(field, value, message):
    config = make_tiny_config()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match=message):
        simulate_held_out(config)


# ---------------------------------------------------------------------------------------------------------------------
# Methods and scores
# ---------------------------------------------------------------------------------------------------------------------


def test_widefield_is_the_mean_of_the_frames_on_the_fine_grid(key):
    raw_frames = jax.random.uniform(key, (2, 16, 20, 9))
    image = widefield_method(scale=2)(raw_frames)
    assert image.shape == (2, 32, 40)
    np.testing.assert_allclose(image.mean((1, 2)), raw_frames.mean((1, 2, 3)), rtol=5e-3)
    shuffled = widefield_method(scale=2)(raw_frames[..., ::-1])
    np.testing.assert_allclose(image, shuffled, atol=1e-6)
    constant = widefield_method(scale=3)(jnp.full((1, 16, 16, 9), 0.3))
    np.testing.assert_allclose(constant, jnp.full((1, 48, 48), 0.3), rtol=1e-5)


def test_the_network_method_is_the_network_scene_by_scene_clipped(scenes, params):
    raw_frames = scenes.raw_frames["high"]
    image = NetworkMethod(NETWORK, params, normalisation="joint")(jnp.asarray(raw_frames))
    lowest, highest = (f(raw_frames, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    normalised = (raw_frames - lowest) / (highest - lowest)
    expected = jax.jit(NETWORK.apply)({"params": params}, jnp.asarray(normalised))[0][..., 0]
    assert image.shape == (2, 64, 64)
    np.testing.assert_allclose(image, jnp.clip(expected, 0, 1), atol=1e-5)
    scaled = jax.tree.map(lambda leaf: 20 * leaf, params)
    image = NetworkMethod(NETWORK, scaled, normalisation="joint")(jnp.asarray(raw_frames))
    assert (image.min(), image.max()) == (0, 1)


def test_a_perfect_image_has_perfect_scores(scenes):
    target = jnp.asarray(scenes.target[..., 0])
    scores = score_images(target, target)
    assert set(scores) == SCORES
    for kind in ("minmax", "affine"):
        assert scores[f"{kind}_psnr"].shape == (2,)
        assert (scores[f"{kind}_psnr"] > 100).all()
        np.testing.assert_allclose(scores[f"{kind}_ssim"], 1, atol=1e-5)
        np.testing.assert_allclose(scores[f"{kind}_mse"], 0, atol=1e-10)
        np.testing.assert_allclose(scores[f"{kind}_nrmse"], 0, atol=1e-5)


@pytest.mark.parametrize(("gain", "offset"), [(5.0, 0.0), (0.1, 3.0), (-2.0, 1.0)])
def test_brightness_and_offset_do_not_matter_after_the_affine_match(scenes, gain, offset):
    target = jnp.asarray(scenes.target[..., 0])
    scores = score_images(gain * target + offset, target)
    assert (scores["affine_psnr"] > 90).all()
    np.testing.assert_allclose(scores["affine_ssim"], 1, atol=1e-4)
    if gain > 0:
        assert (scores["minmax_psnr"] > 90).all()
    else:
        assert (scores["minmax_psnr"] < 20).all()


def test_each_image_is_scored_by_itself(scenes):
    target = jnp.asarray(scenes.target[..., 0])
    image = target.at[1].set(target[1][::-1])
    scores = score_images(image, target)
    assert scores["minmax_psnr"][0] > 100
    assert scores["minmax_psnr"][1] < 40


def test_a_row_for_each_level_method_and_scene(scenes):
    methods = {"perfect": perfect(scenes), "widefield": widefield_method(scale=2)}
    rows = score_methods(scenes, methods)
    expected = [(level, method, scene) for level in LEVELS for method in methods for scene in (0, 1)]
    assert [(row["level"], row["method"], row["scene"]) for row in rows] == expected
    for row in rows:
        assert set(row) == {"level", "method", "scene", "signal_level"} | SCORES
        assert row["signal_level"] == scenes.signal_level[row["level"]][row["scene"]]
        assert all(type(row[score]) is float for score in SCORES)
        if row["method"] == "perfect":
            assert row["minmax_ssim"] == pytest.approx(1, abs=1e-5)
    by_hand = score_images(
        methods["widefield"](jnp.asarray(scenes.raw_frames["medium"])), jnp.asarray(scenes.target[..., 0])
    )
    (row,) = [row for row in rows if (row["level"], row["method"], row["scene"]) == ("medium", "widefield", 1)]
    assert row["affine_ssim"] == pytest.approx(float(by_hand["affine_ssim"][1]), abs=1e-6)


# ---------------------------------------------------------------------------------------------------------------------
# In the training loop
# ---------------------------------------------------------------------------------------------------------------------


def test_validation_is_the_mean_over_levels_and_scenes_of_its_own(tmp_path, scenes, params):
    figure = tmp_path / "panels" / "step.png"
    values = Validation(two_scenes())(NETWORK, params, figure_path=figure)
    own = simulate_held_out(two_scenes(), split="validation")
    assert not np.array_equal(own.target, scenes.target)
    rows = score_methods(own, {"oidn": NetworkMethod(NETWORK, params, normalisation="joint")})
    assert set(values) == {"ssim", "psnr"}
    assert values["ssim"] == pytest.approx(np.mean([row["minmax_ssim"] for row in rows]), abs=1e-6)
    assert values["psnr"] == pytest.approx(np.mean([row["minmax_psnr"] for row in rows]), abs=1e-4)
    assert [path.name for path in figure.parent.iterdir()] == ["step.png"]


def test_the_pictures_of_a_panel(scenes, params):
    methods = {"widefield": widefield_method(scale=2), "oidn": NetworkMethod(NETWORK, params, normalisation="joint")}
    rows = panel_rows(scenes.raw_frames["high"], methods, target=scenes.target)
    assert len(rows) == 2
    for i, pictures in enumerate(rows):
        assert list(pictures) == ["widefield", "oidn", "target", "learned PSF"]
        assert [picture.shape for picture in pictures.values()] == [(64, 64)] * 3 + [(8, 8)]
        np.testing.assert_array_equal(pictures["target"], scenes.target[i, ..., 0])
        assert pictures["learned PSF"].sum() == pytest.approx(1, abs=1e-5)
        assert pictures["oidn"].min() >= 0


def test_classical_methods_find_the_illumination_of_each_acquisition_and_beat_widefield():
    """At many photons; how often the stripes were not certain is counted."""
    config = two_scenes(size=64)
    config.simulation.update(na=1.3, otf_damping=1.0, illumination_na=1.1, mean_photons=(2.0, 3000.0))
    config.optics.na = 1.3
    config.simulation.fluorescence = {"low": (1,), "high": (2,)}
    scenes, microscope = simulate_held_out(config), Microscope.from_config(config)
    wiener = ClassicalMethod("wiener", microscope, offset=scenes.offset)
    methods = {"widefield": widefield_method(scale=2), "wiener": wiener}
    mean = {}
    for row in score_methods(scenes, methods):
        mean.setdefault((row["level"], row["method"]), []).append(row["affine_psnr"])
    assert np.mean(mean["high", "wiener"]) > np.mean(mean["high", "widefield"]) + 3.0
    assert wiener.uncertain == 2, "the two scenes of 2 photons"

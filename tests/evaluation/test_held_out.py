"""Held-out scenes and methods: the same scenes at each level, exposed once more where asked; methods; validation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.optics.microscope import Microscope
from oidn_jax.errors import InputError
from oidn_jax.evaluation.held_out import Validation, score_min_max, simulate_held_out
from oidn_jax.evaluation.methods import (
    ClassicalMethod,
    NetworkMethod,
    WidefieldMethod,
    check_fits,
    name_networks,
    panel_rows,
)
from oidn_jax.evaluation.scores import score_likeness
from oidn_jax.models.oidn import OIDN
from oidn_jax.models.trained import TrainedModel
from tests.conftest import make_tiny_config

LEVELS = ["low", "medium", "high"]
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


def test_a_second_exposure_differs_in_its_noise_alone(scenes):
    assert scenes.repeated_frames == {}
    again = simulate_held_out(two_scenes(), repeated=True)
    for level in LEVELS:
        first, second = again.raw_frames[level], again.repeated_frames[level]
        np.testing.assert_array_equal(first, scenes.raw_frames[level])
        assert second.shape == first.shape
        np.testing.assert_array_equal(second, np.round(second))
        # Noise of photons and of the read-out, twice; light above the offset is its own variance.
        light = np.maximum((first + second) / 2 - scenes.offset, 0)
        expected = 2 * (light + 1.6**2 + 1 / 12)
        assert np.mean((first - second) ** 2) == pytest.approx(expected.mean(), rel=0.06)
        assert abs(np.mean(first - second)) < 4 * np.sqrt(expected.mean() / first.size)
    one = simulate_held_out(make_tiny_config(), repeated=True)
    np.testing.assert_allclose(one.repeated_frames["high"][0], again.repeated_frames["high"][0], atol=3.0)
    noise = [again.raw_frames[level] - again.repeated_frames[level] for level in LEVELS]
    assert abs(np.corrcoef(noise[0].ravel(), noise[2].ravel())[0, 1]) < 0.05


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
# Methods
# ---------------------------------------------------------------------------------------------------------------------


def test_widefield_is_the_mean_of_the_frames_on_the_fine_grid(key):
    raw_frames = jax.random.uniform(key, (2, 16, 20, 9))
    image = WidefieldMethod(scale=2)(raw_frames)
    assert image.shape == (2, 32, 40)
    np.testing.assert_allclose(image.mean((1, 2)), raw_frames.mean((1, 2, 3)), rtol=5e-3)
    shuffled = WidefieldMethod(scale=2)(raw_frames[..., ::-1])
    np.testing.assert_allclose(image, shuffled, atol=1e-6)
    constant = WidefieldMethod(scale=3)(jnp.full((1, 16, 16, 9), 0.3))
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


# ---------------------------------------------------------------------------------------------------------------------
# In the training loop
# ---------------------------------------------------------------------------------------------------------------------


def test_validation_is_the_mean_over_levels_and_scenes_of_its_own(tmp_path, scenes, params):
    figure = tmp_path / "panels" / "step.png"
    values = Validation(two_scenes())(NETWORK, params, figure_path=figure)
    own = simulate_held_out(two_scenes(), split="validation")
    assert not np.array_equal(own.target, scenes.target)
    method, target = NetworkMethod(NETWORK, params, normalisation="joint"), jnp.asarray(own.target[..., 0])
    scores = [score_min_max(method(jnp.asarray(frames)), target) for frames in own.raw_frames.values()]
    assert set(values) == {"ssim", "psnr"}
    for name, value in values.items():
        assert value == pytest.approx(np.mean([score[name] for score in scores]), rel=1e-5)
    assert [path.name for path in figure.parent.iterdir()] == ["step.png"]


def test_the_pictures_of_a_panel(scenes, params):
    methods = {"widefield": WidefieldMethod(scale=2), "oidn": NetworkMethod(NETWORK, params, normalisation="joint")}
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
    methods = {"widefield": WidefieldMethod(scale=2), "wiener": wiener}
    psnr = {}
    for level, frames in scenes.raw_frames.items():
        for name, method in methods.items():
            image, target = method(jnp.asarray(frames)), jnp.asarray(scenes.target[..., 0])
            psnr[level, name] = float(score_likeness(image, target)["affine_psnr"].mean())
    assert psnr["high", "wiener"] > psnr["high", "widefield"] + 3.0
    assert wiener.uncertain == 2, "the two scenes of 2 photons"


def test_networks_are_named_by_their_folders():
    assert name_networks(["runs/a"]) == {"oidn": "runs/a"}
    assert name_networks(["runs/a/", "x=runs/b"]) == {"a": "runs/a/", "x": "runs/b"}
    assert name_networks(["runs/lr=0.1", "b=runs/lr=0.1"]) == {"lr=0.1": "runs/lr=0.1", "b": "runs/lr=0.1"}
    wrong = ["wiener=a"], ["target=a"], ["ground Truth=a"], ["[red]x=a"], ["x=", "runs/a"], ["runs/a", "other/a"]
    for workdirs in wrong:
        with pytest.raises(InputError, match="give --workdir=NAME=DIR"):
            name_networks(workdirs)


def test_a_network_of_other_frames_or_pixels_does_not_fit(params):
    config = make_tiny_config()
    config.optics.pixel_size_nm = 60.0
    model = TrainedModel(NETWORK, params, config={}, origin={})
    check_fits(model, config, name="mine")
    for field, value, message in [
        ("optics.pixel_size_nm", 62.6, r"network mine has pixel_size_nm 60\.0, but the configuration has 62\.6"),
        ("frames.phases", 5, "network mine has phases 3, but the configuration has 5"),
    ]:
        other = make_tiny_config()
        other.optics.pixel_size_nm = 60.0
        other.update_from_flattened_dict({field: value})
        with pytest.raises(InputError, match=message):
            check_fits(model, other, name="mine")

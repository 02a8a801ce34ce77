"""Scores of images, and the comparison of methods: fair scores, a row for each image, NaN where there is no value."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.evaluation.comparison import compare
from oidn_jax.evaluation.held_out import simulate_held_out
from oidn_jax.evaluation.methods import WidefieldMethod
from oidn_jax.evaluation.scores import SCORES, format_score, is_better, score_likeness, score_map
from oidn_jax.metrics.decorrelation import decorrelation_analysis
from oidn_jax.metrics.fourier_ring import fourier_ring_correlation
from oidn_jax.metrics.rolling_frc import RollingFrc, RollingFrcOptions, rolling_frc
from oidn_jax.metrics.squirrel import resolution_scaled_error
from tests.conftest import make_tiny_config

LEVELS = ["low", "medium", "high"]
LIKENESS = [name for name in SCORES if name.split("_")[0] in ("minmax", "percentile", "affine", "ssim", "pearson")]
ROLLING = RollingFrcOptions(block=32, skip=8)


def two_scenes(specimen="ccps"):
    config = make_tiny_config()
    config.evaluation.scenes = 2
    config.simulation.specimen = specimen
    return simulate_held_out(config, repeated=True)


@pytest.fixture(scope="module")
def scenes():
    return two_scenes()


@pytest.fixture(scope="module")
def comparison(scenes):
    """Widefield, the target itself, and darkness, as an untrained network may give."""
    methods = {
        "widefield": WidefieldMethod(scale=2),
        "perfect": lambda raw_frames: jnp.asarray(scenes.target[: len(raw_frames), ..., 0]),
        "dark": lambda raw_frames: jnp.zeros((len(raw_frames), 64, 64)),
    }
    told = []
    found = compare({"ccps": scenes}, {"ccps": methods}, rolling=ROLLING, progress=lambda *of: told.append(of))
    assert told[0] == ("ccps low: widefield", 0.0)
    assert told[-1] == ("", 1.0)
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Likeness
# ---------------------------------------------------------------------------------------------------------------------


def test_a_perfect_image_has_perfect_scores(scenes):
    target = jnp.asarray(scenes.target[..., 0])
    scores = score_likeness(target, target)
    assert set(scores) == set(LIKENESS)
    for name, values in scores.items():
        assert values.shape == (2,)
        perfect = {"psnr": np.inf, "mse": 0, "nrmse": 0}.get(name.split("_")[-1], 1)
        if np.isinf(perfect):
            assert (values > 100).all()
        else:
            np.testing.assert_allclose(values, perfect, atol=2e-5)


@pytest.mark.parametrize(("gain", "offset"), [(5.0, 0.0), (0.1, 3.0), (-2.0, 1.0)])
def test_brightness_and_offset_do_not_matter_after_the_affine_match(scenes, gain, offset):
    target = jnp.asarray(scenes.target[..., 0])
    scores = score_likeness(gain * target + offset, target)
    assert (scores["affine_psnr"] > 90).all()
    np.testing.assert_allclose(scores["affine_ssim"], 1, atol=1e-4)
    for kind in ("minmax", "percentile"):
        assert (scores[f"{kind}_psnr"] > 90 if gain > 0 else scores[f"{kind}_psnr"] < 20).all()


def test_each_image_is_scored_by_itself(scenes):
    target = jnp.asarray(scenes.target[..., 0])
    scores = score_likeness(target.at[1].set(target[1][::-1]), target)
    assert scores["minmax_psnr"][0] > 100
    assert scores["minmax_psnr"][1] < 40


def test_the_legacy_score_is_inflated(scenes):
    target = jnp.asarray(scenes.target[..., 0])
    noisy = target + 0.03 * jnp.asarray(np.random.default_rng(0).standard_normal(target.shape), jnp.float32)
    scores = score_likeness(noisy, target)
    assert (scores["ssim_legacy"] > scores["minmax_ssim"] + 0.04).all()


# ---------------------------------------------------------------------------------------------------------------------
# The comparison
# ---------------------------------------------------------------------------------------------------------------------


def test_a_row_for_each_level_method_and_scene(comparison, scenes):
    expected = [("ccps", level, method, i) for level in LEVELS for method in comparison.methods for i in (0, 1)]
    assert [tuple(row[k] for k in ("specimen", "level", "method", "scene")) for row in comparison.rows] == expected
    for row in comparison.rows:
        assert list(row)[5:] == [name for name in SCORES if name in row], "in the order of the tables"
        assert set(row) == {"specimen", "level", "method", "scene", "signal_level", *SCORES}
        assert row["signal_level"] == scenes.signal_level[row["level"]][row["scene"]]
        assert all(type(row[name]) is float for name in SCORES)


def test_scores_are_those_of_the_metrics(comparison, scenes):
    (row,) = [r for r in comparison.rows if (r["level"], r["method"], r["scene"]) == ("high", "widefield", 1)]
    # An interpolated image would have a finer resolution than the microscope.
    image, other = (
        frames["high"][1].mean(-1) - scenes.offset for frames in (scenes.raw_frames, scenes.repeated_frames)
    )
    nm = scenes.pixel_size_nm
    rings, found = fourier_ring_correlation(image, other), decorrelation_analysis(image)
    rolling = rolling_frc(image, other, pixel_size_nm=nm, options=RollingFrcOptions(block=16, skip=4))
    widefield = scenes.raw_frames["high"][1].mean(-1)
    squirrel = resolution_scaled_error(
        jnp.asarray(comparison.images["ccps", "high", "widefield"][1]), jnp.asarray(widefield)
    )
    expected = {
        "da_resolution_nm": found.resolution_nm(pixel_size_nm=nm),
        "da_a0": found.amplitude,
        "frc_1_7_nm": rings.resolution_nm(threshold="1/7", pixel_size_nm=nm),
        "frc_half_bit_nm": rings.resolution_nm(threshold="half-bit", pixel_size_nm=nm),
        "frc_3_sigma_nm": rings.resolution_nm(threshold="3-sigma", pixel_size_nm=nm),
        "rfrc_mean_nm": rolling.mean_nm,
        "rfrc_worst_nm": rolling.worst_nm,
        "rfrc_value": rolling.value,
        "rfrc_missing": rolling.missing,
        "rsp": squirrel.rsp,
        "rse": squirrel.rse / (widefield.max() - widefield.min()),
    }
    if rolling.missing > 0.5:  # a mean over less than half would not be that of the image
        expected |= dict.fromkeys(("rfrc_mean_nm", "rfrc_worst_nm", "rfrc_value"), np.nan)
    for name, value in expected.items():
        np.testing.assert_allclose(row[name], value, rtol=1e-3, err_msg=name)


def test_a_map_speaks_for_the_image_only_where_most_of_it_has_values():
    values = np.full((4, 4), np.nan, np.float32)
    values[:2] = 150.0
    for filled, mean in ((2, 150.0), (1, np.nan)):
        values[filled:] = np.nan
        scores = score_map(RollingFrc(values, np.ones((4, 4), bool)))
        assert scores["rfrc_missing"] == 1 - filled / 4
        np.testing.assert_equal(scores["rfrc_mean_nm"], mean)


def test_a_dark_image_has_no_resolution(comparison):
    for row in comparison.rows:
        if row["method"] == "dark":
            names = (
                "da_resolution_nm",
                "frc_1_7_nm",
                "rfrc_mean_nm",
                "rfrc_worst_nm",
                "rfrc_missing",
                "rsp",
                "pearson",
            )
            assert all(np.isnan(row[name]) for name in names), row
            assert np.isfinite(row["affine_psnr"])
    assert np.isnan(comparison.maps["ccps", "low", "dark"].map_nm).all()


def test_the_same_image_twice_has_no_ring_resolution(comparison):
    for row in comparison.rows:
        if row["method"] == "perfect":
            assert np.isnan(row["frc_1_7_nm"])
            assert row["pearson"] == pytest.approx(1)


def test_targets_have_a_resolution_of_their_own(comparison, scenes):
    assert [(t["specimen"], t["scene"]) for t in comparison.targets] == [("ccps", 0), ("ccps", 1)]
    found = decorrelation_analysis(scenes.target[..., 0]).resolution_nm(pixel_size_nm=scenes.pixel_size_nm / 2)
    np.testing.assert_allclose([t["da_resolution_nm"] for t in comparison.targets], found, rtol=1e-5)


def test_examples_are_the_first_scenes_with_the_target_last(comparison, scenes):
    examples = comparison.examples(most=1)
    assert [(e.specimen, e.level, e.scene) for e in examples] == [("ccps", level, 0) for level in LEVELS]
    assert list(examples[0].images) == ["widefield", "perfect", "dark", "target"]
    assert examples[0].pixel_size_nm == scenes.pixel_size_nm / 2
    (high,) = comparison.examples(most=9, level="high")[1:]
    np.testing.assert_array_equal(high.images["widefield"], comparison.images["ccps", "high", "widefield"][1])
    np.testing.assert_array_equal(high.images["target"], scenes.target[1, ..., 0])


def test_without_second_exposures_there_are_no_rings(scenes):
    single = replace(scenes, repeated_frames={})
    found = compare({"ccps": single}, {"ccps": {"widefield": WidefieldMethod(scale=2)}}, rolling=ROLLING)
    assert found.maps == {}
    assert not any(name.startswith(("frc", "rfrc")) for name in found.rows[0])
    assert "da_resolution_nm" in found.rows[0]


def test_better_is_by_the_direction_and_digits_are_the_score_s():
    assert is_better("affine_psnr", 31.0, 30.0)
    assert is_better("da_resolution_nm", 100.0, 120.0)
    assert not is_better("affine_psnr", 30.0, 30.0)
    assert not is_better("da_a0", 0.9, 0.1)
    assert not is_better("da_a0", 0.1, 0.9)
    assert (format_score("affine_psnr", 30.126), format_score("rsp", None), format_score("rse", float("nan"))) == (
        "30.13",
        "–",
        "–",
    )

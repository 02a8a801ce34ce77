"""Scores of images, and the comparison of methods: fair scores, a row for each image, NaN where there is no value."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.data import write_raw_tiff
from oidn_jax.data.raw_stack import open_images
from oidn_jax.evaluation.comparison import compare
from oidn_jax.evaluation.scores import (
    SCORES,
    errors_against,
    format_score,
    is_better,
    light,
    score_calibration,
    score_likeness,
    score_map,
)
from oidn_jax.methods import ClassicalMethod, Image, NetworkMethod
from oidn_jax.metrics.decorrelation import decorrelation_analysis
from oidn_jax.metrics.fourier_ring import fourier_ring_correlation
from oidn_jax.metrics.rolling_frc import RollingFrc, RollingFrcOptions, rolling_frc
from oidn_jax.metrics.squirrel import resolution_scaled_error
from oidn_jax.reconstruction import Messages, reconstruct_files
from tests.evaluation.tiny import LEVELS, MICROSCOPE, model, two_scenes

LIKENESS = [name for name in SCORES if name.split("_")[0] in ("minmax", "percentile", "affine", "ssim", "pearson")]
ROLLING = RollingFrcOptions(block=32, skip=8)
LABELS = {"widefield": "Widefield", "perfect": "Oracle", "dark": "Cap on"}
OFFSET = 100.0  # of the camera


@pytest.fixture(scope="module")
def scenes():
    return two_scenes()


class Painted:
    """A method that knows which image to give for each acquisition."""

    name, label, needs_illumination, writes_image, inputs = "painted", "Painted", False, True, ()

    def __init__(self, paint):
        """`paint` takes the counts (frames, h, w)."""
        self.paint = paint

    def check(self, microscope):
        """Takes every microscope."""

    def __call__(self, acquisition, time, *, progress=None):
        return self.paint(acquisition.counts(time))


def as_image(pixels, dark=0.0, error=None):
    return Image(pixels.astype(np.float32), dark=dark, provenance={}, error=error)


@pytest.fixture(scope="module")
def comparison(scenes):
    """Widefield, the target itself, which expects to be wrong, and darkness, as an untrained network may give."""

    def target(counts):
        frames = np.concatenate([*scenes.raw_frames.values(), *scenes.repeated_frames.values()])
        place = np.flatnonzero((np.moveaxis(frames, -1, 1) == counts).all((1, 2, 3)))[0]
        return as_image(scenes.target[place % 2], error=np.full((64, 64), 0.1, np.float32))

    methods = {
        "widefield": ClassicalMethod("widefield"),
        "perfect": Painted(target),
        "dark": Painted(lambda counts: as_image(np.full((64, 64), 7.0), dark=7.5)),
    }
    told = []
    comparison = compare(
        {"ccps": scenes},
        methods,
        labels=LABELS,
        rolling=ROLLING,
        progress=lambda text, fraction: told.append((text, fraction)),
    )
    assert told[0] == ("ccps low: widefield", 0.0)
    assert told[-1] == ("", 1.0)
    return comparison


# ---------------------------------------------------------------------------------------------------------------------
# Likeness
# ---------------------------------------------------------------------------------------------------------------------


def test_a_perfect_image_has_perfect_scores(scenes):
    target = jnp.asarray(scenes.target)
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
    target = jnp.asarray(scenes.target)
    scores = score_likeness(gain * target + offset, target)
    assert (scores["affine_psnr"] > 90).all()
    np.testing.assert_allclose(scores["affine_ssim"], 1, atol=1e-4)
    for kind in ("minmax", "percentile"):
        assert (scores[f"{kind}_psnr"] > 90 if gain > 0 else scores[f"{kind}_psnr"] < 20).all()


def test_each_image_is_scored_by_itself(scenes):
    target = jnp.asarray(scenes.target)
    scores = score_likeness(target.at[1].set(target[1][::-1]), target)
    assert scores["minmax_psnr"][0] > 100
    assert scores["minmax_psnr"][1] < 40


def test_the_legacy_score_is_inflated(scenes):
    target = jnp.asarray(scenes.target)
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
        light(scenes.acquisitions("high", repeated=repeated)[1].light(0).mean(0), dark=0.0)
        for repeated in (False, True)
    )
    np.testing.assert_array_equal(comparison.recorded["ccps", "high", "widefield"][1], image)
    nm = MICROSCOPE.pixel_size_nm
    rings, analysis = fourier_ring_correlation(image, other), decorrelation_analysis(image)
    rolling = rolling_frc(image, other, pixel_size_nm=nm, options=RollingFrcOptions(block=16, skip=4))
    widefield = scenes.raw_frames["high"][1].mean(-1, dtype=np.float32)
    squirrel = resolution_scaled_error(
        jnp.asarray(comparison.images["ccps", "high", "widefield"][1]), jnp.asarray(widefield)
    )
    expected = {
        "da_resolution_nm": analysis.resolution_nm(pixel_size_nm=nm),
        "da_a0": analysis.amplitude,
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


def test_brightness_of_the_truth_itself_is_linear(comparison):
    for row in comparison.rows:
        if row["method"] == "perfect":
            assert row["linearity"] == pytest.approx(1.0, abs=0.01)
            assert row["linearity_r2"] == pytest.approx(1.0, abs=1e-4)
        if row["method"] == "dark":
            assert np.isnan([row["linearity"], row["linearity_r2"]]).all()


def test_errors_are_told_of_methods_that_expect_any(comparison):
    assert set(comparison.expected) == {("ccps", level, "perfect") for level in LEVELS}
    for curve in comparison.expected.values():
        np.testing.assert_allclose(curve.expected, 0.1, rtol=1e-4)
        np.testing.assert_allclose(curve.measured, 0.0, atol=1e-5)
    for row in comparison.rows:
        assert np.isnan(row["error_calibration"]) == (row["method"] != "perfect")


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (400.0, -70.0)])
def test_errors_are_of_the_pixels_as_written_in_units_of_the_truth(scenes, gain, offset):
    target = scenes.target[0]
    noise = np.random.default_rng(0).laplace(scale=0.02, size=target.shape)
    pixels = (gain * (target + noise) + offset).astype(np.float32)
    error, expected = errors_against(pixels, np.full(target.shape, gain * 0.02, np.float32), target)
    assert score_calibration(error, expected) == pytest.approx(1.0, abs=0.05)
    assert expected.mean() == pytest.approx(0.02, rel=0.1)


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
    expected = decorrelation_analysis(scenes.target).resolution_nm(pixel_size_nm=MICROSCOPE.fine_pixel_size_nm)
    np.testing.assert_allclose([t["da_resolution_nm"] for t in comparison.targets], expected, rtol=1e-5)


def test_examples_are_the_first_scenes_with_the_target_last(comparison, scenes):
    examples = comparison.examples(most=1)
    assert [(e.specimen, e.level, e.scene) for e in examples] == [("CCPs", level, 0) for level in LEVELS]
    assert list(examples[0].images) == ["Widefield", "Oracle", "Cap on", "target"]
    assert list(examples[0].row.images) == ["Widefield", "Oracle", "Cap on", "Ground truth"]
    assert examples[0].pixel_size_nm == MICROSCOPE.fine_pixel_size_nm
    (high,) = comparison.examples(most=9, level="high")[1:]
    np.testing.assert_array_equal(high.images["Widefield"], comparison.images["ccps", "high", "widefield"][1])
    np.testing.assert_array_equal(high.images["target"], scenes.target[1])


def test_in_print_a_network_named_like_a_specimen_keeps_its_name(comparison):
    named = replace(comparison, methods={"widefield": "Widefield", "ccps": "ccps"})
    rows = [{"specimen": "ccps", "level": "low", "method": "ccps", "reference": "widefield", "scores": {"rsp": 1.0}}]
    (row,) = named.in_print(rows)
    assert list(row.values()) == ["CCPs", "low", "ccps", "Widefield", {"rsp": 1.0}]


def test_without_second_exposures_there_are_no_rings(scenes):
    single = replace(scenes, repeated_frames={})
    widefield = {"widefield": ClassicalMethod("widefield")}
    comparison = compare({"ccps": single}, widefield, labels=LABELS, rolling=ROLLING)
    assert comparison.maps == {}
    assert comparison.uncertain == {}, "nobody asked for the illumination"
    assert not any(name.startswith(("frc", "rfrc")) for name in comparison.rows[0])
    assert "da_resolution_nm" in comparison.rows[0]


# ---------------------------------------------------------------------------------------------------------------------
# The light of an image
# ---------------------------------------------------------------------------------------------------------------------


def test_light_is_what_pixels_are_above_dark():
    pixels = np.array([[-3.0, 0.0, 100.0], [100.5, 107.0, np.inf]], np.float32)
    np.testing.assert_array_equal(light(pixels, dark=0.0), [[0, 0, 100], [100.5, 107, np.inf]])
    np.testing.assert_array_equal(light(pixels, dark=100.0), [[0, 0, 0], [0.5, 7, np.inf]])
    assert light(pixels, dark=100.0).dtype == np.float32


@pytest.fixture(scope="module")
def written(scenes, tmp_path_factory):
    """The methods, the evaluation of one scene by each, and what `reconstruct_files` writes of its raw frames."""
    folder = tmp_path_factory.mktemp("written")
    methods = {name: ClassicalMethod(name) for name in ("widefield", "wiener", "hifi")}
    methods |= {name: NetworkMethod(model(name)) for name in ("oidn", "unet")}
    one = replace(
        scenes,
        raw_frames={"high": scenes.raw_frames["high"][:1]},
        target=scenes.target[:1],
        repeated_frames={},
    )
    comparison = compare({"ccps": one}, methods, labels=dict.fromkeys(methods, ""), rolling=ROLLING)
    raw = write_raw_tiff(
        folder / "cell.tif", np.moveaxis(one.raw_frames["high"][0], -1, 0), pixel_size_nm=MICROSCOPE.pixel_size_nm
    )
    pixels = {}
    for name, method in methods.items():
        (path,) = reconstruct_files(
            [raw], method, folder / name, microscope=MICROSCOPE, messages=Messages(warn=lambda line: None)
        )
        pixels[name] = open_images(path).read(0)[0]
    return methods, one, comparison, pixels


@pytest.mark.parametrize("name", ["widefield", "wiener", "hifi", "oidn", "unet"])
def test_evaluation_scores_exactly_the_pixels_that_reconstruct_writes(written, name):
    methods, one, comparison, pixels = written
    dark = methods[name](one.acquisitions("high")[0], 0).dark
    np.testing.assert_array_equal(comparison.images["ccps", "high", name][0], light(pixels[name], dark=dark))


def test_the_dark_of_a_network_is_the_zero_of_its_normalisation_and_negative_pixels_are_dark(written):
    methods, one, comparison, pixels = written
    frames = one.raw_frames["high"][0]
    for name, method in methods.items():
        dark = method(one.acquisitions("high")[0], 0).dark
        assert dark == (frames.min() if name in ("oidn", "unet") else 0), name
        below = pixels[name] < dark
        assert (comparison.images["ccps", "high", name][0][below] == 0).all()
    assert (pixels["wiener"] < 0).any(), "Wiener SIM overshoots"
    per_frame = replace(model("unet"), normalisation="per_frame")
    dark = NetworkMethod(per_frame)(one.acquisitions("high")[0], 0).dark
    assert dark == pytest.approx(frames.min((0, 1)).mean(), rel=1e-6)


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

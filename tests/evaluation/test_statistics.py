"""Statistics of scores against scipy and hand-made numbers, and what may not be pooled."""

import numpy as np
import pytest
from scipy import stats

from oidn_jax.evaluation.statistics import ALL_LEVELS, holm, paired_tests, summarise, with_all_levels, worst_rows

SCORE, OTHER = "affine_psnr", "da_resolution_nm"


def rows_of(values, level="low", specimen="er"):
    """A row for each method and scene, from {method: values of the score}."""
    return [
        {"specimen": specimen, "level": level, "method": method, "scene": scene, "signal_level": 1, SCORE: float(value)}
        for method, scores in values.items()
        for scene, value in enumerate(scores)
    ]


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    first = 30 + rng.standard_normal(9)
    return {"a": first, "b": first + 0.8 + 0.5 * rng.standard_normal(9), "c": first - 0.3 + rng.standard_normal(9)}


def test_mean_and_spread_of_what_is_finite():
    (entry,) = summarise(rows_of({"a": [1.0, 2.0, 6.0, np.nan, np.inf]}))
    assert (entry["specimen"], entry["level"], entry["method"], entry["scenes"]) == ("er", "low", "a", 5)
    expected = {"n": 3, "mean": 3.0, "sd": np.std([1, 2, 6], ddof=1), "median": 2.0, "min": 1.0, "max": 6.0}
    assert entry["scores"] == {SCORE: pytest.approx(expected)}


def test_one_value_has_no_spread_and_none_has_nothing():
    one, none = summarise(rows_of({"a": [4.0, np.nan], "b": [np.nan, np.nan]}))
    assert (one["scores"][SCORE]["n"], one["scores"][SCORE]["mean"]) == (1, 4.0)
    assert np.isnan(one["scores"][SCORE]["sd"])
    assert none["scores"][SCORE]["n"] == 0
    assert np.isnan(none["scores"][SCORE]["mean"])


def test_paired_tests_equal_scipy(pairs):
    tests = paired_tests(rows_of(pairs))
    assert [(test["method"], test["reference"], test["n"]) for test in tests] == [("b", "a", 9), ("c", "a", 9)]
    for test in tests:
        values, reference = pairs[test["method"]], pairs["a"]
        assert test["mean_difference"] == pytest.approx((values - reference).mean())
        assert test["wilcoxon_p"] == pytest.approx(stats.wilcoxon(values, reference).pvalue)
        t = stats.ttest_rel(values, reference)
        assert test["t_p"] == pytest.approx(t.pvalue)
        interval = t.confidence_interval()
        assert test["ci95"] == pytest.approx([interval.low, interval.high])
    corrected = holm([test["wilcoxon_p"] for test in tests])
    assert [test["wilcoxon_p_holm"] for test in tests] == pytest.approx(corrected)


def test_scenes_without_a_value_are_left_out_of_both(pairs):
    with_gap = {"a": pairs["a"].copy(), "b": pairs["b"].copy()}
    with_gap["a"][2] = np.nan
    with_gap["b"][5] = np.inf
    (test,) = paired_tests(rows_of(with_gap))
    kept = [0, 1, 3, 4, 6, 7, 8]
    assert test["n"] == 7
    assert test["wilcoxon_p"] == pytest.approx(stats.wilcoxon(pairs["b"][kept], pairs["a"][kept]).pvalue)


def test_equal_methods_and_single_scenes():
    equal, single = (paired_tests(rows_of(values))[0] for values in ({"a": [1, 2], "b": [1, 2]}, {"a": [1], "b": [2]}))
    assert (equal["wilcoxon_p"], equal["t_p"], equal["mean_difference"]) == (1.0, 1.0, 0.0)
    assert single["n"] == 1
    assert np.isnan(single["t_p"])
    assert np.isnan(single["ci95"]).all()
    (none,) = paired_tests(rows_of({"a": [np.nan], "b": [2.0]}))
    assert none["n"] == 0
    assert np.isnan(none["wilcoxon_p"])


def test_the_correction_of_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    corrected = holm([np.nan, 0.02])
    assert np.isnan(corrected[0])
    assert corrected[1] == 0.02


def test_the_levels_of_a_scene_are_one_sample():
    rows = [*rows_of({"a": [1, 2], "b": [3, 5]}), *rows_of({"a": [3, 6], "b": [7, np.nan]}, level="high")]
    everything = with_all_levels(rows)
    assert everything[: len(rows)] == rows
    pooled = {(row["method"], row["scene"]): row[SCORE] for row in everything if row["level"] == ALL_LEVELS}
    assert np.isnan(pooled.pop(("b", 1)))
    assert pooled == {("a", 0): 2.0, ("a", 1): 4.0, ("b", 0): 5.0}
    assert [test["n"] for test in paired_tests(everything)] == [2, 1, 1]
    assert with_all_levels(rows_of({"a": [1, 2]})) == rows_of({"a": [1, 2]})


def test_worst_is_by_the_direction_of_the_score():
    rows = rows_of({"a": [3.0, 1.0, np.nan]}) + rows_of({"a": [2.0, 0.5, 4.0]}, level="high")
    for row, nm in zip(rows, [100, 300, 200, 150, np.inf, 250], strict=True):
        row[OTHER] = float(nm)
    by_psnr, by_period = worst_rows(rows, [SCORE, OTHER])
    assert (by_psnr["value"], by_psnr["level"], by_psnr["scene"]) == (0.5, "high", 1)
    assert (by_period["value"], by_period["level"], by_period["scene"]) == (np.inf, "high", 1)
    assert worst_rows(rows_of({"a": [np.nan]}), [SCORE]) == []

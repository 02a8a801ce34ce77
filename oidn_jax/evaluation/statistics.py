"""Statistics of scores: mean and spread, paired tests against the first method, worst cases.

The scenes are the same at every fluorescence level, so images of one scene are no independent samples: `ALL_LEVELS`
stands for the mean of each scene over its levels, and tests there count scenes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from oidn_jax.evaluation.scores import SCORES

ALL_LEVELS = "all"
Row = Mapping[str, Any]


def with_all_levels(rows: Sequence[Row]) -> list[Row]:
    """The rows of each specimen, then, if it has several levels, the means over them for each method and scene."""
    result = []
    for (specimen,), members in _groups(rows, ("specimen",)).items():
        result += members
        if len({row["level"] for row in members}) > 1:
            for (method, scene), same_scene in _groups(members, ("method", "scene")).items():
                # A scene without a value at one level has none here, or its mean would be that of other levels.
                means = {score: float(np.mean([row[score] for row in same_scene])) for score in _scores(same_scene)}
                place = {"specimen": specimen, "level": ALL_LEVELS, "method": method, "scene": scene}
                result.append(place | means)
    return result


def summarise(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each specimen, level and method: `scenes`, and by score `n`, `mean`, `sd`, `median`, `min`, `max`.

    Values that are not finite do not count; `n` says how many do, and `sd` is of samples (n - 1). Without any, the
    numbers are NaN.
    """
    summary = []
    for (specimen, level, method), members in _groups(rows, ("specimen", "level", "method")).items():
        scores = {score: _describe([row[score] for row in members]) for score in _scores(members)}
        place = {"specimen": specimen, "level": level, "method": method}
        summary.append({**place, "scenes": len(members), "scores": scores})
    return summary


def _describe(values: Sequence[float]) -> dict[str, int | float]:
    finite = np.array([value for value in values if np.isfinite(value)])
    if not len(finite):
        return {"n": 0, **dict.fromkeys(("mean", "sd", "median", "min", "max"), float("nan"))}
    return {
        "n": len(finite),
        "mean": float(finite.mean()),
        "sd": float(finite.std(ddof=1)) if len(finite) > 1 else float("nan"),
        "median": float(np.median(finite)),
        "min": float(finite.min()),
        "max": float(finite.max()),
    }


def paired_tests(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Each method against the first, scene by scene: for each specimen, level and score.

    `mean_difference` (method - reference) with `ci95` by Student's t; `wilcoxon_p`, the two-sided signed-rank test,
    exact up to 50 scenes without ties; `t_p`, the paired t-test; `wilcoxon_p_holm`, the former corrected for the number
    of methods that are compared (Holm 1979). Scenes where either has no value are left out: `n` is how many remain.
    """
    tests = []
    for (specimen, level), members in _groups(rows, ("specimen", "level")).items():
        by_method = _groups(members, ("method",))
        reference, *others = [name for (name,) in by_method]
        for score in _scores(members):
            first = {row["scene"]: row[score] for row in by_method[(reference,)]}
            compared = []
            for method in others:
                second = {row["scene"]: row[score] for row in by_method[(method,)]}
                place = {"specimen": specimen, "level": level, "score": score, "method": method}
                compared.append({**place, "reference": reference, **_compare(second, first)})
            for test, p in zip(compared, holm([test["wilcoxon_p"] for test in compared]), strict=True):
                tests.append({**test, "wilcoxon_p_holm": p})
    return tests


def _compare(values: Mapping[int, float], reference: Mapping[int, float]) -> dict[str, Any]:
    pairs = np.array([values[s] - reference[s] for s in values if s in reference], float)
    difference = pairs[np.isfinite(pairs)]
    n, nan = len(difference), float("nan")
    result = {"n": n, "mean_difference": nan, "ci95": [nan, nan], "wilcoxon_p": nan, "t_p": nan}
    if n == 0:
        return result
    mean = float(difference.mean())
    result["mean_difference"] = mean
    moved = difference[difference != 0]
    result["wilcoxon_p"] = float(tuple(stats.wilcoxon(moved))[1]) if len(moved) else 1.0
    if n > 1:
        error = float(difference.std(ddof=1) / np.sqrt(n))
        half = float(stats.t.ppf(0.975, n - 1)) * error
        result["ci95"] = [mean - half, mean + half]
        if error > 0:
            result["t_p"] = float(2 * stats.t.sf(abs(mean) / error, n - 1))
        else:
            result["t_p"] = 1.0 if mean == 0 else 0.0
    return result


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: the k-th smallest of m is multiplied by m - k + 1, none below an earlier one, at most 1.

    NaN stays NaN and is not counted.
    """
    finite = [i for i, p in enumerate(p_values) if np.isfinite(p)]
    corrected, largest = [float("nan")] * len(p_values), 0.0
    for k, i in enumerate(sorted(finite, key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(finite) - k) * p_values[i]))
        corrected[i] = largest
    return corrected


def worst_rows(rows: Sequence[Row], scores: Iterable[str]) -> list[dict[str, Any]]:
    """For each specimen, method and score the image with the worst value: `score`, `value` and where it is."""
    worst = []
    for (specimen, method), members in _groups(rows, ("specimen", "method")).items():
        for score in scores:
            sign = -1.0 if SCORES[score].higher_is_better else 1.0
            valued = [row for row in members if not np.isnan(row[score])]
            if valued:
                row = max(valued, key=lambda row: sign * row[score])
                place = {name: row[name] for name in ("level", "scene")}
                worst.append({"specimen": specimen, "method": method, "score": score, "value": row[score], **place})
    return worst


def _groups(rows: Sequence[Row], names: Sequence[str]) -> dict[tuple, list[Row]]:
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def _scores(rows: Sequence[Row]) -> list[str]:
    return [score for score in SCORES if score in rows[0]]

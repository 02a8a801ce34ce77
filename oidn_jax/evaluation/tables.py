"""Tables of an evaluation, made once as texts and written in each form: terminal, Markdown, LaTeX, report."""

import itertools
import re
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from rich.table import Table as TerminalTable
from rich.text import Text

from oidn_jax.evaluation.example import TARGET_LABEL
from oidn_jax.evaluation.html import Table
from oidn_jax.evaluation.scores import SCORES, format_score, is_better

# What tables show of all scores; the rest is in the JSON and CSV.
LIKENESS = ("minmax_psnr", "minmax_ssim", "affine_psnr", "affine_ssim", "affine_ms_ssim", "affine_nrmse", "pearson")
LINEARITY = ("linearity", "linearity_r2", "error_calibration")
RESOLUTION = ("da_resolution_nm", "da_a0", "frc_1_7_nm", "rfrc_mean_nm", "rfrc_worst_nm", "rfrc_missing", "rsp", "rse")
ON_TERMINAL = ("minmax_psnr", "minmax_ssim", "affine_psnr", "affine_ssim", "da_resolution_nm", "rfrc_mean_nm", "rsp")

# Scores whose best is marked, those against the ground truth. Noise and sharpening make any resolution finer, and the
# widefield image agrees best with itself.
_RANKED = tuple(name for name in SCORES if name.startswith(("minmax", "percentile", "affine", "pearson")))

_LATEX = str.maketrans({"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
                        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}",
                        "±": r"$\pm$", "–": "--", "−": "$-$", "<": "$<$", ">": "$>$", "|": "$|$"})  # fmt: skip


def score_table(
    summary: Sequence[Mapping[str, Any]],
    scores: Sequence[str],
    *,
    caption: str,
    spread: bool = True,
    targets: Sequence[Mapping[str, Any]] = (),
) -> Table:
    """Specimen, fluorescence, method; then mean ± standard deviation of each score that the summary has.

    Args:
        summary: of `statistics.summarise`.
        scores: names; those that no image has are left out.
        caption: of the table.
        spread: with standard deviations.
        targets: of a `Comparison`: a row for each specimen with what is known of the target.
    """
    scores = [score for score in scores if any(score in entry["scores"] for entry in summary)]
    rows, best = [], set()
    for specimen, its_entries in itertools.groupby(summary, key=itemgetter("specimen")):
        for _, members in itertools.groupby(its_entries, key=itemgetter("level")):
            entries = list(members)
            best |= _best(entries, scores, first_row=len(rows))
            for entry in entries:
                place = (specimen, entry["level"], entry["method"])
                rows.append((*place, *(_cell(entry, score, spread=spread) for score in scores)))
        known = [[t[score] for t in targets if t["specimen"] == specimen and score in t] for score in scores]
        if any(known):
            cells = [format_score(s, np.mean(v) if v else None) for s, v in zip(scores, known, strict=True)]
            rows.append((specimen, "–", TARGET_LABEL, *cells))
    header = ("specimen", "fluorescence", "method", *(SCORES[score].label for score in scores))
    scenes = {entry["scenes"] for entry in summary}
    number = str(scenes.pop()) if len(scenes) == 1 else f"{min(scenes)} to {max(scenes)}"
    spoken = "Mean ± standard deviation" if spread else "Mean"
    scene_s = "scene" if number == "1" else "scenes"
    note = f"{spoken} over {number} {scene_s}, or over n of them where the others have no value."
    if best:
        note += " The best likeness of each group is marked."
    return Table(caption, header, rows, row_headers=3, best=frozenset(best), note=note)


def _cell(entry: Mapping[str, Any], score: str, *, spread: bool) -> str:
    if score not in entry["scores"]:
        return "–"
    numbers = entry["scores"][score]
    text = format_score(score, numbers["mean"])
    if spread and np.isfinite(numbers["sd"]):
        text += f" ± {format_score(score, numbers['sd'])}"
    # A mean over those scenes that have a value may look better than one over all.
    return text if numbers["n"] in (0, entry["scenes"]) else f"{text} (n={numbers['n']})"


def _best(entries: Sequence[Mapping[str, Any]], scores: Sequence[str], *, first_row: int) -> set[tuple[int, int]]:
    marked = set()
    if len(entries) < 2:
        return marked
    for column, score in enumerate(scores, start=3):
        means = [entry["scores"].get(score, {}).get("mean", float("nan")) for entry in entries]
        for i, mean in enumerate(means):
            beaten = any(is_better(score, other, mean) for other in means if np.isfinite(other))
            if score in _RANKED and np.isfinite(mean) and not beaten:
                marked.add((first_row + i, column))
    return marked


def least_p(scenes: int, comparisons: int) -> float:
    """The smallest p that the test can give: all differences of one sign, 2 / 2^n, times the comparisons (Holm)."""
    return min(1.0, comparisons * 2.0 ** (1 - scenes))


def paired_table(tests: Sequence[Mapping[str, Any]], scores: Sequence[str], *, level: str) -> Table:
    """The paired tests of some scores at one level: difference with its interval, and p after Holm's correction."""
    rows = []
    for test in tests:
        if test["level"] == level and test["score"] in scores:
            score, (low, high) = test["score"], test["ci95"]
            texts = [format_score(score, value) for value in (test["mean_difference"], low, high)]
            p = test["wilcoxon_p_holm"]
            shown = "–" if not np.isfinite(p) else f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"
            place = (test["specimen"], test["method"], SCORES[score].label)
            rows.append((*place, texts[0], f"{texts[1]} to {texts[2]}", shown, str(test["n"])))
    reference = tests[0]["reference"] if tests else ""
    header = ("specimen", "method", "score", "mean difference", "95 % interval", "p (Wilcoxon, Holm)", "scenes")
    note = "Wilcoxon's signed-rank test over scenes, two-sided, corrected for the number of methods; interval by t."
    here = [test for test in tests if test["level"] == level]
    if here:
        scenes, comparisons = max(test["n"] for test in here), len({test["method"] for test in here})
        note += f" With {scenes} scenes the smallest p there can be is {least_p(scenes, comparisons):.2g}."
    return Table(f"Paired comparison with {reference}, levels: {level}", header, rows, row_headers=3, note=note)


def worst_table(worst: Sequence[Mapping[str, Any]]) -> Table:
    """Where each method is worst."""
    rows = [
        (
            case["specimen"],
            case["method"],
            SCORES[case["score"]].label,
            format_score(case["score"], case["value"]),
            case["level"],
            str(case["scene"]),
        )
        for case in worst
    ]
    header = ("specimen", "method", "score", "worst value", "fluorescence", "scene")
    return Table("Worst image of each method", header, rows, row_headers=3)


def to_terminal(table: Table) -> TerminalTable:
    """For rich; heads on several lines, so that 120 columns suffice."""
    drawn = TerminalTable(title=Text(f"{table.caption}. {table.note}"))
    for i, name in enumerate(table.header):
        head = name.replace(", ", "\n").replace(" (", "\n(") if i >= table.row_headers else name
        drawn.add_column(Text(head), justify="left" if i < table.row_headers else "right", no_wrap=True)
    for r, row in enumerate(table.rows):
        drawn.add_row(*(Text(cell, style="bold" if (r, c) in table.best else "") for c, cell in enumerate(row)))
    return drawn


def to_markdown(table: Table) -> str:
    """A GitHub table with its caption and note; the best in bold."""
    number = len(table.header) - table.row_headers
    lines = [_markdown_row(table.header), _markdown_row(["---"] * table.row_headers + ["---:"] * number)]
    for r, row in enumerate(table.rows):
        lines.append(_markdown_row([f"**{cell}**" if (r, c) in table.best else cell for c, cell in enumerate(row)]))
    note = f"\n{table.note}\n" if table.note else ""
    return f"**{table.caption}**\n\n" + "\n".join(lines) + f"\n{note}"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def to_latex(table: Table) -> str:
    """For the packages booktabs and longtable, which breaks over pages; the best in bold, a rule between groups.

    Wide tables want `landscape` of the package pdflscape.
    """
    columns = "l" * table.row_headers + "r" * (len(table.header) - table.row_headers)
    lines = [r"\begingroup\scriptsize", rf"\begin{{longtable}}{{{columns}}}"]
    lines += [rf"\caption{{{_latex(table.caption)}. {_latex(table.note)}}} \\", r"\toprule"]
    lines += [" & ".join(map(_latex, table.header)) + r" \\", r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot"]
    for r, row in enumerate(table.rows):
        if r and row[: table.row_headers - 1] != table.rows[r - 1][: table.row_headers - 1]:
            lines.append(r"\midrule")
        cells = [rf"\textbf{{{_latex(cell)}}}" if (r, c) in table.best else _latex(cell) for c, cell in enumerate(row)]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\end{longtable}", r"\endgroup", ""])


def _latex(text: str) -> str:
    minus = re.sub(r"(?<![\w$])-(?=\d)", "−", text)
    return minus.translate(_LATEX)

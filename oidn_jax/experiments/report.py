"""The report of a suite: mean and spread over the seeds, and the figures of an evaluation of the first seed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from oidn_jax.data.atomic import partial_folder, write_json, write_text
from oidn_jax.evaluation.comparison import Comparison, compare
from oidn_jax.evaluation.drawings import WORST_SCORE, draw_figures
from oidn_jax.evaluation.files import finite_or_none
from oidn_jax.evaluation.html import Figure, Page, Table, write_report
from oidn_jax.evaluation.provenance import describe_run
from oidn_jax.evaluation.scores import SCORES, format_score
from oidn_jax.evaluation.statistics import summarise, with_all_levels, worst_rows
from oidn_jax.evaluation.tables import LIKENESS, RESOLUTION, score_table, to_latex, to_markdown
from oidn_jax.experiments.running import Plan, Result, held_out_scenes, mean_score
from oidn_jax.figures.bars import BarPanel, save_bars
from oidn_jax.figures.distributions import save_radar
from oidn_jax.figures.style import palette
from oidn_jax.methods import ClassicalMethod, Method, NetworkMethod
from oidn_jax.methods.classical import LABELS
from oidn_jax.metrics.rolling_frc import RollingFrcOptions
from oidn_jax.models.weights import load
from oidn_jax.simulation.specimens import SPECIMENS

RESULTS = "results.json"
OVER_SEEDS = ("affine_psnr", "affine_ssim", "minmax_psnr", "minmax_ssim")
PSF_ERROR = "Error of the PSF"


def write_suite_report(
    plan: Plan,
    results: Sequence[Result],
    *,
    devices: str,
    command: Sequence[str],
    progress: Callable[[str, float], None] = lambda text, fraction: None,
) -> Table:
    """Writes the folder `report`: report.html, tables, figures and, last, results.json.

    Args:
        plan: that the results are of.
        results: of all its trainings.
        devices: what computes, in words.
        command: as it was typed.
        progress: called with a short text and the fraction done of the comparison.

    Returns:
        The table of means over the seeds.
    """
    comparison, models = _first_seed(plan, results, progress)
    tables = [_over_seeds(plan, results)]
    if len(plan.runs.tested_on) > 1:
        tables.append(_by_specimen(plan, results))
    summary = comparison.in_print(summarise(with_all_levels(comparison.rows)))
    targets = comparison.in_print(comparison.targets)
    tables += [
        score_table(summary, LIKENESS, caption="Likeness to the ground truth, networks of the first seed"),
        score_table(summary, RESOLUTION, caption="Resolution, networks of the first seed", targets=targets),
    ]
    worst = worst_rows(comparison.rows, (WORST_SCORE,))
    networks = {name: {**model.origin, "network": dict(model.fields)} for name, model in models.items()}
    settings = plan.experiment(plan.runs.runs[0]).evaluation
    provenance = describe_run(plan.described(), networks, seed=settings.seed, devices=devices, command=command)
    with partial_folder(plan.out / "report", last=RESULTS) as new:
        figures = _own_figures(plan, results, new / "figures")
        figures += draw_figures(comparison, models, worst, new / "figures")
        page = Page(
            title=plan.runs.title,
            summary=_summary(plan, results),
            tables=tables,
            figures=figures,
            examples=comparison.examples(most=settings.panels),
            provenance=provenance,
        )
        write_report(new / "report.html", page)
        write_text(new / "tables.md", "\n".join(map(to_markdown, tables)))
        write_text(new / "tables.tex", "\n".join(map(to_latex, tables)))
        content = {
            "suite": plan.suite,
            "preset": plan.preset,
            "results": [asdict(result) for result in results],
            "first_seed": comparison.rows,
            "provenance": provenance,
        }
        write_json(new / RESULTS, finite_or_none(content))
    return tables[0]


def _first_seed(
    plan: Plan, results: Sequence[Result], progress: Callable[[str, float], None]
) -> tuple[Comparison, dict[str, Any]]:
    """The networks of the first seed, and classical methods, on the scenes and on a second exposure of them."""
    models = {r.run: load(plan.workdir(r.run, 0)) for r in results if r.seed == 0 and not r.diverged}
    methods: dict[str, Method] = {name: ClassicalMethod(name) for name in plan.runs.classical}
    methods |= {name: NetworkMethod(model) for name, model in models.items()}
    labels = {name: LABELS.get(name, name) for name in methods}
    settings = plan.experiment(plan.runs.runs[0]).evaluation
    rolling = RollingFrcOptions(block=settings.rolling_block, skip=settings.rolling_skip)
    scenes = held_out_scenes(plan, repeated=True)
    return compare(scenes, methods, labels=labels, rolling=rolling, progress=progress), models


def _by_run(plan: Plan, results: Sequence[Result]) -> dict[str, list[Result]]:
    return {run.name: [result for result in results if result.run == run.name] for run in plan.runs.runs}


def _spread(values: Sequence[float], write: Callable[[float], str]) -> str:
    """Mean ± standard deviation (n - 1) of what is finite; with the number where some is not."""
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return "–"
    text = write(float(np.mean(finite)))
    if len(finite) > 1:
        text += f" ± {write(float(np.std(finite, ddof=1)))}"
    return text if len(finite) == len(values) else f"{text} (n={len(finite)})"


def _psf_errors(results: Sequence[Result]) -> list[float]:
    return [result.psf_error for result in results if result.psf_error is not None]


def _over_seeds(plan: Plan, results: Sequence[Result]) -> Table:
    rows = []
    for name, members in _by_run(plan, results).items():
        scores = [
            _spread([mean_score(r, score) for r in members], partial(format_score, score)) for score in OVER_SEEDS
        ]
        steps = sorted({result.steps for result in members})
        seconds = [result.steps * result.seconds_per_step for result in members]
        rows.append(
            (
                name,
                *scores,
                _spread(_psf_errors(members), "{:.3f}".format),
                " to ".join(f"{step:,}" for step in (steps if len(steps) < 2 else (steps[0], steps[-1]))),
                _spread(seconds, "{:.0f}".format),
            )
        )
    header = ("network", *(SCORES[score].label for score in OVER_SEEDS), PSF_ERROR, "Steps", "Seconds of steps")
    best = {
        (max(range(len(rows)), key=lambda row: _leading(rows[row][column])), column)
        for column in range(1, len(OVER_SEEDS) + 1)
    }
    note = (
        f"Mean ± standard deviation over {plan.size.seeds} seeds, each the mean over all test images. The error of the "
        "PSF is half the sum of absolute differences from the microscope's. The highest mean is marked."
    )
    return Table(plan.runs.title, header, rows, best=frozenset(best), note=note)


def _leading(cell: str) -> float:
    """The mean in a cell of `_spread`."""
    return float("-inf") if cell == "–" else float(cell.split(" ")[0])


def _by_specimen(plan: Plan, results: Sequence[Result]) -> Table:
    """Affine PSNR of each network on each specimen."""
    score, specimens = "affine_psnr", plan.runs.tested_on
    rows = [
        (
            name,
            *(
                _spread([mean_score(r, score, specimen=specimen) for r in members], partial(format_score, score))
                for specimen in specimens
            ),
        )
        for name, members in _by_run(plan, results).items()
    ]
    header = ("network", *(SPECIMENS[specimen].label for specimen in specimens))
    note = f"Mean ± standard deviation over {plan.size.seeds} seeds, by the specimen that was tested on."
    return Table(f"{SCORES[score].label}, by specimen", header, rows, note=note)


def _own_figures(plan: Plan, results: Sequence[Result], folder: Path) -> list[Figure]:
    """Bars over the seeds, and a radar where several specimens were tested on."""
    by_run = _by_run(plan, results)
    panels = [
        BarPanel(
            SCORES[score].label, {name: [mean_score(r, score) for r in members] for name, members in by_run.items()}
        )
        for score in OVER_SEEDS[:2]
    ]
    if any(_psf_errors(members) for members in by_run.values()):
        panels.append(BarPanel(PSF_ERROR, {name: _psf_errors(members) for name, members in by_run.items()}))
    png, _ = save_bars(folder / "scores", panels, repetition="seed")
    figures = [
        Figure(png, plan.runs.title, "Mean over all test images, and its spread over the seeds of the training."),
    ]
    if len(plan.runs.tested_on) >= 3:
        figures.append(_radar(plan, by_run, folder))
    return figures


def _radar(plan: Plan, by_run: Mapping[str, Sequence[Result]], folder: Path) -> Figure:
    score = "affine_ssim"
    values = {
        name: {
            SPECIMENS[specimen].label: float(np.mean([mean_score(r, score, specimen=specimen) for r in members]))
            for specimen in plan.runs.tested_on
        }
        for name, members in by_run.items()
    }
    png, _ = save_radar(
        folder / "radar_over_seeds",
        values,
        score=SCORES[score].label,
        trained_on={run.name: SPECIMENS[run.specimen].label for run in plan.runs.runs},
        colours=palette(values),
    )
    return Figure(
        png,
        "Generalisation across specimens",
        "One axis for each specimen that was tested on, one line for each network: the mean over the seeds. Marked is "
        "the specimen that it was trained on.",
    )


def _summary(plan: Plan, results: Sequence[Result]) -> list[str]:
    settings = plan.experiment(plan.runs.runs[0]).evaluation
    lines = [
        f"{len(plan.runs.runs)} configurations, each trained from {plan.size.seeds} seeds, at the preset "
        f"{plan.preset!r}, and tested on the same {settings.scenes} held-out scenes of each specimen at all levels of "
        f"fluorescence ({', '.join(SPECIMENS[name].label for name in plan.runs.tested_on)}).",
        plan.runs.remark,
        "The first tables and figures are over the seeds; all after them are of the networks of the first seed.",
        *(f"{result.run}, seed {result.seed}, diverged: {result.diverged}" for result in results if result.diverged),
    ]
    return [line for line in lines if line]

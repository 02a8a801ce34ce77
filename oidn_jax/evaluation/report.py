"""The comparison of networks with classical methods, from scenes to a folder of results."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oidn_jax.data.atomic import partial_folder, write_text
from oidn_jax.data.pairs import parse_ranges, ranges
from oidn_jax.errors import IllegalValue, InputError, printable
from oidn_jax.evaluation.comparison import Comparison, compare
from oidn_jax.evaluation.drawings import WORST_SCORE, draw_figures
from oidn_jax.evaluation.files import METRICS, check_folder, earlier_files, write_raw, write_results
from oidn_jax.evaluation.html import Page, Table, write_report
from oidn_jax.evaluation.networks import (
    METHODS,
    NETWORK,
    USUAL,
    check_fits,
    network_labels,
    other_microscope,
    trained_on,
)
from oidn_jax.evaluation.provenance import describe_run
from oidn_jax.evaluation.scenes import Scenes, simulate_scenes
from oidn_jax.evaluation.settings import EvaluationSettings
from oidn_jax.evaluation.statistics import ALL_LEVELS, paired_tests, summarise, with_all_levels, worst_rows
from oidn_jax.evaluation.tables import (
    FIDELITY,
    LIKENESS,
    LINEARITY,
    ON_TERMINAL,
    RESOLUTION,
    paired_table,
    score_table,
    to_latex,
    to_markdown,
    to_terminal,
    worst_table,
)
from oidn_jax.methods import ClassicalMethod, Method, NetworkMethod
from oidn_jax.methods.classical import LABELS
from oidn_jax.metrics.rolling_frc import RollingFrcOptions
from oidn_jax.models.trained import TrainedModel
from oidn_jax.simulation.settings import Simulation

# Whose differences are tabulated, and whose worst images: a resolution may be the finest where it is most wrong.
_TESTED = ("affine_psnr", "affine_ssim", "da_resolution_nm", "rfrc_mean_nm", "rsp")
_WORST = ("affine_psnr", "affine_ssim", "pearson")


@dataclass(frozen=True)
class Surroundings:
    """What an evaluation is told about where it runs.

    Attributes:
        show: called with each table and line for the terminal.
        progress: called with a short text and the fraction done.
        devices: what computes, in words, for the provenance.
        command: as it was typed, for the provenance.
        configuration: by specimen, as JSON can hold it, for the provenance.
    """

    show: Callable[[Any], None] = lambda _: None
    progress: Callable[[str, float], None] = lambda text, fraction: None
    devices: str = ""
    command: Sequence[str] = ()
    configuration: Mapping[str, Any] = field(default_factory=dict)


def evaluate(
    simulations: Mapping[str, Simulation],
    settings: EvaluationSettings,
    models: Mapping[str, TrainedModel],
    out: Path,
    *,
    methods: Sequence[str] = USUAL,
    overwrite: bool = False,
    save_raw: bool = False,
    measured: Mapping[str, Scenes] | None = None,
    surroundings: Surroundings | None = None,
) -> dict[str, Any]:
    """Score methods on the held-out scenes of one or several specimens, and write what docs/evaluation.md lists.

    Args:
        simulations: by specimen, the one in question first.
        settings: of the scenes.
        models: networks by the name of their method.
        out: folder to write to, created if needed.
        methods: names of `networks.METHODS`, in the order of the tables and panels; `NETWORK` stands for all the
            networks. The first is what the others are tested against.
        overwrite: replace results that are there already; what an earlier evaluation wrote under other names stays.
        save_raw: write raw examples.
        measured: scenes by specimen in the place of simulated ones (`evaluation.measured`).
        surroundings: see there.

    Returns:
        What `metrics.json` holds.

    Raises:
        InputError: for methods or settings that are not legal; a folder that cannot be used or already holds results.
    """
    where = surroundings or Surroundings()
    check_folder(out, overwrite=overwrite)
    microscopes = [simulation.microscope for simulation in simulations.values()]
    chosen = chosen_methods(methods, models)
    models = {name: model for name, model in models.items() if name in chosen}
    for microscope in microscopes:
        for name, model in models.items():
            check_fits(model, microscope, name=name)
        for method in chosen.values():
            method.check(microscope)
    if measured is None:
        rolling = _rolling_options(settings, scale=microscopes[0].scale)
        scenes = {
            name: simulate_scenes(simulation, settings, repeated=True) for name, simulation in simulations.items()
        }
    else:
        rolling, scenes = RollingFrcOptions(), measured
    labels = {**LABELS, **network_labels(models)}
    comparison = compare(scenes, chosen, labels=labels, rolling=rolling, progress=where.progress)
    remarks = _remarks(comparison, models) + _seen_in_training(comparison, models)
    networks = {
        name: {**model.origin, "network": dict(model.fields), "configuration": dict(model.configuration)}
        for name, model in models.items()
    }
    provenance = describe_run(
        where.configuration, networks, seed=settings.seed, devices=where.devices, command=where.command
    )
    result = _result(comparison) | {"remarks": remarks, "provenance": provenance}
    for_terminal, *tables = _tables(result, comparison)
    summary = _summary(comparison, models, simulations, remarks)
    with partial_folder(out, last=METRICS) as new:
        _write(result, comparison, tables, new, models=models, summary=summary, panels=settings.panels)
        if save_raw:
            write_raw(scenes, new)
        write_results(result, new)
        earlier = earlier_files(out, new)
    # Last: a terminal that cannot show it loses nothing.
    where.show(to_terminal(for_terminal))
    for line in (*remarks, f"wrote {out}: report.html, metrics.json, metrics.csv, tables.md, tables.tex and figures"):
        where.show(line)
    if earlier:
        names = ", ".join(printable(str(path)) for path in earlier)
        where.show(f"of an earlier evaluation, and not of this one: {names}; they are left in {out}")
    return result


def chosen_methods(names: Sequence[str], models: Mapping[str, TrainedModel]) -> dict[str, Method]:
    """The methods by name, `NETWORK` standing for all the networks that are given.

    Raises:
        InputError: a name that is none, or given twice; networks without a name for them, or the other way round.
    """
    unknown = [name for name in names if name not in METHODS]
    if unknown or not names or len(set(names)) < len(names):
        raise IllegalValue("methods", ", ".join(names), f"give some of {', '.join(METHODS)}, each once")
    if NETWORK in names and not models:
        raise InputError(f"the method {NETWORK!r} needs a network; give its `workdir`, or leave it out of `methods`")
    if NETWORK not in names and models:
        raise InputError(f"networks are given, but `methods` has no {NETWORK!r}; add it, or leave `workdir` out")
    methods: dict[str, Method] = {}
    for name in names:
        if name == NETWORK:
            methods.update({given: NetworkMethod(model) for given, model in models.items()})
        else:
            methods[name] = ClassicalMethod(name)
    return methods


def _rolling_options(settings: EvaluationSettings, *, scale: int) -> RollingFrcOptions:
    side = settings.size * scale
    if settings.rolling_block > side:
        legal = f"images are {side} pixels wide; give at most that"
        raise IllegalValue("evaluation.rolling_block", settings.rolling_block, legal)
    return RollingFrcOptions(block=settings.rolling_block, skip=settings.rolling_skip)


def _result(comparison: Comparison) -> dict[str, Any]:
    rows = with_all_levels(comparison.rows)
    return {
        "specimens": list(comparison.scenes),
        "methods": list(comparison.methods),
        "summary": summarise(rows),
        "paired_tests": paired_tests(rows),
        "worst": worst_rows(comparison.rows, _WORST),
        "targets": comparison.targets,
        "images": comparison.rows,
    }


def _tables(result: Mapping[str, Any], comparison: Comparison) -> list[Table]:
    """The one for the terminal, then those for the files and the report."""
    summary, targets = comparison.in_print(result["summary"]), comparison.in_print(comparison.targets)
    levels = [entry["level"] for entry in summary]
    caption = "Measured cells" if any(scenes.names for scenes in comparison.scenes.values()) else "Held-out scenes"
    last = ALL_LEVELS if ALL_LEVELS in levels else levels[-1]
    tables = [
        score_table(summary, ON_TERMINAL, caption=caption, spread=False, targets=targets),
        score_table(summary, LIKENESS, caption="Likeness to the ground truth"),
        score_table(summary, RESOLUTION, caption="Resolution", targets=targets),
        score_table(summary, FIDELITY, caption="Agreement with the raw frames"),
        score_table(summary, LINEARITY, caption="Brightness and expected error"),
    ]
    if len(comparison.methods) > 1:
        tables.append(paired_table(comparison.in_print(result["paired_tests"]), _TESTED, level=last))
    return [*tables, worst_table(comparison.in_print(result["worst"]))]


def _write(
    result: Mapping[str, Any],
    comparison: Comparison,
    tables: Sequence[Table],
    out: Path,
    *,
    models: Mapping[str, TrainedModel],
    summary: Sequence[str],
    panels: int,
) -> None:
    write_text(out / "tables.md", "\n".join(to_markdown(table) for table in tables))
    write_text(out / "tables.tex", "\n".join(to_latex(table) for table in tables))
    worst = [case for case in result["worst"] if case["score"] == WORST_SCORE]
    page = Page(
        title=f"{_enumerate(comparison.methods.values())} on "
        f"{_enumerate(scenes.label for scenes in comparison.scenes.values())}",
        summary=summary,
        tables=tables,
        figures=draw_figures(comparison, models, worst, out / "figures"),
        examples=comparison.examples(most=panels),
        provenance=result["provenance"],
    )
    write_report(out / "report.html", page)


def _enumerate(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _summary(
    comparison: Comparison,
    models: Mapping[str, TrainedModel],
    simulations: Mapping[str, Simulation],
    remarks: Sequence[str],
) -> list[str]:
    scenes = next(iter(comparison.scenes.values()))
    ideal = next(iter(simulations.values())).settings.target == "ideal"
    truth = "what ideal linear SIM could recover" if ideal else "Wiener SIM of a bright acquisition"
    kind, unseen = "simulated scenes of each specimen", ", that no network has seen in training"
    if scenes.names:
        truth, kind, unseen = "the target on disk", f"measured cells ({scenes.names[0]} to {scenes.names[-1]})", ""
    trained = [f"{comparison.methods[name]} was trained on {trained_on(model)}" for name, model in models.items()]
    return [
        f"{len(comparison.methods)} methods on {len(scenes.target)} {kind}, at "
        f"{len(scenes.levels)} levels of fluorescence ({', '.join(scenes.levels)}){unseen}. "
        f"{'; '.join(trained)}{'.' if trained else ''}".strip(),
        f"Likeness is to {truth}; pixels below the value without light count as dark. Decorrelation analysis (DA) "
        "needs the image alone; Fourier ring correlation (FRC, rFRC) compares the images of two acquisitions that "
        "differ in their noise; RSP and RSE compare the image, blurred, with the widefield image.",
        "No single number says that an image is right: noise or invented detail can have a fine resolution. Ring "
        "correlation of a network says how well it repeats itself, not whether it is right; rFRC is not told where it "
        "has no value in more than half of the foreground, and cannot be below 2.3 pixels.",
        *remarks,
    ]


def _seen_in_training(comparison: Comparison, models: Mapping[str, TrainedModel]) -> list[str]:
    """A line for each network that was trained on cells that it is tested on."""
    lines = []
    cells = {name for scenes in comparison.scenes.values() for name in scenes.names}
    for name, model in models.items():
        told = model.origin.get("measured")
        trained = str(told.get("cells", {}).get("training", "")) if isinstance(told, Mapping) else ""
        seen = [number for number in sorted(parse_ranges(trained)) if f"Cell_{number:03d}" in cells]
        if seen:
            lines.append(f"{name} was trained on some of these cells: {ranges(seen)}")
    return lines


def _remarks(comparison: Comparison, models: Mapping[str, TrainedModel]) -> list[str]:
    lines = [
        f"{specimen}: in {count} of {total} acquisitions the stripes of an orientation were not found for certain"
        for specimen, (count, total) in comparison.uncertain.items()
        if count
    ]
    microscope = next(iter(comparison.scenes.values())).microscope
    for name, model in models.items():
        words = [] if model.guided else other_microscope(model, microscope)
        if words:
            lines.append(f"{name} was trained for another microscope: {', '.join(words)}")
    return lines

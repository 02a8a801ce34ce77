"""The comparison of networks with classical methods, from configurations to a folder of results."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from oidn_jax.errors import InputError
from oidn_jax.evaluation.comparison import Comparison, compare
from oidn_jax.evaluation.drawings import WORST_SCORE, drawings, trained_specimen
from oidn_jax.evaluation.example import TARGET, Example
from oidn_jax.evaluation.files import check_folder, make_folder, write_raw, write_results
from oidn_jax.evaluation.held_out import simulate_held_out
from oidn_jax.evaluation.html import Page, Table, write_report
from oidn_jax.evaluation.methods import (
    METHODS,
    NETWORK,
    ClassicalMethod,
    Method,
    NetworkMethod,
    WidefieldMethod,
    other_microscope,
)
from oidn_jax.evaluation.provenance import describe_run
from oidn_jax.evaluation.statistics import ALL_LEVELS, paired_tests, summarise, with_all_levels, worst_rows
from oidn_jax.evaluation.tables import (
    LIKENESS,
    ON_TERMINAL,
    RESOLUTION,
    paired_table,
    score_table,
    to_latex,
    to_markdown,
    to_terminal,
    worst_table,
)
from oidn_jax.figures.style import method_label, specimen_label
from oidn_jax.metrics.rolling_frc import RollingFrcOptions
from oidn_jax.models.trained import TrainedModel
from oidn_jax.optics.microscope import Microscope

# Whose differences are tabulated, and whose worst images: a resolution may be the finest where it is most wrong.
_TESTED = ("affine_psnr", "affine_ssim", "da_resolution_nm", "rfrc_mean_nm", "rsp")
_WORST = ("affine_psnr", "affine_ssim", "pearson")
_USED = ("name", "optics", "frames", "simulation", "evaluation", "data")


@dataclass(frozen=True)
class Surroundings:
    """What an evaluation is told about where it runs.

    Attributes:
        show: called with each table and line for the terminal.
        progress: called with a short text and the fraction done.
        devices: what computes, in words, for the provenance.
        command: as it was typed, for the provenance.
    """

    show: Callable[[Any], None] = print
    progress: Callable[[str, float], None] = lambda text, fraction: None
    devices: str = ""
    command: Sequence[str] = ()


def evaluate(
    configs: Mapping[str, Any],
    models: Mapping[str, TrainedModel],
    out: Path,
    *,
    methods: Sequence[str] = METHODS,
    overwrite: bool = False,
    save_raw: bool = False,
    surroundings: Surroundings | None = None,
) -> dict[str, Any]:
    """Score methods on the held-out scenes of one or several specimens, and write what docs/evaluation.md lists.

    Args:
        configs: by specimen, the one in question first; the `simulation`, `evaluation`, `optics`, `frames` and `data`
            sections say what to evaluate on.
        models: networks by the name of their method.
        out: folder to write to, created if needed.
        methods: names of `evaluation.methods.METHODS`, in the order of the tables and panels; `NETWORK` stands for all
            the networks. The first is what the others are tested against.
        overwrite: replace results that are there already.
        save_raw: write raw examples.
        surroundings: see there.

    Returns:
        What `metrics.json` holds.

    Raises:
        InputError: for methods or settings that are not legal; a folder that cannot be used or already holds results.
    """
    where = surroundings or Surroundings()
    check_folder(out, overwrite=overwrite)
    names = _method_names(methods, configs, models)
    rolling = _rolling_options(next(iter(configs.values())))
    models = {name: model for name, model in models.items() if name in names}
    scenes = {specimen: simulate_held_out(config, repeated=True) for specimen, config in configs.items()}
    compared = {s: _methods(names, config, models, offset=scenes[s].offset) for s, config in configs.items()}
    comparison = compare(scenes, compared, rolling=rolling, progress=where.progress)
    remarks = [*_uncertain(compared, scenes), *_other_microscopes(models, configs)]
    result = _result(comparison) | {"remarks": remarks, "provenance": _provenance(configs, models, where)}
    for_terminal, *tables = _tables(result, comparison)
    make_folder(out)
    _write(result, comparison, tables, out, models=models)
    if save_raw:
        write_raw(scenes, out, overwrite=overwrite)
    write_results(result, out)
    # Last: a terminal that cannot show it loses nothing.
    where.show(to_terminal(for_terminal))
    for line in (*remarks, f"wrote {out}: report.html, metrics.json, metrics.csv, tables.md, tables.tex and figures"):
        where.show(line)
    return result


def _provenance(configs: Mapping[str, Any], models: Mapping[str, TrainedModel], where: Surroundings) -> dict[str, Any]:
    # Of the sections those that an evaluation uses; networks have their own.
    plain = {s: {name: _plain(config[name]) for name in _USED} for s, config in configs.items()}
    networks = {
        name: {
            **model.origin,
            "trained_on": trained_specimen(model),
            "seed": model.config["seed"],
            "configuration": _plain(model.config),
        }
        for name, model in models.items()
    }
    return describe_run(plain, networks, devices=where.devices, command=where.command)


def _plain(section: Any) -> Any:
    """A configuration as nested dicts, without knowing its type."""
    return {name: _plain(section[name]) for name in section} if hasattr(section, "keys") else section


def _method_names(methods: Sequence[str], configs: Mapping[str, Any], models: Mapping[str, Any]) -> list[str]:
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods or len(set(methods)) < len(methods):
        raise InputError(f"methods are {', '.join(methods)!r}; give some of {', '.join(METHODS)}, each once")
    for config in configs.values():
        if config.frames.phases < 3 and {"wiener", "hifi"} & set(methods):
            raise InputError(
                f"wiener and hifi need at least 3 phases, but config.frames.phases is {config.frames.phases}; leave "
                "them out of --methods"
            )
    if NETWORK in methods and not models:
        raise InputError(f"the method {NETWORK} needs a network; give its --workdir, or leave it out of --methods")
    return [name for given in methods for name in (models if given == NETWORK else [given])]


def _rolling_options(config: Any) -> RollingFrcOptions:
    try:
        options = RollingFrcOptions(block=config.evaluation.rolling_block, skip=config.evaluation.rolling_skip)
    except ValueError as error:
        raise InputError(f"config.evaluation, rolling_block and rolling_skip: {error}") from error
    side = config.evaluation.size * config.frames.scale
    if options.block > side:
        raise InputError(
            f"config.evaluation.rolling_block is {options.block}, but images are {side} pixels wide; give at most that"
        )
    return options


def _methods(
    names: Sequence[str], config: Any, models: Mapping[str, TrainedModel], *, offset: float
) -> dict[str, Method]:
    microscope = Microscope.from_config(config)

    def method(name: str) -> Method:
        if name in models:
            model = models[name]
            return NetworkMethod(model.network, model.params, normalisation=model.normalisation)
        if name == "widefield":
            return WidefieldMethod(scale=microscope.scale)
        return ClassicalMethod(name, microscope, offset=offset)

    return {name: method(name) for name in names}


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
    summary, levels = result["summary"], [entry["level"] for entry in result["summary"]]
    last = ALL_LEVELS if ALL_LEVELS in levels else levels[-1]
    tables = [
        score_table(summary, ON_TERMINAL, caption="Held-out scenes", spread=False, targets=comparison.targets),
        score_table(summary, LIKENESS, caption="Likeness to the ground truth"),
        score_table(summary, RESOLUTION, caption="Resolution and fidelity", targets=comparison.targets),
    ]
    if len(comparison.methods) > 1:
        tables.append(paired_table(result["paired_tests"], _TESTED, level=last))
    return [*tables, worst_table(result["worst"])]


def _write(
    result: Mapping[str, Any],
    comparison: Comparison,
    tables: Sequence[Table],
    out: Path,
    *,
    models: Mapping[str, TrainedModel],
) -> None:
    (out / "tables.md").write_text("\n".join(to_markdown(table) for table in tables), encoding="utf-8")
    (out / "tables.tex").write_text("\n".join(to_latex(table) for table in tables), encoding="utf-8")
    worst = [case for case in result["worst"] if case["score"] == WORST_SCORE]
    made = [drawing.draw(out / "figures") for drawing in drawings(comparison, models, worst)]
    config = next(iter(result["provenance"]["configuration"].values()))
    page = Page(
        title=f"{_enumerate(map(method_label, comparison.methods))} on "
        f"{_enumerate(map(specimen_label, comparison.scenes))}",
        summary=_summary(result, comparison),
        tables=tables,
        figures=made,
        examples=[_labelled(example) for example in comparison.examples(most=config["evaluation"]["panels"])],
        provenance=result["provenance"],
    )
    write_report(out / "report.html", page)


def _labelled(example: Example) -> Example:
    """With names as in print; the target keeps its own, by which the viewer knows it."""
    images = {name if name == TARGET else method_label(name): image for name, image in example.images.items()}
    return replace(example, specimen=specimen_label(example.specimen), images=images)


def _enumerate(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _summary(result: Mapping[str, Any], comparison: Comparison) -> list[str]:
    first = next(iter(comparison.scenes.values()))
    networks = result["provenance"]["networks"].items()
    config = next(iter(result["provenance"]["configuration"].values()))
    ideal = config["simulation"]["target"] == "ideal"
    truth = "what ideal linear SIM could recover" if ideal else "Wiener SIM of a bright acquisition"
    trained = [f"{method_label(name)} was trained on {specimen_label(of['trained_on'])}" for name, of in networks]
    return [
        f"{len(comparison.methods)} methods on {len(first.target)} simulated scenes of each specimen, at "
        f"{len(first.raw_frames)} levels of fluorescence ({', '.join(first.raw_frames)}), that no network has seen in "
        f"training. {'; '.join(trained)}{'.' if trained else ''}".strip(),
        f"Likeness is to {truth}. Decorrelation analysis (DA) needs the image alone; Fourier ring correlation (FRC, "
        "rFRC) compares the images of two acquisitions that differ in their noise; RSP and RSE compare the image, "
        "blurred, with the widefield image.",
        "No single number says that an image is right: noise or invented detail can have a fine resolution. Ring "
        "correlation of a network says how well it repeats itself, not whether it is right; rFRC is not told where it "
        "has no value in more than half of the foreground, and cannot be below 2.3 pixels.",
        *result["remarks"],
    ]


def _other_microscopes(models: Mapping[str, TrainedModel], configs: Mapping[str, Any]) -> list[str]:
    config = next(iter(configs.values()))
    differ = {name: other_microscope(model, config) for name, model in models.items()}
    return [f"{name} was trained for another microscope: {', '.join(words)}" for name, words in differ.items() if words]


def _uncertain(methods: Mapping[str, Mapping[str, Method]], scenes: Mapping[str, Any]) -> list[str]:
    lines = []
    for specimen, by_name in methods.items():
        of = scenes[specimen]
        # Each acquisition is reconstructed twice, with different noise.
        acquisitions = 2 * sum(len(frames) for frames in of.raw_frames.values())
        for name, method in by_name.items():
            if isinstance(method, ClassicalMethod) and method.uncertain:
                lines.append(
                    f"{specimen}, {name}: in {method.uncertain} of {acquisitions} acquisitions the stripes of an "
                    "orientation were not found for certain"
                )
    return lines

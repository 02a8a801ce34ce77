"""`oidn-jax evaluate`: networks and classical methods on held-out scenes whose truth is known."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oidn_jax.commands.configuration import add_config, changed_config, check_changes, parse, with_data_root
from oidn_jax.commands.parser import DEFAULT_IS_USED, DEFAULT_WEIGHTS, OneLineParser, add_raw_frames
from oidn_jax.commands.run import run
from oidn_jax.errors import IllegalValue, InputError

if TYPE_CHECKING:
    from oidn_jax.evaluation.scenes import Scenes
    from oidn_jax.models.trained import TrainedModel
    from oidn_jax.simulation.settings import Simulation
    from oidn_jax.training.settings import TrainingRun

DESCRIPTION = """\
Compares networks with classical methods on held-out scenes of one or several specimens.

  oidn-jax evaluate --config=f_actin --workdir=runs/f_actin --out=results
  oidn-jax evaluate --config=f_actin --workdir=actin=runs/f_actin --workdir=er=runs/er \\
      --specimens=f_actin,er,ccps,microtubules --out=results
  oidn-jax evaluate --config=f_actin --methods=widefield,wiener,hifi --out=results
  oidn-jax evaluate --exposures weak.tif medium.tif --reference=bright.tif --methods=wiener,tv --out=results

Writes report.html, metrics.json, metrics.csv, tables in Markdown and LaTeX and figures to the output folder, and a
table to the terminal. The second method and all after it are tested against the first.

With --config.data.root=DIR (or BIOSR_ROOT in the environment) they are compared on the measured test cells of the
specimen there, level by level (docs/data.md).

With --exposures the methods are compared on one's own series of exposures of one field, without any truth: by ring
correlation with the brightest exposure, and by what the frames of that contradict."""


_OF_EXPOSURES = (
    "reference", "na", "emission_nm", "pixel_size_nm", "orientations", "phases", "frame_axis", "widefield_frame",
)  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, evaluates."""
    parser = OneLineParser("oidn-jax evaluate", DESCRIPTION)
    add_config(parser, what="specimen, microscope and scenes")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the results, made if missing")
    parser.add_argument(
        "--workdir",
        action="append",
        default=[],
        metavar="[NAME=]DIR",
        help="a training run, or a name of weights in the package; give it again to compare several; default: "
        f"{DEFAULT_WEIGHTS}, which comes with the package",
    )
    parser.add_argument("--checkpoint", choices=("best", "last"), help="default: best where there is one, else last")
    parser.add_argument(
        "--methods",
        metavar="NAMES",
        default="widefield,wiener,hifi,network",
        help="by commas, in the order of the tables, of widefield, wiener, true-wiener, hifi, tv, network (all "
        "that are given); default: widefield,wiener,hifi,network",
    )
    parser.add_argument(
        "--specimens", metavar="NAMES", help="to test on, by commas; default: that of the configuration"
    )
    parser.add_argument(
        "--save-raw", action="store_true", help="also write the first scene's raw frames of each level as TIFF"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an evaluation that is there")
    own = parser.add_argument_group("exposures of one field, of one's own")
    own.add_argument("--exposures", nargs="+", metavar="FILE", help="raw frames of one acquisition each, weakest first")
    own.add_argument("--reference", metavar="FILE", help="raw frames of the brightest exposure, not one of these")
    add_raw_frames(own)
    own.add_argument(
        "--own-stripes",
        action="store_true",
        help="look for the stripes of each exposure in it alone; default: the wave vectors are the reference's",
    )
    own.add_argument("--na", type=float, help="of detection; default: that of --config, or 1.49")
    own.add_argument("--emission-nm", type=float, metavar="NM", help="default: that of --config, or 525")
    options = parse(parser, arguments)
    if not options.workdir and "network" in options.methods.split(","):
        options.workdir = [DEFAULT_WEIGHTS]
    _check_kind(parser, options)
    command = sys.argv if arguments is None else ["oidn-jax", "evaluate", *arguments]
    body = evaluate if options.exposures is None else evaluate_exposures
    run(lambda: body(options, command), spell=parser.spell)


def _check_kind(parser: OneLineParser, options: argparse.Namespace) -> None:
    """Refuses flags of scenes for exposures, and the other way round."""
    if options.exposures is None:
        if options.config is None:
            parser.error("give --config=NAME for scenes whose truth is known, or --exposures of your own")
        given = {name: getattr(options, name) for name in _OF_EXPOSURES}
        given["frame_order"] = None if options.frame_order == parser.get_default("frame_order") else options.frame_order
        given["own_stripes"] = options.own_stripes or None
        for name in (name for name, value in given.items() if value is not None):
            parser.error(f"--{name.replace('_', '-')} is for --exposures")
        return
    if options.reference is None:
        parser.error("--exposures need --reference=FILE, the brightest exposure")
    for name in ("specimens", "save_raw"):
        if getattr(options, name):
            parser.error(f"--{name.replace('_', '-')} is of scenes, not of --exposures")
    check_changes(parser, argparse.Namespace(changes=options.changes, otf=None), ("microscope",))


def evaluate_exposures(options: argparse.Namespace, command: list[str]) -> None:
    """Reads the exposures, compares the methods on them."""
    import tempfile
    from dataclasses import replace

    from rich.console import Console

    from oidn_jax.acquisition import Acquisition, KnownIllumination
    from oidn_jax.classical.assessment import certain
    from oidn_jax.commands.progress import progress_bar
    from oidn_jax.commands.run import warn
    from oidn_jax.config import microscope_of
    from oidn_jax.data.raw_stack import RawStack, open_raw_stack
    from oidn_jax.evaluation.exposure_report import check_exposure_files, evaluate_exposures
    from oidn_jax.evaluation.exposures import keep_stripes
    from oidn_jax.evaluation.networks import network_labels
    from oidn_jax.evaluation.provenance import describe_run
    from oidn_jax.evaluation.report import chosen_methods
    from oidn_jax.evaluation.tables import to_terminal
    from oidn_jax.methods.classical import LABELS
    from oidn_jax.optics.microscope import Microscope
    from oidn_jax.training.parallel import describe_devices

    out = Path(options.out)
    check_exposure_files(out, overwrite=options.overwrite)
    given = {"na": options.na, "emission_wavelength_nm": options.emission_nm}
    given |= {name: getattr(options, name) for name in ("orientations", "phases", "pixel_size_nm")}
    microscope = (
        Microscope() if options.config is None else microscope_of(changed_config(options.config, options.changes))
    )
    microscope = replace(microscope, **{name: value for name, value in given.items() if value is not None})
    models = _networks(options)
    methods = chosen_methods(options.methods.split(","), models)
    for method in methods.values():
        method.check(microscope)

    def opened(file: str) -> RawStack:
        stack = open_raw_stack(
            Path(file),
            orientations=microscope.orientations,
            phases=microscope.phases,
            frame_order=options.frame_order,
            frame_axis=options.frame_axis,
            widefield_frame=options.widefield_frame,
            pixel_size_nm=options.pixel_size_nm,
        )
        counts = {
            "positions": stack.positions,
            "channels": stack.layout.channels,
            "time points or slices": stack.shape[0],
        }
        many = [f"{number} {name}" for name, number in counts.items() if number > 1]
        if many:
            raise InputError(f"{file} holds {' and '.join(many)}; an exposure is one acquisition: save it alone")
        return stack

    def checked(stack: RawStack, known: KnownIllumination | None = None) -> Acquisition:
        acquisition = Acquisition(stack, microscope, known=known, fit_damping=options.config is None, warn=warn)
        acquisition.check()
        acquisition.check_grouping()
        if known is not None and not certain(acquisition.estimate).all():
            _ = Acquisition(stack, microscope).estimate  # refuses frames in another order than the reference's
        return acquisition

    names = [Path(file).name for file in options.exposures]
    if len(set(names)) < len(names) or Path(options.reference).name in names:
        raise IllegalValue("exposures", ", ".join(names), "each file must have a name of its own, the reference too")
    stacks = [opened(file) for file in (options.reference, *options.exposures)]
    reference = checked(stacks[0])
    with tempfile.TemporaryDirectory() as folder:
        stripes = None if options.own_stripes else keep_stripes(reference, Path(folder))
        acquisitions = {name: checked(stack, stripes) for name, stack in zip(names, stacks[1:], strict=True)}
    labels = {name: label for name, label in {**LABELS, **network_labels(models)}.items() if name in methods}
    networks = {name: {**model.origin, "network": dict(model.fields)} for name, model in models.items()}
    vectors = "each exposure's own" if stripes is None else "the reference's, phases of each exposure"
    configuration = {"optics": microscope.describe(), "wave_vectors": vectors}
    provenance = describe_run(configuration, networks, seed=0, devices=describe_devices(), command=command)
    console = Console(width=None if sys.stdout.isatty() else 120)
    with progress_bar() as progress:
        table = evaluate_exposures(
            acquisitions,
            (Path(options.reference).name, reference),
            methods,
            {name: labels[name] for name in methods},
            out,
            provenance={"provenance": provenance},
            progress=progress,
        )
    console.print(to_terminal(table))
    console.print(f"wrote {out}: exposures.json, exposures.csv, exposures.md and figures", markup=False, emoji=False)


def evaluate(options: argparse.Namespace, command: list[str]) -> None:
    """Loads the networks, evaluates."""
    # Imported here, so that help and wrong flags need not wait for jax.
    from rich.console import Console

    from oidn_jax.commands.progress import progress_bar
    from oidn_jax.config import experiment_of
    from oidn_jax.evaluation.report import Surroundings
    from oidn_jax.evaluation.report import evaluate as evaluate_methods
    from oidn_jax.training.parallel import describe_devices

    experiment = experiment_of(changed_config(options.config, with_data_root(options.config, options.changes)))
    if experiment.run.data.root and options.specimens:
        raise InputError("`specimens` is of simulated scenes, and `config.data.root` of measured ones; leave one out")
    given = [field.removeprefix("simulation.") for field, _ in options.changes if field.startswith("simulation.")]
    names = options.specimens.split(",") if options.specimens else [experiment.run.simulation.specimen.name]
    simulations, configuration = _specimens(experiment.run.simulation, experiment.run.configuration, names, given)
    models = _networks(options)
    measured = _measured_scenes(experiment.run) if experiment.run.data.root else None
    console = Console(width=None if sys.stdout.isatty() else 120)
    with progress_bar() as progress:
        evaluate_methods(
            simulations,
            experiment.evaluation,
            models,
            Path(options.out),
            methods=options.methods.split(","),
            overwrite=options.overwrite,
            save_raw=options.save_raw,
            measured=measured,
            surroundings=Surroundings(
                show=partial(console.print, markup=False, emoji=False),  # a folder may be called x[/b]
                progress=progress,
                devices=describe_devices(),
                command=command,
                configuration=configuration,
            ),
        )


def _measured_scenes(run: "TrainingRun") -> dict[str, "Scenes"]:
    """The test cells on disk."""
    from oidn_jax.evaluation.measured import whole_scenes
    from oidn_jax.training.measured import choose_data

    data = choose_data(run, splits=("test",), say=print)
    scenes, lines = whole_scenes(data.measured, data.examined["test"], run.simulation)
    for line in lines:
        print(line)
    return {run.simulation.specimen.name: scenes}


def _specimens(
    simulation: "Simulation", configuration: Any, names: list[str], given: list[str]
) -> tuple[dict[str, "Simulation"], dict[str, Any]]:
    """Each specimen's simulation and configuration: the given one for its own, its defaults for the others.

    What was changed, as by `--config.simulation.camera.read_noise=3`, is meant for all of them.
    """
    from dataclasses import asdict, replace

    from oidn_jax.simulation.specimens import SPECIMENS
    from oidn_jax.training.checkpoint import plain

    if len(set(names)) < len(names):
        raise IllegalValue("specimens", ",".join(names), "give each once")
    for name in names:
        if name not in SPECIMENS:
            raise IllegalValue("specimens", name, f"legal: {', '.join(SPECIMENS)}")
    simulations = {
        name: replace(simulation, settings=simulation.settings.for_specimen(name, given=given)) for name in names
    }
    used = {name: configuration[name] for name in ("name", "microscope", "evaluation", "data")}
    described = {
        name: {"optics": simulation.microscope.describe(), **used, "simulation": plain(asdict(each.settings))}
        for name, each in simulations.items()
    }
    return simulations, described


def _networks(options: argparse.Namespace) -> dict[str, "TrainedModel"]:
    """The networks by the name of their method; a single one without a name has that of its architecture."""
    from oidn_jax import load
    from oidn_jax.evaluation.networks import NETWORK, name_networks

    models = {}
    for name, folder in name_networks(options.workdir).items():
        model = load(folder, checkpoint=options.checkpoint)
        models[model.fields["name"] if name == NETWORK else name] = model
    if options.workdir == [DEFAULT_WEIGHTS]:
        print(DEFAULT_IS_USED)
    return models

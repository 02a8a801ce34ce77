"""`oidn-jax evaluate`: networks and classical methods on held-out scenes whose truth is known."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oidn_jax.commands.configuration import add_config, changed_config, parse
from oidn_jax.commands.parser import OneLineParser
from oidn_jax.commands.run import run
from oidn_jax.errors import IllegalValue

if TYPE_CHECKING:
    from oidn_jax.models.trained import TrainedModel
    from oidn_jax.simulation.settings import Simulation

DESCRIPTION = """\
Compares networks with classical methods on held-out scenes of one or several specimens.

  oidn-jax evaluate --config=f_actin --workdir=runs/f_actin --out=results
  oidn-jax evaluate --config=f_actin --workdir=actin=runs/f_actin --workdir=er=runs/er \\
      --specimens=f_actin,er,ccps,microtubules --out=results
  oidn-jax evaluate --config=f_actin --methods=widefield,wiener,hifi --out=results

Writes report.html, metrics.json, metrics.csv, tables in Markdown and LaTeX and figures to the output folder, and a
table to the terminal. The second method and all after it are tested against the first."""


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, evaluates."""
    parser = OneLineParser("oidn-jax evaluate", DESCRIPTION)
    add_config(parser, what="specimen, microscope and scenes", required=True)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the results, made if missing")
    parser.add_argument(
        "--workdir",
        action="append",
        default=[],
        metavar="[NAME=]DIR",
        help="a training run, or a name of weights in the package; give it again to compare several",
    )
    parser.add_argument("--checkpoint", choices=("best", "last"), help="default: best where there is one, else last")
    parser.add_argument(
        "--methods",
        default="widefield,wiener,hifi,network",
        metavar="NAMES",
        help="by commas, in the order of the tables; network: all that are given; default: %(default)s",
    )
    parser.add_argument(
        "--specimens", metavar="NAMES", help="to test on, by commas; default: that of the configuration"
    )
    parser.add_argument(
        "--save-raw", action="store_true", help="also write the first scene's raw frames of each level as TIFF"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an evaluation that is there")
    options = parse(parser, arguments)
    command = sys.argv if arguments is None else ["oidn-jax", "evaluate", *arguments]
    run(lambda: evaluate(options, command), spell=parser.spell)


def evaluate(options: argparse.Namespace, command: list[str]) -> None:
    """Loads the networks, evaluates."""
    # Imported here, so that help and wrong flags need not wait for jax.
    from rich.console import Console

    from oidn_jax.commands.progress import progress_bar
    from oidn_jax.config import experiment_of
    from oidn_jax.evaluation.report import Surroundings
    from oidn_jax.evaluation.report import evaluate as evaluate_methods
    from oidn_jax.training.parallel import describe_devices

    experiment = experiment_of(changed_config(options.config, options.changes))
    given = [field.removeprefix("simulation.") for field, _ in options.changes if field.startswith("simulation.")]
    names = options.specimens.split(",") if options.specimens else [experiment.run.simulation.specimen.name]
    simulations, configuration = _specimens(experiment.run.simulation, experiment.run.configuration, names, given)
    models = _networks(options)
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
            surroundings=Surroundings(
                show=partial(console.print, markup=False, emoji=False),  # a folder may be called x[/b]
                progress=progress,
                devices=describe_devices(),
                command=command,
                configuration=configuration,
            ),
        )


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
    return models

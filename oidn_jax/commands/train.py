"""`oidn-jax train`: train a network."""

import argparse
import sys

from oidn_jax.commands.configuration import add_config, changed_config, parse
from oidn_jax.commands.parser import OneLineParser
from oidn_jax.commands.run import flag, run
from oidn_jax.errors import InputError

DESCRIPTION = """\
Trains a network on simulated acquisitions. The same command goes on from the last checkpoint; Ctrl-C and SIGTERM save
first. The folder of the run holds checkpoints (with the weights by themselves), metrics.jsonl, TensorBoard events and a
panel of pictures for each evaluation."""


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, trains."""
    parser = OneLineParser("oidn-jax train", DESCRIPTION)
    add_config(parser, what="what to train, on what and how", required=True)
    parser.add_argument(
        "--workdir", metavar="DIR", help="folder of the run; default: runs/ and the configuration's name"
    )
    options = parse(parser, arguments)
    run(lambda: train(options), spell=parser.spell)


def train(options: argparse.Namespace) -> None:
    """Joins the other hosts, trains; exits with 1 where the training diverges or another host is lost."""
    # Imported here, so that help and wrong flags need not wait for jax.
    from oidn_jax.config import experiment_of
    from oidn_jax.evaluation.validation import Validation
    from oidn_jax.training import parallel
    from oidn_jax.training.loop import TrainingDiverged
    from oidn_jax.training.loop import train as train_network

    experiment = experiment_of(changed_config(options.config, options.changes))
    workdir = options.workdir or f"runs/{experiment.run.name.replace(':', '_').replace(',', '_')}"
    parallel.initialise(experiment.distributed)
    validation = Validation(experiment.run.simulation, experiment.evaluation)
    try:
        train_network(experiment.run, workdir, evaluator=validation, say=print)
    except (TrainingDiverged, parallel.HostLost) as error:
        print(f"error: {InputError(str(error)).spelled(flag)}", file=sys.stderr)
        sys.exit(1)

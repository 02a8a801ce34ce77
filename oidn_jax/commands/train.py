"""`oidn-jax train`: train a network."""

import argparse
import shlex
import sys

from oidn_jax.commands.configuration import add_config, changed_config, parse, with_data_root
from oidn_jax.commands.parser import OneLineParser
from oidn_jax.commands.run import flag, run
from oidn_jax.errors import InputError

DESCRIPTION = """\
Trains a network on simulated acquisitions, or with --config.data.root=DIR (or BIOSR_ROOT in the environment) on the
measured ones of its specimen there, as BioSR and the DL-SR code lay them out (docs/data.md).

The same command goes on from the last checkpoint; Ctrl-C and SIGTERM save first. The folder of the run holds
checkpoints (with the weights by themselves), metrics.jsonl, TensorBoard events and a panel of pictures for each
evaluation. Exit codes: 0 finished, or stopped and saved; 1 diverged, the disk is full or another host is lost; 2 a
mistake in what was given; 130 a second Ctrl-C, without saving."""


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, trains."""
    parser = OneLineParser("oidn-jax train", DESCRIPTION)
    add_config(parser, what="what to train, on what and how", required=True)
    parser.add_argument(
        "--workdir", metavar="DIR", help="folder of the run; default: runs/ and the configuration's name"
    )
    parser.add_argument(
        "--on-metrics",
        metavar="MODULE:FUNCTION",
        help="a function that is called with each record of metrics.jsonl, as for an experiment tracker; of a module "
        "that Python finds, or of a FILE.py, which is a Python program and is run; of several hosts on the first",
    )
    options = parse(parser, arguments)
    command = ["python", *sys.argv] if arguments is None else ["oidn-jax", "train", *arguments]
    run(lambda: train(options, command), spell=parser.spell)


def train(options: argparse.Namespace, command: list[str]) -> None:
    """Joins the other hosts, trains; exits with 1 where the training diverges or another host is lost."""
    # Imported here, so that help and wrong flags need not wait for jax.
    from oidn_jax.commands.hook import function_of
    from oidn_jax.config import experiment_of
    from oidn_jax.evaluation.measured import validation_scenes
    from oidn_jax.evaluation.validation import Validation
    from oidn_jax.training import parallel
    from oidn_jax.training.loop import TrainingDiverged
    from oidn_jax.training.loop import train as train_network

    experiment = experiment_of(changed_config(options.config, with_data_root(options.config, options.changes)))
    workdir = options.workdir or f"runs/{experiment.run.name.replace(':', '_').replace(',', '_')}"
    parallel.initialise(experiment.distributed)
    main = parallel.is_main_process()
    # On one host: a tracker wants to hear of a run once.
    hook_here = options.on_metrics if main else None
    hook = parallel.on_all(lambda: function_of("on_metrics", hook_here) if hook_here else None)
    run, source, data = experiment.run, None, None
    validation = Validation(run.simulation, experiment.evaluation)
    if run.data.root:
        # Imported here, as simulated data need no reader of files.
        from oidn_jax.training.measured import MeasuredBatches, choose_data

        speak = print if main else lambda line: None
        measured = parallel.on_all(lambda: choose_data(run, say=speak))
        with parallel.lost_hosts_named():
            parallel.agree({"content of data.root": measured.content})
        source = parallel.on_all(lambda: MeasuredBatches(run, measured, say=speak))
        data = measured.origin(run, training=source.pairs)
        validation = None
        if measured.validation:
            validation = Validation.of_scenes(
                lambda: validation_scenes(
                    measured.measured, measured.validation, run.simulation, experiment.evaluation
                ),
                experiment.evaluation,
            )
        else:
            speak("no acquisition is for validation (`data.split.validation`): no best checkpoint is kept")
    try:
        finished = train_network(
            run, workdir, batch_at=source, data=data, evaluator=validation, say=print, on_metrics=hook
        ).finished
    except (TrainingDiverged, parallel.HostLost) as error:
        print(f"error: {InputError(str(error)).spelled(flag)}", file=sys.stderr)
        sys.exit(1)
    finally:
        if source is not None:
            source.close()
    if not finished and main:
        print(f"  {shlex.join(command)}")

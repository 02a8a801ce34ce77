"""`oidn-jax adapt`: a trained guided network goes on learning from one's own raw files, without any truth."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from oidn_jax.commands.acquisitions import (
    add_microscope,
    add_stripes,
    check_acquisitions,
    microscopes_of,
    reading_of,
)
from oidn_jax.commands.configuration import check_changes, parse
from oidn_jax.commands.parser import DEFAULT_IS_USED, DEFAULT_WEIGHTS, RAW_FILES, OneLineParser
from oidn_jax.commands.run import run, warn
from oidn_jax.errors import printable

if TYPE_CHECKING:
    from oidn_jax.acquisition import Acquisition
    from oidn_jax.models.trained import TrainedModel

DESCRIPTION = """\
Goes on training a guided network on raw files of one's own, whose truth nobody knows.

  oidn-jax adapt cells/*.tif --na=1.3 --emission-nm=607 --out=adapted
  oidn-jax adapt weak.tif --pair=bright.tif --workdir=runs/guided --na=1.3 --emission-nm=607 --out=adapted
  oidn-jax reconstruct cells/*.tif --workdir=adapted --na=1.3 --emission-nm=607 --out=images

A part of the field is never learned from and says when to stop. Where no step serves it better than the weights given
by more than chance, nothing is written, and the command ends with 1. Ctrl-C ends it early and keeps the best so far."""


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, adapts."""
    parser = _parser()
    options = parse(parser, arguments)
    check_acquisitions(parser, options)
    check_changes(parser, options, ("microscope",))
    run(lambda: adapt(options, parser), spell=parser.spell)


def _parser() -> OneLineParser:
    parser = OneLineParser("oidn-jax adapt", DESCRIPTION)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=RAW_FILES)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the adapted weights, made if missing")
    parser.add_argument(
        "--workdir",
        default=DEFAULT_WEIGHTS,
        metavar="DIR",
        help="what to start from: a training run of a guided network, a folder of weights, or a name of weights in the "
        "package; default: %(default)s, which comes with the package",
    )
    parser.add_argument("--checkpoint", choices=("best", "last"), help="default: best where there is one, else last")
    parser.add_argument(
        "--pair",
        metavar="FILE",
        action="append",
        help="a brighter exposure of the same field, which the image of the weaker one must explain; again for each "
        "further INPUT, in their order",
    )
    parser.add_argument("--steps", type=int, metavar="N", help="at most; default: 400")
    parser.add_argument("--seed", type=int, default=0, help="of noise and of what is held out; default: %(default)s")
    parser.add_argument("--overwrite", action="store_true", help="replace weights that are there")
    add_stripes(parser.add_argument_group("stripes"))
    add_microscope(parser, parser.add_argument_group("raw frames, microscope and camera"))
    return parser


def adapt(options: argparse.Namespace, parser: OneLineParser) -> None:
    """Loads the weights, opens the files, adapts, writes; exits with 1 where nothing got better."""
    # Imported here, so that help and wrong flags need not wait for jax.
    from oidn_jax.commands.progress import progress_bar
    from oidn_jax.models.weights import check_folder, write_model
    from oidn_jax.training.adaptation import AdaptationSettings, adapt_acquisitions
    from oidn_jax.training.loop import StopRequest

    steps = {} if options.steps is None else {"steps": options.steps}
    settings = AdaptationSettings(**steps, seed=options.seed)
    out, model = Path(options.out), _start(options)
    check_folder(out, overwrite=options.overwrite)
    acquisitions = _opened(options, options.inputs, model, parser)
    brighter = None if options.pair is None else _opened(options, options.pair, model, parser)

    def say(line: str) -> None:
        print(printable(line))

    with progress_bar() as bar, StopRequest(say) as request:
        adapted = adapt_acquisitions(
            acquisitions,
            model,
            brighter=brighter,
            settings=settings,
            progress=lambda step, steps, loss: bar(f"held-out loss {loss:.5f}", step / steps),
            stop=lambda: request.requested,
        )
    change = f"{adapted.before:.5f} to {adapted.after:.5f} (standard error {adapted.error:.5f})"
    if not adapted.better:
        print(f"none of {adapted.steps} steps is better than the weights given: nothing is written", file=sys.stderr)
        sys.exit(1)
    write_model(out, adapted.model)
    say(f"{out}: step {adapted.step} of {adapted.steps}, held-out loss {change}")


def _start(options: argparse.Namespace) -> "TrainedModel":
    """The weights that are adapted: the one place that knows where they come from."""
    from oidn_jax import load

    model = load(options.workdir, checkpoint=options.checkpoint)
    if options.workdir == DEFAULT_WEIGHTS:
        print(DEFAULT_IS_USED)
    return model


def _opened(
    options: argparse.Namespace, files: list[str], model: "TrainedModel", parser: OneLineParser
) -> "list[Acquisition]":
    """The acquisitions of raw files, as `reconstruct` opens them."""
    from oidn_jax.methods import NetworkMethod
    from oidn_jax.reconstruction import Messages, open_acquisitions

    microscopes, optics_from, assumed = microscopes_of(options)
    return open_acquisitions(
        files,
        NetworkMethod(model),
        microscope=microscopes,
        reading=reading_of(options, optics_from=optics_from, assumed=assumed),
        messages=Messages(warn=lambda message: warn(message, spell=parser.spell)),
    )

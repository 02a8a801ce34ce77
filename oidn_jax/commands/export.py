"""`oidn-jax export`: simulated cells as files that other programs read."""

import argparse
from pathlib import Path

from oidn_jax.commands.configuration import add_config, changed_config, parse
from oidn_jax.commands.parser import OneLineParser
from oidn_jax.commands.run import run

DESCRIPTION = """\
Writes simulated cells as BioSR lays them out (Priism MRC files) and as DL-SR's patch folders (TIFF), with their truth
beside them, so that any program that reads those can be tried on data whose truth is known."""


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, simulates, writes."""
    parser = OneLineParser("oidn-jax export", DESCRIPTION)
    add_config(parser, what="specimen and microscope", required=True)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the data set, made if missing")
    parser.add_argument("--cells", type=int, default=1, metavar="N", help="how many cells; default: %(default)s")
    parser.add_argument(
        "--size", type=int, default=502, metavar="PX", help="side of the raw frames; default: %(default)s"
    )
    parser.add_argument(
        "--patches",
        type=int,
        default=16,
        metavar="N",
        help="patches cut from each cell, 0 for none; default: %(default)s",
    )
    parser.add_argument(
        "--patch", type=int, default=128, metavar="PX", help="side of a raw patch; default: %(default)s"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the cells; default: %(default)s")
    parser.add_argument("--overwrite", action="store_true", help="remove an export of this specimen that is there")
    options = parse(parser, arguments)
    if options.patches == 0 and options.patch != parser.get_default("patch"):
        parser.error("--patch has no use with --patches=0; leave one of them out")
    run(lambda: export(options), spell=parser.spell)


def export(options: argparse.Namespace) -> None:
    """Writes the cells one by one."""
    # Imported here, so that help and wrong flags need not wait for jax.
    from oidn_jax.config import experiment_of
    from oidn_jax.simulation.export.biosr import Export, export_cells

    settings = Export(
        experiment_of(changed_config(options.config, options.changes)).run.simulation,
        Path(options.out),
        cells=options.cells,
        size=options.size,
        patches=options.patches,
        patch=options.patch,
        seed=options.seed,
        overwrite=options.overwrite,
    )
    for _ in export_cells(settings, say=print):
        pass

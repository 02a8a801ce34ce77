"""`oidn-jax export`: simulated cells, or a trained network, as files that other programs read."""

import argparse
from pathlib import Path

from oidn_jax.commands.configuration import add_config, changed_config, parse
from oidn_jax.commands.parser import OneLineParser
from oidn_jax.commands.run import run

DESCRIPTION = """\
Writes simulated cells as BioSR lays them out (Priism MRC files) and as DL-SR's patch folders (TIFF), with their truth
beside them, so that any program that reads those can be tried on data whose truth is known.

  oidn-jax export --config=f_actin --out=cells

With --format=torch it writes the weights of a network (oidn, apcan, or dfcan with variant=authors) as a checkpoint that
the PyTorch code of OIDN's authors loads.

  oidn-jax export --format=torch --workdir=runs/f_actin --out=best.pth.tar

With --format=stablehlo it writes a network with its weights as a program that jax runs without flax or this package,
on CPU, CUDA and TPU, and a JSON that says what it takes: OUT/network.jax_export and OUT/network.json.

  oidn-jax export --format=stablehlo --workdir=guided --out=program
  oidn-jax export --format=stablehlo --workdir=runs/f_actin --size=256,256 --out=program"""
_CELLS = ("config", "cells", "size", "patches", "patch", "seed")
_NETWORK = ("workdir", "checkpoint")
# Of each format, the flag that it needs and those that it has no use for.
_FLAGS = {
    "biosr": ("config", _NETWORK),
    "torch": ("workdir", _CELLS),
    "stablehlo": ("workdir", tuple(name for name in _CELLS if name != "size")),
}
_CELL_SIZE = 502  # of BioSR


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, writes."""
    parser = _parser()
    options = parse(parser, arguments)
    needed, useless = _FLAGS[options.format]
    for name in useless:
        if getattr(options, name) != parser.get_default(name):
            parser.error(f"--{name} has no use with --format={options.format}; leave one of them out")
    if getattr(options, needed) is None:
        parser.error(f"--format={options.format} needs --{needed}")
    if options.patches == 0 and options.patch != parser.get_default("patch"):
        parser.error("--patch has no use with --patches=0; leave one of them out")
    if options.format == "biosr" and options.size is not None and len(options.size) > 1:
        parser.error("--size is one number with --format=biosr, whose frames are square; give it as --size=502")
    exports = {"biosr": export_simulated, "torch": export_network, "stablehlo": export_stablehlo}
    run(lambda: exports[options.format](options), spell=parser.spell)


def _size(text: str) -> tuple[int, ...]:
    """PX, or H,W."""
    words = text.split(",")
    if len(words) > 2 or not all(word.isdecimal() for word in words):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels, as 502, nor height,width, as 256,320")
    return tuple(map(int, words))


def _parser() -> OneLineParser:
    parser = OneLineParser("oidn-jax export", DESCRIPTION)
    parser.add_argument(
        "--out", required=True, metavar="PATH", help="folder of the cells or the program, or file of the network"
    )
    parser.add_argument(
        "--format",
        choices=tuple(_FLAGS),
        default="biosr",
        help="biosr: simulated cells; torch, stablehlo: a network; default: biosr",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an export that is there")
    cells = parser.add_argument_group("simulated cells")
    add_config(cells, what="specimen and microscope")
    cells.add_argument("--cells", type=int, default=1, metavar="N", help="how many cells; default: %(default)s")
    cells.add_argument(
        "--size",
        type=_size,
        metavar="PX",
        help=f"side of the raw frames; default: {_CELL_SIZE}; with --format=stablehlo PX or H,W: the one size that the "
        "program takes; default: any, which networks that take Fourier transforms (oidn, apcan, dfcan) cannot",
    )
    cells.add_argument(
        "--patches",
        type=int,
        default=16,
        metavar="N",
        help="patches cut from each cell, 0 for none; default: %(default)s",
    )
    cells.add_argument("--patch", type=int, default=128, metavar="PX", help="side of a raw patch; default: %(default)s")
    cells.add_argument("--seed", type=int, default=0, metavar="N", help="of the cells; default: %(default)s")
    network = parser.add_argument_group("a network, --format=torch or stablehlo")
    network.add_argument("--workdir", metavar="DIR", help="training run, or folder of a model")
    network.add_argument("--checkpoint", choices=("best", "last"), help="default: best where there is one, else last")
    return parser


def export_network(options: argparse.Namespace) -> None:
    """Writes the weights."""
    from oidn_jax import load
    from oidn_jax.data.atomic import check_target
    from oidn_jax.data.torch_file import write_state
    from oidn_jax.models.published import to_published

    path = Path(options.out)
    check_target(path, overwrite=options.overwrite)
    model = load(options.workdir, checkpoint=options.checkpoint)
    state = to_published(model)
    write_state(path, state)
    print(f"{path}: {model.label} of {options.workdir}, {len(state)} tensors under model_state_dict")


def export_stablehlo(options: argparse.Namespace) -> None:
    """Writes the program."""
    from oidn_jax import load
    from oidn_jax.methods.portable import check_program, write_program

    folder = Path(options.out)
    check_program(folder, overwrite=options.overwrite)
    model = load(options.workdir, checkpoint=options.checkpoint)
    size = None if options.size is None else (options.size[0], options.size[-1])
    described = write_program(folder, model, size=size)
    shape = ", ".join(map(str, described["input"]["shape"]))
    print(f"{folder}: {model.label} of {options.workdir} for {', '.join(described['platforms'])}; it takes ({shape})")


def export_simulated(options: argparse.Namespace) -> None:
    """Writes the cells one by one."""
    # Imported here, so that help and wrong flags need not wait for jax.
    from oidn_jax.config import experiment_of
    from oidn_jax.simulation.export.biosr import Export, export_cells

    settings = Export(
        experiment_of(changed_config(options.config, options.changes)).run.simulation,
        Path(options.out),
        cells=options.cells,
        size=_CELL_SIZE if options.size is None else options.size[0],
        patches=options.patches,
        patch=options.patch,
        seed=options.seed,
        overwrite=options.overwrite,
    )
    for _ in export_cells(settings, say=print):
        pass

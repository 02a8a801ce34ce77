"""`oidn-jax import`: a published checkpoint of PyTorch as a model that every other command takes.

The module has the name of its command, which is a word of Python: it is imported by `import_module`.
"""

import argparse
from pathlib import Path

from oidn_jax.commands.configuration import add_config, changed_config, check_changes, parse
from oidn_jax.commands.parser import PUBLISHED, OneLineParser, add_otf
from oidn_jax.commands.run import run

DESCRIPTION = """\
Turns a checkpoint that the authors of OIDN published, or that their PyTorch code has trained, into a model:

  oidn-jax import best.pth.tar --model=oidn --out=models/authors
  oidn-jax reconstruct cell.tif --workdir=models/authors --out=reconstructed

PyTorch is not needed, and nothing of the file is run: it is refused where it holds anything else than numbers.
`oidn-jax export --format=torch` is the way back."""


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, reads, writes the model."""
    parser = _parser()
    options = parse(parser, arguments)
    check_changes(parser, options, ("microscope",))
    run(lambda: import_checkpoint(options), spell=parser.spell)


def _parser() -> OneLineParser:
    parser = OneLineParser("oidn-jax import", DESCRIPTION)
    parser.add_argument("checkpoint", metavar="FILE", help="as best.pth.tar, with `model_state_dict`")
    parser.add_argument("--model", required=True, choices=PUBLISHED, help="the network that it is of")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the model, made if missing")
    parser.add_argument("--overwrite", action="store_true", help="replace a model that is there")
    add_config(parser, what="microscope in place of that of BioSR, which a checkpoint does not say")
    add_otf(parser)
    return parser


def import_checkpoint(options: argparse.Namespace) -> None:
    """Reads, converts, writes, and says what it was."""
    # Imported here, so that help and wrong flags need not wait for jax.
    from dataclasses import replace

    from oidn_jax.config import default_config, measured_otf, microscope_of
    from oidn_jax.data.torch_file import read_state
    from oidn_jax.models.published import to_model
    from oidn_jax.models.weights import check_folder, write_model

    folder, source = Path(options.out), Path(options.checkpoint)
    check_folder(folder, overwrite=options.overwrite)
    config = default_config() if options.config is None else changed_config(options.config, options.changes)
    microscope = microscope_of(config)
    if options.otf is not None:
        microscope = replace(microscope, measured_otf=measured_otf(options.otf))
    parameters = read_state(source)
    model = to_model(parameters, network=options.model, microscope=microscope, source=source.name)
    write_model(folder, model)
    count = sum(value.size for value in parameters.values())
    sizes = ", ".join(f"{name} {model.fields[name]}" for name in ("width", "groups", "blocks"))
    print(f"{folder}: {model.label} of {source}, {sizes}, {count:,} numbers; it takes raw frames normalised per frame")

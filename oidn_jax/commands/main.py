"""The command `oidn-jax`: the first word chooses what to do, and only what it needs is imported."""

import sys
from importlib import import_module

from oidn_jax.commands.interrupts import take_interrupts
from oidn_jax.version import __version__

COMMANDS = {
    "train": "train a network",
    "adapt": "go on training a guided network on raw files of one's own",
    "evaluate": "score networks and classical methods on scenes whose truth is known",
    "reconstruct": "reconstruct raw files, or judge an image that was made elsewhere",
    "measure": "measure the resolution of an image, or of two images of one object",
    "inspect": "tell what a raw file says of itself: stripes, camera, light, bleaching",
    "data": "look at measured data on disk, BioSR and DL-SR patches, and prepare them",
    "laws": "check the model of image formation for a microscope",
    "export": "write simulated cells, or a trained network, as files that other programs read",
    "experiments": "train and compare the networks of a suite: ablation, baselines, generalisation, PSF",
    "import": "turn a published checkpoint of PyTorch into a model",
}
HELP = f"""oidn-jax {__version__}: structured illumination microscopy, from raw frames to super-resolved images.

usage: oidn-jax COMMAND [--flag=value ...]

{chr(10).join(f"  {name:12} {text}" for name, text in COMMANDS.items())}

oidn-jax COMMAND --help tells what a command takes; oidn-jax --version the version."""


def main(arguments: list[str] | None = None) -> None:
    """Hands the rest of the command line to the command that its first word names."""
    if arguments is None:
        take_interrupts()
    words = sys.argv[1:] if arguments is None else arguments
    first = words[0] if words else "--help"
    if first in ("--help", "-h", "help"):
        print(HELP)
    elif first == "--version":
        print(__version__)
    elif first in COMMANDS:
        import_module(f"oidn_jax.commands.{first}").main(words[1:])
    else:
        print(f"error: oidn-jax has no command {first!r}; legal: {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)


def script(command: str) -> None:
    """The command as a program of its own, whose command line is that of the process."""
    take_interrupts()
    import_module(f"oidn_jax.commands.{command}").main()


if __name__ == "__main__":
    main()

"""argparse as every command uses it: flags in full, mistakes in one line; and flags that several commands have."""

import argparse
from typing import NoReturn

RAW_FILES = "raw frames: TIFF, ImageJ or OME-TIFF, MRC or DV"


class OneLineParser(argparse.ArgumentParser):
    """A mistake in the flags prints `error: ...` on stderr and exits with 2."""

    def __init__(self, prog: str, description: str) -> None:
        """A parser whose description is printed as it is written, and whose flags are written in full."""
        super().__init__(
            prog=prog,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """One line, without the usage."""
        self.exit(2, f"error: {message}; see --help\n")


def add_raw_frames(group: argparse._ActionsContainer) -> None:
    """How raw files are read."""
    group.add_argument(
        "--frame-order",
        choices=("orientation-phase", "phase-orientation"),
        default="orientation-phase",
        help="which of the two changes slowly in the file, named first; default: %(default)s",
    )
    group.add_argument("--pixel-size-nm", type=float, metavar="NM", help="of the raw frames, if the file is wrong")


def add_otf(group: argparse._ActionsContainer) -> None:
    """An OTF that was measured."""
    group.add_argument(
        "--otf", metavar="FILE", help="measured radial OTF, a Priism file, in place of the theoretical one"
    )

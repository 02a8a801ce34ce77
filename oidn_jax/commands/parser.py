"""argparse as every command uses it: flags in full, mistakes in one line; and flags that several commands have."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from oidn_jax.commands.run import flag

RAW_FILES = "raw frames: TIFF, ImageJ or OME-TIFF, MRC or DV; or a folder with a file for each frame"
DEFAULT_WEIGHTS = "guided"  # those in the package that a network is without --workdir
PUBLISHED = ("oidn", "apcan", "dfcan")  # those of `models.published`, without importing jax
DEFAULT_IS_USED = f"the network is {DEFAULT_WEIGHTS!r}, which comes with the package; its card: docs/model_guided.md"
# Those of `data.raw_stack`, without importing numpy for help and wrong flags.
FRAME_ORDERS = ("paz", "apz", "pza", "azp", "zpa", "zap", "orientation-phase", "phase-orientation", "montage")


class OneLineParser(argparse.ArgumentParser):
    """A mistake in the flags prints `error: ...` on stderr and exits with 2.

    A flag without a value, as `--illumination=` of a variable that nobody set, is a mistake.
    """

    def __init__(self, prog: str, description: str) -> None:
        """A parser whose description is printed as it is written, and whose flags are written in full."""
        super().__init__(
            prog=prog,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def parse_known_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As argparse does, but refuses empty values."""
        options, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            value = getattr(options, action.dest, None)
            if "" in (value if isinstance(value, list) else [value]):
                name = action.option_strings[0] if action.option_strings else action.metavar
                self.error(f"{name} is empty; give it a value or leave it out")
        return options, rest

    def spell(self, setting: str) -> str | None:
        """The flag of this command that sets a setting; None where it has none."""
        return self.known(flag(setting))

    def known(self, name: str | None) -> str | None:
        """The flag if this command has it, else None."""
        option = "--config" if name and name.startswith("--config.") else name
        return name if option in self._option_string_actions else None

    def error(self, message: str) -> NoReturn:
        """One line, without the usage."""
        self.exit(2, f"error: {message}; see --help\n")


def add_raw_frames(group: argparse._ActionsContainer) -> None:
    """How raw files are read."""
    group.add_argument(
        "--frame-order",
        "--order",
        choices=FRAME_ORDERS,
        default="paz",
        metavar="ORDER",
        help="what changes fastest in the file, first: p phase, a orientation, z slice; paz, apz, pza (OMX), azp, zpa, "
        "zap (Zeiss); orientation-phase is paz and phase-orientation apz; montage: side by side in one image; default: "
        "%(default)s",
    )
    group.add_argument(
        "--frame-axis",
        metavar="LETTER",
        help="axis of the file that the frames are on: T, Z, C, ...; default: found",
    )
    group.add_argument(
        "--widefield-frame",
        choices=("first", "last"),
        help="each acquisition has one more frame there, without stripes, which is left out",
    )
    group.add_argument("--orientations", type=int, metavar="N", help="illumination directions; default: 3")
    group.add_argument("--phases", type=int, metavar="N", help="frames of each direction; default: 3")
    group.add_argument("--pixel-size-nm", type=float, metavar="NM", help="of the raw frames, if the file is wrong")


def add_camera_maps(group: argparse._ActionsContainer) -> None:
    """Maps of the pixels of a CMOS; their names are those of `CameraSettings`."""
    frames = "a file with one image of the frames' size, rows as programs show both"
    group.add_argument(
        "--gain-map", metavar="FILE", help=f"gain of each pixel of the camera, counts per photo-electron: {frames}"
    )
    group.add_argument("--offset-map", metavar="FILE", help="likewise its counts without light")
    group.add_argument(
        "--variance-map", metavar="FILE", help="likewise the variance of its counts without light, counts squared"
    )


def camera_maps(options: argparse.Namespace) -> tuple[Path | None, Path | None, Path | None]:
    """Of gain, offset and variance, as `CameraSettings` takes them."""
    gain, offset, variance = (
        None if file is None else Path(file) for file in (options.gain_map, options.offset_map, options.variance_map)
    )
    return gain, offset, variance


def add_otf(group: argparse._ActionsContainer) -> None:
    """An OTF that was measured."""
    group.add_argument(
        "--otf", metavar="FILE", help="measured radial OTF, a Priism file, in place of the theoretical one"
    )

"""The flags of `python -m oidn_jax.metrics`."""

import argparse
from typing import Any

from configs.one_line_parser import OneLineParser

DEFAULT_SKIP = 4
MOST_SECTORS = 36


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line; a mistake prints one line and exits with 2."""
    parser = _parser()
    options = parser.parse_intermixed_args(arguments)
    if len(options.images) > 2:
        parser.error(f"{len(options.images)} images are given; give one, or two of the same object")
    if options.correct_drift and len(options.images) == 1:
        parser.error("--correct-drift aligns a second image, and there is only one")
    if options.sectors is not None and not 1 <= options.sectors <= MOST_SECTORS:
        parser.error(f"--sectors is {options.sectors}; legal: 1 to {MOST_SECTORS}")
    if options.no_rolling and options.map is not None:
        parser.error("--map writes the map that --no-rolling leaves out; give one of them")
    for name in ("plot", "map"):
        if getattr(options, name) == "":
            parser.error(f"--{name} is empty; name a file")
    return options


def map_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of `RollingFrcOptions`."""
    return {
        "block": options.block,
        "skip": options.skip,
        "background": options.background,
        "flavour": options.flavour,
        "crossing": options.crossing,
        "median": not options.no_median,
        "correct_drift": options.correct_drift,
    }


def _parser() -> OneLineParser:
    flags = OneLineParser(
        prog="python -m oidn_jax.metrics",
        description="Resolution of an image by decorrelation analysis and Fourier ring correlation. Measure images on "
        "their own pixels: interpolated ones seem finer than they are.",
        allow_abbrev=False,
    )
    flags.add_argument("images", nargs="+", metavar="IMAGE", help="TIFF or MRC; a second one for ring correlation")
    flags.add_argument("--pixel-size-nm", type=float, metavar="NM", help="of the images, if the file is wrong")
    flags.add_argument("--index", type=int, metavar="N", help="which image of a file with several, from 0")
    flags.add_argument("--json", action="store_true", help="print one JSON object")
    flags.add_argument("--plot", metavar="FILE", help="draw curves and map: .png, .pdf or .svg")
    flags.add_argument("--map", metavar="FILE", help="write the map of the local resolution as TIFF")
    flags.add_argument("--overwrite", action="store_true", help="replace existing files")
    flags.add_argument("--sectors", type=int, metavar="N", help="decorrelation analysis of N directions too")
    rolling = flags.add_argument_group("rolling FRC (of a single image, pixels are those of its quarters)")
    rolling.add_argument("--no-rolling", action="store_true", help="leave the map out")
    rolling.add_argument("--block", type=int, default=64, metavar="PX", help="side of the blocks; default: %(default)s")
    rolling.add_argument(
        "--skip", type=int, default=DEFAULT_SKIP, metavar="PX", help="distance of the blocks; default: %(default)s"
    )
    rolling.add_argument(
        "--background", type=float, default=5.0, metavar="B", help="0 to 255, dark pixels; default: %(default)s"
    )
    rolling.add_argument(
        "--flavour", choices=("panelm", "panelpy"), default="panelm", help="whose program; default: %(default)s"
    )
    rolling.add_argument("--crossing", choices=("3-sigma", "1/7"), default="3-sigma", help="default: %(default)s")
    rolling.add_argument("--no-median", action="store_true", help="without the adaptive median filter")
    rolling.add_argument("--correct-drift", action="store_true", help="align the second image with the first")
    return flags

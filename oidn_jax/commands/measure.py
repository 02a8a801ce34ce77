"""`oidn-jax measure`: the resolution of an image, or of two images of one object."""

import argparse
import json
from pathlib import Path

from oidn_jax.commands.parser import OneLineParser
from oidn_jax.commands.run import run, warn
from oidn_jax.errors import printable

MOST_SECTORS = 36
DESCRIPTION = """\
Resolution of an image by decorrelation analysis and Fourier ring correlation (FRC): of the image alone, or against a
second image of the same object with noise of its own. Measure images on their own pixels: interpolated ones seem finer
than they are."""

# Flags of the map of the local resolution.
_ROLLING = ("block", "skip", "background", "flavour", "crossing", "no_median", "correct_drift")


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, measures, prints."""
    options = parse(arguments)
    run(lambda: measure(options), spell=_parser().spell)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The flags; a mistake prints one line and exits with 2."""
    parser = _parser()
    options = parser.parse_intermixed_args(arguments)
    changed = [name for name in _ROLLING if getattr(options, name) != parser.get_default(name)]
    if options.no_rolling and changed:
        parser.error(f"--{changed[0].replace('_', '-')} is of the map that --no-rolling leaves out; give one of them")
    if len(options.images) > 2:
        parser.error(f"{len(options.images)} images are given; give one, or two of the same object")
    if options.correct_drift and len(options.images) == 1:
        parser.error("--correct-drift aligns a second image, and there is only one")
    if options.sectors is not None and not 1 <= options.sectors <= MOST_SECTORS:
        parser.error(f"--sectors is {options.sectors}; legal: 1 to {MOST_SECTORS}")
    if options.no_rolling and options.map is not None:
        parser.error("--map writes the map that --no-rolling leaves out; give one of them")
    return options


def _parser() -> OneLineParser:
    parser = OneLineParser("oidn-jax measure", DESCRIPTION)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="TIFF or MRC; a second one for ring correlation")
    parser.add_argument("--pixel-size-nm", type=float, metavar="NM", help="of the images, if the file is wrong")
    parser.add_argument("--index", type=int, metavar="N", help="which image of a file with several, from 0")
    parser.add_argument("--sectors", type=int, metavar="N", help="decorrelation analysis along N directions too")

    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    output.add_argument("--plot", metavar="FILE", help="draw curves and map: .png, .pdf or .svg")
    output.add_argument("--map", metavar="FILE", help="write the map of the local resolution as TIFF for ImageJ")
    output.add_argument("--overwrite", action="store_true", help="replace existing files")

    rolling = parser.add_argument_group(
        "map of the local resolution (rolling FRC)", "Of a single image, pixels are those of its four quarters."
    )
    rolling.add_argument("--no-rolling", action="store_true", help="leave the map out, which takes longest")
    rolling.add_argument("--block", type=int, default=64, metavar="PX", help="side of the blocks; default: %(default)s")
    rolling.add_argument("--skip", type=int, default=4, metavar="PX", help="distance of blocks; default: %(default)s")
    rolling.add_argument(
        "--background",
        type=float,
        default=5.0,
        metavar="B",
        help="leave out what is darker, on a scale from 0 to 255 of the image's maximum; default: %(default)s",
    )
    rolling.add_argument(
        "--flavour",
        choices=("panelm", "panelpy"),
        default="panelm",
        help="which of the authors' two programs to agree with; default: %(default)s",
    )
    rolling.add_argument(
        "--crossing",
        choices=("3-sigma", "1/7"),
        default="3-sigma",
        help="threshold at which a block's correlation is lost; default: %(default)s",
    )
    rolling.add_argument("--no-median", action="store_true", help="leave outliers of the map as they are")
    rolling.add_argument("--correct-drift", action="store_true", help="align the second image with the first")
    return parser


def measure(options: argparse.Namespace) -> None:
    """Checks what can be checked, measures, prints, writes."""
    # Imported here, so that help and wrong flags need not wait for jax.
    from oidn_jax import resolution
    from oidn_jax.commands.progress import progress_bar
    from oidn_jax.figures.style import check_figure
    from oidn_jax.metrics.rolling_frc import RollingFrcOptions
    from oidn_jax.resolution.image import check_spared, remarks
    from oidn_jax.resolution.measurement import check_map, write_map
    from oidn_jax.resolution.page import save_page

    rolling = RollingFrcOptions(
        block=options.block,
        skip=options.skip,
        background=options.background,
        flavour=options.flavour,
        crossing=options.crossing,
        median=not options.no_median,
        correct_drift=options.correct_drift,
    )
    check_spared(options.images, [options.plot, options.map])
    if options.plot:
        check_figure(Path(options.plot), overwrite=options.overwrite)
    if options.map:
        check_map(options.map, overwrite=options.overwrite)
    images = [
        resolution.read_measured_image(path, pixel_size_nm=options.pixel_size_nm, index=options.index)
        for path in options.images
    ]
    for line in remarks(images):
        warn(line)
    with progress_bar() as bar:
        measurement = resolution.measure(
            images[0],
            other=images[1] if len(images) == 2 else None,
            rolling=not options.no_rolling,
            options=rolling,
            sectors=options.sectors or 0,
            progress=lambda fraction: bar("rolling FRC", fraction),
        )
    for line in measurement.remarks:
        warn(line)
    if options.json:
        print(json.dumps(resolution.to_json(measurement), indent=1, allow_nan=False), flush=True)
    else:
        print("\n".join(map(printable, resolution.format_lines(measurement))), flush=True)
    if options.plot:
        save_page(options.plot, measurement, overwrite=options.overwrite)
    if options.map:
        write_map(options.map, measurement, overwrite=options.overwrite)

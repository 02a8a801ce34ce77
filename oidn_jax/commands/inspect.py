"""`oidn-jax inspect`: what a raw file says of itself."""

import argparse

from oidn_jax.commands.parser import RAW_FILES, OneLineParser, add_raw_frames
from oidn_jax.commands.run import run
from oidn_jax.errors import printable

DESCRIPTION = """\
What raw SIM files say of themselves, with nothing known of the microscope: contrast of the stripes, gain and offset
of the camera, photo-electrons, brightness of the frames, bleaching, and warnings about what spoils a reconstruction."""


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, prints a report of each file."""
    parser = _parser()
    options = parser.parse_args(arguments)
    run(lambda: inspect(options), spell=parser.spell)


def _parser() -> OneLineParser:
    parser = OneLineParser("oidn-jax inspect", DESCRIPTION)
    parser.add_argument("files", nargs="+", metavar="FILE", help=RAW_FILES)
    add_raw_frames(parser)
    return parser


def inspect(options: argparse.Namespace) -> None:
    """Opens every file before the first is judged, then prints the reports."""
    from oidn_jax.acquisition.raw_report import describe_raw, format_lines
    from oidn_jax.data.raw_stack import open_raw_stack

    orientations = 3 if options.orientations is None else options.orientations
    phases = 3 if options.phases is None else options.phases
    stacks = [
        open_raw_stack(
            file,
            orientations=orientations,
            phases=phases,
            frame_order=options.frame_order,
            frame_axis=options.frame_axis,
            pixel_size_nm=options.pixel_size_nm,
        )
        for file in options.files
    ]
    channels = [(stack, number) for stack in stacks for number in range(stack.layout.channels)]
    for number, (whole, channel) in enumerate(channels):
        stack = whole.channel(channel)
        times, frames, height, width = stack.shape
        pixel = "pixel size unknown" if stack.pixel_size_nm is None else f"{stack.pixel_size_nm:g} nm per pixel"
        length = f"{times} time points of " if times > 1 else ""
        name = printable(str(stack.source)) + (f", channel {channel + 1}" if whole.layout.channels > 1 else "")
        print("\n" * (number > 0) + f"{name}: {length}{frames} frames of {height} x {width} pixels, {pixel}")
        report = describe_raw(stack, orientations=orientations, phases=phases)
        print("\n".join(format_lines(report)), flush=True)

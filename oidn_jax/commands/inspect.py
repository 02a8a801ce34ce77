"""`oidn-jax inspect`: what a raw file says of itself."""

import argparse
from typing import TYPE_CHECKING

from oidn_jax.commands.parser import RAW_FILES, OneLineParser, add_camera_maps, add_raw_frames, camera_maps
from oidn_jax.commands.run import run
from oidn_jax.errors import printable

if TYPE_CHECKING:
    from oidn_jax.data.raw_stack import RawStack

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
    add_camera_maps(parser)
    return parser


def inspect(options: argparse.Namespace) -> None:
    """Opens every file before the first is judged, then prints the reports."""
    from oidn_jax.acquisition import CameraSettings
    from oidn_jax.acquisition.raw_report import describe_raw, format_lines
    from oidn_jax.data.raw_stack import gather, open_raw_stack

    orientations = 3 if options.orientations is None else options.orientations
    phases = 3 if options.phases is None else options.phases
    frames = orientations * phases + (options.widefield_frame is not None)
    sources = gather(options.files, frames=1 if options.frame_order == "montage" else frames)
    stacks = [
        open_raw_stack(
            source,
            orientations=orientations,
            phases=phases,
            frame_order=options.frame_order,
            frame_axis=options.frame_axis,
            widefield_frame=options.widefield_frame,
            pixel_size_nm=options.pixel_size_nm,
        )
        for source in sources
    ]
    camera = CameraSettings(None, None, None, *camera_maps(options))
    for stack in stacks:
        camera.maps((stack.shape[2], stack.shape[3]), bottom_first=stack.images.bottom_first, source=stack.source)
    fields = [(stack, position) for stack in stacks for position in range(stack.positions)]
    channels = [(*field, number) for field in fields for number in range(field[0].layout.channels)]
    for count, (whole, position, number) in enumerate(channels):
        print("\n" * (count > 0) + _title(whole, position, number))
        stack = whole.position(position).channel(number)
        report = describe_raw(stack, orientations=orientations, phases=phases, camera=camera)
        print("\n".join(format_lines(report)), flush=True)


def _title(whole: "RawStack", position: int, number: int) -> str:
    """What and how large one channel of one position is, and what the file says of it."""
    stack, layout = whole.position(position).channel(number), whole.layout
    _, frames, height, width = stack.shape
    name = printable(str(stack.source))
    name += f", position {position + 1}" if whole.positions > 1 else ""
    name += f", channel {number + 1}" if layout.channels > 1 else ""
    (told,) = stack.channels
    facts = [
        printable(told.name) if told.name else "",
        f"emission {told.emission_nm:g} nm" if told.emission_nm else "",
        f"excitation {told.excitation_nm:g} nm" if told.excitation_nm else "",
        f"NA {whole.images.na:g}" if whole.images.na else "",
    ]
    name += f" ({', '.join(filter(None, facts))})" if any(facts) else ""
    counts = [(layout.times, "time points"), (layout.slices, "slices")]
    length = " x ".join(f"{count} {word}" for count, word in counts if count > 1)
    pixel = "pixel size unknown" if stack.pixel_size_nm is None else f"{stack.pixel_size_nm:g} nm per pixel"
    return f"{name}: {f'{length} of ' if length else ''}{frames} frames of {height} x {width} pixels, {pixel}"

"""Raw acquisitions as several commands take them: flags of stripes, microscope and camera, and what they mean."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from oidn_jax.commands.configuration import add_config, changed_config
from oidn_jax.commands.parser import OneLineParser, add_camera_maps, add_otf, add_raw_frames, camera_maps
from oidn_jax.errors import IllegalValue

if TYPE_CHECKING:
    from oidn_jax.optics.microscope import Microscope
    from oidn_jax.reconstruction import Reading


def add_stripes(group: argparse._ActionsContainer) -> None:
    """What is known of the illumination."""
    group.add_argument(
        "--illumination",
        metavar="FILE",
        action="append",
        help="NAME_sr_illumination.json of an earlier reconstruction; again for each further channel",
    )
    group.add_argument(
        "--harmonic",
        type=int,
        choices=(1, 2),
        help="use this harmonic of the phases alone; 2 is the fine pattern of three beams (5 phases); default: all",
    )
    group.add_argument("--refit-phases", action="store_true", help="of that file, use the wave vectors only")
    group.add_argument(
        "--pattern-period",
        type=_period,
        metavar="NM",
        help="of the stripes, in the sample, or LOW-HIGH, to within 5 %%; default: all that microscopes have",
    )


def add_microscope(parser: OneLineParser, group: argparse._ActionsContainer) -> None:
    """How raw frames are read, and what recorded them."""
    add_raw_frames(group)
    group.add_argument("--scale", type=int, metavar="N", help="fine pixels for each raw pixel and side; default: 2")
    add_config(parser, what="microscope in place of the model's or of the usual one")
    group.add_argument("--na", type=float, help="of detection; default: the model's, or the file's, or 1.49")
    group.add_argument(
        "--emission-nm",
        type=numbers,
        metavar="NM",
        help="emission wavelength, or one for each channel, as 525,610; default: the model's, or the file's, or 525",
    )
    group.add_argument(
        "--otf-damping",
        type=float,
        metavar="A",
        help="of the theoretical OTF at its cutoff, 1 for an ideal objective; default: the model's, or else that of "
        "the frames, 0.175 where they do not tell it",
    )
    add_otf(group)
    group.add_argument(
        "--correct-drift", action="store_true", help="undo movement of the sample between the orientations"
    )
    add_camera_maps(group)
    group.add_argument("--camera-gain", type=float, metavar="G", help="counts per photo-electron; default: estimated")
    group.add_argument("--camera-offset", type=float, metavar="C", help="counts without light; default: estimated")
    group.add_argument("--read-noise", type=float, metavar="E", help="electrons, with a gain; default: 1.6")


def _period(text: str) -> tuple[float, float]:
    """NM or LOW-HIGH."""
    low, _, high = text.partition("-")
    try:
        return float(low), float(high or low)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no period in nm, as 180, and no range, as 170-190") from None


def numbers(text: str) -> tuple[float, ...]:
    """Numbers between commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number, and no numbers as 525,610") from error


def check_acquisitions(parser: OneLineParser, options: argparse.Namespace) -> None:
    """Refuses what does not go together."""
    if options.harmonic is not None and options.illumination is not None:
        parser.error("--harmonic is said by the file of --illumination; leave it out")
    if options.refit_phases and options.illumination is None:
        parser.error("--refit-phases needs --illumination=FILE")
    if options.pattern_period is not None and options.illumination is not None:
        parser.error("--illumination says where the stripes are, so --pattern-period has no use with it")
    if options.otf is not None and options.otf_damping is not None:
        parser.error("--otf-damping is of the theoretical OTF, which --otf replaces; give one of them")
    if any(field == "microscope.pixel_size_nm" for field, _ in options.changes):
        parser.error(
            "the files say their pixel size; --pixel-size-nm, not --config.microscope.pixel_size_nm, changes it"
        )


def microscopes_of(
    options: argparse.Namespace, trained: "Sequence[Microscope]" = ()
) -> tuple[list["Microscope"], str, tuple[str, ...]]:
    """The microscope, or that of each channel; where its numbers come from; the names of those that nobody gave.

    Args:
        options: the flags.
        trained: those of the networks, where one of them serves no other; else none.
    """
    from oidn_jax.config import measured_otf, microscope_of
    from oidn_jax.optics.microscope import Microscope

    sources = []
    if options.config is not None:
        microscopes = [microscope_of(changed_config(options.config, options.changes))]
        sources.append(f"configuration {options.config}")
    elif trained:
        microscopes = list(trained)
        sources.append("the model's training")
    else:
        microscopes = [Microscope()]
    emissions = options.emission_nm or (None,)
    if len(emissions) > 1 and len(microscopes) == 1:
        microscopes *= len(emissions)
    if len(emissions) not in (1, len(microscopes)):
        raise IllegalValue("emission_nm", emissions, f"there are {len(microscopes)} networks; give one for each")
    common = {
        "na": options.na,
        "otf_damping": options.otf_damping,
        "measured_otf": None if options.otf is None else measured_otf(options.otf),
    }
    given = common | {"emission_wavelength_nm": options.emission_nm}
    common |= {name: getattr(options, name) for name in ("orientations", "phases", "scale")}
    microscopes = [
        replace(
            microscope,
            **{
                name: value
                for name, value in (common | {"emission_wavelength_nm": emissions[i % len(emissions)]}).items()
                if value is not None
            },
        )
        for i, microscope in enumerate(microscopes)
    ]
    assumed = () if sources else ("na", "emission_wavelength_nm", "otf_damping")
    if any(value is not None for value in given.values()):
        sources.append("flags")
    measured = microscopes[0].measured_otf is not None
    assumed = tuple(name for name in assumed if given[name] is None and not (name == "otf_damping" and measured))
    return microscopes, " and ".join(sources), assumed


def reading_of(
    options: argparse.Namespace, *, optics_from: str, assumed: tuple[str, ...], flip_y: bool | None = None
) -> "Reading":
    """How the files are read; `optics_from` and `assumed` of `microscopes_of`."""
    from oidn_jax.acquisition import CameraSettings, KnownIllumination
    from oidn_jax.reconstruction import Reading

    return Reading(
        frame_order=options.frame_order,
        frame_axis=options.frame_axis,
        widefield_frame=options.widefield_frame,
        pixel_size_nm=options.pixel_size_nm,
        flip_y=flip_y,
        camera=CameraSettings(options.camera_gain, options.camera_offset, options.read_noise, *camera_maps(options)),
        known=tuple(KnownIllumination(Path(path), options.refit_phases) for path in options.illumination or ()),
        pattern_period_nm=options.pattern_period,
        harmonic=options.harmonic,
        correct_drift=options.correct_drift,
        optics_from=optics_from,
        assumed=assumed,
    )

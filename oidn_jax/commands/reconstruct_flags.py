"""The flags of `reconstruct.py`, and which of them go together."""

import argparse

from configs.one_line_parser import OneLineParser

METHODS = ("oidn", "wiener", "hifi", "widefield")
# Flags that only some methods use, by the name of their value.
_ONLY_FOR = {
    "workdir": ("oidn",),
    "checkpoint": ("oidn",),
    "tile": ("oidn",),
    "overlap": ("oidn",),
    "wiener": ("wiener",),
    "attenuation": ("wiener", "hifi"),
    "w1": ("hifi",),
    "rl_iterations": ("hifi",),
}
# Flags that only serve the model of the raw frames: classical reconstruction, trust maps, diagnostics.
_PHYSICS = ("config", "na", "emission_nm", "otf", "otf_damping", "illumination", "camera_offset")
_WIDEFIELD = ("config", "camera_offset")  # of these, what a widefield image depends on
_NOISE = ("camera_gain", "read_noise")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line; a mistake prints one line and exits with 2."""
    parser = _parser()
    options = parser.parse_intermixed_args(arguments)
    if options.image is not None and (options.method is not None or len(options.inputs) != 1 or options.preview):
        parser.error("--image judges one image against one raw file; leave out --method, --preview and further inputs")
    if options.image is None and options.method is None:
        options.method = "oidn"
    options.trust |= options.image is not None
    if not options.out:
        parser.error("--out is empty; name a folder")
    if options.method == "oidn" and options.workdir is None:
        parser.error("the following arguments are required: --workdir (or give --method=wiener, hifi or widefield)")
    for name, methods in _ONLY_FOR.items():
        if getattr(options, name) is not None and options.method not in methods:
            chosen = f"--method={options.method}" if options.method else "--image"
            parser.error(f"--{name.replace('_', '-')} is for --method={' or '.join(methods)}, not for {chosen}")
    physics = options.method in ("wiener", "hifi") or options.trust or options.diagnostics
    for name in _PHYSICS:
        used = physics or (options.method == "widefield" and name in _WIDEFIELD)
        if getattr(options, name) is not None and not used:
            parser.error(
                f"--{name.replace('_', '-')} has no use with --method={options.method} without --trust or --diagnostics"
            )
    for name in _NOISE:
        if getattr(options, name) is not None and not options.trust:
            parser.error(f"--{name.replace('_', '-')} is of the noise, which only --trust and --image need")
    if options.refit_phases and options.illumination is None:
        parser.error("--refit-phases needs --illumination=FILE")
    if options.otf is not None and options.otf_damping is not None:
        parser.error("--otf-damping is of the theoretical OTF, which --otf replaces; give one of them")
    return options


def _parser() -> OneLineParser:
    flags = OneLineParser(
        description="Reconstruct raw SIM files, by a trained model or classically, and judge images.",
        allow_abbrev=False,
    )
    flags.add_argument("inputs", nargs="+", metavar="INPUT", help="raw frames: TIFF, ImageJ or OME-TIFF, MRC or DV")
    flags.add_argument("--out", required=True, metavar="DIR", help="folder of the images, made if missing")
    flags.add_argument("--method", choices=METHODS, help="default: oidn, a trained network")
    flags.add_argument("--preview", action="store_true", help="also write a PNG, widefield beside super-resolution")
    flags.add_argument(
        "--diagnostics", action="store_true", help="also write a PNG of spectra, peaks, bands, modulation"
    )
    flags.add_argument(
        "--trust", action="store_true", help="also write maps of where the raw frames contradict the image"
    )
    flags.add_argument(
        "--image", metavar="FILE", help="judge this image, made elsewhere, instead of reconstructing one"
    )
    flags.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    _add_network(flags.add_argument_group("a trained network (--method=oidn)"))
    _add_classical(flags.add_argument_group("classical methods"))
    _add_microscope(flags.add_argument_group("raw frames, microscope and camera"))
    return flags


def _add_network(flags: argparse._ArgumentGroup) -> None:
    flags.add_argument("--workdir", metavar="DIR", help="of the training run of train.py")
    flags.add_argument("--checkpoint", choices=("best", "last"), help="default: best where there is one, else last")
    flags.add_argument("--tile", type=int, metavar="PX", help="side of the tiles, raw pixels; default: as trained")
    flags.add_argument("--overlap", type=int, metavar="PX", help="of neighbouring tiles; default: a quarter tile")


def _add_classical(flags: argparse._ArgumentGroup) -> None:
    flags.add_argument("--wiener", type=float, metavar="W", help="Wiener parameter; default: from the noise")
    flags.add_argument("--attenuation", type=float, metavar="S", help="notch, 0 to 1; default: wiener 0, hifi 0.9")
    flags.add_argument("--w1", type=float, metavar="W", help="of HiFi-SIM's first step; default: 1.2")
    flags.add_argument("--rl-iterations", type=int, metavar="N", help="Richardson-Lucy before HiFi-SIM; default: 5")
    flags.add_argument("--illumination", metavar="FILE", help="NAME_sr_illumination.json of an earlier reconstruction")
    flags.add_argument("--refit-phases", action="store_true", help="of that file, use the wave vectors only")


def _add_microscope(flags: argparse._ArgumentGroup) -> None:
    flags.add_argument(
        "--frame-order",
        choices=("orientation-phase", "phase-orientation"),
        default="orientation-phase",
        help="the slow one first; default: %(default)s",
    )
    flags.add_argument("--pixel-size-nm", type=float, metavar="NM", help="of the raw frames, if the file is wrong")
    flags.add_argument(
        "--config", metavar="FILE[:VARIANT]", help="microscope; default: the model's, or configs/default.py"
    )
    flags.add_argument("--na", type=float, help="of detection, in place of the configuration's; undamped OTF")
    flags.add_argument("--emission-nm", type=float, metavar="NM", help="emission wavelength")
    flags.add_argument("--otf", metavar="FILE", help="measured radial OTF, a Priism file")
    flags.add_argument("--otf-damping", type=float, metavar="A", help="of the theoretical OTF at its cutoff, up to 1")
    flags.add_argument("--camera-gain", type=float, metavar="G", help="counts per photo-electron; default: estimated")
    flags.add_argument("--camera-offset", type=float, metavar="C", help="counts without light; default: estimated")
    flags.add_argument("--read-noise", type=float, metavar="E", help="electrons, with --camera-gain; default: 1.6")

"""`oidn-jax reconstruct`: raw files to super-resolved images, and judgement of images."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from oidn_jax.commands.acquisitions import (
    add_microscope,
    add_stripes,
    check_acquisitions,
    microscopes_of,
    reading_of,
)
from oidn_jax.commands.configuration import check_changes, parse
from oidn_jax.commands.parser import DEFAULT_IS_USED, DEFAULT_WEIGHTS, RAW_FILES, OneLineParser
from oidn_jax.commands.run import run, warn
from oidn_jax.errors import printable

if TYPE_CHECKING:
    from oidn_jax.methods import Method
    from oidn_jax.reconstruction import Workers

DESCRIPTION = """\
Reconstructs raw SIM files, by a trained network or classically, and judges images.

  oidn-jax reconstruct cell.tif more/*.mrc --na=1.49 --emission-nm=525 --out=reconstructed --preview
  oidn-jax reconstruct cell.tif --workdir=runs/f_actin --out=reconstructed
  oidn-jax reconstruct cell.tif --method=wiener --na=1.49 --emission-nm=525 --out=reconstructed --trust --diagnostics
  oidn-jax reconstruct cell.tif --image=made_elsewhere.tif --out=judged
  oidn-jax reconstruct two_colours.tif --method=wiener --na=1.49 --emission-nm=525,610 --out=reconstructed
  oidn-jax reconstruct thousands/*.tif --na=1.49 --emission-nm=525 --out=reconstructed --workers=4 --resume"""

METHODS = ("network", "wiener", "true-wiener", "hifi", "tv", "widefield")
# Flags that only some methods use, by the name of their value.
_ONLY_FOR = {
    "workdir": ("network",),
    "checkpoint": ("network",),
    "tile": ("network",),
    "overlap": ("network",),
    "views": ("network",),
    "wiener": ("wiener",),
    "attenuation": ("wiener", "true-wiener", "hifi"),
    "w1": ("hifi",),
    "rl_iterations": ("hifi",),
    "tv_strength": ("tv",),
}
# Flags that only serve the model of the raw frames: classical reconstruction, trust maps, diagnostics.
_OPTICS = ("config", "na", "emission_nm", "otf", "otf_damping")
_PHYSICS = (*_OPTICS, "illumination", "pattern_period", "harmonic", "camera_offset")
_WIDEFIELD = ("config", "camera_offset")  # of these, what a widefield image depends on
_NOISE = ("camera_gain", "read_noise")
_LAYOUT = ("microscope.orientations", "microscope.phases", "microscope.scale")


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, reconstructs."""
    options = parse_flags(arguments)
    run(lambda: reconstruct(options), spell=flag)


def flag(setting: str) -> str | None:
    """The flag of a setting: here some of the microscope have flags of their own, and the others are in `--config`."""
    from oidn_jax.commands.run import flag as usual_flag

    own = {"emission_wavelength_nm": "emission_nm", "measured_otf": "otf", "pattern_period_nm": "pattern_period"}
    own |= {name: name for name in ("na", "pixel_size_nm", "otf_damping", "orientations", "phases", "scale")}
    field = setting.removeprefix("microscope.")
    return _parser().known(usual_flag(own.get(field, setting)))


def parse_flags(arguments: list[str] | None = None) -> argparse.Namespace:
    """The flags, and which of them go together; a mistake prints one line and exits with 2."""
    parser = _parser()
    options = parse(parser, arguments)
    if options.image is not None and (options.method is not None or len(options.inputs) != 1 or options.preview):
        parser.error("--image judges one image against one raw file; leave out --method, --preview and further inputs")
    if options.image is not None and (options.resume or options.workers is not None or options.dask is not None):
        parser.error("--image judges one image; leave out --resume, --workers and --dask")
    if options.workers is not None and options.dask is not None:
        parser.error("--workers starts processes, and --dask takes those that run already; give one of them")
    if options.image is None and options.method is None:
        options.method = "network"
    options.trust |= options.image is not None
    if options.error and options.method != "network":
        chosen = f"--method={options.method}" if options.method else "--image"
        parser.error(f"--error is of guided networks, not for {chosen}")
    for name, methods in _ONLY_FOR.items():
        if getattr(options, name) is not None and options.method not in methods:
            chosen = f"--method={options.method}" if options.method else "--image"
            parser.error(f"--{name.replace('_', '-')} is for --method={' or '.join(methods)}, not for {chosen}")
    if options.method == "network" and options.workdir is None:
        options.workdir = [DEFAULT_WEIGHTS]
    if options.method != "network":  # whether that is guided by the physics, its weights say
        _check_physics(parser, options, used=options.method not in ("network", "widefield", None))
    for name in _NOISE:
        if getattr(options, name) is not None and not options.trust and options.method != "tv":
            parser.error(
                f"--{name.replace('_', '-')} is of the noise, which only --trust, --image and --method=tv need"
            )
    if options.method == "network" and len(options.workdir) > 1 and options.config is not None:
        parser.error("--config is one microscope, and several --workdir bring their own; leave one of them out")
    check_acquisitions(parser, options)
    return options


def _check_physics(parser: OneLineParser, options: argparse.Namespace, *, used: bool) -> None:
    """Refuses flags of image formation for a method that does not use it, where no trust or diagnostics do either."""
    used = used or options.trust or options.diagnostics
    for name in _PHYSICS:
        needed = used or (options.method == "widefield" and name in _WIDEFIELD)
        # Frames are evened with a map of the gain about the offset, for every method.
        needed |= name == "camera_offset" and options.gain_map is not None
        if getattr(options, name) is not None and not needed:
            parser.error(
                f"--{name.replace('_', '-')} has no use with --method={options.method} without --trust or --diagnostics"
            )
    check_changes(parser, options, ("microscope",) if used else _LAYOUT)


def _parser() -> OneLineParser:
    parser = OneLineParser("oidn-jax reconstruct", DESCRIPTION)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=RAW_FILES)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the images, made if missing")
    parser.add_argument("--method", choices=METHODS, help="default: network")

    output = parser.add_argument_group("besides the image")
    output.add_argument("--preview", action="store_true", help="also write a PNG, widefield beside super-resolution")
    output.add_argument(
        "--diagnostics", action="store_true", help="also write a page (PNG) of spectra, stripes, bands, resolution"
    )
    output.add_argument(
        "--trust", action="store_true", help="also write maps of where the raw frames contradict the image"
    )
    output.add_argument(
        "--error",
        action="store_true",
        help="also write the expected error of each pixel; of guided networks with the U-Net body",
    )
    output.add_argument(
        "--image", metavar="FILE", help="judge this image, made elsewhere, instead of reconstructing one"
    )
    output.add_argument("--overwrite", action="store_true", help="replace existing outputs")
    output.add_argument(
        "--resume",
        action="store_true",
        help="leave images that are there already, made of the same frames with the same settings; with --overwrite "
        "replace those that were made otherwise",
    )

    many = parser.add_argument_group("many files")
    many.add_argument("--workers", type=int, metavar="N", help="processes of this machine that files are spread over")
    many.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="of a scheduler of dask whose workers do it, as tcp://host:8786, or its scheduler file",
    )

    network = parser.add_argument_group("a trained network (--method=network)")
    network.add_argument(
        "--workdir",
        metavar="DIR",
        action="append",
        help="a training run, a folder of weights, or a name of weights in the package; again for each further "
        f"channel; default: {DEFAULT_WEIGHTS}, which comes with the package",
    )
    network.add_argument("--checkpoint", choices=("best", "last"), help="default: best where there is one, else last")
    network.add_argument("--tile", type=int, metavar="PX", help="side of the tiles, raw pixels; default: as trained")
    network.add_argument("--overlap", type=int, metavar="PX", help="of neighbouring tiles; default: a quarter tile")
    network.add_argument(
        "--views",
        type=int,
        metavar="N",
        help="mirrored and turned views of each tile, whose mean is taken, for guided networks: 1, 2, 4 (default) or 8",
    )

    classical = parser.add_argument_group("classical methods; stripes also of guided networks")
    classical.add_argument("--wiener", type=float, metavar="W", help="Wiener parameter; default: from the noise")
    classical.add_argument("--attenuation", type=float, metavar="S", help="notch, 0 to 1; default: wiener 0, hifi 0.9")
    classical.add_argument("--w1", type=float, metavar="W", help="of HiFi-SIM's first step; default: 1.2")
    classical.add_argument(
        "--rl-iterations", type=int, metavar="N", help="Richardson-Lucy deconvolution before HiFi-SIM; default: 5"
    )
    classical.add_argument(
        "--tv-strength", type=float, metavar="S", help="of the regularisation of total variation; default: 0.01"
    )
    add_stripes(classical)

    raw = parser.add_argument_group("raw frames, microscope and camera")
    add_microscope(parser, raw)
    raw.add_argument(
        "--flip-y",
        action=argparse.BooleanOptionalAction,
        help="write images bottom row first; default: of MRC and DV files, as Bio-Formats and Fiji show them",
    )
    return parser


def reconstruct(options: argparse.Namespace) -> None:
    """Prepares method and microscope, reconstructs the files."""
    # Imported here, so that help and wrong flags need not wait for jax.
    from oidn_jax.commands.progress import progress_bar
    from oidn_jax.methods import NetworkMethod
    from oidn_jax.reconstruction import Messages, Outputs, reconstruct_files

    workers = _workers(options)
    methods = _methods(options)
    if options.method == "network":
        _check_physics(_parser(), options, used=any(method.needs_illumination for method in methods))
    networks = [method for method in methods if isinstance(method, NetworkMethod)]
    bound = any(not method.model.guided for method in networks)
    trained = [method.model.microscope for method in networks] if bound else []
    microscopes, optics_from, assumed = microscopes_of(options, trained)
    reading = reading_of(options, optics_from=optics_from, assumed=assumed, flip_y=options.flip_y)
    with progress_bar() as progress:
        reconstruct_files(
            options.inputs,
            methods,
            options.out,
            microscope=microscopes,
            reading=reading,
            outputs=Outputs(
                preview=options.preview,
                diagnostics=options.diagnostics,
                trust=options.trust,
                error=options.error,
                overwrite=options.overwrite,
                resume=options.resume,
            ),
            messages=Messages(lambda line: print(printable(line)), lambda message: warn(message, spell=flag), progress),
            workers=workers,
        )


def _workers(options: argparse.Namespace) -> "Workers | None":
    """Who does it, if not this process, which then leaves the GPUs to them."""
    if options.workers is None and options.dask is None:
        return None
    import jax

    from oidn_jax.reconstruction import Workers

    workers = Workers(options.workers, options.dask)
    jax.config.update("jax_platforms", "cpu")
    return workers


def _methods(options: argparse.Namespace) -> "list[Method]":
    """One for all channels, or a network for each."""
    from oidn_jax import load
    from oidn_jax.methods import ClassicalMethod, GivenImage, NetworkMethod

    if options.image is not None:
        return [GivenImage(Path(options.image))]
    if options.method == "network":
        models = [load(workdir, checkpoint=options.checkpoint) for workdir in options.workdir]
        if options.workdir == [DEFAULT_WEIGHTS]:
            print(DEFAULT_IS_USED)
        return [
            NetworkMethod(model, tile=options.tile, overlap=options.overlap, views=options.views) for model in models
        ]
    return [
        ClassicalMethod(
            options.method,
            wiener=options.wiener,
            attenuation=options.attenuation,
            w1=options.w1,
            rl_iterations=5 if options.rl_iterations is None else options.rl_iterations,
            tv_strength=options.tv_strength,
        )
    ]

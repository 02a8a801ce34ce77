"""A trained network as a program that runs without this package: StableHLO with the weights inside.

Contract: `write_program` leaves two files in a folder. `network.jax_export` is what `jax.export.deserialize` reads: one
function with the weights inside, lowered for CPU, CUDA and TPU, that needs neither flax nor oidn_jax. `network.json`
says what it takes and gives. It is the bare network: what is made of raw frames before and of its image after is told
in the JSON and done by whoever calls it.

The number of images is always open. So are their height and width, but for networks that take Fourier transforms: XLA
has none of a size that is known only when the program runs, so these get a fixed one.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from oidn_jax.classical.guides import REGULARISATIONS
from oidn_jax.data.atomic import check_target, write_atomically, write_json
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.methods.network import BORDER
from oidn_jax.models.layers import SMALLEST_IMAGE
from oidn_jax.models.networks import input_channels, predict, takes_spectra
from oidn_jax.models.trained import TrainedModel
from oidn_jax.version import __version__

FORMAT = "oidn_jax program 1"
PLATFORMS = ("cpu", "cuda", "tpu")
PROGRAM, DESCRIPTION = "network.jax_export", "network.json"
_OUTPUTS = ("image", "log_error")

_RAW_FRAMES = {
    "what": "raw frames as the camera gave them, normalised; on the last axis the orientation is slow, the phase fast",
    "unit": "1",
}
_UNIT_OF_IMAGE = "1; times span, plus low, it is in the range of the raw frames (per_frame: the means over the frames)"
_NORMALISATION = {
    "joint": "x = (counts - low) / span; low and span = high - low of each image, over all its pixels and frames",
    "per_frame": "x = (counts - low) / span; low and span = high - low of each frame of each image, over its pixels",
}


def check_program(folder: Path, *, overwrite: bool) -> None:
    """Refuses a folder that `write_program` is to write, before any work is done for it.

    Raises:
        InputError: a file, or without `overwrite` a folder that holds a program.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give the name of a folder")
    for name in (PROGRAM, DESCRIPTION):
        check_target(folder / name, overwrite=overwrite)


def export_program(model: TrainedModel, *, size: tuple[int, int] | None = None) -> export.Exported:
    """The program: inputs (b, h, w, channels), float32, to a tuple of (b, scale*h, scale*w, 1), float32.

    The tuple is (image,), or of a network that expects its errors (image, log_error), as in `Prediction`.

    Args:
        model: whose weights become constants of the program.
        size: (h, w) in raw pixels; None leaves them open, from 16 on.

    Raises:
        InputError: a size below 16; none for a network that takes Fourier transforms.
    """
    if size is None and takes_spectra(model.fields):
        raise InputError(
            f"{model.label} takes Fourier transforms, whose size a program must know; give `size`, the height and "
            "width of the raw frames, as 256,256"
        )
    if size is not None and min(size) < SMALLEST_IMAGE:
        raise IllegalValue("size", ",".join(map(str, size)), f"it must be at least {SMALLEST_IMAGE} raw pixels")
    h, w = ("h", "w") if size is None else size
    shape = export.symbolic_shape(
        f"b, {h}, {w}, {input_channels(model.network)}", constraints=() if size else _constraints(model.fields)
    )

    def network(inputs: jax.Array) -> tuple[jax.Array, ...]:
        prediction = predict(model.network, model.params, inputs)
        return tuple(value for value in (getattr(prediction, name) for name in _OUTPUTS) if value is not None)

    lowered = export.export(jax.jit(network), platforms=PLATFORMS)
    return lowered(jax.ShapeDtypeStruct(shape, jnp.float32))


def _constraints(fields: Mapping[str, Any]) -> list[str]:
    """What the compiler has to know of open sizes: the smallest, and that a U-Net extends an image by its mirror."""
    factor = 2 ** (len(fields.get("widths", ())) - 1) if "widths" in fields else 1
    extended = [f"{factor}*floordiv({n} + {factor - 1}, {factor}) >= {n}" for n in "hw" if factor > 1]
    return [f"{n} >= {SMALLEST_IMAGE}" for n in "hw"] + extended


def describe_program(model: TrainedModel, program: export.Exported) -> dict[str, Any]:
    """What the program takes and gives, in words and numbers that JSON can hold."""
    scale = model.microscope.scale
    (inputs,) = program.in_avals
    guided = model.guided
    outputs = [
        {
            "name": "image",
            "unit": "u; times u it is in counts above the camera's offset" if guided else _UNIT_OF_IMAGE,
        },
        {
            "name": "log_error",
            "unit": "natural logarithm of the expected absolute error of each pixel, in the unit of the image",
        },
    ]
    return {
        "format": FORMAT,
        "version": __version__,
        "program": PROGRAM,
        "read_by": "jax.export.deserialize(bytearray(content of the program)).call(input)",
        "calling_convention": program.calling_convention_version,
        "platforms": list(program.platforms),
        "network": dict(model.fields),
        "scale": scale,
        "input": {
            "shape": [str(n) if not isinstance(n, int) else n for n in inputs.shape],
            "axes": "image, y, x, channel",
            "dtype": inputs.dtype.name,
            "smallest_image": SMALLEST_IMAGE,
            "border": f"mirror every image by {BORDER} pixels at its borders before, and crop {scale * BORDER} after, "
            "as oidn_jax does: what a convolution sees beyond an edge is zero",
            **(_guides(scale) if guided else {**_RAW_FRAMES, "normalisation": model.normalisation}),
            **({} if guided else {"formula": _NORMALISATION[model.normalisation]}),
        },
        "outputs": [
            {**output, "shape": [str(n) if not isinstance(n, int) else n for n in value.shape], "dtype": "float32"}
            for output, value in zip(outputs, program.out_avals, strict=False)
        ],
        "microscope": model.microscope.plain(),
        "origin": dict(model.origin),
    }


def _guides(scale: int) -> dict[str, Any]:
    """The channels of a guided network's input: what `classical.guides` makes, as `models.guided.fold` lays it out."""
    count, squared = len(REGULARISATIONS), scale**2
    factors = ", ".join(f"{factor:g} w" for factor in REGULARISATIONS)
    return {
        "what": f"{count} Wiener images of the raw frames, {scale} x as fine, and numbers that are the same everywhere",
        "unit": "u, the mean of the widefield image (camera offset subtracted) over the pixels above its mean; images "
        "are divided by it",
        "regularisations": list(REGULARISATIONS),
        "channels": [
            f"0 to {count * squared - 1}: channel {squared} i + {scale} dy + dx at (y, x) is pixel ({scale} y + dy, "
            f"{scale} x + dx) of Wiener image i, whose parameters are {factors}",
            f"{count * squared}: log10 of the standard deviation of the noise of the widefield image over u",
            f"{count * squared + 1}: log10 of w, the Wiener parameter that the noise asks for",
            f"{count * squared + 2}: k_c, the cutoff of the OTF, in cycles per raw pixel",
            f"{count * squared + 3}: k_c + |p| with the finest illumination's wave vector p, in cycles per raw pixel",
        ],
    }


def write_program(folder: Path, model: TrainedModel, *, size: tuple[int, int] | None = None) -> dict[str, Any]:
    """Writes both files, the JSON last, with the program's SHA-256 in it.

    Args:
        folder: made if missing.
        model: to be written.
        size: see `export_program`.

    Returns:
        What the JSON says.

    Raises:
        InputError: see `export_program`; a folder that cannot be written.
    """
    program = export_program(model, size=size)
    content = bytes(program.serialize())
    described = {**describe_program(model, program), "sha256": hashlib.sha256(content).hexdigest()}
    write_atomically(folder / PROGRAM, lambda path: path.write_bytes(content), n_bytes=len(content))
    write_json(folder / DESCRIPTION, described)
    return described

"""The classical methods behind one function."""

from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from oidn_jax.classical.hifi import HifiSettings, hifi_sim
from oidn_jax.classical.widefield import widefield
from oidn_jax.classical.wiener import Attenuation, wiener_sim
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.transfer import TransferFunction

CLASSICAL_METHODS = ("widefield", "wiener", "hifi")


class ClassicalOptions(NamedTuple):
    """What can be chosen; a None is not traced, so that changing numbers compiles nothing anew.

    Attributes:
        wiener: w of Wiener SIM; None for `automatic_wiener`.
        attenuation: of the centres of the bands in Wiener SIM; None for none.
        hifi: of HiFi-SIM.
    """

    wiener: float | Array | None = None
    attenuation: Attenuation | None = None
    hifi: HifiSettings = HifiSettings()


def classical_image(
    raw_frames: Float[Array, "frames h w"],
    illumination: Illumination,
    otf: TransferFunction,
    *,
    method: str,
    options: ClassicalOptions = ClassicalOptions(),  # noqa: B008 -- immutable
    iterations: int = 5,
    scale: int = 2,
) -> Float[Array, "h2 w2"]:
    """The image of one acquisition by `method`, one of `CLASSICAL_METHODS`.

    Args:
        raw_frames: camera offset subtracted, orientation slow and phase fast.
        illumination: of these frames; the widefield image does not need it.
        otf: of a raw frame.
        method: static under jit, as are `iterations` (Richardson-Lucy, of HiFi-SIM) and `scale`.
        options: of the methods.
        iterations: of Richardson-Lucy deconvolution before HiFi-SIM.
        scale: fine pixels per raw pixel.

    Raises:
        ValueError: for another method.
    """
    if method == "widefield":
        return widefield(raw_frames, scale=scale)
    if method == "wiener":
        return wiener_sim(
            raw_frames,
            illumination,
            otf,
            cutoff=otf.cutoff,
            scale=scale,
            wiener=options.wiener,
            attenuation=options.attenuation,
        )
    if method == "hifi":
        return hifi_sim(
            raw_frames,
            illumination,
            otf,
            cutoff=otf.cutoff,
            scale=scale,
            settings=options.hifi,
            iterations=iterations,
        ).hifi
    raise ValueError(f"method is {method!r}; legal: {', '.join(CLASSICAL_METHODS)}")


compiled_image = jax.jit(classical_image, static_argnames=("method", "iterations", "scale"))

"""The images of the classical methods, behind one function."""

from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from oidn_jax.classical.bands import Transfer, band_weights
from oidn_jax.classical.hifi import HifiSettings, effective_transfer, hifi_sim
from oidn_jax.classical.widefield import widefield
from oidn_jax.classical.wiener import Attenuation, automatic_wiener, spectral_wiener, wiener_filters, wiener_sim
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.transfer import TransferFunction

CLASSICAL_METHODS = ("widefield", "wiener", "true-wiener", "hifi")


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


def with_published_notch(options: ClassicalOptions, *, pixel_size_nm: float, cutoff: float | Array) -> ClassicalOptions:
    """The options with the width of HiFi-SIM's notch as published, 1 cycle per micrometre, for pixels of this size."""
    return options._replace(hifi=options.hifi._replace(attenuation_width=pixel_size_nm / 1000.0 / cutoff))


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
    if method in ("wiener", "true-wiener"):
        spectral = method == "true-wiener"
        return wiener_sim(
            raw_frames,
            illumination,
            otf,
            scale=scale,
            wiener=spectral_wiener(raw_frames, illumination, otf, scale=scale) if spectral else options.wiener,
            attenuation=options.attenuation,
        )
    if method == "hifi":
        return hifi_sim(
            raw_frames,
            illumination,
            otf,
            scale=scale,
            settings=options.hifi,
            iterations=iterations,
        ).hifi
    raise ValueError(f"method is {method!r}; legal: {', '.join(CLASSICAL_METHODS)}")


def transfer_of_image(
    raw_frames: Float[Array, "frames h w"],
    illumination: Illumination,
    otf: TransferFunction,
    *,
    method: str,
    options: ClassicalOptions = ClassicalOptions(),  # noqa: B008 -- immutable
) -> Transfer | None:
    """The transfer function from object to image, of (k_y, k_x) in cycles per raw pixel.

    Arguments as `classical_image`. Richardson-Lucy deconvolution, which is not linear, is left out; None for a method
    that has no such function.
    """
    if method in ("wiener", "true-wiener"):
        wiener = options.wiener
        if method == "true-wiener":
            wiener = spectral_wiener(raw_frames, illumination, otf)
        elif wiener is None:
            wiener = automatic_wiener(raw_frames, illumination, otf)
        weight = band_weights(illumination)

        def of_wiener(ky: Array, kx: Array) -> Array:
            return wiener_filters(
                illumination, otf, (ky, kx), weight=weight, wiener=wiener, attenuation=options.attenuation
            )[2]

        return of_wiener
    if method == "hifi":
        side = max(raw_frames.shape[1:])
        return lambda ky, kx: effective_transfer(illumination, otf, (ky, kx), side=side, settings=options.hifi).hifi
    return None


compiled_image = jax.jit(classical_image, static_argnames=("method", "iterations", "scale"))

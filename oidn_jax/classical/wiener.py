"""Wiener SIM: the bands added with their weights.

With Ct_b(k) = S(k) H(k + b p), b = 0, +1, -1, of each of D orientations (`classical.bands`; with three beams +2, -2
too), g_b the inverse noise of band b relative to that of band 0, and a_b(k) = 1 - s exp(-|k + b p|^2 / (2 sigma^2)) the
attenuation of light from out of focus,

    S_hat(k) = Apo(k) sum_db g_b a_b H(k + b p_d) Ct_db(k) / D  /  (sum_db g_b a_b H(k + b p_d)^2 / D + w^2).

w is one number (`automatic_wiener`), or one for each |k|: true Wiener filtering (`spectral_wiener`).

Source: Gustafsson, J. Microsc. 198 (2000); the attenuation is that of O'Holleran and Shaw, Biomed. Opt. Express 5
(2014); the weights g_b are those of least variance; true Wiener filtering is that of Smith et al., Phil. Trans. R. Soc.
A 379 (2021).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from oidn_jax.classical.bands import (
    combine_bands,
    crop,
    fine_frequencies,
    mirror,
    move_bands,
    transfer_of_bands,
)
from oidn_jax.classical.spectra import noise_power, taper
from oidn_jax.optics.fourier import fft2, frequency_radius
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.otf import airy_otf
from oidn_jax.optics.transfer import TransferFunction

PAD = 24
_SIGNAL_BAND = (0.3, 0.6)  # times the cutoff


_RINGS = 64  # of the spectrum, for each cycle per raw pixel
_LEAST_SURE = 0.5  # standard errors of a ring's signal that it is taken to have at least
_SMALLEST, _LARGEST = 1e-3, 1e3  # w of a ring


class SpectralRegularisation(NamedTuple):
    """w by spatial frequency.

    Attributes:
        radius: (rings,), |k|, cycles per raw pixel.
        log_w: (rings,), natural logarithm of w.
    """

    radius: Array
    log_w: Array

    def __call__(self, radius: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """w at |k|."""
        return jnp.exp(jnp.interp(radius, self.radius, self.log_w))


class Attenuation(NamedTuple):
    """Notch around the centre of each band, against out-of-focus light and remains of the pattern.

    Attributes:
        strength: s, from 0 (none) to below 1; 0.9 to 0.99 is usual.
        width: sigma in parts of the cutoff.
    """

    strength: float | Array = 0.95
    width: float | Array = 0.1


def wiener_sim(
    raw_frames: Float[Array, "frames h w"],
    illumination: Illumination,
    otf: TransferFunction,
    *,
    scale: int = 2,
    wiener: float | Array | SpectralRegularisation | None = None,
    attenuation: Attenuation | None = None,
    pad: int = PAD,
) -> Float[Array, "h2 w2"]:
    """Super-resolved image by generalised Wiener filtering, in the units of the raw frames; may be negative.

    Args:
        raw_frames: camera offset subtracted, orientation slow and phase fast.
        illumination: of these frames.
        otf: of a raw frame, the camera pixel included, with a cutoff below half a cycle per raw pixel. The apodisation
            is Airy-shaped and ends at the cutoff + mean |p| of the finest harmonic.
        scale: fine pixels per raw pixel; the grid must hold cutoff + |p|.
        wiener: w, best about 0.02, 0.05, 0.1 for peaks of 2000, 300, 50 photons, or that of each frequency; None for
            `automatic_wiener`.
        attenuation: of the centres of the bands, for thick samples; None for none.
        pad: raw pixels by which the frames are continued (mirrored) at the border; 0 for periodic frames.
    """
    if wiener is None:
        wiener = automatic_wiener(raw_frames, illumination, otf)
    frames = mirror(raw_frames, pad)
    bands = move_bands(frames, illumination)
    rest, moved, _ = wiener_filters(
        illumination,
        otf,
        fine_frequencies((frames.shape[1], frames.shape[2]), scale=scale),
        weight=bands.weight,
        wiener=wiener,
        attenuation=attenuation,
    )
    return crop(combine_bands(bands, rest, moved, scale=scale), scale * pad)


def wiener_filters(
    illumination: Illumination,
    otf: TransferFunction,
    frequency: tuple[Array, Array],
    *,
    weight: Float[Array, "waves"],
    wiener: float | Array | SpectralRegularisation,
    attenuation: Attenuation | None,
) -> tuple[Float[Array, "h w"], Float[Array, "waves h w"], Float[Array, "h w"]]:
    """What band 0 and the bands +1 are multiplied with, and the resulting transfer function of the image.

    Arguments as `wiener_sim`, the frequencies (k_y, k_x) in cycles per raw pixel and `weight` of `move_bands`.
    """
    vector, count = illumination.wave_vector, illumination.orientations
    transfer = transfer_of_bands(otf, vector, frequency)
    ky, kx = frequency
    rest, above, below = transfer
    if attenuation is not None:
        strength, width = attenuation.strength, attenuation.width * otf.cutoff

        def notch(y: Array, x: Array) -> Array:
            return 1.0 - strength * jnp.exp(-(y**2 + x**2) / (2.0 * width**2))

        notches = transfer_of_bands(notch, vector, frequency)
        rest, above, below = (n * h for n, h in zip(notches, transfer, strict=True))
    gain = weight[:, None, None]
    power = rest * transfer[0] + (gain * (above * transfer[1] + below * transfer[2])).sum(0) / count
    radius = jnp.hypot(ky, kx)
    w = wiener(radius) if isinstance(wiener, SpectralRegularisation) else wiener
    filtered = airy_otf(radius, cutoff=illumination.reach(otf.cutoff)) / (power + w**2)
    return filtered * rest / count, filtered[None] * gain * above / count, filtered * power


def automatic_wiener(
    raw_frames: Float[Array, "frames h w"], illumination: Illumination, otf: TransferFunction
) -> Float[Array, ""]:
    """The Wiener parameter from the data: noise over signal of band 0 between 0.3 and 0.6 of the cutoff.

    w^2 = mean over orientations of sigma^2 / <(|C0|^2 - sigma^2) / H^2>, sigma^2 the noise power of C0 (`noise_power`),
    between 0.005 and 1.
    """
    still = raw_frames.reshape(*illumination.brightness.shape, *raw_frames.shape[1:])
    still = (still / illumination.brightness[..., None, None]).mean(1)
    power = jnp.abs(fft2(taper(still))) ** 2
    noise = noise_power(power, cutoff=otf.cutoff)
    radius = jnp.asarray(frequency_radius(*power.shape[1:]), jnp.float32)
    inside = (radius > _SIGNAL_BAND[0] * otf.cutoff) & (radius < _SIGNAL_BAND[1] * otf.cutoff)
    strength = jnp.where(inside, otf(radius, jnp.zeros_like(radius)), 1.0) ** 2
    excess = jnp.where(inside[None], (power - noise[:, None, None]) / strength[None], 0.0)
    signal = excess.sum((1, 2)) / inside.sum()
    return jnp.sqrt(jnp.clip((noise / jnp.maximum(signal, noise)).mean(), 0.005**2, 1.0))


def spectral_wiener(
    raw_frames: Float[Array, "frames h w"], illumination: Illumination, otf: TransferFunction, *, scale: int = 2
) -> SpectralRegularisation:
    """The Wiener parameter of each ring of the spectrum from the data: noise over signal of the object there.

    With N = sum_db g_b H(k + b p_d) Ct_db / D = S P + noise, P = sum_db g_b H(k + b p_d)^2 / D and the noise power
    sigma^2 P / D,

        |S|^2 = sum_ring (|N|^2 - sigma^2 P / D) / sum_ring P^2,    w^2 = sigma^2 / (D |S|^2).
    """
    count = illumination.orientations
    bands = move_bands(taper(raw_frames), illumination)
    frequency = fine_frequencies((raw_frames.shape[1], raw_frames.shape[2]), scale=scale)
    rest, above, below = transfer_of_bands(otf, illumination.wave_vector, frequency)
    gain = bands.weight[:, None, None]
    power = rest**2 + (gain * (above**2 + below**2)).sum(0) / count
    # The fine grid has scale^2 as many pixels: an orthonormal spectrum is `scale` times as large there.
    spectrum = fft2(combine_bands(bands, rest / count, gain * above / count, scale=scale)) / scale
    noise = noise_power(jnp.abs(bands.at_rest) ** 2, cutoff=otf.cutoff).mean() / count

    rings = _RINGS * scale
    ring = jnp.minimum((_RINGS * jnp.hypot(*frequency)).astype(jnp.int32), rings)

    def sums(values: Array) -> Array:
        return jnp.zeros(rings + 1).at[ring].add(values)

    signal = sums(jnp.abs(spectrum) ** 2 - noise * power)
    error = jnp.sqrt(2.0 * sums((noise * power) ** 2))  # a spectrum of real pixels says everything twice
    strength = jnp.maximum(signal, _LEAST_SURE * error) / jnp.maximum(sums(power**2), 1e-12)
    strength = strength.at[0].max(strength[1])  # the mean was subtracted
    w = jnp.sqrt(noise / jnp.maximum(strength, 1e-20))
    return SpectralRegularisation((jnp.arange(rings + 1) + 0.5) / _RINGS, jnp.log(jnp.clip(w, _SMALLEST, _LARGEST)))

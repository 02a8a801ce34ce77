"""HiFi-SIM: the bands added without division, then the spectrum shaped in two steps.

With Ct_b(k) = S(k) H(k + b p), b = 0, +1, -1, of each orientation (`classical.bands`), the notch
a_s(k) = 1 - s exp(-|k|^2 / (width / 2)^2) around the centre of each band, and the sums below over orientations and
bands, written H_b for H(k + b p) and a_b for a(k + b p),

    C = sum H_b a_s,b Ct_b,
    Wiener:             C T / (D0 + w2^2),              D0 = sum_all H_b^2 a_s,b,
    step 1 (initial):   C T / (D1 + w1^2),              D1 = sum_0 H_0^2 + sum_+- H_b^2 a_s,b,
    step 2 (HiFi):      step 1 times G / (D2 + w2^2),   D2 = sum_0 H_0^2 a_s/1.05,0 + sum_+- H_b^2 a_s/1.15,b.

The bands of several harmonics, of three beams, have each a factor u_b in all sums: the inverse noise of the band over
that of the finest harmonic's, at most 1. So a weak first harmonic does not fill the middle frequencies with noise; the
bands of two beams have 1, as published.

T is the OTF of an ideal pupil with an extended cutoff, G a Gaussian (`reach_and_apodisation`). Step 1 makes the
transfer function smooth, so that neither the places of the bands nor remains of the pattern show; step 2 raises the
high frequencies again.

Source: Wen et al., Light Sci. Appl. 10, 70 (2021), and the authors' program for what the paper leaves open.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax.classical.bands import (
    band_weights,
    combine_bands,
    crop,
    fine_frequencies,
    mirror,
    move_bands,
    transfer_of_bands,
)
from oidn_jax.classical.richardson_lucy import richardson_lucy
from oidn_jax.classical.wiener import PAD
from oidn_jax.optics.fourier import irfft2, rfft2
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.otf import airy_otf, otf_of_psf, psf_of_otf
from oidn_jax.optics.transfer import TransferFunction


class HifiSettings(NamedTuple):
    """The parameters of the publication with its defaults; all may be traced.

    Attributes:
        attenuation_strength: s of the notch, from 0 (none) to below 1.
        attenuation_width: of the notch, in parts of the cutoff: twice the distance at which it is 1 / e deep. The
            publication's 1.0 cycles per micrometre are pixel_size_nm / 1000 / cutoff: 0.2 for an NA of 1.3 at 520 nm.
        initial_wiener: w1 of step 1; larger is smoother. The publication advises 0.9 to 2.5, for three orientations.
        final_wiener: w2 of step 2.
        apodisation: distance at which G is 1 / 2, cycles per raw pixel; None for that of `reach_and_apodisation`.
    """

    attenuation_strength: float | Array = 0.9
    attenuation_width: float | Array = 0.2
    initial_wiener: float | Array = 1.2
    final_wiener: float | Array = 0.1
    apodisation: float | Array | None = None


class HifiImages(NamedTuple):
    """One array for each of the three images, their filters or their transfer functions."""

    wiener: Array
    initial: Array
    hifi: Array


def hifi_otf(side: int, *, cutoff: float, damping: float = 1.0) -> TransferFunction:
    """The OTF of the publication's program: slightly wider than `airy_otf`, and cut off before it reaches 0.

    The samples H(i / L), i < L = ceil(side cutoff) + 1, stand at the frequencies i / side.

    Args:
        side: raw pixels of the longer side of the frames.
        cutoff: cycles per raw pixel.
        damping: the publication's beta, as in `airy_otf`.
    """
    samples = int(np.ceil(side * cutoff)) + 1
    values = airy_otf(np.arange(samples) / samples, cutoff=1.0, damping=damping)
    return TransferFunction(jnp.asarray(values, jnp.float32), jnp.float32(1 / side), jnp.float32(cutoff))


def hifi_sim(
    raw_frames: Float[Array, "frames h w"],
    illumination: Illumination,
    otf: TransferFunction,
    *,
    scale: int = 2,
    settings: HifiSettings = HifiSettings(),  # noqa: B008 -- immutable
    iterations: int = 5,
    pad: int = PAD,
) -> HifiImages:
    """Super-resolved images (h2, w2) by HiFi-SIM; may be negative. Only the Wiener image keeps the grey values.

    Args:
        raw_frames: camera offset subtracted, orientation slow and phase fast.
        illumination: of these frames.
        otf: of a raw frame, the camera pixel included; `hifi_otf` gives the numbers of the publication's program.
        scale: fine pixels per raw pixel; the grid must hold the OTF's cutoff + |p|.
        settings: parameters of the filters.
        iterations: of Richardson-Lucy deconvolution of the raw frames with the same OTF; 0 for none, which also keeps
            negative values. Known when compiled.
        pad: raw pixels by which the frames are continued (mirrored) at the border; 0 for periodic frames.
    """
    frames = mirror(raw_frames, pad)
    size = (frames.shape[1], frames.shape[2])
    if iterations:
        frames = richardson_lucy(frames, _transfer_of_psf(otf, size), iterations=iterations)
    ky, kx = fine_frequencies(size, scale=scale)
    attenuated = _attenuated(otf, settings=settings)
    rest, moved, _ = transfer_of_bands(attenuated, illumination.wave_vector, (ky, kx))
    if illumination.harmonics > 1:
        moved = moved * _shares(illumination)[:, None, None]
    combined = rfft2(combine_bands(move_bands(frames, illumination), rest, moved, scale=scale))
    # The sum is real and the filters are symmetric: half of the spectrum is enough.
    filters, _ = hifi_filters(
        illumination,
        otf,
        (ky, kx[:, : combined.shape[1]]),
        side=max(raw_frames.shape[1:]),
        settings=settings,
    )
    images = irfft2(combined[None] * jnp.stack(filters), shape=(ky.shape[0], kx.shape[1]))
    return HifiImages(*crop(images, scale * pad))


def hifi_filters(
    illumination: Illumination,
    otf: TransferFunction,
    frequency: tuple[Array, Array],
    *,
    side: int,
    settings: HifiSettings = HifiSettings(),  # noqa: B008 -- immutable
) -> tuple[HifiImages, Float[Array, "h w"]]:
    """What the sum C of the bands is multiplied with, and the transfer function D0 of C itself.

    Arguments as `hifi_sim`, the frequencies (k_y, k_x) in cycles per raw pixel, `side` the raw pixels of the longer
    side of the frames.
    """
    vector, strength = illumination.wave_vector, settings.attenuation_strength
    ky, kx = frequency
    share = _shares(illumination)

    def power(moved_by: Array) -> tuple[Array, Array]:
        y, x = ky + moved_by[0], kx + moved_by[1]
        square = otf(y, x) ** 2
        return square, strength * square * _notch(y, x, width=settings.attenuation_width * otf.cutoff)

    # In turn, not all at once: fused over the bands, XLA looks every OTF up several times on a CPU.
    rest, notch_at_rest = (illumination.orientations * part for part in power(jnp.zeros_like(vector[0])))
    (moved, notch_moved), _ = jax.lax.scan(
        lambda sums, band: (jax.tree.map(lambda total, part: total + band[0] * part, sums, power(band[1])), None),
        (jnp.zeros_like(rest), jnp.zeros_like(rest)),
        (jnp.tile(share, 2), jnp.concatenate([vector, -vector])),
    )
    total = rest + moved
    attenuated = total - notch_at_rest - notch_moved
    less_attenuated = total - notch_at_rest / 1.05 - notch_moved / 1.15
    reach, half_width = reach_and_apodisation(jnp.asarray(illumination.finest), cutoff=otf.cutoff, side=side)
    if settings.apodisation is not None:
        half_width = settings.apodisation
    radius = jnp.hypot(ky, kx)
    ideal = airy_otf(radius, cutoff=reach)
    initial = ideal / (total - notch_moved + settings.initial_wiener**2)
    final = jnp.exp2(-((radius / half_width) ** 2)) / (less_attenuated + settings.final_wiener**2)
    return HifiImages(ideal / (attenuated + settings.final_wiener**2), initial, initial * final), attenuated


def effective_transfer(
    illumination: Illumination,
    otf: TransferFunction,
    frequency: tuple[Array, Array],
    *,
    side: int,
    settings: HifiSettings = HifiSettings(),  # noqa: B008 -- immutable
) -> HifiImages:
    """From the object to each image without deconvolution: T D0 / (D0 + w2^2) and so on; arguments as `hifi_filters`.

    Those of step 1 and step 2 are the publication's OTF_e and OTF_ideal.
    """
    filters, power = hifi_filters(illumination, otf, frequency, side=side, settings=settings)
    return HifiImages(*(power * part for part in filters))


def reach_and_apodisation(
    wave_vector: Float[Array, "orientations 2"], *, cutoff: float | Array, side: int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Where T ends and where G is 1 / 2, in cycles per raw pixel, with the roundings of the publication's program.

    About cutoff + |p| and, whatever the pixels, |p| / (2 cutoff), at most 1 / 2.
    """
    longest = jnp.ceil(side * jnp.linalg.norm(wave_vector, axis=-1).max())
    gain = longest / (jnp.ceil(side * jnp.asarray(cutoff)) + 1.0)
    return cutoff * (1.0 + gain), jnp.minimum(0.5, jnp.round(50.0 * gain) / 100.0)


def _shares(illumination: Illumination) -> Float[Array, "waves"]:
    """u_b of this module."""
    if illumination.harmonics == 1:
        return jnp.ones(illumination.orientations)
    weight = band_weights(illumination).reshape(-1, illumination.harmonics)
    return jnp.minimum(weight / weight[:, -1:], 1.0).ravel()


def _notch(y: Array, x: Array, *, width: float | Array) -> Array:
    """exp(-|k|^2 / (width / 2)^2), the exponentials on one axis each."""
    return jnp.exp(-((2.0 * y / width) ** 2)) * jnp.exp(-((2.0 * x / width) ** 2))


def _attenuated(otf: TransferFunction, *, settings: HifiSettings) -> TransferFunction:
    """H a_s as a table."""
    frequency = otf.step * jnp.arange(otf.values.shape[0])
    notch = _notch(frequency, jnp.zeros_like(frequency), width=settings.attenuation_width * otf.cutoff)
    return otf._replace(values=otf.values * (1.0 - settings.attenuation_strength * notch))


def _transfer_of_psf(otf: TransferFunction, size: tuple[int, int]) -> Float[Array, "h w"]:
    """Transform of the PSF's modulus: the PSF of a table rings, and Richardson-Lucy takes no negative one."""
    return otf_of_psf(jnp.abs(psf_of_otf(otf(*fine_frequencies(size, scale=1))))).real

"""What the raw frames, the estimated illumination and the result say of a reconstruction.

Computed with the functions that reconstruct. Frequencies are in cycles per raw pixel; spectra are log10 of the modulus
with the zero frequency at index n // 2. `figures.diagnostics` draws the page.

Source: the checks of SIMcheck, Ball et al., Sci. Rep. 5 (2015), and of fairSIM, Müller et al., Nat. Commun. 7 (2016).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax.classical.bands import Transfer, fine_frequencies, move_bands, repeat_spectrum
from oidn_jax.classical.estimation import Estimate, frames_in_order, measure_brightness
from oidn_jax.classical.images import ClassicalOptions, transfer_of_image
from oidn_jax.classical.peaks import correlogram
from oidn_jax.classical.spectra import taper
from oidn_jax.optics.fourier import fft2, frequencies
from oidn_jax.optics.illumination import phase_matrix
from oidn_jax.optics.transfer import TransferFunction

GHOSTS = 3.0  # times its surroundings in the spectrum of an image, the pattern's frequencies are ghosts
_SCALE = 2
_LARGEST_BANDS = 512  # raw pixels: a picture shows no more
_PSF_GRID, _PSF_REACH = 64, 8.0  # raw pixels: period, and how far from the centre


class Profiles(NamedTuple):
    """Transfer functions over frequency and PSFs over position (raw pixels), the largest value 1.

    Rows of `otf` and `psf`: of the raw frames; and, for a method that has an effective transfer function, that along
    the first wave vector and across it.
    """

    frequency: Array
    otf: Array
    position: Array
    psf: Array


class Diagnostics(NamedTuple):
    """What there is to say.

    Attributes:
        estimate: of the illumination.
        cutoff: scalar, of the OTF.
        brightness: (orientations, phases), mean of each frame over the mean of all.
        raw_spectrum: (h, w), root mean square over the frames.
        correlogram: (waves, h, w), Z as in `classical.peaks`.
        at_rest: (orientations, h2, w2), C0 on the fine grid, NaN outside its support |k| < k_c.
        moved: (waves, h2, w2), C+ at its place, NaN outside its support |k + p| < k_c.
        result_spectrum: (h2, w2).
        residual_peak: (waves,), modulus of the result's spectrum at p, within 1.5 frequency pixels, over the
            median of the ring of the same |k|; about 2 for noise.
        condition: (orientations,), condition number of what mixes the bands into frames, at best sqrt(2) / m.
        profiles: of the transfer function and the PSF.
    """

    estimate: Estimate
    cutoff: Array
    brightness: Array
    raw_spectrum: Array
    correlogram: Array
    at_rest: Array
    moved: Array
    result_spectrum: Array
    residual_peak: Array
    condition: Array
    profiles: Profiles


@partial(jax.jit, static_argnames=("method", "harmonics"))
def diagnose(
    raw_frames: Float[Array, "frames h w"],
    sr_image: Float[Array, "h2 w2"],
    estimate: Estimate,
    *,
    otf: TransferFunction,
    method: str,
    options: ClassicalOptions = ClassicalOptions(),  # noqa: B008 -- immutable
    harmonics: tuple[int, ...] = (1,),
) -> Diagnostics:
    """Compares an image with the frames it was made of.

    Args:
        raw_frames: camera offset subtracted, orientation slow and phase fast.
        sr_image: what was reconstructed, two pixels per raw pixel.
        estimate: illumination of these frames.
        otf: of a raw frame.
        method: that gave the image; static under jit. Wiener SIM and HiFi-SIM have an effective OTF, others have none.
        options: of Wiener SIM and HiFi-SIM.
        harmonics: `estimate.harmonics`, static under jit.
    """
    given = estimate.illumination
    brightness = measure_brightness(raw_frames, orientations=len(given.brightness))
    frames = raw_frames.reshape(*brightness.shape, *raw_frames.shape[1:]) / brightness[..., None, None]
    correlograms = [correlogram(frames_in_order(frames, harmonic), cutoff=otf.cutoff) for harmonic in harmonics]
    spectrum = jnp.abs(fft2(taper(sr_image)))
    at_rest, moved = _band_spectra(raw_frames, estimate, otf)
    effective = transfer_of_image(raw_frames, given, otf, method=method, options=options)
    return Diagnostics(
        estimate=estimate,
        cutoff=otf.cutoff,
        brightness=brightness,
        raw_spectrum=_displayed(jnp.sqrt((jnp.abs(fft2(taper(raw_frames))) ** 2).mean(0))),
        correlogram=_centred(jnp.stack(correlograms, axis=1).reshape(-1, *raw_frames.shape[1:])),
        at_rest=at_rest,
        moved=moved,
        result_spectrum=_displayed(spectrum),
        residual_peak=jax.vmap(partial(_over_ring, spectrum))(given.wave_vector / _SCALE),
        condition=jax.vmap(jnp.linalg.cond)(phase_matrix(given)),
        profiles=transfer_profiles(effective, given.finest[0], otf),
    )


def _centred(spectrum: Array) -> Array:
    return jnp.roll(spectrum, [n // 2 for n in spectrum.shape[-2:]], (-2, -1))


def _displayed(spectrum: Array) -> Array:
    return _centred(jnp.log10(jnp.maximum(jnp.abs(spectrum), 1e-12)))


def _band_spectra(raw_frames: Array, estimate: Estimate, otf: TransferFunction) -> tuple[Array, Array]:
    """C0, and C+ at its place, on the fine grid, of the middle of the frames."""
    # Phases refer to pixel n // 2, which stays there.
    rows, columns = (slice(n // 2 - min(n, _LARGEST_BANDS) // 2, None) for n in raw_frames.shape[1:])
    frames = raw_frames[:, rows, columns][:, :_LARGEST_BANDS, :_LARGEST_BANDS]
    bands = move_bands(taper(frames), estimate.illumination)
    ky, kx = fine_frequencies((frames.shape[1], frames.shape[2]), scale=_SCALE)

    def supported(spectrum: Array, centre: Array) -> Array:
        inside = jnp.hypot(ky - centre[0], kx - centre[1]) < otf.cutoff
        return jnp.where(_centred(inside), _displayed(repeat_spectrum(spectrum, scale=_SCALE)), jnp.nan)

    vector = estimate.illumination.wave_vector
    still = jnp.zeros((len(bands.at_rest), 2))
    return jax.vmap(supported)(bands.at_rest, still), jax.vmap(supported)(bands.moved, -vector)


class PatternLeft(NamedTuple):
    """What an image holds of the patterns, geometric means over their waves.

    Attributes:
        factor: of `residual_peak`: the frequencies of the patterns over their surroundings in the spectrum.
        contrast: the stripes that this peak alone is, half of their range over the image's standard deviation. Where
            the factor is large and this is below a percent or so, nobody sees them.
    """

    factor: Array
    contrast: Array


@partial(jax.jit, static_argnames="scale")
def pattern_left(
    sr_image: Float[Array, "h2 w2"] | Float[np.ndarray, "h2 w2"],
    wave_vector: Float[Array, "waves 2"] | Float[np.ndarray, "waves 2"],
    *,
    scale: int,
) -> PatternLeft:
    """How far an image holds the patterns' frequencies.

    An object may have a peak at one of them; what is left by bands that do not agree, as with a wrong OTF, is at all of
    them. In 324 images of simulated acquisitions with the right OTF the factor is 0.4 to 2.7; above `GHOSTS` all is not
    well.
    """
    spectrum = jnp.abs(fft2(taper(jnp.asarray(sr_image))))
    peaks, medians = jax.vmap(partial(_peak_and_ring, spectrum))(jnp.asarray(wave_vector) / scale)
    stripes = 2.0 * peaks / jnp.sqrt((spectrum**2).sum())
    return PatternLeft(*(jnp.exp(jnp.log(part).mean()) for part in (peaks / medians, stripes)))


def _over_ring(modulus: Float[Array, "h w"], vector: Float[Array, "2"]) -> Float[Array, ""]:
    """Peak of a spectrum, zero frequency first, at a vector in cycles per pixel, over the median of its ring."""
    peak, median = _peak_and_ring(modulus, vector)
    return peak / median


def _peak_and_ring(
    modulus: Float[Array, "h w"], vector: Float[Array, "2"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    ky, kx = (jnp.asarray(frequencies(n), jnp.float32) for n in modulus.shape)
    ring = jnp.abs(jnp.hypot(ky[:, None], kx[None, :]) - jnp.linalg.norm(vector)) < 2.0 / max(modulus.shape)
    away = [jnp.abs((k - v + 0.5) % 1.0 - 0.5) * len(k) for k, v in zip((ky, kx), vector, strict=True)]
    near = jnp.hypot(away[0][:, None], away[1][None, :]) < 1.5
    return jnp.where(near, modulus, 0.0).max(), jnp.nanmedian(jnp.where(ring & ~near, modulus, jnp.nan))


def transfer_profiles(effective: Transfer | None, vector: Float[Array, "2"], otf: TransferFunction) -> Profiles:
    """Of the raw frames, and of an effective transfer function along a wave vector and across it.

    PSF(x) = sum_k H(k) exp(2 pi i x k.u) along the direction u of a profile, over its value at 0.
    """
    along = vector / jnp.linalg.norm(vector)
    across = jnp.stack([-along[1], along[0]])
    drawn = [(otf, along)] + ([] if effective is None else [(effective, along), (effective, across)])
    frequency = jnp.linspace(0.0, otf.cutoff + jnp.linalg.norm(vector), 300)
    position = jnp.linspace(0.0, _PSF_REACH, 321)
    ky, kx = fine_frequencies((_PSF_GRID, _PSF_GRID), scale=_SCALE)
    otfs, psfs = [], []
    for transfer, (y, x) in drawn:
        otfs.append(transfer(y * frequency[None], x * frequency[None])[0])
        waves = [jnp.exp(2j * jnp.pi * position[:, None] * k.reshape(1, -1)) for k in (y * ky, x * kx)]
        psfs.append(jnp.einsum("ny,yx,nx->n", waves[0], transfer(ky, kx), waves[1]).real)
    return Profiles(
        frequency=frequency,
        otf=jnp.stack([h / h.max() for h in otfs]),
        position=position,
        psf=jnp.stack([psf / psf[0] for psf in psfs]),
    )

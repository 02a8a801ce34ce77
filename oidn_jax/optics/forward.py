"""From object and illumination to the raw frames: D_on = bin[(S I_on) convolved with the PSF].

Two forms of the same model. In space: multiply the object with each pattern, convolve, bin. In Fourier space, with
S the object and H the OTF times the transfer function of the camera pixel,

    D_on = A_on [c0 + sum_h m_oh Re(exp(i phi_ohn) c+_oh)],   C0(k) = S(k) H(k),   C+_oh(k) = S(k - p_oh) H(k),

h the harmonics (one of two beams), where the spectra C are folded onto the raw grid. The second needs 1 + waves
transforms instead of 2 x orientations x phases. All convolutions are periodic: give the object a margin and crop the
frames.

Objects are on the fine grid of `optics.grid`; raw frames are (frames, h, w), orientation slow and phase fast. The mean
of a frame is the mean of S I, because H is 1 at zero frequency.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from oidn_jax.optics.fourier import fft2, filter_image, fold_spectrum, frequencies, ifft2
from oidn_jax.optics.grid import bin_pixels, binning_transfer, unbin_pixels
from oidn_jax.optics.illumination import Illumination, carriers, patterns, phase_matrix
from oidn_jax.optics.otf import otf_of_psf


def pixel_transfer(height: int, width: int, *, scale: int, integrate: bool) -> Float[np.ndarray, "height width"]:
    """What an OTF on the fine grid must be multiplied with, so that binning makes an exact camera pixel of it.

    Args:
        height: fine pixels.
        width: fine pixels.
        scale: fine pixels per raw pixel.
        integrate: True: the camera integrates over its square pixel, sinc(f_y) sinc(f_x) in cycles per raw pixel, of
            which binning does all but the integration over a fine pixel. False: the OTF includes the pixel already, as
            a measured one does; binning is compensated, and a raw pixel is the value at its centre. Frequencies that
            binning cancels, beyond any OTF, get 0.
    """
    if integrate:
        along = [np.sinc(frequencies(n)) for n in (height, width)]
        return along[0][:, None] * along[1][None, :]
    strength = np.abs(binning_transfer(height, width, scale=scale))
    return np.where(strength > 1e-3, 1.0 / np.maximum(strength, 1e-3), 0.0)


def _raw_size(specimen: Array, scale: int) -> tuple[int, int]:
    h, w = specimen.shape
    if h % scale or w % scale:
        raise ValueError(f"an object of {h} x {w} pixels cannot be imaged by a camera {scale} times as coarse")
    return h // scale, w // scale


def form_raw_frames_in_space(
    specimen: Float[Array, "h w"], illumination: Illumination, psf: Float[Array, "h w"], *, scale: int
) -> Float[Array, "frames h2 w2"]:
    """Noise-free raw frames, the spatial form: multiply, convolve, bin.

    Args:
        specimen: object on the fine grid.
        illumination: patterns.
        psf: of sum 1, its centre on pixel (h // 2, w // 2) of the fine grid.
        scale: fine pixels per raw pixel.

    Raises:
        ValueError: if the object is not a multiple of the scale.
    """
    pattern = patterns(illumination, size=_raw_size(specimen, scale), scale=scale)
    blurred = filter_image(specimen[None, None] * pattern, otf_of_psf(psf))
    return bin_pixels(blurred.reshape(-1, *specimen.shape), scale=scale)


def form_bands(
    specimen: Float[Array, "h w"], wave_vector: Float[Array, "waves 2"], otf: Array | np.ndarray, *, scale: int
) -> Complex[Array, "bands h2 w2"]:
    """Spectra of the bands on the raw grid, zero frequency first: C0, then C+ of each wave.

    Args:
        specimen: object on the fine grid.
        wave_vector: cycles per raw pixel.
        otf: (h, w) on the fine grid, zero frequency first; 1 at zero frequency.
        scale: fine pixels per raw pixel.
    """
    carrier = carriers(wave_vector, size=_raw_size(specimen, scale), scale=scale)
    modulated = jnp.concatenate([specimen[None].astype(carrier.dtype), specimen[None] * carrier])
    transfer = jnp.asarray(otf) * binning_transfer(*specimen.shape, scale=scale)
    return fold_spectrum((fft2(modulated) * transfer[None]).astype(carrier.dtype), factor=scale)


def mix_bands(
    bands: Complex[Array, "bands h w"], illumination: Illumination, *, background: Array | None = None
) -> Float[Array, "frames h w"]:
    """Raw frames A [c0 + background + sum m Re(exp(i phi) c+)] from the spectra of `form_bands`.

    Args:
        bands: spectra on the raw grid.
        illumination: patterns.
        background: light (h, w) that the patterns do not modulate, as the camera sees it.
    """
    images = ifft2(bands)
    still = images[0].real if background is None else images[0].real + background
    rows = phase_matrix(illumination)[..., None, None]
    light = rows[:, :, 0] * still[None, None]
    for h in range(illumination.harmonics):
        band = images[1 + h :: illumination.harmonics, None]
        light = light + (rows[:, :, 1 + 2 * h] * band.real + rows[:, :, 2 + 2 * h] * band.imag)
    return light.reshape(-1, *still.shape)


def form_raw_frames(
    specimen: Float[Array, "h w"], illumination: Illumination, otf: Array | np.ndarray, *, scale: int
) -> Float[Array, "frames h2 w2"]:
    """Noise-free raw frames, the Fourier form; arguments as `form_bands`."""
    return mix_bands(form_bands(specimen, illumination.wave_vector, otf, scale=scale), illumination)


def back_project(
    raw_frames: Float[Array, "frames h w"], illumination: Illumination, otf: Array | np.ndarray, *, scale: int
) -> Float[Array, "h2 w2"]:
    """The adjoint of `form_raw_frames` in the object: sum over frames of I_on (h * unbin D_on), h mirrored.

    The frames of an orientation are combined before they are filtered, which needs two real transforms for each wave
    and one more.
    """
    h, w = raw_frames.shape[-2:]
    rows = phase_matrix(illumination)
    frames = raw_frames.reshape(*rows.shape[:2], h, w)
    still, *waves = jnp.einsum("onj,onyx->joyx", rows, frames)
    real, imag = (jnp.stack(waves[part::2], axis=1).reshape(-1, h, w) for part in (0, 1))
    combined = jnp.concatenate([still.sum(0, keepdims=True), real, imag])
    filtered = filter_image(unbin_pixels(combined, scale=scale), jnp.conj(jnp.asarray(otf)))
    count = len(real)
    carrier = carriers(illumination.wave_vector, size=(h, w), scale=scale)
    return filtered[0] + (filtered[1 : 1 + count] * carrier.real + filtered[1 + count :] * carrier.imag).sum(0)

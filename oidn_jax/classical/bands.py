"""The bands of SIM: separated from the frames, moved to their place, laid out on the fine grid.

Per orientation d the frames are D_n = A_n [c0 + m Re(exp(i phi_n) c+)], with such a term for each harmonic, which least
squares solve for c0 and c+, whose spectra are S(k) H(k) and S(k - p) H(k). Moving multiplies c+ with exp(-2 pi i p.r),
which gives S(k) H(k + p). All this happens on the raw grid, where the moved band may lie beyond the band limit: a raw
spectrum is periodic, and of its copies on the fine grid the factor H(k + p), 0 outside a disc narrower than the period,
keeps the right one.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from oidn_jax.optics.fourier import fft2, frequencies, ifft2
from oidn_jax.optics.illumination import Illumination, carriers, phase_matrix

Transfer = Callable[[Array, Array], Array]


class Bands(NamedTuple):
    """The spectra of the bands of an acquisition on the raw grid, zero frequency first.

    Attributes:
        at_rest: (orientations, h, w), S(k) H(k).
        moved: (waves, h, w), S(k) H(k + p), periodic copies included.
        weight: (waves,), the variance of c0 over that of c+ for frames of equal noise: m^2 / 4 for evenly spaced
            phases.
    """

    at_rest: Array
    moved: Array
    weight: Array


def separate_bands(
    raw_frames: Float[Array, "frames h w"], illumination: Illumination
) -> tuple[Float[Array, "orientations h w"], Complex[Array, "waves h w"], Float[Array, "waves"]]:
    """Images of the bands c0 of each orientation and c+ of each wave, and the weight of c+.

    The weight is the variance of c0 over that of c+ for frames of equal noise: m^2 / 4 for evenly spaced phases.
    """
    rows = phase_matrix(illumination)
    solution = jnp.linalg.pinv(rows)  # (orientations, 1 + 2 harmonics, phases)
    frames = raw_frames.reshape(*rows.shape[:2], *raw_frames.shape[1:])
    still, *waves = jnp.einsum("ojn,onyx->joyx", solution, frames)
    real, imag = (jnp.stack(waves[part::2], axis=1).reshape(-1, *raw_frames.shape[1:]) for part in (0, 1))
    return still, real + 1j * imag, _weights(solution)


def band_weights(illumination: Illumination) -> Float[Array, "waves"]:
    """The weights of `separate_bands`."""
    return _weights(jnp.linalg.pinv(phase_matrix(illumination)))


def _weights(solution: Float[Array, "orientations columns phases"]) -> Float[Array, "waves"]:
    variance = jnp.sum(solution**2, axis=-1)
    return (variance[:, :1] / (variance[:, 1::2] + variance[:, 2::2])).ravel()


def move_bands(raw_frames: Float[Array, "frames h w"], illumination: Illumination) -> Bands:
    """Separates the bands and moves them; the frames count as periodic."""
    still, modulated, weight = separate_bands(raw_frames, illumination)
    h, w = raw_frames.shape[1:]
    carrier = carriers(illumination.wave_vector, size=(h, w), scale=1)
    return Bands(fft2(still), fft2(modulated * jnp.conj(carrier)), weight)


def fine_frequencies(size: tuple[int, int], *, scale: int) -> tuple[Float[Array, "h 1"], Float[Array, "1 w"]]:
    """Frequencies (k_y, k_x) of the grid `scale` times as fine as raw frames of `size`, in cycles per raw pixel."""
    ky, kx = (jnp.asarray(scale * frequencies(scale * n), jnp.float32) for n in size)
    return ky[:, None], kx[None, :]


def transfer_of_bands(
    otf: Transfer, wave_vector: Float[Array, "waves 2"], frequency: tuple[Array, Array]
) -> tuple[Float[Array, "h w"], Float[Array, "waves h w"], Float[Array, "waves h w"]]:
    """H(k), H(k + p) and H(k - p) at the frequencies (k_y, k_x)."""
    ky, kx = frequency
    py, px = wave_vector[:, 0, None, None], wave_vector[:, 1, None, None]
    return otf(ky, kx), otf(ky[None] + py, kx[None] + px), otf(ky[None] - py, kx[None] - px)


def repeat_spectrum(spectrum: Complex[Array, "*batch h w"], *, scale: int) -> Complex[Array, "*batch h2 w2"]:
    """A raw spectrum with its periodic copies on the fine grid, for multiplication with what keeps one of them.

    Includes the quarter pixel by which fine pixel 0 lies before raw pixel 0 (`optics.grid`).
    """
    h, w = spectrum.shape[-2:]
    ky, kx = (scale * frequencies(scale * n) for n in (h, w))
    offset = 0.5 / scale - 0.5
    ramp = np.exp(2j * np.pi * offset * ky)[:, None] * np.exp(2j * np.pi * offset * kx)[None, :]
    repeated = jnp.tile(spectrum, (1,) * (spectrum.ndim - 2) + (scale, scale))
    return repeated * jnp.asarray(scale * ramp, jnp.complex64).reshape((1,) * (spectrum.ndim - 2) + ramp.shape)


def combine_bands(
    bands: Bands, rest_filter: Float[Array, "h2 w2"], moved_filter: Float[Array, "waves h2 w2"], *, scale: int
) -> Float[Array, "h2 w2"]:
    """Image of sum_d rest_filter at_rest_d + 2 Re(sum_w moved_filter_w moved_w), filters on the fine grid.

    Band -1 is the mirrored conjugate of band +1: together they are twice the real part.
    """
    spectrum = rest_filter * repeat_spectrum(bands.at_rest.sum(0), scale=scale)
    spectrum = spectrum + 2.0 * (moved_filter * repeat_spectrum(bands.moved, scale=scale)).sum(0)
    return ifft2(spectrum).real


def mirror(frames: Float[Array, "*batch h w"], pad: int) -> Float[Array, "*batch h2 w2"]:
    """Frames continued by `pad` mirrored pixels on every side."""
    return jnp.pad(frames, ((0, 0),) * (frames.ndim - 2) + ((pad, pad), (pad, pad)), mode="reflect")


def crop(image: Float[Array, "*batch h w"], pad: int) -> Float[Array, "*batch h2 w2"]:
    """What remains without `pad` pixels on every side."""
    return image[..., pad : image.shape[-2] - pad, pad : image.shape[-1] - pad]

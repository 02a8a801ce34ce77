"""Where band 0 and a moved band +1 both carry signal: there they are compared."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float

from oidn_jax.optics.fourier import fft2, frequencies
from oidn_jax.optics.grid import fine_positions
from oidn_jax.optics.transfer import TransferFunction

# Parts of the cutoff: below, images have too much power; above, the Airy OTF falls below 0.02.
LOW, HIGH = 0.2, 0.934


def overlap(wave_vector: Array, size: tuple[int, int], cutoff: Array) -> tuple[Array, Array]:
    """Where band 0 and the moved band overlap, (h, w), seen from band 0 and from band +1."""

    def both(sign: float) -> Array:
        inside = jnp.ones(size, bool)
        for offset in (0.0, sign):
            ky, kx = shifted_frequencies(offset * wave_vector, size)
            square = ky**2 + kx**2
            inside &= (square > (LOW * cutoff) ** 2) & (square < (HIGH * cutoff) ** 2)
        return inside

    return both(1.0), both(-1.0)


class InOverlap(NamedTuple):
    """Frames of an orientation where band 0 and the moved band overlap, each weighted with the other one's OTF.

    Attributes:
        spectra: of the frames, everywhere.
        at_rest: H(k + p) D_n(k), 0 outside the overlap.
        moved: H(k) D_n(k + p), 0 outside.
        transfer: H(k), 0 outside.
        moved_transfer: H(k + p), 0 outside.
        inside: where they overlap.
        radius: |k|, cycles per raw pixel.
        moved_radius: |k + p|.
    """

    spectra: Complex[Array, "phases h w"]
    at_rest: Complex[Array, "phases h w"]
    moved: Complex[Array, "phases h w"]
    transfer: Float[Array, "h w"]
    moved_transfer: Float[Array, "h w"]
    inside: Bool[Array, "h w"]
    radius: Float[Array, "h w"]
    moved_radius: Float[Array, "h w"]


def in_overlap(frames: Float[Array, "phases h w"], vector: Float[Array, "2"], *, otf: TransferFunction) -> InOverlap:
    """Of frames that fade out at the border, and a wave vector in cycles per raw pixel."""
    size = frames.shape[1], frames.shape[2]
    y, x = (jnp.exp(-2j * jnp.pi * v * positions(n)) for v, n in zip(vector, size, strict=True))
    inside, _ = overlap(vector, size, otf.cutoff)
    (ky, kx), (my, mx) = (shifted_frequencies(shift, size) for shift in (jnp.zeros(2), vector))
    here, there = inside * otf(ky, kx), inside * otf(my, mx)
    spectra = fft2(frames)
    return InOverlap(
        spectra=spectra,
        at_rest=there[None] * spectra,
        moved=here[None] * fft2(frames * (y[:, None] * x[None, :])[None]),
        transfer=here,
        moved_transfer=there,
        inside=inside,
        radius=jnp.hypot(ky, kx),
        moved_radius=jnp.hypot(my, mx),
    )


def shifted_frequencies(shift: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """Frequencies (k_y, k_x) + shift of a grid of `size`, cycles per raw pixel, zero first, (h, 1) and (1, w)."""
    ky, kx = (jnp.asarray(frequencies(n), jnp.float32) + s for n, s in zip(size, shift, strict=True))
    return ky[:, None], kx[None, :]


def positions(size: int) -> Float[Array, "n"]:
    """Raw pixels of an axis, counted from the one that phases refer to."""
    return jnp.asarray(fine_positions(size, scale=1), jnp.float32)

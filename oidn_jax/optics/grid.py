"""The one grid convention: where super-resolved pixels lie against raw pixels.

Raw pixel i covers the super-resolved pixels scale * i to scale * i + scale - 1, as in binning, pixel shuffling and
resizing. Counted in raw pixels from the centre of raw pixel 0, the centre of super-resolved pixel j lies at

    r(j) = (j + 1/2) / scale - 1/2,        r(0) = -1/4 for scale 2.

Simulated objects and targets, the networks' images and the classical reconstructions all use this grid, so they compare
pixel by pixel. Programs that interpolate by padding the spectrum put the fine pixel scale * i on raw pixel i instead,
(scale - 1) / 2 fine pixels away: `from_padded_spectrum` and `to_padded_spectrum` convert.

Phases of illumination patterns are quoted at the centre of raw pixel (h // 2, w // 2).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax.optics.fourier import fft2, frequencies, ifft2, pad_spectrum


def fine_positions(size: int, *, scale: int) -> Float[np.ndarray, "n"]:
    """Positions, in raw pixels from the centre of raw pixel size // 2, of the scale * size fine pixels of an axis.

    Args:
        size: raw pixels of the axis.
        scale: fine pixels per raw pixel; 1 gives the raw pixels themselves.
    """
    return (np.arange(scale * size) + 0.5) / scale - 0.5 - size // 2


def binning_transfer(height: int, width: int, *, scale: int) -> np.ndarray:
    """Transfer function of the mean over scale x scale fine pixels, seen from the first of them.

    b(f) = (1 / scale) sum_j exp(2 pi i f j) along each axis, f in cycles per fine pixel, on the full zero-first grid.
    """
    along = [
        np.mean([np.exp(2j * np.pi * f * j) for j in range(scale)], axis=0)
        for f in (frequencies(height), frequencies(width))
    ]
    return along[0][:, None] * along[1][None, :]


def bin_pixels(image: Float[Array, "*batch h w"], *, scale: int) -> Float[Array, "*batch h2 w2"]:
    """Mean over scale x scale pixels: what camera pixels record of a fine image.

    Raises:
        ValueError: if the image is not a multiple of the scale.
    """
    *batch, h, w = image.shape
    if h % scale or w % scale:
        raise ValueError(f"an image of {h} x {w} pixels cannot be binned by {scale}")
    return image.reshape(*batch, h // scale, scale, w // scale, scale).mean((-3, -1))


def unbin_pixels(image: Float[Array, "*batch h w"], *, scale: int) -> Float[Array, "*batch h2 w2"]:
    """Adjoint of `bin_pixels`: each pixel's value / scale^2 on the scale x scale fine pixels it covers."""
    return jnp.repeat(jnp.repeat(image, scale, axis=-2), scale, axis=-1) / scale**2


def shift_image(
    image: Float[Array, "*batch h w"], shift: tuple[float | Array, float | Array]
) -> Float[Array, "*batch h w"]:
    """An image moved by (y, x) pixels, periodically, by the phase of its spectrum: content at r goes to r + shift."""
    h, w = image.shape[-2:]
    fy, fx = frequencies(h), frequencies(w)
    ramp = jnp.exp(-2j * jnp.pi * fy * shift[0])[:, None] * jnp.exp(-2j * jnp.pi * fx * shift[1])[None, :]
    ramp = ramp.reshape((1,) * (image.ndim - 2) + (h, w))
    return ifft2(fft2(image) * ramp).real.astype(image.dtype)


def upsample(image: Array, *, scale: int) -> Array:
    """An image (..., h, w), real or complex, on the fine grid, by Fourier interpolation: periodic, complex result."""
    *batch, h, w = image.shape
    offset = 0.5 / scale - 0.5  # of fine pixel 0, in raw pixels
    ramp = np.exp(2j * np.pi * offset * frequencies(h))[:, None] * np.exp(2j * np.pi * offset * frequencies(w))[None]
    spectrum = fft2(image) * jnp.asarray(ramp, jnp.complex64).reshape((1,) * len(batch) + (h, w))
    return ifft2(pad_spectrum(spectrum, factor=scale))


def from_padded_spectrum(image: Float[Array, "*batch h w"], *, scale: int) -> Float[Array, "*batch h w"]:
    """An image whose pixel (scale i, scale j) lies on raw pixel (i, j), brought onto this project's grid."""
    offset = (scale - 1) / 2
    return shift_image(image, (offset, offset))


def to_padded_spectrum(image: Float[Array, "*batch h w"], *, scale: int) -> Float[Array, "*batch h w"]:
    """Inverse of `from_padded_spectrum`."""
    offset = -(scale - 1) / 2
    return shift_image(image, (offset, offset))

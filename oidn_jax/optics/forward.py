"""From object and illumination to what the camera sees: D = bin[(S I) * h]."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax.optics.fourier import filter_image


def bin_pixels(image: Float[Array, "*batch h w"], *, factor: int) -> Float[Array, "*batch h2 w2"]:
    """Mean over factor x factor pixels: camera pixel i covers the fine pixels factor*i to factor*i + factor - 1.

    Raises:
        ValueError: if the image is not a multiple of the factor.
    """
    *batch, h, w = image.shape
    if h % factor or w % factor:
        raise ValueError(f"an image of {h} x {w} pixels cannot be binned by {factor}")
    return image.reshape(*batch, h // factor, factor, w // factor, factor).mean((-3, -1))


def form_raw_frames(
    specimen: Float[Array, "h w"],
    illumination: Float[Array, "orientations phases h w"],
    otf: Float[np.ndarray, "h half_w"],
    *,
    binning: int,
) -> Float[Array, "frames h2 w2"]:
    """Noise-free raw frames, orientation slow and phase fast: bin[(specimen * illumination) convolved with the PSF].

    The convolution is periodic: give the specimen a margin and crop the frames. The mean of each frame is that of
    specimen * illumination, because the OTF is 1 at zero frequency.
    """
    frames = filter_image(specimen[None, None] * illumination, otf)
    return bin_pixels(jnp.concatenate(list(frames)), factor=binning)

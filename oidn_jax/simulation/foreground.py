"""The signal level of an image: its mean over what is specimen.

Photon numbers of publications can only be compared where they are counted alike; a field that is sparse has ten times
the photons in one count and not in another.
"""

import jax.numpy as jnp
import numpy as np
from jax.scipy.signal import convolve2d
from jaxtyping import Array, Float

from oidn_jax.classical.guides import foreground_mean

_SIGMA, _RADIUS = 5.0, 4  # raw pixels: a Gaussian in a window of 9 x 9
_EXTREME = 0.001  # share of the pixels whose mean is the darkest, or the brightest, level
_ABOVE = 0.2  # of the way from one to the other


def biosr_foreground_mean(image: Float[Array, "h w"]) -> Float[Array, ""]:
    """As the laboratory that recorded BioSR counts: mean over the pixels whose smoothed value is above 0.2.

    Smoothed by a Gaussian of sigma 5 pixels in a window of 9 x 9, and normalised between the means of the lowest and
    of the highest 0.1 % of its values; at least 1e-6. Source: Qiao et al., Nature Methods 18 (2021), their code.
    """
    along = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    window = jnp.asarray(np.outer(along, along) / along.sum() ** 2, jnp.float32)
    smooth = convolve2d(jnp.pad(image, _RADIUS, mode="edge"), window, mode="valid")
    values = jnp.sort(smooth.ravel())
    count = max(round(_EXTREME * values.size), 1)
    darkest, brightest = values[:count].mean(), values[-count:].mean()
    foreground = smooth > darkest + _ABOVE * (brightest - darkest)
    return jnp.maximum(jnp.sum(image * foreground) / jnp.maximum(foreground.sum(), 1), 1e-6)


FOREGROUNDS = {"above_mean": foreground_mean, "biosr": biosr_foreground_mean}

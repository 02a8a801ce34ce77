"""Spectra of frames that are not periodic, and the noise in them."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from oidn_jax.optics.fourier import frequency_radius

TAPER = 0.07  # of the side, at each end
EULER_GAMMA = 0.5772156649
_NOISE_FROM = 1.08  # times the cutoff: the OTF passes nothing there


def taper(frames: Float[Array, "*batch h w"]) -> Float[Array, "*batch h w"]:
    """Frames minus their mean, faded out over `TAPER` of the side, scaled so that white noise keeps its power."""
    window = tukey((frames.shape[-2], frames.shape[-1]))
    window = jnp.asarray(window / np.sqrt(np.mean(window**2)), jnp.float32)
    centred = frames - frames.mean((-2, -1), keepdims=True)
    return centred * window.reshape((1,) * (frames.ndim - 2) + window.shape)


def tukey(size: tuple[int, int], *, width: float = TAPER, inset: float = 0.0) -> Float[np.ndarray, "h w"]:
    """Window that rises from 0 to 1 as a raised cosine over `width` of each side, after `inset` of it at 0."""
    along = []
    for n in size:
        position = (np.arange(n) + 0.5) / n
        position = np.minimum(position, position[::-1])
        along.append(np.sin(np.pi / 2 * np.clip((position - inset) / width, 0.0, 1.0)) ** 2)
    return along[0][:, None] * along[1][None, :]


def outside_support(size: tuple[int, int], *, cutoff: float | Array) -> Bool[Array, "h w"]:
    """Where the OTF passes nothing; where its support fills the spectrum, the corners."""
    return jnp.asarray(frequency_radius(*size), jnp.float32) > jnp.minimum(_NOISE_FROM * cutoff, 0.6)


def noise_power(power: Float[Array, "orientations h w"], *, cutoff: float | Array) -> Float[Array, "orientations"]:
    """White-noise level of power spectra, zero frequency first: exp(<ln power> + gamma) where the OTF passes nothing.

    The power of white noise is exponentially distributed, whose geometric mean is exp(-gamma) of its mean; streaks from
    the image's border hardly change a geometric mean.
    """
    outside = outside_support((power.shape[1], power.shape[2]), cutoff=cutoff)
    logarithm = jnp.where(outside[None], jnp.log(jnp.maximum(power, 1e-30)), 0.0)
    return jnp.exp(logarithm.sum((1, 2)) / outside.sum() + EULER_GAMMA)

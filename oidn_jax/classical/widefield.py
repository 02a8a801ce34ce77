"""The widefield image on the fine grid, as it is and deconvolved: what SIM must beat."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from oidn_jax.classical.bands import crop, fine_frequencies, mirror, repeat_spectrum
from oidn_jax.classical.wiener import PAD
from oidn_jax.optics.fourier import fft2, ifft2
from oidn_jax.optics.otf import airy_otf
from oidn_jax.optics.transfer import TransferFunction


def widefield(raw_frames: Float[Array, "frames h w"], *, scale: int) -> Float[Array, "h2 w2"]:
    """The mean of the frames, by cubic interpolation: what a microscope without SIM shows."""
    mean = raw_frames.mean(0)
    return jax.image.resize(mean, (scale * mean.shape[0], scale * mean.shape[1]), "cubic")


def deconvolved_widefield(
    raw_frames: Float[Array, "frames h w"],
    otf: TransferFunction,
    *,
    reach: float | Array,
    wiener: float | Array,
    scale: int = 2,
    pad: int = PAD,
) -> Float[Array, "h2 w2"]:
    """The mean of the frames, Wiener-deconvolved to the apodisation of a SIM image: what SIM must beat.

    Arguments as `wiener_sim`; `reach` is where the apodisation ends.
    """
    mean = mirror(raw_frames.mean(0), pad)
    ky, kx = fine_frequencies((mean.shape[0], mean.shape[1]), scale=scale)
    transfer = otf(ky, kx)
    filtered = airy_otf(jnp.hypot(ky, kx), cutoff=reach) * transfer / (transfer**2 + wiener**2)
    return crop(ifft2(filtered * repeat_spectrum(fft2(mean), scale=scale)).real, scale * pad)

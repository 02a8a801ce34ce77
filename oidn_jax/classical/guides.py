"""What a guided network sees of an acquisition: Wiener images of three regularisations, in units of its own light.

The patterns are undone here, by the illumination that was measured, so a network need not know how many frames,
orientations or phases there were. With w of `wiener.automatic_wiener` the images are those of w, 0.4 w and 2.5 w: the
network chooses between them where it finds more or less noise. The unit is the foreground's mean of the widefield
image, so that they are numbers about 1; nothing hangs on the brightest pixel, and what a network makes of them is
proportional to light.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from oidn_jax.classical.bands import combine_bands, crop, fine_frequencies, mirror, move_bands
from oidn_jax.classical.spectra import noise_power, taper
from oidn_jax.classical.wiener import PAD, automatic_wiener, wiener_filters
from oidn_jax.optics.fourier import fft2
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.transfer import TransferFunction

REGULARISATIONS = (1.0, 0.4, 2.5)


class Guides(NamedTuple):
    """The guides of one acquisition.

    Attributes:
        images: (regularisations, scale*h, scale*w), in units of `unit`.
        conditions: (4,): log10 of the noise of the widefield image (standard deviation, in units of `unit`), log10 of
            w, the cutoff k_c and the reach k_c + |p| in cycles per raw pixel.
        unit: scalar, the mean of the widefield image over its foreground, in the units of the raw frames.
    """

    images: Array
    conditions: Array
    unit: Array


def guides(
    raw_frames: Float[Array, "frames h w"],
    illumination: Illumination,
    otf: TransferFunction,
    *,
    scale: int = 2,
    unit: Float[Array, ""] | None = None,
    pad: int = PAD,
) -> Guides:
    """The guides of an acquisition.

    Args:
        raw_frames: camera offset subtracted, orientation slow and phase fast.
        illumination: of these frames; a wave whose vector is 0 does not count: where no stripes were found the guides
            are deconvolved widefield images.
        otf: as `wiener.wiener_sim`.
        scale: as there.
        unit: None for the foreground's mean.
        pad: as there.
    """
    widefield = (raw_frames / illumination.brightness.reshape(-1, 1, 1)).mean(0)
    unit = foreground_mean(widefield) if unit is None else unit
    noise = jnp.sqrt(noise_power(jnp.abs(fft2(taper(widefield))[None]) ** 2, cutoff=otf.cutoff)[0])
    wiener = automatic_wiener(raw_frames, illumination, otf)

    frames = mirror(raw_frames, pad)
    bands = move_bands(frames, illumination)
    length = jnp.linalg.norm(illumination.wave_vector, axis=-1)
    weight = jnp.where(length > 0, bands.weight, 0.0)
    frequency = fine_frequencies((frames.shape[1], frames.shape[2]), scale=scale)

    def image(w: Array) -> Array:
        rest, moved, _ = wiener_filters(illumination, otf, frequency, weight=weight, wiener=w, attenuation=None)
        return crop(combine_bands(bands, rest, moved, scale=scale), scale * pad)

    images = jax.lax.map(image, wiener * jnp.asarray(REGULARISATIONS))
    conditions = jnp.stack(
        [jnp.log10(jnp.maximum(noise / unit, 1e-6)), jnp.log10(wiener), otf.cutoff, illumination.reach(otf.cutoff)]
    )
    return Guides(images / unit, conditions, unit)


compiled_guides = jax.jit(guides, static_argnames="scale")


def foreground_mean(image: Float[Array, "h w"]) -> Float[Array, ""]:
    """Mean over the pixels above the mean of all, at least 1e-6."""
    foreground = image > image.mean()
    return jnp.maximum(jnp.sum(image * foreground) / jnp.maximum(foreground.sum(), 1), 1e-6)

"""Named normalisations of images, each with its inverse: the ways to bring two images to a common scale.

A normalisation is a straight line through the pixel values, so no structure is changed by it: nothing is clipped.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from oidn_jax.metrics.arrays import as_floating, as_pair

Image = Real[Array | np.ndarray, "*batch h w"]
Reference = Real[Array | np.ndarray, "*batch2 h2 w2"]  # so that another shape reaches the check, which explains it
PerImage11 = Float[Array, "*batch 1 1"]


class Scaling(NamedTuple):
    """x -> gain (x - origin) + offset for each image, and back.

    The origin is subtracted first: as gain x + constant, camera counts far above zero would lose their last digits.

    Attributes:
        gain: units of the result per unit of the image.
        origin: value of the image that becomes `offset`.
        offset: in units of the result.
    """

    gain: PerImage11
    origin: PerImage11
    offset: PerImage11

    def apply(self, image: Image) -> Image:
        """The images on the common scale, gain (image - origin) + offset."""
        return self.gain * (as_floating(image) - self.origin) + self.offset

    def invert(self, image: Image) -> Image:
        """Images of the common scale on the original one, (image - offset) / gain + origin.

        NaN where the gain is zero: every value has become `offset`, and nothing can tell which one it was.
        """
        return (image - self.offset) / jnp.where(self.gain == 0, jnp.nan, self.gain) + self.origin


def centred(image: Image) -> Float[Array, "*batch h w"]:
    """Each image minus its mean, without the rounding error of the mean; exactly 0 for a constant image."""
    deviation = image - image.mean((-2, -1), keepdims=True)
    deviation = deviation - deviation.mean((-2, -1), keepdims=True)
    constant = image.max((-2, -1), keepdims=True) == image.min((-2, -1), keepdims=True)
    return jnp.where(constant, 0.0, deviation)


def _between(low: PerImage11, high: PerImage11) -> Scaling:
    gain = 1.0 / jnp.where(high == low, 1.0, high - low)
    return Scaling(gain=gain, origin=low, offset=jnp.zeros_like(low))


def min_max(image: Image) -> Scaling:
    """(image - min) / (max - min) of each image, range [0, 1] but for rounding; a constant image becomes 0, gain 1."""
    image = as_floating(image)
    return _between(image.min((-2, -1), keepdims=True), image.max((-2, -1), keepdims=True))


def percentile(image: Image, *, low: float = 0.1, high: float = 99.9) -> Scaling:
    """(image - P_low) / (P_high - P_low) of each image: as `min_max`, but a single hot pixel does not set the scale.

    The percentiles are those of `numpy.percentile`, between the ranks by linear interpolation. Values beyond them are
    not clipped, they fall outside [0, 1]. Where both percentiles are equal the gain is 1.

    Args:
        image: at least one pixel.
        low: percentage of the pixels at or below what becomes 0. Normalisation by percentiles is that of CARE (Weigert
            et al., Nature Methods 15, 2018).
        high: percentage at or below what becomes 1.

    Raises:
        ValueError: unless 0 <= low < high <= 100.
    """
    if not 0 <= low < high <= 100:
        raise ValueError(f"percentiles are low={low}, high={high}; legal: 0 <= low < high <= 100")
    image = as_floating(image)
    pixels = jnp.sort(image.reshape(*image.shape[:-2], 1, -1))
    last = pixels.shape[-1] - 1

    def at(percentage: float) -> PerImage11:
        rank = last * percentage / 100.0
        below = math.floor(rank)
        lower, upper = (pixels[..., i : i + 1] for i in (below, min(below + 1, last)))
        return lower + (rank - below) * (upper - lower)

    return _between(at(low), at(high))


def affine_match(image: Image, reference: Reference) -> Scaling:
    """a image + b with a, b of least squares against the reference: what is compared is structure, not scale.

    a = cov(image, reference) / var(image); a constant image becomes the mean of the reference, with gain 0.
    """
    image, reference = as_pair(image, reference)
    deviation, reference_deviation = centred(image), centred(reference)
    variance = (deviation**2).mean((-2, -1), keepdims=True)
    gain = (deviation * reference_deviation).mean((-2, -1), keepdims=True) / jnp.where(variance == 0, 1.0, variance)
    origin = image.mean((-2, -1), keepdims=True)
    rounding = (image - origin).mean((-2, -1), keepdims=True)
    return Scaling(gain=gain, origin=origin, offset=reference.mean((-2, -1), keepdims=True) - gain * rounding)


# By name, as functions of (image, reference); only the affine match looks at the reference.
NORMALISATIONS: Mapping[str, Callable[[Image, Image], Scaling]] = {
    "min_max": lambda image, reference: min_max(image),
    "percentile": lambda image, reference: percentile(image),
    "affine_match": affine_match,
}

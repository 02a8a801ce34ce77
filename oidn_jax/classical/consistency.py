"""Whether raw frames contradict a super-resolved image, and where; the image may come from any method.

The image predicts frames (`classical.prediction`); what the measured ones have besides is judged by their noise
(`classical.evidence`). What no linear SIM can see, frequencies of the object beyond the support, is not judged.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax.classical.evidence import chi_square, evidence, significance_threshold
from oidn_jax.classical.prediction import PredictedFrames, inside_border, predict_frames
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.noise import NoiseModel
from oidn_jax.optics.transfer import TransferFunction

BORDER = 12


class Consistency(NamedTuple):
    """What raw frames say about an image. Within the border nothing is said: residuals and evidence 0, chi-square 1.

    An image made of the same frames has fitted a part of their noise. Where nothing is wrong, Wiener SIM of 9 frames
    has a reduced chi-square of 0.9, 0.45 in the map `chi_square`, which holds noise within the band of the OTF only,
    and evidence of standard deviation 0.2 to 0.5: the threshold is on the safe side.

    Attributes:
        predicted: (frames, h, w), counts.
        residual: (frames, h, w), raw minus predicted frames in units of the expected noise.
        mean_residual: (h, w), their sum over the frames in units of its own expected noise.
        chi_square: (h2, w2), squared residuals seen through the PSF, 1 for noise alone (`classical.evidence`).
        evidence: (h2, w2), standard normal where image and frames agree; positive where light is missing in the image,
            negative where the image shows light that the frames do not.
        background: (h, w), light that the patterns do not modulate, counts (`classical.prediction`).
        frequency: (frequencies,), cycles per raw pixel.
        transfer: (frequencies,), by what the image's frequencies were multiplied to fit (`classical.prediction`).
        reduced_chi_square: scalar, mean of the squared residuals of all pixels.
        threshold: scalar, the |evidence| that noise exceeds anywhere in the image with a probability of 5 %.
        suspect_area: scalar, the share of the area inside the border where |evidence| is above the threshold.
    """

    predicted: Array
    residual: Array
    mean_residual: Array
    chi_square: Array
    evidence: Array
    background: Array
    frequency: Array
    transfer: Array
    reduced_chi_square: Array
    threshold: Array
    suspect_area: Array


def check_consistency(
    image: Float[Array, "h2 w2"],
    raw_frames: Float[Array, "frames h w"],
    illumination: Illumination,
    *,
    otf: TransferFunction,
    noise: NoiseModel,
    background_scale: float | Array = 6.0,
    offset_error: float | Array = 4.0,
    border: int = BORDER,
) -> Consistency:
    """Compares an image with the raw frames of the same field.

    Args:
        image: on the grid of `optics.grid`; of any brightness scale, offset and apodisation.
        raw_frames: counts, camera offset subtracted, orientation slow and phase fast.
        illumination: of these frames.
        otf: as in `classical.wiener.wiener_sim`.
        noise: of the counts, its offset 0 as theirs.
        background_scale: raw pixels; light that varies more slowly may be out of focus.
        offset_error: photo-electrons by which the subtracted offset may be wrong: so far the background may be
            negative.
        border: raw pixels at the edge that light from outside reaches, left out.

    Raises:
        ValueError: if the image is not a multiple of the raw frames.
    """
    prediction = predict_frames(
        image,
        raw_frames,
        illumination,
        otf=otf,
        noise=noise,
        background_scale=background_scale,
        offset_error=offset_error,
        border=border,
    )
    scale, reach = image.shape[0] // raw_frames.shape[1], illumination.reach(otf.cutoff)
    return _judge(raw_frames, prediction, illumination, otf=otf, reach=reach, border=border, scale=scale)


def _judge(
    raw_frames: Float[Array, "frames h w"],
    prediction: PredictedFrames,
    illumination: Illumination,
    *,
    otf: TransferFunction,
    reach: Array,
    border: int,
    scale: int,
) -> Consistency:
    """The maps and numbers; `reach` of the support of SIM, whose area is the number of independent places per pixel."""
    h, w = raw_frames.shape[1:]
    inside, fine = (inside_border((n * h, n * w), n * border) for n in (1, scale))
    difference = (raw_frames - prediction.frames) * inside[None]
    precision = inside[None] / prediction.variance
    residual = difference / jnp.sqrt(prediction.variance)
    test = fine * evidence(difference, precision, illumination, otf=otf, scale=scale)
    squares = chi_square(difference, precision, otf=otf, scale=scale)
    threshold = significance_threshold(inside.sum() * np.pi * reach**2)
    return Consistency(
        predicted=prediction.frames,
        residual=residual,
        mean_residual=difference.sum(0) / jnp.sqrt(prediction.variance.sum(0)),
        chi_square=jnp.where(fine > 0, squares, 1.0),
        evidence=test,
        background=prediction.background,
        frequency=prediction.frequency,
        transfer=prediction.transfer,
        reduced_chi_square=(residual**2).sum() / (inside.sum() * len(raw_frames)),
        threshold=threshold,
        suspect_area=(jnp.abs(test) > threshold).sum() / fine.sum(),
    )

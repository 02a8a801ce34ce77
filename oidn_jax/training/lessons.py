"""What a network can learn of raw frames whose truth nobody knows: other frames of the same field.

The network is shown guides of frames y1 and must explain frames y2, whose noise is independent of that of y1:

- recorruption (Pang et al., CVPR 2021): y1 = y + a z and y2 = y - z / a, z drawn from the noise of the frames y;
- or a pair: y1 a weak exposure, y2 a brighter one, whose light is a multiple of that of the weak one.

Frames are compared, not images: a Wiener image of y2 has the expectation of a filtered truth, which the network's image
would have to be filtered like, and its noise is the more the less it knows. With X the network's image, Apo its
apodisation (`simulation.acquisitions`), A the image formation of `optics.forward` and v the variance of y2 the loss is

    mean over pixels and frames of (y2 - A(X / Apo) - brightness b)^2 / v,

of which the expectation is 1 and what the image gets wrong, as bright frames would see it. b is light that the patterns
do not modulate, which may be out of focus: what the image of the weights one begins with leaves in all frames, and
varies slowly. Were it what X leaves, nothing would hold the slow part of X, and it would drift.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Float32

from oidn_jax import random
from oidn_jax.acquisition.acquisition import Acquisition
from oidn_jax.classical.bands import fine_frequencies
from oidn_jax.classical.guides import guides
from oidn_jax.models.guided import fold
from oidn_jax.models.networks import predict
from oidn_jax.optics.forward import form_raw_frames, pixel_transfer
from oidn_jax.optics.fourier import filter_image, frequency_radius
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.noise import NoiseModel
from oidn_jax.optics.otf import airy_otf
from oidn_jax.optics.transfer import TransferFunction

MARGIN = 16  # raw pixels around a part that the network sees, and mirrored around the field as `methods.network` does
RIM = 6  # raw pixels at the edge of the field, which light from outside reaches
_BACKGROUND = 6.0  # raw pixels, as of `classical.consistency`
_LEAST_APODISATION = 0.05

_guides = jax.jit(guides, static_argnames="scale")


class Exposure(NamedTuple):
    """Frames and what is known of them.

    Attributes:
        light: (frames, h, w), camera offset subtracted, orientation slow and phase fast.
        variance: (frames, h, w), of their noise.
        illumination: of them, phases at the centre.
        otf: of a raw frame.
    """

    light: Float32[np.ndarray, "frames h w"]
    variance: Float32[np.ndarray, "frames h w"]
    illumination: Illumination
    otf: TransferFunction

    @classmethod
    def of(cls, acquisition: Acquisition, time: int) -> "Exposure":
        """The largest lit rectangle of a time point."""
        lit = acquisition.inner
        light, illumination = lit.of(acquisition.light(time)), lit.illumination(acquisition.illumination(time))
        variance = _variance(light, illumination, acquisition.otf, lit.noise(acquisition.light_noise))
        return cls(light, np.asarray(variance), illumination, acquisition.otf)

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)."""
        return self.light.shape[1], self.light.shape[2]


@jax.jit
def _variance(light: Array, illumination: Illumination, otf: TransferFunction, noise: NoiseModel) -> Array:
    """Of the light as an objective can draw it: that of every count by itself would depend on its noise."""
    drawn = filter_image(light, otf(*fine_frequencies((light.shape[1], light.shape[2]), scale=1)))
    return noise.variance(drawn.reshape(illumination.orientations, -1, *light.shape[1:])).reshape(light.shape)


class Field(NamedTuple):
    """A time point, and a brighter exposure of it where there is one."""

    shown: Exposure
    brighter: Exposure | None = None


class Lesson(NamedTuple):
    """What is shown and what is to be explained, of a field with its margin or of a square part of it.

    Attributes:
        inputs: (h, w, channels), folded guides of y1.
        frames: (frames, h, w), y2.
        variance: (frames, h, w), of its noise.
        weight: (h, w), 1 where it counts.
        unit: scalar, that of the network's image in the light of y2.
        illumination: of y2, phases at the centre.
        transfer: (h2, w2), OTF of y2 on the fine grid of a part.
        sharpening: (h2, w2), likewise 1 / Apo, at most 20.
    """

    inputs: Array | np.ndarray
    frames: Array | np.ndarray
    variance: Array | np.ndarray
    weight: Array | np.ndarray
    unit: Array | np.ndarray
    illumination: Illumination
    transfer: Array | np.ndarray
    sharpening: Array | np.ndarray


def recorrupted(
    key: Array, light: Float[Array, "frames h w"], variance: Float[Array, "frames h w"], *, strength: float
) -> tuple[Float[Array, "frames h w"], Float[Array, "frames h w"]]:
    """y + a z and y - z / a, a the `strength`, z normal: of independent noise where the variance is that of y."""
    z = jnp.sqrt(variance) * random.normal(key, light.shape)
    return light + strength * z, light - z / strength


def light_ratio(weak: Float[np.ndarray, "frames h w"], bright: Float[np.ndarray, "frames h w"]) -> float:
    """How much brighter: var(bright) / cov(weak, bright) of their means, whatever is left of the camera's offset.

    Not positive where they do not show the same.
    """
    weak, bright = (frames.mean(0, dtype=np.float64) for frames in (weak, bright))
    common = np.mean((weak - weak.mean()) * (bright - bright.mean()))
    return float(bright.var() / common) if common > 0 else 0.0


@partial(jax.jit, static_argnames=("side", "scale"))
def _transfers(otf: TransferFunction, illumination: Illumination, *, side: int, scale: int) -> tuple[Array, Array]:
    ky, kx = fine_frequencies((side, side), scale=scale)
    transfer = otf(ky, kx) * pixel_transfer(scale * side, scale * side, scale=scale, integrate=False)
    apodisation = airy_otf(jnp.hypot(ky, kx), cutoff=illumination.reach(otf.cutoff))
    return transfer, 1.0 / jnp.maximum(apodisation, _LEAST_APODISATION)


def draw(key: Array, field: Field, *, scale: int, strength: float, side: int) -> Lesson:
    """The lesson of a whole field, mirrored at its border where nothing counts; `part` cuts squares out of it.

    Args:
        key: of the noise of a recorruption; a pair is taken as it is.
        field: more than 2 `RIM` wide.
        scale: fine pixels per raw pixel.
        strength: of the recorruption.
        side: of the parts, raw pixels, of which its `transfer` and `sharpening` are.
    """
    shown, target, ratio = field.shown, field.brighter, 1.0
    if target is None:
        y1, y2 = recorrupted(key, jnp.asarray(shown.light), jnp.asarray(shown.variance), strength=strength)
        target = shown._replace(light=np.asarray(y2), variance=shown.variance * (1.0 + 1.0 / strength**2))
    else:
        y1, ratio = jnp.asarray(shown.light), light_ratio(shown.light, target.light)
    made = _guides(y1, shown.illumination, shown.otf, scale=scale)
    beside, (h, w) = (MARGIN, MARGIN), shown.size
    frames, variance = (
        np.pad(images, ((0, 0), beside, beside), mode="symmetric") for images in (target.light, target.variance)
    )
    inputs = np.asarray(fold(made.images, made.conditions, scale=scale))
    transfer, sharpening = _transfers(target.otf, target.illumination, side=side, scale=scale)
    return Lesson(
        inputs=np.pad(inputs, (beside, beside, (0, 0)), mode="symmetric"),
        frames=frames,
        variance=variance,
        weight=np.pad(np.ones((h - 2 * RIM, w - 2 * RIM), np.float32), RIM + MARGIN),
        unit=np.asarray(ratio * made.unit, np.float32),
        illumination=target.illumination,
        transfer=np.asarray(transfer),
        sharpening=np.asarray(sharpening),
    )


def part(lesson: Lesson, corner: tuple[int, int], side: int) -> Lesson:
    """A square of a field, its first pixel `corner`; its margin does not count."""
    (y, x), (h, w) = corner, lesson.weight.shape
    here = (slice(y, y + side), slice(x, x + side))
    inside = np.pad(np.ones((side - 2 * MARGIN, side - 2 * MARGIN), np.float32), MARGIN)
    centre = (float(y + side // 2 - h // 2), float(x + side // 2 - w // 2))
    return lesson._replace(
        inputs=lesson.inputs[here],
        frames=lesson.frames[:, *here],
        variance=lesson.variance[:, *here],
        weight=lesson.weight[here] * inside,
        illumination=lesson.illumination.seen_from(centre),
    )


def batch_of(lessons: Sequence[Lesson]) -> Lesson:
    """Of parts of one size."""
    return jax.tree.map(lambda *parts: jnp.stack(parts), *lessons)


def misfit(
    image: Float[Array, "h2 w2"], lesson: Lesson, *, start: Float[Array, "h2 w2"], scale: int
) -> Float[Array, "frames h w"]:
    """Squares of what the image, in the light of y2, leaves of its frames, over their variance.

    `start` is the image of the weights one begins with, which says what is not modulated.
    """
    left, left_by_start = (
        jnp.asarray(lesson.frames)
        - form_raw_frames(filter_image(x, lesson.sharpening), lesson.illumination, lesson.transfer, scale=scale)
        for x in (image, start)
    )
    brightness = lesson.illumination.brightness.reshape(-1, 1, 1)
    radius = jnp.asarray(frequency_radius(left.shape[1], left.shape[2]), jnp.float32)
    slow = 1.0 / (1.0 + (2.0 * jnp.pi * _BACKGROUND * radius) ** 4)
    background = filter_image((left_by_start / brightness).mean(0), slow)
    return (left - brightness * background[None]) ** 2 / jnp.asarray(lesson.variance)


def losses(params: Any, lessons: Lesson, *, start: Any, network: nn.Module, scale: int) -> Float[Array, "b"]:
    """Mean of the misfit of each lesson of a batch where it counts; 1 for nothing but noise.

    `start` are the parameters one begins with.
    """
    images, before = (
        predict(network, p, jnp.asarray(lessons.inputs)).image[..., 0] * lessons.unit[:, None, None]
        for p in (params, start)
    )
    squares = jax.vmap(lambda image, lesson, x: misfit(image, lesson, start=x, scale=scale))(images, lessons, before)
    weight = jnp.asarray(lessons.weight)
    return (weight * squares.mean(1)).sum((1, 2)) / jnp.maximum(weight.sum((1, 2)), 1.0)

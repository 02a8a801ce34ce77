"""SQUIRREL: how well a super-resolved image explains the widefield image of the same field, without ground truth."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from oidn_jax.metrics.arrays import as_floating
from oidn_jax.metrics.image import pearson
from oidn_jax.metrics.normalisation import affine_match, centred

Image = Float[Array, "*batch h w"]
PerImage = Float[Array, "*batch"]
Scalar = Float[Array, ""]

GRID_POINTS = 16
GOLDEN_STEPS = 20
GOLDEN_RATIO = (5**0.5 - 1) / 2


class ResolutionScaledError(NamedTuple):
    """What `resolution_scaled_error` returns, for each image.

    Attributes:
        rse: resolution-scaled error, the root mean square of `error_map`, in units of the widefield.
        rsp: resolution-scaled Pearson correlation of the blurred image with the widefield, range [-1, 1].
        error_map: |alpha (blurred image) + beta - widefield|, units and pixels of the widefield.
        alpha: gain, units of the widefield per unit of the image.
        beta: offset, in units of the widefield.
        sigma_px: standard deviation of the resolution-scaling function, in pixels of the image.
    """

    rse: PerImage
    rsp: PerImage
    error_map: Image
    alpha: PerImage
    beta: PerImage
    sigma_px: PerImage


def _cosines(size: int) -> Float[np.ndarray, "size size"]:
    """The orthonormal cosine transform (DCT-II) as a matrix (frequency, pixel); frequency k is k / (2 size) per pixel.

    Its cosines are even about both borders of an image, so a product with its spectrum is a convolution of the image
    reflected there.
    """
    frequency, pixel = np.arange(size)[:, None], np.arange(size)[None, :]
    cosines = np.sqrt(2 / size) * np.cos(np.pi / size * (pixel + 0.5) * frequency)
    cosines[0] /= np.sqrt(2)
    return cosines


def _aliases(size: int, *, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """What averaging `scale` pixels does to the spectrum of an axis, as (index, weight), both (scale, size).

    coarse[k] = sum_a weight[a, k] fine[index[a, k]]: each frequency of the coarse axis is one of the fine axis and the
    scale - 1 frequencies that sampling cannot tell from it.
    """
    averaged = _cosines(scale * size).reshape(scale * size, size, scale).mean(-1)
    weight = _cosines(size) @ averaged.T
    k, block = np.arange(size)[None, :], np.arange(scale)[:, None]
    index = np.where(block % 2 == 0, block * size + k, (block + 1) * size - k)
    # An odd block has no alias of the zero frequency; there the index is one too far.
    exists = index // size == block
    index = np.where(exists, index, 0)
    return index, np.where(exists, weight[k, index], 0.0)


def _spectrum(image: Float[Array, "h w"]) -> Float[Array, "h w"]:
    down, across = (jnp.asarray(_cosines(size), jnp.float32) for size in image.shape)
    return jnp.einsum("ih,hw,jw->ij", down, image, across, precision="highest")


def _image(spectrum: Float[Array, "h w"]) -> Float[Array, "h w"]:
    down, across = (jnp.asarray(_cosines(size), jnp.float32) for size in spectrum.shape)
    return jnp.einsum("ih,ij,jw->hw", down, spectrum, across, precision="highest")


def _blurred_spectrum(image: Float[Array, "h2 w2"], *, scale: int) -> Callable[[Scalar], Float[Array, "h w"]]:
    """sigma -> spectrum of the image after the Gaussian and the averaging; only elementwise work for another sigma."""
    sizes = [size // scale for size in image.shape]
    (index_y, weight_y), (index_x, weight_x) = (_aliases(size, scale=scale) for size in sizes)
    weight = jnp.asarray(weight_y[:, None, :, None] * weight_x[None, :, None, :], jnp.float32)
    terms = weight * _spectrum(image)[index_y[:, None, :, None], index_x[None, :, None, :]]
    frequency_y, frequency_x = (
        jnp.asarray(index / (2 * size), jnp.float32)
        for index, size in zip((index_y, index_x), image.shape, strict=True)
    )

    def blurred(sigma_px: Scalar) -> Float[Array, "h w"]:
        transfer_y, transfer_x = (jnp.exp(-2 * (jnp.pi * sigma_px * f) ** 2) for f in (frequency_y, frequency_x))
        # One sum over both axes, or an einsum, takes 3 times as long on a CPU from 512 pixels on.
        rows = [sum(terms[a, b] * transfer_x[b][None, :] for b in range(scale)) for a in range(scale)]
        return jnp.asarray(sum(transfer_y[a][:, None] * rows[a] for a in range(scale)))

    return blurred


def _search(error: Callable[[Scalar], Scalar], *, largest: float) -> Scalar:
    """Where the error is smallest in [0, largest]: a grid, then golden sections about its best point."""
    grid = jnp.linspace(0.0, largest, GRID_POINTS)
    errors = jax.vmap(error)(grid)
    best = errors.argmin()
    low, high = grid[jnp.maximum(best - 1, 0)], grid[jnp.minimum(best + 1, GRID_POINTS - 1)]

    def narrow(_: int | Array, state: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
        low, left, right, high, at_left, at_right = state
        lower = at_left < at_right
        low, high = jnp.where(lower, low, left), jnp.where(lower, right, high)
        new = jnp.where(lower, high - GOLDEN_RATIO * (high - low), low + GOLDEN_RATIO * (high - low))
        at_new = error(new)
        return (
            low,
            jnp.where(lower, new, right),
            jnp.where(lower, left, new),
            high,
            jnp.where(lower, at_new, at_right),
            jnp.where(lower, at_left, at_new),
        )

    left, right = high - GOLDEN_RATIO * (high - low), low + GOLDEN_RATIO * (high - low)
    state = (low, left, right, high, error(left), error(right))
    _, left, right, _, at_left, at_right = jax.lax.fori_loop(0, GOLDEN_STEPS, narrow, state)
    candidates = jnp.stack([grid[best], left, right])
    return candidates[jnp.stack([errors[best], at_left, at_right]).argmin()]


def _match(image: Float[Array, "h2 w2"], widefield: Float[Array, "h w"], *, largest: float) -> tuple[Image, Scalar]:
    """The image as blurred as the widefield on its pixels, without its mean, and the sigma of the blur."""
    blurred = _blurred_spectrum(centred(image), scale=image.shape[0] // widefield.shape[0])
    target = _spectrum(centred(widefield))

    def error(sigma_px: Scalar) -> Scalar:
        model = blurred(sigma_px)
        variance = (model**2).sum()
        gain = (model * target).sum() / jnp.where(variance == 0, 1.0, variance)
        return ((target - gain * model) ** 2).sum()

    sigma_px = _search(error, largest=largest)
    return _image(blurred(sigma_px)), sigma_px


@partial(jax.jit, static_argnames="largest_sigma_px")
def resolution_scaled_error(
    image: Real[Array | np.ndarray, "*batch h2 w2"],
    widefield: Real[Array | np.ndarray, "*batch h w"],
    *,
    largest_sigma_px: float = 10.0,
) -> ResolutionScaledError:
    """Resolution-scaled error and Pearson correlation (Culley et al., Nature Methods 15, 2018).

    min over sigma, alpha, beta of mean_hw (alpha D(G_sigma * image) + beta - widefield)^2. G_sigma is a Gaussian, the
    resolution-scaling function, over the image reflected at its borders; D averages scale x scale pixels, so pixel i
    of the widefield covers the pixels scale i to scale i + scale - 1. alpha and beta are of least squares; sigma is
    found on a grid of 16 values, then by golden section to 1e-5 of the largest.

    Gain and offset of the image do not matter, but a negative alpha (rsp below 0) means that the image is inverted. A
    large error says that the image is not what the widefield shows; a small one cannot confirm detail that the
    widefield does not resolve. Noise of the widefield is part of the error. A constant image has alpha 0 and rsp NaN.

    Args:
        image: super-resolved, h2 = scale h and w2 = scale w with a whole scale of at least 1.
        widefield: of the same field, in counts or any other unit.
        largest_sigma_px: sigma is sought from 0 to here, in pixels of the image. A `sigma_px` that comes within
            0.001 of it says that the widefield is blurrier still.

    Raises:
        ValueError: if the sizes do not fit or the largest sigma is not positive.
    """
    fine, recorded = as_floating(image), as_floating(widefield)
    *batch, h, w = recorded.shape
    h2, w2 = image.shape[-2:]
    if h2 % h or w2 * h != w * h2:
        raise ValueError(
            f"image {image.shape} and widefield {widefield.shape} do not fit: the image needs a whole number of pixels "
            "for each pixel of the widefield, as many along y as along x"
        )
    if not largest_sigma_px > 0:
        raise ValueError(f"largest_sigma_px is {largest_sigma_px}; it must be above 0")
    match = jax.vmap(partial(_match, largest=largest_sigma_px))
    blurred, sigma_px = match(fine.reshape(-1, h2, w2), recorded.reshape(-1, h, w))
    blurred = blurred.reshape(recorded.shape)
    scaling = affine_match(blurred, recorded)
    error_map = jnp.abs(scaling.apply(blurred) - recorded)
    alpha = scaling.gain[..., 0, 0]
    return ResolutionScaledError(
        rse=jnp.sqrt((error_map**2).mean((-2, -1))),
        rsp=pearson(blurred, recorded),
        error_map=error_map,
        alpha=alpha,
        beta=recorded.mean((-2, -1)) - alpha * fine.mean((-2, -1)),
        sigma_px=sigma_px.reshape(batch),
    )

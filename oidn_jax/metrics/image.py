"""Metrics of likeness between an image and its reference, and the two ways to bring them to a common scale."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Image = Float[Array, "*batch h w"]
PerImage = Float[Array, "*batch"]

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
PADDINGS = ("valid", "zero")


def mse(image: Image, reference: Image) -> PerImage:
    """Mean squared error, mean_hw (image - reference)^2."""
    return ((image - reference) ** 2).mean((-2, -1))


def nrmse(image: Image, reference: Image, *, data_range: float) -> PerImage:
    """Root mean squared error divided by the data range (scikit-image's `normalization="min-max"`)."""
    return jnp.sqrt(mse(image, reference)) / data_range


def psnr(image: Image, reference: Image, *, data_range: float) -> PerImage:
    """Peak signal-to-noise ratio in dB, 10 log10(data_range^2 / mse); infinite for equal images."""
    return 10.0 * jnp.log10(data_range**2 / mse(image, reference))


def _window_matrix(size: int, *, padding: str) -> np.ndarray:
    """The Gaussian window along an axis of that size as a banded matrix (size_out, size).

    As matrix products the blur and its gradient are fast on every device; as a convolution of one channel the gradient
    was slower than that of a whole network block.
    """
    half = SSIM_WINDOW // 2
    window = np.exp(-0.5 * ((np.arange(SSIM_WINDOW) - half) / SSIM_SIGMA) ** 2)
    matrix = np.zeros((size, size + 2 * half), np.float32)
    for i in range(size):
        matrix[i, i : i + SSIM_WINDOW] = window / window.sum()
    matrix = matrix[:, half:-half]
    return matrix if padding == "zero" else matrix[half:-half]


def _gaussian_blur(images: Float[Array, "n h w"], *, padding: str) -> Float[Array, "n h2 w2"]:
    down, across = (jnp.asarray(_window_matrix(size, padding=padding)) for size in images.shape[1:])
    return jnp.einsum("ih,nhw,jw->nij", down, images, across, precision="highest")


def ssim(image: Image, reference: Image, *, data_range: float, padding: str = "valid") -> PerImage:
    """Structural similarity (Wang et al. 2004), mean over the map; range [-1, 1], 1 for equal images.

    S = (2 mu_x mu_y + C1)(2 s_xy + C2) / ((mu_x^2 + mu_y^2 + C1)(s_x + s_y + C2)), Gaussian window of 11 pixels and
    sigma 1.5, population covariances, C1 = (0.01 L)^2, C2 = (0.03 L)^2, L = data_range.

    Args:
        image: to be judged.
        reference: ground truth.
        data_range: L. Published SIM scores often took 2 for images in [0, 1], which inflates them.
        padding: "valid" averages where the window fits (equal to scikit-image with `gaussian_weights=True`,
            `use_sample_covariance=False`), "zero" pads and averages everywhere (the loss of the authors' code).

    Raises:
        ValueError: if the padding is neither, or an image is smaller than the window.
    """
    if padding not in PADDINGS:
        raise ValueError(f"padding is {padding!r}; legal: {', '.join(map(repr, PADDINGS))}")
    if min(image.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs images of at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels, got {image.shape[-2:]}")
    batch, (h, w) = image.shape[:-2], image.shape[-2:]
    x, y = image.reshape(-1, h, w), reference.reshape(-1, h, w)
    stack = jnp.concatenate([x, y, x * x, y * y, x * y])
    mu_x, mu_y, xx, yy, xy = jnp.split(_gaussian_blur(stack, padding=padding), 5)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mu_x * mu_y + c1) / (mu_x**2 + mu_y**2 + c1)
    structure = (2 * (xy - mu_x * mu_y) + c2) / (xx - mu_x**2 + yy - mu_y**2 + c2)
    return (luminance * structure).mean((-2, -1)).reshape(batch)


def min_max_normalise(image: Image) -> Image:
    """(image - min) / (max - min) of each image, range [0, 1]; a constant image becomes 0."""
    low, high = image.min((-2, -1), keepdims=True), image.max((-2, -1), keepdims=True)
    return (image - low) / jnp.where(high > low, high - low, 1.0)


def affine_match(image: Image, reference: Image) -> Image:
    """a image + b with a, b of least squares against the reference: what is compared is structure, not scale.

    a = cov(image, reference) / var(image); a constant image becomes the mean of the reference.
    """
    mean, reference_mean = image.mean((-2, -1), keepdims=True), reference.mean((-2, -1), keepdims=True)
    centred = image - mean
    variance = (centred**2).mean((-2, -1), keepdims=True)
    covariance = (centred * (reference - reference_mean)).mean((-2, -1), keepdims=True)
    return covariance / jnp.where(variance > 0, variance, 1.0) * centred + reference_mean

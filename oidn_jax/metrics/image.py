"""Metrics of likeness between an image and its reference, pixel by pixel: MSE, PSNR, NRMSE, Pearson."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from oidn_jax.metrics.arrays import as_pair, checked_range
from oidn_jax.metrics.normalisation import centred

Image = Real[Array | np.ndarray, "*batch h w"]
Reference = Real[Array | np.ndarray, "*batch2 h2 w2"]  # so that another shape reaches the check, which explains it
PerImage = Float[Array, "*batch"]

NORMS = ("euclidean", "min-max", "mean")


def mse(image: Image, reference: Reference) -> PerImage:
    """Mean squared error, mean_hw (image - reference)^2."""
    image, reference = as_pair(image, reference)
    return ((image - reference) ** 2).mean((-2, -1))


def nrmse(image: Image, reference: Reference, *, data_range: float | int) -> PerImage:
    """Root mean squared error divided by the data range (scikit-image's `normalization="min-max"`)."""
    return jnp.sqrt(mse(image, reference)) / checked_range(data_range)


def nrmse_relative(image: Image, reference: Reference, *, norm: str) -> PerImage:
    """Root mean squared error divided by a size of the reference, sqrt(mse) / norm; range [0, inf).

    Equal to scikit-image's `normalized_root_mse(reference, image, normalization=norm)`.

    Args:
        image: to be judged.
        reference: ground truth; the norm is taken of each one.
        norm: "euclidean" sqrt(mean_hw reference^2), "min-max" max - min, "mean" mean_hw reference.

    Raises:
        ValueError: if the norm is none of these.
    """
    image, reference = as_pair(image, reference)
    if norm == "euclidean":
        size = jnp.sqrt((reference**2).mean((-2, -1)))
    elif norm == "min-max":
        size = reference.max((-2, -1)) - reference.min((-2, -1))
    elif norm == "mean":
        size = reference.mean((-2, -1))
    else:
        raise ValueError(f"norm is {norm!r}; legal: {', '.join(map(repr, NORMS))}")
    return jnp.sqrt(mse(image, reference)) / size


def psnr(image: Image, reference: Reference, *, data_range: float | int) -> PerImage:
    """Peak signal-to-noise ratio in dB, 10 log10(data_range^2 / mse); infinite for equal images."""
    return 20.0 * jnp.log10(checked_range(data_range) / jnp.sqrt(mse(image, reference)))


def pearson(image: Image, reference: Reference) -> PerImage:
    """Pearson's correlation coefficient, cov(image, reference) / sqrt(var(image) var(reference)); range [-1, 1].

    Gain and offset of either image do not matter, but the sign of the gain does. NaN if one of them is constant.
    """
    image, reference = as_pair(image, reference)
    x, y = centred(image), centred(reference)
    return (x * y).sum((-2, -1)) / (jnp.sqrt((x**2).sum((-2, -1))) * jnp.sqrt((y**2).sum((-2, -1))))

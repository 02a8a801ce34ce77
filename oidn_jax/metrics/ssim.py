"""Structural similarity: SSIM, MS-SSIM, and the inflated SSIM of published evaluations."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from oidn_jax.metrics.arrays import as_pair, checked_range

Image = Real[Array | np.ndarray, "*batch h w"]
Reference = Real[Array | np.ndarray, "*batch2 h2 w2"]  # so that another shape reaches the check, which explains it
Images = Float[Array, "n h w"]
Map = Float[Array, "n h2 w2"]
PerImage = Float[Array, "*batch"]

GAUSSIAN_SIZE = 11
GAUSSIAN_SIGMA = 1.5
UNIFORM_SIZE = 7
PADDINGS = ("valid", "zero")
# Of the scales, the finest first (Wang, Simoncelli and Bovik 2003, table of the human observers).
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def _gaussian() -> np.ndarray:
    taps = np.exp(-0.5 * ((np.arange(GAUSSIAN_SIZE) - GAUSSIAN_SIZE // 2) / GAUSSIAN_SIGMA) ** 2)
    return taps / taps.sum()


WINDOWS = {"gaussian": _gaussian(), "uniform": np.full(UNIFORM_SIZE, 1 / UNIFORM_SIZE)}


def _window_matrix(size: int, *, taps: np.ndarray, padding: str) -> np.ndarray:
    """The window along an axis of that size as a banded matrix (size_out, size).

    As matrix products the blur and its gradient are fast on every device; as a convolution of one channel the gradient
    was slower than that of a whole network block.
    """
    half = len(taps) // 2
    matrix = np.zeros((size, size + 2 * half), np.float32)
    for i in range(size):
        matrix[i, i : i + len(taps)] = taps
    matrix = matrix[:, half:-half]
    return matrix if padding == "zero" else matrix[half:-half]


def _blur(images: Images, *, taps: np.ndarray, padding: str) -> Map:
    down, across = (jnp.asarray(_window_matrix(size, taps=taps, padding=padding)) for size in images.shape[1:])
    return jnp.einsum("ih,nhw,jw->nij", down, images, across, precision="highest")


def _shift(images: Images, *, padding: str) -> Float[Array, "n 1 1"]:
    """What is subtracted before the second moments are taken: covariances stay as they are, rounding errors shrink.

    Not with zero padding, where the zeros around an image belong to it.
    """
    mean = jax.lax.stop_gradient(images.mean((-2, -1), keepdims=True))
    return mean if padding == "valid" else jnp.zeros_like(mean)


def _similarity(x: Images, y: Images, *, data_range: float | int, window: str, padding: str) -> tuple[Map, Map]:
    """The maps of luminance, (2 mu_x mu_y + C1) / ..., and of contrast and structure, (2 s_xy + C2) / ..."""
    shift_x, shift_y = (_shift(images, padding=padding) for images in (x, y))
    x, y = x - shift_x, y - shift_y
    taps = WINDOWS[window]
    blurred = _blur(jnp.concatenate([x, y, x * x, y * y, x * y]), taps=taps, padding=padding)
    mu_x, mu_y, xx, yy, xy = jnp.split(blurred, 5)
    pixels = len(taps) ** 2
    unbiased = pixels / (pixels - 1) if window == "uniform" else 1.0
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    covariance, variances = unbiased * (xy - mu_x * mu_y), unbiased * (xx - mu_x**2 + yy - mu_y**2)
    mu_x, mu_y = mu_x + shift_x, mu_y + shift_y
    luminance = (2 * mu_x * mu_y + c1) / (mu_x**2 + mu_y**2 + c1)
    return luminance, (2 * covariance + c2) / (variances + c2)


def ssim(
    image: Image, reference: Reference, *, data_range: float | int, padding: str = "valid", window: str = "gaussian"
) -> PerImage:
    """Structural similarity (Wang et al. 2004), mean over the map; range [-1, 1], 1 for equal images.

    S = (2 mu_x mu_y + C1)(2 s_xy + C2) / ((mu_x^2 + mu_y^2 + C1)(s_x + s_y + C2)), C1 = (0.01 L)^2, C2 = (0.03 L)^2,
    L = data_range; means mu and covariances s in a window about each pixel.

    Args:
        image: to be judged.
        reference: ground truth.
        data_range: L. Published SIM scores often took 2 for images in [0, 1], which inflates them.
        padding: "valid" averages where the window fits (equal to scikit-image), "zero" pads and averages everywhere
            (the loss of the authors' code, with the Gaussian window).
        window: "gaussian" has 11 pixels, sigma 1.5 and population covariances (scikit-image with
            `gaussian_weights=True`, `use_sample_covariance=False`), as Wang et al.; "uniform" has 7 pixels and sample
            covariances, N / (N - 1) times as large with N = 49 (scikit-image's default).

    Raises:
        ValueError: if padding or window is unknown, an image is smaller than the window, shapes differ, or the data
            range is not above 0.
    """
    for name, given, legal in (("padding", padding, PADDINGS), ("window", window, WINDOWS)):
        if given not in legal:
            raise ValueError(f"{name} is {given!r}; legal: {', '.join(map(repr, legal))}")
    batch, (h, w), size = image.shape[:-2], image.shape[-2:], len(WINDOWS[window])
    if min(h, w) < size:
        raise ValueError(f"SSIM needs images of at least {size} x {size} pixels, got {(h, w)}")
    image, reference = as_pair(image, reference)
    x, y, data_range = image.reshape(-1, h, w), reference.reshape(-1, h, w), checked_range(data_range)
    luminance, structure = _similarity(x, y, data_range=data_range, window=window, padding=padding)
    return (luminance * structure).mean((-2, -1)).reshape(batch)


def ssim_legacy(image: Image, reference: Reference) -> PerImage:
    """INFLATED structural similarity, only to compare with published numbers; to judge an image take `ssim`.

    `ssim` with the uniform window and a data range of 2, whatever the images are. The authors of OIDN evaluated
    floating-point images in [0, 1] without saying the data range, and scikit-image then took that of [-1, 1]: C1 and
    C2 are four times too large, which hides noise and lost structure where they are weak.

    Raises:
        ValueError: if an image is smaller than 7 x 7 pixels.
    """
    return ssim(image, reference, data_range=2.0, window="uniform")


def _smallest_ms_ssim_image(scales: int) -> int:
    return (GAUSSIAN_SIZE - 1) * 2 ** (scales - 1) + 1


def largest_ms_ssim_scales(h: int, w: int) -> int:
    """How many scales `ms_ssim` can use for images of h x w pixels: 5 from 161 pixels on, 0 below 11."""
    return sum(min(h, w) >= _smallest_ms_ssim_image(i + 1) for i in range(len(MS_SSIM_WEIGHTS)))


def _halve(images: Images) -> Map:
    """The mean of 2 x 2 pixels; an odd last row or column is averaged with its own repetition."""
    n, h, w = images.shape
    even = jnp.pad(images, ((0, 0), (0, h % 2), (0, w % 2)), mode="edge")
    return even.reshape(n, (h + 1) // 2, 2, (w + 1) // 2, 2).mean((2, 4))


def ms_ssim(image: Image, reference: Reference, *, data_range: float | int, scales: int = 5) -> PerImage:
    """Multi-scale structural similarity (Wang, Simoncelli and Bovik 2003); range [0, 1], 1 for equal images.

    prod_j max(0, m_j)^w_j with j = 1 the given pixels and each next scale the mean of 2 x 2 pixels. m_j is the mean
    over the map of contrast and structure, (2 s_xy + C2) / (s_x + s_y + C2); at the last scale of the whole SSIM. The
    window is the Gaussian of `ssim`, where it fits. The paper leaves open what a negative mean is raised to: here, as
    in TensorFlow's `ssim_multiscale`, it counts as 0, and so does the whole product.

    Args:
        image: to be judged.
        reference: ground truth.
        data_range: L of C1 and C2.
        scales: 1 to 5. Five have the weights w of the paper; fewer have its first ones, divided by their sum. One
            scale is `ssim`, negative values as 0. Scores of different numbers of scales do not compare.

    Raises:
        ValueError: if the number of scales is not legal or the images are too small for it.
    """
    if not 1 <= scales <= len(MS_SSIM_WEIGHTS):
        raise ValueError(f"scales is {scales}; legal: 1 to {len(MS_SSIM_WEIGHTS)}")
    batch, (h, w), smallest = image.shape[:-2], image.shape[-2:], _smallest_ms_ssim_image(scales)
    if min(h, w) < smallest:
        raise ValueError(
            f"MS-SSIM of {scales} scales needs images of at least {smallest} x {smallest} pixels, got {(h, w)}: take "
            f"larger images, or at most {largest_ms_ssim_scales(h, w)} scales"
        )
    weights = np.asarray(MS_SSIM_WEIGHTS[:scales])
    weights = weights if scales == len(MS_SSIM_WEIGHTS) else weights / weights.sum()
    image, reference = as_pair(image, reference)
    x, y, data_range = image.reshape(-1, h, w), reference.reshape(-1, h, w), checked_range(data_range)
    score = jnp.ones(x.shape[0], x.dtype)
    for scale, weight in enumerate(weights.tolist(), start=1):
        luminance, structure = _similarity(x, y, data_range=data_range, window="gaussian", padding="valid")
        mean = (luminance * structure if scale == scales else structure).mean((-2, -1))
        score = score * jnp.maximum(mean, 0.0) ** weight
        x, y = _halve(x), _halve(y)
    return score.reshape(batch)

"""Whether brightness in an image is proportional to that of the truth, whatever the image's resolution."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Real
from scipy.optimize import minimize_scalar

from oidn_jax.optics.fourier import fft2, filter_image, frequency_radius

BINS, FEWEST = 20, 10
_BRIGHTEST = 99.9  # percentile
_EXPONENTS = (0.1, 5.0)
_MOST_WEIGHT = 1000


class Linearity(NamedTuple):
    """How an image follows the truth.

    Attributes:
        exponent: gamma of image = b + c truth^gamma; 1 is linear, below 1 what is bright is shown too dim, above 1 what
            is dim. NaN of an image or truth that is constant, or has too few brightnesses.
        r2: share of the image's variance that a straight line on the truth explains.
    """

    exponent: float
    r2: float


def linearity(image: Real[np.ndarray, "h w"], truth: Real[np.ndarray, "h w"]) -> Linearity:
    """The power law between an image and the truth at the image's own resolution; gain and offset do not matter.

    That truth is the one convolved with the isotropic filter that fits the image best: in each ring of the spectra,
    Re sum conj(T) I / sum |T|^2, both mirrored at their borders. The exponent is of least squares on the image's means
    in `BINS` even steps of that truth's brightness from 0 (or its least) to its percentile 99.9, those of at least
    `FEWEST` pixels, weighted by the number of pixels up to 1000, so that the dark ones do not decide. A filter takes up
    a part of a nonlinearity: images that are truth^0.5 and truth^2 have exponents of 0.35 to 0.85 and of 1.4 to 1.8.
    """
    nothing = Linearity(float("nan"), float("nan"))
    if not (np.ptp(image) > 0 and np.ptp(truth) > 0):
        return nothing
    shown = np.asarray(image, np.float64)
    seen = _at_resolution_of(shown, np.asarray(truth, np.float64))
    r2 = float(np.corrcoef(seen.ravel(), shown.ravel())[0, 1] ** 2)
    edges = np.linspace(max(seen.min(), 0.0), np.percentile(seen, _BRIGHTEST), BINS + 1)
    counts, *sums = (np.histogram(seen, edges, weights=weights)[0] for weights in (None, seen, shown))
    used = counts >= FEWEST
    if used.sum() < 4 or not edges[-1] > 0:
        return nothing._replace(r2=r2)
    truths, means = (total[used] / counts[used] for total in sums)
    weights = np.sqrt(np.minimum(counts[used], _MOST_WEIGHT))

    def misfit(exponent: float) -> float:
        design = np.stack([np.ones(len(truths)), (truths / edges[-1]) ** exponent], axis=1) * weights[:, None]
        solution = np.linalg.lstsq(design, means * weights, rcond=None)[0]
        return float(((design @ solution - means * weights) ** 2).sum())

    # Between its logarithms the misfit of a power law has one minimum.
    best = minimize_scalar(
        lambda logarithm: misfit(math.exp(logarithm)), bounds=tuple(map(math.log, _EXPONENTS)), method="bounded"
    )
    return Linearity(math.exp(best.x), r2)


def _at_resolution_of(image: Float[np.ndarray, "h w"], truth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """The truth convolved with the isotropic filter by which it fits the image best, on its own scale."""
    h, w = image.shape
    mirrored_truth, mirrored = (
        jnp.asarray(np.pad(x / np.abs(x).max(), ((0, h), (0, w)), mode="symmetric"), jnp.float32)
        for x in (truth, image)
    )
    of_truth, of_image = np.asarray(fft2(mirrored_truth)), np.asarray(fft2(mirrored))
    ring = np.rint(2 * max(h, w) * frequency_radius(2 * h, 2 * w)).astype(int)
    shared = np.bincount(ring.ravel(), np.real(of_image * np.conj(of_truth)).ravel())
    power = np.bincount(ring.ravel(), (np.abs(of_truth) ** 2).ravel())
    transfer = shared / np.maximum(power, 1e-12 * power.max())
    filtered = filter_image(mirrored_truth, jnp.asarray(transfer[ring], jnp.float32))
    return np.asarray(filtered, np.float64)[:h, :w]

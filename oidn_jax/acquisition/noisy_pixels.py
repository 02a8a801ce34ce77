"""Pixels of a CMOS that are noisier than others: drawn to what their neighbours say, as far as that is surer.

Linear reconstruction weighs all pixels alike, so the noise of one is spread over the image as that of any other. With
x the excess of its variance over the median of all pixels, n what its neighbours say,

    n = (sum of the 4 beside it) / 2 - (sum of the 4 at the corners) / 4,

which is exact for stripes along an axis, and s^2 the mean square of c - n around it in pixels that are not noisy (so
that fine structure counts as an error of n),

    c' = c + K (n - c),   K = x / (x + s^2),   x' = (1 - K)^2 x + K^2 s^2.

Noisy neighbours are first replaced by the median of theirs. x' is rather too large: s^2 holds the noise of the light,
which the noise model adds once more.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Real
from scipy.ndimage import gaussian_filter

from oidn_jax.acquisition.defects import fill

_AROUND = 4.0  # pixels, standard deviation of the surroundings
_LEAST_SHARE = 0.02  # of pixels that are hardly noisier than others nothing is changed


class NoisyPixels(NamedTuple):
    """What is made of the pixels' variance.

    Attributes:
        share: K, 0 in pixels that are left as they are.
        variance: of the pixels without light once they are drawn to their neighbours, counts squared.
    """

    share: Float32[np.ndarray, "h w"]
    variance: Float[np.ndarray, "h w"]


def find_noisy(frames: Real[np.ndarray, "frames h w"], variance: Float[np.ndarray, "h w"]) -> NoisyPixels:
    """K of each pixel, from frames without other defects.

    Args:
        frames: of one time point.
        variance: of their counts without light, counts squared.
    """
    excess = np.maximum(variance - np.median(variance), 0.0)
    quiet = excess <= np.median(variance)
    squares = ((frames - _of_neighbours(frames, ~quiet)) ** 2).mean(0, dtype=np.float64) * quiet
    weight = gaussian_filter(quiet.astype(np.float64), _AROUND)
    error = gaussian_filter(squares, _AROUND) / np.maximum(weight, 1e-6)
    share = excess / np.maximum(excess + error, 1e-12)
    share = np.where(share < _LEAST_SHARE, 0.0, share)
    return NoisyPixels(share.astype(np.float32), variance - excess + (1 - share) ** 2 * excess + share**2 * error)


def quieten(frames: Real[np.ndarray, "frames h w"], noisy: NoisyPixels) -> Real[np.ndarray, "frames h w"]:
    """c' of frames; float32, unless nothing is changed."""
    if not noisy.share.any():
        return frames
    frames = frames.astype(np.float32)
    return frames + noisy.share * (_of_neighbours(frames, noisy.share > 0) - frames)


def _of_neighbours(frames: Real[np.ndarray, "frames h w"], noisy: np.ndarray) -> Float32[np.ndarray, "frames h w"]:
    """n, from frames without the noisy pixels, mirrored at the border."""
    padded = np.pad(fill(frames.astype(np.float32), noisy), ((0, 0), (1, 1), (1, 1)), mode="reflect")
    up, down, left, right = padded[:, :-2], padded[:, 2:], np.s_[..., :-2], np.s_[..., 2:]
    beside = up[..., 1:-1] + down[..., 1:-1] + padded[:, 1:-1][left] + padded[:, 1:-1][right]
    return beside / 2 - (up[left] + up[right] + down[left] + down[right]) / 4

"""Smooth differences in brightness between the orientations, over the field of view.

Beams that do not overlap, or a dye that answers to each polarisation by its own direction, make the orientations
unlike: frame n of orientation o is e_o(r) times the frame of even illumination. With W_o the mean of an orientation's
frames over its mean, M the mean of all W_o, and sigma^2 the noise variance of W_o, e_o is fitted to W_o = e_o M around
each place, weighted with a Gaussian g of `SMOOTH` pixels:

    e_o = 1 + sum g M (W_o - M) / sigma^2 / (sum g M^2 / sigma^2 + 1 / t^2),

t^2 the variance of e_o over the field beyond that of noise (empirical Bayes). So weak light and dark places do not make
a difference, and sum_o e_o is the number of orientations. It is computed on bins of `BIN` pixels, which is how it is
kept, and interpolated by cubic splines.

Coarser than `SMOOTH`, the object's own changes between the orientations go into it too: what moved, what bleached.
"""

import math

import numpy as np
from jaxtyping import Float
from scipy.interpolate import make_interp_spline
from scipy.ndimage import gaussian_filter

from oidn_jax.optics.noise import NoiseModel

BIN = 8
SMOOTH = 10.0
_DARKEST = 0.2
_UNEVEN = 0.05
_LEAST = 0.015  # root mean square; less is phases that are not quite even, through the object


def find_envelopes(
    light: Float[np.ndarray, "orientations phases h w"], noise: NoiseModel
) -> Float[np.ndarray, "orientations bins_y bins_x"] | None:
    """e_o on bins, of mean 1 over the orientations; None where the orientations do not differ.

    Args:
        light: camera offset subtracted.
        noise: of its counts, per orientation; the dark variance may be of each pixel.
    """
    orientations, phases = light.shape[:2]
    mean = light.mean(1, dtype=np.float64)
    level = mean.mean((1, 2), keepdims=True)
    if orientations < 2 or not (level > 0).all():
        return None
    mean = mean / level
    common = np.maximum(mean.mean(0), 0.0)
    gain = np.mean(np.asarray(noise.gain) / level[:, 0, 0])
    dark = np.asarray(noise.dark_variance)
    dark = (dark.reshape(*dark.shape, *(1,) * (3 - dark.ndim)) / level**2).mean(0)
    variance = np.maximum(gain * common + dark, gain**2) / phases
    weight = common / variance

    def around(image: Float[np.ndarray, "*batch h w"]) -> Float[np.ndarray, "*batch bins_y bins_x"]:
        sigma = (0.0,) * (image.ndim - 2) + (SMOOTH / BIN,) * 2
        # Sums, not means: light within the Gaussian, of unit height.
        return 2 * math.pi * (SMOOTH / BIN) ** 2 * gaussian_filter(_binned(image), sigma, mode="constant")

    information = around(weight * common)
    slope = around(weight * (mean - common))
    excess = (slope**2 / np.maximum(information, 1e-12)).sum() - (orientations - 1) * information.size
    spread = excess / (orientations * information.sum())
    if not spread > _LEAST**2:
        return None
    return np.maximum(1.0 + slope / (information + 1.0 / spread), _DARKEST)


def assess_envelopes(envelopes: Float[np.ndarray, "orientations bins_y bins_x"] | None) -> list[str]:
    """A line of warning where they differ from 1 by more than 5 % in a twentieth of the field; empty elsewhere."""
    spread = 0.0 if envelopes is None else float(np.percentile(np.abs(envelopes - 1.0), 95))
    if spread <= _UNEVEN:
        return []
    return [
        f"the orientations differ in brightness over the field by up to {100 * spread:.0f} % (beams that do not "
        "overlap, or a dye that answers to polarisation); classical images and trust maps are corrected for it"
    ]


def expand(
    envelopes: Float[np.ndarray, "orientations bins_y bins_x"], size: tuple[int, int]
) -> Float[np.ndarray, "orientations h w"]:
    """e_o at every raw pixel of frames of a size."""
    along = [_interpolation(n, bins) for n, bins in zip(size, envelopes.shape[1:], strict=True)]
    return np.einsum("yj,ojk,xk->oyx", along[0], envelopes, along[1], optimize=True)


def bins_of(size: tuple[int, int]) -> tuple[int, int]:
    """How many bins frames of a size have."""
    return -(-size[0] // BIN), -(-size[1] // BIN)


def _binned(image: Float[np.ndarray, "*batch h w"]) -> Float[np.ndarray, "*batch bins_y bins_x"]:
    h, w = image.shape[-2:]
    rows, columns = bins_of((h, w))
    rest = [(0, 0)] * (image.ndim - 2) + [(0, rows * BIN - h), (0, columns * BIN - w)]
    return np.pad(image, rest).reshape(*image.shape[:-2], rows, BIN, columns, BIN).sum((-3, -1))


def _interpolation(size: int, bins: int) -> Float[np.ndarray, "size bins"]:
    if bins == 1:
        return np.ones((size, 1))
    centre = BIN * np.arange(bins) + (BIN - 1) / 2
    place = np.clip(np.arange(size), centre[0], centre[-1])
    return make_interp_spline(centre, np.eye(bins), k=min(3, bins - 1))(place)

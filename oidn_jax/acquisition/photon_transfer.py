"""The camera behind raw frames, from the frames alone: noise variance against level (photon transfer).

Noise and level come from two windows on the same 5 x 5 pixels. With k the outer product of (1, -4, 6, -4, 1)/sqrt(70)
with itself, so that sum k^2 = 1, the square (k * D)^2 has the noise variance as its mean: of what lies inside the
optical support k passes little, at most 5 % of the power of any frequency up to 0.35 cycles per pixel. The level is the
mean of D with the weights k^2. Then

    <(k * D)^2> = gain <level> + ((gain read_noise)^2 - gain offset)

in the mean of any pixels that were not chosen by their own noise: by the light at the same place in the other frames.
The line is fitted to bins of equally many pixels in the order of that light (Janesick, Photon Transfer, SPIE 2007).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

_KERNEL = np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / np.sqrt(70)
_LEVEL_NOISE = float((_KERNEL**4).sum() ** 2)  # variance of a level over that of a pixel
_PIXELS_PER_BIN = 1000
_BINS = (8, 32)
_FEWEST_PIXELS = 100
# Dead and hot pixels, and structure that leaked: beyond 4.5 standard deviations. The other number is the median of a
# squared standard normal deviate.
_LARGEST_SQUARE, _MEDIAN_SQUARE = 20.0, 0.4549
# sCMOS cameras have 1 to 2.5.
READ_NOISE_ELECTRONS = 1.6
_DARK_PERCENTILE = 1.0
# Beyond the full well of any camera: what was taken for noise is rounding, or structure that leaked.
_MOST_ELECTRONS = 1e6
_ROUNDING = 1e-12  # of a variance, of others


class PhotonTransfer(NamedTuple):
    """The photon transfer line of an orientation, noise variance = gain counts + intercept; None is unknown.

    Attributes:
        gain: counts per photo-electron, the slope of the line.
        intercept: the line's value at 0 counts (not at the offset), in counts squared:
            (gain read_noise)^2 - gain offset, with the read noise in electrons; so it is negative for most cameras, and
            the variance without light is gain offset + intercept. 0 where the gain is unknown, and says nothing then.
        offset: counts without light, as far as it shows (`fit_photon_transfer`).
    """

    gain: float | None
    intercept: float
    offset: float | None


def fit_photon_transfer(frames: Float[np.ndarray, "phases y x"], ceiling: float | None) -> PhotonTransfer:
    """Fits the photon transfer line of one orientation, and finds the level without light.

    The offset cannot be told from an even background. It is taken where the line has fallen to a read noise of 1.6
    electrons, but not above the darkest percent of the levels.

    Args:
        frames: the frames of one orientation at one time.
        ceiling: full scale if pixels have reached it; these and their neighbours are left out.

    Returns:
        The line. The gain is unknown where noise and level make no line, its slope is not known to 10 %, or it would
        mean a million electrons; gain and offset, where the levels vary no more than noise does.
    """
    structure = smoothed(frames.mean(axis=0))
    full = np.zeros(frames.shape[1:]) if ceiling is None else (frames >= ceiling).mean(axis=0)
    usable = smoothed(full) == 0
    if usable.sum() < _FEWEST_PIXELS:
        return PhotonTransfer(None, 0.0, None)
    level, variance = noise_curve(frames, usable)
    # What varies no more than noise does has neither a dark part nor bright and dark to compare.
    if structure.var() < 10 * _LEVEL_NOISE * variance.mean() / len(frames) + 1e-6 * level.var():
        return PhotonTransfer(None, 0.0, None)
    # Smoothed further, or the noise of the darkest percent would pass for darkness.
    darkest = float(np.percentile(smoothed(smoothed(structure)), _DARK_PERCENTILE))
    gain, intercept, believable = _fit_line(level, variance)
    if not believable or structure.mean() - darkest > _MOST_ELECTRONS * gain:
        return PhotonTransfer(None, 0.0, darkest)
    return PhotonTransfer(gain, intercept, min(darkest, READ_NOISE_ELECTRONS**2 * gain - intercept / gain))


def _fit_line(level: Float[np.ndarray, " bins"], variance: Float[np.ndarray, " bins"]) -> tuple[float, float, bool]:
    """Fits variance = gain level + intercept, and says whether to believe it: a line, and 10 % precise."""
    # Pixels that were set to one value have no noise but that of rounding.
    if variance.min() <= _ROUNDING * variance.max():
        return 0.0, 0.0, False
    model, gain, intercept, covariance = variance, 0.0, 0.0, np.eye(2)
    # The errors are proportional to the variances, which the line gives better than each bin.
    for _ in range(5):
        (gain, intercept), covariance = np.polyfit(level, variance, 1, w=1 / model, cov=True)
        model = np.maximum(gain * level + intercept, 0.1 * variance.min())
    believable = gain > 10 * np.sqrt(covariance[0, 0]) and np.std(variance / model) < 0.2
    return float(gain), float(intercept), bool(believable)


def noise_curve(
    frames: Float[np.ndarray, "phases y x"], where: Bool[np.ndarray, "y-4 x-4"]
) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"]]:
    """Sorts pixels into bins by the light in the other frames: the mean level and the noise variance of each bin."""
    level = smoothed(frames)[:, where]
    others = (level if len(level) == 1 else level.sum(axis=0) - level).ravel()
    level, square = level.ravel(), _windowed(frames, _KERNEL)[:, where].ravel() ** 2
    bins = int(np.clip(square.size // _PIXELS_PER_BIN, *_BINS))
    means = []
    for part in np.array_split(np.argsort(others), bins):
        kept = part[square[part] <= _LARGEST_SQUARE / _MEDIAN_SQUARE * np.median(square[part])]
        means.append((level[kept].mean(), square[kept].mean()))
    levels, variances = np.array(means).T
    return levels, variances


def smoothed(frames: Float[np.ndarray, "*batch y x"]) -> Float[np.ndarray, "*batch y-4 x-4"]:
    """Computes the level of each pixel that has two neighbours on every side."""
    return _windowed(frames, _KERNEL**2)


def _windowed(
    frames: Float[np.ndarray, "*batch y x"], weights: Float[np.ndarray, "5"]
) -> Float[np.ndarray, "*batch y-4 x-4"]:
    """Weighs the 5 x 5 pixels around each one with the outer product of the weights."""
    for axis in (-2, -1):
        frames = np.einsum("...k,k->...", np.lib.stride_tricks.sliding_window_view(frames, 5, axis), weights)
    return frames

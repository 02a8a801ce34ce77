"""Hot and dead pixels of the camera: found in the mean of all frames, replaced by their neighbours."""

import numpy as np
from jaxtyping import Bool, Real

# An in-focus point of light is wider than a pixel: it stands out from its neighbours by less than they differ.
_TIMES_RANGE, _TIMES_NOISE = 2.0, 8.0


def find_defects(frames: Real[np.ndarray, "frames y x"]) -> Bool[np.ndarray, "y x"]:
    """Pixels that stand out from the 3 x 3 around them more than light through an objective can.

    In the mean of the frames a pixel is defective if it lies above the second largest of its 8 neighbours, or below the
    second smallest, by more than 2 times what these two differ plus 8 times the noise (the scaled median deviation of
    pixels from the median of their neighbours). So two defects may touch, but not three. The outermost pixels, which
    lack neighbours, are not judged.
    """
    mean = frames.mean(axis=0, dtype=np.float64)
    around = _neighbours(mean[None])[:, 0]
    ordered = np.sort(around, axis=0)
    low, high = ordered[1], ordered[-2]
    deviation = mean - np.median(around, axis=0)
    # Where most pixels were set to one value, as by a background that was subtracted and cut off, only the others tell.
    varied = deviation[deviation != 0]
    noise = 1.4826 * np.median(np.abs(varied - np.median(varied))) if varied.size else 0.0
    stands_out = np.maximum(mean - high, low - mean) > _TIMES_RANGE * (high - low) + _TIMES_NOISE * noise
    inner = np.pad(np.ones((mean.shape[0] - 2, mean.shape[1] - 2), bool), 1)
    return stands_out & inner


def repair(frames: Real[np.ndarray, "frames y x"], defects: Bool[np.ndarray, "y x"]) -> Real[np.ndarray, "frames y x"]:
    """Frames in which defective pixels have the median of their neighbours; others are untouched."""
    if not defects.any():
        return frames
    repaired = frames.copy()
    repaired[:, defects] = np.median(_neighbours(frames)[..., defects], axis=0).astype(frames.dtype)
    return repaired


def _neighbours(frames: np.ndarray) -> np.ndarray:
    """The 8 pixels around each one, (8, frames, y, x), mirrored at the border."""
    h, w = frames.shape[1:]
    padded = np.pad(frames, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    places = [(y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1)]
    return np.stack([padded[:, y : y + h, x : x + w] for y, x in places])

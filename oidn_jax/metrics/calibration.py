"""Whether errors are as large as they were expected to be."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real


class Reliability(NamedTuple):
    """Mean errors in bins of the expected one, each of as many pixels.

    Attributes:
        expected: (bins,), increasing.
        measured: (bins,); equal to `expected` where the expectation is right.
    """

    expected: Float[np.ndarray, "bins"]
    measured: Float[np.ndarray, "bins"]

    @property
    def ratio(self) -> float:
        """Mean measured over mean expected error: 1 is right, above 1 errors are larger than was said."""
        total = float(self.expected.mean())
        return float(self.measured.mean()) / total if total > 0 else float("nan")


def reliability(
    error: Real[np.ndarray, "*shape"], expected: Real[np.ndarray, "*shape"], *, bins: int = 10
) -> Reliability:
    """Of absolute errors and what was expected of each; sorted by that, in bins of (nearly) equal numbers of pixels.

    Args:
        error: at least as many as bins.
        expected: in the same unit.
        bins: their number.
    """
    order = np.argsort(expected, axis=None)
    sorted_pairs = (np.array_split(np.ravel(values)[order].astype(np.float64), bins) for values in (expected, error))
    return Reliability(*(np.array([part.mean() for part in parts]) for parts in sorted_pairs))

"""Min-max normalisation of raw frames and its inverse.

Written with methods that numpy and jax arrays share, so the same lines run on a file and inside a compiled step; this
file imports neither's functions.
"""

from dataclasses import dataclass
from typing import Any

from oidn_jax.errors import IllegalValue

MODES = ("joint", "per_frame")


@dataclass(frozen=True)
class Normalisation:
    """x -> (x - offset) / span, and back.

    Attributes:
        offset: minimum, shape (..., 1, 1, 1 or frames).
        span: maximum minus minimum, at least `smallest_span`; same shape.
    """

    offset: Any
    span: Any

    def apply(self, x: Any) -> Any:
        """To [0, 1] for the frames it was fitted on."""
        return (x - self.offset) / self.span

    def invert_image(self, image: Any) -> Any:
        """An image (..., h, w, 1) of the network back to the range of the raw frames.

        Per-frame normalisation has one scale per frame and an image has only one: the mean over the frames is taken.
        """
        return image * self.span.mean(-1, keepdims=True) + self.offset.mean(-1, keepdims=True)


def fit_min_max(raw_frames: Any, *, mode: str = "joint", smallest_span: float = 1e-12) -> Normalisation:
    """Normalisation of each acquisition (..., h, w, frames) by its minimum and maximum.

    Args:
        raw_frames: floating-point; the last three axes are h, w, frames.
        mode: "joint" over all frames of an acquisition, which keeps their relative intensities (DL-SR), or "per_frame"
            (the authors' code), which loses them.
        smallest_span: a constant acquisition becomes 0 instead of a division by zero.

    Raises:
        IllegalValue: for another mode.
    """
    if mode not in MODES:
        raise IllegalValue("normalisation", mode, f"legal: {', '.join(map(repr, MODES))}")
    axes = (-3, -2, -1) if mode == "joint" else (-3, -2)
    low, high = raw_frames.min(axes, keepdims=True), raw_frames.max(axes, keepdims=True)
    return Normalisation(offset=low, span=(high - low).clip(smallest_span))

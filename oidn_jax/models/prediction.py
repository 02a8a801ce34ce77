"""What a network returns."""

from typing import NamedTuple

from jaxtyping import Array


class Prediction(NamedTuple):
    """An image, and what else a network has found; None where it has no such thing.

    Attributes:
        image: (b, scale*h, scale*w, 1), float32, no output activation.
        psf: (b, n, n, frames), of each frame.
        psf_correction: (b, n, n, frames), what the network adds to the learnable PSF before normalisation.
        noise: (b, scale*h, scale*w, frames), the noise component of each frame.
        upsampled_frames: (b, scale*h, scale*w, frames).
        log_error: (b, scale*h, scale*w, 1), natural logarithm of the expected absolute error of each pixel.
    """

    image: Array
    psf: Array | None = None
    psf_correction: Array | None = None
    noise: Array | None = None
    upsampled_frames: Array | None = None
    log_error: Array | None = None

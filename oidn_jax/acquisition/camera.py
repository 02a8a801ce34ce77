"""The camera of an acquisition: given, or estimated from its frames; one line of noise per orientation.

Orientations are treated apart, because some programs rescale them before they store them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from oidn_jax.acquisition.checks import full_scale
from oidn_jax.errors import InputError
from oidn_jax.acquisition.photon_transfer import fit_camera, noise_curve
from oidn_jax.data.raw_stack import RawStack

_JUDGED_SIDE = 1024
_DARK_PERCENTILE = 1.0


@dataclass(frozen=True)
class CameraSettings:
    """What the user knows of the camera; None is estimated.

    Attributes:
        gain: counts per photo-electron.
        offset: counts without light.
        read_noise: electrons; used with a given gain only, as an estimated line of noise includes it.

    Raises:
        InputError: for numbers that no camera has.
    """

    gain: float | None = None
    offset: float | None = None
    read_noise: float | None = None

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if self.gain is not None and not 0 < self.gain < np.inf:
            raise InputError(f"the camera gain is {self.gain:g} counts per photo-electron; it must be positive")
        if self.offset is not None and not np.isfinite(self.offset):
            raise InputError(f"the camera offset is {self.offset:g} counts; it must be a number")
        if self.read_noise is not None and not 0 <= self.read_noise < np.inf:
            raise InputError(f"the read noise is {self.read_noise:g} electrons; it must not be negative")
        if self.read_noise is not None and self.gain is None:
            raise InputError("the read noise is given without the camera gain, which it needs; give both or neither")


@dataclass(frozen=True)
class CameraLine:
    """Noise variance = gain counts + intercept, and the counts without light; one entry per orientation.

    Attributes:
        gain: counts per photo-electron; 0 where the noise does not depend on the light as far as the frames tell.
        intercept: variance at 0 counts on the line, counts squared.
        offset: counts without light.
        gain_known: whether the gain was given or found.
    """

    gain: Float[np.ndarray, "orientations"]
    intercept: Float[np.ndarray, "orientations"]
    offset: Float[np.ndarray, "orientations"]
    gain_known: bool


_READ_NOISE_ELECTRONS = 1.6  # where the user gives a gain alone


def camera_of(stack: RawStack, settings: CameraSettings, *, orientations: int) -> CameraLine:
    """The camera from the central 1024 x 1024 pixels of the first time point, as far as it is not given."""
    top, left = (max(0, side - _JUDGED_SIDE) // 2 for side in stack.frames.shape[2:])
    frames = stack.frames[0, :, top : top + _JUDGED_SIDE, left : left + _JUDGED_SIDE].astype(np.float64)
    ceiling, _ = full_scale(stack)
    darkest = float(frames.mean(axis=(1, 2)).min())
    if settings.offset is not None and settings.offset >= darkest:
        raise InputError(
            f"the camera offset is {settings.offset:g} counts, but {stack.source} has a frame with a mean of "
            f"{darkest:.4g}; it must be below the light"
        )
    lines = [_line_of(group, settings, ceiling) for group in frames.reshape(orientations, -1, *frames.shape[1:])]
    gain, intercept, offset = (np.array(values) for values in zip(*lines, strict=True))
    return CameraLine(gain, intercept, offset, bool((gain > 0).all()))


def _line_of(
    frames: Float[np.ndarray, "phases y x"], settings: CameraSettings, ceiling: int | None
) -> tuple[float, float, float]:
    fitted = fit_camera(frames, ceiling)
    offset = settings.offset
    if offset is None:
        offset = fitted.offset if fitted.offset is not None else float(np.percentile(frames, _DARK_PERCENTILE))
    if settings.gain is not None:
        noise = _READ_NOISE_ELECTRONS if settings.read_noise is None else settings.read_noise
        return settings.gain, settings.gain**2 * noise**2 - settings.gain * offset, offset
    if fitted.gain is not None:
        return fitted.gain, fitted.intercept, offset
    everywhere = np.ones((frames.shape[1] - 4, frames.shape[2] - 4), bool)
    return 0.0, max(float(noise_curve(frames, everywhere)[1].mean()), 1e-12), offset

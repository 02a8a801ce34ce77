"""The camera of an acquisition: given, or estimated from its frames.

Orientations are treated apart, because some programs rescale them before they store them.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Real

from oidn_jax.acquisition.checks import central
from oidn_jax.acquisition.photon_transfer import fit_photon_transfer, noise_curve
from oidn_jax.errors import IllegalValue
from oidn_jax.optics.noise import Camera, NoiseModel

_JUDGED_SIDE = 1024
_DARK_PERCENTILE = 1.0


@dataclass(frozen=True)
class CameraSettings:
    """What the user knows of the camera; None is estimated.

    Attributes:
        camera_gain: counts per photo-electron.
        camera_offset: counts without light.
        read_noise: electrons; used with a given gain only, as an estimated one comes with all noise that is there.

    Raises:
        IllegalValue: for numbers that no camera has.
    """

    camera_gain: float | None = None
    camera_offset: float | None = None
    read_noise: float | None = None

    def __post_init__(self) -> None:
        if self.camera_gain is not None and not 0 < self.camera_gain < math.inf:
            raise IllegalValue("camera_gain", self.camera_gain, "it must be positive")
        if self.camera_offset is not None and not math.isfinite(self.camera_offset):
            raise IllegalValue("camera_offset", self.camera_offset, "it must be a number")
        if self.read_noise is not None and not 0 <= self.read_noise < math.inf:
            raise IllegalValue("read_noise", self.read_noise, "it must not be negative")
        if self.read_noise is not None and self.camera_gain is None:
            raise IllegalValue("read_noise", self.read_noise, "it needs the `camera_gain` too; give both or neither")


def noise_model(
    frames: Real[np.ndarray, "frames h w"],
    settings: CameraSettings,
    *,
    orientations: int,
    ceiling: int | None,
    source: Path,
) -> NoiseModel:
    """The noise of each orientation, from the central 1024 x 1024 pixels of its frames, as far as it is not given.

    The gain is 0 where the noise does not depend on the light as far as the frames tell. A given gain without a read
    noise has that of a scientific CMOS.

    Args:
        frames: as stored.
        settings: what is known.
        orientations: number of illumination directions, slow in the frames.
        ceiling: full scale, if pixels have reached it.
        source: for messages.

    Raises:
        IllegalValue: an offset that is not below the light.
    """
    middle = central(frames, _JUDGED_SIDE).astype(np.float64)
    darkest = float(middle.mean(axis=(1, 2)).min())
    if settings.camera_offset is not None and settings.camera_offset >= darkest:
        legal = f"it must be below the light, and {source} has a frame with a mean of {darkest:.4g}"
        raise IllegalValue("camera_offset", settings.camera_offset, legal)
    groups = middle.reshape(orientations, -1, *middle.shape[1:])
    gain, offset, dark = np.array([_orientation_noise(group, settings, ceiling) for group in groups]).T
    return NoiseModel(gain, offset, dark)


def _orientation_noise(
    frames: Float[np.ndarray, "phases y x"], settings: CameraSettings, ceiling: int | None
) -> tuple[float, float, float]:
    """Gain, offset, dark variance."""
    fitted = fit_photon_transfer(frames, ceiling)
    offset = settings.camera_offset
    if offset is None:
        offset = fitted.offset if fitted.offset is not None else float(np.percentile(frames, _DARK_PERCENTILE))
    if settings.camera_gain is not None:
        read_noise = Camera.read_noise if settings.read_noise is None else settings.read_noise
        return settings.camera_gain, offset, settings.camera_gain**2 * read_noise**2
    if fitted.gain is not None:
        return fitted.gain, offset, fitted.intercept + fitted.gain * offset
    everywhere = np.ones((frames.shape[1] - 4, frames.shape[2] - 4), bool)
    return 0.0, offset, max(float(noise_curve(frames, everywhere)[1].mean()), 1e-12)

"""The camera of an acquisition: given, or estimated from its frames.

Orientations are treated apart, because some programs rescale them before they store them.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from oidn_jax.acquisition.camera_maps import CameraMaps, MapSource, read_maps
from oidn_jax.acquisition.checks import central
from oidn_jax.acquisition.photon_transfer import fit_photon_transfer, noise_curve
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.optics.noise import Camera, NoiseModel

_MAPS = {"gain_map": "camera_gain", "offset_map": "camera_offset", "variance_map": "read_noise"}
_JUDGED_SIDE = 1024
_DARK_PERCENTILE = 1.0


@dataclass(frozen=True, eq=False)
class CameraSettings:
    """What the user knows of the camera; None is estimated.

    Attributes:
        camera_gain: counts per photo-electron.
        camera_offset: counts without light.
        read_noise: electrons; used with a given gain only, as an estimated one comes with all noise that is there.
        gain_map: of each pixel in place of `camera_gain`, likewise: a file of one image of the frames' size, or an
            array (h, w).
        offset_map: of each pixel in place of `camera_offset`, counts.
        variance_map: of each pixel in place of `read_noise`: of the counts without light, counts squared.

    Raises:
        IllegalValue: for numbers that no camera has; a number and its map.
    """

    camera_gain: float | None = None
    camera_offset: float | None = None
    read_noise: float | None = None
    gain_map: MapSource | None = None
    offset_map: MapSource | None = None
    variance_map: MapSource | None = None

    def __post_init__(self) -> None:
        if self.camera_gain is not None and not 0 < self.camera_gain < math.inf:
            raise IllegalValue("camera_gain", self.camera_gain, "it must be positive")
        if self.camera_offset is not None and not math.isfinite(self.camera_offset):
            raise IllegalValue("camera_offset", self.camera_offset, "it must be a number")
        if self.read_noise is not None and not 0 <= self.read_noise < math.inf:
            raise IllegalValue("read_noise", self.read_noise, "it must not be negative")
        for name, number in _MAPS.items():
            if getattr(self, name) is not None and getattr(self, number) is not None:
                raise IllegalValue(number, getattr(self, number), f"`{name}` says it of each pixel; leave one out")
        if self.read_noise is not None and self.camera_gain is None and self.gain_map is None:
            raise IllegalValue("read_noise", self.read_noise, "it needs the `camera_gain` too; give both or neither")

    @property
    def given_maps(self) -> dict[str, MapSource]:
        """The maps by their names."""
        return {name: getattr(self, name) for name in _MAPS if getattr(self, name) is not None}

    def describe_maps(self) -> dict[str, str]:
        """Where the maps are from, by their names; for the provenance of images."""
        return {name: place.name if isinstance(place, Path) else "array" for name, place in self.given_maps.items()}

    def maps(self, size: tuple[int, int], *, bottom_first: bool, source: Path) -> CameraMaps:
        """The maps of the pixels of some frames; arguments and errors as `read_maps`."""
        return read_maps(self.given_maps, size=size, bottom_first=bottom_first, source=source)


def common_offset(
    frames: Real[np.ndarray, "frames h w"],
    settings: CameraSettings,
    *,
    orientations: int,
    ceiling: float | None,
    source: Path,
) -> float:
    """One offset for all pixels, where their gain is known and their offset is not: given, or estimated.

    Arguments as `noise_model`, the frames as stored.
    """
    if settings.camera_offset is not None:
        return settings.camera_offset
    return float(
        np.mean(noise_model(frames, settings, orientations=orientations, ceiling=ceiling, source=source).offset)
    )


class _Known(NamedTuple):
    """What is known of a camera of even pixels."""

    gain: float | None
    offset: float | None
    read_noise: float | None

    @classmethod
    def of(cls, settings: CameraSettings, maps: CameraMaps) -> "_Known":
        gain = settings.camera_gain if maps.gain is None else maps.typical_gain
        offset = settings.camera_offset if maps.offset is None else maps.typical_offset
        return cls(gain, offset, settings.read_noise)


def noise_model(
    frames: Real[np.ndarray, "frames h w"],
    settings: CameraSettings,
    *,
    orientations: int,
    ceiling: float | None,
    source: Path,
    maps: CameraMaps = CameraMaps(),  # noqa: B008 -- immutable
    variance: Float[np.ndarray, "h w"] | None = None,
) -> NoiseModel:
    """The noise of each orientation, from the central 1024 x 1024 pixels of its frames, as far as it is not given.

    The gain is 0 where the noise does not depend on the light as far as the frames tell. A given gain without a read
    noise has that of a scientific CMOS. With the variance of each pixel the dark variance is (orientations,
    h, w); where no gain shows, it is that of all noise, as much larger or smaller in each pixel as its variance differs
    from the median.

    Args:
        frames: as stored, or as `maps` even them.
        settings: what is known.
        orientations: number of illumination directions, slow in the frames.
        ceiling: full scale, if pixels have reached it.
        source: for messages.
        maps: of the camera, whose typical gain and offset are known then.
        variance: of each pixel without light, counts squared, where it is known.

    Raises:
        IllegalValue: an offset that is not below the light.
    """
    middle, known = central(frames, _JUDGED_SIDE).astype(np.float64), _Known.of(settings, maps)
    darkest = float(middle.mean(axis=(1, 2)).min())
    if known.offset is not None and known.offset >= darkest:
        legal = f"it must be below the light, and {source} has a frame with a mean of {darkest:.4g}"
        if maps.offset is not None:
            raise InputError(f"`offset_map` has a mean of {known.offset:.4g}; {legal}")
        raise IllegalValue("camera_offset", known.offset, legal)
    groups = middle.reshape(orientations, -1, *middle.shape[1:])
    gain, offset, dark = np.array([_orientation_noise(group, known, ceiling) for group in groups]).T
    if variance is not None:
        unknown = np.where(gain > 0, 0.0, dark - np.median(variance))
        dark = np.maximum(variance + unknown[:, None, None], 1e-12)
    return NoiseModel(gain, offset, dark)


def _orientation_noise(
    frames: Float[np.ndarray, "phases y x"], known: _Known, ceiling: float | None
) -> tuple[float, float, float]:
    """Gain, offset, dark variance."""
    fitted = fit_photon_transfer(frames, ceiling)
    offset = known.offset
    if offset is None:
        offset = fitted.offset if fitted.offset is not None else float(np.percentile(frames, _DARK_PERCENTILE))
    if known.gain is not None:
        read_noise = Camera.read_noise if known.read_noise is None else known.read_noise
        return known.gain, offset, known.gain**2 * read_noise**2
    if fitted.gain is not None:
        return fitted.gain, offset, fitted.intercept + fitted.gain * offset
    everywhere = np.ones((frames.shape[1] - 4, frames.shape[2] - 4), bool)
    return 0.0, offset, max(float(noise_curve(frames, everywhere)[1].mean()), 1e-12)

"""Maps of a camera whose pixels differ, as those of a scientific CMOS do: gain, offset and variance of each pixel.

With the gain g, the offset o and the variance v of a pixel, its counts c become those of a camera of even pixels,

    c' = (c - o) G / g + O,     without light of the variance  v (G / g)^2,

G the median of the gains and O the mean of the offsets. So the light c' - O stays in counts, and its noise is that of
the gain G everywhere. Where there is no map of the gain, G / g is 1; where there is none of the offset, o and O are one
number.

Source: Huang et al., Nat. Methods 10, 653 (2013), for the maps; they are measured from dark frames (their mean and
variance) and from evenly lit ones (the slope of variance over mean).
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from oidn_jax.acquisition.photon_transfer import noise_curve
from oidn_jax.data.image_file import open_image_stack
from oidn_jax.errors import InputError

# A file, whose rows are as programs show them; or an array, whose rows are those of the frames.
MapSource = Path | Real[np.ndarray, "..."]

_LARGEST = 1e12
_DEFECTIVE, _UNLIKE = 0.01, 3.0  # share of the pixels whose gain may be further from the median than this factor
_ALL_NOISE = 2.0  # variance without light over that with light: at most 1, and what noise leaves uncertain
_NOISIER = 1.2  # real maps of the right pixels, whose gain is noisy itself, give up to 1.03


class CameraMaps(NamedTuple):
    """The maps of a camera, each (h, w) or None.

    Attributes:
        gain: counts per photo-electron.
        offset: counts without light.
        variance: of the counts without light, counts squared.
    """

    gain: Float[np.ndarray, "h w"] | None = None
    offset: Float[np.ndarray, "h w"] | None = None
    variance: Float[np.ndarray, "h w"] | None = None

    @property
    def typical_gain(self) -> float | None:
        """G, where it is known."""
        return None if self.gain is None else float(np.median(self.gain))

    @property
    def typical_offset(self) -> float | None:
        """O, where it is known."""
        return None if self.offset is None else float(self.offset.mean())

    @property
    def needs_offset(self) -> bool:
        """Whether frames can only be evened with an offset that the maps do not have."""
        return self.gain is not None and self.offset is None

    @property
    def even_variance(self) -> Float[np.ndarray, "h w"] | None:
        """Of c' without light, where it is known."""
        return None if self.variance is None else self.variance * self._scale**2

    def even(
        self, frames: Real[np.ndarray, "*frames h w"], *, offset: float | None = None
    ) -> Real[np.ndarray, "*frames h w"]:
        """c' of frames, float32; the frames themselves where neither map changes them.

        Args:
            frames: as stored.
            offset: O where `needs_offset`.

        Raises:
            ValueError: it is needed and missing.
        """
        if self.needs_offset and offset is None:
            raise ValueError("a map of the gain alone needs the `offset` of all pixels")
        if self.gain is None and self.offset is None:
            return frames
        dark, mean = (offset, offset) if self.offset is None else (self.offset, self.typical_offset)
        dark, mean, scale = (np.asarray(part, np.float32) for part in (dark, mean, self._scale))
        return ((frames - dark) * scale + mean).astype(np.float32)

    @property
    def _scale(self) -> Float[np.ndarray, "h w"] | float:
        """G / g."""
        return 1.0 if self.gain is None else float(np.median(self.gain)) / self.gain


def read_maps(given: dict[str, MapSource], *, size: tuple[int, int], bottom_first: bool, source: Path) -> CameraMaps:
    """The maps of the pixels of some frames, checked.

    Args:
        given: by the name of the setting: "gain_map", "offset_map", "variance_map"; each may be missing.
        size: (h, w) of the frames.
        bottom_first: whether programs show the first row of the frames' file at the bottom.
        source: the frames, for messages.

    Raises:
        InputError: a file that cannot be read or holds several images; another size; NaN or infinite numbers; a gain
            that is not positive, or that no camera has; a negative variance.
    """
    maps = {name.removesuffix("_map"): _read(name, place, bottom_first) for name, place in given.items()}
    for name, place in given.items():
        _check(f"`{name}` {_called(place)}", maps[name.removesuffix("_map")], size=size, source=source)
    gain, variance = maps.get("gain"), maps.get("variance")
    if gain is not None:
        _check_gain(f"`gain_map` {_called(given['gain_map'])}", gain)
    if variance is not None and variance.min() < 0:
        raise InputError(
            f"`variance_map` {_called(given['variance_map'])} has {np.count_nonzero(variance < 0)} pixels below 0 (the "
            f"smallest is {variance.min():.4g}); it must be the variance of the counts without light, in counts squared"
        )
    return CameraMaps(**maps)


def misfit_of_maps(stored: Real[np.ndarray, "frames h w"], evened: Real[np.ndarray, "frames h w"]) -> str | None:
    """A line of warning where frames that maps have evened differ more from pixel to pixel than as stored.

    What the pixels differ by is in the mean of all frames, whose noise is measured as in `photon_transfer`. Maps of
    these pixels lower it; those of others, or mirrored ones, add theirs.
    """
    before, after = (_unevenness(frames) for frames in (stored, evened))
    if before == 0 or after <= _NOISIER * before:  # most of it set to one value tells nothing
        return None
    return (
        "the frames are noisier with the maps of the camera than without (variance from pixel to pixel times "
        f"{after / before:.2g}), so they are not those of the frames' pixels: check where the field was cropped, "
        "whether the maps are mirrored or turned, and beside a `gain_map` the offset"
    )


def misfit_of_variance(variance: Float[np.ndarray, "h w"], evened: Real[np.ndarray, "frames h w"]) -> str | None:
    """A line of warning where a typical pixel's noise without light would be far more than the frames' with light.

    Args:
        variance: of the frames' pixels without light, `CameraMaps.even_variance`.
        evened: the frames.
    """
    typical, noise = float(np.median(variance)), _noise(evened)
    if typical <= _ALL_NOISE * noise:
        return None
    return (
        f"the `variance_map` says {typical:.3g} counts squared of a typical pixel without light, but with light the "
        f"frames have a noise of {noise:.3g}; so it is not that of these frames, or not in counts squared"
    )


def _noise(frames: Real[np.ndarray, "frames h w"]) -> float:
    """Variance from pixel to pixel, typical over the levels of light."""
    everywhere = np.ones((frames.shape[1] - 4, frames.shape[2] - 4), bool)
    return float(np.median(noise_curve(np.asarray(frames, np.float64), everywhere)[1]))


def _unevenness(frames: Real[np.ndarray, "frames h w"]) -> float:
    return _noise(frames.mean(0, dtype=np.float64)[None])


def _called(place: MapSource) -> str:
    return str(place) if isinstance(place, Path) else "of an array"


def _read(name: str, place: MapSource, bottom_first: bool) -> Float[np.ndarray, "h w"]:
    if not isinstance(place, Path):
        values = np.asarray(place, np.float64)
        if values.ndim != 2:
            raise InputError(f"`{name}` is an array of the shape {values.shape}; it must be one map, (h, w)")
        return values
    images = open_image_stack(place)
    count = math.prod(images.shape[:-2])
    if count != 1:
        raise InputError(f"`{name}` {place} holds {count} images; give a file with one, the map")
    values = images.read([0])[0].astype(np.float64)
    return values if images.bottom_first == bottom_first else values[::-1]


def _check(what: str, values: Float[np.ndarray, "h w"], *, size: tuple[int, int], source: Path) -> None:
    if values.shape != size:
        raise InputError(
            f"{what} has {values.shape[0]} x {values.shape[1]} pixels, but the frames of {source} have "
            f"{size[0]} x {size[1]}; give the map of these pixels of the camera"
        )
    wild = ~(np.abs(values) <= _LARGEST)
    if wild.any():
        y, x = np.argwhere(wild)[0].tolist()
        raise InputError(
            f"{what} has {np.count_nonzero(wild)} pixels that are NaN, infinite or beyond {_LARGEST:g}, the first at y "
            f"{y}, x {x} (counted from 0); give each pixel a number"
        )


def _check_gain(what: str, gain: Float[np.ndarray, "h w"]) -> None:
    if gain.min() <= 0:
        raise InputError(
            f"{what} has {np.count_nonzero(gain <= 0)} pixels that are not above 0 (the smallest is {gain.min():.4g}); "
            "it must be counts per photo-electron"
        )
    unlike = np.mean(np.abs(np.log(gain / np.median(gain))) > math.log(_UNLIKE))
    if unlike > _DEFECTIVE:
        raise InputError(
            f"{what} has a gain that is more than {_UNLIKE:g} times larger or smaller than the median in "
            f"{100 * unlike:.2g} % of the pixels, as no camera has; it must be counts per photo-electron"
        )

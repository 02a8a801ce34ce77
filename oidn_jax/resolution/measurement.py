"""The resolution of one image, or of two of one object: what `python -m oidn_jax.metrics` prints."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from oidn_jax.data.atomic import check_target
from oidn_jax.errors import InputError
from oidn_jax.data.writers import write_map_tiff
from oidn_jax.resolution.image import Measured
from oidn_jax.metrics.decorrelation import Decorrelation, decorrelation_analysis, sectorial_decorrelation
from oidn_jax.metrics.drift import align, overlap
from oidn_jax.metrics.fourier_ring import SMALLEST_IMAGE, THRESHOLDS, RingCorrelation, fourier_ring_correlation
from oidn_jax.metrics.rolling_frc import RollingFrc, RollingFrcOptions, rolling_frc
from oidn_jax.metrics.single_image import (
    CALIBRATED_THRESHOLD,
    FINEST_PIXELS,
    single_image_frc,
    single_image_resolution_nm,
    single_image_rolling_frc,
)

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Measurement:
    """Everything that was found. Lengths are in nm, or in pixels where the pixel size is not known.

    Attributes:
        measured: the image.
        other: the second image, or None.
        decorrelation: of the image.
        sectors: of each direction, or None.
        rings: of the two images, or of the four quarters of the one; None below 32 pixels.
        rolling: the map, or None.
        no_map: why there is no map though one was asked for; empty where there is one or none was asked for.
        options: of the map.
        drift_px: (y, x) of the second image that was undone, or None.
    """

    measured: Measured
    other: Measured | None
    decorrelation: Decorrelation
    sectors: Decorrelation | None
    rings: RingCorrelation | None
    rolling: RollingFrc | None
    no_map: str
    options: RollingFrcOptions
    drift_px: tuple[float, float] | None

    @property
    def unit(self) -> str:
        """Of lengths: "nm", or "px" where the pixel size is not known."""
        return "px" if self.measured.pixel_size_nm is None else "nm"

    @property
    def pixel_size(self) -> float:
        """In the unit."""
        return self.measured.pixel_size_nm or 1.0

    @property
    def reliable(self) -> bool:
        """Whether a single image is coarse enough for its quarters: finer detail folds over, to any period."""
        coarsest = 2.0 / float(self.decorrelation.cutoff) if self.decorrelation.cutoff > 0 else np.inf
        by_rings = ring_resolutions(self).get(CALIBRATED_THRESHOLD, np.nan) / self.pixel_size
        return self.other is not None or bool(min(coarsest, by_rings) >= FINEST_PIXELS)


def rolling_options(fields: Mapping[str, Any]) -> RollingFrcOptions:
    """`RollingFrcOptions(**fields)`.

    Raises:
        InputError: for a field that is not legal.
    """
    try:
        return RollingFrcOptions(**fields)
    except ValueError as error:
        raise InputError(str(error)) from error


def measure(
    measured: Measured,
    *,
    other: Measured | None = None,
    rolling: bool = True,
    options: RollingFrcOptions | None = None,
    sectors: int = 0,
    progress: Progress | None = None,
) -> Measurement:
    """Decorrelation analysis of the image and Fourier ring correlation with the other one, or of the image by itself.

    Args:
        measured: the image.
        other: a second one of the same object with noise of its own.
        rolling: whether to map the local resolution, if the image is at least as large as a block.
        options: of the map; its `correct_drift` aligns the second image for the ring correlation too. For a single
            image the calibration was made with `crossing="1/7"`.
        sectors: of the sectorial analysis; 0 for none.
        progress: of the map, the fraction done.

    Raises:
        InputError: images of different sizes, or with the same pixels.
    """
    options = options or RollingFrcOptions()
    image, rings, drift_px = measured.image, None, None
    if other is not None:
        _check_pair(measured, other)
        rings, drift_px = _pair_rings(image, other.image, correct_drift=options.correct_drift)
    elif min(image.shape) >= 2 * SMALLEST_IMAGE:
        rings = single_image_frc(image)
    by_sector = None if not sectors else jax.device_get(sectorial_decorrelation(image, sectors=sectors))
    found, why_not = _map(measured, other, options, progress) if rolling else (None, "")
    return Measurement(
        measured=measured,
        other=other,
        decorrelation=jax.device_get(decorrelation_analysis(image)),
        sectors=by_sector,
        rings=rings,
        rolling=found,
        no_map=why_not,
        options=options,
        drift_px=drift_px,
    )


def _pair_rings(
    image: np.ndarray, other: np.ndarray, *, correct_drift: bool
) -> tuple[RingCorrelation, tuple[float, float] | None]:
    """The curve, and the drift that was undone before."""
    if not correct_drift:
        return fourier_ring_correlation(image, other), None
    aligned, drift = align(other, image)
    seen = overlap(np.asarray(drift), (image.shape[0], image.shape[1]))
    return fourier_ring_correlation(image[seen], np.asarray(aligned)[seen]), (float(drift[0]), float(drift[1]))


def _map(
    measured: Measured, other: Measured | None, options: RollingFrcOptions, progress: Progress | None
) -> tuple[RollingFrc | None, str]:
    """The map and an empty text, or None and why."""
    if min(measured.image.shape) < options.block * (1 if other is not None else 2):
        return None, (
            f"the image is smaller than a block of {options.block} pixels (of a single image, its quarters are); give "
            "a smaller --block"
        )
    how = {"pixel_size_nm": measured.pixel_size_nm or 1.0, "options": options, "progress": progress}
    try:
        if other is None:
            return single_image_rolling_frc(measured.stored_image, **how), ""
        return rolling_frc(measured.stored_image, other.stored_image, **how), ""
    except ValueError as error:
        return None, f"{error}; subtract the background, or leave it out by --no-rolling"


def _check_pair(measured: Measured, other: Measured) -> None:
    if measured.image.shape != other.image.shape:
        sizes = [f"{m.path} is {m.image.shape[0]} x {m.image.shape[1]} pixels" for m in (measured, other)]
        raise InputError(f"{' and '.join(sizes)}; give two images of the same field on the same pixels")
    if np.array_equal(measured.image, other.image):
        raise InputError(
            f"{measured.path} and {other.path} hold the same pixels, which correlate at every frequency; give two "
            "images with noise of their own, or one alone"
        )


def check_map(path: str | None, *, overwrite: bool) -> None:
    """Refuses a file for the map before anything is computed.

    Raises:
        InputError: no TIFF by its name; a folder, or an existing file without `overwrite`.
    """
    if path is not None:
        if Path(path).suffix.lower() not in (".tif", ".tiff") or path.lower().endswith((".ome.tif", ".ome.tiff")):
            raise InputError(f"--map={path} is no ImageJ TIFF by its name; give a name that ends in .tif, not .ome.tif")
        check_target(Path(path), overwrite=overwrite)


def write_map(path: str, found: Measurement, *, overwrite: bool) -> None:
    """The map as float32 TIFF for ImageJ, NaN where there is no value.

    Raises:
        InputError: without a map, or if the file cannot be written.
    """
    if found.rolling is None:
        raise InputError(f"there is no map for --map={path}: {found.no_map}")
    low, high = found.rolling.best_nm, found.rolling.worst_nm
    write_map_tiff(
        path,
        found.rolling.map_nm[None, None],
        names=[f"local resolution ({found.unit})"],
        ranges=[(low, high) if np.isfinite(low) else (0.0, 1.0)],
        pixel_size_nm=found.measured.pixel_size_nm,
        provenance={
            "image": str(found.measured.path),
            "index": found.measured.index,
            "other": None if found.other is None else str(found.other.path),
            **asdict(found.options),
        },
        overwrite=overwrite,
        allow_nan=True,
    )


def ring_resolutions(found: Measurement) -> dict[str, float]:
    """By threshold, in the unit of the measurement; of a single image by the calibrated one alone."""
    if found.rings is None:
        return {}
    if found.other is None:
        nm = single_image_resolution_nm(found.rings, pixel_size_nm=found.pixel_size)
        return {CALIBRATED_THRESHOLD: float(nm)}
    return {t: float(found.rings.resolution_nm(threshold=t, pixel_size_nm=found.pixel_size)) for t in THRESHOLDS}

"""The resolution of one image, or of two of one object, by every measure that needs no ground truth."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import numpy as np

from oidn_jax.data.atomic import check_target
from oidn_jax.data.writers import open_map_tiff
from oidn_jax.errors import InputError
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
from oidn_jax.resolution.image import MeasuredImage

_SHIFTED = 0.5  # pixels
_LOWERED = 0.02  # of the mean correlation of all rings


@dataclass(frozen=True)
class Measurement:
    """What was measured. Lengths are in nm, or in pixels where the pixel size is not known.

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
        shift_px: (y, x) of the second image that was not undone and lowers the ring correlation, or None.
    """

    measured: MeasuredImage
    other: MeasuredImage | None
    decorrelation: Decorrelation
    sectors: Decorrelation | None
    rings: RingCorrelation | None
    rolling: RollingFrc | None
    no_map: str
    options: RollingFrcOptions
    drift_px: tuple[float, float] | None
    shift_px: tuple[float, float] | None = None

    @property
    def unit(self) -> str:
        """Of lengths: "nm", or "px" where the pixel size is not known."""
        return "px" if self.measured.pixel_size_nm is None else "nm"

    @property
    def length_per_pixel(self) -> float:
        """In the unit."""
        return self.measured.pixel_size_nm or 1.0

    @property
    def ring_resolutions(self) -> dict[str, float]:
        """By threshold, in the unit; of a single image by the calibrated one alone. NaN without a crossing."""
        if self.rings is None:
            return {}
        size = self.length_per_pixel
        if self.other is None:
            return {CALIBRATED_THRESHOLD: float(single_image_resolution_nm(self.rings, pixel_size_nm=size))}
        return {
            threshold: float(self.rings.resolution_nm(threshold=threshold, pixel_size_nm=size))
            for threshold in THRESHOLDS
        }

    @property
    def reliable(self) -> bool:
        """Whether a single image is coarse enough for its quarters: finer detail folds over, to any period.

        Not where its ring correlation has no value, which shows nothing.
        """
        coarsest = 2.0 / float(self.decorrelation.cutoff) if self.decorrelation.cutoff > 0 else np.inf
        by_rings = self.ring_resolutions.get(CALIBRATED_THRESHOLD, np.nan) / self.length_per_pixel
        return self.other is not None or bool(np.isfinite(by_rings) and min(coarsest, by_rings) >= FINEST_PIXELS)

    @property
    def remarks(self) -> list[str]:
        """What the user should know, a line each; settings in backticks."""
        if self.shift_px is None or self.other is None:
            return []
        y, x = self.shift_px
        return [
            f"{self.other.path} lies ({y:.2f}, {x:.2f}) pixels (y, x) beside {self.measured.path}, which lowers the "
            "ring correlation; give `correct_drift` to align them"
        ]


def measure(
    measured: MeasuredImage,
    *,
    other: MeasuredImage | None = None,
    rolling: bool = True,
    options: RollingFrcOptions | None = None,
    sectors: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Measurement:
    """Decorrelation analysis of the image and Fourier ring correlation with the other one, or of the image by itself.

    Args:
        measured: the image.
        other: a second one of the same object with noise of its own.
        rolling: whether to map the local resolution, if the image is at least as large as a block.
        options: of the map; its `correct_drift` aligns the second image for the ring correlation too. For a single
            image the calibration was made with `crossing="1/7"`.
        sectors: of the sectorial analysis; 0 for none.
        progress: of the map, called with the fraction done.

    Raises:
        InputError: images of different sizes, or with the same pixels.
    """
    options = options or RollingFrcOptions()
    image = measured.image
    rings = drift_px = shift_px = None
    if other is not None:
        _check_pair(measured, other)
        first, second = image, other.image
        if options.correct_drift:
            aligned, drift = align(second, first)
            seen = overlap(np.asarray(drift), (image.shape[0], image.shape[1]))
            first, second = first[seen], np.asarray(aligned)[seen]
            drift_px = (float(drift[0]), float(drift[1]))
        rings = fourier_ring_correlation(first, second)
        if not options.correct_drift:
            shift_px = _lowering_shift(image, other.image, rings)
    elif min(image.shape) >= 2 * SMALLEST_IMAGE:
        rings = single_image_frc(image)
    local, no_map = _map(measured, other, options, progress) if rolling else (None, "")
    return Measurement(
        measured=measured,
        other=other,
        decorrelation=jax.device_get(decorrelation_analysis(image)),
        sectors=jax.device_get(sectorial_decorrelation(image, sectors=sectors)) if sectors else None,
        rings=rings,
        rolling=local,
        no_map=no_map,
        options=options,
        drift_px=drift_px,
        shift_px=shift_px,
    )


def _lowering_shift(image: np.ndarray, other: np.ndarray, rings: RingCorrelation) -> tuple[float, float] | None:
    """By how much the other image lies beside the first, where that is more than 0.5 pixels and lowers their FRC.

    Noise alone has its highest correlation anywhere; so aligned they must have structure in common, and more of it.
    """
    aligned, drift = align(other, image)
    y, x = np.asarray(drift, float).tolist()
    seen = overlap(np.asarray(drift), (image.shape[0], image.shape[1]))
    if not np.hypot(y, x) > _SHIFTED or min(image[seen].shape) < SMALLEST_IMAGE:
        return None
    better = fourier_ring_correlation(image[seen], np.asarray(aligned)[seen])
    rises = float(better.correlation.mean() - rings.correlation.mean()) > _LOWERED
    return (y, x) if rises and np.isfinite(better.cutoff(threshold="3-sigma")) else None


def _map(
    measured: MeasuredImage,
    other: MeasuredImage | None,
    options: RollingFrcOptions,
    progress: Callable[[float], None] | None,
) -> tuple[RollingFrc | None, str]:
    """The map and an empty text, or None and why there is none."""
    if min(measured.image.shape) < options.block * (1 if other is not None else 2):
        return None, (
            f"the image is smaller than a block of {options.block} pixels (of a single image, its quarters are); "
            "choose smaller blocks"
        )
    size = measured.pixel_size_nm or 1.0
    try:
        if other is None:
            local = single_image_rolling_frc(
                measured.stored_image, pixel_size_nm=size, options=options, progress=progress
            )
        else:
            local = rolling_frc(
                measured.stored_image, other.stored_image, pixel_size_nm=size, options=options, progress=progress
            )
    except ValueError as error:
        return None, f"{error}; subtract the background"
    return local, ""


def _check_pair(measured: MeasuredImage, other: MeasuredImage) -> None:
    if measured.image.shape != other.image.shape:
        sizes = [f"{m.path} is {m.image.shape[0]} x {m.image.shape[1]} pixels" for m in (measured, other)]
        raise InputError(f"{' and '.join(sizes)}; give two images of the same field on the same pixels")
    if np.array_equal(measured.image, other.image):
        raise InputError(
            f"{measured.path} and {other.path} hold the same pixels, which correlate at every frequency; give two "
            "images with noise of their own, or one alone"
        )


def check_map(path: str | Path, *, overwrite: bool) -> None:
    """Refuses a file for the map before anything is computed.

    Raises:
        InputError: no TIFF by its name; a folder, or an existing file without `overwrite`.
    """
    name = Path(path).name.lower()
    if not name.endswith((".tif", ".tiff")) or name.endswith((".ome.tif", ".ome.tiff")):
        raise InputError(f"{path} is no ImageJ TIFF by its name; give a name that ends in .tif, not .ome.tif")
    check_target(Path(path), overwrite=overwrite)


def write_map(path: str | Path, measurement: Measurement, *, overwrite: bool) -> None:
    """The map as float32 TIFF for ImageJ, NaN where there is no value.

    Raises:
        InputError: without a map, or if the file cannot be written.
    """
    local = measurement.rolling
    if local is None:
        raise InputError(f"there is no map for {path}: {measurement.no_map}")
    with open_map_tiff(
        path,
        shape=(1, 1, *local.map_nm.shape),
        names=[f"local resolution ({measurement.unit})"],
        ranges=[(local.best_nm, local.worst_nm) if np.isfinite(local.best_nm) else (0.0, 1.0)],
        pixel_size_nm=measurement.measured.pixel_size_nm,
        provenance={
            "image": str(measurement.measured.path),
            "index": measurement.measured.index,
            "other": None if measurement.other is None else str(measurement.other.path),
            **asdict(measurement.options),
        },
        overwrite=overwrite,
        allow_nan=True,
    ) as writer:
        writer.write(local.map_nm[None])

"""A measurement of the resolution as a page: what `figures.measurement` draws, in numbers and words."""

from pathlib import Path

import numpy as np

from oidn_jax.errors import printable
from oidn_jax.figures.measurement import MeasurementPage, RingCurve, RingThreshold, save_measurement
from oidn_jax.figures.resolution import DecorrelationPanel, RollingFrcPanel
from oidn_jax.resolution.measurement import Measurement


def save_page(path: str | Path, measurement: Measurement, *, overwrite: bool) -> Path:
    """Draws a measurement, as PNG, PDF or SVG by the suffix.

    Raises:
        InputError: another suffix; a file that exists, without `overwrite`, or cannot be written.
    """
    page = MeasurementPage(
        title=printable(measurement.measured.path.name).replace("$", r"\$"),
        unit=measurement.unit,
        decorrelation=DecorrelationPanel.from_analysis(
            "", measurement.measured.image, measurement.decorrelation, pixel_size_nm=measurement.length_per_pixel
        ),
        rings=_rings(measurement),
        rolling=_rolling(measurement),
    )
    return save_measurement(Path(path), page, overwrite=overwrite)


def _rings(measurement: Measurement) -> RingCurve | None:
    rings, alone = measurement.rings, measurement.other is None
    if rings is None:
        return None
    doubt = "" if not alone else ", calibrated" if measurement.reliable else ", not reliable"
    thresholds = []
    for name, resolution in measurement.ring_resolutions.items():
        text = f"{resolution:.1f} {measurement.unit}" if np.isfinite(resolution) else "no crossing"
        thresholds.append(
            RingThreshold(
                label=f"{name}: {text}{doubt}",
                values=np.asarray(rings.threshold(name)),
                cutoff=2.0 * float(rings.cutoff(threshold=name)),
            )
        )
    return RingCurve(
        label="Single-image FRC" if alone else "FRC",
        frequency=2.0 * np.asarray(rings.frequency),
        correlation=np.asarray(rings.correlation),
        smoothed=np.asarray(rings.smoothed),
        thresholds=thresholds,
        end=0.5 if alone else 1.0,
    )


def _rolling(measurement: Measurement) -> RollingFrcPanel | None:
    local = measurement.rolling
    if local is None:
        return None
    text = "no value"
    if np.isfinite(local.mean_nm):
        text = f"mean {local.mean_nm:.1f}, worst {local.worst_nm:.1f} {measurement.unit}"
    kind = "Rolling FRC" if measurement.other is not None else "Single-image rolling FRC"
    return RollingFrcPanel(
        label=f"{kind}: {text}" + ("" if measurement.reliable else ", not reliable"),
        image=measurement.measured.image,
        map_nm=local.map_nm,
        pixel_size_nm=measurement.length_per_pixel,
        mean_nm=local.mean_nm,
        worst_nm=local.worst_nm,
    )

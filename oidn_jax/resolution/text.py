"""A measurement of the resolution as JSON and as lines for a person."""

from typing import Any

import jax
import numpy as np

from oidn_jax.metrics.decorrelation import Decorrelation
from oidn_jax.metrics.single_image import FINEST_PIXELS
from oidn_jax.resolution.measurement import Measurement

UNRELIABLE = f"detail finer than {FINEST_PIXELS:g} pixels, which a split image cannot show"


def to_json(measurement: Measurement) -> dict[str, Any]:
    """One object of plain values; None for what does not exist (no structure, no crossing, no pixel size)."""
    measured, other = measurement.measured, measurement.other
    result: dict[str, Any] = {
        "image": str(measured.path),
        "index": measured.index,
        "other": None if other is None else str(other.path),
        "shape": list(measured.image.shape),
        "pixel_size_nm": measured.pixel_size_nm,
        "decorrelation": _decorrelation(measurement, measurement.decorrelation),
    }
    if measurement.sectors is not None:
        result["sectors"] = [
            {"direction_deg": degrees, **_decorrelation(measurement, sector)}
            for degrees, sector in sector_values(measurement.sectors)
        ]
    kind = "single_image_" if other is None else ""
    result[f"{kind}frc"] = None if measurement.rings is None else _rings(measurement)
    result[f"{kind}rolling_frc"] = None if measurement.rolling is None else _rolling(measurement)
    if measurement.drift_px is not None:
        result["drift_px"] = list(measurement.drift_px)
    return result


def sector_values(sectors: Decorrelation) -> list[tuple[float, Decorrelation]]:
    """Each direction in degrees, with what was measured along it."""
    number = len(sectors.cutoff)
    by_sector = sectors._replace(radii=sectors.cutoff)  # an axis like that of the others, to be taken apart with them
    values = [jax.tree.map(lambda x, i=i: x[i], by_sector)._replace(radii=sectors.radii) for i in range(number)]
    return [(180.0 * i / number, value) for i, value in enumerate(values)]


def _decorrelation(measurement: Measurement, analysis: Decorrelation) -> dict[str, Any]:
    resolution = float(analysis.resolution_nm(pixel_size_nm=measurement.length_per_pixel))
    lengths = _lengths(measurement, "resolution", resolution)
    return {**lengths, "kc": _finite(float(analysis.cutoff)), "a0": _finite(float(analysis.amplitude))}


def _rings(measurement: Measurement) -> dict[str, Any]:
    reliable = {"reliable": measurement.reliable} if measurement.other is None else {}
    return {
        threshold: {**_lengths(measurement, "resolution", resolution), **reliable}
        for threshold, resolution in measurement.ring_resolutions.items()
    }


def _rolling(measurement: Measurement) -> dict[str, Any]:
    local, options = measurement.rolling, measurement.options
    assert local is not None, "told only where there is one"
    result = {
        **_lengths(measurement, "mean", local.mean_nm),
        **_lengths(measurement, "best", local.best_nm),
        **_lengths(measurement, "worst", local.worst_nm),
        "value": _finite(local.value),
        "missing": local.missing,
        "block": options.block,
        "skip": options.skip,
        "flavour": options.flavour,
        "crossing": options.crossing,
    }
    if measurement.other is None:
        result["reliable"] = measurement.reliable
    return result


def _lengths(measurement: Measurement, name: str, length: float) -> dict[str, float | None]:
    """A length of the measurement in nm, where the pixel size is known, and in pixels."""
    known = measurement.measured.pixel_size_nm is not None
    return {
        f"{name}_nm": _finite(length) if known else None,
        f"{name}_px": _finite(length / measurement.length_per_pixel),
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def format_lines(measurement: Measurement) -> list[str]:
    """What a person reads: a line for each number, and where there is none, why."""
    measured, unit = measurement.measured, measurement.unit
    pixel = f"{measured.pixel_size_nm:g} nm per pixel" if measured.pixel_size_nm else "pixel size unknown"
    h, w = measured.image.shape
    kind = "FRC" if measurement.other is not None else "single-image FRC"
    rolling_kind = "rolling FRC" if measurement.other is not None else "single-image rolling FRC"
    crossed = all(map(np.isfinite, measurement.ring_resolutions.values()))
    why = UNRELIABLE if crossed else "the ring correlation of the whole image has no value"
    unreliable = "" if measurement.reliable else f" (not reliable: {why})"

    lines = [f"{measured.path}: {h} x {w} pixels, {pixel}"]
    lines.append(f"decorrelation analysis   {_words(measurement, measurement.decorrelation)}")
    if measurement.sectors is not None:
        for degrees, sector in sector_values(measurement.sectors):
            lines.append(f"  along {degrees:5.1f} deg        {_words(measurement, sector)}")
    if measurement.drift_px is not None:
        lines.append("drift that was undone    {:.2f}, {:.2f} px (y, x)".format(*measurement.drift_px))
    for threshold, resolution in measurement.ring_resolutions.items():
        crossed = np.isfinite(resolution)
        text = f"{resolution:.1f} {unit}{unreliable}" if crossed else "no crossing of the threshold"
        lines.append(f"{f'{kind}, {threshold}':24} {text}")
    if measurement.no_map:
        lines.append(f"rolling FRC              no map: {measurement.no_map}")
    if measurement.rolling is not None:
        local = measurement.rolling
        text = "no block has a value"
        if np.isfinite(local.mean_nm):
            text = (
                f"mean {local.mean_nm:.1f}, best {local.best_nm:.1f}, worst {local.worst_nm:.1f} {unit}; rFRC value "
                f"{local.value:.3f}; {100 * local.missing:.1f} % without a value{unreliable}"
            )
        lines.append(f"{rolling_kind:24} {text}")
    return lines


def _words(measurement: Measurement, analysis: Decorrelation) -> str:
    resolution = float(analysis.resolution_nm(pixel_size_nm=measurement.length_per_pixel))
    numbers = f"(kc = {analysis.cutoff:.4f} of Nyquist, A0 = {analysis.amplitude:.3f})"
    if not np.isfinite(resolution):
        return (
            f"no cutoff found {numbers}: no structure above the noise, or up to Nyquist's frequency, as of hot pixels"
        )
    return f"{resolution:.1f} {measurement.unit} {numbers}"

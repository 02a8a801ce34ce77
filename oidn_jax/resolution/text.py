"""A measurement of the resolution as JSON and as lines for a person."""

from typing import Any

import jax
import numpy as np

from oidn_jax.resolution.measurement import Measurement, ring_resolutions
from oidn_jax.metrics.decorrelation import Decorrelation
from oidn_jax.metrics.rolling_frc import RollingFrc
from oidn_jax.metrics.single_image import FINEST_PIXELS

UNRELIABLE = f"detail finer than {FINEST_PIXELS:g} pixels, which a split image cannot show"


def to_json(found: Measurement) -> dict[str, Any]:
    """One object of plain values; what does not exist (no structure, no crossing, no pixel size) is NaN or None."""
    measured = found.measured
    result: dict[str, Any] = {
        "image": str(measured.path),
        "index": measured.index,
        "other": None if found.other is None else str(found.other.path),
        "shape": list(measured.image.shape),
        "pixel_size_nm": measured.pixel_size_nm,
        "decorrelation": _decorrelation(found, found.decorrelation),
    }
    if found.sectors is not None:
        result["sectors"] = [
            {"direction_deg": degrees, **_decorrelation(found, of)} for degrees, of in sector_values(found.sectors)
        ]
    single = "single_image_" if found.other is None else ""
    result[f"{single}frc"] = None if found.rings is None else _rings(found)
    result[f"{single}rolling_frc"] = None if found.rolling is None else _rolling(found, found.rolling)
    if found.drift_px is not None:
        result["drift_px"] = list(found.drift_px)
    return result


def sector_values(sectors: Decorrelation) -> list[tuple[float, Decorrelation]]:
    """Each direction in degrees, with what was found there."""
    number = len(sectors.cutoff)
    fields = [jax.tree.map(lambda x, i=i: x[i], sectors._replace(radii=sectors.cutoff)) for i in range(number)]
    return [(180.0 * i / number, of._replace(radii=sectors.radii)) for i, of in enumerate(fields)]


def _rings(found: Measurement) -> dict[str, Any]:
    lengths = {name: _length(found, resolution) for name, resolution in ring_resolutions(found).items()}
    if found.other is None:
        lengths = {name: of | {"reliable": found.reliable} for name, of in lengths.items()}
    return lengths


def _rolling(found: Measurement, of: RollingFrc) -> dict[str, Any]:
    numbers = {"mean": of.mean_nm, "best": of.best_nm, "worst": of.worst_nm}
    lengths = {f"{name}_{unit}": v for name, x in numbers.items() for unit, v in _units(found, x).items()}
    options = {name: getattr(found.options, name) for name in ("block", "skip", "flavour", "crossing")}
    reliable = {"reliable": found.reliable} if found.other is None else {}
    return {**lengths, "value": of.value, "missing": of.missing, **reliable, **options}


def _decorrelation(found: Measurement, of: Decorrelation) -> dict[str, Any]:
    resolution = float(of.resolution_nm(pixel_size_nm=found.pixel_size))
    return {**_length(found, resolution), "kc": float(of.cutoff), "a0": float(of.amplitude)}


def _length(found: Measurement, value: float) -> dict[str, float | None]:
    return {f"resolution_{unit}": length for unit, length in _units(found, value).items()}


def _units(found: Measurement, value: float) -> dict[str, float | None]:
    known = found.measured.pixel_size_nm
    return {"nm": None if known is None else value, "px": value / (known or 1.0)}


def format_lines(found: Measurement) -> list[str]:
    """What a person reads: a line for each number that was found, and where none was, why."""
    measured, unit = found.measured, found.unit
    pixel = f"{measured.pixel_size_nm:g} nm per pixel" if measured.pixel_size_nm else "pixel size unknown"
    h, w = measured.image.shape
    lines = [f"{measured.path}: {h} x {w} pixels, {pixel}"]
    of = found.decorrelation
    lines.append(f"decorrelation analysis   {_spoken(found, of)}")
    if found.sectors is not None:
        for degrees, sector in sector_values(found.sectors):
            lines.append(f"  along {degrees:5.1f} deg        {_spoken(found, sector)}")
    if found.drift_px is not None:
        lines.append(f"drift that was undone    {found.drift_px[0]:.2f}, {found.drift_px[1]:.2f} px (y, x)")
    unreliable = "" if found.reliable else f" (not reliable: {UNRELIABLE})"
    kind = "FRC" if found.other is not None else "single-image FRC"
    for name, value in ring_resolutions(found).items():
        text = f"{value:.1f} {unit}" if np.isfinite(value) else "no crossing of the threshold"
        text += unreliable if np.isfinite(value) else ""
        lines.append(f"{kind + ', ' + name:24} {text}")
    if found.no_map:
        lines.append(f"rolling FRC              no map: {found.no_map}")
    if found.rolling is not None:
        of, kind = found.rolling, "rolling FRC" if found.other is not None else "single-image rolling FRC"
        if np.isfinite(of.mean_nm):
            numbers = f"mean {of.mean_nm:.1f}, best {of.best_nm:.1f}, worst {of.worst_nm:.1f} {unit}"
            lines.append(
                f"{kind:24} {numbers}; rFRC value {of.value:.3f}; {100 * of.missing:.1f} % without a value{unreliable}"
            )
        else:
            lines.append(f"{kind:24} no block has a value")
    return lines


def _spoken(found: Measurement, of: Decorrelation) -> str:
    resolution = float(of.resolution_nm(pixel_size_nm=found.pixel_size))
    if not np.isfinite(resolution):
        return (
            f"no cutoff found (kc = {of.cutoff:.4f} of Nyquist, A0 = {of.amplitude:.3f}): no structure above the "
            "noise, or up to Nyquist's frequency, as of hot pixels"
        )
    return f"{resolution:.1f} {found.unit} (kc = {of.cutoff:.4f} of Nyquist, A0 = {of.amplitude:.3f})"

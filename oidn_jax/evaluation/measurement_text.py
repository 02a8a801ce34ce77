"""A measurement of the resolution as JSON and as lines for a person."""

from typing import Any

import jax
import numpy as np

from oidn_jax.evaluation.measurement import NO_MAP, Measurement, ring_resolutions
from oidn_jax.metrics.decorrelation import RADII, Decorrelation
from oidn_jax.metrics.single_image import FINEST_PIXELS


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
        number = len(found.sectors.cutoff)
        directions = [{"direction_deg": 180.0 * i / number} for i in range(number)]
        values = [_decorrelation(found, jax.tree.map(lambda x, i=i: x[i], found.sectors)) for i in range(number)]
        result["sectors"] = [d | v for d, v in zip(directions, values, strict=True)]
    if found.rings is not None:
        resolutions = ring_resolutions(found)
        lengths = {name: _length(found, resolution) for name, resolution in resolutions.items()}
        if found.other is None:
            lengths = {name: of | {"reliable": _reliable(found, resolutions[name])} for name, of in lengths.items()}
        result["frc" if found.other is not None else "single_image_frc"] = lengths
    if found.rolling is not None:
        of = found.rolling
        numbers = {"mean": of.mean_nm, "best": of.best_nm, "worst": of.worst_nm}
        lengths = {f"{name}_{unit}": v for name, x in numbers.items() for unit, v in _units(found, x).items()}
        options = {"block": found.options.block, "skip": found.options.skip, "flavour": found.options.flavour}
        name = "rolling_frc" if found.other is not None else "single_image_rolling_frc"
        crossing = {"crossing": found.options.crossing}
        result[name] = {**lengths, "value": of.value, "missing": of.missing, **options, **crossing}
    if found.drift_px is not None:
        result["drift_px"] = list(found.drift_px)
    return result


def _reliable(found: Measurement, value: float) -> bool:
    """Of a single image."""
    return bool(value >= FINEST_PIXELS * found.pixel_size)


def _decorrelation(found: Measurement, of: Decorrelation) -> dict[str, Any]:
    resolution = 2.0 * found.pixel_size / float(of.cutoff) if of.cutoff > 0 else float("inf")
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
        for i in range(len(found.sectors.cutoff)):
            sector = jax.tree.map(lambda x, i=i: x[i], found.sectors)
            lines.append(f"  along {180 * i / len(found.sectors.cutoff):5.1f} deg        {_spoken(found, sector)}")
    if found.drift_px is not None:
        lines.append(f"drift that was undone    {found.drift_px[0]:.2f}, {found.drift_px[1]:.2f} px (y, x)")
    kind = "FRC" if found.other is not None else "single-image FRC"
    for name, value in ring_resolutions(found).items():
        text = f"{value:.1f} {unit}" if np.isfinite(value) else "no crossing of the threshold"
        if found.other is None and np.isfinite(value) and not _reliable(found, value):
            text += f" (not reliable: finer than {FINEST_PIXELS:g} pixels, which a split image cannot show)"
        lines.append(f"{kind + ', ' + name:24} {text}")
    if found.rolling is None and found.wanted_map:
        lines.append(f"rolling FRC              {NO_MAP.format(block=found.options.block)}")
    if found.rolling is not None:
        of, kind = found.rolling, "rolling FRC" if found.other is not None else "single-image rolling FRC"
        if np.isfinite(of.mean_nm):
            numbers = f"mean {of.mean_nm:.1f}, best {of.best_nm:.1f}, worst {of.worst_nm:.1f} {unit}"
            lines.append(f"{kind:24} {numbers}; rFRC value {of.value:.3f}; {100 * of.missing:.1f} % without a value")
        else:
            lines.append(f"{kind:24} no block has a value")
    return lines


def _spoken(found: Measurement, of: Decorrelation) -> str:
    # The coefficient of the mean is one of the spectrum's: alone it makes a peak at the first radius.
    if not of.cutoff > 1.5 / (RADII - 1):
        return f"no structure found (kc = {of.cutoff:.4f} of Nyquist, A0 = {of.amplitude:.3f})"
    resolution = 2.0 * found.pixel_size / float(of.cutoff)
    return f"{resolution:.1f} {found.unit} (kc = {of.cutoff:.4f} of Nyquist, A0 = {of.amplitude:.3f})"

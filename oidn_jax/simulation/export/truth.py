"""What is known of a simulated cell, as plain numbers for JSON."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from oidn_jax.optics.illumination import Illumination
from oidn_jax.simulation.settings import AcquisitionSettings

_GRID = (
    "raw pixel i covers SR pixels scale*i to scale*i + scale - 1; the centre of SR pixel j is at raw position "
    "(j + 1/2) / scale - 1/2. Programs that interpolate by padding the spectrum put SR pixel scale*i on raw pixel i, "
    "(scale - 1) / 2 SR pixels away"
)
_PHASE_ORIGIN = (
    "I = brightness (1 + modulation_depth cos(2 pi p.r + phase)), r from the centre of raw pixel (h//2, w//2)"
)


def describe_cell(settings: AcquisitionSettings, *, size: int, seed: int) -> dict[str, Any]:
    """What all levels of a cell share; `levels` is empty."""
    fields = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    plain = {name: dict(value) if isinstance(value, Mapping) else value for name, value in fields.items()}
    return {
        "simulated": True,
        "seed": seed,
        "size": size,
        "raw_pixel_size_nm": settings.pixel_size_nm,
        "sr_pixel_size_nm": settings.pixel_size_nm / settings.scale,
        "grid": _GRID,
        "pattern": _PHASE_ORIGIN,
        "otf_cutoff_cycles_per_pixel": settings.cutoff,
        "settings": plain,
        "levels": {},
    }


def describe_acquisition(illumination: Illumination, settings: AcquisitionSettings) -> dict[str, Any]:
    """The illumination of one acquisition: per orientation wave vector, period, angle, phases, depth, brightness."""
    vector = np.asarray(illumination.wave_vector, float)
    frequency = np.hypot(*vector.T)
    return {
        "wave_vector_yx_cycles_per_pixel": vector.tolist(),
        "period_nm": (settings.pixel_size_nm / frequency).tolist(),
        "angle_deg": np.rad2deg(np.arctan2(vector[:, 0], vector[:, 1])).tolist(),
        "phase_rad": np.asarray(illumination.phase, float).tolist(),
        "modulation_depth": np.asarray(illumination.modulation_depth, float).tolist(),
        "brightness": np.asarray(illumination.brightness, float).tolist(),
    }

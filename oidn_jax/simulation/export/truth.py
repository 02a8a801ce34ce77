"""What is known of a simulated cell, as plain numbers for JSON."""

from dataclasses import asdict
from typing import Any

import numpy as np

from oidn_jax.optics.microscope import Microscope
from oidn_jax.simulation.acquisitions import SimulatedAcquisition
from oidn_jax.simulation.settings import Simulation

_GRID = (
    "raw pixel i covers SR pixels scale*i to scale*i + scale - 1; the centre of SR pixel j is at raw position "
    "(j + 1/2) / scale - 1/2. Programs that interpolate by padding the spectrum put SR pixel scale*i on raw pixel i, "
    "(scale - 1) / 2 SR pixels away"
)
_PHASE_ORIGIN = (
    "I = brightness (1 + modulation_depth cos(2 pi p.r + phase)), r from the centre of raw pixel (h//2, w//2); of "
    "three beams with such a cosine for each of the `harmonics` of an orientation, which follow each other in the lists"
)
_MODEL = (
    "expected photo-electrons of frame n = photons_per_unit * max(bin[(Truth * I_n) convolved with the PSF] "
    "+ brightness_n * Background, 0); counts = gain * (Poisson + read noise) + offset. Truth is already moved by "
    "drift_sr_pixels; what lies beyond the field is not in the file. RawSIMData_gt: the same with "
    "bright_photons_per_unit. SIM_gt = target_counts_per_unit * max(target, 0)"
)


def describe_settings(simulation: Simulation) -> dict[str, Any]:
    """Every field of both sections."""
    return {"microscope": simulation.microscope.plain(), "simulation": asdict(simulation.settings)}


def describe_cell(simulation: Simulation, *, size: int, seed: int) -> dict[str, Any]:
    """What all levels of a cell share; `levels` is empty."""
    microscope = simulation.microscope
    return {
        "simulated": True,
        "seed": seed,
        "size": size,
        "raw_pixel_size_nm": microscope.pixel_size_nm,
        "sr_pixel_size_nm": microscope.fine_pixel_size_nm,
        "grid": _GRID,
        "pattern": _PHASE_ORIGIN,
        "model": _MODEL,
        "otf_cutoff_cycles_per_pixel": microscope.cutoff,
        "settings": describe_settings(simulation),
        "levels": {},
    }


def describe_acquisition(acquisition: SimulatedAcquisition, microscope: Microscope) -> dict[str, Any]:
    """Light and illumination of one acquisition, a number or a list for each wave, or each orientation."""
    illumination = acquisition.illumination
    vector = np.asarray(illumination.wave_vector, float)
    return {
        "photons_per_unit": float(acquisition.photons_per_unit),
        "harmonics": illumination.harmonics,
        "wave_vector_yx_cycles_per_pixel": vector.tolist(),
        "period_nm": (microscope.pixel_size_nm / np.hypot(*vector.T)).tolist(),
        "angle_deg": np.rad2deg(np.arctan2(vector[:, 0], vector[:, 1])).tolist(),
        "phase_rad": np.asarray(illumination.phase, float).tolist(),
        "modulation_depth": np.asarray(illumination.modulation_depth, float).tolist(),
        "brightness": np.asarray(illumination.brightness, float).tolist(),
    }

"""A noisy acquisition of bright spots whose truth is known, for tests of all that reconstructs."""

from functools import cache, partial

import jax
import numpy as np
import tifffile

from oidn_jax.optics.microscope import Microscope
from oidn_jax.simulation.acquisitions import simulate_acquisition
from oidn_jax.simulation.settings import Simulation, SimulationSettings

SIZE, PIXEL_NM = 64, 62.6
MICROSCOPE = Microscope(na=1.3, pixel_size_nm=PIXEL_NM, otf_damping=1.0)
_SETTINGS = SimulationSettings(
    specimen="ccps",
    density=(2.0, 3.0),
    illumination_na=1.1,
    background=(0.0, 0.0),
    phase_error_deg=0.0,
    modulation_depth=(0.8, 0.8),
    mean_photons=(400.0,),
    fluorescence={"high": (1,)},
)


@cache
def scene():
    """A `SimulatedAcquisition` on the host."""
    simulation = Simulation(_SETTINGS, MICROSCOPE)
    simulate = jax.jit(partial(simulate_acquisition, simulation=simulation, size=(SIZE, SIZE)))
    return jax.device_get(simulate(jax.random.key(3), 0))


def counts():
    """Its raw counts (frames, y, x)."""
    return np.moveaxis(scene().raw_frames, -1, 0).astype(np.uint16)


def write_frames(path, frames, *, pixel_size_nm=PIXEL_NM):
    """Raw counts ([time,] frames, y, x) as an ImageJ file."""
    metadata = {"axes": "TCYX"[4 - frames.ndim :], "unit": "um"}
    resolution = (1000 / pixel_size_nm,) * 2
    tifffile.imwrite(path, frames.astype(np.uint16), imagej=True, metadata=metadata, resolution=resolution)
    return path


def affine_psnr(image, target):
    """PSNR in dB after the best a * image + b, the border left out."""
    inside = np.s_[16:-16, 16:-16]
    a, b = image[inside].ravel(), target[inside].ravel()
    design = np.stack([a, np.ones_like(a)], axis=1)
    error = design @ np.linalg.lstsq(design, b, rcond=None)[0] - b
    return 10 * np.log10(np.ptp(b) ** 2 / np.mean(error**2))

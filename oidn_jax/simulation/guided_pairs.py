"""Training pairs of a guided network.

Guides of simulated frames, made by an illumination that is as wrong as a measured one, and what they should become,
both in the guides' unit.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array

from oidn_jax.classical.guides import foreground_mean, guides
from oidn_jax.models.guided import fold
from oidn_jax.optics.illumination import Illumination
from oidn_jax.simulation.acquisitions import SimulatedAcquisition, simulate_acquisitions
from oidn_jax.simulation.settings import Simulation

MARGIN = 16  # raw pixels around a patch that only its guides see
_PAD = 8  # and beyond them
_WITHOUT_STRIPES = 0.04  # share of acquisitions whose illumination was not found
_UNIT = 0.7  # the unit of an image is of its whole field, a patch has another: natural logarithm, up and down
# Errors of the estimate at 15 photons and more (docs/classical.md): a part that light does not mend, and one per
# sqrt(photons).
_VECTOR = (2e-4, 1e-3)  # cycles per raw pixel
_PHASE = (0.02, 0.4)  # radians
_DEPTH = (0.05, 0.5)  # relative
# What calibration leaves, photo-electrons: standard deviation of the camera's offset, and at most of its columns,
# of which half of the acquisitions have less than a quarter.
_OFFSET, _COLUMNS = 0.3, 1.5
PEAK = 2.0  # the loss of a field with hardly anything in focus is in units of twice its unit


def measured(key: Array, truth: Illumination, *, photons: Array) -> Illumination:
    """The illumination as the estimator would find it at this light; in `_WITHOUT_STRIPES` of the cases not at all."""
    waves, phases = truth.phase.shape
    missed, *normal = (
        jax.random.uniform(part, shape, minval=1e-6, maxval=1.0 - 1e-6)
        for part, shape in zip(jax.random.split(key, 4), ((), (waves, 2), (waves, phases), (waves,)), strict=True)
    )
    vector, phase, depth = map(ndtri, normal)
    root = jnp.sqrt(jnp.maximum(photons, 1.0))

    def error(sizes: tuple[float, float]) -> Array:
        return sizes[0] + sizes[1] / root

    shown = jnp.where(missed < _WITHOUT_STRIPES, 0.0, 1.0)
    return Illumination(
        wave_vector=shown * (truth.wave_vector + error(_VECTOR) * vector),
        phase=truth.phase + error(_PHASE) * phase,
        modulation_depth=jnp.clip(truth.modulation_depth * jnp.exp(error(_DEPTH) * depth), 0.05, 1.0),
        brightness=truth.brightness / truth.brightness.mean(),
    )


def simulate_guided_batch(
    key: Array, *, batch_size: int, simulation: Simulation, size: tuple[int, int]
) -> dict[str, Array]:
    """Guides and targets at a random signal level for each sample.

    Returns:
        `inputs` (b, h, w, channels), folded guides; `target` (b, scale*h, scale*w, 1), in the guides' unit, of which
        the expected photons of the frames are the blurred image; `peak` (b, 1, 1, 1), by which the loss divides both.
    """
    level_key, scene_key, error_key = jax.random.split(key, 3)
    levels = jax.random.randint(level_key, (batch_size,), 0, len(simulation.settings.mean_photons))
    around = (size[0] + 2 * MARGIN, size[1] + 2 * MARGIN)
    acquisitions = simulate_acquisitions(scene_key, levels, simulation=simulation, size=around)
    return jax.vmap(lambda k, acquisition: _pair(k, acquisition, simulation))(
        jax.random.split(error_key, batch_size), acquisitions
    )


def _pair(key: Array, acquisition: SimulatedAcquisition, simulation: Simulation) -> dict[str, Array]:
    camera, scale = simulation.settings.camera, simulation.microscope.scale
    error_key, unit_key, offset_key, columns_key = jax.random.split(key, 4)
    light = (jnp.moveaxis(acquisition.raw_frames, -1, 0) - camera.offset) / camera.gain
    columns = jax.random.normal(columns_key, (1 + light.shape[2],))
    fixed = _COLUMNS * ndtr(columns[0]) ** 2 * columns[1:]
    light = light + _OFFSET * jax.random.normal(offset_key) + fixed[None, None]
    illumination = measured(error_key, acquisition.illumination, photons=foreground_mean(light.mean(0)))
    unit = foreground_mean(light.mean(0)) * jnp.exp(jax.random.uniform(unit_key, minval=-_UNIT, maxval=_UNIT))
    given = guides(light, illumination, simulation.microscope.otf(), scale=scale, unit=unit, pad=_PAD)
    per_unit = acquisition.photons_per_unit * acquisition.illumination.brightness.mean() / unit
    target = _inside(acquisition.target * per_unit, scale * MARGIN)
    return {
        "inputs": _inside(fold(given.images, given.conditions, scale=scale), MARGIN),
        "target": target,
        "peak": jnp.maximum(target.max(), PEAK)[None, None, None],
    }


def _inside(image: Array, margin: int) -> Array:
    return image[margin:-margin, margin:-margin]

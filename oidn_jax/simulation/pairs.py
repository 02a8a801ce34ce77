"""Normalised training pairs from simulated acquisitions."""

import jax
from jaxtyping import Array, Int

from oidn_jax.data.normalisation import fit_min_max
from oidn_jax.simulation.acquisitions import simulate_acquisitions
from oidn_jax.simulation.settings import Simulation


def simulate_pairs(
    key: Array,
    levels: Int[Array, "b"],
    *,
    simulation: Simulation,
    size: tuple[int, int],
    normalisation: str,
) -> dict[str, Array]:
    """`inputs` (b, h, w, frames) and `target` (b, scale*h, scale*w, 1), each acquisition min-max normalised.

    Keys and levels as in `simulate_acquisitions`.
    """
    acquisitions = simulate_acquisitions(key, levels, simulation=simulation, size=size)
    raw_frames, target = acquisitions.raw_frames, acquisitions.target
    return {
        "inputs": fit_min_max(raw_frames, mode=normalisation).apply(raw_frames),
        "target": fit_min_max(target).apply(target),
    }


def simulate_training_batch(
    key: Array, *, batch_size: int, simulation: Simulation, size: tuple[int, int], normalisation: str
) -> dict[str, Array]:
    """`simulate_pairs` at a random signal level for each sample."""
    level_key, scene_key = jax.random.split(key)
    levels = jax.random.randint(level_key, (batch_size,), 0, len(simulation.settings.mean_photons))
    return simulate_pairs(scene_key, levels, simulation=simulation, size=size, normalisation=normalisation)

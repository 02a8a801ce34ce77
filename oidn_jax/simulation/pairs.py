"""Normalised training pairs from simulated acquisitions."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from oidn_jax.errors import InputError
from oidn_jax.data.normalisation import fit_min_max
from oidn_jax.simulation.acquisition import Acquisition, simulate_acquisition
from oidn_jax.simulation.settings import AcquisitionSettings


def settings_from_config(section: Any) -> AcquisitionSettings:
    """The `simulation` section of a configuration as settings.

    Raises:
        InputError: for a field that is missing, unknown or not legal.
    """
    fields = dict(section)
    try:
        # A ConfigDict sorts by name; here and in every table the weakest comes first.
        levels = sorted((tuple(numbers), name) for name, numbers in dict(fields["fluorescence"]).items())
        fields["fluorescence"] = {name: numbers for numbers, name in levels}
        return AcquisitionSettings(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"config.simulation: {error}") from error


def simulate_acquisitions(
    key: Array, levels: Int[Array, "b"], *, settings: AcquisitionSettings, size: tuple[int, int]
) -> Acquisition:
    """A batch of acquisitions, sample i drawn from `fold_in(key, i)`: the same scenes at every level and batch size.

    Levels are indices into `settings.mean_photons`.
    """
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(levels.shape[0]))
    return jax.vmap(lambda k, level: simulate_acquisition(k, level, settings=settings, size=size))(keys, levels)


def simulate_pairs(
    key: Array,
    levels: Int[Array, "b"],
    *,
    settings: AcquisitionSettings,
    size: tuple[int, int],
    normalisation: str,
) -> dict[str, Array]:
    """`raw_frames` (b, h, w, frames) and `target` (b, scale*h, scale*w, 1), each acquisition min-max normalised.

    Keys and levels as in `simulate_acquisitions`.
    """
    acquisitions = simulate_acquisitions(key, levels, settings=settings, size=size)
    raw_frames, target = acquisitions.raw_frames, acquisitions.target
    return {
        "raw_frames": fit_min_max(raw_frames, mode=normalisation).apply(raw_frames),
        "target": fit_min_max(target).apply(target),
    }


def simulate_training_batch(
    key: Array, *, batch_size: int, settings: AcquisitionSettings, size: tuple[int, int], normalisation: str
) -> dict[str, Array]:
    """`simulate_pairs` at a random signal level for each sample."""
    level_key, scene_key = jax.random.split(key)
    levels = jax.random.randint(level_key, (batch_size,), 0, len(settings.mean_photons))
    return simulate_pairs(scene_key, levels, settings=settings, size=size, normalisation=normalisation)

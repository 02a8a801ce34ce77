"""What `evaluate.py` makes of its flags: configurations of several specimens, networks by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.command_line import load_config
from configs.variants import CHANNELS, SIZES
from oidn_jax.errors import InputError

SPECIMENS = ("f_actin", "microtubules", "ccps", "er")
# What the other specimens take from the configuration that is given; of `simulation` only what was changed.
_SHARED = ("optics", "frames", "evaluation", "data")


def specimen_configs(config: Any, specimens: Sequence[str]) -> dict[str, Any]:
    """The configuration for each specimen: the given one for its own, `configs/SPECIMEN.py` for the others.

    The others are of the same variant and have the same microscope, scenes and seeds.

    Args:
        config: of `--config`.
        specimens: names; none for that of the configuration alone.

    Raises:
        InputError: a specimen that does not exist, or twice.
    """
    own = config.simulation.specimen
    unknown = [name for name in specimens if name not in SPECIMENS]
    if unknown or len(set(specimens)) < len(specimens):
        raise InputError(f"specimens are {', '.join(specimens)!r}; give some of {', '.join(SPECIMENS)}, each once")
    words = config.name.partition(":")[2].split(",")
    variant = ",".join(word for word in words if word in (*SIZES, *CHANNELS))
    changed = _changed_simulation(config, variant)
    found = {}
    for name in specimens or [own]:
        if name == own:
            found[name] = config
            continue
        other = _load(name, variant)
        for section in _SHARED:
            other[section].update(dict(config[section].items()))  # values, where the sections hold references
        other.simulation.update(changed)
        found[name] = other
    return found


def _load(specimen: str, variant: str) -> Any:
    return load_config(f"configs/{specimen}.py:{variant}" if variant else f"configs/{specimen}.py")


def _changed_simulation(config: Any, variant: str) -> dict[str, Any]:
    """What was changed, as by `--config.simulation.read_noise=3`, and so is meant for all specimens."""
    own = config.simulation.specimen
    if own not in SPECIMENS:
        return {}
    usual = _load(own, variant).simulation
    return {name: value for name, value in config.simulation.items() if value != usual[name] and name != "specimen"}


def load_networks(workdirs: Sequence[str], config: Any, *, checkpoint: str | None) -> dict[str, Any]:
    """The networks by the name of their method.

    A single one must be that of the configuration; several need only take its frames.

    Raises:
        InputError: see `training.checkpoint.load_model`, `evaluation.methods.name_networks` and `check_fits`.
    """
    from oidn_jax.evaluation.methods import check_fits, name_networks
    from oidn_jax.training.checkpoint import load_model

    named = name_networks(workdirs)
    expect = config if len(named) == 1 else None
    models = {name: load_model(Path(folder), checkpoint=checkpoint, expect=expect) for name, folder in named.items()}
    for name, model in models.items():
        check_fits(model, config, name=name)
    return models

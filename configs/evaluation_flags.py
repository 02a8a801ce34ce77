"""What `evaluate.py` makes of its flags: configurations of several specimens, networks by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.command_line import load_config
from configs.variants import CHANNELS, SIZES
from oidn_jax.data.errors import InputError

SPECIMENS = ("f_actin", "microtubules", "ccps", "er")
# What the other specimens take from the configuration that is given; of `simulation` each has its own.
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
    found = {}
    for name in specimens or [own]:
        if name == own:
            found[name] = config
            continue
        other = load_config(f"configs/{name}.py:{variant}" if variant else f"configs/{name}.py")
        for section in _SHARED:
            other[section].update(dict(config[section].items()))  # values, where the sections hold references
        other.simulation.excitation_wavelength_nm = config.simulation.excitation_wavelength_nm
        found[name] = other
    return found


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

"""What the specimens' configurations share: the variants `paper` and `quick`, and the colour channels.

A variant is one of them, a channel, or both: `configs/er.py`, `configs/er.py:quick`, `configs/er.py:quick,560`.
"""

from typing import Any

from configs import default

# Excitation and emission in nm: the lasers of the microscope that recorded BioSR, and the usual emission bands.
CHANNELS = {"488": 525.0, "560": 607.0, "647": 680.0}
SIZES = ("paper", "quick")


def specimen_config(specimen: str, variant: str, simulation: dict[str, Any], *, quick_steps: int = 500) -> Any:
    """The configuration of a specimen in a variant.

    Args:
        specimen: its name, that of the file.
        variant: as this module says.
        simulation: what the specimen changes in the `simulation` section.
        quick_steps: of the quick variant.

    Raises:
        ValueError: for another variant.
    """
    words = variant.split(",")
    sizes, channels = [word for word in words if word in SIZES], [word for word in words if word in CHANNELS]
    if len(sizes) > 1 or len(channels) > 1 or len(sizes) + len(channels) != len(words):
        legal = f"{' or '.join(SIZES)}, a channel ({', '.join(CHANNELS)}), or both, as quick,560"
        raise ValueError(f"configs/{specimen}.py has no variant {variant!r}; legal: {legal}")
    size = sizes[0] if sizes else "paper"
    config = default.get_config()
    config.name = ":".join([specimen, ",".join([size, *channels])])
    config.simulation.update(simulation, specimen=specimen)
    for channel in channels:
        config.optics.emission_wavelength_nm = CHANNELS[channel]
        config.simulation.excitation_wavelength_nm = float(channel)
    if size == "quick":
        _make_quick(config, steps=quick_steps)
    return config


def _make_quick(config: Any, *, steps: int) -> None:
    """A small network (docs/benchmarks.md has its time and scores) that learns on a laptop."""
    config.model.update(width=16, groups=2, blocks=2)
    config.train.update(
        steps=steps,
        patch=64,
        learning_rate=2e-3,
        schedule="cosine",
        warmup_steps=50,
        clip_norm=1.0,
        ema_decay=0.98,
        log_every=20,
        evaluate_every=125,
        checkpoint_every=125,
    )
    config.evaluation.update(scenes=6)

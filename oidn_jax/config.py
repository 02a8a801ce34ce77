"""Configurations: a ConfigDict while it is written and changed, frozen dataclasses once it is used.

A ConfigDict is typed Any here: its fields are known when it runs only.

Every default stands in the dataclass that uses it; `default_config` collects them. An experiment is a function
`get_config(variant)` over it, in a file of its own (`configs/`), or simply the name of a specimen or network.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from ml_collections import ConfigDict

from oidn_jax.data.otf_file import read_radial_otf
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.evaluation.settings import EvaluationSettings
from oidn_jax.models.networks import build_network, default_fields, has_error, has_psf
from oidn_jax.optics.microscope import MeasuredOtf, Microscope
from oidn_jax.optics.noise import Camera
from oidn_jax.simulation.settings import Simulation, SimulationSettings
from oidn_jax.simulation.specimens import SPECIMENS
from oidn_jax.training.checkpoint import plain
from oidn_jax.training.settings import (
    DataSettings,
    DistributedSettings,
    LossSettings,
    TrainingRun,
    TrainSettings,
    VarietySettings,
)

# Excitation and emission in nm: the lasers of the microscope that recorded BioSR, and the usual emission bands.
CHANNELS = {"488": 525.0, "560": 607.0, "647": 680.0}
SIZES = ("paper", "quick")
LEVELS = "biosr"  # photons as the laboratory that recorded BioSR counts and tests them, and its camera
_BIOSR_PHOTONS, _BIOSR_READ_NOISE = (10.0, 25.0, 60.0, 150.0, 300.0, 600.0), 6.0
# Fields of the networks that a laptop trains in minutes.
_SMALL = {
    "oidn": {"width": 16, "groups": 2, "blocks": 2},
    "guided": {"widths": (16, 32, 64)},
    "dfcan": {"width": 16, "groups": 2, "blocks": 2},
    "apcan": {"width": 16, "groups": 2, "blocks": 2},
    "rcan": {"width": 16, "groups": 2, "blocks": 2},
}
_ERROR_WEIGHT = 0.01  # of a head of its own, which no other term moves

# The experiments are in the package where it is installed, and beside it in a checkout only: what stands beside an
# installed package is somebody else's.
_SHIPPED, _IN_CHECKOUT = (folder / "configs" for folder in (Path(__file__).parent, Path(__file__).parents[1]))
_EXPERIMENTS = _SHIPPED if _SHIPPED.is_dir() else _IN_CHECKOUT

Section = TypeVar("Section")


def default_config() -> Any:
    """Every setting there is, with the published values; locked, so that a mistyped field is an error."""
    microscope = asdict(Microscope())
    microscope.pop("measured_otf")
    return ConfigDict(
        {
            "name": "default",
            "seed": 0,
            # `otf_file`: a measured radial OTF, a Priism file, in place of the theoretical one.
            "microscope": {**microscope, "otf_file": ""},
            "model": {"name": "oidn", **default_fields("oidn")},
            "simulation": asdict(SimulationSettings()),
            "data": asdict(DataSettings()),
            "variety": asdict(VarietySettings()),
            "loss": asdict(LossSettings()),
            "train": asdict(TrainSettings()),
            "evaluation": asdict(EvaluationSettings()),
            "distributed": asdict(DistributedSettings()),
        }
    ).lock()


def use_network(config: Any, name: str) -> None:
    """Puts another network, with its own fields, in the place of the configuration's; a small one into a quick one.

    Loss terms that are of a PSF get the weight 0 where the network has none, and one that expects its errors learns to.
    """
    try:
        fields = default_fields(name)
    except IllegalValue as error:
        raise error.within("model") from error
    chosen = {"name": name, **fields, **(_SMALL.get(name, {}) if _is_quick(config.name) else {})}
    with config.unlocked():
        config.model = ConfigDict(chosen)
    if not has_psf(chosen):
        config.loss.weights.update({term: 0.0 for term in config.loss.weights if term.startswith("psf")})
    config.loss.weights.error = _ERROR_WEIGHT if has_error(chosen) else 0.0


def _is_quick(name: str) -> bool:
    """Whether a configuration of this name, as f_actin:quick,560, is of the small size."""
    return "quick" in name.partition(":")[2].split(",")


def specimen_config(specimen: str, variant: str = "paper") -> Any:
    """The published network on a simulated specimen.

    Args:
        specimen: its name, of `simulation.specimens`.
        variant: a size, `paper` (the published setting) or `quick` (a small network that learns on a laptop in
            minutes); a channel, `488`, `560` or `647`; `biosr`, the signal levels from 10 to 600 photons as the
            laboratory that recorded BioSR counts them, at a read noise of 6 electrons; or some of these, as
            `quick,560`.

    Raises:
        IllegalValue: for another specimen or variant.
    """
    if specimen not in SPECIMENS:
        raise IllegalValue("specimen", specimen, f"legal: {', '.join(SPECIMENS)}")
    words = variant.split(",")
    sizes, channels = [word for word in words if word in SIZES], [word for word in words if word in CHANNELS]
    levels = [word for word in words if word == LEVELS]
    if max(map(len, (sizes, channels, levels))) > 1 or len(sizes) + len(channels) + len(levels) != len(words):
        legal = f"legal: {' or '.join(SIZES)}, a channel ({', '.join(CHANNELS)}), {LEVELS}, or some, as quick,560"
        raise IllegalValue("variant", variant, legal)
    size = sizes[0] if sizes else "paper"
    config = default_config()
    config.name = ":".join([specimen, ",".join([size, *channels, *levels])])
    config.simulation.specimen = specimen
    _update(config.simulation, SPECIMENS[specimen].defaults)
    for channel in channels:
        config.microscope.emission_wavelength_nm = CHANNELS[channel]
        config.simulation.excitation_wavelength_nm = float(channel)
    if levels:
        _use_biosr_levels(config)
    if size == "quick":
        make_quick(config, steps=SPECIMENS[specimen].quick_steps)
    return config


def _use_biosr_levels(config: Any) -> None:
    """Each level is a group of its own, named by its photons."""
    groups = {f"{photons:g}": (number,) for number, photons in enumerate(_BIOSR_PHOTONS, start=1)}
    changes = {"mean_photons": _BIOSR_PHOTONS, "foreground": "biosr", "fluorescence": groups}
    _update(config.simulation, changes)
    config.simulation.camera.read_noise = _BIOSR_READ_NOISE


def _update(section: Any, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        with section.unlocked():
            section[name] = ConfigDict(dict(value)) if isinstance(value, Mapping) else value


def make_quick(config: Any, *, steps: int) -> None:
    """A small network (docs/benchmarks.md has its time and scores) that learns on a laptop."""
    config.model.update(_SMALL.get(config.model.name, {}))
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


def experiment_names() -> list[str]:
    """The experiments that come with the package, and the specimens."""
    return sorted({path.stem for path in _EXPERIMENTS.glob("*.py") if path.stem != "__init__"} | set(SPECIMENS))


def load_config(name: str) -> Any:
    """The configuration of `NAME[:VARIANT]` or `FILE[:VARIANT]`.

    A NAME is an experiment that comes with the package or a specimen, and is never looked for in the current folder. A
    FILE ends in .py; it is a program, which is run.

    Raises:
        InputError: an unknown name or variant, a file that is missing or no configuration.
    """
    experiment, _, variant = name.partition(":")
    is_file = experiment.endswith(".py")
    path = Path(experiment) if is_file else _EXPERIMENTS / f"{experiment}.py"
    try:
        if path.is_file():
            spec = importlib.util.spec_from_file_location("configuration", path)
            assert spec is not None, "the name ends in .py"
            assert spec.loader is not None, "the same"
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            config = module.get_config(variant) if variant else module.get_config()
            if not isinstance(config, ConfigDict):
                raise TypeError("get_config does not return a ConfigDict")
            return config
        if not is_file and experiment in SPECIMENS:
            return specimen_config(experiment, variant or "paper")
    except Exception as error:  # whatever a user's file does wrong
        # What a specimen calls `variant` is part of the name here, and no setting.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip().replace("`", "")
        raise InputError(f"`config` is {name!r}, which cannot be loaded: {reason}") from error
    known = ", ".join(experiment_names())
    legal = f"give a file FILE.py[:VARIANT] that exists, or one of {known}, as f_actin:quick"
    raise IllegalValue("config", name, legal)


@dataclass(frozen=True)
class Experiment:
    """A configuration as values.

    Attributes:
        run: what decides the training.
        evaluation: held-out scenes and what is shown of them.
        distributed: the hosts that train together.
    """

    run: TrainingRun
    evaluation: EvaluationSettings
    distributed: DistributedSettings


def experiment_of(config: Any) -> Experiment:
    """The values of a configuration.

    Raises:
        IllegalValue: naming the field, as `train.patch`, that is not legal or not of its type.
    """
    check_sections(config)
    model, microscope = dict(_tuples(config.model)), microscope_of(config)
    try:
        build_network(model, microscope)
    except IllegalValue as error:
        raise error.within("model") from error
    simulation = Simulation(simulation_settings(config), microscope)
    run = TrainingRun(
        name=config.name,
        seed=config.seed,
        model=model,
        simulation=simulation,
        simulations=_simulations(config, simulation),
        data=_section(DataSettings, config, "data"),
        loss=_section(LossSettings, config, "loss"),
        train=_section(TrainSettings, config, "train"),
        configuration=plain(config.to_dict()),
    )
    return Experiment(
        run,
        evaluation=_section(EvaluationSettings, config, "evaluation"),
        distributed=_section(DistributedSettings, config, "distributed"),
    )


def _simulations(config: Any, own: Simulation) -> tuple[Simulation, ...]:
    """Every specimen of the `variety` section under every microscope of it."""
    variety = _section(VarietySettings, config, "variety")
    for name in variety.specimens:
        if name not in SPECIMENS:
            raise IllegalValue("variety.specimens", name, f"legal: {', '.join(SPECIMENS)}")
    simulations: list[Simulation] = []
    for number, changes in enumerate(variety.microscopes or ({},)):
        changed = config.copy_and_resolve_references()
        try:
            changed.update_from_flattened_dict(changes)
            settings, microscope = simulation_settings(changed), microscope_of(changed)
            names = variety.specimens or (own.specimen.name,)
            simulations += [
                Simulation(settings.for_specimen(name, given=_fields(changes)), microscope) for name in names
            ]
        except (AttributeError, KeyError, TypeError) as error:
            legal = "it must have fields of the configuration, as microscope.pixel_size_nm, with values of their types"
            raise IllegalValue(f"variety.microscopes[{number}]", dict(changes), f"{legal} ({error})") from error
        except IllegalValue as error:
            reason = f"there {error.field} is {error.value!r}; {error.legal}"
            raise IllegalValue(f"variety.microscopes[{number}]", dict(changes), reason) from error
    return tuple(simulations)


def _fields(changes: Mapping[str, Any]) -> list[str]:
    """Those of the simulation that changes name."""
    return [name.removeprefix("simulation.") for name in changes if name.startswith("simulation.")]


def microscope_of(config: Any) -> Microscope:
    """The microscope of a configuration, its measured OTF read.

    Raises:
        InputError: numbers that no microscope has; an OTF that cannot be read.
    """
    check_sections(config)
    values = _tuples(config.microscope)
    otf_file = values.pop("otf_file", "")
    measured = measured_otf(otf_file) if otf_file else None
    return _built(Microscope, values | {"measured_otf": measured}, "microscope")


def measured_otf(path: str | Path) -> MeasuredOtf:
    """The measured radial OTF of a Priism file.

    Raises:
        InputError: see `data.otf_file.read_radial_otf`.
    """
    otf = read_radial_otf(path)
    return MeasuredOtf(tuple(otf.values.tolist()), float(otf.frequency_per_um[1]), otf.source.name)


def simulation_settings(config: Any) -> SimulationSettings:
    """The `simulation` section of a configuration.

    Raises:
        IllegalValue: naming the field.
    """
    check_sections(config)
    values = _tuples(config.simulation)
    camera = _built(Camera, values.pop("camera", {}), "simulation.camera")
    return _built(SimulationSettings, values | {"camera": camera}, "simulation")


def check_sections(config: Any) -> None:
    """Refuses a configuration that lacks a section, or has one that nobody reads.

    Raises:
        InputError: naming both.
    """
    names, given = set(default_config()), set(config)
    if names != given:
        missing, unknown = (", ".join(sorted(some)) or "none" for some in (names - given, given - names))
        raise InputError(
            f"the configuration must have exactly the sections {', '.join(sorted(names))} (missing: {missing}; "
            f"unknown: {unknown}); begin it with default_config() of oidn_jax.config"
        )


def _section(kind: type[Section], config: Any, name: str) -> Section:
    return _built(kind, _tuples(config[name]), name)


def _built(kind: type[Section], values: Any, name: str) -> Section:
    """The dataclass of a section; its field names and its values are checked."""
    known = {field.name for field in fields(kind)}  # pyright: ignore[reportArgumentType]
    if not isinstance(values, dict) or not set(values) <= known:
        unknown = ", ".join(sorted(set(values) - known)) if isinstance(values, dict) else repr(values)
        raise InputError(
            f"the section {name!r} of the configuration has no field {unknown}; {', '.join(sorted(known))}"
        )
    try:
        return kind(**values)
    except IllegalValue as error:
        raise error.within(name) from error
    except TypeError as error:  # of a comparison, as of a text with 0
        raise InputError(f"the section {name!r} of the configuration has a value of a wrong type: {error}") from error


def _tuples(value: Any) -> Any:
    """Sections as dicts; sequences as tuples, which frozen dataclasses and linen modules need."""
    if isinstance(value, Mapping | ConfigDict):
        return {name: _tuples(member) for name, member in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value

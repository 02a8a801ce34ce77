"""Training runs of version 0.1.0, whose configurations had other sections and whose checkpoints held no weights."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

from oidn_jax.errors import InputError
from oidn_jax.models.networks import default_fields
from oidn_jax.models.trained import TrainedModel
from oidn_jax.models.weights import KINDS, newest_step
from oidn_jax.optics.microscope import Microscope
from oidn_jax.training.settings import DataSettings

_MICROSCOPE = ("na", "emission_wavelength_nm", "pixel_size_nm", "orientations", "phases", "scale")
_DATA = json.loads(json.dumps(asdict(DataSettings())))
_OTF = ("otf_damping", "integrate_pixel")
_CAMERA = ("gain", "offset", "read_noise", "saturation")


def upgraded_configuration(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration in today's sections and fields; one of today is returned as it is."""
    if "microscope" in config:
        usual, given = default_fields(config["model"]["name"]), config["model"]
        # Fields that there are since then: the default is what was computed before.
        upgraded = {**config, "model": {**usual, **given}}
        if "data" in config:  # without it a record is damaged, which its reader says
            upgraded["data"] = {**_DATA, **config["data"]}
        return config if upgraded == config else upgraded
    optics = {**config["optics"], **config["frames"]}
    simulation = dict(config["simulation"])
    microscope = {name: optics[name] for name in _MICROSCOPE}
    microscope |= {name: simulation.pop(name) for name in _OTF} | {"otf_file": ""}
    simulation["camera"] = {name: simulation.pop(name) for name in _CAMERA}
    model = {"name": "oidn", **config["model"]}
    for name in _MICROSCOPE:
        simulation.pop(name, None)
        model.pop(name, None)
    kept = {name: config[name] for name in config if name not in ("optics", "frames", "simulation", "model", "data")}
    data = {"normalisation": config["data"]["normalisation"]}
    return upgraded_configuration(
        {**kept, "microscope": microscope, "model": model, "simulation": simulation, "data": data}
    )


def load_old_workdir(workdir: str | Path, *, checkpoint: str | None = None) -> TrainedModel:
    """The trained model of a run of version 0.1.0, with its moving-average weights if it has them.

    Raises:
        InputError: if there is no such checkpoint, or it is damaged.
    """
    workdir = Path(workdir)
    for kind in (checkpoint,) if checkpoint else KINDS:
        step = newest_step(workdir, kind)
        if step is None:
            continue
        try:
            return _read(step)
        except Exception as error:  # orbax and tensorstore name a missing or cut file in many ways
            raise InputError(f"the {kind} checkpoint of {workdir} (step {step.name}) is damaged") from error
    raise InputError(f"{workdir} holds no checkpoint; give the workdir of a training run")


def _read(step: Path) -> TrainedModel:
    options = ocp.CheckpointManagerOptions(read_only=True)
    with ocp.CheckpointManager(step.parent.absolute(), options=options) as manager:
        record = manager.restore(int(step.name), args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]
    if "microscope" in record["config"]:
        raise ValueError("it is of today, but its model is missing")
    with ocp.PyTreeCheckpointer() as checkpointer:
        state = checkpointer.restore(step.absolute() / "state")
    config = upgraded_configuration(record["config"])
    return TrainedModel(
        fields=config["model"],
        params=_arrays(state["ema_params"] or state["params"]),
        microscope=Microscope(**{name: config["microscope"][name] for name in _MICROSCOPE + _OTF}),
        normalisation=config["data"]["normalisation"],
        patch=config["train"]["patch"],
        origin={
            "version": record["version"],
            "name": config["name"],
            "specimen": config["simulation"]["specimen"],
            "seed": config["seed"],
            "step": record["step"],
            "scores": record["scores"],
            "checkpoint": step.parent.name,
        },
        configuration=config,
    )


def _arrays(tree: Any) -> Any:
    return {name: _arrays(value) if isinstance(value, Mapping) else np.asarray(value) for name, value in tree.items()}

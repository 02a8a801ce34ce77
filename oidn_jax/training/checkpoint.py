"""Checkpoints: the one place that knows orbax.

A workdir holds `checkpoints/last` (to resume from) and `checkpoints/best` (highest validation SSIM), each with one
checkpoint of three items: `state`, the whole training state; `record`, a JSON with the configuration, the version and
the scores; and `model`, the trained model by itself (`models.weights`), which all but a resumed run reads. orbax writes
to a temporary folder and renames it, so an unfinished checkpoint is never seen.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore

from oidn_jax.errors import InputError
from oidn_jax.models.trained import TrainedModel
from oidn_jax.models.weights import KINDS, newest_step, write_model
from oidn_jax.training import parallel
from oidn_jax.training.old_workdir import upgraded_configuration
from oidn_jax.training.settings import TrainingRun
from oidn_jax.training.state import TrainState
from oidn_jax.version import __version__

# Fields of networks that change how they are computed, not what.
COMPUTATION_FIELDS = ("model.dtype", "model.remat")


class _ModelHandler(ocp.CheckpointHandler):
    """Writes a trained model as an item of a checkpoint, complete or not at all like the others."""

    def save(self, directory: Any, args: "_SaveModel") -> None:
        if parallel.is_main_process():
            write_model(Path(directory), args.model)

    def restore(self, directory: Any, args: Any = None) -> None:
        raise ValueError("models.weights reads models")


@ocp.args.register_with_handler(_ModelHandler, for_save=True, for_restore=True)
@dataclass
class _SaveModel(ocp.args.CheckpointArgs):
    model: TrainedModel


def trained_model(
    run: TrainingRun, params: Any, *, step: int, scores: Mapping[str, float], simulated: bool = True
) -> TrainedModel:
    """What a run has come to, by itself; of data that were given instead of simulated the specimen is not known."""
    known = {}
    if simulated:
        known["specimen"] = ", ".join(dict.fromkeys(each.specimen.name for each in run.simulations))
        known["range"] = {name: list(limits) for name, limits in run.range._asdict().items()}
    return TrainedModel(
        fields=run.model,
        params=jax.device_get(params),
        microscope=run.microscope,
        normalisation=run.data.normalisation,
        patch=run.train.patch,
        origin={
            "version": __version__,
            "name": run.name,
            "data": "simulated" if simulated else "given",
            **known,
            "seed": run.seed,
            "step": step,
            "scores": dict(scores),
        },
        configuration=run.configuration,
    )


def _folder(workdir: Path, kind: str) -> Path:
    return workdir.absolute() / "checkpoints" / kind


def _reader(workdir: Path, kind: str) -> ocp.CheckpointManager:
    """A manager that only reads, and on which this process does not wait for the others."""
    this_process = parallel.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=this_process, active_processes={this_process}, barrier_sync_key_prefix=f"read_{this_process}"
    )
    options = ocp.CheckpointManagerOptions(read_only=True, multiprocessing_options=alone)
    return ocp.CheckpointManager(_folder(workdir, kind), options=options)


class Checkpoints:
    """Writes the last and the best checkpoint of a workdir; use as a context manager."""

    def __init__(self, workdir: Path, run: TrainingRun, *, simulated: bool = True) -> None:
        """Opens the workdir, creating it if needed; `simulated` is for the origin of the weights (`trained_model`).

        Raises:
            InputError: if it cannot be written.
        """
        # Not asynchronous: two managers that write at once wait for each other's barriers when there are several hosts,
        # and 40 MB take a fraction of a second.
        options = ocp.CheckpointManagerOptions(max_to_keep=1, create=True, enable_async_checkpointing=False)
        self._run, self._simulated = run, simulated
        try:
            self._managers = {kind: ocp.CheckpointManager(_folder(workdir, kind), options=options) for kind in KINDS}
        except OSError as error:
            raise InputError(f"cannot write to the workdir {workdir}: {error.strerror or error}") from error

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: Any) -> None:
        for manager in self._managers.values():
            manager.close()

    def forget_after(self, step: int) -> float:
        """Delete the checkpoints of later steps, which a run that was killed has left; the best SSIM of what remains.

        orbax saves no step before its latest, so a stale best checkpoint would keep the new ones out.
        """
        for manager in self._managers.values():
            for later in [s for s in manager.all_steps() if s > step]:
                manager.delete(later)
        best = self._managers["best"].latest_step()
        if best is None:
            return float("-inf")
        record = self._managers["best"].restore(best, args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]
        return record["scores"]["ssim"]

    def save(self, kind: str, state: TrainState, *, scores: Mapping[str, float]) -> None:
        """Save a state; a checkpoint of the same step is already the same and is kept.

        All processes call this. The state is saved from the host's copy, so a checkpoint knows nothing of the devices
        and hosts it was trained on.
        """
        step = int(state.step)
        if self._managers[kind].latest_step() == step:
            return
        state = jax.device_get(state)
        record = {
            "version": __version__,
            "step": step,
            "config": self._run.configuration,
            "scores": dict(scores),
            "shapes": _shapes(state),
        }
        model = trained_model(self._run, state.evaluation_params, step=step, scores=scores, simulated=self._simulated)
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            record=ocp.args.JsonSave(record),
            model=_SaveModel(model),
        )
        self._managers[kind].save(step, args=items)


def read_record(workdir: Path, kind: str) -> dict[str, Any] | None:
    """The record of the newest complete checkpoint of that kind, or None.

    Raises:
        InputError: if the checkpoint is damaged.
    """
    step = newest_step(workdir, kind)
    if step is None:
        return None
    try:
        with _reader(workdir, kind) as manager:
            record = manager.restore(int(step.name), args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]
    except (KeyError, ValueError, OSError) as error:
        raise _damaged(workdir, kind, int(step.name)) from error
    return {**record, "config": upgraded_configuration(record["config"])}


def _damaged(workdir: Path, kind: str, step: int) -> InputError:
    return InputError(
        f"the {kind} checkpoint (step {step}) in {workdir} is damaged; remove {_folder(workdir, kind)} or use another "
        "`workdir`"
    )


def read_state(workdir: Path, kind: str, *, like: TrainState) -> TrainState:
    """The state of the newest checkpoint of that kind, as numpy arrays.

    Args:
        workdir: with a checkpoint of that kind.
        kind: "best" or "last".
        like: a state of the same structure and shapes; `jax.ShapeDtypeStruct` leaves are enough.

    Raises:
        InputError: if the checkpoint is damaged, or of another structure.
    """
    record = read_record(workdir, kind)
    if record is None:
        raise InputError(f"{workdir} holds no {kind} checkpoint")
    if record["shapes"] != _shapes(like):
        raise InputError(
            f"the {kind} checkpoint (step {record['step']}) in {workdir} does not fit this configuration: its state "
            "has another structure (`train.ema_decay` and `train.clip_norm` switch parts of it on); use another "
            "`workdir` or the configuration it was trained with"
        )
    like = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), like)
    with _reader(workdir, kind) as manager:
        try:
            _read_all_values(_folder(workdir, kind) / str(record["step"]) / "state")
            items = manager.restore(record["step"], args=ocp.args.Composite(state=ocp.args.StandardRestore(like)))
        except Exception as error:  # orbax and tensorstore name a missing or cut file in many ways
            raise _damaged(workdir, kind, record["step"]) from error
    return items["state"]


def _read_all_values(folder: Path) -> None:
    """Raise where a saved array cannot be read.

    orbax finds that out too, but leaves coroutines behind that go on to print tracebacks.
    """
    store = tensorstore.KvStore.open({"driver": "ocdbt", "base": f"{folder.as_uri()}/"}).result()
    values = [store.read(name).result().value for name in store.list().result()]
    # Where a file is missing, the store is empty, or a value is, which no saved one is.
    if not values or not all(values):
        raise ValueError(f"{folder} lacks arrays")


def _shapes(state: Any) -> list[list[int]]:
    """Shapes of the arrays of a state, in the order of its tree: what tells two structures apart."""
    return [list(leaf.shape) for leaf in jax.tree.leaves(state)]


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    fields = {}
    for name, value in config.items():
        fields |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return fields


def changed_fields(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """`name: old to new` for every field of a configuration that differs, those of a run's length left out."""
    a, b = _flat(ours), _flat(theirs)
    ignored = {"train.steps", "train.resume_from", "train.log_every", "train.evaluate_every", "train.checkpoint_every"}
    names = [name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name) and name not in ignored]
    return [f"{name} {b.get(name)!r} to {a.get(name)!r}" for name in names if not name.startswith("distributed.")]


def check_same_network(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], *, workdir: Path, exempt: Sequence[str]
) -> None:
    """Refuse a checkpoint of another architecture or input.

    Args:
        ours: configuration of this run, as JSON can hold it.
        theirs: of the checkpoint.
        workdir: for the message.
        exempt: fields that may differ.

    Raises:
        InputError: naming the first field that differs.
    """
    frames = ("microscope.orientations", "microscope.phases", "microscope.scale")

    def identity(config: Mapping[str, Any]) -> dict[str, Any]:
        fields = _flat({name: config[name] for name in ("model", "microscope", "data")})
        kept = {name for name in fields if name.startswith("model.") or name in (*frames, "data.normalisation")}
        return {name: fields[name] for name in kept - set(exempt)}

    a, b = identity(ours), identity(theirs)
    for name in sorted(a.keys() | b.keys()):
        if a.get(name) != b.get(name):
            raise InputError(
                f"the checkpoint in {workdir} is of another network: `{name}` is {b.get(name)!r} there and "
                f"{a.get(name)!r} here; use another `workdir` or the configuration it was trained with"
            )


def plain(value: Any) -> Any:
    """A configuration as its JSON form gives it back."""
    return json.loads(json.dumps(value))

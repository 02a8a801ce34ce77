"""Checkpoints: the one place that knows orbax.

A workdir holds `checkpoints/last` (to resume from) and `checkpoints/best` (highest validation SSIM), each with one
checkpoint of two items: `state`, the whole training state, and `record`, a JSON with the configuration, the version
and the scores. orbax writes to a temporary folder and renames it, so an unfinished checkpoint is never seen.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import tensorstore

from oidn_jax import __version__
from oidn_jax.errors import InputError
from oidn_jax.models.trained import TrainedModel
from oidn_jax.training import parallel
from oidn_jax.training.state import TrainState, build_model, build_optimizer, initial_state

KINDS = ("best", "last")
# Fields of `config.model` that change how a network is computed, and those that only its first step depends on.
COMPUTATION_FIELDS = ("dtype", "remat")
INITIAL_FIELDS = ("psf_init", "na", "emission_wavelength_nm", "pixel_size_nm")


class Section(dict):
    """A nested dict whose fields are also attributes: a configuration read back from a checkpoint."""

    def __getattr__(self, name: str) -> Any:
        """The field `name`."""
        try:
            value = self[name]
        except KeyError as error:
            raise AttributeError(name) from error
        return Section(value) if isinstance(value, dict) else value


def plain_config(config: Any) -> dict[str, Any]:
    """A configuration as nested dicts, lists and numbers: what its JSON form gives back."""
    return json.loads(json.dumps(config.to_dict() if hasattr(config, "to_dict") else config))


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

    def __init__(self, workdir: Path) -> None:
        """Opens the workdir, creating it if needed.

        Raises:
            InputError: if it cannot be written.
        """
        # Not asynchronous: two managers that write at once wait for each other's barriers when there are several hosts,
        # and 40 MB take a fraction of a second.
        options = ocp.CheckpointManagerOptions(max_to_keep=1, create=True, enable_async_checkpointing=False)
        try:
            self._managers = {kind: ocp.CheckpointManager(_folder(workdir, kind), options=options) for kind in KINDS}
        except OSError as error:
            raise InputError(f"cannot write to the workdir {workdir}: {error.strerror or error}") from error

    def __enter__(self) -> "Checkpoints":
        """Itself."""
        return self

    def __exit__(self, *_: Any) -> None:
        """Closes both."""
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

    def save(self, kind: str, state: TrainState, *, config: dict[str, Any], scores: dict[str, float]) -> None:
        """Save a state; a checkpoint of the same step is already the same and is kept.

        All processes call this. The state is saved from the host's copy, so a checkpoint knows nothing of the devices
        and hosts it was trained on.
        """
        step = int(state.step)
        if self._managers[kind].latest_step() == step:
            return
        record = {"version": __version__, "step": step, "config": config, "scores": scores, "shapes": _shapes(state)}
        items = ocp.args.Composite(state=ocp.args.StandardSave(jax.device_get(state)), record=ocp.args.JsonSave(record))
        self._managers[kind].save(step, args=items)


def read_record(workdir: Path, kind: str) -> dict[str, Any] | None:
    """The record of the newest complete checkpoint of that kind, or None.

    Raises:
        InputError: if the checkpoint is damaged.
    """
    if not _folder(workdir, kind).is_dir():
        return None
    with _reader(workdir, kind) as manager:
        step = manager.latest_step()
        if step is None:
            return None
        try:
            return manager.restore(step, args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]
        except (KeyError, ValueError, OSError) as error:
            raise _damaged(workdir, kind, step) from error


def _damaged(workdir: Path, kind: str, step: int) -> InputError:
    return InputError(
        f"the {kind} checkpoint (step {step}) in {workdir} is damaged; remove {_folder(workdir, kind)} or use another "
        "--checkpoint or --workdir"
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
            "has another structure (config.train.ema_decay and clip_norm switch parts of it on); use another --workdir "
            "or the configuration it was trained with"
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


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    fields = {}
    for name, value in config.items():
        fields |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return fields


def changed_fields(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """`name: old to new` for every field of a configuration that differs, those of a run's length left out."""
    a, b = _flat(ours), _flat(theirs)
    ignored = {"train.steps", "train.resume_from", "train.log_every", "train.evaluate_every", "train.checkpoint_every"}
    names = [name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name) and name not in ignored]
    return [f"{name} {b.get(name)!r} to {a.get(name)!r}" for name in names if not name.startswith("distributed.")]


def check_same_network(ours: dict[str, Any], theirs: dict[str, Any], *, workdir: Path, exempt: Sequence[str]) -> None:
    """Refuse a checkpoint of another architecture or input.

    Args:
        ours: configuration of this run, plain.
        theirs: of the checkpoint.
        workdir: for the message.
        exempt: fields of `model` that may differ.

    Raises:
        InputError: naming the first field that differs.
    """

    def identity(config: dict[str, Any]) -> dict[str, Any]:
        model = {f"model.{k}": v for k, v in config["model"].items() if k not in exempt}
        return model | {"data.normalisation": config["data"]["normalisation"]}

    a, b = identity(ours), identity(theirs)
    for name in sorted(a.keys() | b.keys()):
        if a.get(name) != b.get(name):
            raise InputError(
                f"the checkpoint in {workdir} is of another network: config.{name} is {b.get(name)!r} there and "
                f"{a.get(name)!r} here; use another --workdir or the configuration it was trained with"
            )


def load_model(workdir: str | Path, *, checkpoint: str | None = None, expect: Any = None) -> TrainedModel:
    """The trained network of a workdir, with its moving-average weights if it has them.

    Args:
        workdir: of a training run.
        checkpoint: "best" or "last"; None takes the best where there is one, else the last.
        expect: a configuration whose network it must be.

    Raises:
        InputError: if there is no such checkpoint, or it is of another network.
    """
    workdir = Path(workdir)
    if checkpoint not in (None, *KINDS):
        raise InputError(f"checkpoint is {checkpoint!r}; legal: {', '.join(map(repr, KINDS))}")
    if not workdir.is_dir():
        raise InputError(f"there is no workdir {workdir}; give the --workdir of a training run of train.py")
    for kind in (checkpoint,) if checkpoint else KINDS:
        record = read_record(workdir, kind)
        if record is not None:
            break
    else:
        wanted = f"{checkpoint} checkpoint" if checkpoint else "checkpoint"
        raise InputError(f"{workdir} holds no {wanted}; train one with train.py --workdir={workdir}")

    if expect is not None:
        exempt = (*COMPUTATION_FIELDS, *INITIAL_FIELDS)
        check_same_network(plain_config(expect), record["config"], workdir=workdir, exempt=exempt)
    config = Section(record["config"])
    network = build_model(config)
    like = jax.eval_shape(lambda: initial_state(config, network, build_optimizer(config.train)))
    params = jax.tree.map(jnp.asarray, read_state(workdir, kind, like=like).evaluation_params)
    origin = {"version": record["version"], "checkpoint": kind, "step": record["step"], "name": config["name"]}
    return TrainedModel(network=network, params=params, config=record["config"], origin=origin)

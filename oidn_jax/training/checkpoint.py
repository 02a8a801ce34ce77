"""Checkpoints: the one place that knows orbax.

A workdir holds `checkpoints/last` (to resume from) and `checkpoints/best` (highest validation SSIM), each with the two
newest checkpoints, of three parts: `state`, the whole training state, written by orbax; `record/metadata`, a JSON with
the configuration, the version and the scores; and `model`, the trained model by itself (`models.weights`), which all
but a resumed run reads.

Contract: a checkpoint is written beside its place and renamed, so a reader sees it whole or not at all, and the one
before is removed only then. The record holds a SHA-256 of itself, of every array of the state and of every file that
orbax wrote; they are compared whenever it is read. Checkpoints of before, without them, are read as they are.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from oidn_jax.data.atomic import check_room, partial_file, remove_folder, remove_leftovers, write_text
from oidn_jax.data.regular_file import read_small
from oidn_jax.errors import InputError, WriteError
from oidn_jax.models.trained import TrainedModel
from oidn_jax.models.weights import KINDS, digest, kept_steps, newest_step, write_model
from oidn_jax.training import parallel
from oidn_jax.training.old_workdir import upgraded_configuration
from oidn_jax.training.settings import TrainingRun
from oidn_jax.training.state import TrainState
from oidn_jax.version import __version__

# Fields of networks that change how they are computed, not what.
COMPUTATION_FIELDS = ("model.dtype", "model.remat")
# Those of a run's length and rhythm.
_OF_NO_EFFECT = {
    f"train.{name}"
    for name in ("steps", "resume_from", "log_every", "evaluate_every", "checkpoint_every", "profile_steps")
}
_KEPT = 2  # of each kind: the one before is there where the newest is damaged
_SECTIONS = ("model", "microscope", "data", "train")  # of a configuration, that a resumed run asks for
_CHECKED = ("sha256", "leaves", "files")  # of a record: any of them says that it is of today
_MOST_TEXT = 10**7  # bytes of a record
_OVERHEAD = 10**6  # bytes of a checkpoint beside its arrays, which orbax writes twice


class DamagedCheckpoint(InputError):
    """A checkpoint that is not what was written."""


def trained_model(
    run: TrainingRun, params: Any, *, step: int, scores: Mapping[str, float], data: Mapping[str, Any] | None = None
) -> TrainedModel:
    """What a run has come to, by itself; `data` are what its origin says of data that were not simulated."""
    known: dict[str, Any] = dict(data or {"data": "simulated"})
    if data is None:
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
            **known,
            "seed": run.seed,
            "step": step,
            "scores": dict(scores),
        },
        configuration=run.configuration,
    )


def _folder(workdir: Path, kind: str) -> Path:
    return workdir.absolute() / "checkpoints" / kind


def _checkpointer() -> ocp.Checkpointer:
    """Reads and writes a state on this process, which does not wait for the others."""
    this_process = parallel.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=this_process, active_processes={this_process}, barrier_sync_key_prefix=f"alone_{this_process}"
    )
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


class Checkpoints:
    """Writes the last and the best checkpoints of a workdir."""

    def __init__(self, workdir: Path, run: TrainingRun, *, data: Mapping[str, Any] | None = None) -> None:
        """Opens the workdir, creating it if needed; `data` are for the origin of the weights (`trained_model`).

        Raises:
            InputError: if it cannot be written.
        """
        self._workdir, self._run, self._data = workdir, run, data
        try:
            for kind in KINDS:
                _folder(workdir, kind).mkdir(parents=True, exist_ok=True)
                remove_leftovers(_folder(workdir, kind))
        except OSError as error:
            raise InputError(f"cannot write to the workdir {workdir}: {error.strerror or error}") from error

    def forget_after(self, step: int, say: Callable[[str], None]) -> float:
        """Remove the checkpoints of later steps, which a run that was killed has left; the best SSIM of what remains.

        A damaged record is told to `say`, and passed over.
        """
        for kind in KINDS:
            for folder in kept_steps(self._workdir, kind):
                if int(folder.name) > step:
                    remove_folder(folder)
        best = best_score(self._workdir, say)
        return float("-inf") if best is None else best[0]

    def save(self, kind: str, state: TrainState, *, scores: Mapping[str, float]) -> None:
        """Save a state; a checkpoint of the same step is already the same and is kept.

        One process calls this. The state is saved from the host's copy, so a checkpoint knows nothing of the devices
        and hosts it was trained on.

        Raises:
            WriteError: if the disk refuses; the checkpoints that are there are kept.
        """
        step = int(state.step)
        folder = _folder(self._workdir, kind) / str(step)
        if folder.exists():
            return
        state = jax.device_get(state)
        record = plain(
            {
                "version": __version__,
                "step": step,
                "config": self._run.configuration,
                "scores": dict(scores),
                "shapes": _shapes(state),
                "leaves": _digests(state),
            }
        )
        model = trained_model(self._run, state.evaluation_params, step=step, scores=scores, data=self._data)
        n_values = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves((state, model.params)))
        n_bytes = 2 * n_values + _OVERHEAD
        try:
            with partial_file(folder, n_bytes=n_bytes) as partial:
                partial.mkdir()
                # Where the disk is full, orbax leaves threads behind that go on to print tracebacks.
                check_room(partial, n_bytes)
                with _checkpointer() as checkpointer:
                    checkpointer.save(partial / "state", args=ocp.args.StandardSave(state))
                record["files"] = _file_digests(partial / "state")
                write_text(_record_path(partial), json.dumps(record | {"sha256": digest(record)}))
                write_model(partial / "model", model)
        except Exception as error:  # orbax and tensorstore name a full disk in many ways
            reason = str(error).partition("\n")[0]
            raise WriteError(
                f"the {kind} checkpoint of step {step} cannot be written to {folder.parent}: it needs about "
                f"{n_bytes / 1e6:.3g} MB of room ({reason}); the checkpoints before are kept, and the same command "
                "goes on from the last of them"
            ) from error
        for before in kept_steps(self._workdir, kind)[_KEPT:]:
            remove_folder(before)


def _record_path(folder: Path) -> Path:
    return folder / "record" / "metadata"


def best_score(workdir: Path, say: Callable[[str], None]) -> tuple[float, Path] | None:
    """SSIM and folder of the best checkpoint; None without any. A damaged record is told to `say`, and passed over."""
    for folder in kept_steps(workdir, "best"):
        try:
            return float(_read_record(folder)["scores"]["ssim"]), folder
        except DamagedCheckpoint:
            say(f"{_damage(folder)}; the best is chosen without it")
    return None


def resume(
    workdir: Path, *, like: TrainState, check: Callable[[Mapping[str, Any]], None], say: Callable[[str], None]
) -> tuple[dict[str, Any], TrainState] | None:
    """Record and state, as numpy arrays, of the newest undamaged last checkpoint; None where there is none at all.

    Args:
        workdir: of a run.
        like: a state of the structure and shapes of this run's; `jax.ShapeDtypeStruct` leaves are enough.
        check: refuses a record.
        say: is told that a damaged checkpoint is passed over.

    Raises:
        DamagedCheckpoint: if all are damaged.
        InputError: if it is of another structure.
    """
    damaged = []
    for folder in kept_steps(workdir, "last"):
        try:
            record = _read_record(folder)
            check(record)
            state = _read_state(folder, record, like=like)
        except DamagedCheckpoint as error:
            damaged.append((folder, error))
            continue
        for damaged_folder, _ in damaged:
            say(f"{_damage(damaged_folder)}; going on from the one before, of step {record['step']}")
        return record, state
    if damaged:
        raise damaged[0][1]
    return None


def read_record(workdir: Path, kind: str) -> dict[str, Any] | None:
    """The record of the newest complete checkpoint of that kind, or None.

    Raises:
        DamagedCheckpoint: if it is damaged.
    """
    step = newest_step(workdir, kind)
    return None if step is None else _read_record(step)


def read_state(workdir: Path, kind: str, *, like: TrainState) -> TrainState:
    """The state of the newest checkpoint of that kind, as numpy arrays.

    Args:
        workdir: with a checkpoint of that kind.
        kind: "best" or "last".
        like: a state of the same structure and shapes; `jax.ShapeDtypeStruct` leaves are enough.

    Raises:
        DamagedCheckpoint: if the checkpoint is damaged.
        InputError: if there is none, or it is of another structure.
    """
    step = newest_step(workdir, kind)
    if step is None:
        raise InputError(f"{workdir} holds no {kind} checkpoint")
    return _read_state(step, _read_record(step), like=like)


def _damage(folder: Path) -> str:
    return f"the {folder.parent.name} checkpoint (step {folder.name}) in {folder.parents[2]} is damaged"


def _damaged(folder: Path) -> DamagedCheckpoint:
    return DamagedCheckpoint(f"{_damage(folder)}; remove {folder} or use another `workdir`")


def _read_record(folder: Path) -> dict[str, Any]:
    """The record of one checkpoint, its configuration in today's sections."""
    try:
        record = json.loads(read_small(_record_path(folder), most_bytes=_MOST_TEXT))
        # Any of them, so that a flipped bit in the name of one is noticed.
        if not record.keys().isdisjoint(_CHECKED) and record["sha256"] != digest(record):
            raise ValueError("its SHA-256 differs")
        record["config"] = dict(upgraded_configuration(record["config"]))
        _flat({name: record["config"][name].items() and record["config"][name] for name in _SECTIONS})
        if record["step"] != int(folder.name) or not isinstance(record["shapes"], list):
            raise ValueError("it is of another step")
        record["scores"] = {name: float(value) for name, value in record["scores"].items()}
        if folder.parent.name == "best":
            _ = record["scores"]["ssim"]
    except (AttributeError, InputError, KeyError, OSError, RecursionError, TypeError, ValueError) as error:
        raise _damaged(folder) from error
    return record


def _read_state(folder: Path, record: Mapping[str, Any], *, like: TrainState) -> TrainState:
    """The state of one checkpoint."""
    if record["shapes"] != _shapes(like):
        raise InputError(
            f"the {folder.parent.name} checkpoint (step {folder.name}) in {folder.parents[2]} does not fit this "
            "configuration: its state has another structure (`train.ema_decay` and `train.clip_norm` switch parts of "
            "it on); use another `workdir` or the configuration it was trained with"
        )
    like = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), like)
    try:
        # Before orbax reads them: of a damaged file it leaves coroutines behind that go on to print tracebacks.
        files = _file_digests(folder / "state")
        if any(files.get(name) != known for name, known in record.get("files", {}).items()):
            raise ValueError("the SHA-256 of a file differs")
        with _checkpointer() as checkpointer:
            state = checkpointer.restore(folder.absolute() / "state", args=ocp.args.StandardRestore(like))
        if record.get("leaves", _digests(state)) != _digests(state):
            raise ValueError("the SHA-256 of an array differs")
    except Exception as error:  # orbax and tensorstore name a missing or cut file in many ways
        raise _damaged(folder) from error
    return state


def _digests(state: Any) -> list[str]:
    """SHA-256 of the values of the arrays of a state, in the order of its tree."""
    return [hashlib.sha256(np.asarray(leaf).tobytes()).hexdigest() for leaf in jax.tree.leaves(state)]


def _file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the files in a folder, by their path in it."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _shapes(state: Any) -> list[list[int]]:
    """Shapes of the arrays of a state, in the order of its tree: what tells two structures apart."""
    return [list(leaf.shape) for leaf in jax.tree.leaves(state)]


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    fields = {}
    for name, value in config.items():
        fields |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return fields


def shared_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a configuration, by their names as settings, that are the same on all hosts."""
    fields = _flat({name: config[name] for name in config if name != "distributed"})
    return {name if "." in name else f"config.{name}": value for name, value in fields.items()}


def changed_fields(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """`name: old to new` for every field of a configuration that differs, those that change no parameter left out."""
    a, b = _flat(ours), _flat(theirs)
    names = [name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name) and name not in _OF_NO_EFFECT]
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

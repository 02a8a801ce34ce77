"""Trained models on disk: `weights.safetensors` and `model.json` in one folder.

Contract: reading needs no optimiser, no training configuration and no orbax. The JSON names the network and its fields,
the microscope, the normalisation, where the weights come from, and a SHA-256 over the weights and all of this, which is
verified: a model whose microscope or normalisation somebody has edited is refused. A checkpoint of a training run holds
such a folder, `WORKDIR/checkpoints/best/STEP/model`; the weights that come with the package are in
`oidn_jax/weights/NAME`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from oidn_jax.data.atomic import check_target, write_atomically, write_json
from oidn_jax.data.normalisation import MODES
from oidn_jax.data.regular_file import read_small
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.models.layers import SMALLEST_IMAGE
from oidn_jax.models.networks import initial_params
from oidn_jax.models.trained import TrainedModel
from oidn_jax.optics.microscope import Microscope
from oidn_jax.version import __version__

FORMAT = "oidn_jax model 1"
KINDS = ("best", "last")
_STEP = re.compile("0|[1-9][0-9]*")
SHIPPED = Path(__file__).parents[1] / "weights"
_WEIGHTS, _MODEL = "weights.safetensors", "model.json"
# A billion parameters, and more words than any configuration has.
_MOST_WEIGHTS, _MOST_TEXT = 4 * 10**9, 10**7


class OldWorkdir(InputError):
    """A training run of version 0.1.0, whose checkpoints hold no weights by themselves."""


def write_model(folder: Path, model: TrainedModel, *, half: bool = False) -> None:
    """Writes both files, the JSON last: without it a folder is no model.

    Args:
        folder: made if missing.
        model: to be written.
        half: weights as float16, which is half the size and read back as float32.

    Raises:
        InputError: if the folder cannot be written.
    """
    flat = flattened(jax.device_get(model.params))
    weights = safetensors.numpy.save({path: leaf.astype(np.float16) for path, leaf in flat.items()} if half else flat)
    content = {
        "format": FORMAT,
        "version": __version__,
        "network": dict(model.fields),
        "microscope": model.microscope.plain(),
        "normalisation": model.normalisation,
        "patch": model.patch,
        "origin": dict(model.origin),
        "configuration": dict(model.configuration),
    }
    content["sha256"] = digest(content, weights)
    write_atomically(folder / _WEIGHTS, lambda path: path.write_bytes(weights), n_bytes=len(weights))
    write_json(folder / _MODEL, content)


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuses a folder that `write_model` is to write, before any work is done for it.

    Raises:
        InputError: a file, a training run, or without `overwrite` a folder that holds a model.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give the name of a folder")
    if (folder / "checkpoints").exists():
        raise InputError(f"{folder} is a training run, whose weights would no longer be read; choose another folder")
    for name in (_WEIGHTS, _MODEL):
        check_target(folder / name, overwrite=overwrite)


def read_model(folder: Path) -> TrainedModel:
    """Reads what `write_model` wrote.

    Raises:
        InputError: a file that is missing or damaged, of another format, or weights of another network.
    """
    try:
        content = json.loads(read_small(folder / _MODEL, most_bytes=_MOST_TEXT))
        weights = read_small(folder / _WEIGHTS, most_bytes=_MOST_WEIGHTS)
    except OSError as error:
        raise InputError(f"{folder} holds no model ({error.filename}: {error.strerror})") from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{folder / _MODEL} is damaged ({error}); copy the model again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f'{folder / _MODEL} is of another version: its "format" must be "{FORMAT}"')
    if digest(content, weights) != content.get("sha256"):
        raise InputError(
            f"{folder} is damaged: {_WEIGHTS} and {_MODEL} are not those that were written together (their SHA-256 "
            "differs); copy the model again"
        )
    try:
        model = TrainedModel(
            fields=_with_tuples(content["network"]),
            params=nested(safetensors.numpy.load(weights)),
            microscope=Microscope.from_plain(content["microscope"]),
            normalisation=content["normalisation"],
            patch=content["patch"],
            origin=content["origin"],
            configuration=content["configuration"],
        )
        _check_params(model)
    except (AttributeError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise InputError(f"{folder} is no model that this version can read ({error})") from error
    return model


def flattened(tree: Any) -> dict[str, Any]:
    """Leaves by their path, `groups/blocks/conv_0/kernel`."""
    return {"/".join(str(part.key) for part in path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def nested(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """A tree of its leaves by their path, floats of half the size as float32."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, name = path.split("/")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[name] = jnp.asarray(value, jnp.float32 if value.dtype == np.float16 else None)
    return tree


def digest(content: Mapping[str, Any], weights: bytes = b"") -> str:
    """SHA-256 of the weights and of the JSON without its own entry `sha256`, keys in order."""
    described = json.dumps({key: content[key] for key in content if key != "sha256"}, sort_keys=True)
    return hashlib.sha256(weights + described.encode()).hexdigest()


def load(source: str | Path, *, checkpoint: str | None = None) -> TrainedModel:
    """A trained model by the name of weights that come with the package, or of a folder.

    Args:
        source: a name; or a folder that `write_model` wrote, or the workdir of a training run.
        checkpoint: of a workdir, "best" or "last"; None takes the best where there is one, else the last.

    Raises:
        OldWorkdir: a workdir whose checkpoints hold no weights.
        InputError: no such model or checkpoint; one that is damaged.
    """
    if checkpoint not in (None, *KINDS):
        raise InputError(f"`checkpoint` is {checkpoint!r}; legal: {', '.join(map(repr, KINDS))}")
    if isinstance(source, str) and source in shipped_names():
        _check_no_checkpoint(source, checkpoint)
        return read_model(SHIPPED / source)
    folder = Path(source)
    if not folder.is_dir():
        names = ", ".join(shipped_names()) or "none yet"
        raise InputError(
            f"there is no folder {folder}; give the workdir of a training run, a folder with {_MODEL}, or the name of "
            f"weights that come with the package ({names})"
        )
    if (folder / _MODEL).exists():
        _check_no_checkpoint(folder, checkpoint)
        return read_model(folder)
    return _load_checkpoint(folder, checkpoint)


def _check_no_checkpoint(source: str | Path, checkpoint: str | None) -> None:
    if checkpoint is not None:
        raise IllegalValue("checkpoint", checkpoint, f"{source} is one model and no training run; leave it out")


def shipped_names() -> list[str]:
    """The names of the weights that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{_MODEL}"))


def kept_steps(workdir: Path, kind: str) -> list[Path]:
    """The folders of the complete checkpoints of a kind, newest first: names of unfinished ones are no numbers."""
    folders = (workdir / "checkpoints" / kind).glob("*")
    steps = [path for path in folders if _STEP.fullmatch(path.name) and path.is_dir()]
    return sorted(steps, key=lambda path: int(path.name), reverse=True)


def newest_step(workdir: Path, kind: str) -> Path | None:
    """The folder of the newest complete checkpoint of a kind."""
    return next(iter(kept_steps(workdir, kind)), None)


def _load_checkpoint(workdir: Path, checkpoint: str | None) -> TrainedModel:
    for kind in (checkpoint,) if checkpoint else KINDS:
        step = newest_step(workdir, kind)
        if step is not None and (step / "model" / _MODEL).exists():
            model = _read_newest(kept_steps(workdir, kind))
            return replace(model, origin={**model.origin, "checkpoint": kind})
        if step is not None and (step / "record").exists():
            raise OldWorkdir(
                f"the {kind} checkpoint of {workdir} (step {step.name}) holds no weights by themselves: it is damaged, "
                "or of version 0.1.0"
            )
    wanted = f"{checkpoint} checkpoint" if checkpoint else "checkpoint"
    raise InputError(f"{workdir} holds no {wanted}; give the workdir of a training run, or train there")


def _read_newest(steps: list[Path]) -> TrainedModel:
    """The model of the first of these checkpoints; whether an earlier one will do is for the user to say."""
    try:
        return read_model(steps[0] / "model")
    except InputError as error:
        if len(steps) < 2:
            raise
        raise InputError(f"{error}, or give {steps[1] / 'model'}, of the checkpoint before") from error


def _with_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists only, and fields of linen modules must be hashable."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def _check_params(model: TrainedModel) -> None:
    expected = jax.eval_shape(lambda: initial_params(model.network, jax.random.key(0)))
    given = {path: (leaf.shape, leaf.dtype.name) for path, leaf in flattened(model.params).items()}
    needed = {path: (leaf.shape, leaf.dtype.name) for path, leaf in flattened(expected).items()}
    for path in sorted(given.keys() | needed.keys()):
        if given.get(path) != needed.get(path):
            raise ValueError(f"{path} is {given.get(path)}, the network needs {needed.get(path)}")
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(model.params)):
        raise ValueError("weights are NaN or infinite")
    if model.normalisation not in MODES:
        raise ValueError(f"normalisation {model.normalisation!r}; legal: {', '.join(MODES)}")
    _ = model.range  # checks itself
    if type(model.patch) is not int or model.patch < SMALLEST_IMAGE or not isinstance(model.origin, dict):
        raise ValueError(f"patch {model.patch!r}, origin {model.origin!r}")

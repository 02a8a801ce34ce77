"""Checkpoints of PyTorch, read and written without it.

A checkpoint is a pickle, which is a program: whoever loads one runs it. Contract: nothing of a file is run. The names
that its pickle may look up are those in `_KNOWN`, all of which are replaced by types of this module that only hold what
they are given; any other name, and any tensor that does not lie inside its storage, refuses the file. Memory is bounded
by the size of the file.

Two formats: the zip archive that `torch.save` writes (`NAME/data.pkl`, `NAME/data/KEY` for each storage, stored and not
compressed), and the older one, a sequence of pickles followed by the storages.
"""

import io
import math
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from oidn_jax.data.atomic import write_atomically
from oidn_jax.data.regular_file import read_small
from oidn_jax.errors import InputError

_MOST_BYTES, _MOST_PICKLE = 4 * 10**9, 10**8
_LEGACY_MAGIC, _LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_ZIP_MAGIC = b"PK\x03\x04"
_LONGEST_NAME = 80  # in a message
_STATES = ("model_state_dict", "state_dict")


class _Storage(NamedTuple):
    """A run of numbers in the file."""

    dtype: str
    key: str
    size: int


class _Tensor(NamedTuple):
    """A view of a storage, not read yet."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Dict(dict):
    """An OrderedDict without the attributes that the file sets on it."""

    def __setstate__(self, state: Any) -> None:
        """Nothing."""


class _Unread:
    """What a training also keeps, as a score or a device; nobody reads it."""

    def __init__(self, *_: Any) -> None:
        """Nothing."""

    def __setstate__(self, state: Any) -> None:
        """Nothing."""


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("a tensor of no numbers")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(data: Any, *_: Any) -> Any:
    return data


class _Type(NamedTuple):
    """What numbers a storage holds."""

    dtype: str


class _Function(NamedTuple):
    """A function on which a file can set no attributes."""

    function: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        """What it gives."""
        return self.function(*arguments)


_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "<?",
}
_KNOWN: Mapping[tuple[str, str], Any] = {
    **{("torch", name): _Type(dtype) for name, dtype in _STORAGES.items()},
    ("torch._utils", "_rebuild_tensor_v2"): _Function(_tensor),
    ("torch._utils", "_rebuild_parameter"): _Function(_parameter),
    ("collections", "OrderedDict"): _Dict,
    ("torch", "device"): _Unread,
    ("torch", "Size"): _Unread,
    ("numpy", "dtype"): _Unread,
    ("numpy.core.multiarray", "scalar"): _Unread,
    ("numpy._core.multiarray", "scalar"): _Unread,
    ("_codecs", "encode"): _Unread,
}


class _Refused(Exception):
    """What a file asks for and does not get."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _KNOWN[module_name, global_name]
        except KeyError:
            asked = f"{module_name}.{global_name}"[:_LONGEST_NAME]
            raise _Refused(f"it asks for {asked}, and a checkpoint needs tensors only") from None

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _, size, *view = pid
        if kind != "storage" or not isinstance(storage_type, _Type) or type(size) is not int or any(view):
            raise _Refused("it has storages of another kind")
        return _Storage(storage_type.dtype, str(key), size)


def read_state(path: str | Path) -> dict[str, np.ndarray]:
    """The parameters of a network by their names, float32, from a checkpoint of PyTorch.

    They are what the checkpoint has under `model_state_dict` or `state_dict`, or all of it.

    Args:
        path: a file that `torch.save` wrote, of either format.

    Raises:
        InputError: a file that is missing, damaged, no checkpoint, or that asks for anything else than tensors.
    """
    path = Path(path)
    try:
        content = read_small(path, most_bytes=_MOST_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a checkpoint of PyTorch") from error
    try:
        read = _read_archive if content.startswith(_ZIP_MAGIC) else _read_legacy
        tree, storages = read(content)
        state = next((tree[name] for name in _STATES if name in tree), tree)
        _check(state, most_values=len(content))
        return {name: _array(tensor, storages) for name, tensor in state.items()}
    except _Refused as error:
        raise InputError(f"{path} is refused: {error}") from error
    except Exception as error:  # whatever the bytes make an interpreter of pickles stumble over
        reason = str(error) or type(error).__name__
        raise InputError(f"{path} is damaged or no checkpoint of PyTorch ({reason}); copy it again") from error


def _check(state: Mapping[Any, Any], *, most_values: int) -> None:
    """Refuses what is no mapping of names to tensors, or tensors that share storages and are larger than the file."""
    if not all(isinstance(name, str) and isinstance(tensor, _Tensor) for name, tensor in state.items()):
        raise _Refused(f"it has no {' or '.join(_STATES)}, and holds more than tensors by their names")
    if sum(math.prod(tensor.shape) for tensor in state.values()) > most_values:
        raise _Refused("its tensors are larger than the file")


def _array(tensor: _Tensor, storages: Callable[[_Storage], np.ndarray]) -> np.ndarray:
    numbers = storages(tensor.storage)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, np.float32)
    if last >= numbers.size:
        raise ValueError("a tensor reaches beyond its storage")
    strides = tuple(step * numbers.itemsize for step in tensor.strides)
    view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)
    return np.array(view, np.float32)


def _unpickle(stream: io.BytesIO) -> Any:
    """What the next pickle of a stream builds, in memory bounded by its length."""
    start, largest = stream.tell(), 0
    for operation, argument, _ in pickletools.genops(stream):
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument is not None:
            largest = max(largest, argument)
    # The interpreter makes a table as long as the largest number in it.
    if largest > stream.tell() - start:
        raise _Refused("its pickle asks for more memory than it is long")
    stream.seek(start)
    return _Unpickler(stream, encoding="utf-8").load()


def _read_archive(content: bytes) -> tuple[Any, Callable[[_Storage], np.ndarray]]:
    archive = zipfile.ZipFile(io.BytesIO(content))
    records = {name.partition("/")[2]: name for name in archive.namelist()}
    big = "byteorder" in records and archive.read(records["byteorder"]).strip() != b"little"

    @cache
    def record(name: str, most_bytes: int) -> bytes:
        if name not in records:
            raise ValueError(f"it lacks {name}")
        entry = archive.getinfo(records[name])
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > most_bytes:
            raise _Refused(f"{name} is compressed or too large, which torch.save writes nowhere")
        return archive.read(entry)

    def storage(wanted: _Storage) -> np.ndarray:
        dtype = np.dtype(wanted.dtype).newbyteorder(">" if big else "<")
        return np.frombuffer(record(f"data/{wanted.key}", len(content)), dtype, wanted.size)

    return _unpickle(io.BytesIO(record("data.pkl", _MOST_PICKLE))), storage


def _read_legacy(content: bytes) -> tuple[Any, Callable[[_Storage], np.ndarray]]:
    stream = io.BytesIO(content)
    if _unpickle(stream) != _LEGACY_MAGIC or _unpickle(stream) != _LEGACY_PROTOCOL:
        raise ValueError("it has no magic number")
    if _unpickle(stream).get("little_endian") is not True:
        raise _Refused("its bytes are in the other order")
    tree, keys = _unpickle(stream), _unpickle(stream)
    places: dict[str, int] = {}
    sizes = _sizes(tree)
    for key in keys:
        (count,) = struct.unpack("<q", stream.read(8))
        wanted = sizes.get(str(key))
        if wanted is None or not 0 <= count <= len(content):
            raise ValueError("its storages are not those of its tensors")
        places[str(key)] = stream.tell()
        stream.seek(count * np.dtype(wanted.dtype).itemsize, io.SEEK_CUR)
    if stream.tell() > len(content):
        raise ValueError("it ends too early")

    def storage(wanted: _Storage) -> np.ndarray:
        return np.frombuffer(content, wanted.dtype, wanted.size, places[wanted.key])

    return tree, storage


def _sizes(tree: Any) -> dict[str, _Storage]:
    """Every storage that tensors of a tree view, by its key."""
    found_storages: dict[str, _Storage] = {}
    waiting, seen = [tree], set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, _Tensor):
            found_storages[node.storage.key] = node.storage
        elif isinstance(node, dict | list | tuple) and id(node) not in seen:
            seen.add(id(node))
            waiting.extend(node.values() if isinstance(node, dict) else node)
    return found_storages


def write_state(path: str | Path, state: Mapping[str, np.ndarray]) -> None:
    """Writes `{"model_state_dict": state}` as `torch.save` does, for `torch.load`; an existing file is replaced.

    Args:
        path: as best.pth.tar.
        state: float32 arrays by the names of parameters.

    Raises:
        InputError: if it cannot be written.
    """
    n_bytes = sum(value.nbytes for value in state.values())
    write_atomically(Path(path), lambda partial: _write_archive(partial, state), n_bytes=n_bytes)


def _write_archive(path: Path, state: Mapping[str, np.ndarray]) -> None:
    records = {"data.pkl": _pickled(state), "byteorder": b"little"}
    for key, value in enumerate(state.values()):
        records[f"data/{key}"] = np.ascontiguousarray(value, "<f4").tobytes()
    records["version"] = b"3\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in records.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)


def _pickled(state: Mapping[str, np.ndarray]) -> bytes:
    """The pickle of protocol 2 that builds {"model_state_dict": OrderedDict of tensors}, by its opcodes."""
    tensors = b"".join(_text(name) + _rebuilt(str(key), value.shape) for key, (name, value) in enumerate(state.items()))
    ordered = b"ccollections\nOrderedDict\n)R(" + tensors + b"u"
    return b"\x80\x02}" + _text(_STATES[0]) + ordered + b"s."


def _rebuilt(key: str, shape: tuple[int, ...]) -> bytes:
    """torch._utils._rebuild_tensor_v2(storage, 0, shape, strides of C order, False, OrderedDict())."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text(key) + _text("cpu")
    storage += _number(math.prod(shape)) + b"tQ"
    sizes = b"".join(b"(" + b"".join(map(_number, numbers)) + b"t" for numbers in (shape, strides))
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + _number(0) + sizes + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def _text(text: str) -> bytes:
    encoded = text.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _number(number: int) -> bytes:
    return b"J" + struct.pack("<i", number)

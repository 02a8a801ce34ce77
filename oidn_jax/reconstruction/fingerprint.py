"""What an image is made of, in a few letters: so that one which is there already is known from one made otherwise.

A fingerprint has two parts, digests of 16 hexadecimal digits: of the settings (method with its weights, microscopes,
reading, camera, and this version) and of the raw frames (all bytes of their files). It does not depend on names, places
or dates, and it is in the metadata of each image.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oidn_jax.data.image_file import Source, files_of
from oidn_jax.errors import InputError
from oidn_jax.version import __version__

_DIGITS = 16


def digest_of_settings(*settings: Any) -> str:
    """Of dataclasses of plain values, arrays and paths; of a path the content of the file counts.

    Raises:
        InputError: a file that cannot be read.
    """
    digest = hashlib.sha256(__version__.encode())
    for part in _parts(settings):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:_DIGITS]


def digest_of_frames(source: Source) -> str:
    """Of the raw file, the files of a folder, or the files that belong together.

    Raises:
        InputError: a file that cannot be read.
    """
    digest = hashlib.sha256()
    for path in files_of(source):
        digest.update(_whole(path))
    return digest.hexdigest()[:_DIGITS]


def _whole(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path and its permissions") from error


def _parts(value: Any) -> Iterator[bytes]:
    """Values one after the other, each with its kind, so that no two settings give the same."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield type(value).__qualname__.encode()
        for field in dataclasses.fields(value):
            yield field.name.encode()
            yield from _parts(getattr(value, field.name))
    elif isinstance(value, Path):
        yield b"path"
        yield from map(_whole, files_of(value))
    elif isinstance(value, Mapping):
        yield b"mapping %d" % len(value)
        for key in sorted(value):
            yield str(key).encode()
            yield from _parts(value[key])
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        yield b"sequence %d" % len(value)
        for each in value:
            yield from _parts(each)
    elif hasattr(value, "__array__"):
        array = np.ascontiguousarray(value)
        yield f"array {array.dtype.str} {array.shape}".encode()
        yield array.tobytes()
    else:
        yield repr(value).encode()

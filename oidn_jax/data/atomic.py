"""Puts a file in its place complete or not at all.

Contract: an existing file is replaced only when told to, a reader never sees half a file, and a failed write leaves
neither a partial file nor a damaged old one. What the disk or the folder refuses is an `InputError`.
"""

import contextlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path

from oidn_jax.errors import InputError


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuses a target before any work is done for it.

    Raises:
        InputError: a folder, an existing file without `overwrite`, or a place that cannot be looked at.
    """
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another folder or name") from error
    if is_folder:
        raise InputError(f"{path} is a folder; give the name of a file in it")
    if exists and not overwrite:
        raise InputError(f"{path} exists already; choose another name or pass --overwrite")


def write_atomically(path: Path, write: Callable[[Path], object], *, n_bytes: int) -> None:
    """Writes beside the target under a name of its own, then renames.

    Args:
        path: the target, replaced if it exists; missing folders are made.
        write: writes the whole file at the path that it is given.
        n_bytes: about the size of the file, for the message when the disk is full.

    Raises:
        InputError: a folder that cannot be made or written, or a full disk.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder {path.parent} cannot be made ({error.strerror}); choose another output folder"
        ) from error
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        write(partial)
        os.replace(partial, path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); choose another output folder or make {n_bytes} bytes of room"
        ) from error
    finally:
        # What made the write fail (a read-only disk) may make this fail too, and must not hide the message.
        with contextlib.suppress(OSError):
            partial.unlink()

"""Puts a file in its place complete or not at all: the way in which every file of the project is written.

Contract: an existing file is replaced only when told to, a reader never sees half a file, and a failed write leaves
neither a partial file nor a damaged old one; a replaced file keeps its permissions. What a killed program has left is
removed when the same file is written again. What the folder refuses is an `InputError`, what the disk refuses
because it is full, or fails, a `WriteError`.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from oidn_jax.errors import InputError, WriteError

HOST = socket.gethostname()
_PARTIAL = ".partial"
# What is being written, and whose turn it is to begin, or to put files into their places.
_UNFINISHED: set[Path] = set()
_TURN = threading.Lock()
# What is to be called besides, when this process is ended in the middle of its work.
_AT_END: list[Callable[[], None]] = []
_LONGEST_TURN_S = 2.0
_CHUNK = 2**20
# Full: the disk, the user's share of it, the process's limit; and a disk that fails.
_DISK_REFUSES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuses a target before any work is done for it.

    Raises:
        InputError: a folder, an existing file without `overwrite`, or a place that cannot be looked at.
    """
    try:
        is_folder, exists = path.is_dir(), path.exists()
        # A name too long is found out in a folder that is there.
        next(folder for folder in path.absolute().parents if folder.exists()).joinpath(path.name).exists()
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another folder or name") from error
    if is_folder:
        raise InputError(f"{path} is a folder; give the name of a file in it")
    if exists and not overwrite:
        raise InputError(f"{path} exists already; choose another name or allow `overwrite`")


def write_atomically(path: Path, write: Callable[[Path], object], *, n_bytes: int) -> None:
    """Writes beside the target under a name of its own, then renames.

    Args:
        path: the target, replaced if it exists; missing folders are made.
        write: writes the whole file at the path that it is given.
        n_bytes: about the size of the file, for the message when the disk is full.

    Raises:
        InputError: a folder that cannot be made or written, or a full disk.
    """
    with partial_file(path, n_bytes=n_bytes) as partial, explained(path, n_bytes=n_bytes):
        write(partial)


def write_text(path: Path, text: str) -> None:
    """Writes a text as UTF-8, atomically; an existing file is replaced.

    Raises:
        InputError: if it cannot be written.
    """
    content = text.encode()
    write_atomically(path, lambda partial: partial.write_bytes(content), n_bytes=len(content))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes JSON, atomically; an existing file is replaced.

    Raises:
        InputError: if it cannot be written.
        ValueError: a number that is not finite, for which JSON has no word.
    """
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


@contextlib.contextmanager
def partial_file(path: Path, *, n_bytes: int) -> Iterator[Path]:
    """Gives a path beside the target; what lies there when the block has ended well becomes the target.

    The block's own errors pass as they are: what it writes goes inside `explained`.

    Args:
        path: the target, a file, which is replaced if it exists, or a new folder; missing folders are made.
        n_bytes: about the size of the file, for the message when the disk is full.

    Raises:
        InputError: a folder that cannot be made or written.
    """
    _make_folder(path.parent)
    _remove_leftovers(path)
    partial = _partial_path(path)
    with _unfinished(partial):
        yield partial
        with explained(path, n_bytes=n_bytes):
            _put(partial, path)


@contextlib.contextmanager
def partial_folder(folder: Path, *, last: str) -> Iterator[Path]:
    """Gives a folder to write into; when the block has ended well, its files take their places in `folder` one by one.

    What is in `folder` already stays: until then all of it, and then what has another name.

    Args:
        folder: of the files, made if missing.
        last: name of the file that is put in its place when all others are.

    Raises:
        InputError: a folder that cannot be made or written.
    """
    _make_folder(folder)
    _remove_leftovers(folder / last)
    partial = _partial_path(folder / last)
    with _unfinished(partial):
        with explained(folder / last, n_bytes=0):
            partial.mkdir()
        yield partial
        written = [path for path in sorted(partial.rglob("*")) if path.is_file()]
        with _TURN:
            for path in sorted(written, key=lambda path: path.name == last):
                target = folder / path.relative_to(partial)
                _make_folder(target.parent)
                with explained(target, n_bytes=path.stat().st_size):
                    _put(path, target)


@contextlib.contextmanager
def _unfinished(partial: Path) -> Iterator[None]:
    """What lies at the path when the block ends is removed; so it is if the process is ended before."""
    with _TURN:
        _UNFINISHED.add(partial)
    try:
        yield
    finally:
        _remove(partial)
        _UNFINISHED.discard(partial)


def _put(partial: Path, path: Path) -> None:
    if path.exists():
        shutil.copymode(path, partial)
    os.replace(partial, path)


def _remove(partial: Path) -> None:
    # What made a write fail (a read-only disk) may make this fail too, and must not hide the message.
    with contextlib.suppress(OSError):
        shutil.rmtree(partial) if partial.is_dir() and not partial.is_symlink() else partial.unlink()


def check_room(folder: Path, n_bytes: int) -> None:
    """Asks the disk for so much room in a folder, and gives it back: for a writer that does not take a no well.

    Raises:
        OSError: if the disk refuses.
    """
    path = folder / f".room{_PARTIAL}"
    try:
        with path.open("xb") as file:
            for start in range(0, n_bytes, _CHUNK):
                file.write(bytes(min(_CHUNK, n_bytes - start)))
    finally:
        _remove(path)


def remove_folder(folder: Path) -> None:
    """Removes a folder, which readers see whole or not at all.

    Raises:
        InputError: if it cannot be removed.
    """
    partial = _partial_path(folder)
    with explained(folder, n_bytes=0):
        os.replace(folder, partial)
    _remove(partial)


def remove_leftovers(folder: Path) -> None:
    """Removes what programs that no longer run on this machine have left half written, or half removed, in a folder."""
    for leftover in folder.glob(f".*{_PARTIAL}"):
        match leftover.name.split("."):
            case ["", _, host, process, _, _] if host == _digest(HOST)[:8]:
                _remove_if_left(leftover, process)


def remove_leftovers_of(paths: Iterable[Path]) -> None:
    """Removes what is half written of these files, on whatever machine: for one who knows that nobody writes them."""
    folders: dict[Path, set[str]] = {}
    for path in paths:
        folders.setdefault(path.parent, set()).add(_digest(path.name)[:16])
    for folder, names in folders.items():
        for leftover in folder.glob(f".*{_PARTIAL}"):
            if leftover.name.split(".")[1] in names:
                _remove(leftover)


@contextlib.contextmanager
def at_end(callback: Callable[[], None]) -> Iterator[None]:
    """Where the process is ended inside the block, by `remove_unfinished`, the callback is called."""
    _AT_END.append(callback)
    try:
        yield
    finally:
        _AT_END.remove(callback)


def remove_unfinished() -> None:
    """Removes all that is half written, in a process that ends now: nothing can be begun afterwards."""
    # Waits until files that belong together are in their places, but not for a thread that does not go on.
    _TURN.acquire(timeout=_LONGEST_TURN_S)
    for callback in reversed(_AT_END.copy()):
        callback()
    for partial in list(_UNFINISHED):
        _remove(partial)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder {folder} cannot be made ({error.strerror}); choose another output folder"
        ) from error


def _partial_path(path: Path) -> Path:
    return path.with_name(f"{_partial_prefix(path)}{os.getpid()}.{uuid.uuid4().hex[:8]}{_PARTIAL}")


def _partial_prefix(path: Path) -> str:
    """What the partial files of a target begin with on this machine; short, however long the target's name is."""
    return f".{_digest(path.name)[:16]}.{_digest(HOST)[:8]}."


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _remove_leftovers(path: Path) -> None:
    """Removes the partial files of this target whose programs no longer run; those of other machines may."""
    for leftover in path.parent.glob(f"{_partial_prefix(path)}*{_PARTIAL}"):
        _remove_if_left(leftover, leftover.name.split(".")[3])


def _remove_if_left(partial: Path, process: str) -> None:
    if process.isdecimal() and not _is_running(int(process)):
        _remove(partial)


def _is_running(process: int) -> bool:
    """Whether a process of that number runs on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's
        return True
    return True


@contextlib.contextmanager
def explained(path: Path, *, n_bytes: int) -> Iterator[None]:
    """Makes what the disk refuses inside the block an `InputError` about this target of about `n_bytes`."""
    try:
        yield
    except OSError as error:
        kind = WriteError if error.errno in _DISK_REFUSES else InputError
        raise kind(
            f"{path} cannot be written ({error.strerror}); choose another output folder or make {n_bytes} bytes of room"
        ) from error

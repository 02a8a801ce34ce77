"""One writer for a folder, told by a file in it.

On one machine the operating system holds the lock and gives it up when the process ends, however it ends. Where a file
system shares no locks between machines, the file tells: it names the machine, and the process that holds it touches it
every 15 seconds, so that one which nobody has touched for three minutes is known to be left over.
"""

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from oidn_jax.data.atomic import HOST, at_end
from oidn_jax.errors import InputError

NAME = "running.lock"
_TOUCHED_EVERY_S, _LEFT_OVER_AFTER_S = 15.0, 180.0
_MOST_BYTES = 4096


@contextlib.contextmanager
def locked(folder: Path, say: Callable[[str], None], *, setting: str = "workdir") -> Iterator[None]:
    """Holds the lock of a folder for the block; a folder that was made for it and is empty at its end is removed.

    Args:
        folder: made if missing.
        say: is told of a lock that is left over and taken.
        setting: that names the folder, for messages.

    Raises:
        InputError: if somebody else holds it, or the folder cannot be written.
    """
    missing = []
    try:
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        file = _acquire(folder, say, setting)
    except OSError as error:
        raise InputError(f"cannot write to {_named(folder, setting)}: {error.strerror or error}") from error
    finally:
        _remove_empty(missing)
    ended = threading.Event()
    threading.Thread(target=_touch, args=(file, ended), name="lock", daemon=True).start()

    def release() -> None:
        with contextlib.suppress(OSError):
            if _is_at(file, folder / NAME):
                (folder / NAME).unlink()

    try:
        with at_end(release):
            yield
    finally:
        ended.set()
        release()
        os.close(file)
        _remove_empty(missing)


def _acquire(folder: Path, say: Callable[[str], None], setting: str) -> int:
    """The descriptor of the lock file, locked and with our name in it."""
    while True:
        file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_at(file, folder / NAME):  # its holder has removed it in between
                os.close(file)
                continue
            _take(file, folder, say, setting)
        except BlockingIOError as error:
            holder = _holder(file)
            os.close(file)
            raise _in_use(folder, holder, setting) from error
        except BaseException:
            os.close(file)
            raise
        return file


def _take(file: int, folder: Path, say: Callable[[str], None], setting: str) -> None:
    holder = _holder(file)
    if holder:
        machine, process = holder
        age_s = time.time() - os.fstat(file).st_mtime
        if machine != HOST and age_s < _LEFT_OVER_AFTER_S:
            raise _in_use(folder, holder, setting)
        ended = "no longer runs" if machine == HOST else f"has not touched it for {age_s / 60:.0f} minutes"
        say(f"{folder} was left locked by process {process} on {machine}, which {ended}; its lock is taken")
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps({"machine": HOST, "process": os.getpid()}).encode(), 0)


def _holder(file: int) -> tuple[str, int] | None:
    """Machine and process in a lock file; None where it holds none that can be read."""
    try:
        content = json.loads(os.pread(file, _MOST_BYTES, 0))
        return str(content["machine"]), int(content["process"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def _in_use(folder: Path, holder: tuple[str, int] | None, setting: str) -> InputError:
    who = f"process {holder[1]} on {holder[0]}" if holder else "another process"
    return InputError(
        f"{who} is writing to {_named(folder, setting)}; wait until it ends, or use another `{setting}` (its lock is "
        f"{folder / NAME}: remove it if you know that the process is gone)"
    )


def _named(folder: Path, setting: str) -> str:
    return f"the {setting if setting == 'workdir' else 'folder'} {folder}"


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _touch(file: int, ended: threading.Event) -> None:
    while not ended.wait(_TOUCHED_EVERY_S):
        with contextlib.suppress(OSError):  # a disk that fails now may answer the next time
            os.utime(file)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()

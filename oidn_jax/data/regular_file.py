"""Files that can be read twice, and those that are small by their nature."""

from pathlib import Path

from oidn_jax.errors import InputError


def refuse_pipe(path: Path) -> None:
    """Refuses what cannot be read twice, or waits for a writer for ever.

    Raises:
        InputError: a pipe or a device.
        OSError: a place that cannot be looked at.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"{path} is a pipe or a device, which cannot be read twice; write its content to a file")


def read_small(path: Path, *, most_bytes: int) -> bytes:
    """The content of a file, unless it is larger than any of its kind.

    Raises:
        InputError: a pipe, a device, or too large a file.
        OSError: a file that cannot be read.
    """
    refuse_pipe(path)
    size = path.stat().st_size
    if size > most_bytes:
        raise InputError(f"{path} has {size} bytes; a file of its kind has at most {most_bytes}: check the name")
    return path.read_bytes()

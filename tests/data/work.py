"""What `test_workers.py` has worker processes do: numpy only, since each of them imports it."""

import os
import signal
import time

from oidn_jax.data.atomic import partial_file


def double(factor, number):
    """As `function(shared, item)`."""
    if number < 0:
        raise ValueError(f"{number} is negative")
    return factor * number


def where(_, __):
    """The process and its cores."""
    return os.getpid(), sorted(os.sched_getaffinity(0))


def dies(_, number):
    """Ends its process, of a number below 0."""
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def write(folder, name):
    """Writes a file; the first process that comes to "b" is killed in the middle of it."""
    with partial_file(folder / name, n_bytes=1) as partial:
        partial.write_text("half of ")
        with (folder / "log").open("a") as log:
            log.write(f"{name}\n")
        if name == "b" and not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        partial.write_text("half of all")
    return name


def write_slowly(folder, name):
    """Begins a file, and does not end it."""
    with partial_file(folder / name, n_bytes=1) as partial:
        partial.write_text("half of ")
        (folder / f"{name} has begun").touch()
        time.sleep(600)

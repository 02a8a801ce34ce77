"""Ctrl-C of a command: it ends within seconds with 130, whatever it is doing.

An exception in the main thread cannot promise this: it waits until a compilation ends, is lost in a callback of jax,
and makes extension modules that are being imported fail, or the process crash. So a thread hears of the signal, removes
what is half written, and ends the process. Only a process that is ours does so: where the package is imported, as in a
notebook, `KeyboardInterrupt` stays.

The training loop answers Ctrl-C itself, and saves; the second one, which it may be too busy to hear, ends it here.
"""

import io
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import socket

CODE = 130
# For what unwinds by itself, as the second Ctrl-C of a training.
_GRACE_S = 3.0
_LONGEST_S = 15.0
_said = False  # a process that unwinds slowly is ended without another word


def take_interrupts() -> None:
    """To be called first in a process: before it, Ctrl-C is a traceback of what is being imported.

    Where Ctrl-C is ignored, as in a script that a shell runs in the background, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    signal.signal(signal.SIGINT, lambda *_: end())
    # Imported here, so that Ctrl-C is heard as early as can be.
    import socket
    import threading

    heard, told = socket.socketpair()
    told.setblocking(False)
    signal.signal(signal.SIGINT, _nothing)
    # Written by the signal itself, even where the main thread does not return to Python for a long time.
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    # A line is on its way once it is printed, also to a file.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    threading.Thread(target=_wait, args=(heard, told), name="Ctrl-C", daemon=True).start()


def _nothing(*_: object) -> None:
    """Python tells the wakeup file of a signal only if a function handles it."""


def _wait(heard: "socket.socket", told: "socket.socket") -> None:
    del told  # kept open by being an argument of this thread
    n_heard = 0
    while True:
        n_heard += heard.recv(64).count(signal.SIGINT)  # on a busy machine both may have come before they are read
        if n_heard and signal.getsignal(signal.SIGINT) is _nothing:
            end()
        if n_heard > 1:
            time.sleep(_GRACE_S)
            end()


def end() -> NoReturn:
    """Removes what is half written, says so, and ends the process."""
    import threading

    # A disk that does not answer must not keep a process that nobody wants any more.
    limit = threading.Timer(_LONGEST_S, os._exit, (CODE,))
    limit.daemon = True
    limit.start()
    atomic = sys.modules.get("oidn_jax.data.atomic")
    try:
        if atomic is not None and hasattr(atomic, "remove_unfinished"):  # it may be being imported
            atomic.remove_unfinished()
        # Past Python's stderr, whose lock another thread may hold; a progress bar has hidden the cursor.
        show_cursor = b"\033[?25h" if os.isatty(2) else b""
        os.write(2, show_cursor + (b"" if _said else b"stopped\n"))
    finally:  # whatever fails: an error in this thread would leave a process that no Ctrl-C ends
        os._exit(CODE)


def unwound() -> NoReturn:
    """The end of a command that `KeyboardInterrupt` has unwound: says so, and leaves the rest to Python."""
    global _said
    _said = True
    print("stopped", file=sys.stderr)
    sys.exit(CODE)

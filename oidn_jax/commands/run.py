"""How every command ends: a user's mistake is one line on stderr and exit code 2.

The library names a setting in backticks (`pixel_size_nm`, `train.patch`); here it becomes the flag that sets it.
"""

import os
import sys
from collections.abc import Callable

from oidn_jax.commands.interrupts import unwound
from oidn_jax.errors import InputError, WriteError

_PIPE_CLOSED = 141


def flag(setting: str) -> str | None:
    """The flag of a setting: `--pixel-size-nm` of pixel_size_nm, `--config.train.patch` of train.patch.

    None for a text in backticks that is no setting.
    """
    if not setting.replace(".", "_").isidentifier():
        return None
    if "." in setting:  # `config.seed`, of no section, is written in full
        return f"--config.{setting.removeprefix('config.')}"
    return f"--{setting.replace('_', '-')}"


def run(body: Callable[[], None], *, spell: Callable[[str], str | None] = flag) -> None:
    """Runs a command: a user's mistake prints `error: ...` on stderr and exits with 2, Ctrl-C exits with 130.

    A disk that is full, or fails, in the middle of the work is such a line and exits with 1.

    Where nobody reads its lines any more it exits with 141, as a program does that SIGPIPE ends.

    Anything else is a bug of ours and keeps its traceback.

    Args:
        body: the command.
        spell: the flag of a setting, where a command has others than `flag` gives.
    """
    from absl import logging  # imported here, so that help is instant

    logging.set_verbosity(logging.ERROR)  # orbax's remarks about its options are not for users
    try:
        body()
    except InputError as error:
        print(f"error: {error.spelled(spell)}", file=sys.stderr)
        sys.exit(1 if isinstance(error, WriteError) else 2)
    except MemoryError as error:
        reason = str(error).partition("\n")[0] or "the operating system gives no more"
        print(f"error: this does not fit into memory ({reason}); take smaller images or fewer at once", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # Who reads our lines has enough, as `| head` does; Python's own last words must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_PIPE_CLOSED)
    except KeyboardInterrupt:
        unwound()


def warn(message: str, *, spell: Callable[[str], str | None] = flag) -> None:
    """Prints `warning: ...` on stderr, settings in backticks as flags."""
    print(f"warning: {InputError(message).spelled(spell)}", file=sys.stderr)

"""What the scripts share: flags of a configuration, and user mistakes as one line with exit code 2."""

import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags, logging
from ml_collections import config_flags

from oidn_jax.errors import InputError


def run_script(main: Callable[[], None]) -> None:
    """Run a script: a user's mistake prints `error: ...` on stderr and exits with 2, Ctrl-C exits with 130.

    Anything else is a bug of ours and keeps its traceback.
    """
    logging.set_verbosity(logging.ERROR)  # orbax's remarks about its options are not for users
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


def define_config() -> Any:
    """Define `--config=FILE[:variant]` with its overrides `--config.section.field=value`; returns the flag holder."""
    return config_flags.DEFINE_config_file("config", None, "configuration file, for example configs/f_actin.py:quick")


def load_config(name: str) -> Any:
    """The configuration of `FILE[:variant]`, for scripts without absl flags.

    Raises:
        InputError: a file that is missing or no configuration, an unknown variant.
    """
    file, _, variant = name.partition(":")
    path = Path(file) if Path(file).is_file() else Path(__file__).resolve().parents[1] / file
    try:
        spec = importlib.util.spec_from_file_location("configuration", path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} is no Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.get_config(variant) if variant else module.get_config()
    except Exception as error:  # whatever a user's file does wrong
        raise InputError(f"--config={name} cannot be loaded: {_last_line(error)}") from error


def parse_flags(argv: Sequence[str], *, required: Sequence[str], arguments: bool = False) -> list[str]:
    """Parse absl flags, `--help` included; gives what is left, which only `arguments` allows.

    Raises:
        InputError: for an unknown flag or configuration field, a value of the wrong type, a missing required flag or
            a leftover argument.
    """
    if any(argument in ("--help", "-h", "-help") for argument in argv[1:]):
        print(sys.modules["__main__"].__doc__ or "")
        print(flags.FLAGS.main_module_help())
        sys.exit(0)
    try:
        rest = flags.FLAGS(list(argv))
        # Of a file that could not be loaded, ml_collections tells only when the configuration is used.
        getattr(flags.FLAGS["config"].value, "lock", None)
    except (flags.Error, KeyError, AttributeError, NameError, TypeError, ValueError) as error:
        raise InputError(f"{_flag_message(error)}; see --help") from error
    except (OSError, ImportError, SyntaxError) as error:
        raise InputError(f"--config cannot be loaded: {_last_line(error)}") from error
    if len(rest) > 1 and not arguments:
        raise InputError(f"unexpected argument {rest[1]!r}; options are written --name=value, see --help")
    for name in required:
        if flags.FLAGS[name].value is None:
            raise InputError(f"--{name} is missing; see --help")
    return rest[1:]


def _flag_message(error: Exception) -> str:
    message = str(error)
    if "whilst parsing config file" in message:  # followed by a traceback, which ends with what matters
        return re.sub(r"^\w+: ", "", _last_line(error))
    unknown = re.match(r"[\\'\"]+(\w+)[\\'\"]", message)  # ml_collections quotes the name, and then its quotes
    if isinstance(error, KeyError | AttributeError) and unknown:
        guess = re.search(r'Did you mean "(\w+)"', message)
        return f"the configuration has no field {unknown[1]!r}" + (f"; did you mean {guess[1]!r}?" if guess else "")
    return message.strip().splitlines()[0] if message.strip() else type(error).__name__


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()

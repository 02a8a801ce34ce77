"""A function of the user's, by its name: `MODULE:FUNCTION`, or `FILE.py:FUNCTION`."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from oidn_jax.errors import IllegalValue, InputError


def function_of(setting: str, name: str) -> Callable[..., Any]:
    """The function of a name.

    Args:
        setting: that the name is the value of, for messages.
        name: MODULE:FUNCTION of a module that Python finds, or FILE.py:FUNCTION of a program, which is run.

    Raises:
        InputError: another form; a module or file that is missing or fails; no such function in it.
    """
    source, _, attribute = name.rpartition(":")
    if not source or not attribute:
        raise IllegalValue(setting, name, "give MODULE:FUNCTION or FILE.py:FUNCTION, as tracking.py:log")
    try:
        module = _module_of_file(source) if source.endswith(".py") else importlib.import_module(source)
    except (Exception, SystemExit) as error:  # whatever a user's file does wrong
        reason = str(error) or type(error).__name__
        raise InputError(f"`{setting}` is {name!r}, of which {source} cannot be loaded: {reason}") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise IllegalValue(setting, name, f"{source} has no function {attribute}")
    return function


def _module_of_file(path: str) -> ModuleType:
    if not Path(path).is_file():
        raise FileNotFoundError("there is no such file")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None, "the name ends in .py"
    assert spec.loader is not None, "the same"
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(spec.name, module)  # where its dataclasses look for it
    spec.loader.exec_module(module)
    return module

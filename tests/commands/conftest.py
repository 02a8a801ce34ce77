"""Commands in this process: starting Python with jax takes seconds."""

import re
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

import pytest


class Outcome(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(capsys) -> Callable[..., Outcome]:
    """A function that runs a command of `oidn-jax` with its words."""

    def command(name, *words):
        capsys.readouterr()
        code = 0
        try:
            import_module(f"oidn_jax.commands.{name}").main([str(word) for word in words])
        except SystemExit as end:
            code = end.code or 0
        return Outcome(code, *capsys.readouterr())

    return command


@pytest.fixture
def refused(command):
    """A function that runs a command which must be refused in one line that matches a pattern."""

    def refused(pattern, name, *words):
        code, out, err = command(name, *words)
        assert (code, out) == (2, ""), (out, err)
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert re.search(pattern, err), err

    return refused

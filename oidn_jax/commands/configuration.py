"""`--config=NAME[:VARIANT]` and its changes `--config.section.field=value`, as every command has them."""

import argparse
import ast
import difflib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from oidn_jax.commands.parser import OneLineParser
from oidn_jax.errors import IllegalValue, InputError

if TYPE_CHECKING:
    from ml_collections import ConfigDict

DATA_ROOT = "BIOSR_ROOT"
_PREFIX = "--config."
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


def add_config(group: argparse._ActionsContainer, *, what: str, required: bool = False) -> None:
    """Adds the flag; `parse` collects the changes."""
    group.add_argument(
        "--config",
        required=required,
        metavar="NAME[:VARIANT]",
        help=f"{what}: an experiment that comes with the package, as f_actin:quick, or a FILE.py[:VARIANT], which is a "
        "Python program and is run; --config.SECTION.FIELD=VALUE changes a setting of it",
    )


def parse(parser: OneLineParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses flags and changes, the latter as `options.changes`: (field, text) in the order given."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    changes = []
    for word in words:
        if word.startswith(_PREFIX):
            field, equals, text = word.removeprefix(_PREFIX).partition("=")
            if not equals:
                parser.error(f"{word} has no value; write {word}=VALUE")
            changes.append((field, text))
    options = parser.parse_intermixed_args([word for word in words if not word.startswith(_PREFIX)])
    if changes and options.config is None:
        parser.error(f"{_PREFIX}{changes[0][0]} changes a configuration; give it too, as --config=f_actin")
    options.changes = changes
    return options


def check_changes(parser: OneLineParser, options: argparse.Namespace, used: Sequence[str]) -> None:
    """Refuses changes that this command has no use for, and a damping of the theoretical OTF that `--otf` replaces.

    Args:
        parser: of the command.
        options: what `parse` gave.
        used: the sections, or fields as `microscope.scale`, that the command takes from a configuration.
    """
    for field, _ in options.changes:
        if not any(field == name or field.startswith(f"{name}.") for name in used):
            parser.error(f"{_PREFIX}{field} has no use here; of a configuration only {', '.join(used)} is used")
        if field == "microscope.otf_damping" and options.otf is not None:
            parser.error(f"{_PREFIX}{field} is of the theoretical OTF, which --otf replaces; give one of them")


def changed_config(name: str, changes: Sequence[tuple[str, str]]) -> "ConfigDict":
    """The configuration of a name with the changes made.

    A change of `model.name` comes first and brings the other network's own fields.

    Raises:
        InputError: see `config.load_config`; a field that does not exist, or a value of another type.
    """
    from oidn_jax.config import load_config, use_network

    config = load_config(name)
    for field, text in changes:
        if field == "model.name" and text != config.model.name:
            use_network(config, text)
    for field, text in changes:
        *sections, last = field.split(".")
        section: Any = config
        for depth, part in enumerate((*sections, last), start=1):
            known = list(section)
            if part not in known:
                guess = difflib.get_close_matches(part, known, n=1)
                hint = f"did you mean {guess[0]!r}?" if guess else f"there are: {', '.join(known)}"
                raise InputError(
                    f"the configuration has no field `config.{'.'.join((*sections, last)[:depth])}`; {hint}"
                )
            if hasattr(section[part], "keys") != (depth <= len(sections)):
                what = "a section; change its fields" if depth > len(sections) else "no section; it has no fields"
                raise InputError(f"`config.{'.'.join((*sections, last)[:depth])}` is {what}")
            if depth <= len(sections):
                section = section[part]
        section[last] = _value(f"config.{field}", text, section[last])
    if config.microscope.get("otf_file") and any(field == "microscope.otf_damping" for field, _ in changes):
        raise InputError(
            "`microscope.otf_damping` is of the theoretical OTF, which `microscope.otf_file` replaces; give one of them"
        )
    return config


def with_data_root(name: str, changes: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The changes, and `data.root` of the environment's BIOSR_ROOT where neither they nor the configuration has one.

    An empty one among the changes simulates.
    """
    from oidn_jax.config import load_config

    root = os.environ.get(DATA_ROOT, "")
    if not root or any(field == "data.root" for field, _ in changes) or load_config(name).data.root:
        return list(changes)
    return [*changes, ("data.root", root)]


def _value(field: str, text: str, current: Any) -> Any:
    """The text as a value of the type that the field has now."""
    if isinstance(current, str):
        return text
    if isinstance(current, bool):
        if text.lower() not in _TRUE + _FALSE:
            raise IllegalValue(field, text, "it must be true or false")
        return text.lower() in _TRUE
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise IllegalValue(field, text, f"it must be {_words(current)}, as {current!r}") from error
    if isinstance(current, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(current, tuple | list) and isinstance(value, tuple | list):
        return tuple(value)
    if type(value) is not type(current):
        raise IllegalValue(field, text, f"it must be {_words(current)}, as {current!r}")
    return value


def _words(value: Any) -> str:
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, float):
        return "a number"
    return "a sequence" if isinstance(value, tuple | list) else f"a {type(value).__name__}"

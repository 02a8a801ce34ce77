"""The exceptions for mistakes that a user can correct.

Contract: the message is one line that says what was given, what is legal and what to do. Settings are named in
backticks as the library knows them (`pixel_size_nm`, `train.patch`); a command writes them as its user did
(`--pixel-size-nm`, `--config.train.patch`), prints the line on stderr and exits with 2.
"""

import re
from collections.abc import Callable


def printable(text: str) -> str:
    """The text on one line, with control characters and undecodable bytes, as file names may have, shown as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.splitlines()))


class InputError(ValueError):
    """A user's mistake: a wrong file, a wrong setting, or an output that cannot be written.

    Args:
        message: line breaks (of a quoted library message or a file name) become spaces.
    """

    def __init__(self, message: str) -> None:
        """Keeps the message on one line."""
        super().__init__(printable(message))

    def spelled(self, spell: Callable[[str], str | None]) -> str:
        """The message with each setting as `spell` writes it; None leaves a name in backticks."""
        return re.sub("`([^`]*)`", lambda match: spell(match[1]) or match[0], str(self))


class WriteError(InputError):
    """What the disk refuses in the middle of the work because it is full, or fails: a command exits with 1."""


class IllegalValue(InputError):
    """A setting with a value that is not legal.

    Attributes:
        field: its name; of a setting in a section `section.name`.
        value: what was given.
        legal: what may be given, as "it must be positive".
    """

    def __init__(self, field: str, value: object, legal: str) -> None:
        """`field` is value; legal."""
        self.field, self.value, self.legal = field, value, legal
        super().__init__(f"`{field}` is {value!r}; {legal}")

    def within(self, section: str) -> "IllegalValue":
        """The same of a field in a section."""
        return IllegalValue(f"{section}.{self.field}", self.value, self.legal)

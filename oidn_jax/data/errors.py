"""The one exception of this package for mistakes a user can correct.

Contract: an `InputError` carries a single line that names what was given, what is legal and what to do. The scripts
print that line on stderr and exit with code 2; library callers can catch it as a `ValueError`.
"""


class InputError(ValueError):
    """A user's mistake: a wrong file, a wrong option, or an output that cannot be written.

    Args:
        message: what was given, what is legal and what to do. Line breaks (of a quoted library message or a file name)
            become spaces, so that the message is always one line.
    """

    def __init__(self, message: str) -> None:
        """Keeps the message on one line."""
        super().__init__(" ".join(message.splitlines()))

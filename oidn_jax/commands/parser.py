"""argparse as every command uses it: `--flag=value`, no abbreviations, mistakes in one line."""

import argparse
from typing import Any, NoReturn


class OneLineParser(argparse.ArgumentParser):
    """A mistake in the flags prints `error: ...` on stderr and exits with 2."""

    def __init__(self, prog: str, description: str, **options: Any) -> None:
        """A parser whose description is printed as it is written, and whose flags are written in full."""
        super().__init__(
            prog=prog,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **options,
        )

    def error(self, message: str) -> NoReturn:
        """One line, without the usage."""
        self.exit(2, f"error: {message}; see --help\n")

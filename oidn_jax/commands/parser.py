"""argparse whose mistakes are one line, as those of the other scripts."""

import argparse
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """A mistake in the flags prints `error: ...` on stderr and exits with 2."""

    def error(self, message: str) -> NoReturn:
        """One line, without the usage."""
        self.exit(2, f"error: {message}; see --help\n")

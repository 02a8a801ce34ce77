"""`python -m oidn_jax.optics.checks [FILE ...]`: another name of `oidn-jax laws`, then `oidn-jax inspect FILE ...`."""

import sys

from oidn_jax.commands import inspect, laws

if __name__ == "__main__":
    files = [word for word in sys.argv[1:] if not word.startswith("-")]
    laws.main([word for word in sys.argv[1:] if word.startswith("-")])
    if files:
        inspect.main(files)

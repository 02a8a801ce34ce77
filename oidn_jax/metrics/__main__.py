"""`python -m oidn_jax.metrics`: another name of `oidn-jax measure`."""

from oidn_jax.commands.measure import main

if __name__ == "__main__":
    main()

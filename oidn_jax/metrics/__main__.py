"""`python -m oidn_jax.metrics`: another name of `oidn-jax measure`."""

from oidn_jax.commands.main import script

if __name__ == "__main__":
    script("measure")

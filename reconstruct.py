"""Reconstruct raw files: `python reconstruct.py cell.tif --out=DIR ...`, the same as `oidn-jax reconstruct`."""

from oidn_jax.commands.main import script

if __name__ == "__main__":
    script("reconstruct")

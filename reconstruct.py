"""Reconstruct raw files: `python reconstruct.py cell.tif --out=DIR ...`, the same as `oidn-jax reconstruct`."""

from oidn_jax.commands.reconstruct import main

if __name__ == "__main__":
    main()

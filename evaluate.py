"""Compare methods on held-out scenes: `python evaluate.py --config=... --out=DIR`, the same as `oidn-jax evaluate`."""

from oidn_jax.commands.evaluate import main

if __name__ == "__main__":
    main()

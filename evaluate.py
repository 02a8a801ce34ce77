"""Compare methods on held-out scenes: `python evaluate.py --config=... --out=DIR`, the same as `oidn-jax evaluate`."""

from oidn_jax.commands.main import script

if __name__ == "__main__":
    script("evaluate")

"""Train a network: `python train.py --config=configs/f_actin.py:quick`, the same as `oidn-jax train`."""

from oidn_jax.commands.main import script

if __name__ == "__main__":
    script("train")

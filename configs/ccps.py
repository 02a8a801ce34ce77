"""Clathrin-coated pits with the paper's setting: width 64, 4 x 4 blocks, patches of 128, batch 4, Adam 1e-4.

    python train.py --config=configs/ccps.py --workdir=runs/ccps
    python train.py --config=configs/ccps.py:quick --workdir=runs/ccps_quick

Total internal reflection, illumination NA 1.41; nine signal levels.
"""

from ml_collections import ConfigDict

from oidn_jax.config import specimen_config


def get_config(variant: str = "paper") -> ConfigDict:
    """The configuration of a variant: `paper`, `quick`, a channel, or both, as `quick,560`."""
    return specimen_config("ccps", variant)

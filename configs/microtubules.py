"""Microtubules with the paper's setting: width 64, 4 x 4 blocks, patches of 128, batch 4, Adam 1e-4.

    python train.py --config=configs/microtubules.py --workdir=runs/microtubules
    python train.py --config=configs/microtubules.py:quick --workdir=runs/microtubules_quick

Grazing incidence, illumination NA 1.35; nine signal levels.
"""

from ml_collections import ConfigDict

from oidn_jax.config import specimen_config


def get_config(variant: str = "paper") -> ConfigDict:
    """The configuration of a variant: `paper`, `quick`, a channel, or both, as `quick,560`."""
    return specimen_config("microtubules", variant)

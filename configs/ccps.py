"""Clathrin-coated pits with the paper's setting: width 64, 4 x 4 blocks, patches of 128, batch 4, Adam 1e-4.

    python train.py --config=configs/ccps.py --workdir=runs/ccps
    python train.py --config=configs/ccps.py:quick --workdir=runs/ccps_quick

Total internal reflection, illumination NA 1.41; nine signal levels.
"""

from typing import Any

from configs.variants import specimen_config


def get_config(variant: str = "paper") -> Any:
    """The configuration of a variant of `configs.variants`."""
    # Most of a field is dark, so that learning rings takes twice as many steps as learning filaments.
    return specimen_config("ccps", variant, {"density": (0.6, 2.0), "illumination_na": 1.41}, quick_steps=1000)

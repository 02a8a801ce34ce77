"""Microtubules with the paper's setting: width 64, 4 x 4 blocks, patches of 128, batch 4, Adam 1e-4.

    python train.py --config=configs/microtubules.py --workdir=runs/microtubules
    python train.py --config=configs/microtubules.py:quick --workdir=runs/microtubules_quick

Grazing incidence, illumination NA 1.35; nine signal levels.
"""

from typing import Any

from configs.variants import specimen_config


def get_config(variant: str = "paper") -> Any:
    """The configuration of a variant of `configs.variants`."""
    return specimen_config("microtubules", variant, {"density": (0.7, 2.5), "illumination_na": 1.35})

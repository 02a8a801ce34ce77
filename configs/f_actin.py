"""F-actin with the paper's setting: width 64, 4 x 4 blocks, patches of 128, batch 4, Adam 1e-4.

    python train.py --config=configs/f_actin.py --workdir=runs/f_actin
    python train.py --config=configs/f_actin.py:quick --workdir=runs/quick

Total internal reflection, illumination NA 1.41; twelve signal levels, as BioSR has for this specimen.
"""

from typing import Any

from configs.variants import specimen_config


def get_config(variant: str = "paper") -> Any:
    """The configuration of a variant of `configs.variants`."""
    return specimen_config(
        "f_actin",
        variant,
        {
            "density": (2.0, 9.0),
            "illumination_na": 1.41,
            "mean_photons": (15.0, 21.0, 29.0, 41.0, 57.0, 80.0, 112.0, 157.0, 219.0, 307.0, 429.0, 600.0),
            "fluorescence": {"low": (1, 2, 3, 4), "medium": (5, 6, 7, 8), "high": (9, 10, 11, 12)},
        },
    )

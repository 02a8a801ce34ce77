"""The endoplasmic reticulum with the paper's setting: width 64, 4 x 4 blocks, patches of 128, batch 4, Adam 1e-4.

    python train.py --config=configs/er.py --workdir=runs/er
    python train.py --config=configs/er.py:quick --workdir=runs/er_quick

Grazing incidence, illumination NA 1.35; six signal levels, as BioSR has for this specimen.
"""

from typing import Any

from configs.variants import specimen_config


def get_config(variant: str = "paper") -> Any:
    """The configuration of a variant of `configs.variants`."""
    return specimen_config(
        "er",
        variant,
        {
            "density": (1.5, 3.5),
            "illumination_na": 1.35,
            "mean_photons": (15.0, 31.0, 66.0, 137.0, 287.0, 600.0),
            "fluorescence": {"low": (1, 2), "medium": (3, 4), "high": (5, 6)},
        },
    )

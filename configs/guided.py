"""A network guided by Wiener SIM, trained on all specimens under many microscopes.

    python train.py --config=configs/guided.py --workdir=runs/guided
    python train.py --config=configs/guided.py:quick --workdir=runs/guided_quick

`quick` is a small network for F-actin under one microscope, which learns in minutes on a laptop.
"""

import math
from typing import Any

from oidn_jax.config import specimen_config, use_network
from oidn_jax.errors import IllegalValue

VARIANTS = ("full", "quick")

# Objective, emission (nm), pixel (nm), illumination NA and its spread, excitation (nm), damping of the OTF, read noise
# (electrons), most haze: no more, for where light in focus is as smooth as haze a network that removes haze removes it.
_MICROSCOPES = (
    (1.49, 525.0, 62.6, 1.38, 0.04, 488.0, 0.175, 1.6, 0.5),
    (1.49, 525.0, 62.6, 1.35, 0.05, 488.0, 0.35, 6.0, 1.0),
    (1.30, 525.0, 65.0, 0.95, 0.25, 488.0, 0.30, 3.0, 1.0),
    (1.20, 607.0, 80.0, 1.00, 0.15, 560.0, 0.60, 2.0, 1.5),
    (1.42, 680.0, 75.0, 1.20, 0.15, 647.0, 0.20, 5.0, 0.5),
    (1.49, 525.0, 55.0, 1.20, 0.15, 488.0, 0.12, 6.0, 1.0),
    (1.40, 525.0, 79.0, 0.70, 0.25, 488.0, 1.00, 1.0, 1.0),
    (1.49, 690.0, 86.7, 1.45, 0.05, 640.0, 0.10, 2.0, 0.5),
    (1.27, 525.0, 45.0, 1.10, 0.20, 488.0, 0.50, 8.0, 2.0),
)
_LEVELS = tuple(round(2.0 * math.exp(i * math.log(1000.0) / 19.0), 1) for i in range(20))  # 2 to 2000 photons


def _changes(microscope: tuple[float, ...]) -> dict[str, Any]:
    na, emission, pixel, illumination, spread, excitation, damping, read_noise, haze = microscope
    return {
        "microscope.na": na,
        "microscope.emission_wavelength_nm": emission,
        "microscope.pixel_size_nm": pixel,
        "microscope.otf_damping": damping,
        "simulation.illumination_na": illumination,
        "simulation.illumination_na_spread": spread,
        "simulation.excitation_wavelength_nm": excitation,
        "simulation.orientation_spread_deg": 30.0,
        "simulation.camera.read_noise": read_noise,
        "simulation.diffuse": (0.0, 0.8),
        "simulation.background": (0.0, haze),
        "simulation.background_depth_nm": 100.0,
        "simulation.modulation_depth": (0.25, 0.98),
        "simulation.mean_photons": _LEVELS,
        "simulation.uneven_brightness": (0.0, 0.06),
        "simulation.dichroism": (0.0, 0.3),
        "simulation.empty": 0.1,
    }


def get_config(variant: str = "full") -> Any:
    """The configuration of a variant: `full`, what is shipped, or `quick`."""
    if variant not in VARIANTS:
        raise IllegalValue("variant", variant, f"legal: {', '.join(VARIANTS)}")
    config = specimen_config("f_actin", "quick")
    config.name = f"guided:{variant}"
    use_network(config, "guided")
    config.train.learning_rate = 1e-3
    if variant == "quick":
        return config
    config.model.widths = (32, 64, 128)
    # Errors at much light are small: squares alone, and likeness, would hardly count them.
    config.loss.weights.update(mse=10.0, l1=0.1, ssim=0.05)
    # F-actin thrice: dense meshes are what a network for everything pays with.
    config.variety.specimens = ("f_actin", "f_actin", "f_actin", "microtubules", "er", "ccps")
    config.variety.microscopes = tuple(map(_changes, _MICROSCOPES))
    config.train.update(
        steps=8_000, warmup_steps=200, ema_decay=0.998, log_every=100, evaluate_every=2500, checkpoint_every=500
    )
    return config

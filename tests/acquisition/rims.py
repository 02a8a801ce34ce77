"""Modulation depths found in frames with rims that are no rectangle: python -m tests.acquisition.rims.

Writes the table of docs/classical.md: the smallest and the largest depth of the orientations, found in the largest lit
rectangle and, for comparison, with the rim taken for a part of the object.
"""

from dataclasses import replace
from functools import partial

import jax
import numpy as np

from oidn_jax.acquisition import Acquisition, frames
from oidn_jax.acquisition.lit_field import LitField, LitPart
from oidn_jax.optics.microscope import Microscope
from oidn_jax.simulation.acquisitions import simulate_acquisition
from oidn_jax.simulation.settings import Simulation, specimen_settings

SIZE, DEPTH = 128, 0.8
MICROSCOPE = Microscope(otf_damping=0.3)
SPECIMENS = ("microtubules", "f_actin", "er", "ccps")
SHAPES = ("all of the field", "round stop", "turned by 5 degrees")
FILLS = ("zeros", "camera noise", "mean of all frames")


def counts(specimen: str) -> np.ndarray:
    """(9, h, w) at 100 photons."""
    settings = replace(
        specimen_settings(specimen),
        illumination_na=1.2,
        background=(0.2, 0.2),
        modulation_depth=(DEPTH, DEPTH),
        mean_photons=(100.0,),
        fluorescence={"all": (1,)},
    )
    simulate = jax.jit(partial(simulate_acquisition, simulation=Simulation(settings, MICROSCOPE), size=(SIZE, SIZE)))
    return np.moveaxis(np.asarray(simulate(jax.random.key(3), 0).raw_frames), -1, 0).astype(np.uint16)


def lit(shape: str) -> np.ndarray:
    """Its pixels."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    if shape == "round stop":
        return np.hypot(y, x) < 0.45 * SIZE
    along, across = (np.cos(t) * y + np.sin(t) * x for t in np.deg2rad([5.0, 95.0]))
    return (abs(along) < SIZE / 2) & (abs(across) < SIZE / 2) if shape != SHAPES[0] else np.ones_like(y, bool)


def depths(images: np.ndarray) -> str:
    """Found in these frames."""
    acquisition = Acquisition.of_frames(np.moveaxis(images, 0, -1), MICROSCOPE)
    values = np.asarray(acquisition.estimate.illumination.modulation_depth)
    return f"{values.min():.2f}–{values.max():.2f}"


def main() -> None:
    """Prints the table."""
    find = frames.find_lit_part

    def whole(given: np.ndarray, *rest: object, **others: object) -> LitPart:
        return LitPart.of(LitField.whole((SIZE, SIZE)))

    for shape in SHAPES:
        for fill in FILLS if shape == "round stop" else FILLS[:1]:
            cells = []
            for specimen in SPECIMENS:
                inside, images = lit(shape), counts(specimen)
                noise = np.random.default_rng(0).normal(100.0, 1.6, images.shape).round()
                level = {"zeros": 0.0, "camera noise": noise, "mean of all frames": images.mean().round()}[fill]
                padded = np.where(inside, images, level).astype(np.uint16)
                cells.append(depths(padded))
                if shape != SHAPES[0]:
                    frames.find_lit_part = whole
                    cells[-1] += f" / {depths(padded)}"
                    frames.find_lit_part = find
            name = shape if shape == SHAPES[0] else f"{shape}, {fill}"
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

"""The picture of the simulated specimens: python -m benchmarks.specimens [--out docs/images/specimens.png].

A row for each specimen: the object, the target, then the widefield image and one raw frame at a low, a medium and a
high signal level.
"""

import argparse
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from oidn_jax.classical.widefield import widefield
from oidn_jax.figures.training_panel import TrainingRow, save_training_panel
from oidn_jax.optics.microscope import Microscope
from oidn_jax.simulation.acquisitions import simulate_acquisition
from oidn_jax.simulation.settings import Simulation, specimen_settings
from oidn_jax.simulation.specimens import SPECIMENS


def pictures(specimen: str, *, size: int, seed: int) -> dict[str, np.ndarray]:
    """The pictures of a specimen by name, all on the fine grid; a raw frame has its pixels repeated."""
    simulation = Simulation(specimen_settings(specimen), Microscope())
    scale = simulation.microscope.scale
    simulate = jax.jit(partial(simulate_acquisition, simulation=simulation, size=(size, size)))
    key = jax.random.key(seed)
    row: dict[str, np.ndarray] = {}
    for name, levels in simulation.settings.fluorescence_levels.items():
        acquisition = jax.device_get(simulate(key, levels[len(levels) // 2] - 1))
        row.setdefault(f"object: {specimen}", acquisition.specimen)
        raw_frames = jnp.moveaxis(acquisition.raw_frames, -1, 0)
        row.setdefault("target", acquisition.target[..., 0])
        row[f"widefield, {name}"] = np.asarray(widefield(raw_frames, scale=scale))
        row[f"raw frame, {name}"] = np.kron(acquisition.raw_frames[..., 0], np.ones((scale, scale)))
    return row


def main() -> None:
    """Parse, simulate, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/specimens.png"))
    parser.add_argument("--size", type=int, default=128, help="raw pixels (default 128)")
    parser.add_argument("--seed", type=int, default=4)
    options = parser.parse_args()
    rows = [TrainingRow(pictures(specimen, size=options.size, seed=options.seed)) for specimen in SPECIMENS]
    save_training_panel(options.out, rows, pixel_size_nm=31.3, title="simulated specimens")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()

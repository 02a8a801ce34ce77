"""How a reconstruction depends on the tile: python -m benchmarks.tiles --workdir=DIR.

The frequency attention takes statistics of the tile it sees, so the same image in other tiles is another result. Large
held-out scenes are reconstructed in tiles of several sizes and as a whole, and scored against their target.
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

import oidn_jax
from benchmarks.record import Column, RecordedTable
from oidn_jax.commands.run import run
from oidn_jax.config import simulation_settings
from oidn_jax.methods import reconstruct
from oidn_jax.methods.network import BORDER
from oidn_jax.metrics.image import psnr
from oidn_jax.metrics.normalisation import affine_match, min_max
from oidn_jax.metrics.ssim import ssim
from oidn_jax.simulation.acquisitions import simulate_acquisition
from oidn_jax.simulation.settings import Simulation


def main() -> None:
    """Parse, simulate, reconstruct, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True, type=Path)
    parser.add_argument("--size", type=int, default=256, help="raw pixels of the scenes (default 256)")
    parser.add_argument("--scenes", type=int, default=4, help="at medium fluorescence (default 4)")
    parser.add_argument("--tiles", type=int, nargs="+", default=[48, 64, 96, 128, 192])
    options = parser.parse_args()

    model = oidn_jax.load(options.workdir)
    simulation = Simulation(simulation_settings(ConfigDict(dict(model.configuration))), model.microscope)
    level = simulation.settings.fluorescence["medium"][0] - 1
    simulate = jax.jit(
        lambda key: simulate_acquisition(key, level, simulation=simulation, size=(options.size, options.size))
    )
    scenes = [simulate(jax.random.fold_in(jax.random.key(77), i)) for i in range(options.scenes)]
    raw_frames = np.stack([np.asarray(scene.raw_frames) for scene in scenes])
    target = jnp.stack([scene.target[..., 0] for scene in scenes])
    target = min_max(target).apply(target)

    whole_tile = options.size + 2 * BORDER
    images, seconds = {}, {}
    for tile in [*options.tiles, whole_tile]:
        reconstruct(raw_frames[:1], model, tile=tile)  # compiles
        start = time.perf_counter()
        images[tile] = reconstruct(raw_frames, model, tile=tile)[..., 0]
        seconds[tile] = (time.perf_counter() - start) / options.scenes

    columns = [
        Column("tile"),
        Column("affine PSNR", "{:.2f}"),
        Column("affine SSIM", "{:.4f}"),
        Column("difference to whole", "{:.1%}"),
        Column("seconds per image", "{:.2f}"),
    ]
    rows = []
    for tile, image in images.items():
        matched = affine_match(jnp.asarray(image), target).apply(jnp.asarray(image))
        difference = np.sqrt(np.mean((image - images[whole_tile]) ** 2)) / np.std(images[whole_tile])
        rows.append(
            [
                "whole" if tile == whole_tile else tile,
                float(psnr(matched, target, data_range=1.0).mean()),
                float(ssim(matched, target, data_range=1.0).mean()),
                difference,
                seconds[tile],
            ]
        )
    title = f"{options.scenes} scenes of {options.size} x {options.size} raw pixels, patch {model.patch}"
    RecordedTable("tiles", title, columns, rows).print()


if __name__ == "__main__":
    run(main)

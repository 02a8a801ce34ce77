"""Puts the weights of a training run into the package: python -m benchmarks.ship WORKDIR [--checkpoint last].

They are written as float16, which is half the size; what that changes is said, and no more than 6 MB are taken.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np

import oidn_jax
from oidn_jax.errors import InputError
from oidn_jax.models.networks import input_channels
from oidn_jax.models.trained import TrainedModel
from oidn_jax.models.weights import KINDS, SHIPPED, read_model, write_model

_MOST_BYTES = 6e6
_SIDE = 64


def main() -> None:
    """Reads, compares, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir", help="a training run")
    parser.add_argument("--checkpoint", choices=KINDS, help="default: best where there is one, else last")
    parser.add_argument("--name", default="guided", help="in the package")
    options = parser.parse_args()
    try:
        model = oidn_jax.load(options.workdir, checkpoint=options.checkpoint)
        with tempfile.TemporaryDirectory() as folder:
            write_model(Path(folder), model, half=True)
            n_bytes = sum(path.stat().st_size for path in Path(folder).iterdir())
            change = _largest_change(model, read_model(Path(folder)))
        if n_bytes > _MOST_BYTES:
            sys.exit(f"error: the weights take {n_bytes / 1e6:.1f} MB, at most {_MOST_BYTES / 1e6:g} are shipped")
        write_model(SHIPPED / options.name, model, half=True)
    except InputError as error:
        sys.exit(f"error: {error}")
    count = sum(leaf.size for leaf in jax.tree.leaves(model.params))
    print(
        f"wrote {SHIPPED / options.name}: {count} parameters of step {model.origin['step']}, {n_bytes / 1e6:.2f} MB; "
        f"float16 changes an image by {change:.1e} of its range at most"
    )


def _largest_change(model: TrainedModel, half: TrainedModel) -> float:
    """Of the image of random inputs, over its range."""
    channels = input_channels(model.network)
    inputs = np.random.default_rng(0).random((1, _SIDE, _SIDE, channels), np.float32)
    image, other = (np.asarray(each(inputs).image) for each in (model, half))
    return float(np.abs(image - other).max() / np.ptp(image))


if __name__ == "__main__":
    main()

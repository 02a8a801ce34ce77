"""Write simulated cells as files that other programs read: a BioSR tree and DL-SR patch folders.

python -m oidn_jax.simulation.export --specimen=er --cells=3 --out=simulated [--config=FILE[:variant]] [--size=502]
"""

import importlib
import sys
from pathlib import Path

from absl import flags

from configs.command_line import define_config, parse_flags, run_script

CONFIG = define_config()
SPECIMEN = flags.DEFINE_enum("specimen", None, ["f_actin", "microtubules", "ccps", "er"], "with configs/SPECIMEN.py")
OUT = flags.DEFINE_string("out", None, "folder of the data set")
CELLS = flags.DEFINE_integer("cells", 1, "how many cells")
SIZE = flags.DEFINE_integer("size", 502, "side of the raw frames, pixels")
PATCHES = flags.DEFINE_integer("patches", 16, "DL-SR patches cut from each cell; 0 for none")
PATCH = flags.DEFINE_integer("patch", 128, "side of a raw patch, pixels")
SEED = flags.DEFINE_integer("seed", 0, "of the cells")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "remove an export of this specimen that is there")


def main() -> None:
    """Parse, simulate, write."""
    parse_flags(sys.argv, required=["out"])
    from oidn_jax.errors import InputError
    from oidn_jax.simulation.export.biosr import Export, export_cells
    from oidn_jax.simulation.pairs import settings_from_config

    config = CONFIG.value
    if (config is None) == (SPECIMEN.value is None):
        raise InputError(
            "give either --specimen=NAME, with its configuration in configs/, or --config=FILE; see --help"
        )
    if config is None:
        config = importlib.import_module(f"configs.{SPECIMEN.value}").get_config()
    export = Export(
        settings_from_config(config.simulation),
        Path(str(OUT.value)),
        cells=CELLS.value,
        size=SIZE.value,
        patches=PATCHES.value,
        patch=PATCH.value,
        seed=SEED.value,
        overwrite=OVERWRITE.value,
    )
    for _ in export_cells(export):
        pass


if __name__ == "__main__":
    run_script(main)

"""Compare a network with classical methods on held-out scenes.

python evaluate.py --config=FILE[:variant] --workdir=DIR --out=DIR

Writes metrics.json, metrics.csv and panels to the output folder, and the table to the terminal.
"""

import sys
from pathlib import Path

from absl import flags

from configs.command_line import define_config, parse_flags, run_script

CONFIG = define_config()
WORKDIR = flags.DEFINE_string("workdir", None, "folder of the training run")
OUT = flags.DEFINE_string("out", None, "folder for the results")
CHECKPOINT = flags.DEFINE_enum("checkpoint", None, ["best", "last"], "default: the best where there is one")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "replace an evaluation that is there")
METHODS = flags.DEFINE_list("methods", ["widefield", "wiener", "hifi", "oidn"], "what to compare, by commas")
SAVE_RAW = flags.DEFINE_bool("save_raw", False, "also write the first scene's raw frames of each level as TIFF")


def main() -> None:
    """Parse, load, evaluate."""
    parse_flags(sys.argv, required=["config", "workdir", "out"])

    from rich.console import Console

    from oidn_jax.evaluation.report import evaluate
    from oidn_jax.training.checkpoint import load_model

    model = load_model(str(WORKDIR.value), checkpoint=CHECKPOINT.value, expect=CONFIG.value)
    evaluate(
        CONFIG.value,
        model,
        Path(str(OUT.value)),
        methods=METHODS.value,
        overwrite=OVERWRITE.value,
        save_raw=SAVE_RAW.value,
        show=Console(width=None if sys.stdout.isatty() else 120).print,
    )


if __name__ == "__main__":
    run_script(main)

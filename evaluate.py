"""Compare networks with classical methods on held-out scenes of one or several specimens.

python evaluate.py --config=FILE[:variant] --workdir=DIR --out=DIR
python evaluate.py --config=FILE --workdir=actin=DIR --workdir=er=DIR --specimens=f_actin,er,ccps,microtubules --out=DIR
python evaluate.py --config=FILE --methods=widefield,wiener,hifi --out=DIR

Writes report.html, metrics.json, metrics.csv, tables in Markdown and LaTeX and figures to the output folder, and a
table to the terminal. The second method and all after it are tested against the first.
"""

import sys
from pathlib import Path

from absl import flags

from configs.command_line import define_config, parse_flags, run_script
from configs.evaluation_flags import load_networks, specimen_configs

CONFIG = define_config()
WORKDIR = flags.DEFINE_multi_string("workdir", [], "[NAME=]folder of a training run; give it again to compare several")
OUT = flags.DEFINE_string("out", None, "folder for the results")
CHECKPOINT = flags.DEFINE_enum("checkpoint", None, ["best", "last"], "default: the best where there is one")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "replace an evaluation that is there")
METHODS = flags.DEFINE_list("methods", ["widefield", "wiener", "hifi", "oidn"], "by commas; oidn: all the networks")
SPECIMENS = flags.DEFINE_list("specimens", [], "to test on, by commas; default: that of the configuration")
SAVE_RAW = flags.DEFINE_bool("save_raw", False, "also write the first scene's raw frames of each level as TIFF")


def main() -> None:
    """Parse, load, evaluate."""
    parse_flags(sys.argv, required=["config", "out"])

    from rich.console import Console

    from oidn_jax.evaluation.report import Surroundings, evaluate
    from oidn_jax.reconstruction import progress_bar
    from oidn_jax.training.parallel import describe_devices

    configs = specimen_configs(CONFIG.value, SPECIMENS.value)
    models = load_networks(WORKDIR.value, CONFIG.value, checkpoint=CHECKPOINT.value)
    options = {"methods": METHODS.value, "overwrite": OVERWRITE.value, "save_raw": SAVE_RAW.value}
    with progress_bar() as progress:
        show = Console(width=None if sys.stdout.isatty() else 120).print
        where = Surroundings(show, progress, devices=describe_devices(), command=sys.argv)
        evaluate(configs, models, Path(str(OUT.value)), **options, surroundings=where)


if __name__ == "__main__":
    run_script(main)

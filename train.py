"""Train a network: python train.py --config=configs/f_actin.py[:quick] [--workdir=DIR] [--config.section.field=value].

Run the same command again to go on from the last checkpoint. Ctrl-C and SIGTERM save first.
"""

import sys

from absl import flags

from configs.command_line import define_config, parse_flags, run_script

CONFIG = define_config()
WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run; default runs/CONFIGURATION")


def main() -> None:
    """Parse, join the other hosts, train."""
    parse_flags(sys.argv, required=["config"])
    config = CONFIG.value
    workdir = WORKDIR.value or f"runs/{config.name.replace(':', '_').replace(',', '_')}"

    from oidn_jax.evaluation.held_out import Validation
    from oidn_jax.training import parallel
    from oidn_jax.training.loop import TrainingDiverged, check_config, train

    check_config(config)
    parallel.initialise(config.distributed)
    try:
        train(config, workdir, evaluator=Validation(config))
    except TrainingDiverged as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)

"""Check the forward model, and see what a raw file says of itself.

python -m oidn_jax.optics.checks [RAW_FILE ...] [--config=FILE[:variant]] [--otf=FILE]

Exit code 1 when a law fails; the microscope is that of the configuration, by default configs/default.py.
"""

import sys

from absl import flags

from configs import default
from configs.command_line import define_config, parse_flags, run_script

CONFIG = define_config()
OTF = flags.DEFINE_string("otf", None, "measured radial OTF, a Priism file, in place of the theoretical one")


def main() -> None:
    """Parse, check, report."""
    files = parse_flags(sys.argv, required=[], arguments=True)
    from rich.console import Console

    from oidn_jax.data import describe_raw, format_lines, read_radial_otf, read_raw_stack
    from oidn_jax.optics.checks import LAWS, check
    from oidn_jax.optics.checks.report import law_table, microscope_of
    from oidn_jax.simulation.pairs import settings_from_config

    config = CONFIG.value or default.get_config()
    layout = {"orientations": config.frames.orientations, "phases": config.frames.phases}
    stacks = [read_raw_stack(file, **layout) for file in files]
    measured = None if OTF.value is None else read_radial_otf(OTF.value)
    checks = check(LAWS, microscope_of(settings_from_config(config.simulation), measured=measured))
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(law_table(checks, title=config.name))
    for stack in stacks:
        console.print(f"\n[bold]{stack.source}[/bold]")
        for line in format_lines(describe_raw(stack, **layout)):
            console.print(line, highlight=False, markup=False)
    failed = [outcome.statement for outcome in checks if not outcome.passed]
    if failed:
        print(f"error: {len(failed)} of {len(checks)} laws fail: {'; '.join(failed)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)

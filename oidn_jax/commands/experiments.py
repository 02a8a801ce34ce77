"""`oidn-jax experiments`: a suite of trainings and its report."""

import argparse
import sys
from functools import partial
from pathlib import Path

from oidn_jax.commands.parser import OneLineParser
from oidn_jax.commands.run import run
from oidn_jax.experiments.suites import PRESETS, SUITES

DESCRIPTION = f"""\
Trains the networks of a suite from several seeds, tests all on the same held-out scenes, and writes one report with
means, spreads and figures:

{chr(10).join(f"  {name:15} {suite.title}" for name, suite in SUITES.items())}

  oidn-jax experiments --suite=ablation --preset=quick --out=runs/ablation

The same command goes on where it was stopped, by Ctrl-C too; what is done is not done again."""


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, trains, reports."""
    parser = OneLineParser("oidn-jax experiments", DESCRIPTION)
    parser.add_argument("--suite", required=True, choices=tuple(SUITES), help="what is compared")
    parser.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        default="quick",
        help="quick: small networks, under an hour on two cores; paper: the published setting, for accelerators; "
        "default: %(default)s",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the suite, made if missing")
    options = parser.parse_args(arguments)
    command = sys.argv if arguments is None else ["oidn-jax", "experiments", *arguments]
    run(lambda: experiments(options, command), spell=parser.spell)


def experiments(options: argparse.Namespace, command: list[str]) -> None:
    """Runs what is not done yet; reports when all is."""
    # Imported here, so that help and wrong flags need not wait for jax.
    import jax
    from rich.console import Console

    from oidn_jax.commands.progress import progress_bar
    from oidn_jax.evaluation.tables import to_terminal
    from oidn_jax.experiments.report import RESULTS, write_suite_report
    from oidn_jax.experiments.running import Plan, run_suite, write_plan
    from oidn_jax.training.parallel import describe_devices

    plan = Plan(options.suite, options.preset, Path(options.out))
    write_plan(plan)
    if not jax.config.values["jax_compilation_cache_dir"]:
        # The seeds of a run are the same programs, which take longer to compile than a quick training to run.
        jax.config.update("jax_compilation_cache_dir", str(plan.out.absolute() / "compiled"))
    report = plan.out / "report"
    with progress_bar() as progress:
        results = run_suite(plan, say=print, progress=progress)
        if results is None:
            return
        if (report / RESULTS).exists():
            print(f"nothing to do: all is done, {report / 'report.html'}; remove {report} to have it written again")
            return
        table = write_suite_report(plan, results, devices=describe_devices(), command=command, progress=progress)
    console = Console(width=None if sys.stdout.isatty() else 120)
    show = partial(console.print, markup=False, emoji=False)
    show(to_terminal(table))
    show(f"wrote {report}: report.html, results.json, tables.md, tables.tex and figures")

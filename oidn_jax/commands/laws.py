"""`oidn-jax laws`: the laws that the model of image formation must obey, each with its error."""

import argparse
import math
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from oidn_jax.commands.configuration import add_config, changed_config, check_changes, parse
from oidn_jax.commands.parser import OneLineParser, add_otf
from oidn_jax.commands.run import run

if TYPE_CHECKING:
    from oidn_jax.optics.laws import Setup

DESCRIPTION = """\
Checks the model of image formation for a microscope: energy, linearity, adjoint, OTF, PSF, bands, noise, gradients.
Prints each law with its error; the exit code is 1 when one fails."""


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, checks, prints a table."""
    parser = _parser()
    options = parse(parser, arguments)
    check_changes(parser, options, ("microscope", "simulation"))
    run(lambda: laws(options), spell=parser.spell)


def _parser() -> OneLineParser:
    parser = OneLineParser("oidn-jax laws", DESCRIPTION)
    add_config(parser, what="microscope, camera and illumination in place of the usual ones")
    add_otf(parser)
    return parser


def laws(options: argparse.Namespace) -> None:
    """Checks every law, prints the table; exits with 1 when a law fails."""
    # Imported here, so that help need not wait for jax.
    from rich.console import Console
    from rich.table import Table

    from oidn_jax.optics.laws import LAWS, check

    setup = _setup(options)
    outcomes = check(LAWS, setup)
    table = Table("law")
    for column in ("error", "tolerance"):
        table.add_column(column, justify="right")
    table.add_column("holds")
    for outcome in outcomes:
        mark = "[green]yes[/green]" if outcome.passed else "[bold red]NO[/bold red]"
        table.add_row(outcome.statement, f"{outcome.error:.1e}", f"{outcome.tolerance:.0e}", mark)
    print(f"model of image formation, OTF: {setup.microscope.describe_otf()}", flush=True)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    failed = [outcome.statement for outcome in outcomes if not outcome.passed]
    if failed:
        print(f"error: {len(failed)} of {len(outcomes)} laws fail: {'; '.join(failed)}", file=sys.stderr)
        sys.exit(1)


def _setup(options: argparse.Namespace) -> "Setup":
    """What the laws are checked with: the microscope, its illumination and its camera."""
    from oidn_jax.config import default_config, measured_otf, microscope_of, simulation_settings
    from oidn_jax.optics.laws import Setup
    from oidn_jax.simulation.settings import Simulation

    config = default_config() if options.config is None else changed_config(options.config, options.changes)
    simulation = Simulation(simulation_settings(config), microscope_of(config))
    microscope = simulation.microscope
    if options.otf is not None:
        microscope = replace(microscope, measured_otf=measured_otf(options.otf))
    return Setup(
        microscope=microscope,
        illumination_frequency=simulation.illumination_frequency,
        angles=tuple(math.radians(angle) for angle in simulation.settings.orientation_sets_deg[0]),
        camera=simulation.settings.camera,
    )

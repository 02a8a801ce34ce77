"""From settings to a microscope, from outcomes to a table."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from rich.table import Table

from oidn_jax.optics.checks.model import Check, Microscope
from oidn_jax.optics.otf import radial_otf


def microscope_of(settings: Any, *, measured: Any = None) -> Microscope:
    """The microscope of simulation settings.

    Args:
        settings: with the fields of `oidn_jax.simulation.settings.AcquisitionSettings`.
        measured: a measured OTF with `frequency_per_um` and `values`, evenly spaced from 0, in place of the theory.
    """
    otf = None
    if measured is not None:
        step = float(measured.frequency_per_um[1]) * settings.pixel_size_nm / 1000.0
        otf = partial(radial_otf, values=measured.values, step=step)
    return Microscope(
        cutoff=settings.cutoff,
        illumination_frequency=settings.illumination_frequency,
        angles=tuple(math.radians(angle) for angle in settings.orientation_sets_deg[0]),
        phases=settings.phases,
        scale=settings.scale,
        damping=settings.otf_damping,
        integrate_pixel=settings.integrate_pixel,
        measured=otf,
        camera=settings.camera,
    )


def law_table(checks: Sequence[Check], *, title: str) -> Table:
    """Law, error, tolerance, pass."""
    table = Table(title=f"forward model, {title}")
    table.add_column("law")
    for column in ("error", "tolerance"):
        table.add_column(column, justify="right")
    table.add_column("pass")
    for outcome in checks:
        mark = "[green]yes[/green]" if outcome.passed else "[bold red]NO[/bold red]"
        table.add_row(outcome.statement, f"{outcome.error:.1e}", f"{outcome.tolerance:.0e}", mark)
    return table

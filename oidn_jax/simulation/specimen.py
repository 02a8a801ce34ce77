"""What a simulated specimen is: one value, made by one file of `simulation.specimens`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float


@runtime_checkable
class Draw(Protocol):
    """A drawing of the structures with ideal labels.

    A pure function of a key that gives fluorophore density: a filament of brightness 1 carries one unit per pixel of
    its length. Lengths are in nanometres inside, so the same key on a finer grid gives a finer drawing of like
    structures, not larger ones.
    """

    def __call__(
        self,
        key: Array,
        shape: tuple[int, int],
        *,
        pixel_size_nm: float,
        density: tuple[float, float],
        brightness_variation: float,
    ) -> Float[Array, "h w"]:
        """The density on `shape` pixels; each scene draws its own density from the range."""
        ...


@dataclass(frozen=True)
class Specimen:
    """A specimen.

    Attributes:
        name: in configurations and on the command line.
        label: in print.
        folder: its name in BioSR's tree.
        draw: the structures.
        defaults: fields of `simulation.settings.SimulationSettings` that are its own.
        quick_steps: after which a small network has learned something of it.
        moves: whether it moves between the levels of a cell, so that each level has a target of its own.
    """

    name: str
    label: str
    folder: str
    draw: Draw
    defaults: Mapping[str, Any] = field(default_factory=dict)
    quick_steps: int = 500
    moves: bool = False

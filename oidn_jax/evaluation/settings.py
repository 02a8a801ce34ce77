"""What an evaluation depends on: the `evaluation` section of a configuration."""

from dataclasses import dataclass

from oidn_jax.errors import IllegalValue
from oidn_jax.metrics.rolling_frc import SMALLEST_BLOCK
from oidn_jax.models.layers import SMALLEST_IMAGE


@dataclass(frozen=True)
class EvaluationSettings:
    """Held-out scenes and what is shown of them.

    Raises:
        IllegalValue: if a field is not legal.
    """

    scenes: int = 8
    size: int = 128  # raw pixels
    seed: int = 1_000_003  # no training run draws from it
    panels: int = 2  # scenes that are shown
    rolling_block: int = 64  # of rFRC maps, pixels of the super-resolved image
    rolling_skip: int = 8

    def __post_init__(self) -> None:
        for name in ("scenes", "panels", "rolling_skip"):
            if getattr(self, name) < 1:
                raise IllegalValue(name, getattr(self, name), "it must be at least 1")
        if self.size < SMALLEST_IMAGE:
            raise IllegalValue("size", self.size, f"the smallest image is {SMALLEST_IMAGE} pixels")
        if self.rolling_block < SMALLEST_BLOCK:
            raise IllegalValue("rolling_block", self.rolling_block, f"the smallest block is {SMALLEST_BLOCK} pixels")

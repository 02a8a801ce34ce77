"""What a guided network was trained with, in the quantities that change what it sees; outside of them it guesses."""

from collections.abc import Mapping
from typing import Any, NamedTuple

_BEYOND, _LIGHT_BEYOND = 1.05, 1.5  # as a factor: nearer to the range nothing is said, which estimates would not know


class TrainingRange(NamedTuple):
    """The smallest and the largest value of each quantity.

    Attributes:
        cutoff: k_c, cycles per raw pixel.
        pattern: length of the finest wave vector over the cutoff, |p| / k_c.
        photons: mean photo-electrons of a frame over the foreground, where the widefield image is above its mean.
    """

    cutoff: tuple[float, float]
    pattern: tuple[float, float]
    photons: tuple[float, float]

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> "TrainingRange":
        """Of what JSON holds.

        Raises:
            ValueError: for anything that is no such ranges.
        """
        ranges = cls(**{name: (float(low), float(high)) for name, (low, high) in content.items()})
        if not all(0 < low <= high for low, high in ranges):
            raise ValueError(f"ranges of training {dict(content)}")
        return ranges

    def outside(self, *, cutoff: float, pattern: float, photons: float | None) -> list[str]:
        """A line for each quantity that is outside; photons of None are not known."""
        lines = []
        if _is_outside(cutoff, self.cutoff, _BEYOND):
            small = cutoff < self.cutoff[0]
            lines.append(
                f"the pixel size: the raw pixels are {'smaller' if small else 'larger'}, beside what the objective "
                f"resolves, than any that the network was trained with (cutoff {cutoff:.3f} cycles per pixel, trained "
                f"{self.cutoff[0]:.3f} to {self.cutoff[1]:.3f})"
            )
        if _is_outside(pattern, self.pattern, _BEYOND):
            lines.append(
                f"the stripes: their |p| is {pattern:.2f} of the cutoff, the network was trained with "
                f"{self.pattern[0]:.2f} to {self.pattern[1]:.2f}"
            )
        if photons is not None and _is_outside(photons, self.photons, _LIGHT_BEYOND):
            lines.append(
                f"the signal: about {photons:.1g} photo-electrons in a pixel of the foreground, the network was "
                f"trained with {self.photons[0]:g} to {self.photons[1]:g}"
            )
        return lines


def _is_outside(value: float, limits: tuple[float, float], beyond: float) -> bool:
    return not limits[0] / beyond <= value <= limits[1] * beyond

"""One acquisition with what the methods made of it: what figures and the report's viewer show."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from oidn_jax.figures.images import ImageRow

TARGET = "target"
TARGET_LABEL = "Ground truth"


@dataclass(frozen=True)
class Example:
    """The images of one held-out acquisition, on one grid.

    Attributes:
        specimen: in print, as "F-actin".
        level: fluorescence level, as `low`.
        scene: its number among the held-out scenes, from 0.
        signal_level: from 1, the weakest.
        pixel_size_nm: of the images.
        images: (h, w) by the method in print, in the order they are shown, and the target as `TARGET`, last; each of
            its own brightness scale.
    """

    specimen: str
    level: str
    scene: int
    signal_level: int
    pixel_size_nm: float
    images: Mapping[str, np.ndarray]

    @property
    def place(self) -> str:
        """As "F-actin, low fluorescence"."""
        return f"{self.specimen}, {self.level} fluorescence"

    @property
    def row(self) -> ImageRow:
        """As figures take it."""
        images = {TARGET_LABEL if name == TARGET else name: image for name, image in self.images.items()}
        return ImageRow(self.place, images, reference=TARGET_LABEL, pixel_size_nm=self.pixel_size_nm)

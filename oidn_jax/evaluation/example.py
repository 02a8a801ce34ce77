"""One acquisition with what the methods made of it: what figures and the report's viewer show."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

TARGET = "target"


@dataclass(frozen=True)
class Example:
    """The images of one held-out acquisition, on one grid.

    Attributes:
        specimen: its name, as `f_actin`.
        level: fluorescence level, as `low`.
        scene: its number among the held-out scenes, from 0.
        signal_level: from 1, the weakest.
        pixel_size_nm: of the images.
        images: (h, w) by the name of the method, in the order they are shown, and the target as `TARGET`, last; each of
            its own brightness scale.
    """

    specimen: str
    level: str
    scene: int
    signal_level: int
    pixel_size_nm: float
    images: Mapping[str, np.ndarray]

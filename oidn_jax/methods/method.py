"""What a method is, and what it gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from oidn_jax.acquisition.acquisition import Acquisition
from oidn_jax.errors import InputError
from oidn_jax.optics.microscope import Microscope

Progress = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True, eq=False)
class Image:
    """The image of one time point.

    Attributes:
        pixels: (h2, w2) on the grid of `optics.grid`, as they are written to a file.
        dark: the value of a pixel without light. Smaller ones are noise or overshoot.
        provenance: what made it, as JSON can hold it.
        remarks: what the user should know of it, one line each.
        error: (h2, w2), the expected absolute error of each pixel in the unit of the image, where the method knows it.
        guide: (h2, w2), the classical image that a network began with, in the unit of the image; None of others.
    """

    pixels: Float32[np.ndarray, "h2 w2"]
    dark: float
    provenance: Mapping[str, Any]
    remarks: tuple[str, ...] = ()
    error: Float32[np.ndarray, "h2 w2"] | None = None
    guide: Float32[np.ndarray, "h2 w2"] | None = None


@runtime_checkable
class Method(Protocol):
    """A way from an acquisition to an image. It has no state: the same call gives the same image.

    Attributes:
        name: in files and on the command line.
        label: in print.
        needs_illumination: whether it asks for the illumination.
        writes_image: False where the image is a file already.
        inputs: files that it reads besides the raw frames.
    """

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def needs_illumination(self) -> bool: ...
    @property
    def writes_image(self) -> bool: ...
    @property
    def inputs(self) -> tuple[Path, ...]: ...

    def check(self, microscope: Microscope) -> None:
        """Refuses a microscope whose frames it cannot take, with an InputError; before a file is read."""
        ...

    def __call__(self, acquisition: Acquisition, time: int, *, progress: Progress = no_progress) -> Image:
        """The image of a time point; `progress` takes the parts done and their number."""
        ...


def check_finite(image: Image, acquisition: Acquisition) -> Image:
    """The image, unless it has pixels that are no numbers.

    Raises:
        InputError: NaN or infinite pixels.
    """
    computed = (image.pixels,) if image.error is None else (image.pixels, image.error)
    wrong = sum(np.count_nonzero(~np.isfinite(pixels)) for pixels in computed)
    if wrong:
        raise InputError(
            f"{acquisition.stack.source} gave {wrong} NaN or infinite pixels; check the numbers of the microscope and "
            "the method, or use other weights"
        )
    return image

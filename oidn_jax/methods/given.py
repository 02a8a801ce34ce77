"""Images that another program made: nothing is reconstructed, but all that judges images can judge them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oidn_jax.acquisition.acquisition import Acquisition
from oidn_jax.data.image_file import check_image
from oidn_jax.data.raw_stack import RawStack, open_images
from oidn_jax.errors import InputError
from oidn_jax.methods.method import Image, Progress, no_progress
from oidn_jax.optics.microscope import Microscope


@dataclass(frozen=True, eq=False)
class GivenImage:
    """The image of a TIFF or MRC file.

    Attributes:
        path: the file.
    """

    path: Path

    name, label, needs_illumination, writes_image = "image", "given image", False, False

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    def check(self, microscope: Microscope) -> None:
        """Refuses a file that cannot be read.

        Raises:
            InputError: see `data.open_images`.
        """
        open_images(self.path)

    def __call__(self, acquisition: Acquisition, time: int, *, progress: Progress = no_progress) -> Image:
        """The image of the file, which must be that of the acquisition, both as programs show them.

        Raises:
            InputError: a file that cannot be used, or of another size or number of time points.
        """
        images = self.open_for(acquisition)
        pixels = images.read(acquisition.stack.numbers[time])[0].astype(np.float32)
        if images.bottom_first != acquisition.stack.bottom_first:
            pixels = pixels[::-1]
        check_image(pixels, self.path)
        progress(1, 1)
        return Image(
            pixels, dark=0.0, provenance={"image": self.path.name, "optics": acquisition.microscope.describe()}
        )

    def open_for(self, acquisition: Acquisition) -> RawStack:
        """The images of the file, their pixels not read.

        Raises:
            InputError: a file that cannot be used, or images of another size or number of time points.
        """
        images = open_images(self.path)
        times, _, h, w = images.shape
        expected = (acquisition.stack.numbers.stop, *acquisition.fine_size)
        if (times, h, w) != expected:
            raise InputError(
                f"{self.path} is {times} x {h} x {w} (time, y, x), but a super-resolved image of "
                f"{acquisition.stack.source} must be {' x '.join(map(str, expected))}: "
                f"{acquisition.microscope.scale} pixels per raw pixel"
            )
        return images

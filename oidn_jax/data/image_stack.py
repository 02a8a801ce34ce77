"""The images of a file or an array, one at a time: what every format is read into."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from oidn_jax.errors import InputError


@dataclass(frozen=True)
class Channel:
    """What a file says of one of its colours; None where it is silent.

    Attributes:
        name: as shown to people.
        color: red, green and blue, 0 to 255 each.
        emission_nm: wavelength of the light detected.
        excitation_nm: wavelength of the light sent in.
    """

    name: str | None = None
    color: tuple[int, int, int] | None = None
    emission_nm: float | None = None
    excitation_nm: float | None = None

    @classmethod
    def common(cls, channels: "Sequence[Channel]") -> "Channel":
        """What all of some channels agree on."""
        first = channels[0] if channels else cls()
        values = {name: value for name, value in vars(first).items() if all(vars(c)[name] == value for c in channels)}
        return cls(**values)


@dataclass(frozen=True, eq=False)
class ImageStack:
    """Images of one size and dtype, read when they are asked for and not kept.

    Attributes:
        source: the file.
        shape: stored shape; the last two axes are y, x.
        axes: one letter per axis of `shape`: T time, C channel or wave, Z slice, R position, A orientation (angle), P
            phase, Y, X, and others for unnamed ones.
        dtype: of the pixels, in the machine's byte order.
        pixel_size_nm: (y, x) spacing in nanometres as written, or None where the file gives no unit.
        time_interval_s: time between two entries of T in seconds, or None.
        z_spacing_nm: distance of two entries of Z in nanometres, or None.
        remarks: what the reader left out or could not use, one line each.
        channels: one for each entry of C, or a single one without C; empty where the file says nothing.
        na: of the objective, or None.
        bottom_first: whether programs show the first row at the bottom.
        read_plane: reads one image by its number in stored order, in any byte order.
    """

    source: Path
    shape: tuple[int, ...]
    axes: str
    dtype: np.dtype
    pixel_size_nm: tuple[float, float] | None
    time_interval_s: float | None
    read_plane: Callable[[int], np.ndarray]
    z_spacing_nm: float | None = None
    remarks: tuple[str, ...] = ()
    channels: tuple[Channel, ...] = ()
    na: float | None = None
    bottom_first: bool = False

    def read(self, planes: Sequence[int] | np.ndarray) -> Shaped[np.ndarray, "planes y x"]:
        """Reads the images of these numbers, counted in the stored order of the axes before y, x.

        Raises:
            InputError: a file that has vanished or shrunk since it was opened, or pixels that cannot be decoded.
        """
        images = np.empty((len(planes), *self.shape[-2:]), self.dtype)
        for image, plane in zip(images, planes, strict=True):
            image[...] = self.read_plane(int(plane))
        return images


def read_contiguous(
    path: Path, plane: int, *, dtype: np.dtype, size: tuple[int, int], offset: int
) -> Shaped[np.ndarray, "y x"]:
    """Reads one of the images that follow each other without a gap.

    Args:
        path: the file.
        plane: number of the image.
        dtype: as stored, with its byte order.
        size: (y, x) of an image.
        offset: where the first image starts, in bytes.

    Raises:
        InputError: a file that cannot be read, or ends before the image does.
    """
    pixels = size[0] * size[1]
    try:
        image = np.fromfile(path, dtype, pixels, offset=offset + plane * pixels * dtype.itemsize)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the file") from error
    if image.size < pixels:
        raise InputError(f"{path} has become shorter while it was read; copy the file again")
    return image.reshape(size)

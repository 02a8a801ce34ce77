"""The images of a file or an array, one at a time: what every format is read into."""

import contextlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Shaped

from oidn_jax.errors import InputError

_CONTAINER = Path("/sys/fs/cgroup/memory.max")


T = TypeVar("T")


def _agreed(values: Sequence[T | None]) -> T | None:
    return values[0] if len(set(values)) == 1 else None


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
        return cls(
            name=_agreed([channel.name for channel in channels]),
            color=_agreed([channel.color for channel in channels]),
            emission_nm=_agreed([channel.emission_nm for channel in channels]),
            excitation_nm=_agreed([channel.excitation_nm for channel in channels]),
        )


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
            InputError: a file that has vanished or shrunk since it was opened, or pixels that cannot be decoded; images
                that this machine has no memory for.
        """
        check_memory(self.source, len(planes), size=self.shape[-2:], dtype=self.dtype)
        images = np.empty((len(planes), *self.shape[-2:]), self.dtype)
        for image, plane in zip(images, planes, strict=True):
            image[...] = self.read_plane(int(plane))
        return images


def memory_bytes() -> float:
    """The memory of the machine, or of the container that the program runs in; infinite where nothing tells."""
    limits = [math.inf]
    with contextlib.suppress(AttributeError, OSError, ValueError):  # Windows has no sysconf
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(OSError, ValueError):
        limits.append(int(_CONTAINER.read_text()))
    return float(min(limits))


def check_memory(source: Path, count: int, *, size: Sequence[int], dtype: np.dtype) -> None:
    """Refuses images for which this machine has no memory: themselves, and a copy in float64 to compute with.

    Args:
        source: their file, for the message.
        count: how many at a time.
        size: (y, x).
        dtype: of the pixels.

    Raises:
        InputError: naming both numbers.
    """
    needed, have = count * math.prod(size) * (dtype.itemsize + 8), memory_bytes()
    if needed > have:
        raise InputError(
            f"{source} has images of {' x '.join(map(str, size))} pixels; {count} of them take {needed / 2**30:.3g} GB "
            f"of memory, and there are {have / 2**30:.3g} GB: cut or bin them"
        )


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

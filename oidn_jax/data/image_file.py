"""Image files of any format: opened by what they hold, and checked."""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Real

from oidn_jax.data.image_stack import ImageStack
from oidn_jax.data.mrc import MRC_SUFFIXES, is_mrc, open_mrc
from oidn_jax.data.regular_file import refuse_pipe
from oidn_jax.data.tiff import TIFF_SUFFIXES, is_tiff, open_tiff
from oidn_jax.errors import InputError

# One file, a folder of files, or files that make one stack together.
Source = Path | tuple[Path, ...]


def open_image_stack(path: Source) -> ImageStack:
    """Opens a TIFF or MRC file, told apart by content, then by suffix, without reading the pixels.

    Several files, or those of a folder, are opened one after the other, `2.tif` before `10.tif`; they must be alike.

    Raises:
        InputError: the path is no readable file; neither TIFF nor MRC; truncated; complex, boolean or colour pixels.
    """
    if isinstance(path, tuple):
        return _open_together(files_of(path), common_name(path))
    if path.is_dir():
        return _open_folder(path)
    head = _first_bytes(path)
    suffix = path.suffix.lower()
    if is_tiff(head):
        images = open_tiff(path)
    # Old writers leave out both marks, so a file that is named MRC gets the chance to look like one.
    elif is_mrc(head) or suffix in MRC_SUFFIXES:
        images = open_mrc(path)
    else:
        kind = "a TIFF file" if suffix in TIFF_SUFFIXES else "a TIFF or MRC file"
        raise InputError(f"{path} is not {kind} (it starts with {head[:8]!r}); convert the raw frames to OME-TIFF")
    if images.dtype.kind not in "uif":
        raise InputError(f"{path} holds {images.dtype} pixels; raw SIM frames must be integers or real floats")
    return images


def files_of(source: Source) -> list[Path]:
    """The files that a source is read from, in their order."""
    if isinstance(source, tuple):
        return sorted(source, key=natural_order)
    if not source.is_dir():
        return [source]
    files = [path for path in source.iterdir() if path.suffix.lower() in TIFF_SUFFIXES + MRC_SUFFIXES]
    return sorted((path for path in files if path.is_file() and path.name[0] != "."), key=natural_order)


def _open_folder(folder: Path) -> ImageStack:
    files = files_of(folder)
    if not files:
        raise InputError(f"{folder} is a folder without TIFF or MRC files; give a file, or a folder of frames")
    return _open_together(files, folder)


def _open_together(files: Sequence[Path], source: Path) -> ImageStack:
    parts = [open_image_stack(path) for path in files]
    first = parts[0]
    for part in parts:
        if (part.shape, part.dtype, part.pixel_size_nm) != (first.shape, first.dtype, first.pixel_size_nm):
            raise InputError(
                f"{source} holds files of different kinds ({first.source.name}: {first.dtype} {first.shape}, "
                f"{part.source.name}: {part.dtype} {part.shape}); put the frames of one acquisition into a folder alone"
            )
    planes = math.prod(first.shape[:-2])
    inner = first.axes if planes > 1 else "YX"
    return replace(
        first,
        source=source,
        shape=(len(parts), *first.shape[-len(inner) :]),
        axes=f"I{inner}",
        remarks=(f"its {len(parts)} files, {files[0].name} to {files[-1].name}, are taken as one acquisition",),
        read_plane=lambda plane: parts[plane // planes].read_plane(plane % planes),
    )


def common_name(files: Sequence[Path]) -> Path:
    """What files that belong together are called: `a1.tif` to `a9.tif` are `a.tif`, `1.tif` to `9.tif` their folder."""
    first = files[0]
    letters = zip(*(path.name.removesuffix(path.suffix) for path in files), strict=False)
    stem = "".join(some[0] for some in itertools.takewhile(lambda some: len(set(some)) == 1, letters))
    stem = stem.rstrip("0123456789 _-.([")
    return first.with_name(f"{stem or first.absolute().parent.name or 'frames'}{first.suffix}")


def natural_order(path: Path) -> list[tuple[int, str]]:
    """Sorts numbers in names by their value."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(path))]


def check_image(image: Real[np.ndarray, "y x"], source: str | Path) -> None:
    """Refuses pixels that no measurement can use.

    Args:
        image: the pixels.
        source: their file, for the message.

    Raises:
        InputError: NaN or infinite pixels; one value everywhere.
    """
    not_finite = np.count_nonzero(~np.isfinite(image))
    if not_finite:
        raise InputError(f"{source} has {not_finite} NaN or infinite pixels; give an image without")
    if image.min() == image.max():
        raise InputError(f"{source} has an image of one value everywhere; give the image to be judged")


def _first_bytes(path: Path) -> bytes:
    """Reads the first bytes of a file that must exist, be readable and not be empty."""
    try:
        refuse_pipe(path)
        with path.open("rb") as file:
            head = file.read(1024)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path") from error
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); check the path and its permissions") from error
    if not head:
        raise InputError(f"{path} is empty (0 bytes); copy the file again")
    return head

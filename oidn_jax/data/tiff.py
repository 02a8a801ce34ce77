"""Reads TIFF files: plain, BigTIFF, ImageJ hyperstacks and OME-TIFF, of either byte order.

Contract: pixels come back as stored, the last two axes y, x; every other axis keeps the letter the file gives it. A
file whose directories point past its end is refused, because tifffile drops the missing pages or fills them with zeros.
What tifffile logs about broken files stays silent: the user gets one `InputError` instead.
"""

import logging
import math
import mmap
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import tifffile

from oidn_jax.data.image_stack import ImageStack, read_contiguous
from oidn_jax.errors import InputError

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")

_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BYTES_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {3: "u2", 4: "u4", 16: "u8"}
# Tags that hold (offsets, byte counts) of the pixels: strips, tiles.
_DATA_TAGS = ((273, 279), (324, 325))
# Keys are casefolded, which also joins the two micro signs U+00B5 and U+03BC, and the two angstrom signs.
_NM_PER_UNIT = {
    **dict.fromkeys(("å", "angstrom"), 0.1),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1.0),
    **dict.fromkeys(("\u03bcm", "um", "micron", "microns", "micrometer", "micrometre"), 1e3),
    "mm": 1e6,
    "cm": 1e7,
    "m": 1e9,
    "inch": 2.54e7,
}
_S_PER_UNIT = {"ns": 1e-9, "us": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}
_RESOLUTION_UNITS = {2: "inch", 3: "cm"}


def is_tiff(head: bytes) -> bool:
    """Tells from a file's first bytes whether it is a TIFF or BigTIFF file."""
    return head[:4] in _MAGICS


def open_tiff(path: Path) -> ImageStack:
    """Reads and checks the directories of a TIFF file without touching the pixels.

    Args:
        path: an existing file that `is_tiff` accepts.

    Returns:
        Its images. Several series of one shape (a file saved page by page) become one more, slowest axis I.

    Raises:
        InputError: a truncated or damaged file, colour samples, images of different shapes, planes stored in absent
            files.
    """
    _check_complete(path, _bytes_needed(path))
    with _refusing(path), tifffile.TiffFile(path) as tiff:
        first = tiff.series[0]
        if "S" in first.axes:
            raise InputError(
                f"{path} is a colour image (axes {first.axes}, shape {first.shape}); raw SIM frames must be separate "
                "grey pages: save it again as a grey-scale stack (photometric minisblack)"
            )
        if first.axes[-2:] != "YX":
            raise InputError(
                f"{path} has the axes {first.axes}; the last two must be YX: save it again as a stack of images"
            )
        _check_complete(path, _contiguous_end(tiff))
        if any((series.shape, series.dtype) != (first.shape, first.dtype) for series in tiff.series):
            shapes = ", ".join(sorted({f"{series.dtype} {series.shape}" for series in tiff.series}))
            raise InputError(f"{path} holds images of different kinds ({shapes}); save the raw frames alone")
        if any(page is None for series in tiff.series for page in series.pages):
            raise InputError(
                f"{path} lacks planes that its OME metadata promise; put the files of the set in one folder"
            )
        several = len(tiff.series) > 1
        planes = math.prod(first.shape[:-2])
        readers = [_plane_reader(path, series) for series in tiff.series]
        return ImageStack(
            source=path,
            shape=(len(tiff.series), *first.shape) if several else first.shape,
            axes="I" + first.axes if several else first.axes,
            dtype=np.dtype(first.dtype).newbyteorder("="),
            pixel_size_nm=_pixel_size_nm(tiff),
            time_interval_s=_time_interval_s(tiff),
            read_plane=lambda plane: readers[plane // planes](plane % planes),
        )


def _plane_reader(path: Path, series: tifffile.TiffPageSeries) -> Callable[[int], np.ndarray]:
    """Gives a function that reads one image of a series by its number, after the file has been closed."""
    pages = [page for page in series if page is not None]
    file, offset = series.keyframe.parent, series.dataoffset
    ny, nx = series.shape[-2:]
    if offset is not None and all(page.parent is file for page in pages):
        source, dtype = Path(file.filehandle.path), np.dtype(series.dtype).newbyteorder(file.byteorder)
        return lambda plane: read_contiguous(source, plane, dtype=dtype, size=(ny, nx), offset=offset)

    # A page that is a volume holds several images.
    planes_per_page = math.prod(series.shape[:-2]) // len(pages)

    def read_plane(plane: int) -> np.ndarray:
        page = pages[plane // planes_per_page]
        with _refusing(path):
            page.parent.filehandle.open()
            try:
                images = page.asarray().reshape(planes_per_page, ny, nx)
            finally:
                page.parent.filehandle.close()
        image = images[plane % planes_per_page]
        return image if series.transform is None else series.transform(image)

    return read_plane


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Keeps tifffile's log silent and turns its exceptions into InputError."""

    def drop(_: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(drop)
    try:
        yield
    except (InputError, MemoryError):
        raise
    # Broad on purpose: codecs and parsers raise whatever they like on damaged bytes.
    except Exception as error:
        raise InputError(
            f"{path} cannot be read as TIFF ({error}); save it again uncompressed, for example with ImageJ"
        ) from error
    finally:
        logger.removeFilter(drop)


def _check_complete(path: Path, needed: int) -> None:
    size = path.stat().st_size
    if size < needed:
        raise InputError(f"{path} is truncated: {size} bytes found, at least {needed} needed; copy the file again")


def _bytes_needed(path: Path) -> int:
    """Computes the end of the last byte that the page directories point at.

    A directory that lies beyond the end of the file cannot be followed, so for a truncated file this is a lower bound.
    """
    needed = 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for end in _referenced_ends(data):
            needed = max(needed, end)
            if needed > len(data):
                break
    return needed


def _referenced_ends(data: mmap.mmap) -> Iterator[int]:
    """Walks the chain of directories; yields where each part ends before reading it, so that the caller can stop."""
    order = "<" if data[:2] == b"II" else ">"
    count, entry, offset, pointer_at = ("Q", "HHQQ", "Q", 8) if b"+" in data[2:4] else ("H", "HHII", "I", 4)
    count_bytes, entry_bytes, offset_bytes = (struct.calcsize(order + part) for part in (count, entry, offset))
    yield pointer_at + offset_bytes
    seen = set()
    while (directory := struct.unpack_from(order + offset, data, pointer_at)[0]) and directory not in seen:
        seen.add(directory)
        start = directory + count_bytes
        yield start
        pointer_at = start + entry_bytes * struct.unpack_from(order + count, data, directory)[0]
        yield pointer_at + offset_bytes
        yield _directory_end(data, order, entry, range(start, pointer_at, entry_bytes))


def _directory_end(data: mmap.mmap, order: str, entry: str, positions: range) -> int:
    """Computes the end of the last byte that one directory, its entries at `positions`, points at."""
    inline_bytes = struct.calcsize(order + entry[-1])
    ends, integers = [0], {}
    for position in positions:
        tag, kind, count, value = struct.unpack_from(order + entry, data, position)
        n_bytes = count * _BYTES_OF_TYPE.get(kind, 1)
        at = position + positions.step - inline_bytes if n_bytes <= inline_bytes else value
        ends.append(at + n_bytes)
        if kind in _INTEGERS and ends[-1] <= len(data):
            integers[tag] = (order + _INTEGERS[kind], count, at)
    for offsets, counts in _DATA_TAGS:
        if offsets in integers and counts in integers:
            starts, sizes = (np.frombuffer(data, *integers[tag]) for tag in (offsets, counts))
            ends += [int(start) + int(size) for start, size in zip(starts, sizes, strict=False)]
    return max(ends)


def _contiguous_end(tiff: tifffile.TiffFile) -> int:
    """Computes where the pixels end when one directory stands for many contiguous pages, as in large ImageJ stacks."""
    series, page = tiff.series[0], tiff.pages.first
    # tifffile falls back to the single page it can see where the promised ones do not fit into the file.
    if tiff.is_imagej and len(tiff.pages) == 1 and page.is_final:
        return page.dataoffsets[0] + page.nbytes * int((tiff.imagej_metadata or {}).get("images", 1))
    return 0 if series.dataoffset is None else series.dataoffset + series.nbytes


def _pixel_size_nm(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    """Reads the (y, x) spacing in nanometres: OME PhysicalSize, else X/YResolution with ImageJ's or the TIFF unit."""
    if tiff.is_ome:
        pixels = _ome_pixels(tiff)
        sizes = [
            _quantity(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "um"), _NM_PER_UNIT)
            for axis in "YX"
        ]
    else:
        tags = tiff.pages.first.tags
        unit = (tiff.imagej_metadata or {}).get("unit") or _RESOLUTION_UNITS.get(tags.valueof("ResolutionUnit", 2), "")
        resolutions = [tags.valueof(name) for name in ("YResolution", "XResolution")]
        rationals = [value if isinstance(value, tuple) else (0, 1) for value in resolutions]
        sizes = [_quantity(down / up if up else None, unit, _NM_PER_UNIT) for up, down in rationals]
    y, x = sizes
    return None if y is None or x is None else (y, x)


def _time_interval_s(tiff: tifffile.TiffFile) -> float | None:
    """Reads the time between two time points in seconds: OME TimeIncrement or ImageJ finterval."""
    if tiff.is_ome:
        pixels = _ome_pixels(tiff)
        return _quantity(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"), _S_PER_UNIT)
    metadata = tiff.imagej_metadata or {}
    return _quantity(metadata.get("finterval"), metadata.get("tunit", "s"), _S_PER_UNIT)


def _ome_pixels(tiff: tifffile.TiffFile) -> dict[str, str]:
    """Gives the attributes of the first Pixels element of the OME metadata."""
    root = ElementTree.fromstring(tiff.ome_metadata or "<OME/>")
    return next((dict(element.attrib) for element in root.iter() if element.tag.endswith("}Pixels")), {})


def _quantity(value: object, unit: str, per_unit: dict[str, float]) -> float | None:
    """Converts a number with a unit; None for an absent number, one that is not positive, or an unknown unit."""
    # ImageJ escapes the micro sign in its (ASCII) description.
    scale = per_unit.get(str(unit).strip().replace("\\u00B5", "\u00b5").casefold())
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number * scale if scale and math.isfinite(number) and number > 0 else None

"""Reads TIFF files: plain, BigTIFF, ImageJ hyperstacks and OME-TIFF, of either byte order.

Contract: pixels come back as stored, the last two axes y, x; every other axis keeps the letter the file gives it. A
file whose directories point past its end is refused, because tifffile drops the missing pages or fills them with zeros.
What tifffile logs about broken files stays silent: the user gets one `InputError` instead.
"""

import importlib.util
import io
import itertools
import logging
import math
import os
import struct
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import tifffile
from PIL import Image

from oidn_jax.data.image_stack import Channel, ImageStack, check_memory, read_contiguous
from oidn_jax.data.tiff_directories import check_complete, check_directories
from oidn_jax.errors import InputError

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")

_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
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
# What tifffile decodes by itself: none, deflate (two codes), PackBits, LZMA; no and horizontal differences.
_PLAIN_CODECS, _PLAIN_PREDICTORS = (1, 8, 32946, 32773, 34925), (1, 2)
_LZW = 5
_PILLOW = threading.Lock()
# No microscope writes more images into one file, and tifffile makes room for all that metadata promise.
_MOST_IMAGES = 10**7
# Deflate, the densest of the codecs, takes at least a byte for a thousand.
_DENSEST, _SMALL = 1100, 2**20
# No codec makes pixels larger than this and twice their bytes.
_MUCH = 2**16


class _Ome(NamedTuple):
    """What OME metadata say: attributes of the first Pixels element, its channels, NA of the objective."""

    pixels: dict[str, str]
    channels: tuple[Channel, ...] = ()
    na: float | None = None


def is_tiff(head: bytes) -> bool:
    """Tells from a file's first bytes whether it is a TIFF or BigTIFF file."""
    return head[:4] in _MAGICS


def open_tiff(path: Path) -> ImageStack:
    """Reads and checks the directories of a TIFF file without touching the pixels.

    Args:
        path: an existing file that `is_tiff` accepts.

    Returns:
        Its images. Several series of one shape become one more, slowest axis: R, positions, where they are the images
        of OME metadata, else I (a file saved page by page). Samples of a page that are no colours are frames on an axis
        S. Images that are flagged as reduced, and a thumbnail beside larger images, are left out.

    Raises:
        InputError: a truncated or damaged file, colour samples, images of different shapes, planes stored in absent
            files, pixels that need a codec which is not installed, sizes that cannot be in a file of this length.
    """
    with _refusing(path):
        check_directories(path)
        ome, remark = _read_ome(path)
        with tifffile.TiffFile(path, is_ome=None if remark is None else False) as tiff:
            all_series, remarks = _series_of_images(path, tiff)
            remarks = [remark, *remarks] if remark else remarks
            if "S" in all_series[0].axes:
                remarks.append("the samples of its pixels (colour planes) are taken as frames")
            first = all_series[0]
            axes, shape, last = _axes(path, first)
            check_complete(path, _contiguous_end(tiff))
            _check_sizes(path, all_series)
            _check_codecs(path, all_series)
            several = len(all_series) > 1
            pages: list[list[Any]] = [list(series.pages) for series in all_series]
            if any(page is None for some in pages for page in some):
                shape, pages[0], cut = _complete_times(path, first, axes, shape, tiff)
                remarks.append(cut)
            readers = [
                _plane_reader(path, series, some, samples_last=last)
                for series, some in zip(all_series, pages, strict=True)
            ]
            planes = math.prod(shape[:-2])
            together = "R" if tiff.is_ome else "I"
            return ImageStack(
                source=path,
                shape=(len(all_series), *shape) if several else shape,
                axes=together + axes if several else axes,
                dtype=np.dtype(first.dtype).newbyteorder("="),
                pixel_size_nm=_pixel_size_nm(tiff, ome.pixels),
                time_interval_s=_time_interval_s(tiff, ome.pixels),
                z_spacing_nm=_z_spacing_nm(tiff, ome.pixels),
                remarks=tuple(remarks),
                channels=ome.channels if tiff.is_ome else _imagej_channels(tiff),
                na=ome.na,
                read_plane=lambda plane: readers[plane // planes](plane % planes),
            )


def _series_of_images(path: Path, tiff: tifffile.TiffFile) -> tuple[list[tifffile.TiffPageSeries], list[str]]:
    """The series that hold the frames, all of one shape and dtype, and what was left out."""
    reduced = [series for series in tiff.series if series.keyframe.is_reduced]
    kept = [series for series in tiff.series if series not in reduced]
    kinds = {(series.shape[-2:], series.dtype) for series in kept}
    if len(kinds) > 1:  # a preview that nobody has flagged: one page, smaller than half the images
        largest = max(kept, key=lambda series: math.prod(series.keyframe.shape[:2]))
        small = [
            series
            for series in kept
            if len(series.pages) == 1 and max(series.keyframe.shape[:2]) * 2 < max(largest.keyframe.shape[:2])
        ]
        reduced, kept = reduced + small, [series for series in kept if series not in small]
    if not kept:
        raise InputError(f"{path} holds reduced images only; give the file with the frames themselves")
    if any((series.shape, series.dtype) != (kept[0].shape, kept[0].dtype) for series in kept):
        shapes = ", ".join(sorted({f"{series.dtype} {series.shape}" for series in kept}))
        raise InputError(f"{path} holds images of different kinds ({shapes}); save the raw frames alone")
    return kept, [f"{len(reduced)} reduced images (thumbnails) in the file are left out"] if reduced else []


def _axes(path: Path, series: tifffile.TiffPageSeries) -> tuple[str, tuple[int, ...], bool]:
    """Letters and lengths of the axes, y and x last, and whether the samples of a pixel stand together."""
    axes, shape = series.axes, series.shape
    last = axes.endswith("YXS")
    if last:
        axes, shape = axes[:-3] + "SYX", (*shape[:-3], shape[-1], *shape[-3:-1])
    if "S" in axes and shape[axes.index("S")] in (3, 4) and (last or series.keyframe.photometric == 6):
        raise InputError(
            f"{path} is a colour image (axes {series.axes}, shape {series.shape}); raw SIM frames must be separate "
            "grey pages: save it again as a grey-scale stack (photometric minisblack)"
        )
    if axes[-2:] != "YX":
        raise InputError(f"{path} has the axes {axes}; the last two must be YX: save it again as a stack of images")
    return axes, shape, last


def _check_sizes(path: Path, all_series: list[tifffile.TiffPageSeries]) -> None:
    """Refuses images that cannot be in a file of this length, before anybody makes room for them."""
    size = path.stat().st_size
    for series in all_series:
        n_bytes = math.prod(series.keyframe.shape) * np.dtype(series.dtype).itemsize
        if n_bytes > _DENSEST * size + _SMALL:
            raise InputError(
                f"{path} promises images of {n_bytes / 2**30:.3g} GB in a file of {size} bytes; it is damaged: copy it "
                "again"
            )
        *planes, y, x = series.keyframe.shape  # a page is read as a whole
        check_memory(path, math.prod(planes), size=(y, x), dtype=np.dtype(series.dtype))


def _check_codecs(path: Path, all_series: list[tifffile.TiffPageSeries]) -> None:
    """Refuses pixels that cannot be decoded here; LZW is left to Pillow."""
    if importlib.util.find_spec("imagecodecs") is not None:
        return
    for page in (series.keyframe for series in all_series):
        plain = page.compression in _PLAIN_CODECS and page.predictor in _PLAIN_PREDICTORS
        if page.bitspersample not in (1, 8, 16, 32, 64) or not (plain or _is_for_pillow(page)):
            name = getattr(page.compression, "name", page.compression)
            raise InputError(
                f"{path} is stored with {page.bitspersample} bits, compression {name}, predictor {page.predictor:d}: "
                "that needs the package imagecodecs (pip install 'oidn-jax[codecs]'), or save it again uncompressed"
            )


def _is_for_pillow(page: tifffile.TiffPage) -> bool:
    return page.compression == _LZW and page.predictor in _PLAIN_PREDICTORS and page.samplesperpixel == 1


def _complete_times(
    path: Path, series: tifffile.TiffPageSeries, axes: str, shape: tuple[int, ...], tiff: tifffile.TiffFile
) -> tuple[tuple[int, ...], list[Any], str]:
    """What an acquisition holds that was stopped: the leading time points of which every plane is there."""
    lengths = shape[:-2]
    pages = np.empty(len(series.pages), object)
    pages[:] = list(series.pages)
    if "T" in axes and len(pages) == math.prod(lengths) and "FileName=" not in (tiff.ome_metadata or ""):
        along = axes.index("T")
        by_time = np.moveaxis(pages.reshape(lengths), along, 0).reshape(lengths[along], -1)
        complete = [all(page is not None for page in some) for some in by_time]
        times = complete.index(False) if False in complete else len(complete)
        if times and not any(complete[times:]):
            kept = np.take(pages.reshape(lengths), range(times), axis=along)
            remark = (
                f"the acquisition was stopped: of the {lengths[along]} time points that the metadata promise {times} "
                "are complete, and these are read"
            )
            return (*kept.shape, *shape[-2:]), list(kept.reshape(-1)), remark
    raise InputError(
        f"{path} lacks planes that its OME metadata promise; put the files of the set in one folder, or record it again"
    )


def _plane_reader(
    path: Path, series: tifffile.TiffPageSeries, pages: Sequence[Any], *, samples_last: bool
) -> Callable[[int], np.ndarray]:
    """Gives a function that reads one image of a series by its number, after the file has been closed."""
    file, offset = series.keyframe.parent, series.dataoffset
    ny, nx = series.shape[-3:-1] if samples_last else series.shape[-2:]
    _check_segments(path, pages)
    one_after_the_other = all(page.parent is file and not _is_scattered(page) for page in pages)
    if offset is not None and not samples_last and one_after_the_other:
        source, dtype = Path(file.filehandle.path), np.dtype(series.dtype).newbyteorder(file.byteorder)
        return lambda plane: read_contiguous(source, plane, dtype=dtype, size=(ny, nx), offset=offset)
    with_pillow = _is_for_pillow(series.keyframe) and importlib.util.find_spec("imagecodecs") is None
    # A page that is a volume, or has samples, holds several images.
    planes_per_page = math.prod(series.keyframe.shape) // (ny * nx)

    def read_plane(plane: int) -> np.ndarray:
        page = pages[plane // planes_per_page]
        with _refusing(path):
            _end_segments(page)
            if with_pillow:
                return _read_with_pillow(page)
            page.parent.filehandle.open()
            try:
                images = (page.aspage() if _is_scattered(page) else page).asarray()
            finally:
                page.parent.filehandle.close()
        if samples_last:
            images = np.moveaxis(images.reshape(ny, nx, planes_per_page), -1, 0)
        image = images.reshape(planes_per_page, ny, nx)[plane % planes_per_page]
        return image if series.transform is None else series.transform(image)

    return read_plane


def _check_segments(path: Path, pages: Sequence[Any]) -> None:
    """Refuses images whose strips or tiles cannot be theirs.

    Absent ones tifffile fills with zeros. Compressed ones much larger than their pixels would expand beyond all bounds.
    """
    for number, page in enumerate(pages, start=1):
        needed = 1 if page.is_contiguous else math.prod(page.chunked)
        places = (page.dataoffsets, page.databytecounts)
        if min(map(len, places)) < needed or not all(isinstance(n, int) and n > 0 for some in places for n in some):
            raise InputError(
                f"{path} lacks strips or tiles of image {number}; it is damaged or was not written to its end: copy or "
                "record it again"
            )
        plain = math.prod(page.chunks) * np.dtype(page.dtype).itemsize
        if page.compression != 1 and max(page.databytecounts) > 2 * plain + _MUCH:
            raise InputError(
                f"{path} has {max(page.databytecounts)} compressed bytes for {plain} of pixels in image {number}; it "
                "is damaged: copy it again"
            )


def _is_scattered(page: Any) -> bool:
    """Whether the strips of a page do not follow each other as those of its first do, which tifffile assumes."""
    if not page.is_contiguous or len(page.dataoffsets) == 1:
        return False
    ends = (offset + count for offset, count in zip(page.dataoffsets, page.keyframe.databytecounts, strict=False))
    return any(end != start for end, start in zip(ends, page.dataoffsets[1:], strict=False))


def _end_segments(page: Any) -> None:
    """Ends strips and tiles with the file: tifffile makes room for all the bytes that they promise."""
    size = Path(page.parent.filehandle.path).stat().st_size
    segments = zip(page.dataoffsets, page.databytecounts, strict=False)
    page.databytecounts = tuple(min(count, max(size - offset, 0)) for offset, count in segments)


def _read_with_pillow(page: tifffile.TiffPage | tifffile.TiffFrame) -> np.ndarray:
    with _quiet_pillow(), Image.open(io.BytesIO(_alone(page))) as image:
        pixels = np.asarray(image)
    expected = np.dtype(page.dtype)
    if pixels.shape != page.shape or pixels.dtype.itemsize != expected.itemsize:
        raise ValueError(f"Pillow reads {pixels.dtype} {pixels.shape} in place of {expected} {page.shape}")
    return pixels.astype(expected)


def _alone(page: Any) -> bytes:
    """A file of this page, with the tags that tifffile understood: of odd ones Pillow makes other or no pixels."""
    first, order = page.keyframe, page.parent.byteorder
    with Path(page.parent.filehandle.path).open("rb") as file:
        segments = []
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            file.seek(offset)
            segments.append(file.read(count))
    tags = {256: [first.imagewidth], 257: [first.imagelength], 258: [first.bitspersample], 259: [_LZW], 262: [1]}
    tags |= {277: [1], 317: [first.predictor], 339: [first.sampleformat]}
    tags |= {322: [first.tilewidth], 323: [first.tilelength]} if first.is_tiled else {278: [first.rowsperstrip]}
    offsets, counts = (324, 325) if first.is_tiled else (273, 279)
    n, directory = len(segments), 2 + 12 * (len(tags) + 2) + 4
    start = 8 + directory + (8 * n if n > 1 else 0)
    tags[counts] = [len(segment) for segment in segments]
    tags[offsets] = [*itertools.accumulate(tags[counts][:-1], initial=start)]
    arrays = {offsets: 8 + directory, counts: 8 + directory + 4 * n} if n > 1 else {}
    entries = [(tag, 4, len(tags[tag]), arrays.get(tag, tags[tag][0])) for tag in sorted(tags)]
    head = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(entries))
    head += b"".join(struct.pack(f"{order}HHII", *entry) for entry in entries) + bytes(4)
    for tag in arrays:
        head += struct.pack(f"{order}{n}I", *tags[tag])
    return head + b"".join(segments)


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Nothing on stderr: Pillow warns of large images and odd tags, and its libtiff writes past Python's stderr.

    One at a time, since both are switched for the whole process.
    """
    with _PILLOW, warnings.catch_warnings(), open(os.devnull, "wb") as nowhere:
        warnings.simplefilter("ignore")
        try:
            stderr = os.dup(2)
        except OSError:  # closed, as in a program without a console
            yield
            return
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


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


def _contiguous_end(tiff: tifffile.TiffFile) -> int:
    """Computes where the pixels end when one directory stands for many contiguous pages, as in large ImageJ stacks."""
    series, page = tiff.series[0], tiff.pages.first
    # tifffile falls back to the single page it can see where the promised ones do not fit into the file.
    if tiff.is_imagej and len(tiff.pages) == 1 and page.is_final:
        return page.dataoffsets[0] + page.nbytes * int((tiff.imagej_metadata or {}).get("images", 1))
    return 0 if series.dataoffset is None else series.dataoffset + series.nbytes


def _read_ome(path: Path) -> tuple[_Ome, str | None]:
    """What the OME metadata say, and what is wrong with metadata that nobody can read.

    Raises:
        InputError: metadata that promise more images than any file has.
    """
    with tifffile.TiffFile(path) as tiff:
        text = tiff.ome_metadata
    if text is None:
        return _Ome({}), None
    advice = "pages and tags of the file are used in their place; check the pixel size"
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return _Ome({}), f"its OME metadata define entities and are not read; {advice}"
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        return _Ome({}), f"its OME metadata are not well formed ({error}); {advice}"
    if not root.tag.startswith("{"):
        return _Ome({}), f"its OME metadata have no namespace; {advice}"
    promised, pixels = 0, [element for element in root.iter() if element.tag.endswith("}Pixels")]
    for element in root.iter():
        if element.tag.endswith("}TiffData"):
            promised += _whole(element.get("PlaneCount"))
        elif element in pixels:
            promised += math.prod(_whole(element.get(f"Size{axis}")) for axis in "ZCT")
    if promised > _MOST_IMAGES:
        raise InputError(
            f"{path} promises {promised} images in its OME metadata; they are damaged: copy the file again"
        )
    if not pixels:
        return _Ome({}), None
    return _Ome(dict(pixels[0].attrib), _ome_channels(pixels[0]), _ome_na(root)), None


def _ome_channels(pixels: ElementTree.Element) -> tuple[Channel, ...]:
    """The channels of a Pixels element, where there are as many as SizeC says."""
    elements = [element for element in pixels if element.tag.endswith("}Channel")]
    if len(elements) != _whole(pixels.get("SizeC")):
        return ()
    return tuple(
        Channel(
            name=element.get("Name") or None,
            color=_ome_color(element.get("Color")),
            emission_nm=_wavelength_nm(element, "Emission"),
            excitation_nm=_wavelength_nm(element, "Excitation"),
        )
        for element in elements
    )


def _wavelength_nm(channel: ElementTree.Element, kind: str) -> float | None:
    unit = channel.get(f"{kind}WavelengthUnit", "nm")
    return _quantity(channel.get(f"{kind}Wavelength"), unit, _NM_PER_UNIT)


def _ome_color(text: str | None) -> tuple[int, int, int] | None:
    """OME's signed 32 bits, red, green, blue and alpha; black is no colour to show a channel in."""
    try:
        red, green, blue, _ = (int(text or "") % 2**32).to_bytes(4, "big")
    except ValueError:
        return None
    return (red, green, blue) if red or green or blue else None


def _ome_na(root: ElementTree.Element) -> float | None:
    """NA of the objective that the first image names, or of the only one."""
    objectives = {element.get("ID"): element for element in root.iter() if element.tag.endswith("}Objective")}
    named = next((element.get("ID") for element in root.iter() if element.tag.endswith("}ObjectiveSettings")), None)
    if named not in objectives and len(objectives) != 1:
        return None
    objective = objectives[named] if named in objectives else next(iter(objectives.values()))
    return _quantity(objective.get("LensNA"), "", {"": 1.0})


def _imagej_channels(tiff: tifffile.TiffFile) -> tuple[Channel, ...]:
    """Names and colours of ImageJ: labels that all images of a channel share, and the ends of the look-up tables."""
    metadata = tiff.imagej_metadata or {}
    count = int(metadata.get("channels", 1))
    labels, tables = metadata.get("Labels") or [], metadata.get("LUTs") or []
    labels = labels if isinstance(labels, list) else [labels]
    if not 0 < count <= max(len(labels), len(tables)):  # nothing is said of them, however many there are
        return ()
    names = [set(labels[channel::count]) for channel in range(count)] if len(labels) % count == 0 else []
    ends = [(int(r), int(g), int(b)) for r, g, b in (table[:, -1] for table in tables)]
    colors = ends if len(ends) == count else [None] * count
    named = [name.pop() if len(name) == 1 else None for name in names] or [None] * count
    channels = [Channel(name=name or None, color=color) for name, color in zip(named, colors, strict=True)]
    return tuple(channels) if any(channel != Channel() for channel in channels) else ()


def _whole(text: str | None) -> int:
    return int(text) if text and text.strip().isdecimal() else 1


def _pixel_size_nm(tiff: tifffile.TiffFile, ome: dict[str, str]) -> tuple[float, float] | None:
    """Reads the (y, x) spacing in nanometres: OME PhysicalSize, else X/YResolution with ImageJ's or the TIFF unit."""
    if tiff.is_ome:
        sizes = [
            _quantity(ome.get(f"PhysicalSize{axis}"), ome.get(f"PhysicalSize{axis}Unit", "um"), _NM_PER_UNIT)
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


def _z_spacing_nm(tiff: tifffile.TiffFile, ome: dict[str, str]) -> float | None:
    """Reads the distance of two slices in nanometres: OME PhysicalSizeZ or ImageJ spacing."""
    if tiff.is_ome:
        return _quantity(ome.get("PhysicalSizeZ"), ome.get("PhysicalSizeZUnit", "um"), _NM_PER_UNIT)
    metadata = tiff.imagej_metadata or {}
    return _quantity(metadata.get("spacing"), str(metadata.get("unit", "")), _NM_PER_UNIT)


def _time_interval_s(tiff: tifffile.TiffFile, ome: dict[str, str]) -> float | None:
    """Reads the time between two time points in seconds: OME TimeIncrement or ImageJ finterval."""
    if tiff.is_ome:
        return _quantity(ome.get("TimeIncrement"), ome.get("TimeIncrementUnit", "s"), _S_PER_UNIT)
    metadata = tiff.imagej_metadata or {}
    return _quantity(metadata.get("finterval"), metadata.get("tunit", "s"), _S_PER_UNIT)


def _quantity(value: object, unit: str, per_unit: dict[str, float]) -> float | None:
    """Converts a number with a unit; None for an absent number, one that is not positive, or an unknown unit."""
    # ImageJ escapes the micro sign in its (ASCII) description.
    scale = per_unit.get(str(unit).strip().replace("\\u00B5", "\u00b5").casefold())
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number * scale if scale and math.isfinite(number) and number > 0 else None

"""What the directories of a TIFF file say about its bytes, before tifffile reads it.

tifffile drops pages that lie beyond the end of a file and fills absent strips with zeros; here such a file is refused.
What no pixel depends on may be damaged: a private tag that points nowhere, or a last byte count padded beyond the end.
"""

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from oidn_jax.errors import InputError

_BYTES_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {3: "u2", 4: "u4", 16: "u8"}
_FIRST_PRIVATE_TAG = 32768
_REDUCED, _WIDTH, _LENGTH, _BITS, _COMPRESSION = 254, 256, 257, 258, 259
_SAMPLES, _ROWS, _PLANAR, _TILE_WIDTH, _TILE_LENGTH = 277, 278, 284, 322, 323
# Tags of (offsets, byte counts) of the pixels.
_STRIPS, _TILES = (273, 279), (324, 325)
_USED = {_REDUCED, _WIDTH, _LENGTH, _BITS, _COMPRESSION, _SAMPLES, _ROWS, _PLANAR, _TILE_WIDTH, _TILE_LENGTH}
_USED |= {*_STRIPS, *_TILES}


class _Layout(NamedTuple):
    """How a file writes its directories, as `struct` formats: classic or BigTIFF, in either byte order."""

    order: str
    entries: str  # how many there are
    entry: str
    offset: str
    first: int  # where the offset of the first directory is

    def bytes_of(self, part: str) -> int:
        return struct.calcsize(self.order + part)


def check_directories(path: Path) -> None:
    """Follows the chain of directories to its end.

    Raises:
        InputError: a file that ends before what its directories point at (a directory beyond the end cannot be
            followed, so the number of bytes in the message is a lower bound); strips or tiles without a byte;
            directories that lead back to an earlier one.
        OSError: a file that cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        for needed in _ends(path, file, size):
            check_complete(path, needed)


def check_complete(path: Path, needed: int) -> None:
    """Refuses a file of fewer bytes.

    Raises:
        InputError: naming both numbers.
    """
    size = path.stat().st_size
    if size < needed:
        raise InputError(f"{path} is truncated: {size} bytes found, at least {needed} needed; copy the file again")


def _ends(path: Path, file: BinaryIO, size: int) -> Iterator[int]:
    """Where each part ends, before the part is read: who looks at each end first never reads beyond the file."""
    head = file.read(4)
    order = "<" if head[:2] == b"II" else ">"
    layout = _Layout(order, "Q", "HHQQ", "Q", 8) if b"+" in head[2:4] else _Layout(order, "H", "HHII", "I", 4)
    pointer, seen, number = layout.first, set(), 0
    yield pointer + layout.bytes_of(layout.offset)
    while directory := _unpack(file, layout, layout.offset, pointer)[0]:
        if directory in seen:  # tifffile would follow them for ever
            raise InputError(f"{path} is damaged: its images lead back to an earlier one; copy or save it again")
        seen.add(directory)
        start = directory + layout.bytes_of(layout.entries)
        yield start
        entries = _unpack(file, layout, layout.entries, directory)[0]
        pointer = start + entries * layout.bytes_of(layout.entry)
        yield pointer + layout.bytes_of(layout.offset)
        ends, tags = _read_entries(file, layout, start, entries, size)
        yield max(ends, default=0)
        yield _pixels_end(path, tags, number)
        number += 1


def _unpack(file: BinaryIO, layout: _Layout, part: str, at: int) -> tuple[int, ...]:
    file.seek(at)
    return struct.unpack(layout.order + part, file.read(layout.bytes_of(part)))


def _read_entries(
    file: BinaryIO, layout: _Layout, start: int, entries: int, size: int
) -> tuple[list[int], dict[int, np.ndarray]]:
    """Where the values of the public tags end, and the values of those that say where the pixels are."""
    step, inline_bytes = layout.bytes_of(layout.entry), layout.bytes_of(layout.entry[-1])
    ends, tags = [], {}
    for position in range(start, start + entries * step, step):
        tag, kind, count, value = _unpack(file, layout, layout.entry, position)
        n_bytes = count * _BYTES_OF_TYPE.get(kind, 1)
        at = position + step - inline_bytes if n_bytes <= inline_bytes else value
        if tag < _FIRST_PRIVATE_TAG:
            ends.append(at + n_bytes)
        if tag in _USED and kind in _INTEGERS and at + n_bytes <= size:
            file.seek(at)
            tags[tag] = np.frombuffer(file.read(n_bytes), layout.order + _INTEGERS[kind]).astype(np.int64)
    return ends, tags


def _pixels_end(path: Path, tags: dict[int, np.ndarray], number: int) -> int:
    """Where the last strip or tile of a directory ends; 0 for a reduced image, which nobody reads."""
    if _first(tags, _REDUCED, 0) & 1:
        return 0
    end = 0
    for offsets, counts in (_STRIPS, _TILES):
        if offsets not in tags or counts not in tags:
            continue
        n = min(len(tags[offsets]), len(tags[counts]))
        starts, sizes = tags[offsets][:n], tags[counts][:n]
        if not (starts > 0).all() or not (sizes > 0).all():
            raise InputError(
                f"{path} has strips or tiles without pixels in image {number + 1}; it was not written to its end: copy "
                "or record it again"
            )
        if _first(tags, _COMPRESSION, 1) == 1:
            sizes = np.minimum(sizes, _plain_sizes(tags, n, tiles=offsets in _TILES))
        end = max(end, int((starts + sizes).max(initial=0)))
    return end


def _plain_sizes(tags: dict[int, np.ndarray], n: int, *, tiles: bool) -> np.ndarray:
    """Bytes that the pixels of each uncompressed strip or tile take, whatever its byte count says."""
    width, length = _first(tags, _WIDTH, 1), _first(tags, _LENGTH, 1)
    samples = _first(tags, _SAMPLES, 1) if _first(tags, _PLANAR, 1) == 1 else 1
    bits = _first(tags, _BITS, 1) * samples
    if tiles:
        side = _first(tags, _TILE_LENGTH, length) * math.ceil(_first(tags, _TILE_WIDTH, width) * bits / 8)
        return np.full(n, side)
    rows = max(min(_first(tags, _ROWS, length), length), 1)
    per_plane = max(math.ceil(length / rows), 1)
    sizes = np.full(n, rows * math.ceil(width * bits / 8))
    sizes[per_plane - 1 :: per_plane] = (length - rows * (per_plane - 1)) * math.ceil(width * bits / 8)
    return sizes


def _first(tags: dict[int, np.ndarray], tag: int, otherwise: int) -> int:
    return int(tags[tag][0]) if tag in tags and len(tags[tag]) else otherwise

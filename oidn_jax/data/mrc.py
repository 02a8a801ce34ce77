"""Reads the two kinds of MRC file: Priism/DeltaVision (.mrc, .dv, .otf) and MRC2014.

Contract: pixels come back as stored, [section, y, x], never flipped and never scaled by the header's minimum and
maximum. The first 1024 bytes hold the same sizes, mode and lengths in both kinds; what differs is

| | Priism | MRC2014 | neither mark |
|---|---|---|---|
| mark | int16 -16224 at byte 96 | `MAP ` at byte 208 | |
| length unit | micrometre | angstrom | unknown: no pixel size |
| mode 0 | uint8 | int8, or as below | int8, or as below |
| sections | time, wave and z interleaved | z | z |
| emission of each wave | int16 at byte 198, nm | | |

Bytes of mode 0 are unsigned where IMOD's stamp (byte 152) stands without its flag "bytes are signed" (bit 0 of byte
156), and where without that stamp the header's maximum is beyond what a signed byte holds.

The header is parsed here because neither library reads both kinds: `mrc` refuses MRC2014, and `mrcfile` refuses Priism,
or in its permissive mode takes micrometres for angstrom. `HEADER` is its layout for all files of this room.
"""

import math
from pathlib import Path

import numpy as np

from oidn_jax.data.image_stack import Channel, ImageStack, read_contiguous
from oidn_jax.data.regular_file import refuse_pipe
from oidn_jax.errors import InputError

MRC_SUFFIXES = (".mrc", ".dv", ".otf", ".mrcs", ".map", ".st", ".rec")

HEADER_BYTES = 1024
PRIISM_STAMP = -16224
DTYPES = {1: "i2", 2: "f4", 6: "u2"}

_FIELDS = {
    "size_xyz": ("3i4", 0),
    "mode": ("i4", 12),
    "samples": ("3i4", 28),
    "lengths": ("3f4", 40),
    "angles": ("3f4", 52),
    "axis_order": ("3i4", 64),
    "min_max_mean": ("3f4", 76),
    "extended": ("i4", 92),
    "stamp": ("i2", 96),
    "imod_stamp": ("i4", 152),
    "imod_flags": ("i4", 156),
    "times": ("i2", 180),
    "sequence": ("i2", 182),
    "waves": ("i2", 196),
    "wavelengths": ("5i2", 198),
    "map": ("S4", 208),
    "titles_used": ("i4", 220),
    "titles": ("10S80", 224),
}
HEADER = np.dtype(
    {
        "names": list(_FIELDS),
        "formats": [kind for kind, _ in _FIELDS.values()],
        "offsets": [offset for _, offset in _FIELDS.values()],
        "itemsize": HEADER_BYTES,
    }
)
_COMPLEX_MODES = (3, 4)
_IMOD_STAMP = 1146047817
# Priism `sequence`: the axes of the sections from the slowest to the fastest (the format's own names, ZTW, WZT and ZWT,
# are written the other way round). A wave is a colour channel, hence C.
_SECTION_AXES = {0: "CTZ", 1: "TZC", 2: "TCZ"}


def is_mrc(head: bytes) -> bool:
    """Tells from a file's first bytes whether they carry the Priism stamp or the MRC2014 map stamp."""
    stamp = int.from_bytes(head[96:98], "little", signed=True), int.from_bytes(head[96:98], "big", signed=True)
    return PRIISM_STAMP in stamp or head[208:212] == b"MAP "


def open_mrc(path: Path) -> ImageStack:
    """Reads and checks the header of an MRC file without touching the pixels.

    Args:
        path: an existing file that `is_mrc` accepts or whose name ends in one of `MRC_SUFFIXES`.

    Returns:
        Its images; MRC has no field for the time interval.

    Raises:
        InputError: not an MRC file, a truncated one, or one whose mode is not 0, 1, 2 or 6.
    """
    fields = read_fields(path)
    nx, ny, nz = (int(n) for n in fields["size_xyz"])
    is_priism = bool(fields["stamp"] == PRIISM_STAMP)
    dtype = _dtype(path, fields).newbyteorder(fields.dtype["mode"].byteorder)
    offset = find_pixels(path, fields, dtype)
    sections, axes = _sections(fields, nz) if is_priism else ((nz,), "Z")
    return ImageStack(
        source=path,
        shape=(*sections, ny, nx),
        axes=axes + "YX",
        dtype=dtype.newbyteorder("="),
        pixel_size_nm=_pixel_size_nm(fields, is_priism),
        time_interval_s=None,
        z_spacing_nm=_z_spacing_nm(fields, is_priism),
        channels=_channels(fields, sections, axes) if is_priism else (),
        bottom_first=True,
        read_plane=lambda plane: read_contiguous(path, plane, dtype=dtype, size=(ny, nx), offset=offset),
    )


def read_fields(path: Path) -> np.void:
    """Reads the first 1024 bytes of an MRC file of any mode, as one element of `HEADER` in the file's byte order.

    Raises:
        InputError: a pipe; a file too short for a header, or sizes that no image has.
        OSError: a file that cannot be read.
    """
    refuse_pipe(path)
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES:
        raise InputError(
            f"{path} is truncated or not an MRC file: {len(head)} bytes found, {HEADER_BYTES} needed for the "
            "header alone; copy the file again"
        )
    fields = _parse(head)
    nx, ny, nz = (int(n) for n in fields["size_xyz"])
    if not (0 < nx < 65536 and 0 < ny < 65536 and nz > 0 and fields["extended"] >= 0):
        raise InputError(f"{path} is not an MRC file: its header gives the size {nx} x {ny} x {nz}; check the file")
    return fields


def find_pixels(path: Path, fields: np.void, dtype: np.dtype) -> int:
    """Gives the offset of the pixels in bytes.

    Raises:
        InputError: a file that ends before its last pixel of this dtype, or holds a whole section more.
    """
    data_offset = HEADER_BYTES + int(fields["extended"])
    size, lengths = path.stat().st_size, [int(n) for n in fields["size_xyz"]]
    needed = data_offset + math.prod(lengths) * dtype.itemsize
    if size < needed:
        raise InputError(f"{path} is truncated: {size} bytes found, {needed} needed; copy the file again")
    if size - needed >= math.prod(lengths[:2]) * dtype.itemsize:
        raise InputError(
            f"{path} holds {size} bytes, but its header tells of {needed} ({' x '.join(map(str, lengths))} of "
            f"{dtype}); one of them is wrong: copy or convert the file again"
        )
    return data_offset


def spacing_xy(fields: np.void) -> tuple[float, float] | None:
    """Computes spacing = length / samples along x and y in the file's own unit; None where it is not set."""
    lengths = [float(length) for length in fields["lengths"]]
    # All ones is what writers leave in a header whose spacing nobody has set.
    if lengths == [1.0, 1.0, 1.0]:
        return None
    dx, dy = (length / max(int(n), 1) for length, n in zip(lengths[:2], fields["samples"][:2], strict=True))
    return dx, dy


def _parse(head: bytes) -> np.void:
    """Gives the header fields, in the byte order that makes the image width smaller than 65536."""
    little = np.frombuffer(head, HEADER.newbyteorder("<"))[0]
    if 0 <= little["size_xyz"][0] < 65536:
        return little
    return np.frombuffer(head, HEADER.newbyteorder(">"))[0]


def _dtype(path: Path, fields: np.void) -> np.dtype:
    mode = int(fields["mode"])
    if mode in _COMPLEX_MODES:
        raise InputError(
            f"{path} holds complex numbers (mode {mode}), an OTF or a spectrum; give a file of raw SIM frames"
        )
    dtypes = {0: "u1" if _has_unsigned_bytes(fields) else "i1", **DTYPES}
    if mode not in dtypes:
        raise InputError(f"{path} has the MRC mode {mode}; readable modes: {sorted(dtypes)}; convert it to TIFF")
    return np.dtype(dtypes[mode])


def _has_unsigned_bytes(fields: np.void) -> bool:
    if fields["stamp"] == PRIISM_STAMP:
        return True
    if fields["imod_stamp"] == _IMOD_STAMP:
        return not fields["imod_flags"] & 1
    return bool(fields["min_max_mean"][1] > np.iinfo(np.int8).max)


def _sections(fields: np.void, nz: int) -> tuple[tuple[int, ...], str]:
    """Unravels the sections of a Priism file into time, wave and z."""
    times, waves = max(int(fields["times"]), 1), max(int(fields["waves"]), 1)
    axes = _SECTION_AXES.get(int(fields["sequence"]))
    # Writers that only fill in the sizes leave numbers here that do not divide the sections: then these mean nothing.
    if axes is None or nz % (times * waves):
        return (nz,), "Z"
    lengths = {"T": times, "C": waves, "Z": nz // (times * waves)}
    return tuple(lengths[axis] for axis in axes), axes


def _channels(fields: np.void, sections: tuple[int, ...], axes: str) -> tuple[Channel, ...]:
    """The emission of each wave; nothing where the header has it for some only, or waves that mean nothing."""
    waves = sections[axes.index("C")] if "C" in axes else 1
    emission_nm = [float(number) for number in fields["wavelengths"][:waves]]
    if waves != max(int(fields["waves"]), 1) or len(emission_nm) < waves or min(emission_nm) <= 0:
        return ()
    return tuple(Channel(emission_nm=number) for number in emission_nm)


def _nm_per_unit(fields: np.void, is_priism: bool) -> float | None:
    """What the header's lengths are in; None where nothing says so."""
    if is_priism:
        return 1000.0
    return 0.1 if fields["map"] == b"MAP " else None


def _pixel_size_nm(fields: np.void, is_priism: bool) -> tuple[float, float] | None:
    """Gives the spacing as (y, x) in nanometres; None where it or its unit is not set."""
    spacing, unit = spacing_xy(fields), _nm_per_unit(fields, is_priism)
    return None if spacing is None or unit is None else (unit * spacing[1], unit * spacing[0])


def _z_spacing_nm(fields: np.void, is_priism: bool) -> float | None:
    """The distance of two sections in nanometres; None where it or its unit is not set."""
    unit, spacing = _nm_per_unit(fields, is_priism), float(fields["lengths"][2]) / max(int(fields["samples"][2]), 1)
    return unit * spacing if unit is not None and spacing_xy(fields) is not None and spacing > 0 else None

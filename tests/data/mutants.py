"""Damaged image files by the thousand: what a cable, a disk or a program that is killed makes of good ones.

`python -m tests.data.mutants FOLDER SEED COUNT [FIRST]` reads mutants with the public reader, under limits of time and
memory, and prints one line of JSON for each that neither gives the images that it promises nor is refused in one line.
"""

import json
import resource
import signal
import struct
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import tifffile
from PIL import Image

from oidn_jax.data import InputError, open_raw_stack, write_priism

SECONDS, MEGABYTES = 5, 300
FRAMES = (np.random.default_rng(0).gamma(2.0, 400.0, (9, 20, 24)) + 100).astype(np.uint16)
_BYTES_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


class TooSlow(BaseException):
    """Beyond the limit of time; no `except Exception` may take it for a damaged file."""


def seeds(folder: Path) -> dict[str, bytes]:
    """Good files of every kind by name: nine frames, some of them twice; `float16.mrc` is of a mode that is refused."""
    twice, grey = np.stack([FRAMES, FRAMES[::-1]]), {"photometric": "minisblack"}
    plain: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "plain": (FRAMES, {}),
        "big": (FRAMES, {"bigtiff": True}),
        "motorola": (FRAMES, {"byteorder": ">", "rowsperstrip": 3}),
        "motorola_big": (FRAMES, {"byteorder": ">", "bigtiff": True, "metadata": None}),
        "tiles": (FRAMES, {"tile": (16, 16)}),
        "deflate": (FRAMES, {"compression": "zlib", "metadata": None}),
        "deflate_tiles": (twice, {"compression": "zlib", "predictor": True, "tile": (16, 16)}),
        "lzma": (FRAMES, {"compression": "lzma", "rowsperstrip": 7}),
        "float": (FRAMES.astype(np.float32), {"metadata": None}),
        "samples": (np.moveaxis(FRAMES, 0, -1).copy(), {"planarconfig": "contig", "metadata": {"axes": "YXS"}}),
        "volume": (twice, {"volumetric": True, "metadata": {"axes": "TZYX"}}),
        "imagej": (twice, {"imagej": True, "metadata": {"axes": "TCYX", "unit": "um"}, "resolution": (10, 10)}),
        "imagej_one_directory": (FRAMES, {"imagej": True, "metadata": {"axes": "ZYX"}}),
        "ome": (twice, {"ome": True, "metadata": {"axes": "TCYX", "PhysicalSizeX": 0.06, "PhysicalSizeY": 0.06}}),
        "ome_deflate": (FRAMES, {"ome": True, "metadata": {"axes": "ZYX"}, "compression": "zlib", "byteorder": ">"}),
    }
    files = {}
    for name, (pixels, options) in plain.items():
        path = folder / f"{name}{'.ome' if 'ome' in options else ''}.tif"
        tifffile.imwrite(path, pixels, **({} if options.get("imagej") else grey) | options)
        files[path.name] = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # planes are written as RGB, which is what is wanted here
        tifffile.imwrite(folder / "planar.tif", FRAMES.reshape(3, 3, 20, 24))
    files["planar.tif"] = (folder / "planar.tif").read_bytes()
    pages = [Image.fromarray(frame) for frame in FRAMES]
    for name, codec in (("lzw.tif", "tiff_lzw"), ("packbits.tif", "packbits")):
        pages[0].save(folder / name, save_all=True, append_images=pages[1:], compression=codec)
        files[name] = (folder / name).read_bytes()
    for dtype in ("int8", "int16", "float32", "uint16", "float16"):
        path = folder / f"{dtype}.mrc"
        mrcfile.write(path, (FRAMES // 100).astype(dtype), overwrite=True)
        files[path.name] = path.read_bytes()
    content = bytearray(files["uint16.mrc"])
    content[92:96] = struct.pack("<i", 128)
    files["extended.mrc"] = bytes(content[:1024] + bytes(range(128)) + content[1024:])
    write_priism(folder / "priism.dv", FRAMES, pixel_size_nm=60.0, wavelength_nm=520, title="cell", overwrite=True)
    files["priism.dv"] = (folder / "priism.dv").read_bytes()
    return files


def mutate(content: bytes, generator: np.random.Generator) -> bytes:
    """One to three damages, each of a kind drawn at random."""
    kinds: list[Callable[[bytearray, np.random.Generator], None]] = [_flip, _overwrite, _truncate, _grow, _move_block]
    if content[:2] in (b"II", b"MM"):
        kinds += [_change_entry] * 8
    else:
        kinds += [_change_mrc_field] * 5
    if b"<OME" in content:
        kinds += [_edit_text] * 5
    if b"ImageJ=" in content:
        kinds += [_edit_text] * 2
    damaged = bytearray(content)
    for _ in range(generator.integers(1, 4)):
        if damaged:
            kinds[generator.integers(len(kinds))](damaged, generator)
    return bytes(damaged)


def _place(content: bytearray, generator: np.random.Generator) -> int:
    """Anywhere, half of the time in the first 1024 bytes, where headers are."""
    return int(generator.integers(min(len(content), 1024) if generator.random() < 0.5 else len(content)))


def _flip(content: bytearray, generator: np.random.Generator) -> None:
    for _ in range(generator.integers(1, 9)):
        content[_place(content, generator)] ^= 1 << int(generator.integers(8))


def _overwrite(content: bytearray, generator: np.random.Generator) -> None:
    at, length = _place(content, generator), int(generator.integers(1, 65))
    run = generator.bytes(length) if generator.random() < 0.5 else bytes([int(generator.choice([0, 255, 1]))]) * length
    content[at : at + length] = run[: len(content) - at]


def _truncate(content: bytearray, generator: np.random.Generator) -> None:
    del content[_place(content, generator) :]


def _grow(content: bytearray, generator: np.random.Generator) -> None:
    content += generator.bytes(int(generator.integers(1, 3000))) if generator.random() < 0.5 else bytes(1000)


def _move_block(content: bytearray, generator: np.random.Generator) -> None:
    """Drops a block, or writes it twice."""
    at, length = _place(content, generator), int(generator.integers(1, 600))
    block = content[at : at + length]
    content[at : at + (length if generator.random() < 0.5 else 0)] = b"" if generator.random() < 0.5 else block * 2


def _number(generator: np.random.Generator, size: int) -> int:
    """0, 1, the largest, one below a power of two, a small one or any."""
    top = 1 << 8 * size
    choices = [0, 1, 2, top - 1, top // 2, top // 2 - 1, int(generator.integers(300)), int(generator.integers(70000))]
    choices += [int.from_bytes(generator.bytes(size), "little"), 1 << int(generator.integers(8 * size))]
    return choices[generator.integers(len(choices))] % top


def _change_entry(content: bytearray, generator: np.random.Generator) -> None:
    """Changes tag, type, count or value of an entry of a directory, a value that it points at, or the next pointer."""
    order, big = "<" if content[:2] == b"II" else ">", content[2:4] in (b"+\0", b"\0+")
    counted, entry, pointer = ("Q", "HHQQ", "Q") if big else ("H", "HHII", "I")
    parts = (2, 2, 8, 8) if big else (2, 2, 4, 4)
    step, wide = sum(parts), parts[-1]
    places, at, directories = [], 8 if big else 4, 0
    try:
        directory = struct.unpack_from(order + pointer, content, at)[0]
        while directory and directories < 20:
            count = min(struct.unpack_from(order + counted, content, directory)[0], 40)
            start = directory + struct.calcsize(order + counted)
            places += [start + i * step for i in range(count)]
            at = start + count * step
            if generator.random() < 0.02:
                struct.pack_into(order + pointer, content, at, _number(generator, wide))
            directory, directories = struct.unpack_from(order + pointer, content, at)[0], directories + 1
        place = places[generator.integers(len(places))]
        values = list(struct.unpack_from(order + entry, content, place))
        kind, n_bytes = values[1], _BYTES_OF_TYPE.get(values[1], 1)
        inline = values[2] * n_bytes <= wide
        which = int(generator.choice(4, p=(0.1, 0.15, 0.25, 0.5)))
        if which == 1:
            values[1] = int(generator.integers(20))
        elif which == 3 and kind in (3, 4, 16) and (generator.random() < 0.8 or not inline):
            where = place + step - wide if inline else values[3]
            where += n_bytes * int(generator.integers(max(min(values[2], 1000), 1)))
            struct.pack_into(order + {2: "H", 4: "I", 8: "Q"}[n_bytes], content, where, _number(generator, n_bytes))
            return
        else:
            values[which] = _number(generator, parts[which])
        struct.pack_into(order + entry, content, place, *values)
    except (struct.error, ValueError, OverflowError):  # nothing left to be changed
        _flip(content, generator)


def _change_mrc_field(content: bytearray, generator: np.random.Generator) -> None:
    at = 4 * int(generator.choice([0, 1, 2, 3, 7, 8, 9, 10, 11, 23, 24, 38, 39, 45, 49, 52, generator.integers(256)]))
    if at + 4 <= len(content):
        size = int(generator.choice([2, 4]))
        content[at : at + size] = _number(generator, size).to_bytes(size, "little")


def _edit_text(content: bytearray, generator: np.random.Generator) -> None:
    """Changes a digit, a letter or a mark of the metadata, as hands and programs do."""
    start = max(content.find(b"<OME"), content.find(b"ImageJ="))
    end = max(content.find(b"</OME>") + 6, content.find(b"\0", start))
    if start < 0 or end <= start:
        return
    numbers = [i for i in range(start, min(end, len(content))) if 48 <= content[i] <= 57]
    if numbers and generator.random() < 0.7:
        at = numbers[generator.integers(len(numbers))]
        words = [b"0", b"9", b"-1", b"99999999999", b"", b"1e9", b"x", "µ".encode(), b"nan", b"2147483648"]
    else:
        at = int(generator.integers(start, min(end, len(content))))
        words = [b"<", b">", b'"', b"&", b"", b"\n", b"\xff", b"/", b"T", b"C", b"Z", b"<TiffData/>"]
    word = words[generator.integers(len(words))]
    # In place, so that what is pointed at stays where it is, or moved.
    content[at : at + (max(len(word), 1) if generator.random() < 0.7 else 1)] = word


def outcome(path: Path) -> str:
    """`read` or `refused`; anything else is a fault, told in words."""
    # Recorded, as the reader would take a warning that is raised for the error of a damaged file.
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        signal.alarm(SECONDS)
        try:
            result = _read(path)
        except InputError as error:
            line = str(error)
            result = "refused" if line.isprintable() and path.name in line else f"not one line: {line!r}"
        except TooSlow:
            result = f"more than {SECONDS} seconds"
        except Exception as error:
            result = f"{type(error).__name__}: {error}"
        finally:
            signal.alarm(0)
    return f"warning: {heard[0].message}" if heard else result


def _read(path: Path) -> str:
    stack = open_raw_stack(path)
    for time in range(stack.shape[0]):
        frames = stack.read(time)
        if frames.shape != stack.shape[1:] or frames.dtype != stack.dtype or not frames.dtype.isnative:
            return f"{frames.dtype} {frames.shape} in place of {stack.dtype} {stack.shape[1:]}"
        if frames.dtype.kind not in "uif":
            return f"pixels of {frames.dtype}"
    return "read"


def main(folder: Path, seed: int, count: int, first: int = 0) -> None:
    """Reads mutants number `first` to `first + count`."""

    def too_slow(*_: Any) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, too_slow)
    files = seeds(folder)
    for name, content in files.items():
        (folder / name).write_bytes(content)
        assert outcome(folder / name) == ("refused" if name == "float16.mrc" else "read"), name
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEGABYTES * 2**20, resource.RLIM_INFINITY))
    tally = {"read": 0, "refused": 0}
    for number in range(first, first + count):
        generator = np.random.default_rng((seed, number))
        name = list(files)[generator.integers(len(files))]
        path = folder / f"mutant_{name}"
        path.write_bytes(mutate(files[name], generator))
        result = outcome(path)
        if result in tally:
            tally[result] += 1
        else:
            print(json.dumps({"seed": seed, "number": number, "file": name, "fault": result}), flush=True)
    print(json.dumps(tally))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))

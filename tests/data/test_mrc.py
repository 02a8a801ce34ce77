"""MRC files of both kinds, packed by hand to the byte and written by the libraries of the two communities."""

import os
import struct
import tracemalloc
from pathlib import Path

import mrc
import mrcfile
import numpy as np
import pytest

from oidn_jax.data import InputError, open_raw_stack

FRAMES = np.random.default_rng(0).integers(0, 30000, (9, 20, 24)).astype(np.uint16)
TWICE = np.stack([FRAMES, FRAMES[::-1]])
DATA = os.environ.get("OIDN_TEST_DATA")


def priism(sections, *, order="<", mode=6, extended=0, times=1, waves=1, sequence=0, spacing=(0.0626, 0.0626, 0.16)):
    """A Priism file, as BioSR's are, with a header that lies about the minimum and maximum."""
    header = bytearray(1024 + extended)
    struct.pack_into(f"{order}4i", header, 0, *sections.shape[::-1], mode)
    struct.pack_into(f"{order}3i", header, 28, 1, 1, 1)
    struct.pack_into(f"{order}3f", header, 40, *spacing)
    struct.pack_into(f"{order}3f", header, 76, 0, 1, 0.5)
    struct.pack_into(f"{order}i", header, 92, extended)
    struct.pack_into(f"{order}h", header, 96, -16224)
    struct.pack_into(f"{order}2h", header, 180, times, sequence)
    struct.pack_into(f"{order}6h", header, 196, waves, 525, 0, 0, 0, 0)
    header[1024:] = b"\xab" * extended
    return bytes(header) + sections.astype(sections.dtype.newbyteorder(order)).tobytes()


def save(path, content):
    path.write_bytes(content)
    return path


def refusal(path):
    with pytest.raises(InputError) as error:
        open_raw_stack(path)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "order", "extended"),
    [
        ("cell.mrc", "<", 0),
        ("cell.mrc", ">", 1024),
        ("cell.dv", "<", 1024),
        ("cell.otf", ">", 0),
        ("cell.tif", "<", 0),
        ("cell", "<", 0),
    ],
)
def test_priism(tmp_path, name, order, extended):
    path = save(tmp_path / name, priism(FRAMES, order=order, extended=extended))
    stack = open_raw_stack(path)
    assert stack.shape == (1, 9, 20, 24)
    assert stack.dtype == np.dtype("=u2")
    assert stack.pixel_size_nm == pytest.approx(62.6, rel=1e-6)
    assert stack.time_interval_s is None
    assert stack.source == path
    np.testing.assert_array_equal(stack.read(0), FRAMES)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("mode", "dtype"), [(0, "u1"), (1, "i2"), (2, "f4"), (6, "u2")])
def test_priism_modes_agree_with_the_mrc_library(tmp_path, order, mode, dtype):
    frames = (FRAMES.astype(float) / 150 + 0.25).astype(dtype)
    path = save(tmp_path / "cell.dv", priism(frames, order=order, mode=mode))
    read = open_raw_stack(path).read(0)
    assert read.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read, frames)
    np.testing.assert_array_equal(read, mrc.imread(path))


def test_a_time_point_is_read_without_the_others(tmp_path):
    """One of 100 in a file of 150 MB, of which nearly all is never written and takes no room on the disk."""
    path = tmp_path / "long.dv"
    header = bytearray(priism(np.zeros((1, 256, 320), np.uint16), times=100)[:1024])
    struct.pack_into("<i", header, 8, 900)
    wanted = np.random.default_rng(0).integers(0, 30000, (9, 256, 320)).astype("<u2")
    with path.open("wb") as file:
        file.write(header)
        file.seek(1024 + 57 * wanted.nbytes)
        file.write(wanted.tobytes())
        file.truncate(1024 + 100 * wanted.nbytes)
    tracemalloc.start()
    stack = open_raw_stack(path)
    assert stack.shape == (100, 9, 256, 320)
    frames = stack.read(57)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(frames, wanted)
    assert peak < 2 * wanted.nbytes
    os.truncate(path, 1024 + 57 * wanted.nbytes)
    with pytest.raises(InputError, match="has become shorter while it was read"):
        stack.read(57)


@pytest.mark.parametrize(
    ("fields", "stored"),
    [
        ({"times": 2}, TWICE),
        ({"times": 2, "sequence": 1}, TWICE),
        ({"times": 2, "sequence": 2}, TWICE),
        ({"times": 9}, FRAMES[None]),
        # Two colours: sequence 0 keeps them apart, 1 and 2 interleave them.
        ({"waves": 2}, TWICE),
        ({"waves": 2, "sequence": 1}, TWICE.swapaxes(0, 1)),
        ({"waves": 2, "sequence": 2}, TWICE),
        # Fields nobody has filled in.
        ({"times": 0, "waves": 0}, TWICE),
        ({"times": 7, "sequence": 77}, TWICE),
        ({"times": 5}, TWICE),
    ],
)
def test_priism_time_and_waves(tmp_path, fields, stored):
    path = save(tmp_path / "cell.dv", priism(stored.reshape(-1, 20, 24), **fields))
    expected = FRAMES[None] if stored.size == FRAMES.size else TWICE
    stack = open_raw_stack(path)
    np.testing.assert_array_equal([stack.read(time) for time in range(stack.shape[0])], expected)


@pytest.mark.parametrize(
    ("fields", "emission"),
    [
        ({}, [525.0]),
        ({"waves": 2, "wavelengths": (528, 608)}, [528.0, 608.0]),
        ({"waves": 2, "wavelengths": (528, 0)}, [None, None]),
        ({"wavelengths": (0,)}, [None]),
        # Seven waves do not divide the sections: then they mean nothing, as their wavelengths.
        ({"waves": 7}, [None]),
    ],
)
def test_the_emission_of_each_wave(tmp_path, fields, emission):
    fields = dict(fields)
    content = bytearray(priism(TWICE.reshape(18, 20, 24), waves=fields.pop("waves", 1)))
    if "wavelengths" in fields:
        struct.pack_into("<5h", content, 198, *(*fields["wavelengths"], 0, 0, 0, 0)[:5])
    stack = open_raw_stack(save(tmp_path / "cell.dv", content))
    assert [channel.emission_nm for channel in stack.channels] == emission
    assert stack.images.bottom_first


def test_an_implausible_spacing_is_no_pixel_size(tmp_path):
    for spacing in ((0, 0, 0), (1, 1, 1), (1e-4, 1e-4, 1e-4), (62.6, 62.6, 160), (float("nan"),) * 3):
        path = save(tmp_path / "cell.mrc", priism(FRAMES, spacing=spacing))
        assert open_raw_stack(path).pixel_size_nm is None
    assert open_raw_stack(path, pixel_size_nm=62.6).pixel_size_nm == 62.6


def test_pixels_that_are_not_square(tmp_path):
    path = save(tmp_path / "cell.mrc", priism(FRAMES, spacing=(0.06, 0.07, 0.1)))
    with pytest.raises(InputError, match=r"70 nm in y and 60 nm in x.*`pixel_size_nm`"):
        open_raw_stack(path)


@pytest.mark.parametrize("dtype", ["i1", "<i2", ">u2", ">f4"])
def test_mrc2014(tmp_path, dtype):
    frames = (FRAMES // 300).astype(dtype)
    path = tmp_path / "cell.mrc"
    with mrcfile.new(path) as file:
        file.set_data(frames)
        file.voxel_size = 626.0
    stack = open_raw_stack(path)
    assert stack.read(0).dtype == np.dtype(dtype).newbyteorder("=")
    assert stack.pixel_size_nm == pytest.approx(62.6, rel=1e-6)
    np.testing.assert_array_equal(stack.read(0), frames)


def test_mrc2014_without_voxel_size(tmp_path):
    path = tmp_path / "cell.mrc"
    with mrcfile.new(path) as file:
        file.set_data(FRAMES)
        file.voxel_size = 1.0
    assert open_raw_stack(path).pixel_size_nm is None


def test_a_header_without_either_mark_has_no_unit(tmp_path):
    content = bytearray(priism(FRAMES, spacing=(626, 626, 1600)))
    content[96:98] = bytes(2)
    stack = open_raw_stack(save(tmp_path / "old.mrc", content))
    np.testing.assert_array_equal(stack.read(0), FRAMES)
    assert stack.pixel_size_nm is None
    assert "is not a TIFF or MRC file" in refusal(save(tmp_path / "old.dat", content))


@pytest.mark.skipif(DATA is None, reason="OIDN_TEST_DATA names no folder of real acquisitions")
def test_a_real_acquisition():
    stack = open_raw_stack(Path(DATA) / "rdlsim_microtubules_488nm.mrc")
    assert stack.shape == (1, 9, 256, 256)
    assert stack.dtype == np.uint16
    assert stack.read(0).min() < stack.read(0).max()
    assert stack.pixel_size_nm == pytest.approx(62.6, abs=0.1)


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_complex_files(tmp_path):
    message = refusal(save(tmp_path / "otf.otf", priism(FRAMES, mode=4) * 4))
    assert "complex numbers (mode 4)" in message
    assert "give a file of raw SIM frames" in message


def test_unknown_modes(tmp_path):
    assert "MRC mode 12; readable modes: [0, 1, 2, 6]" in refusal(save(tmp_path / "a.mrc", priism(FRAMES, mode=12)))


def test_truncated_pixels_count_the_extended_header(tmp_path):
    content = priism(FRAMES, extended=512)
    path = save(tmp_path / "cell.mrc", content[:-1])
    assert f"truncated: {len(content) - 1} bytes found, {len(content)} needed" in refusal(path)
    assert open_raw_stack(save(path, content + b"more")).shape == (1, 9, 20, 24)


def test_a_truncated_header(tmp_path):
    message = refusal(save(tmp_path / "cell.mrc", priism(FRAMES)[:1023]))
    assert "truncated or not an MRC file: 1023 bytes found, 1024 needed" in message


def test_a_text_named_mrc(tmp_path):
    assert "is not an MRC file" in refusal(save(tmp_path / "notes.mrc", b"hello " * 500))


def test_a_wrong_number_of_frames(tmp_path):
    message = refusal(save(tmp_path / "cell.mrc", priism(FRAMES[:8])))
    assert "holds 8 images (shape (1, 1, 8, 20, 24), axes CTZYX)" in message
    assert "3 orientations x 3 phases = 9" in message


BYTES = (FRAMES // 128).astype(np.uint8)


def standard(sections, *, largest=0.0, imod_flags=None):
    """An MRC2014 file of bytes; with IMOD's stamp where its flags are given."""
    header = bytearray(1024)
    struct.pack_into("<4i", header, 0, *sections.shape[::-1], 0)
    struct.pack_into("<3i", header, 28, *sections.shape[::-1])
    struct.pack_into("<3f", header, 40, *(626.0 * n for n in sections.shape[::-1]))
    struct.pack_into("<3f", header, 76, 0.0, largest, largest / 2)
    if imod_flags is not None:
        struct.pack_into("<2i", header, 152, 1146047817, imod_flags)
    header[208:212] = b"MAP "
    return bytes(header) + sections.tobytes()


@pytest.mark.parametrize(
    ("mark", "dtype"),
    [
        ({}, "i1"),
        ({"largest": 127.0}, "i1"),
        ({"largest": 234.0}, "u1"),
        ({"imod_flags": 0}, "u1"),
        ({"imod_flags": 1, "largest": 234.0}, "i1"),
        ({"imod_flags": 4}, "u1"),
    ],
)
def test_bytes_are_signed_or_not_as_the_header_says(tmp_path, mark, dtype):
    read = open_raw_stack(save(tmp_path / "cell.mrc", standard(BYTES, **mark))).read(0)
    assert read.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read, BYTES.view(dtype))


def test_a_header_that_is_smaller_than_its_file(tmp_path):
    content = bytearray(priism(TWICE.reshape(18, 20, 24)))
    struct.pack_into("<i", content, 8, 9)
    message = refusal(save(tmp_path / "cell.dv", bytes(content)))
    assert f"holds {len(content)} bytes, but its header tells of {1024 + FRAMES.nbytes}" in message
    # A writer that fills its last block up is no fault.
    assert open_raw_stack(save(tmp_path / "padded.dv", priism(FRAMES) + bytes(512))).shape == (1, 9, 20, 24)

"""TIFF files of every kind a microscope or ImageJ leaves behind, and what is said about those that cannot be used."""

import logging
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from oidn_jax.data import InputError, open_raw_stack
from oidn_jax.errors import IllegalValue

FRAMES = np.random.default_rng(0).integers(0, 60000, (9, 20, 24)).astype(np.uint16)
TWICE = np.stack([FRAMES, FRAMES[::-1]])
GREY = {"photometric": "minisblack"}


def save(path, data, **options):
    tifffile.imwrite(path, data, **({} if options.get("imagej") else GREY) | options)
    return path


def pixels(path, **options):
    """All time points of a file."""
    stack = open_raw_stack(path, **options)
    frames = np.stack([stack.read(time) for time in range(stack.shape[0])])
    assert frames.shape == stack.shape
    assert frames.dtype == stack.dtype
    return frames


def refusal(path, **options):
    """The message with which a file is refused when it is opened."""
    with pytest.raises(InputError) as error:
        open_raw_stack(path, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metadata": None},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"byteorder": ">", "bigtiff": True},
        {"compression": "zlib"},
        {"tile": (16, 16)},
        {"rowsperstrip": 3},
        {"imagej": True, "metadata": {"axes": "CYX"}},
        {"imagej": True, "metadata": {"axes": "TYX"}},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"ome": True, "metadata": {"axes": "TYX"}},
        {"ome": True, "metadata": {"axes": "CYX"}, "byteorder": ">"},
    ],
)
def test_nine_frames_are_read_as_stored(tmp_path, options):
    path = save(tmp_path / "cell.tif", FRAMES, **options)
    stack = open_raw_stack(str(path))
    assert stack.shape == (1, 9, 20, 24)
    assert stack.source == path
    frames = stack.read(0)
    assert frames.dtype == np.dtype("=u2")
    assert frames.flags.c_contiguous
    np.testing.assert_array_equal(frames, FRAMES)


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i4", ">f4", "<f8"])
def test_every_real_dtype_is_kept(tmp_path, dtype):
    frames = (FRAMES // 300).astype(dtype)
    read = pixels(save(tmp_path / "cell.tif", frames, byteorder=">"))
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read[0], frames)


def test_pages_saved_one_by_one_are_joined(tmp_path):
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        for frame in FRAMES:
            writer.write(frame, contiguous=False, **GREY)
    np.testing.assert_array_equal(pixels(path)[0], FRAMES)


def test_a_page_may_be_a_volume(tmp_path):
    for name, options in (("plain", {}), ("compressed", {"compression": "zlib"})):
        path = save(tmp_path / f"{name}.tif", TWICE, volumetric=True, metadata={"axes": "TZYX"}, **options)
        np.testing.assert_array_equal(pixels(path), TWICE)


@pytest.mark.parametrize(
    ("places", "options"),
    [
        ([("first", 0), ("second", 0)], {}),
        ([("first", 0), ("second", 0)], {"compression": "zlib"}),
        # Each time point where it would lie if both were in one file.
        ([("first", 0), ("second", 9)], {}),
        ([("first", 0), ("first", 9)], {}),
    ],
)
def test_a_set_of_ome_files_is_read_from_any_of_them(tmp_path, monkeypatch, places, options):
    """The metadata of each file tell the place of every time point: the name of its file, and its first page there."""
    stored = {"first": TWICE.reshape(18, 20, 24), "second": TWICE.reshape(18, 20, 24) + 5000}
    entries = "".join(
        f'<TiffData FirstT="{time}" FirstC="{frame}" FirstZ="0" IFD="{start + frame}" PlaneCount="1">'
        f'<UUID FileName="{name}.ome.tif">urn:uuid:{name}</UUID></TiffData>'
        for time, (name, start) in enumerate(places)
        for frame in range(9)
    )
    for name, planes in stored.items():
        description = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{name}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="24" SizeY="20" '
            f'SizeC="9" SizeZ="1" SizeT="2">{entries}</Pixels></Image></OME>'.ljust(4000)
        )
        save(tmp_path / f"{name}.ome.tif", planes, description=description, metadata=None, **options)
    monkeypatch.chdir(tmp_path)
    stacks = [open_raw_stack(f"{name}.ome.tif") for name in stored]
    monkeypatch.chdir(tmp_path.parent)
    for stack in stacks:
        assert stack.shape == (2, 9, 20, 24)
        for time in (1, 0, 1):
            name, start = places[time]
            np.testing.assert_array_equal(stack.read(time), stored[name][start : start + 9])


@pytest.mark.parametrize(
    "options",
    [
        {"metadata": {"axes": "TZYX"}},
        {"metadata": {"axes": "TZYX"}, "byteorder": ">", "bigtiff": True},
        {"metadata": {"axes": "TZYX"}, "compression": "zlib"},
        {"metadata": {"axes": "TZYX"}, "tile": (16, 16)},
        {"metadata": {"axes": "TZYX"}, "imagej": True},
        {"metadata": {"axes": "TZYX"}, "ome": True, "compression": "zlib"},
    ],
)
def test_a_time_point_is_read_without_the_others(tmp_path, options):
    """In any order, and whatever has happened to the pixels of the others."""
    frames = np.stack([FRAMES + time for time in range(5)])
    path = save(tmp_path / "cell.tif", frames, **options)
    with tifffile.TiffFile(path) as tiff:
        places = [(page.dataoffsets, page.databytecounts) for page in tiff.pages]
    assert len(places) == 45
    stack = open_raw_stack(path)
    with path.open("r+b") as file:
        for number, place in enumerate(places):
            for offset, count in zip(*place, strict=True):
                if number // 9 not in (1, 3):
                    file.seek(offset)
                    file.write(b"\xff" * count)
    for time in (3, 1):
        np.testing.assert_array_equal(stack.read(time), frames[time])


def test_a_tiff_named_mrc_is_read_as_tiff(tmp_path):
    path = save(tmp_path / "cell.tif", FRAMES)
    np.testing.assert_array_equal(pixels(path.rename(tmp_path / "cell.mrc"))[0], FRAMES)


@pytest.mark.parametrize(
    ("axes", "stored", "expected"),
    [
        ("TCYX", TWICE, TWICE),
        ("TZYX", TWICE, TWICE),
        ("CTYX", TWICE.swapaxes(0, 1), TWICE),
        ("CZYX", TWICE, TWICE),
        ("ZYX", TWICE.reshape(18, 20, 24), TWICE),
        ("TYX", TWICE.reshape(18, 20, 24), TWICE),
        ("ZTYX", TWICE.swapaxes(0, 1), TWICE),
        ("ZCYX", FRAMES.reshape(3, 3, 20, 24), FRAMES[None]),
        ("CZYX", FRAMES.reshape(3, 3, 20, 24), FRAMES[None]),
        ("TZYX", FRAMES.reshape(3, 3, 20, 24), FRAMES[None]),
        ("ZTYX", FRAMES.reshape(3, 3, 20, 24), FRAMES[None]),
        ("TZCYX", TWICE.reshape(2, 3, 3, 20, 24), TWICE),
        ("ZCTYX", np.moveaxis(TWICE.reshape(2, 3, 3, 20, 24), 0, 2), TWICE),
        ("ZTYX", np.moveaxis(TWICE.reshape(2, 9, 20, 24), 0, 1), TWICE),
        # 9 times and 9 channels: the channels are the frames.
        ("CTYX", np.stack([FRAMES + n for n in range(9)], 1), np.stack([FRAMES + n for n in range(9)])),
        ("TCYX", np.stack([FRAMES + n for n in range(9)]), np.stack([FRAMES + n for n in range(9)])),
        # 9 times of two channels: the only axis of length 9 is the time.
        ("TCYX", TWICE.swapaxes(0, 1), TWICE),
        # 9 slices and 9 channels: stored order, the fast axis makes the acquisition.
        ("ZCYX", np.stack([FRAMES + n for n in range(9)]), np.stack([FRAMES + n for n in range(9)])),
    ],
)
def test_frame_axis_rule(tmp_path, axes, stored, expected):
    path = save(tmp_path / "cell.ome.tif", stored, metadata={"axes": axes})
    np.testing.assert_array_equal(pixels(path), expected)


def test_other_numbers_of_frames(tmp_path):
    frames = np.arange(25 * 20 * 24, dtype=np.uint16).reshape(25, 20, 24)
    path = save(tmp_path / "nonlinear.tif", frames)
    assert open_raw_stack(path, orientations=5, phases=5).shape == (1, 25, 20, 24)
    widefield = save(tmp_path / "widefield.tif", frames[0])
    assert open_raw_stack(widefield, orientations=1, phases=1).shape == (1, 1, 20, 24)


def test_phase_slow_files_are_reordered(tmp_path):
    frames = np.concatenate([TWICE, TWICE[:, :6]], axis=1)  # 3 orientations x 5 phases
    phase_slow = frames.reshape(2, 3, 5, 20, 24).swapaxes(1, 2).reshape(frames.shape)
    path = save(tmp_path / "omx.ome.tif", phase_slow, metadata={"axes": "TZYX"})
    np.testing.assert_array_equal(pixels(path, phases=5, frame_order="phase-orientation"), frames)


@pytest.mark.parametrize(
    ("options", "expected_nm"),
    [
        ({}, None),
        ({"resolution": (72, 72), "resolutionunit": "inch"}, None),
        ({"resolution": (1e7 / 65, 1e7 / 65), "resolutionunit": "centimeter"}, 65),
        ({"resolution": (2.54e7 / 65, 2.54e7 / 65), "resolutionunit": "inch"}, 65),
        ({"imagej": True, "resolution": (1 / 0.065,) * 2, "metadata": {"unit": "um"}}, 65),
        ({"imagej": True, "resolution": (1 / 0.065,) * 2, "metadata": {"unit": "\\u00B5m"}}, 65),
        ({"imagej": True, "resolution": (1 / 65,) * 2, "metadata": {"unit": "nm"}}, 65),
        ({"imagej": True, "resolution": (1, 1), "metadata": {"unit": "pixel"}}, None),
        ({"imagej": True, "resolution": (72, 72), "metadata": {"unit": "inch"}}, None),
        ({"ome": True, "metadata": {"axes": "CYX", "PhysicalSizeX": 0.065, "PhysicalSizeY": 0.065}}, 65),
        (
            {
                "ome": True,
                "metadata": {
                    "axes": "CYX",
                    "PhysicalSizeX": 65.0,
                    "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 650.0,
                    "PhysicalSizeYUnit": "Å",
                },
            },
            65,
        ),
    ],
)
def test_pixel_size(tmp_path, options, expected_nm):
    path = save(tmp_path / "cell.tif", FRAMES, **options)
    expected = None if expected_nm is None else pytest.approx(expected_nm, rel=1e-5)
    assert open_raw_stack(path).pixel_size_nm == expected
    assert open_raw_stack(path, pixel_size_nm=80.0).pixel_size_nm == 80.0


def test_a_single_page_without_resolution_tags(tmp_path):
    # tifffile always writes the tags: rename them to private ones.
    path = save(tmp_path / "cell.tif", FRAMES)
    content = path.read_bytes()
    for tag, private in ((282, 65000), (283, 65001), (296, 65002)):
        content = content.replace(struct.pack("<HH", tag, 3 if tag == 296 else 5), struct.pack("<HH", private, 7))
    path.write_bytes(content)
    assert open_raw_stack(path).pixel_size_nm is None


def test_pixels_that_are_not_square_need_an_override(tmp_path):
    path = save(tmp_path / "cell.tif", FRAMES, imagej=True, resolution=(10, 10.5), metadata={"unit": "um"})
    message = refusal(path)
    assert "95.2381 nm in y and 100 nm in x" in message
    assert "`pixel_size_nm`" in message
    assert open_raw_stack(path, pixel_size_nm=100.0).pixel_size_nm == 100.0


@pytest.mark.parametrize(
    ("options", "expected_s"),
    [
        ({"imagej": True, "metadata": {"axes": "TZYX", "finterval": 2.5}}, 2.5),
        ({"imagej": True, "metadata": {"axes": "TZYX", "finterval": 250.0, "tunit": "ms"}}, 0.25),
        ({"imagej": True, "metadata": {"axes": "TZYX"}}, None),
        ({"ome": True, "metadata": {"axes": "TZYX", "TimeIncrement": 2.5}}, 2.5),
        ({"ome": True, "metadata": {"axes": "TZYX", "TimeIncrement": 2.0, "TimeIncrementUnit": "min"}}, 120),
        ({}, None),
    ],
)
def test_time_interval(tmp_path, options, expected_s):
    assert open_raw_stack(save(tmp_path / "cell.tif", TWICE, **options)).time_interval_s == expected_s


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_a_wrong_number_of_frames(tmp_path):
    message = refusal(save(tmp_path / "cell.tif", FRAMES[:8]))
    assert "holds 8 images (shape (8, 20, 24)" in message
    assert "3 orientations x 3 phases = 9" in message


@pytest.mark.parametrize(
    ("setting", "value"), [("orientations", 0), ("phases", -3), ("frame_order", "zig"), ("pixel_size_nm", 0.0)]
)
def test_settings_without_a_meaning(tmp_path, setting, value):
    path = save(tmp_path / "cell.tif", FRAMES)
    with pytest.raises(IllegalValue) as error:
        open_raw_stack(path, **{setting: value})
    assert (error.value.field, error.value.value) == (setting, value)


def test_small_images(tmp_path):
    assert "15 x 24 pixels; at least 16 x 16" in refusal(save(tmp_path / "cell.tif", FRAMES[:, :15]))
    assert open_raw_stack(save(tmp_path / "fits.tif", FRAMES[:, :16, :16])).shape == (1, 9, 16, 16)


def test_colour_images(tmp_path):
    tifffile.imwrite(tmp_path / "rgb.tif", FRAMES[:, :, :3], photometric="rgb")
    assert "colour image" in refusal(tmp_path / "rgb.tif")


def test_samples_that_are_no_colours_are_frames(tmp_path):
    """(3, 3, y, x) without a word on its axes is written as three RGB pages of three planes each."""
    with pytest.warns(DeprecationWarning, match="stored as RGB"):
        tifffile.imwrite(tmp_path / "planar.tif", FRAMES.reshape(3, 3, 20, 24))
    np.testing.assert_array_equal(pixels(tmp_path / "planar.tif")[0], FRAMES)
    with pytest.warns(DeprecationWarning, match="stored as RGB"):
        tifffile.imwrite(tmp_path / "three.tif", FRAMES[:3])
    assert "holds 3 images" in refusal(tmp_path / "three.tif")
    for name, options in (("plain", {}), ("compressed", {"compression": "zlib"})):
        last = np.moveaxis(FRAMES, 0, -1).copy()
        path = save(tmp_path / f"{name}.tif", last, planarconfig="contig", metadata={"axes": "YXS"}, **options)
        with tifffile.TiffFile(path) as tiff:
            assert tiff.series[0].axes == "YXS"
        np.testing.assert_array_equal(pixels(path)[0], FRAMES)


def test_lzw_is_read_without_imagecodecs(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    np.testing.assert_array_equal(pixels(lzw(tmp_path / "cell.tif"))[0], FRAMES)


def test_pages_that_are_not_images(tmp_path):
    path = save(tmp_path / "cell.tif", np.moveaxis(FRAMES, 0, 2), metadata={"axes": "YXC"})
    assert "axes YXC; the last two must be YX" in refusal(path)


@pytest.mark.parametrize("dtype", ["bool", "complex64"])
def test_pixels_that_are_not_real_numbers(tmp_path, dtype):
    message = refusal(save(tmp_path / "cell.tif", FRAMES.astype(dtype)))
    assert f"holds {dtype} pixels" in message
    assert "integers or real floats" in message


def test_images_of_different_shapes(tmp_path):
    path = tmp_path / "mixed.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(FRAMES, **GREY)
        writer.write(FRAMES[0, :18], **GREY)
    assert "different kinds (uint16 (18, 24), uint16 (9, 20, 24))" in refusal(path)


def test_an_ome_set_with_an_absent_file(tmp_path):
    path = save(tmp_path / "cell.ome.tif", FRAMES, metadata={"axes": "CYX"})
    content = path.read_bytes()
    # The directories after the first are cut off: the metadata promise nine planes, the file holds one.
    first = struct.unpack_from("<I", content, 4)[0]
    entries = struct.unpack_from("<H", content, first)[0]
    end = first + 2 + 12 * entries
    path.write_bytes(content[:end] + bytes(4) + content[end + 4 :])
    assert "lacks planes that its OME metadata promise" in refusal(path)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metadata": None},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"compression": "zlib"},
        {"tile": (16, 16)},
        {"imagej": True},
        {"ome": True, "metadata": {"axes": "CYX"}},
    ],
)
def test_truncated_files(tmp_path, capfd, options):
    path = save(tmp_path / "cell.tif", FRAMES, **options)
    size = path.stat().st_size
    for kept in (int(0.9 * size), size // 2, 200, 60, 5):
        os.truncate(path, kept)
        message = refusal(path)
        assert f"truncated: {kept} bytes found, at least" in message
        needed = int(message.split("at least ")[1].split()[0])
        assert kept < needed <= size
    assert capfd.readouterr() == ("", "")


def test_a_large_imagej_stack_with_one_directory(tmp_path, caplog):
    path = save(tmp_path / "cell.tif", FRAMES, imagej=True)
    content = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages.first.dataoffsets[0]
    # As ImageJ does beyond 4 GB: one directory, then all pixels, then nothing.
    pointer = 8 + 2 + 12 * struct.unpack_from("<H", content, 8)[0]
    content = content[:pointer] + bytes(4) + content[pointer + 4 : start + FRAMES.nbytes]
    path.write_bytes(content)
    np.testing.assert_array_equal(pixels(path)[0], FRAMES)
    path.write_bytes(content[:-1000])
    assert f"truncated: {len(content) - 1000} bytes found, at least {len(content)} needed" in refusal(path)
    assert caplog.records == []


def test_a_stack_with_one_directory(tmp_path):
    path = save(tmp_path / "cell.tif", FRAMES, truncate=True)
    np.testing.assert_array_equal(pixels(path)[0], FRAMES)
    size = path.stat().st_size
    os.truncate(path, size - 1000)
    assert f"truncated: {size - 1000} bytes found, at least {size} needed" in refusal(path)


def test_damaged_pixels_are_one_line_and_no_log(tmp_path, capfd, caplog):
    path = save(tmp_path / "cell.tif", FRAMES, compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages.first.dataoffsets[0]
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 100)
    stack = open_raw_stack(path)
    with pytest.raises(InputError, match=r"cannot be read as TIFF .*save it again uncompressed") as error:
        stack.read(0)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")
    # The silence ends with the reading.
    logging.getLogger("tifffile").warning("heard")
    assert [record.getMessage() for record in caplog.records] == ["heard"]


def test_not_a_tiff(tmp_path):
    text = tmp_path / "notes.tif"
    text.write_text("hello " * 50)
    assert "is not a TIFF file (it starts with b'hello he')" in refusal(text)
    other = tmp_path / "cell.czi"
    other.write_bytes(b"ZISRAWFILE" * 200)
    assert "is not a TIFF or MRC file" in refusal(other)
    assert "convert the raw frames to OME-TIFF" in refusal(other)


def test_paths_that_are_no_files(tmp_path, monkeypatch):
    assert "does not exist" in refusal(tmp_path / "absent.tif")
    assert "is a folder" in refusal(tmp_path)
    empty = tmp_path / "empty.tif"
    empty.touch()
    assert "is empty (0 bytes)" in refusal(empty)
    assert "cannot be opened (Not a directory)" in refusal(empty / "cell.tif")

    def forbidden(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(empty), "open", forbidden)
    assert "cannot be opened (Permission denied)" in refusal(empty)


def test_a_message_is_one_line_whatever_the_file_is_called(tmp_path):
    assert "does not exist" in refusal(tmp_path / "a\nb.tif")


# ---- what may be wrong with a file that holds all its pixels --------------------------------------------------------


def write_pages(path, *, private=(65000, 7, 4, 0), padding=0, subfile=0, strips=1, empty=None):
    """Nine pages as a camera program may write them, each entry under control."""
    count, y, x = FRAMES.shape
    size, entries = y * x * 2, 12
    directory = 2 + entries * 12 + 4
    base = 8 + count * directory
    out = bytearray(b"II*\0" + struct.pack("<I", 8))
    for i in range(count):
        n_bytes = size + padding * (i == count - 1)
        tags = [(254, 4, 1, subfile), (256, 4, 1, x), (257, 4, 1, y), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1)]
        tags += [
            (273, 4, 1, base + i * size),
            (277, 3, 1, 1),
            (278, 4, 1, y),
            (279, 4, 1, 0 if i == empty else n_bytes),
        ]
        tags += [(339, 3, 1, 1), private]
        following = 8 + (i + 1) * directory if i < count - 1 else 0
        out += struct.pack("<H", entries) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        out += struct.pack("<I", following)
    path.write_bytes(bytes(out) + FRAMES.astype("<u2").tobytes())
    return path


@pytest.mark.parametrize("damage", [{}, {"private": (65000, 7, 4096, 0x7FFFFFF0)}, {"padding": 64}])
def test_what_no_pixel_depends_on_may_be_wrong(tmp_path, damage):
    np.testing.assert_array_equal(pixels(write_pages(tmp_path / "cell.tif", **damage))[0], FRAMES)


def test_an_image_without_bytes_is_not_an_image_of_zeros(tmp_path):
    assert "without pixels in image 4" in refusal(write_pages(tmp_path / "cell.tif", empty=3))


def change_entry(path, page, tag, *, kind=None, value=None, new_tag=None):
    """Writes over an entry of the directory of one page; values are those of the entry itself."""
    with tifffile.TiffFile(path) as tiff:
        entry, order = tiff.pages[page].aspage().tags[tag], tiff.byteorder
    with path.open("r+b") as file:
        for offset, part in ((0, new_tag), (2, kind)):
            if part is not None:
                file.seek(entry.offset + offset)
                file.write(struct.pack(f"{order}H", part))
        if value is not None:
            file.seek(entry.valueoffset)
            file.write(struct.pack(f"{order}{'H' if int(entry.dtype) == 3 else 'I'}", value))


def test_channels_by_the_million_take_no_memory(tmp_path):
    path = save(tmp_path / "cell.tif", FRAMES, imagej=True, metadata={"axes": "CYX"})
    content = path.read_bytes()
    before, after = b"channels=9\nhyperstack=true\n", b"channels=999999\nhyperstk=1\n"
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, after))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.imagej_metadata["channels"] == 999999
    tracemalloc.start()
    np.testing.assert_array_equal(pixels(path)[0], FRAMES)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()


@pytest.mark.parametrize("back_to", [0, 4])
def test_directories_in_a_circle_end(tmp_path, back_to):
    path = save(tmp_path / "cell.tif", FRAMES, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        offsets = [page.offset for page in tiff.pages]
    content = bytearray(path.read_bytes())
    pointer = offsets[-1] + 2 + 12 * struct.unpack_from("<H", content, offsets[-1])[0]
    struct.pack_into("<I", content, pointer, offsets[back_to])
    path.write_bytes(content)
    assert "lead back to an earlier one" in refusal(path)


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"compression": "zlib", "rowsperstrip": 3}])
@pytest.mark.parametrize("page", [0, 3])
def test_strips_that_are_absent_are_not_filled_with_zeros(tmp_path, options, page):
    """tifffile reads as many strips as there are offsets and byte counts."""
    path = save(tmp_path / "cell.tif", FRAMES, metadata=None, **options)
    change_entry(path, page, 325 if "tile" in options else 279, new_tag=65000)
    if not options:  # one strip without compression: nothing depends on its count
        np.testing.assert_array_equal(pixels(path)[0], FRAMES)
    else:
        assert f"lacks strips or tiles of image {page + 1}" in refusal(path)


def test_a_strip_is_where_an_integer_says(tmp_path):
    path = save(tmp_path / "cell.tif", FRAMES, metadata=None)
    change_entry(path, 0, 273, kind=11)  # float
    assert "lacks strips or tiles of image 1" in refusal(path)


def test_a_volume_is_as_deep_as_its_strips(tmp_path):
    path = save(tmp_path / "cell.tif", TWICE, volumetric=True, metadata={"axes": "TZYX"}, compression="zlib")
    change_entry(path, 0, 257, value=60)
    assert "lacks strips or tiles of image 1" in refusal(path)


def test_strips_of_a_later_page_may_lie_anywhere(tmp_path):
    """Those of the first follow each other, and tifffile takes it that all do."""
    path = save(tmp_path / "cell.tif", FRAMES, metadata=None, rowsperstrip=10)
    with tifffile.TiffFile(path) as tiff:
        offsets, place = tiff.pages[4].aspage().dataoffsets, tiff.pages[4].aspage().tags[273].valueoffset
    content = bytearray(path.read_bytes())
    struct.pack_into("<II", content, place, len(content), offsets[1])
    path.write_bytes(content + content[offsets[0] : offsets[0] + 480])
    with path.open("r+b") as file:
        file.seek(offsets[0])
        file.write(bytes(480))
    np.testing.assert_array_equal(pixels(path)[0], FRAMES)


@pytest.mark.parametrize("options", [{"tile": (16, 16)}, {"compression": "zlib", "tile": (16, 16)}])
def test_byte_counts_of_gigabytes_take_no_memory(tmp_path, options):
    path = save(tmp_path / "cell.tif", FRAMES, metadata=None, **options)
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[2].aspage().tags[325]
    content = bytearray(path.read_bytes())
    struct.pack_into("<HHII", content, place.offset, 325, 4, 4, len(content))
    path.write_bytes(content + struct.pack("<IIII", *(2**31,) * 4))
    tracemalloc.start()
    # Without compression the pixels are where they are, whatever the counts say.
    if "compression" in options:
        assert "truncated" in refusal(path)
    else:
        np.testing.assert_array_equal(pixels(path)[0], FRAMES)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()


def test_pixels_that_expand_beyond_all_bounds(tmp_path):
    path = tmp_path / "cell.tif"
    strips = (zlib.compress(frame.tobytes() + bytes(10**8)) for frame in FRAMES)
    options = {"shape": FRAMES.shape, "dtype": FRAMES.dtype, "compression": "zlib", "metadata": None, **GREY}
    tifffile.imwrite(path, strips, **options)
    assert "compressed bytes for 960 of pixels in image 1" in refusal(path)


def test_promises_of_gigabytes_in_kilobytes(tmp_path):
    """Every strip of 62,000 rows is the same 200 bytes."""
    path = save(tmp_path / "cell.tif", np.zeros((62000, 16), np.uint16), compression="zlib", rowsperstrip=16)
    content = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        width = tiff.pages.first.tags[256]
    content = content[: width.offset] + struct.pack("<HHII", 256, 4, 1, 62000) + content[width.offset + 12 :]
    path.write_bytes(content)
    for opened in (refusal, lambda path: refusal(path, orientations=1, phases=1)):
        assert "promises images of 7.16 GB in a file of" in opened(path)


def lzw(path, **options):
    pages = [Image.fromarray(frame) for frame in FRAMES]
    pages[0].save(path, save_all=True, append_images=pages[1:], compression="tiff_lzw", **options)
    return path


@pytest.mark.parametrize("value", [7, 32767])
def test_what_tifffile_understood_of_an_lzw_page_is_decoded(tmp_path, monkeypatch, value):
    """Of a page with a strange tag Pillow makes zeros; tifffile looks at those of the first page."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path = lzw(tmp_path / "cell.tif")
    change_entry(path, 4, 284, value=value)
    np.testing.assert_array_equal(pixels(path)[0], FRAMES)


def test_damaged_lzw_is_one_line_and_nothing_on_stderr(tmp_path, monkeypatch, capfd):
    """libtiff, which Pillow uses, writes to the file descriptor."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path = lzw(tmp_path / "cell.tif")
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[1].aspage().dataoffsets[0]
    with path.open("r+b") as file:
        file.seek(at + 100)
        file.write(b"\xff" * 200)
    stack = open_raw_stack(path)
    with pytest.raises(InputError, match="cannot be read as TIFF"):
        stack.read(0)
    assert capfd.readouterr() == ("", "")
    os.write(2, b"heard")
    assert capfd.readouterr() == ("", "heard")


OME = (
    '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    '<Image ID="Image:0" Name="{name}"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="24" '
    'SizeY="20" SizeZ="9" SizeC="1" SizeT="{times}" PhysicalSizeX="0.065" PhysicalSizeY="0.065">'
    "{planes}</Pixels></Image>{tail}</OME>"
)
ALL_PLANES = '<TiffData IFD="0" PlaneCount="9"/>'


def save_ome(path, xml, frames=FRAMES):
    with tifffile.TiffWriter(path, ome=False) as writer:
        for i, frame in enumerate(frames):
            description = xml if i == 0 else None
            unit = {"resolution": (1e4 / 0.06,) * 2, "resolutionunit": "CENTIMETER"}
            writer.write(frame, contiguous=False, description=description, metadata=None, **GREY, **unit)
    return path


@pytest.mark.parametrize(
    ("xml", "remark"),
    [
        (OME.format(name="cell & actin", times=1, planes=ALL_PLANES, tail=""), "not well formed"),
        (OME.format(name="x\x01", times=1, planes=ALL_PLANES, tail=""), "not well formed"),
        (OME.format(name="x", times=1, planes=ALL_PLANES, tail="<SA:Note/>"), "not well formed"),
        (OME.format(name="x", times=1, planes=ALL_PLANES, tail="").replace(" xmlns=", " was="), "no namespace"),
        ('<!DOCTYPE OME [<!ENTITY a "b">]>' + OME.format(name="&a;", times=1, planes=ALL_PLANES, tail=""), "entities"),
    ],
)
def test_metadata_that_nobody_can_read_leave_the_pixels(tmp_path, xml, remark):
    stack = open_raw_stack(save_ome(tmp_path / "cell.ome.tif", xml))
    np.testing.assert_array_equal(stack.read(0), FRAMES)
    assert stack.pixel_size_nm == pytest.approx(60)
    (line,) = stack.images.remarks
    assert remark in line
    assert "check the pixel size" in line


def planes_of(count):
    return "".join(
        f'<TiffData IFD="{i}" FirstC="0" FirstT="{i // 9}" FirstZ="{i % 9}" PlaneCount="1"/>' for i in range(count)
    )


@pytest.mark.parametrize("planes", [36, 40])
def test_an_acquisition_that_was_stopped_gives_its_complete_time_points(tmp_path, planes):
    frames = np.stack([FRAMES[i % 9] + i // 9 for i in range(planes)])
    xml = OME.format(name="x", times=10, planes=planes_of(planes), tail="")
    stack = open_raw_stack(save_ome(tmp_path / "cell.ome.tif", xml, frames))
    assert stack.shape == (4, 9, 20, 24)
    for time in range(4):
        np.testing.assert_array_equal(stack.read(time), FRAMES + time)
    (line,) = stack.images.remarks
    assert "of the 10 time points that the metadata promise 4 are complete" in line


def test_no_complete_time_point(tmp_path):
    xml = OME.format(name="x", times=10, planes=planes_of(8), tail="")
    assert "lacks planes" in refusal(save_ome(tmp_path / "cell.ome.tif", xml, FRAMES[:8]))


@pytest.mark.parametrize("planes", ['<TiffData IFD="0" PlaneCount="4000000000"/>', ""])
def test_metadata_that_promise_more_than_there_is(tmp_path, planes):
    xml = OME.format(name="x", times=4000000000, planes=planes, tail="")
    assert "images in its OME metadata; they are damaged" in refusal(save_ome(tmp_path / "cell.ome.tif", xml))


def test_images_larger_than_any_codec_packs_into_the_file(tmp_path):
    path = save(tmp_path / "cell.tif", FRAMES[:, :16, :16], compression="zlib", metadata=None)
    content = path.read_bytes()
    for tag, side in ((256, 16), (257, 16), (278, 16)):
        for kind, form in ((3, "<HHIH"), (4, "<HHII")):
            content = content.replace(
                struct.pack(form, tag, kind, 1, side), struct.pack("<HHI", tag, 4, 1) + b"\0\0\2\0"
            )
    path.write_bytes(content)
    assert "promises images of" in refusal(path)


@pytest.mark.parametrize("flagged", [True, False])
def test_thumbnails_are_left_out(tmp_path, flagged):
    path = tmp_path / "cell.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(FRAMES, **GREY)
        writer.write(FRAMES[0, ::3, ::3], subfiletype=1 if flagged else 0, **GREY)
    stack = open_raw_stack(path)
    np.testing.assert_array_equal(stack.read(0), FRAMES)
    assert "1 reduced images (thumbnails)" in stack.images.remarks[0]


def test_a_codec_that_is_not_here_is_told_at_inspection(tmp_path, monkeypatch):
    path = write_pages(tmp_path / "cell.tif")
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<HHII", 259, 3, 1, 1), struct.pack("<HHII", 259, 3, 1, 34712)))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = refusal(path)
    assert "compression JPEG2000" in message
    assert "pip install 'oidn-jax[codecs]'" in message


def test_a_pipe_is_told(tmp_path):
    os.mkfifo(tmp_path / "cell.tif")
    assert "is a pipe or a device" in refusal(tmp_path / "cell.tif")

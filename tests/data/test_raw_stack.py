"""Stacks of files and of arrays behave alike, and are read one time point at a time."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from oidn_jax.data import InputError, RawStack, check_image, open_images, open_raw_stack
from oidn_jax.data.image_file import common_name
from oidn_jax.data.raw_stack import gather
from oidn_jax.errors import IllegalValue

FRAMES = np.random.default_rng(0).integers(0, 60000, (3, 9, 20, 24)).astype(np.uint16)


def test_frames_in_memory():
    stack = RawStack.of_array(FRAMES, pixel_size_nm=62.6, time_interval_s=2.5, source="a simulation")
    assert (stack.shape, stack.dtype) == (FRAMES.shape, FRAMES.dtype)
    assert (stack.pixel_size_nm, stack.time_interval_s, stack.source) == (62.6, 2.5, Path("a simulation"))
    for time, frames in enumerate(FRAMES):
        np.testing.assert_array_equal(stack.read(time), frames)
    with pytest.raises(IndexError):
        stack.read(3)


def test_what_is_read_is_the_callers():
    frames = FRAMES.copy()
    stack = RawStack.of_array(frames)
    stack.read(1)[:] = 0
    np.testing.assert_array_equal(frames, FRAMES)


def test_a_view_is_not_copied_and_any_byte_order_becomes_the_machines():
    frames = np.moveaxis(np.ascontiguousarray(np.moveaxis(FRAMES, 1, -1)), -1, 1).astype(">u2")
    stack = RawStack.of_array(frames)
    assert stack.read(2).dtype == np.dtype("=u2")
    np.testing.assert_array_equal(stack.read(2), FRAMES[2])
    frames[2, 4] = 7
    assert (stack.read(2)[4] == 7).all()


@pytest.mark.parametrize("frames", [FRAMES[0], FRAMES[:0], FRAMES.astype(complex), FRAMES > 0])
def test_arrays_that_are_no_frames(frames):
    with pytest.raises(InputError, match=r"give real numbers \(time, frames, y, x\)"):
        RawStack.of_array(frames)


def test_a_pixel_size_is_positive():
    with pytest.raises(IllegalValue) as error:
        RawStack.of_array(FRAMES, pixel_size_nm=-1.0)
    assert error.value.field == "pixel_size_nm"


def test_memory_does_not_grow_with_the_number_of_time_points(tmp_path):
    """A TIFF of 35 MB, whose pixels were never written and take no room on the disk."""
    path, one = tmp_path / "long.tif", 9 * 256 * 256 * 2
    tifffile.imwrite(path, shape=(30, 9, 256, 256), dtype=np.uint16, photometric="minisblack")
    tracemalloc.start()
    stack = open_raw_stack(path)
    _, opened = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    for time in (0, 29):
        stack.read(time)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert stack.shape == (30, 9, 256, 256)
    assert opened < 3 * one
    assert peak < 3 * one


def test_images_of_any_axes_are_one_frame_each(tmp_path):
    images = FRAMES[:, :2]
    for axes in ("TCYX", "ZCYX", "CTYX"):
        path = tmp_path / f"{axes}.ome.tif"
        tifffile.imwrite(path, images, photometric="minisblack", metadata={"axes": axes})
        stack = open_images(path, pixel_size_nm=31.3)
        assert stack.shape == (6, 1, 20, 24)
        assert stack.pixel_size_nm == 31.3
        expected = images.swapaxes(0, 1) if axes == "CTYX" else images
        np.testing.assert_array_equal([stack.read(n)[0] for n in range(6)], expected.reshape(6, 20, 24))


def test_images_that_no_measurement_can_use():
    image = np.arange(480.0).reshape(20, 24)
    check_image(image, "cell.tif")
    image[3, 4] = np.nan
    with pytest.raises(InputError, match=r"cell\.tif has 1 NaN or infinite pixels"):
        check_image(image, "cell.tif")
    with pytest.raises(InputError, match="one value everywhere"):
        check_image(np.full((20, 24), 3, np.uint8), "cell.tif")


# ---- what the axes mean ---------------------------------------------------------------------------------------------

PLANES = np.random.default_rng(1).integers(0, 60000, (5, 3, 3, 20, 24)).astype(np.uint16)  # z, orientation, phase


def in_order(order):
    """The frames of PLANES as a program writes them whose order this is, what changes fastest first."""
    slow_first = ["zap".index(letter) for letter in reversed(order)]
    return PLANES.transpose(*slow_first, 3, 4).reshape(45, 20, 24)


@pytest.mark.parametrize("order", ["paz", "apz", "pza", "azp", "zpa", "zap"])
def test_orders_of_phase_orientation_and_slice(tmp_path, order):
    path = tmp_path / "cell.tif"
    metadata = {"axes": "ZYX", "unit": "um", "spacing": 0.125}
    tifffile.imwrite(path, in_order(order), imagej=True, resolution=(10, 10), metadata=metadata)
    stack = open_raw_stack(path, frame_order=order)
    assert (stack.layout, stack.images.z_spacing_nm) == ((1, 5, 1), pytest.approx(125))
    for z in range(5):
        np.testing.assert_array_equal(stack.read(z), PLANES[z].reshape(9, 20, 24))


@pytest.mark.parametrize(
    ("axes", "shape", "layout"),
    [
        ("TCYX", (2, 9), (2, 1, 1)),
        ("ZCYX", (9, 2), (1, 1, 2)),
        ("CZYX", (2, 9), (1, 1, 2)),
        ("TZYX", (4, 27), (4, 3, 1)),
        ("ZCYX", (5, 9), (1, 5, 1)),
        ("TCZYX", (2, 3, 9), (2, 1, 3)),
        ("CTZYX", (3, 2, 9), (2, 1, 3)),
        ("TYX", (27,), (3, 1, 1)),
        ("TCYX", (9, 2), (1, 1, 2)),
    ],
)
def test_what_is_left_over_keeps_its_meaning(tmp_path, axes, shape, layout):
    path = tmp_path / "cell.ome.tif"
    frames = np.arange(np.prod(shape), dtype=np.uint16).reshape(*shape, 1, 1) + np.zeros((16, 16), np.uint16)
    tifffile.imwrite(path, frames, photometric="minisblack", metadata={"axes": axes})
    stack = open_raw_stack(path)
    assert stack.layout == layout
    assert stack.shape[0] == np.prod(layout)
    for number in range(layout[2]):
        channel = stack.channel(number)
        assert channel.layout == (*layout[:2], 1)
        for time in range(channel.shape[0]):
            np.testing.assert_array_equal(channel.read(time), stack.read(channel.numbers[time]))
    if "C" in axes and layout[2] > 1:  # each channel is all of its index on the axis C
        taken = np.take(frames, 1, axes.index("C")).reshape(-1, 16, 16)
        read = np.concatenate([stack.channel(1).read(time) for time in range(stack.channel(1).shape[0])])
        np.testing.assert_array_equal(np.sort(read[:, 0, 0]), np.sort(taken[:, 0, 0]))
    with pytest.raises(IndexError):
        stack.channel(layout[2])


@pytest.mark.parametrize("ome", [True, False])
def test_the_interval_is_that_of_images(tmp_path, ome):
    path = tmp_path / ("cell.ome.tif" if ome else "cell.tif")
    metadata = {"axes": "TYX", **({"TimeIncrement": 0.01} if ome else {"finterval": 0.01})}
    tifffile.imwrite(path, FRAMES.reshape(27, 20, 24), ome=ome, imagej=not ome, metadata=metadata)
    assert open_raw_stack(path).time_interval_s == pytest.approx(0.09)


def test_frames_that_lie_on_the_last_axis(tmp_path):
    frames = np.moveaxis(FRAMES[0], 0, -1).copy()
    tifffile.imwrite(tmp_path / "cell.tif", frames, photometric="minisblack")
    stack = open_raw_stack(tmp_path / "cell.tif")
    np.testing.assert_array_equal(stack.read(0), FRAMES[0])
    assert "the frames are on the last axis: 20 pages of 24 x 9 pixels" in stack.images.remarks[0]


def test_a_montage(tmp_path):
    mosaic = FRAMES[0].reshape(3, 3, 20, 24).transpose(0, 2, 1, 3).reshape(60, 72)
    tifffile.imwrite(tmp_path / "cell.tif", mosaic)
    np.testing.assert_array_equal(open_raw_stack(tmp_path / "cell.tif", frame_order="montage").read(0), FRAMES[0])
    with pytest.raises(InputError, match="where this is a montage of 3 x 3 frames, give montage as `frame_order`"):
        open_raw_stack(tmp_path / "cell.tif")
    tifffile.imwrite(tmp_path / "odd.tif", mosaic[:59])
    with pytest.raises(InputError, match="no montage of 3 x 3"):
        open_raw_stack(tmp_path / "odd.tif", frame_order="montage")


def test_a_folder_of_frames_in_natural_order(tmp_path):
    folder = tmp_path / "cell"
    folder.mkdir()
    for i, frame in enumerate(FRAMES.reshape(27, 20, 24)):
        tifffile.imwrite(folder / f"frame{i + 1}.tif", frame)
    (folder / "notes.txt").touch()
    stack = open_raw_stack(folder)
    assert (stack.shape, stack.source) == ((3, 9, 20, 24), folder)
    for time in range(3):
        np.testing.assert_array_equal(stack.read(time), FRAMES[time])
    assert "its 27 files, frame1.tif to frame27.tif" in stack.images.remarks[0]
    with pytest.raises(InputError, match="where each frame is a file, give their folder"):
        open_raw_stack(folder / "frame1.tif")
    tifffile.imwrite(folder / "frame28.tif", FRAMES[0, 0, :18])
    with pytest.raises(InputError, match=r"files of different kinds .*frame28.tif: uint16 \(18, 24\)"):
        open_raw_stack(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="folder without TIFF or MRC files"):
        open_raw_stack(tmp_path / "empty")


def test_files_of_one_frame_each_are_one_acquisition(tmp_path):
    paths = [tmp_path / f"cell_{i + 1}.tif" for i in range(18)]
    for path, frame in zip(paths, FRAMES.reshape(27, 20, 24), strict=False):
        tifffile.imwrite(path, frame)
    (together,) = gather(sorted(map(str, paths)), frames=9)  # 1, 10, 11, ..., as a shell gives them
    stack = open_raw_stack(together)
    assert stack.source == tmp_path / "cell.tif"
    np.testing.assert_array_equal([stack.read(0), stack.read(1)], FRAMES[:2])
    assert "its 18 files, cell_1.tif to cell_18.tif, are taken as one acquisition" in stack.images.remarks[0]
    # Any other number, files of several images, and files that cannot be read stand by themselves.
    assert gather(paths[:17], frames=9) == paths[:17]
    assert gather(paths, frames=1) == paths
    tifffile.imwrite(paths[3], FRAMES[0])
    assert gather(paths, frames=9) == paths
    paths[3].write_bytes(b"nothing")
    assert gather(paths, frames=9) == paths
    (tmp_path / "1.tif").touch()
    assert common_name([tmp_path / "1.tif", tmp_path / "2.tif"]) == tmp_path / f"{tmp_path.name}.tif"


@pytest.mark.parametrize("position", ["first", "last"])
def test_a_widefield_frame_is_left_out(tmp_path, position):
    wide = np.full((3, 1, 20, 24), 7, np.uint16)
    frames = np.concatenate([wide, FRAMES] if position == "first" else [FRAMES, wide], axis=1)
    path = tmp_path / "cell.tif"
    tifffile.imwrite(path, frames.reshape(30, 20, 24), imagej=True, metadata={"axes": "TYX", "finterval": 0.01})
    with pytest.raises(InputError, match="give first or last as `widefield_frame`"):
        open_raw_stack(path)
    stack = open_raw_stack(path, widefield_frame=position)
    assert (stack.layout, stack.time_interval_s) == ((3, 1, 1), pytest.approx(0.1))
    np.testing.assert_array_equal([stack.read(time) for time in range(3)], FRAMES)
    other = FRAMES.reshape(3, 3, 3, 20, 24).swapaxes(1, 2).reshape(FRAMES.shape)
    frames = np.concatenate([wide, other] if position == "first" else [other, wide], axis=1)
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TCYX"})
    stack = open_raw_stack(path, widefield_frame=position, frame_order="apz")
    np.testing.assert_array_equal([stack.read(time) for time in range(3)], FRAMES)
    tifffile.imwrite(path, frames.reshape(30, 20, 24))
    for name, order in (("middle", "paz"), (position, "pza")):
        with pytest.raises(IllegalValue, match="`widefield_frame` is"):
            open_raw_stack(path, widefield_frame=name, frame_order=order)
    tifffile.imwrite(path, FRAMES[0])
    with pytest.raises(InputError, match=r"3 orientations x 3 phases \+ 1 widefield frame = 10"):
        open_raw_stack(path, widefield_frame=position)


def test_axes_of_orientations_and_phases_go_before_the_frame_order(tmp_path):
    path = tmp_path / "cell.ome.tif"
    tifffile.imwrite(path, PLANES.transpose(2, 1, 0, 3, 4), ome=True, metadata={"axes": "PAZYX"})
    stack = open_raw_stack(path)
    assert stack.layout == (1, 5, 1)
    np.testing.assert_array_equal([stack.read(z) for z in range(5)], PLANES.reshape(5, 9, 20, 24))


def several_images(path, images, **channel):
    with tifffile.TiffWriter(path) as file:
        for number, image in enumerate(images):
            file.write(image, metadata={"axes": "TZYX", "Name": f"field {number}", "Channel": channel})


def test_positions_are_acquisitions_of_their_own(tmp_path):
    """Two fields of view of two time points each."""
    images = np.stack([FRAMES[:2], FRAMES[1:]])
    several_images(tmp_path / "cell.ome.tif", images)
    stack = open_raw_stack(tmp_path / "cell.ome.tif")
    assert (stack.positions, stack.layout) == (2, (2, 1, 1))
    for number in range(2):
        field = stack.position(number)
        assert (field.positions, field.layout, field.shape) == (1, (2, 1, 1), (2, 9, 20, 24))
        np.testing.assert_array_equal([field.read(time) for time in range(2)], images[number])
    with pytest.raises(IndexError, match="positions 0 to 1, not 2"):
        stack.position(2)


def test_images_that_are_frames_are_no_positions(tmp_path):
    several_images(tmp_path / "cell.ome.tif", FRAMES.reshape(27, 1, 1, 20, 24)[:9])
    stack = open_raw_stack(tmp_path / "cell.ome.tif")
    assert (stack.positions, stack.layout) == (1, (1, 1, 1))
    np.testing.assert_array_equal(stack.read(0), FRAMES[0])


COLORS = [(0, 255, 0), (255, 0, 16)]


@pytest.mark.parametrize("axes", ["ZCYX", "CZYX"])
def test_what_ome_says_of_channels(tmp_path, axes):
    frames = FRAMES[:2] if axes[0] == "C" else FRAMES[:2].swapaxes(0, 1)
    channel = {
        "Name": ["GFP", "mCherry"],
        "EmissionWavelength": [525.0, 0.61],
        "EmissionWavelengthUnit": ["nm", "µm"],
        "ExcitationWavelength": [488.0, 561.0],
        "Color": [int.from_bytes(bytes((*color, 255)), "big", signed=True) for color in COLORS],
    }
    path = tmp_path / "cell.ome.tif"
    tifffile.imwrite(path, frames, ome=True, metadata={"axes": axes, "Channel": channel})
    with tifffile.TiffFile(path) as tiff:
        xml = tiff.ome_metadata
    instrument = '<Instrument ID="Instrument:0"><Objective ID="Objective:0" LensNA="1.42"/></Instrument><Image'
    tifffile.tiffcomment(path, xml.replace("<Image", instrument, 1).encode())
    stack = open_raw_stack(path)
    assert stack.images.na == 1.42
    assert [(c.name, c.color, c.emission_nm, c.excitation_nm) for c in stack.channels] == [
        ("GFP", COLORS[0], 525.0, 488.0),
        ("mCherry", COLORS[1], pytest.approx(610.0), 561.0),
    ]
    assert stack.channel(1).channels == stack.channels[1:]


def test_what_imagej_says_of_channels(tmp_path):
    tables = [np.outer(color, np.arange(256) / 255).round().astype(np.uint8) for color in COLORS]
    metadata = {"axes": "ZCYX", "mode": "composite", "LUTs": tables, "Labels": ["GFP", "mCherry"] * 9}
    tifffile.imwrite(tmp_path / "cell.tif", FRAMES[:2].swapaxes(0, 1), imagej=True, metadata=metadata)
    stack = open_raw_stack(tmp_path / "cell.tif")
    assert [(c.name, c.color) for c in stack.channels] == [("GFP", COLORS[0]), ("mCherry", COLORS[1])]
    # Labels that differ from image to image are no names.
    metadata |= {"Labels": [f"image {n}" for n in range(18)]}
    tifffile.imwrite(tmp_path / "cell.tif", FRAMES[:2].swapaxes(0, 1), imagej=True, metadata=metadata)
    assert [c.name for c in open_raw_stack(tmp_path / "cell.tif").channels] == [None, None]


def test_frames_on_the_axis_of_channels_share_what_all_have(tmp_path):
    channel = {"Name": [f"frame {n}" for n in range(9)], "EmissionWavelength": [525.0] * 9}
    tifffile.imwrite(tmp_path / "cell.ome.tif", FRAMES[0], ome=True, metadata={"axes": "CYX", "Channel": channel})
    (only,) = open_raw_stack(tmp_path / "cell.ome.tif").channels
    assert (only.name, only.emission_nm) == (None, 525.0)

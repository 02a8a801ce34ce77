"""Stacks of files and of arrays behave alike, and are read one time point at a time."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from oidn_jax.data import InputError, RawStack, check_image, open_images, open_raw_stack
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

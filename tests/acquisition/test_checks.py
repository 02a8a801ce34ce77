"""Pixels that no reconstruction can use are refused, and pixels a user should know about are told, once each."""

import os
import re
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from oidn_jax.acquisition.checks import check_pixels, survey_pixels
from oidn_jax.data import InputError, RawStack, open_raw_stack

DATA = os.environ.get("OIDN_TEST_DATA")
OTHER_ORDER = np.arange(9).reshape(3, 3).T.ravel()


def stack_of(frames):
    return RawStack.of_array(frames, source="cell.tif")


def acquisition(photons=300.0, seed=0, phases=3, modulation=0.8):
    """A (1, 3 * phases, 96, 96) raw stack of filaments, orientation slow and phase fast, with photon noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :96]
    sample = np.full((96, 96), 0.05)
    for _ in range(12):
        angle, offset = random.uniform(0, np.pi), random.uniform(20, 76, 2)
        distance = (y - offset[0]) * np.cos(angle) + (x - offset[1]) * np.sin(angle)
        sample += np.exp(-(distance**2) / 4)
    frames = [
        sample
        * (1 + modulation * np.cos(1.4 * (x * np.cos(angle) + y * np.sin(angle)) + angle + 2 * np.pi * phase / phases))
        for angle in np.deg2rad([25, 85, 145])
        for phase in range(phases)
    ]
    return random.poisson(photons * np.stack(frames)[None]).astype(np.uint16)


def test_a_good_stack_gives_no_warning():
    assert check_pixels(stack_of(acquisition())) == []


@pytest.mark.parametrize("value", [np.nan, -np.inf, 2e12])
def test_pixels_that_are_no_counts(value):
    frames = np.concatenate([acquisition()] * 3).astype(np.float32)
    frames[1, 4, 5, 6] = frames[1, 8, 0, 0] = frames[2, 0, 0, 0] = value
    frames[1, 3] = 7  # said when the others are gone
    message = "2 pixels that are NaN, infinite or beyond .* at time 1, the first in frame 4, y 5, x 6"
    with pytest.raises(InputError, match=message) as error:
        check_pixels(stack_of(frames))
    assert "\n" not in str(error.value)


def test_constant_frames():
    frames = np.concatenate([acquisition()] * 3)
    frames[1, 7] = frames[1, 8] = frames[2, 1] = 100
    with pytest.raises(InputError, match=r"2 frames of one value.* at time 1, .*frame 7 .*value 100") as error:
        check_pixels(stack_of(frames))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("dtype", "ceiling"), [("u2", 4095), ("u2", 16383), ("u2", 65535), ("u1", 255)])
def test_saturation(dtype, ceiling):
    frames = np.minimum(acquisition(photons=20.0), 254).astype(dtype)
    pixels = frames.reshape(-1)
    few, many = int(1e-4 * pixels.size), int(2.5e-3 * pixels.size)
    pixels[:few] = ceiling
    assert check_pixels(stack_of(frames)) == []
    pixels[:many] = ceiling
    (warning,) = check_pixels(stack_of(frames))
    assert f"0.25 % of the pixels are saturated (value {ceiling})" in warning
    assert "\n" not in warning


def test_full_scale_is_of_the_whole_stack():
    frames = np.concatenate([np.minimum(acquisition(photons=20.0), 254)] * 4)
    for time, count in ((1, 30), (3, 20)):
        frames[time].reshape(-1)[:count] = 4095
    frames[2].reshape(-1)[:5] = 4000
    survey = survey_pixels(stack_of(frames))
    assert (survey.full_scale, survey.saturated) == (4095, 50 / frames.size)
    np.testing.assert_array_equal(survey.means, frames.mean(axis=(2, 3)))
    frames[0, 0, 0, 0] = 4096
    survey = survey_pixels(stack_of(frames))
    assert (survey.full_scale, survey.saturated) == (None, 0.0)


def test_every_time_point_is_looked_at_once_and_by_itself(tmp_path):
    frames = np.concatenate([acquisition(photons=20.0)] * 20)
    frames[19].reshape(-1)[:9000] = 65535
    path = tmp_path / "long.tif"
    tifffile.imwrite(path, frames, photometric="minisblack")
    stack, reads = open_raw_stack(path), []
    images = stack.images
    counting = replace(images, read_plane=lambda plane: reads.append(plane) or images.read_plane(plane))
    counted = replace(stack, images=counting)
    tracemalloc.start()
    survey = survey_pixels(counted)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert Counter(reads) == Counter(range(180))
    assert peak < 5 * frames[0].nbytes
    (warning,) = check_pixels(counted, survey=survey)
    assert "saturated (value 65535)" in warning
    # Only the first time point is read again, for the frame order.
    assert Counter(reads) == Counter([*range(180), *range(9)])


def test_values_below_full_scale_are_not_saturation():
    frames = acquisition(photons=20.0)
    frames.reshape(-1)[:1000] = 4000
    assert check_pixels(stack_of(frames)) == []
    frames.reshape(-1)[:1000] = 4095
    frames.reshape(-1)[0] = 65534
    assert check_pixels(stack_of(frames)) == []


def test_floats_have_no_full_scale():
    frames = acquisition(photons=20.0).astype(np.float32)
    frames.reshape(-1)[:1000] = 4095
    assert check_pixels(stack_of(frames)) == []


@pytest.mark.parametrize("seed", range(2))
def test_frame_order_of_an_ideal_acquisition(seed):
    # Frames of one orientation correlate less than frames of different orientations here: that alone must not warn.
    frames = acquisition(seed=seed)
    assert check_pixels(stack_of(frames)) == []
    (warning,) = check_pixels(stack_of(frames[:, OTHER_ORDER]))
    assert "frame order is doubtful" in warning
    assert "try apz (orientation fast) as `frame_order`" in warning
    assert "\n" not in warning


def test_frame_order_of_three_orientations_and_five_phases():
    frames = acquisition(phases=5)
    assert check_pixels(stack_of(frames), phases=5) == []
    other = frames[:, np.arange(15).reshape(3, 5).T.ravel()]
    (warning,) = check_pixels(stack_of(other), phases=5)
    # Grouped by orientation the stripes cancel; any other grouping in the other order would gain a tenth of this.
    assert float(re.search(r"detail rises by ([\d.]+)", warning)[1]) > 0.5


def test_frame_order_when_each_orientation_has_a_background_of_its_own():
    # The weak stripes leave the sum law within chance; the likeness of one orientation's frames decides.
    frames = acquisition(modulation=0.15, seed=1).astype(float)
    slope = np.linspace(0, 200, 96)
    backgrounds = [slope[:, None] + 0 * slope, slope + 0 * slope[:, None], slope[::-1] + 0 * slope[:, None]]
    frames[0] += np.repeat(backgrounds, 3, axis=0)
    assert check_pixels(stack_of(frames)) == []
    assert len(check_pixels(stack_of(frames[:, OTHER_ORDER]))) == 1


@pytest.mark.parametrize("seed", range(2))
def test_noise_has_no_frame_order(seed):
    frames = np.random.default_rng(seed).poisson(50, (1, 9, 96, 96)).astype(np.uint16)
    assert check_pixels(stack_of(frames)) == check_pixels(stack_of(frames[:, OTHER_ORDER])) == []


def test_one_orientation_has_no_order():
    assert check_pixels(stack_of(acquisition()[:, :3]), orientations=1) == []


def test_the_frame_order_is_judged_in_the_middle_of_a_large_image():
    frames = np.tile(np.uint16(np.arange(600) % 7), (1, 9, 600, 1))
    frames[:, :, 252:348, 252:348] = acquisition()
    assert check_pixels(stack_of(frames)) == []


def test_the_numbers_must_be_those_of_the_stack():
    with pytest.raises(ValueError, match="9 frames per time point, but `orientations` is 3 and `phases` is 5"):
        check_pixels(stack_of(acquisition()), phases=5)


@pytest.mark.skipif(DATA is None, reason="OIDN_TEST_DATA names no folder of real acquisitions")
def test_a_real_acquisition():
    path = Path(DATA) / "rdlsim_microtubules_488nm.mrc"
    assert check_pixels(open_raw_stack(path)) == []
    (warning,) = check_pixels(open_raw_stack(path, frame_order="phase-orientation"))
    assert "frame order is doubtful" in warning

"""The time stamp that a camera writes into its frames is no fault of the acquisition, and no other check sees it."""

import numpy as np
import pytest

from oidn_jax.acquisition import Acquisition
from oidn_jax.acquisition.checks import check_pixels, survey_pixels
from oidn_jax.acquisition.raw_report import describe_raw
from oidn_jax.acquisition.time_stamp import find_stamp, unstamped, without_stamp
from oidn_jax.data import RawStack
from tests.acquisition.simulated import MICROSCOPE, counts
from tests.acquisition.test_checks import acquisition

OFFSET = 100


def digits(text, height):
    """Each character as a block 8 wide, its bits as columns and rows of white: no font, but as black and white."""
    cells = [np.random.default_rng(ord(character)).random((height, 8)) < 0.35 for character in text]
    return np.concatenate(cells, axis=1)


def text_stamped(frames, *, white=65535, height=8, left=0):
    """ "00000001 27-NOV-2026" and so on, as many characters as have room."""
    stamped = frames.copy()
    for number, frame in enumerate(stamped.reshape(-1, *frames.shape[-2:])):
        text = f"{number + 1:08d} 27-NOV-2026 12:34:{number:02d}"[: (frame.shape[1] - left) // 8]
        frame[:height, left : left + 8 * len(text)] = np.where(digits(text, height), white, 0)
    return stamped


def binary_stamped(frames):
    stamped = frames.copy()
    for number, frame in enumerate(stamped.reshape(-1, *frames.shape[-2:])):
        frame[0, :14] = [0, 0, 0, number, 0x20, 0x26, 0x11, 0x27, 0x12, 0x34, 0x50, 0x99, 0x10, number]
    return stamped


def both(frames):
    return binary_stamped(text_stamped(frames, left=16))


@pytest.fixture(scope="module")
def clean():
    """(1, 9, 96, 96), with an offset as cameras have it."""
    return acquisition() + np.uint16(OFFSET)


STAMPS = {
    "text": (text_stamped, (8, 96)),
    "twelve rows": (lambda frames: text_stamped(frames, height=12), (12, 96)),
    "12 bit": (lambda frames: text_stamped(np.minimum(frames, 4095), white=4095), (8, 96)),
    "binary": (binary_stamped, (1, 14)),
    "both": (both, (8, 96)),
}


@pytest.mark.parametrize("kind", STAMPS)
def test_it_is_found_and_its_place_has_the_mirror_image_of_what_is_below(clean, kind):
    stamp_on, (height, width) = STAMPS[kind]
    frames = stamp_on(clean)[0]
    stamp = find_stamp(frames)
    assert stamp.any(axis=1).sum() == height
    assert np.flatnonzero(stamp.any(axis=0))[-1] == width - 1
    read = unstamped(RawStack.of_array(frames[None])).read(0)
    np.testing.assert_array_equal(read[:, ~stamp], frames[:, ~stamp])
    below = frames[:, height : 2 * height, width - 2]
    if kind != "binary":
        np.testing.assert_array_equal(read[:, :height, width - 2], below[:, ::-1])
    np.testing.assert_array_equal(find_stamp(read), np.zeros_like(stamp))
    np.testing.assert_array_equal(without_stamp(frames, np.zeros_like(stamp)), frames)


@pytest.mark.parametrize("kind", STAMPS)
def test_one_line_and_no_other_warning(clean, kind):
    """Text is 8 % of the pixels: saturated, brighter than all light, and another one in each frame."""
    stack = RawStack.of_array(STAMPS[kind][0](clean))
    (line,) = check_pixels(stack)
    assert "time stamp" in line
    assert "nothing there is real" in line
    spared, before = survey_pixels(stack), survey_pixels(RawStack.of_array(clean))
    assert spared.saturated == 0
    assert spared.full_scale is None
    np.testing.assert_allclose(spared.means, before.means, rtol=0.02)
    assert spared.darkest >= before.darkest


@pytest.mark.parametrize("kind", ["text", "both"])
def test_what_a_file_says_of_itself_is_the_same(clean, kind):
    """Gain, offset, contrast and brightness, as far as they do not depend on the corner."""
    stamped, before = (describe_raw(RawStack.of_array(frames)) for frames in (STAMPS[kind][0](clean), clean))
    for ours, theirs in zip(stamped.orientations, before.orientations, strict=True):
        assert ours.gain_counts_per_electron == pytest.approx(theirs.gain_counts_per_electron, rel=0.1)
        assert ours.offset_counts == pytest.approx(theirs.offset_counts, abs=5)
        assert ours.contrast == pytest.approx(theirs.contrast, rel=0.1)
        assert ours.brightness_percent == pytest.approx(theirs.brightness_percent, abs=1)
    assert stamped.saturated_percent == 0


def test_the_illumination_is_found_as_without_it():
    clean = counts()
    with_stamp, without = (
        Acquisition.of_frames(np.moveaxis(frames, 0, -1), MICROSCOPE) for frames in (text_stamped(clean), clean)
    )
    for each in (with_stamp, without):
        each.check()
    ours, theirs = with_stamp.estimate, without.estimate
    np.testing.assert_allclose(ours.illumination.wave_vector, theirs.illumination.wave_vector, atol=2e-3)
    assert not with_stamp.frames.defects.pixels.any()
    assert not with_stamp.frames.defects.lines
    assert len([line for line in with_stamp.warnings if "time stamp" in line]) == 1
    assert set(with_stamp.warnings) - set(without.warnings) <= {line for line in with_stamp.warnings if "stamp" in line}


def test_what_is_no_stamp(clean):
    frames = clean[0]
    assert not find_stamp(frames).any()
    assert not find_stamp((frames > 200).astype(np.uint16)).any()  # two values everywhere
    dark = np.random.default_rng(0).poisson(0.02, frames.shape).astype(np.uint16)  # counted photons
    dark[:, 20:] += frames[:, 20:]
    assert not find_stamp(dark).any()
    clipped = np.maximum(frames.astype(int) - 400, 0).astype(np.uint16)
    clipped[:, :10] = 0
    assert not find_stamp(clipped).any()
    near = np.random.default_rng(0).normal(100, 1, frames.shape).astype(np.uint16)  # 0x60 to 0x69 are decimal digits
    assert not find_stamp(near).any()
    bright = frames.copy()
    bright[:, :8, :60] = 65535  # a saturated structure at the edge has no black in it
    assert not find_stamp(bright).any()
    assert not find_stamp(np.full((9, 16, 16), np.nan, np.float32)).any()

"""An acquisition: the same of a file as of arrays, nothing before it is asked for, one time point at a time."""

from collections import Counter
from dataclasses import replace

import jax
import numpy as np
import pytest

from oidn_jax.acquisition import Acquisition, KnownIllumination, stripes
from oidn_jax.acquisition.illumination_file import write_illumination
from oidn_jax.data import InputError, RawStack, open_raw_stack
from oidn_jax.methods import ClassicalMethod
from oidn_jax.optics.microscope import MeasuredOtf
from tests.acquisition.simulated import MICROSCOPE, PIXEL_NM, SIZE, counts, scene, write_frames


def lapse(times=2):
    """Counts (time, frames, y, x) that bleach: each time point has two thirds of the light of the one before."""
    return np.stack([np.round(100 + (counts() - 100.0) * (2 / 3) ** time) for time in range(times)]).astype(np.uint16)


def of_counts(frames, **settings):
    return Acquisition.of_frames(np.moveaxis(frames, -3, -1), MICROSCOPE, **settings)


def test_frames_in_memory_are_the_same_as_a_file_with_them(tmp_path):
    frames = lapse()
    frames[:, :, 30, 41] = 20000
    of_file = Acquisition(open_raw_stack(write_frames(tmp_path / "cell.tif", frames)), MICROSCOPE)
    of_arrays = of_counts(frames)
    both = (of_file, of_arrays)
    for each in both:
        each.check()
    assert of_file.times == of_arrays.times == 2
    assert of_file.frame_size == of_arrays.frame_size == (SIZE, SIZE)
    assert of_file.microscope.pixel_size_nm == pytest.approx(of_arrays.microscope.pixel_size_nm, rel=1e-6)
    for time in (0, 1):
        np.testing.assert_array_equal(*(each.counts(time) for each in both))
        np.testing.assert_array_equal(*(each.light(time) for each in both))
        jax.tree.map(close, *(each.illumination(time) for each in both))
    jax.tree.map(np.testing.assert_array_equal, of_file.noise, of_arrays.noise)
    assert of_file.warnings == of_arrays.warnings
    assert len(of_file.warnings) == 1
    assert "1 hot or dead pixels are replaced" in of_file.warnings[0]


def close(a, b):
    """The file's pixel size is rounded."""
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_one_time_point_is_one_of_several():
    single, several = of_counts(counts()), of_counts(counts()[None])
    assert single.times == several.times == 1
    np.testing.assert_array_equal(single.counts(0), several.counts(0))


def test_the_pixel_size_of_the_frames_goes_before_the_microscopes():
    stack = RawStack.of_array(counts()[None], pixel_size_nm=60.0)
    assert Acquisition(stack, MICROSCOPE).microscope == replace(MICROSCOPE, pixel_size_nm=60.0)
    assert Acquisition(RawStack.of_array(counts()[None]), MICROSCOPE).microscope == MICROSCOPE


def counted(frames):
    """A stack of frames, and the numbers of the images that were read."""
    stack, reads = RawStack.of_array(frames, pixel_size_nm=PIXEL_NM), []
    images = stack.images
    counting = replace(images, read_plane=lambda plane: reads.append(plane) or images.read_plane(plane))
    return replace(stack, images=counting), reads


def test_nothing_is_read_before_it_is_asked_for_and_only_that():
    stack, reads = counted(lapse(4))
    acquired = Acquisition(stack, MICROSCOPE)
    assert reads == []
    _ = acquired.frames.defects
    reads.clear()
    acquired.counts(2)
    acquired.counts(2)
    assert Counter(reads) == Counter(range(18, 27))


def test_the_illumination_is_estimated_once_and_its_brightness_followed(monkeypatch):
    calls, estimate = [], stripes._estimate
    monkeypatch.setattr(stripes, "_estimate", lambda *a, **k: calls.append(1) or estimate(*a, **k))
    frames = np.stack([counts(), counts()]).astype(float)
    frames[1, :3] = 100 + (frames[1, :3] - 100) / 2  # the first orientation has half of the light
    acquired = of_counts(frames)
    first, second = acquired.illumination(0), acquired.illumination(1)
    assert len(calls) == 1
    np.testing.assert_array_equal(first.phase, second.phase)
    ratio = np.asarray(second.brightness / first.brightness)
    assert ratio[0].mean() / ratio[1:].mean() == pytest.approx(0.5, rel=0.03)
    assert second.brightness.mean() == pytest.approx(1.0, rel=1e-5)
    # The patterns are those of the simulation.
    truth = scene().illumination
    assert np.hypot(*(SIZE * (first.wave_vector - truth.wave_vector)).T).max() < 0.05
    assert np.abs(np.angle(np.exp(1j * (first.phase - truth.phase)))).max() < np.deg2rad(5.0)


def permuted(order):
    """The frames in another order; 1, 2, 0, ... moves the pattern of an orientation by 120 degrees."""
    return counts()[order]


def test_patterns_that_move_are_followed():
    frames = np.stack([counts(), permuted([1, 2, 0, 3, 4, 5, 8, 6, 7])])
    acquired = of_counts(frames)
    first, second = acquired.illumination(0), acquired.illumination(1)
    moved = np.rad2deg(np.angle(np.exp(1j * (np.asarray(second.phase) - np.asarray(first.phase)))))
    np.testing.assert_allclose(moved, np.repeat([[120], [0], [-120]], 3, axis=1), atol=4)
    (line,) = acquired.warnings
    assert "time 2: the patterns have moved by 1" in line
    images = [ClassicalMethod("wiener")(acquired, time).pixels for time in range(2)]
    assert np.corrcoef(*(image[8:-8, 8:-8].ravel() for image in images))[0, 1] > 0.99


@pytest.mark.parametrize("dark", [0, 1])
def test_a_time_point_without_light_spoils_no_other(dark):
    frames = np.stack([counts(), counts()])
    frames[dark] = np.random.default_rng(0).normal(100, 2, frames[dark].shape).round()
    acquired, alone = of_counts(frames), of_counts(counts())
    lit = 1 - dark
    assert acquired.reference == lit
    for part in ("wave_vector", "phase", "modulation_depth"):
        np.testing.assert_allclose(
            getattr(acquired.illumination(lit), part), getattr(alone.illumination(0), part), rtol=1e-4, atol=1e-4
        )
    np.testing.assert_array_equal(acquired.illumination(dark).phase, acquired.illumination(lit).phase)
    assert f"time {dark + 1}: the stripes do not show in every orientation" in acquired.warnings[-1]


def test_time_points_of_other_directions_are_no_lapse():
    """As in files of four orientations that are read as of three."""
    acquired = of_counts(np.stack([counts(), permuted([3, 4, 5, 6, 7, 8, 0, 1, 2])]))
    with pytest.raises(InputError, match="times 1 and 2 show stripes of different directions"):
        acquired.illumination(1)


def test_orientations_of_the_same_stripes_are_refused():
    """As in a stack of planes that is read as one of orientations."""
    with pytest.raises(InputError, match="orientations 1 and 2 show the same stripes"):
        _ = of_counts(permuted([0, 1, 2, 0, 1, 2, 3, 4, 5])).estimate


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """The illumination file of the scene, and the estimate in it."""
    acquired = of_counts(counts())
    path = tmp_path_factory.mktemp("known") / "illumination.json"
    sizes = {"frame_size": acquired.frame_size, "pixel_size_nm": PIXEL_NM}
    write_illumination(path, acquired.estimate, **sizes, provenance={})
    return path, acquired.estimate


def test_a_known_illumination_is_not_estimated_again(known):
    path, estimate = known
    again = of_counts(counts(), known=KnownIllumination(path)).estimate
    for part in ("wave_vector", "phase", "modulation_depth"):
        stored, given = (getattr(each.illumination, part) for each in (again, estimate))
        np.testing.assert_allclose(stored, given, rtol=1e-5)


def test_the_wave_vectors_of_a_calibration_serve_other_frames(known):
    """A crop moves the phases by an amount that the frame size tells nothing about."""
    path, estimate = known
    cropped = counts()[:, 5:, 3:]
    with pytest.raises(InputError, match=r"64 x 64 pixels, but .* has 59 x 61, .*`refit_phases`"):
        _ = of_counts(cropped, known=KnownIllumination(path)).estimate
    refitted = of_counts(cropped, known=KnownIllumination(path, refit_phases=True)).estimate
    np.testing.assert_allclose(refitted.illumination.wave_vector, estimate.illumination.wave_vector, rtol=1e-5)
    # The centre, to which phases are counted, is pixel (29 + 5, 30 + 3) of the whole frames.
    moved = 2 * np.pi * np.asarray(estimate.illumination.wave_vector) @ np.array([2, 1])
    difference = np.asarray(refitted.illumination.phase) - np.asarray(estimate.illumination.phase) - moved[:, None]
    assert np.abs(np.angle(np.exp(1j * difference))).max() < 0.2


def test_an_illumination_of_another_pixel_size(known):
    stack = RawStack.of_array(counts()[None], pixel_size_nm=65.0)
    with pytest.raises(InputError, match=r"62\.6 nm, but these frames have 65 nm"):
        _ = Acquisition(stack, MICROSCOPE, known=KnownIllumination(known[0])).estimate


def test_frames_without_stripes_are_warned_of_and_each_line_is_passed_on():
    noise = np.random.default_rng(0).poisson(scene().photons.mean(-1), (9, SIZE, SIZE)) + 100
    told = []
    acquired = of_counts(noise.astype(np.uint16), warn=told.append, source="cell")
    _ = acquired.estimate
    assert any("no stripes found for certain" in line for line in acquired.warnings)
    assert told == [f"cell: {line}" for line in acquired.warnings]


def test_the_other_frame_order_is_recognised():
    swapped = counts().reshape(3, 3, SIZE, SIZE).swapaxes(0, 1).reshape(9, SIZE, SIZE)
    acquired = of_counts(swapped)
    with pytest.raises(InputError, match=r"try apz \(orientation fast\) as `frame_order`"):
        _ = acquired.estimate


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.ones((40, 48)), r"shape \(40, 48\)"),
        (np.ones((40, 48, 8)), r"shape \(40, 48, 8\).*\(\[time,\] h, w, 9\)"),
        (np.ones((0, 40, 48, 9)), r"\(0, 9, 40, 48\)"),
        (np.ones((0, 48, 9)), r"\(1, 9, 0, 48\)"),
        (np.ones((40, 48, 9), bool), "bool"),
        (np.ones((40, 48, 9), complex), "complex128"),
    ],
)
def test_arrays_that_are_no_frames(frames, message):
    with pytest.raises(InputError, match=message):
        Acquisition.of_frames(frames, MICROSCOPE)


def test_a_stack_of_another_number_of_frames():
    stack = RawStack.of_array(counts()[None, :6])
    with pytest.raises(InputError, match="6 frames per time point, but the microscope 3 orientations x 3 phases"):
        Acquisition(stack, MICROSCOPE)


def test_pixels_that_no_reconstruction_can_use_are_refused():
    frames = counts().astype(np.float32)
    frames[3, 4, 5] = np.nan
    with pytest.raises(InputError, match="has 1 pixels that are NaN"):
        of_counts(frames).check()


@pytest.mark.parametrize("time", [-1, 2])
def test_a_time_point_that_there_is_not(time):
    with pytest.raises(IndexError, match=f"time points 0 to 1, not {time}"):
        Acquisition.of_frames(np.moveaxis(lapse(), 1, -1), MICROSCOPE).counts(time)


def test_stripes_are_looked_for_where_their_period_is():
    """And where the period is not theirs, none are found."""
    vector = scene().illumination.wave_vector
    period = float(PIXEL_NM / np.linalg.norm(vector, axis=-1).mean())
    given = of_counts(counts(), pattern_period_nm=(period, period))
    limits = period * np.array([1.05, 0.95])
    np.testing.assert_allclose(given.stripes.searched, PIXEL_NM / MICROSCOPE.cutoff / limits, rtol=1e-3)
    np.testing.assert_allclose(given.estimate.illumination.wave_vector, vector, atol=0.3 / SIZE)
    assert not given.warnings
    elsewhere = of_counts(counts(), pattern_period_nm=(1.3 * period, 1.5 * period))
    length = np.linalg.norm(elsewhere.estimate.illumination.wave_vector, axis=-1)
    assert np.all(PIXEL_NM / length > 1.1 * period)
    assert any("no stripes found for certain" in line for line in elsewhere.warnings)


@pytest.mark.parametrize("period", [(50.0, 50.0), (150.0, 2000.0), (220.0, 180.0), (float("nan"), 180.0)])
def test_periods_that_no_microscope_has_are_refused(period):
    with pytest.raises(InputError, match=r"`pattern_period_nm` is .* nm, in the sample"):
        of_counts(counts(), pattern_period_nm=period)


def damped(damping, **settings):
    microscope = replace(MICROSCOPE, otf_damping=damping)
    return Acquisition.of_frames(np.moveaxis(counts(), 0, -1), microscope, **settings)


def test_a_damping_that_is_a_guess_is_taken_from_the_frames():
    guessed, right = damped(0.175, fit_damping=True), damped(MICROSCOPE.otf_damping)
    assert guessed.optics == replace(MICROSCOPE, otf_damping=guessed.optics.otf_damping)
    assert guessed.optics.otf_damping == pytest.approx(MICROSCOPE.otf_damping, abs=0.15)
    depths = [np.asarray(each.estimate.illumination.modulation_depth) for each in (guessed, right)]
    np.testing.assert_allclose(*depths, atol=0.03)
    np.testing.assert_allclose(guessed.otf.values, right.otf.values, atol=0.02)
    (line,) = guessed.warnings
    assert "the damping of the OTF at its cutoff is" in line
    assert "nobody gave `otf_damping`" in line
    assert right.warnings == []


def test_a_wrong_damping_that_was_given_is_said_with_the_right_one_and_used():
    wrong = damped(0.1)
    assert wrong.optics == wrong.microscope
    _ = wrong.estimate
    (line,) = wrong.warnings
    assert "not 0.1, so that modulation depths come out wrong" in line
    asked = float(line.split("a damping of ")[1].split(" ")[0])
    assert asked == pytest.approx(MICROSCOPE.otf_damping, abs=0.2)


def test_a_measured_otf_that_does_not_fit_is_said():
    samples = MICROSCOPE.cutoff * 1000.0 / PIXEL_NM * np.linspace(0.0, 1.0, 60)
    wrong = replace(MICROSCOPE, otf_damping=0.1).otf().at(jax.numpy.asarray(samples * PIXEL_NM / 1000.0))
    measured = MeasuredOtf(tuple(np.asarray(wrong, float).tolist()), float(samples[1]), "beads.otf")
    frames = np.moveaxis(counts(), 0, -1)
    acquisition = Acquisition.of_frames(frames, replace(MICROSCOPE, measured_otf=measured), fit_damping=True)
    _ = acquisition.estimate
    assert acquisition.optics == acquisition.microscope
    (line,) = acquisition.warnings
    assert "times as much there as measured" in line


def test_frames_without_stripes_leave_a_guess_a_guess():
    still = np.repeat(counts().mean(0, keepdims=True), 9, axis=0)
    noisy = np.random.default_rng(1).poisson(still)
    acquisition = Acquisition.of_frames(np.moveaxis(noisy, 0, -1), MICROSCOPE, fit_damping=True)
    _ = acquisition.estimate
    assert acquisition.optics == acquisition.microscope
    guess = "do not tell the damping of the OTF, so 1 at its cutoff is assumed"
    assert sum(guess in line for line in acquisition.warnings) == 1

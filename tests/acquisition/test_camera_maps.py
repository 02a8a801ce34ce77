"""Maps of the camera's pixels: the image of an uneven camera becomes as good as that of an ideal one, in its units."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile

from oidn_jax.acquisition import Acquisition, CameraSettings
from oidn_jax.acquisition.camera_maps import CameraMaps
from oidn_jax.acquisition.defects import find_defects
from oidn_jax.acquisition.noisy_pixels import find_noisy, quieten
from oidn_jax.acquisition.raw_report import describe_raw, format_lines
from oidn_jax.data.mrc_writer import write_priism
from oidn_jax.data.raw_stack import RawStack
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.methods import ClassicalMethod
from oidn_jax.optics.microscope import Microscope
from oidn_jax.reconstruction.trust import judge
from oidn_jax.simulation.acquisitions import simulate_acquisition
from oidn_jax.simulation.settings import Simulation, specimen_settings

SIZE = (128, 120)
MICROSCOPE = Microscope(otf_damping=1.0)
SETTINGS = replace(
    specimen_settings("microtubules"),
    illumination_na=1.2,
    background=(0.0, 0.0),
    modulation_depth=(0.8, 0.8),
    mean_photons=(12.0, 150.0),
    fluorescence={"all": (1, 2)},
)
IDEAL = CameraSettings(camera_gain=1.0, camera_offset=100.0, read_noise=1.6)
UNEVEN = {"gain_variation": 0.1, "offset_variation": 20.0, "noisy_pixels": 0.02}


@cache
def scene(level=1, **uneven):
    settings = replace(SETTINGS, **uneven)
    simulate = partial(simulate_acquisition, simulation=Simulation(settings, MICROSCOPE), size=SIZE)
    return jax.device_get(jax.jit(simulate)(jax.random.key(2), level))


def maps(*names, **uneven):
    camera = scene(**uneven).camera
    every = {"gain_map": camera.gain, "offset_map": camera.offset, "variance_map": camera.variance}
    return CameraSettings(**{name: np.asarray(every[name]) for name in names or every})


def acquisition(camera, level=1, **uneven):
    return Acquisition.of_frames(scene(level, **uneven).raw_frames.astype(np.uint16), MICROSCOPE, camera=camera)


@cache
def result(with_maps, level=1, method="wiener", **uneven):
    """Correlation with the truth, its slope against it (counts per unit), and the reduced chi-square."""
    each = acquisition(maps(**uneven) if with_maps else IDEAL, level, **uneven)
    image = ClassicalMethod(method)(each, 0).pixels
    inside = np.s_[24:-24, 24:-24]
    ours, truth = image[inside].ravel(), scene(level).target[..., 0][inside].ravel()
    chi_square = float(judge(image, each, 0).reduced_chi_square)
    return np.corrcoef(ours, truth)[0, 1], np.polyfit(truth, ours, 1)[0], chi_square


@pytest.mark.parametrize(("level", "lost"), [(0, 0.002), (1, 0.0005)])
def test_an_uneven_camera_with_maps_is_as_good_as_an_ideal_one(level, lost):
    ideal, known, unknown = result(False, level), result(True, level, **UNEVEN), result(False, level, **UNEVEN)
    assert known[0] > ideal[0] - lost
    assert unknown[0] < ideal[0] - 10 * lost
    assert 0.85 < known[2] < 1.05
    assert unknown[2] > 10
    np.testing.assert_allclose(known[1], ideal[1], rtol=0.01)


def test_hifi_sim_has_the_same_from_both():
    ideal, known = result(False, 0, "hifi"), result(True, 0, "hifi", **UNEVEN)
    assert known[0] > ideal[0] - 0.005


def test_each_map_alone_is_better_than_none():
    """A gain of its own in each pixel, then an offset, then the noise."""
    for name, uneven in (
        ("gain_map", {"gain_variation": 0.1}),
        ("offset_map", {"offset_variation": 20.0}),
        ("variance_map", {"noisy_pixels": 0.05}),
    ):
        given = maps(name, **uneven)
        # Of the camera the rest is given too, so that the map is the only difference.
        others = {"gain_map": "camera_gain", "offset_map": "camera_offset", "variance_map": "read_noise"}
        rest = {key: getattr(IDEAL, key) for own, key in others.items() if own != name}
        with_map, without = (
            acquisition(camera, 0 if name == "variance_map" else 1, **uneven)
            for camera in (replace(given, **rest), IDEAL)
        )
        ours, theirs = (
            float(judge(ClassicalMethod("wiener")(each, 0).pixels, each, 0).reduced_chi_square)
            for each in (with_map, without)
        )
        assert 0.85 < ours < 1.05, name
        assert abs(theirs - 1) > abs(ours - 1) + 0.1, name


@pytest.mark.parametrize("names", [("gain_map",), ("offset_map",), ("gain_map", "offset_map"), ("variance_map",)])
def test_maps_of_other_pixels_are_warned_of(names):
    uneven = UNEVEN if "offset_map" in names else {**UNEVEN, "offset_variation": 0.0}
    given = maps(*names, **uneven)
    mirrored = replace(given, **{name: getattr(given, name)[::-1] for name in names})
    right, wrong = (acquisition(camera, **uneven).pixel_doubts() for camera in (given, mirrored))
    assert right == []
    expected = "not those of the frames' pixels"
    assert [expected in line for line in wrong] == ([] if names == ("variance_map",) else [True])


@pytest.mark.parametrize("level", [0, 1])
def test_a_variance_above_the_noise_of_the_frames_is_warned_of(level):
    """As of a map in other units, or of another camera; that of the frames is silent at any light."""
    given = maps("variance_map", **UNEVEN)
    wrong = replace(given, variance_map=given.variance_map * 1e3)
    silent, warned = (acquisition(camera, level, **UNEVEN).pixel_doubts() for camera in (given, wrong))
    assert silent == []
    (line,) = warned
    assert line.startswith("the `variance_map` says 2.65e+03 counts squared of a typical pixel without light, but with")


def test_counts_are_those_of_a_camera_of_even_pixels():
    uneven = {"gain_variation": 0.1, "offset_variation": 20.0}
    each, truth = acquisition(maps(**uneven), **uneven), scene(**uneven)
    light = each.light(0)
    gain = np.median(truth.camera.gain)
    np.testing.assert_allclose(each.noise.gain, gain, rtol=1e-6)
    np.testing.assert_allclose(each.noise.offset, truth.camera.offset.mean(), rtol=1e-6)
    expected = gain * np.moveaxis(truth.photons, -1, 0)
    variance = np.asarray(each.light_noise.variance(jnp.asarray(expected.reshape(3, 3, *SIZE)))).reshape(light.shape)
    deviation = (light - expected) / np.sqrt(variance)
    assert abs(deviation.mean()) < 0.02
    assert 0.9 < deviation.std() < 1.05


def test_the_variance_of_even_pixels():
    gain, offset, variance = np.array([[1.0, 2.0, 4.0]]), np.array([[90.0, 100.0, 110.0]]), np.full((1, 3), 8.0)
    known = CameraMaps(gain, offset, variance)
    np.testing.assert_allclose(known.even(np.array([[100.0, 120.0, 150.0]])), [[120.0, 120.0, 120.0]])
    np.testing.assert_allclose(known.even_variance, [[32.0, 8.0, 2.0]])
    np.testing.assert_allclose(
        CameraMaps(gain=gain).even(np.array([[60.0, 70.0, 90.0]]), offset=50.0), [[70.0, 70.0, 70.0]]
    )
    frames = np.ones((2, 3), np.uint16)
    assert CameraMaps(variance=variance).even(frames) is frames


def test_noisy_pixels_are_drawn_to_their_neighbours_as_far_as_these_tell():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:64, :64]
    smooth = 200.0 + 100.0 * np.sin(2 * np.pi * x / 12)
    variance = np.where(rng.random((64, 64)) < 0.03, 10_000.0, 4.0)
    frames = smooth + rng.normal(0, 1, (9, 64, 64)) * np.sqrt(variance + 100.0)
    noisy = find_noisy(frames, variance)
    bad = variance > 100
    np.testing.assert_array_equal(noisy.share[~bad], 0.0)
    assert noisy.share[bad].min() > 0.9
    mended = quieten(frames, noisy)
    np.testing.assert_array_equal(mended[:, ~bad], frames[:, ~bad].astype(np.float32))
    error = (mended - smooth)[:, bad].var()
    assert error < 400  # 10100 before
    assert (
        error < noisy.variance[bad].mean() + 100 < 3 * error
    )  # rather too much: the noise of the light is in it twice
    # Where neighbouring pixels have nothing in common the noise is the smaller evil.
    checked = frames + np.where((y + x) % 2, 2000.0, -2000.0)
    assert find_noisy(checked, variance).share.max() < 0.01


def test_a_noisy_pixel_is_no_hot_one():
    rng = np.random.default_rng(2)
    frames = 100 + rng.normal(0, 1, (9, 48, 48))
    frames[:, 20, 20] += 5.0
    frames[:, 30, 30] += 50.0
    variance = np.ones((48, 48))
    variance[20, 20] = variance[30, 30] = 150.0
    assert find_defects(frames, cutoff=0.3).pixels[20, 20]
    known = find_defects(frames, cutoff=0.3, variance=variance).pixels
    assert not known[20, 20]
    assert known[30, 30]


def test_inspection_reports_the_camera_of_the_maps():
    uneven, truth = UNEVEN, scene(**UNEVEN)
    stack = RawStack.of_array(np.moveaxis(truth.raw_frames, -1, 0)[None].astype(np.uint16))
    ideal = np.moveaxis(scene().raw_frames, -1, 0)[None].astype(np.uint16)
    report, best = describe_raw(stack, camera=maps(**uneven)), describe_raw(RawStack.of_array(ideal))
    without = describe_raw(stack)
    for ours, theirs, wrong in zip(report.orientations, best.orientations, without.orientations, strict=True):
        np.testing.assert_allclose(ours.gain_counts_per_electron, np.median(truth.camera.gain), rtol=1e-6)
        np.testing.assert_allclose(ours.offset_counts, truth.camera.offset.mean(), rtol=1e-6)
        np.testing.assert_allclose(ours.contrast, theirs.contrast, atol=0.02)
        assert wrong.gain_counts_per_electron is None or abs(wrong.gain_counts_per_electron - 1) > 0.2
    assert "camera maps: gain_map array, offset_map array, variance_map array" in format_lines(report)
    assert not any("camera maps" in line for line in format_lines(without))


def spoilt(name, value, place=(3, 4)):
    array = np.full(SIZE, 2.0)
    array[place] = value
    return {name: array}


WRONG = {
    "another size": ({"gain_map": np.ones((128, 128))}, "128 x 128 pixels, but the frames of frames have 128 x 120"),
    "several": ({"offset_map": np.ones((2, *SIZE))}, "must be one map"),
    "NaN": (spoilt("offset_map", np.nan), "1 pixels that are NaN, infinite.*first at y 3, x 4"),
    "infinite": (spoilt("variance_map", np.inf), "NaN, infinite"),
    "gain of 0": (spoilt("gain_map", 0.0), "1 pixels that are not above 0"),
    "negative gain": (spoilt("gain_map", -2.0), r"the smallest is -2\)"),
    "negative variance": (spoilt("variance_map", -1.0), "1 pixels below 0"),
    "no gain": (spoilt("gain_map", 50.0, np.s_[:20]), "as no camera has"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_map_that_is_none_is_refused_before_anything_is_computed(case):
    wrong, line = WRONG[case]
    with pytest.raises(InputError, match=line):
        acquisition(CameraSettings(**wrong))
    with pytest.raises(InputError, match=line):
        describe_raw(RawStack.of_array(np.ones((1, 9, *SIZE)), source="frames"), camera=CameraSettings(**wrong))


@pytest.mark.parametrize(
    ("name", "number"), [("gain_map", "camera_gain"), ("offset_map", "camera_offset"), ("variance_map", "read_noise")]
)
def test_a_number_and_its_map_are_refused(name, number):
    with pytest.raises(IllegalValue, match=f"`{name}` says it of each pixel") as error:
        CameraSettings(**{name: np.ones(SIZE), "camera_gain": 1.0, number: 1.0})
    assert error.value.field == number


def test_an_offset_map_above_the_light():
    each = acquisition(CameraSettings(offset_map=np.full(SIZE, 900.0)))
    with pytest.raises(InputError, match="`offset_map` has a mean of 900; it must be below the light"):
        _ = each.noise


def test_rows_of_maps_are_those_that_programs_show(tmp_path):
    """A TIFF shows its first row at the top, an MRC file at the bottom; how images are written does not matter."""
    rows = np.broadcast_to(np.arange(1.0, 1.0 + SIZE[0])[:, None] / SIZE[0] + 1.0, SIZE)
    tiff, mrc = tmp_path / "gain.tif", tmp_path / "gain.mrc"
    tifffile.imwrite(tiff, rows.astype(np.float32))
    write_priism(mrc, rows[::-1][None].astype(np.float32), pixel_size_nm=62.6)
    for path in (tiff, mrc):
        for bottom_first, expected in ((False, rows), (True, rows[::-1])):
            read = CameraSettings(gain_map=path).maps(SIZE, bottom_first=bottom_first, source=path)
            np.testing.assert_allclose(read.gain, expected, rtol=1e-6)

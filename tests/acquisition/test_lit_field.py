"""A rim is found, left out of all that is estimated, and 0 in the image; no rim is found where there is none."""

from dataclasses import replace
from functools import cache, partial
from itertools import combinations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.acquisition import Acquisition, KnownIllumination
from oidn_jax.acquisition.illumination_file import write_illumination
from oidn_jax.acquisition.lit_field import LitField, find_lit_field, find_lit_part
from oidn_jax.acquisition.lit_shape import find_lit_shape, largest_rectangle
from oidn_jax.acquisition.raw_report import describe_raw
from oidn_jax.data.raw_stack import RawStack
from oidn_jax.methods import ClassicalMethod
from oidn_jax.optics.illumination import Illumination, patterns
from oidn_jax.optics.microscope import Microscope
from oidn_jax.reconstruction.trust import judge
from oidn_jax.simulation.acquisitions import simulate_acquisition
from oidn_jax.simulation.settings import Simulation, specimen_settings

SIZE = (150, 160)
MICROSCOPE = Microscope(otf_damping=0.3)
RIMS = {"one side": (0, 0, 0, 30), "two sides": (20, 0, 11, 0), "all sides": (10, 13, 16, 11)}


@cache
def simulator(specimen):
    settings = replace(
        specimen_settings(specimen),
        illumination_na=1.2,
        background=(0.2, 0.2),
        modulation_depth=(0.8, 0.8),
        mean_photons=(20.0, 300.0),
        fluorescence={"all": (1, 2)},
    )
    return jax.jit(partial(simulate_acquisition, simulation=Simulation(settings, MICROSCOPE), size=SIZE))


@cache
def scene(specimen="microtubules", level=1, seed=3):
    return jax.device_get(simulator(specimen)(jax.random.key(seed), level))


def counts(**which):
    return np.moveaxis(scene(**which).raw_frames, -1, 0).astype(np.uint16)


def bordered(rim, kind, **which):
    """Frames with a rim (top, bottom, left, right), and what is lit."""
    top, bottom, left, right = RIMS[rim]
    lit = np.s_[..., top : SIZE[0] - bottom, left : SIZE[1] - right]
    dark = {"zeros": 0.0, "offset": 100.0, "noise": np.random.default_rng(0).normal(100, 1.6, (9, *SIZE)).round()}[kind]
    frames = np.broadcast_to(dark, (9, *SIZE)).astype(np.uint16)
    frames[lit] = counts(**which)[lit]
    return frames, lit


def acquisition(frames, **settings):
    given = replace(MICROSCOPE, otf_damping=0.175)
    return Acquisition.of_frames(np.moveaxis(frames, 0, -1), given, fit_damping=True, **settings)


@pytest.mark.parametrize("kind", ["zeros", "offset", "noise"])
@pytest.mark.parametrize("rim", RIMS)
def test_estimates_are_those_of_the_lit_part_alone(rim, kind):
    frames, lit = bordered(rim, kind)
    whole, alone = acquisition(frames), acquisition(frames[lit])
    ours, theirs = whole.estimate.illumination, alone.estimate.illumination
    assert sum("are lit; the rim is left out" in line for line in whole.warnings) == 1
    assert not any("rim" in line for line in alone.warnings)
    for name in ("wave_vector", "modulation_depth", "brightness"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(whole.estimate.confidence, alone.estimate.confidence, rtol=1e-3)
    jax.tree.map(np.testing.assert_array_equal, whole.noise, alone.noise)
    np.testing.assert_allclose(whole.damping, alone.damping, rtol=1e-2)
    np.testing.assert_array_equal(whole.frames.drift.shift, alone.frames.drift.shift)
    # The phases are those of the whole: both say the same light at the same pixel.
    drawn = patterns(Illumination(*map(jnp.asarray, ours)), size=SIZE, scale=1)[lit]
    expected = patterns(Illumination(*map(jnp.asarray, theirs)), size=drawn.shape[2:], scale=1)
    np.testing.assert_allclose(drawn, expected, atol=5e-3)
    single = ours._replace(phase=whole.estimate.single_phases), theirs._replace(phase=alone.estimate.single_phases)
    drawn, expected = (
        patterns(Illumination(*map(jnp.asarray, given)), size=size, scale=1)
        for given, size in zip(single, (SIZE, drawn.shape[2:]), strict=True)
    )
    np.testing.assert_allclose(drawn[lit], expected, atol=5e-3)


def test_a_rim_that_stays_does_not_hide_a_sample_that_moves():
    moved = np.concatenate([np.roll(each, 2 - i, axis=2) for i, each in enumerate(np.split(counts(), 3), start=1)])
    frames, lit = bordered("all sides", "zeros")
    frames[lit] = moved[lit]
    np.testing.assert_allclose(acquisition(frames).frames.drift.shift[:, 1], [1.0, 0.0, -1.0], atol=0.15)


@pytest.mark.parametrize("rim", RIMS)
def test_the_modulation_depth_is_right(rim):
    """0.48 to 0.64 where the rim was taken for a part of the object."""
    depth = acquisition(bordered(rim, "zeros")[0]).estimate.illumination.modulation_depth
    np.testing.assert_allclose(depth, 0.79, atol=0.04)


@pytest.mark.parametrize("method", ["wiener", "hifi", "widefield"])
def test_images_are_those_of_the_lit_part_and_0_elsewhere(method):
    frames, lit = bordered("all sides", "zeros")
    image, alone = (ClassicalMethod(method)(acquisition(each), 0).pixels for each in (frames, frames[lit]))
    fine = tuple(slice(2 * part.start, 2 * part.stop) for part in lit[1:])
    np.testing.assert_allclose(image[fine], alone, rtol=0, atol=2e-3 * np.abs(alone).max())
    image[fine] = 0
    assert not image.any()


def test_trust_maps_say_nothing_of_the_rim():
    frames, lit = bordered("all sides", "zeros")
    each = acquisition(frames)
    verdict = judge(ClassicalMethod("wiener")(each, 0).pixels, each, 0)
    assert 0.85 < verdict.reduced_chi_square < 1.05
    outside = np.ones((2 * SIZE[0], 2 * SIZE[1]), bool)
    outside[tuple(slice(2 * part.start, 2 * part.stop) for part in lit[1:])] = False
    assert verdict.evidence.shape == verdict.chi_square.shape == outside.shape
    assert verdict.residual.shape == frames.shape
    np.testing.assert_array_equal(verdict.evidence[outside], 0)
    np.testing.assert_array_equal(verdict.chi_square[outside], 1)
    assert verdict.evidence[~outside].any()


def test_a_known_illumination_is_that_of_the_whole(tmp_path):
    """Of frames without a rim, for the same frames with one, and the other way round."""
    frames, _ = bordered("all sides", "offset")
    images = []
    for first, second in ((counts(), frames), (frames, counts())):
        source = acquisition(first)
        path = tmp_path / "illumination.json"
        write_illumination(
            path,
            source.estimate,
            envelopes=None,
            frame_size=SIZE,
            pixel_size_nm=MICROSCOPE.pixel_size_nm,
            provenance={},
            overwrite=True,
        )
        images.append(ClassicalMethod("wiener")(acquisition(second, known=KnownIllumination(path)), 0).pixels)
    inside = np.s_[60:-60, 60:-60]
    truth = scene().target[..., 0][inside].ravel()
    own = ClassicalMethod("wiener")(acquisition(counts()), 0).pixels[inside].ravel()
    best = np.corrcoef(own, truth)[0, 1]
    for image in images:
        assert np.corrcoef(image[inside].ravel(), truth)[0, 1] > best - 0.005


def test_inspection_is_that_of_the_lit_part():
    frames, lit = bordered("all sides", "zeros")
    whole, alone = (describe_raw(RawStack.of_array(each[None])) for each in (frames, frames[lit]))
    assert any("are lit; the rim is left out of all numbers" in line for line in whole.warnings)
    for ours, theirs in zip(whole.orientations, alone.orientations, strict=True):
        for name, value in vars(theirs).items():
            assert getattr(ours, name) == (None if value is None else pytest.approx(value, rel=1e-6)), name


def test_inspection_sees_a_rim_with_hot_pixels():
    """Defects of the camera are mended first, as for a reconstruction."""
    frames, _ = bordered("one side", "noise")
    frames[:, 40, -10] = 30000
    (line,) = (line for line in describe_raw(RawStack.of_array(frames[None])).warnings if "rim" in line)
    assert str(acquisition(frames).lit) in line


@pytest.mark.parametrize("specimen", ["microtubules", "f_actin", "ccps", "er"])
@pytest.mark.parametrize("level", [0, 1])
def test_frames_without_a_rim_have_none(specimen, level):
    for seed in range(3):
        frames = counts(specimen=specimen, level=level, seed=seed)
        assert find_lit_part(frames.reshape(3, 3, *SIZE)).shape.all()


@pytest.mark.parametrize("fwhm", [2.4, 3.0, 4.0, 6.0])
@pytest.mark.parametrize("place", np.arange(0.0, 12.0, 0.25))
def test_a_straight_line_along_the_edge_is_no_rim(place, fwhm):
    """Without noise or background, where nothing but the width of a point of light tells it from a step."""
    y = np.arange(96)[:, None]
    line = 1000 * np.exp(-4 * np.log(2) * ((y - place) / fwhm) ** 2) * np.ones((96, 96))
    assert not find_lit_field(100 + line[None]).has_rim


def test_a_field_that_is_hardly_lit_is_taken_as_it_is():
    means = np.full((1, 100, 100), 100.0)
    means[:, 40:70] += 500 + np.random.default_rng(1).random((1, 30, 100))
    assert not find_lit_field(means).has_rim
    means[:, 20:80] += 500
    assert find_lit_field(means) == LitField((100, 100), slice(20, 80), slice(0, 100))


def shape(kind):
    """The lit pixels of a round stop, or of a square that was turned by 5 degrees."""
    y, x = (np.arange(n) - (n - 1) / 2 for n in SIZE)
    if kind == "round":
        return np.hypot(y[:, None], x) < 68
    along, across = (np.cos(t) * y[:, None] + np.sin(t) * x for t in np.deg2rad([5.0, 95.0]))
    return (abs(along) < SIZE[0] / 2) & (abs(across) < SIZE[1] / 2)


def padded(kind, fill, **which):
    frames = counts(**which)
    level = {
        "zeros": 0,
        "mean of all": frames.mean(),
        "mean of each": frames.mean((1, 2), keepdims=True),
        "noise": np.random.default_rng(0).normal(100, 1.6, frames.shape),
    }[fill]
    return np.where(shape(kind), frames, np.round(level)).astype(np.uint16)


@pytest.mark.parametrize("fill", ["zeros", "mean of all", "mean of each", "noise"])
@pytest.mark.parametrize("kind", ["round", "turned"])
def test_a_lit_part_of_any_convex_shape_is_found(kind, fill):
    frames = padded(kind, fill)
    found_in = find_lit_shape(frames.reshape(3, 3, *SIZE))
    assert np.count_nonzero(found_in != shape(kind)) <= 0.002 * found_in.size
    inner = find_lit_part(frames.reshape(3, 3, *SIZE)).inner
    assert inner.of(shape(kind)).all()
    assert inner.lit_size[0] * inner.lit_size[1] > (0.6 if kind == "round" else 0.8) * np.count_nonzero(shape(kind))


@pytest.mark.parametrize(("kind", "fill"), [("round", "zeros"), ("round", "mean of all"), ("turned", "zeros")])
def test_estimates_are_those_of_the_largest_lit_rectangle(kind, fill):
    """Depths of 0.3 to 0.7 where the rim was taken for a part of the object."""
    whole = acquisition(padded(kind, fill))
    alone = acquisition(whole.inner.of(counts()))
    for name in ("wave_vector", "modulation_depth"):
        ours, theirs = (getattr(each.estimate.illumination, name) for each in (whole, alone))
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    truth = scene().illumination
    np.testing.assert_allclose(whole.estimate.illumination.modulation_depth, truth.modulation_depth, atol=0.05)
    (line,) = (line for line in whole.warnings if "rectangle" in line)
    assert str(whole.inner) in line
    assert not any("rectangle" in line for line in alone.warnings)


def test_images_are_those_of_all_that_is_lit():
    """With no light in the rim, though its zeros are less than the camera's offset."""
    acquired = acquisition(padded("round", "zeros"))
    light = acquired.light(0)
    assert not light[:, ~shape("round")].any()
    assert (light[:, shape("round")] != 0).mean() > 0.95
    image = ClassicalMethod("widefield")(acquired, 0).pixels
    rows, columns = (slice(2 * (n // 2 - 68), 2 * (n // 2 + 68)) for n in SIZE)
    assert (image[shape("round").repeat(2, 0).repeat(2, 1)] != 0).mean() > 0.95
    image[rows, columns] = 0
    assert not image.any()


def test_padding_beside_a_rectangle_may_be_as_bright_as_the_object():
    frames, lit = bordered("two sides", "zeros")
    frames[frames == 0] = counts().mean()
    part = find_lit_part(frames.reshape(3, 3, *SIZE))
    assert part.bounds == part.inner == LitField(SIZE, *lit[1:])


@pytest.mark.parametrize("blur", [1.0, 1.3, 2.0])
def test_a_cell_with_a_round_outline_is_no_rim(blur):
    """What an objective draws, at any signal: wider than a step."""
    y, x = np.mgrid[:128, :128] - 63.5
    cell = 1 / (1 + np.exp((np.hypot(y, x) - 50) * 1.7 / blur))
    for photons in (10, 100, 10000):
        frames = np.random.default_rng(photons).poisson(1.0 + photons * cell, (1, 3, 128, 128))
        assert find_lit_shape(frames).all()


def test_a_rim_that_moves_with_the_orientation_leaves_what_all_of_them_have():
    frames = np.stack([np.roll(padded("round", "zeros").reshape(3, 3, *SIZE)[i], 4 * i, axis=2) for i in range(3)])
    common = np.logical_and.reduce([np.roll(shape("round"), 4 * i, axis=1) for i in range(3)])
    np.testing.assert_array_equal(find_lit_shape(frames), common)


def test_the_largest_rectangle_is_the_largest():
    y, x = np.mgrid[:20, :24]
    for centre, radii in (((9, 11), (8, 10)), ((3, 20), (12, 9)), ((10, 12), (40, 3.5))):
        lit = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1
        spans = [[slice(*ends) for ends in combinations(range(n + 1), 2)] for n in lit.shape]
        parts = product(*spans)
        largest = max(lit[part].size for part in parts if lit[part].all())
        ours = lit[largest_rectangle(lit)]
        assert ours.all()
        assert ours.size == largest


def test_parts_and_wholes():
    lit = LitField((10, 12), slice(2, 9), slice(0, 7))
    image = np.arange(120.0).reshape(10, 12)
    np.testing.assert_array_equal(lit.of(lit.embed(lit.of(image), outside=-1.0)), lit.of(image))
    assert lit.embed(lit.of(image), outside=-1.0)[0, 0] == -1
    fine = np.ones((20, 24))
    assert lit.of(fine, scale=2).shape == (14, 14)
    assert lit.embed(lit.of(fine, scale=2), scale=2).sum() == 14 * 14
    assert lit.shrunk(2) == LitField((10, 12), slice(4, 7), slice(0, 5))
    whole = LitField.whole((10, 12))
    assert not whole.has_rim
    assert whole.shrunk(2) == whole
    assert whole.embed(image) is image

"""rFRC maps equal to those of the authors' two programs, and NaN where those write 0 or a neighbour's value.

The maps in `tests/data/resolution.npz` were computed by PANELpy (commit 2e86617) and PANELM (bd90e11, under Octave)
from crops of `recipes.synth1a` and `synth1b`, each divided by its maximum; 30 nm pixels.
"""

import numpy as np
import pytest

from oidn_jax.errors import IllegalValue
from oidn_jax.metrics.rolling_blocks import Criterion
from oidn_jax.metrics.rolling_frc import RollingFrcOptions, map_pair, rolling_frc
from oidn_jax.metrics.single_image import diagonal_pairs, single_image_rolling_frc
from tests.metrics import recipes

PIXEL_NM = 30.0
# Name of the golden map: crop (y, x, h, w), then options.
MAPS = {
    "py_synth_128_s4_raw": ((64, 64, 128, 128), {"skip": 4, "median": False}),
    "py_synth_128_s4_amf": ((64, 64, 128, 128), {"skip": 4}),
    "m_synth_128_s4": ((64, 64, 128, 128), {"skip": 16}),
    "m_synth_128_s4_0143": ((64, 64, 128, 128), {"skip": 16, "crossing": "1/7"}),
    "py_synth_128_s1_raw": ((64, 64, 128, 128), {"skip": 1, "median": False}),
    "py_synth_128_s1_amf": ((64, 64, 128, 128), {"skip": 1}),
    "py_synth_128_s4_bg40_raw": ((64, 64, 128, 128), {"skip": 4, "background": 40.0, "median": False}),
    "py_synth_128_s4_bg40_amf": ((64, 64, 128, 128), {"skip": 4, "background": 40.0}),
    "py_synth_96_s4_b32_raw": ((64, 64, 96, 96), {"skip": 4, "block": 32, "median": False}),
    "py_synth_96_s4_b32_amf": ((64, 64, 96, 96), {"skip": 4, "block": 32}),
    "m_synth_96_s4_b32": ((64, 64, 96, 96), {"skip": 4, "block": 32}),
    "py_synth_64x96_s4_raw": ((10, 20, 64, 96), {"skip": 4, "median": False}),
    "py_synth_64x96_s4_amf": ((10, 20, 64, 96), {"skip": 4}),
    "m_synth_50x70_s4_b32": ((64, 64, 50, 70), {"skip": 4, "block": 32}),
    "m_synth_70x50_s5_b32": ((64, 64, 70, 50), {"skip": 5, "block": 32}),
}


@pytest.fixture(scope="module")
def images():
    return recipes.synth1a(), recipes.synth1b()


def crops(images, y, x, h, w):
    return tuple(image[y : y + h, x : x + w] / image[y : y + h, x : x + w].max() for image in images)


@pytest.mark.parametrize("name", MAPS)
def test_the_maps_of_the_authors_programs(name, images, golden):
    crop, options = MAPS[name]
    flavour = "panelpy" if name.startswith("py_") else "panelm"
    rolling = rolling_frc(
        *crops(images, *crop), pixel_size_nm=PIXEL_NM, options=RollingFrcOptions(flavour=flavour, **options)
    )
    expected = golden("resolution")[name]
    np.testing.assert_allclose(rolling.map_nm, np.where(expected > 0, expected, np.nan), atol=1e-4)


@pytest.mark.parametrize("stage", ["raw", "amf"])
def test_a_missing_crossing_is_nan_where_panelpy_repeats_its_neighbour(stage, images, golden):
    options = RollingFrcOptions(block=16, flavour="panelpy", median=stage == "amf")
    rolling = rolling_frc(*crops(images, 64, 64, 48, 48), pixel_size_nm=PIXEL_NM, options=options)
    expected = golden("resolution")[f"py_synth_48_s1_b16_{stage}"]
    has = np.isfinite(rolling.map_nm)
    np.testing.assert_allclose(rolling.map_nm[has], expected[has], atol=1e-4)
    invented = (expected > 0) & ~has
    assert invented.sum() == {"raw": 4, "amf": 1}[stage]
    assert rolling.foreground[invented].all()
    if stage == "raw":
        assert rolling.missing == pytest.approx(4 / rolling.foreground.sum())


def test_the_numbers_of_a_map(images):
    options = RollingFrcOptions(skip=16, crossing="1/7")
    rolling = rolling_frc(*crops(images, 64, 64, 128, 128), pixel_size_nm=PIXEL_NM, options=options)
    # PANELM's own.
    assert rolling.best_nm == pytest.approx(69.0)
    assert rolling.worst_nm == pytest.approx(112.9412, abs=1e-3)
    assert rolling.mean_nm == pytest.approx(99.48202, abs=1e-4)
    assert rolling.value == pytest.approx(0.441768, abs=1e-5)
    assert np.isnan(rolling.map_nm).sum() == 256


def test_the_median_filter_of_both_flavours(images):
    """Against the definition, pixel by pixel."""
    pair = crops(images, 64, 64, 48, 70)
    for flavour in ("panelm", "panelpy"):
        raw, filtered = (
            np.nan_to_num(
                rolling_frc(
                    *pair,
                    pixel_size_nm=PIXEL_NM,
                    options=RollingFrcOptions(block=32, background=40.0, flavour=flavour, median=median),
                ).map_nm
            )
            for median in (False, True)
        )
        expected, padded = raw.copy(), np.pad(raw, 1)
        inset = 0 if flavour == "panelm" else 1
        for y in range(inset, raw.shape[0] - inset):
            for x in range(inset, raw.shape[1] - inset):
                median = np.median(padded[y : y + 3, x : x + 3])
                expected[y, x] = median if raw[y, x] > 2 * median else raw[y, x]
        np.testing.assert_array_equal(filtered, expected)
        assert (filtered != raw).sum() > 10
    # PANELM leaves it out where it skips pixels.
    options = {"block": 32, "background": 40.0, "skip": 4}
    maps = [
        rolling_frc(*pair, pixel_size_nm=PIXEL_NM, options=RollingFrcOptions(median=median, **options)).map_nm
        for median in (False, True)
    ]
    np.testing.assert_array_equal(*maps)


def test_integer_images_and_brightness(images):
    a, b = crops(images, 64, 64, 64, 80)
    options = RollingFrcOptions(skip=8)
    one = rolling_frc(a, b, pixel_size_nm=PIXEL_NM, options=options)
    other = rolling_frc(7.0 * a, 0.1 * b, pixel_size_nm=PIXEL_NM, options=options)
    np.testing.assert_allclose(one.map_nm, other.map_nm, rtol=1e-5)
    counts = [np.rint(255 * x.clip(0)).astype(np.uint8) for x in (a, b)]
    eight_bit = rolling_frc(*counts, pixel_size_nm=PIXEL_NM, options=RollingFrcOptions(skip=8, flavour="panelpy"))
    scaled = [(x / np.float32(255)).astype(np.float32) for x in counts]
    same = rolling_frc(*scaled, pixel_size_nm=PIXEL_NM, options=RollingFrcOptions(skip=8, flavour="panelpy"))
    np.testing.assert_array_equal(eight_bit.map_nm, same.map_nm)
    assert np.isfinite(same.map_nm).any()


def test_an_odd_block_is_one_larger_and_a_skip_at_most_half_a_block():
    assert (RollingFrcOptions(block=33).block, RollingFrcOptions(skip=99).skip) == (34, 32)


def test_noise_and_equal_images_have_no_values(images):
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 64, 64)).astype(np.float32) - 0.2
    noise = rolling_frc(a, b, pixel_size_nm=PIXEL_NM, options=RollingFrcOptions(skip=8))
    assert noise.missing > 0.5
    (image, _) = crops(images, 64, 64, 64, 64)
    options = RollingFrcOptions(skip=8, flavour="panelpy")
    same = rolling_frc(image, image, pixel_size_nm=PIXEL_NM, options=options)
    assert np.isnan(same.map_nm).all()
    assert same.missing == 1.0
    assert all(np.isnan(x) for x in (same.mean_nm, same.best_nm, same.worst_nm, same.value))


def test_a_blurred_corner_is_found(images):
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(3)
    sharp = recipes.points((128, 128), n=400, sigma=1.5, seed=1)
    blurred = np.where(np.add.outer(np.arange(128), np.arange(128)) < 128, gaussian_filter(sharp, 4), sharp)
    a, b = (blurred + 0.02 * rng.standard_normal((2, 128, 128))).astype(np.float32)
    rolling = rolling_frc(a, b, pixel_size_nm=PIXEL_NM, options=RollingFrcOptions(block=32, skip=4, background=1.0))
    assert np.nanmedian(rolling.map_nm[:40, :40]) > 1.5 * np.nanmedian(rolling.map_nm[-40:, -40:])


def test_drift_is_corrected_on_request(images):
    a, b = crops(images, 64, 64, 96, 96)
    moved = np.roll(b, (2, -3), (0, 1))
    options = {"block": 32, "skip": 8}
    best, drifted, corrected = (
        rolling_frc(a, second, pixel_size_nm=PIXEL_NM, options=RollingFrcOptions(correct_drift=correct, **options))
        for second, correct in ((b, False), (moved, False), (moved, True))
    )
    assert corrected.mean_nm == pytest.approx(best.mean_nm, rel=0.03)
    # The modulus of a ring hides its phase, but a block that has moved holds other structure at its rim.
    assert drifted.mean_nm > 1.03 * best.mean_nm


def test_progress_is_told_up_to_the_end(images, monkeypatch):
    monkeypatch.setattr("oidn_jax.metrics.rolling_blocks._PIXELS_AT_ONCE", 40 * 2 * 32**2)
    told = []
    options = RollingFrcOptions(block=32, skip=4)
    pair = crops(images, 64, 64, 64, 64)
    in_batches = rolling_frc(*pair, pixel_size_nm=PIXEL_NM, options=options, progress=told.append)
    assert len(told) == -(-(in_batches.foreground[::4, ::4].sum()) // 40)
    assert told == sorted(told)
    assert told[-1] == 1.0
    monkeypatch.undo()
    at_once = rolling_frc(*pair, pixel_size_nm=PIXEL_NM, options=options)
    np.testing.assert_array_equal(in_batches.map_nm, at_once.map_nm)


def test_the_map_of_a_single_image():
    """With blocks that see the same field as those of a pair it tells nearly the same."""
    clean, rng = recipes.points((192, 190), n=850, sigma=3.0, seed=0), np.random.default_rng(5)
    a, b = (clean + 0.05 * rng.standard_normal((2, 192, 190))).astype(np.float32)
    two = rolling_frc(a, b, pixel_size_nm=PIXEL_NM, options=RollingFrcOptions(block=128, skip=16, crossing="1/7"))
    told = []
    options = RollingFrcOptions(block=64, skip=8, crossing="1/7")
    one = single_image_rolling_frc(a[:, :189], pixel_size_nm=PIXEL_NM, options=options, progress=told.append)
    assert one.map_nm.shape == (192, 189)
    assert np.isnan(one.map_nm[:, 188]).all()
    assert one.mean_nm == pytest.approx(two.mean_nm, rel=0.05)
    assert told == sorted(told)
    assert told[-1] == 1.0
    np.testing.assert_array_equal(one.map_nm[::2, :188:2], one.map_nm[1::2, 1:188:2])


ILLEGAL = {"block": 8, "skip": 0, "background": 256.0, "flavour": "matlab", "crossing": "0.143"}


@pytest.mark.parametrize("field", ILLEGAL)
def test_options_that_are_not_legal(field):
    with pytest.raises(IllegalValue) as caught:
        RollingFrcOptions(**{field: ILLEGAL[field]})
    assert (caught.value.field, caught.value.value) == (field, ILLEGAL[field])


def test_images_that_are_refused(images):
    a, b = crops(images, 0, 0, 40, 40)
    for pair, message in [
        ((a, b[1:]), "same pixels"),
        ((a, np.where(a == a.max(), np.nan, a)), "1 NaN or infinite"),
        ((-np.abs(a), b), "maximum of an image is"),
    ]:
        with pytest.raises(ValueError, match=message):
            rolling_frc(*pair, pixel_size_nm=PIXEL_NM)


def test_thresholds_are_tried_in_turn_each_with_its_factor():
    for first_ring in (0, 1):
        criterion = Criterion(64, first_ring, "3-sigma", False)
        pairs = criterion.members().sum(0) / 2
        curves = criterion.thresholds()
        assert [factor for _, factor in curves] == [1, 9 / 25, 9 / 4]
        for (curve, _), sigma in zip(curves[: 2 + first_ring], (3, 5, 2), strict=False):
            np.testing.assert_allclose(curve, np.minimum(1, sigma / np.sqrt(pairs)))
    # PANELpy's 2-sigma threshold.
    np.testing.assert_array_equal(Criterion(64, 0, "3-sigma", False).thresholds()[2][0], 1)
    # Rings of the whole plane: 8 neighbours of the zero frequency lie in ring 1.
    assert Criterion(64, 1, "3-sigma", False).members().sum(0)[0] == 8


def test_equal_and_nearly_equal_images_have_no_values_in_either_flavour(images):
    (image, _) = crops(images, 64, 64, 64, 64)
    for flavour in ("panelm", "panelpy"):
        options = RollingFrcOptions(block=32, skip=2, flavour=flavour)
        for other in (image, np.float32(0.7) * image):
            assert np.isnan(rolling_frc(image, other, pixel_size_nm=PIXEL_NM, options=options).map_nm).all()


def test_what_a_drift_wraps_round_has_no_value(images):
    a, b = crops(images, 40, 40, 96, 110)
    moved = (images[1] / images[1].max())[40 - 9 : 40 - 9 + 96, 40 + 6 : 40 + 6 + 110]
    options = RollingFrcOptions(block=32, skip=1, correct_drift=True)
    rolling = rolling_frc(a, moved, pixel_size_nm=PIXEL_NM, options=options)
    assert np.isnan(rolling.map_nm[-9:]).all(), "9 rows from below were never in the second image"
    assert np.isnan(rolling.map_nm[:, :6]).all()
    assert rolling.foreground[:-10, 7:].mean() > 0.7
    assert rolling.missing < 0.05
    best = rolling_frc(a, b, pixel_size_nm=PIXEL_NM, options=RollingFrcOptions(block=32, skip=1))
    assert rolling.mean_nm == pytest.approx(best.mean_nm, rel=0.03)


def test_the_map_of_a_single_image_is_the_mean_of_two():
    clean, rng = recipes.points((96, 96), n=250, sigma=3.0, seed=0), np.random.default_rng(5)
    image = (clean + 0.03 * rng.standard_normal((96, 96))).astype(np.float32)
    options = RollingFrcOptions(block=32, skip=4, background=0.0)
    first, second = (
        map_pair(*pair, pixel_size_nm=PIXEL_NM, options=options, progress=None, single_image=True).map_nm
        for pair in diagonal_pairs(image)
    )
    rolling = single_image_rolling_frc(image, pixel_size_nm=PIXEL_NM, options=options).map_nm[::2, ::2]
    both = np.isfinite(first) & np.isfinite(second)
    assert (first != second)[both].any()
    np.testing.assert_allclose(rolling[both], ((first + second) / 2)[both], rtol=1e-6)

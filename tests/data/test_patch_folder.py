"""Patches of a specimen that knows where it is: they lie on the foreground, in register, and on the disk as DL-SR's."""

import numpy as np
import pytest
import tifffile

from oidn_jax.data import InputError, cut_patches, open_raw_stack, write_patch_pair, write_raw_tiff
from oidn_jax.data.patch_folder import _blurred

GENERATOR = np.random.default_rng(0)
RAW = GENERATOR.integers(0, 60000, (9, 16, 20)).astype(np.uint16)
TARGET = GENERATOR.integers(0, 60000, (32, 40)).astype(np.uint16)


def field(scale=2, shape=(96, 120), spots=((30, 80),), frames=9):
    """Raw frames whose pixels say where they are, and a target with Gaussian spots of 3 raw pixels."""
    y, x = np.indices((scale * shape[0], scale * shape[1])) / scale
    target = np.sum([np.exp(-((y - a) ** 2 + (x - b) ** 2) / 18) for a, b in spots], axis=0)
    place = np.arange(shape[0] * shape[1], dtype=np.float64).reshape(shape)
    return place + np.arange(frames)[:, None, None], target


def cut(raw, target, *, seed=0, **options):
    return cut_patches(np.random.default_rng(seed), raw, target, **{"count": 20, "patch": 24, "scale": 2} | options)


def corner(patch, raw):
    """Where a patch of `field` was cut."""
    place = np.rint(patch[0, 0, 0] / 65535 * (raw.max() - raw.min()) + raw.min())
    return divmod(int(place), raw.shape[2])


@pytest.mark.parametrize(("scale", "patch"), [(1, 24), (2, 23), (3, 24)])
def test_patches_are_crops_of_the_scaled_stack(scale, patch):
    raw, target = field(scale)
    whole_raw = np.rint((raw - raw.min()) / (raw.max() - raw.min()) * 65535)
    whole_target = np.rint((target - target.min()) / (target.max() - target.min()) * 65535)
    pairs = cut(raw, target, scale=scale, patch=patch)
    assert len(pairs) == 20
    for raw_patch, target_patch, _ in pairs:
        assert raw_patch.dtype == target_patch.dtype == np.uint16
        y, x = corner(raw_patch, raw)
        np.testing.assert_array_equal(raw_patch, whole_raw[:, y : y + patch, x : x + patch])
        expected = whole_target[scale * y : scale * (y + patch), scale * x : scale * (x + patch)]
        np.testing.assert_array_equal(target_patch, expected)


def test_every_patch_has_foreground_at_its_centre():
    spots = ((30, 80), (60, 30))
    raw, target = field(spots=spots)
    centres = np.array([corner(raw_patch, raw) for raw_patch, *_ in cut(raw, target, count=200)]) + 12
    distances = np.stack([np.hypot(*(centres - spot).T) for spot in spots])
    assert distances.min(0).max() < 12
    # Both spots get their share, and no two patches are the same while there are other places.
    assert np.all(np.count_nonzero(distances < 12, axis=1) > 50)
    assert len(np.unique(centres, axis=0)) == 200


def test_a_foreground_near_the_border_gives_patches_inside():
    raw, target = field(spots=((2, 3),))
    pairs = cut(raw, target, count=5)
    assert all(
        raw_patch.shape == (9, 24, 24) and target_patch.shape == (48, 48) for raw_patch, target_patch, _ in pairs
    )


def test_a_faint_structure_beside_a_bright_one_lowers_the_contrast():
    """One very bright pixel outside of all centres leaves the rest far below 1 %: the best places are still found."""
    raw, target = field(spots=((48, 60),))
    target[0, 0] = 1e4
    centres = np.array([corner(raw_patch, raw) for raw_patch, *_ in cut(raw, target)]) + 12
    assert np.hypot(*(centres - (48, 60)).T).max() < 6


def test_haze_is_no_foreground():
    raw, target = field(spots=((48, 60),))
    target += 1
    target[0, 0] = 0
    centres = np.array([corner(raw_patch, raw) for raw_patch, *_ in cut(raw, target)]) + 12
    assert np.hypot(*(centres - (48, 60)).T).max() < 12


def test_the_whole_image_is_a_patch_and_places_repeat_when_they_run_out():
    raw, target = field(shape=(32, 32), spots=((16, 16),))
    pairs = cut(raw, target, count=3, patch=32)
    for raw_patch, target_patch, _ in pairs:
        assert (raw_patch.min(), raw_patch.max()) == (target_patch.min(), target_patch.max()) == (0, 65535)


def test_the_frames_share_one_scale():
    raw, target = field()
    raw[4] *= 0.5
    patches = np.stack([raw_patch for raw_patch, *_ in cut(raw, target)]).astype(float)
    np.testing.assert_allclose(patches[:, 4] / patches[:, 5], 0.5, atol=0.001)


def test_the_seed_decides():
    raw, target = field()
    first, again, other = (cut(raw, target, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal([pair[0] for pair in first], [pair[0] for pair in again])
    assert not np.array_equal([pair[0] for pair in first], [pair[0] for pair in other])


def test_integers_and_floats_give_the_same_patches():
    # Differences of uint16 must not wrap around.
    for (raw, target, _), (raw_float, target_float, _) in zip(
        cut(RAW, TARGET, patch=8), cut(RAW.astype(np.float32), TARGET.astype(np.float64), patch=8), strict=True
    ):
        np.testing.assert_array_equal(raw, raw_float)
        np.testing.assert_array_equal(target, target_float)


def test_the_gaussian_keeps_constants_and_has_its_width():
    np.testing.assert_allclose(_blurred(np.full((20, 30), 3.0), 5.0), 3.0)
    impulse = np.zeros((61, 81))
    impulse[30, 40] = 1
    blurred = _blurred(impulse, 4.0)
    y, x = np.indices(blurred.shape)
    assert blurred.shape == impulse.shape
    assert np.sum(blurred * (y - 30) ** 2) == pytest.approx(16, rel=1e-3)
    assert np.sum(blurred * (x - 40) ** 2) == pytest.approx(16, rel=1e-3)


# ---- the folders ----------------------------------------------------------------------------------------------------


def write(folder, raw=RAW, target=TARGET, **options):
    return write_patch_pair(folder, raw, target, **{"split": "training", "index": 1, "pixel_size_nm": 62.6} | options)


@pytest.mark.parametrize(("split", "frames"), [("training", 9), ("validate", 25)])
def test_the_layout_of_dl_sr(tmp_path, split, frames):
    raw = np.resize(RAW, (frames, 16, 20))
    pair, target_file = write(tmp_path / "set", raw, split=split, index=120)
    assert pair == tmp_path / "set" / split / "00000120"
    assert target_file == tmp_path / "set" / f"{split}_gt" / "00000120.tif"
    assert {file.name for file in pair.iterdir()} == {f"{number}.tif" for number in range(1, frames + 1)}
    for number, frame in enumerate(raw, start=1):
        written = tifffile.imread(pair / f"{number}.tif")
        assert written.dtype == np.uint16
        np.testing.assert_array_equal(written, frame)
    np.testing.assert_array_equal(tifffile.imread(target_file), TARGET)
    for file, pixel_size_nm in ((pair / "1.tif", 62.6), (target_file, 31.3)):
        assert open_raw_stack(file, orientations=1, phases=1).pixel_size_nm == pytest.approx(pixel_size_nm, rel=1e-5)


@pytest.mark.parametrize("existing", ["training/00000001/9.tif", "training_gt/00000001.tif"])
def test_an_existing_file_stops_the_whole_pair(tmp_path, existing):
    file = tmp_path / existing
    file.parent.mkdir(parents=True)
    file.write_bytes(b"precious")
    with pytest.raises(InputError, match="exists already"):
        write(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
    assert file.read_bytes() == b"precious"
    write(tmp_path, index=2)
    write(tmp_path, overwrite=True)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "training_gt" / "00000001.tif"), TARGET)


def test_frames_of_another_acquisition_are_not_mixed_in(tmp_path):
    pair, _ = write(tmp_path)
    write_raw_tiff(pair / "10.tif", RAW, pixel_size_nm=62.6)
    with pytest.raises(InputError, match=r"holds 10\.tif besides the 9 frames; remove the folder"):
        write(tmp_path, overwrite=True)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "training").touch()
    with pytest.raises(InputError, match="cannot be made") as error:
        write(tmp_path)
    assert "\n" not in str(error.value)


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "test"}, "`split` is 'test'; legal: training, validate"),
        ({"index": -1}, "`index` is -1; legal: 0 to 99999999"),
        ({"index": 10**8}, "`index` is 100000000"),
        ({"pixel_size_nm": 0.0}, "`pixel_size_nm` is 0.0; give a positive number"),
        ({"target": TARGET[:, :39]}, "must be a whole multiple"),
        ({"target": TARGET[:8, :10]}, "must be a whole multiple"),
    ],
)
def test_pairs_of_another_kind(tmp_path, options, words):
    with pytest.raises(ValueError, match=words) as error:
        write(tmp_path, **options)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("raw", "target", "options", "words"),
    [
        (RAW, TARGET, {"scale": 3}, r"the target is \(32, 40\) and the raw stack \(9, 16, 20\)"),
        (RAW, TARGET, {"patch": 17}, "`patch` is 17, larger than the raw frames of 16 x 20"),
        (RAW, TARGET // 60000, {}, "the target runs from 0 to 0; it must be finite and have some contrast"),
        (RAW, np.where(TARGET > 50000, np.nan, TARGET), {}, "the target runs from nan to nan"),
        (np.where(RAW > 50000, np.inf, RAW), TARGET, {}, "the raw stack runs from .* to inf"),
        (RAW, TARGET, {"count": 0}, "`count` is 0; give a positive whole number"),
        (RAW, TARGET, {"scale": 0}, "`scale` is 0"),
    ],
)
def test_stacks_that_cannot_be_cut(raw, target, options, words):
    with pytest.raises(ValueError, match=words):
        cut(raw, target, **{"patch": 8} | options)

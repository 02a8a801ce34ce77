"""The resolution of one image or two: numbers of the metrics, in nm or pixels, and what is said where there is none."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from oidn_jax.data import write_priism
from oidn_jax.errors import InputError
from oidn_jax.metrics.decorrelation import decorrelation_analysis
from oidn_jax.metrics.fourier_ring import THRESHOLDS, fourier_ring_correlation
from oidn_jax.metrics.rolling_frc import RollingFrcOptions, rolling_frc
from oidn_jax.metrics.single_image import single_image_frc, single_image_resolution_nm
from oidn_jax.resolution import MeasuredImage, format_lines, measure, read_measured_image, to_json
from oidn_jax.resolution.image import check_spared, remarks
from oidn_jax.resolution.measurement import check_map, write_map
from oidn_jax.resolution.page import save_page
from tests.metrics import recipes

PIXEL_NM = 31.3
OPTIONS = RollingFrcOptions(block=32, skip=8)


@pytest.fixture(scope="module")
def pair():
    return tuple(image[:128, :120] for image in (recipes.synth1a(), recipes.synth1b()))


def measured(image, name="a.tif", pixel_size_nm=PIXEL_NM):
    return MeasuredImage(Path(name), image, pixel_size_nm)


@pytest.fixture(scope="module")
def alone(pair):
    return measure(measured(pair[0]), options=OPTIONS, sectors=2)


@pytest.fixture(scope="module")
def together(pair):
    return measure(measured(pair[0]), other=measured(pair[1], "b.tif"), options=OPTIONS)


# ---------------------------------------------------------------------------------------------------------------------
# Numbers
# ---------------------------------------------------------------------------------------------------------------------


def test_one_image(alone, pair):
    result, analysis = to_json(alone), decorrelation_analysis(pair[0])
    assert (result["image"], result["index"], result["other"]) == ("a.tif", 0, None)
    assert (result["shape"], result["pixel_size_nm"]) == ([128, 120], PIXEL_NM)
    assert result["decorrelation"] == pytest.approx(
        {
            "kc": float(analysis.cutoff),
            "a0": float(analysis.amplitude),
            "resolution_nm": 2 * PIXEL_NM / float(analysis.cutoff),
            "resolution_px": 2 / float(analysis.cutoff),
        }
    )
    assert [sector["direction_deg"] for sector in result["sectors"]] == [0.0, 90.0]
    assert all(50 < sector["resolution_nm"] < 500 for sector in result["sectors"])
    expected = float(single_image_resolution_nm(single_image_frc(pair[0]), pixel_size_nm=PIXEL_NM))
    rings = {"resolution_nm": expected, "resolution_px": expected / PIXEL_NM, "reliable": False}
    assert result["single_image_frc"] == {"1/7": pytest.approx(rings)}
    assert expected < 4 * PIXEL_NM, "finer than a split image can show"
    assert any("not reliable: detail finer than 4 pixels" in line for line in format_lines(alone))
    assert result["single_image_rolling_frc"]["reliable"] is False
    assert "frc" not in result


def test_two_images(together, pair):
    result, curve = to_json(together), fourier_ring_correlation(*pair)
    expected = {t: float(curve.resolution_nm(threshold=t, pixel_size_nm=PIXEL_NM)) for t in THRESHOLDS}
    assert {t: lengths["resolution_nm"] for t, lengths in result["frc"].items()} == pytest.approx(expected)
    rolling = rolling_frc(*pair, pixel_size_nm=PIXEL_NM, options=OPTIONS)
    numbers = {"mean_nm": rolling.mean_nm, "best_nm": rolling.best_nm, "worst_nm": rolling.worst_nm}
    numbers |= {"value": rolling.value, "missing": rolling.missing, "mean_px": rolling.mean_nm / PIXEL_NM}
    settings = {"block": 32, "skip": 8, "flavour": "panelm", "crossing": "3-sigma"}
    assert {name: result["rolling_frc"][name] for name in numbers} == pytest.approx(numbers)
    assert {name: result["rolling_frc"][name] for name in settings} == settings
    assert "single_image_frc" not in result
    assert result["other"] == "b.tif"


def test_lines_for_a_person(together):
    lines = format_lines(together)
    assert lines[0] == "a.tif: 128 x 120 pixels, 31.3 nm per pixel"
    assert lines[1].startswith("decorrelation analysis")
    assert " nm (kc = " in lines[1]
    assert [line.split(",")[0] for line in lines[2:5]] == ["FRC"] * 3
    assert "mean " in lines[5]


def test_lengths_are_in_pixels_where_the_pixel_size_is_unknown(pair):
    unknown = measured(pair[0], pixel_size_nm=None)
    measurement = measure(unknown, rolling=False)
    result = to_json(measurement)["decorrelation"]
    assert result["resolution_nm"] is None
    assert result["resolution_px"] > 2
    assert " px (kc = " in format_lines(measurement)[1]
    (line,) = remarks([unknown])
    assert "`pixel_size_nm`" in line


def test_noise_has_no_resolution():
    generator = np.random.default_rng(0)
    first, second = generator.standard_normal((2, 128, 120), np.float32)
    measurement = measure(measured(first), other=measured(second), rolling=False)
    result = to_json(measurement)
    assert (result["decorrelation"]["resolution_nm"], result["decorrelation"]["kc"]) == (None, 0)
    assert result["frc"]["half-bit"]["resolution_nm"] is None
    text = "\n".join(format_lines(measurement))
    assert "no cutoff found" in text
    assert "FRC, half-bit            no crossing of the threshold" in text
    # Only the mean of a camera's noise stands out.
    result = to_json(measure(measured(100 + first), rolling=False))["decorrelation"]
    assert result["resolution_nm"] is None
    assert result["kc"] > 0


def test_a_shifted_pair_is_noticed(pair, together):
    assert together.remarks == []
    assert together.shift_px is None
    moved = measured(np.roll(pair[1], (1, -2), (0, 1)), "b.tif")
    shifted = measure(measured(pair[0]), other=moved, rolling=False)
    assert shifted.shift_px == pytest.approx((1, -2), abs=0.1)
    assert "b.tif lies (1" in shifted.remarks[0]
    assert "give `correct_drift`" in shifted.remarks[0]
    options = RollingFrcOptions(correct_drift=True)
    assert measure(measured(pair[0]), other=moved, rolling=False, options=options).remarks == []


def test_noise_is_neither_shifted_nor_reliable():
    first, second = np.random.default_rng(0).normal(100.0, 1.0, (2, 96, 96)).astype(np.float32)
    assert measure(measured(first), other=measured(second), rolling=False).remarks == []
    alone = measure(measured(first), rolling=False)
    assert to_json(alone)["single_image_frc"]["1/7"]["resolution_px"] is None
    assert not alone.reliable


def test_drift_is_undone_on_request(pair, together):
    moved = np.roll(pair[1], (3, -2), (0, 1))
    options = RollingFrcOptions(block=32, skip=8, correct_drift=True)
    corrected = measure(measured(pair[0]), other=measured(moved), rolling=False, options=options)
    assert to_json(corrected)["drift_px"] == pytest.approx([3, -2], abs=0.1)
    assert any(line.startswith("drift that was undone") for line in format_lines(corrected))
    drifted = measure(measured(pair[0]), other=measured(moved), rolling=False).ring_resolutions
    for name, value in drifted.items():
        assert not value <= 1.2 * corrected.ring_resolutions[name], "worse, or without a crossing"


def test_an_image_without_a_map_says_why(pair):
    small = measure(measured(pair[0][:40, :40]))
    assert small.rolling is None
    assert any("smaller than a block of 64 pixels" in line for line in format_lines(small))
    with pytest.raises(InputError, match=r"there is no map .*smaller than a block"):
        write_map("map.tif", small, overwrite=False)
    negative = measure(measured(pair[0] - 10), options=OPTIONS)
    assert "the maximum of an image is" in negative.no_map
    assert to_json(negative)["single_image_rolling_frc"] is None


def test_pairs_that_tell_nothing_are_refused(pair):
    with pytest.raises(InputError, match=r"b\.tif is 40 x 40 pixels"):
        measure(measured(pair[0]), other=measured(pair[1][:40, :40], "b.tif"))
    with pytest.raises(InputError, match="hold the same pixels"):
        measure(measured(pair[0]), other=measured(pair[0]))


# ---------------------------------------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------------------------------------


def test_a_file_tells_its_pixel_size(tmp_path, pair):
    write_priism(tmp_path / "a.mrc", np.rint(1000 * pair[0].clip(0)).astype(np.uint16)[None], pixel_size_nm=40.0)
    assert read_measured_image(tmp_path / "a.mrc").pixel_size_nm == pytest.approx(40.0)
    assert read_measured_image(tmp_path / "a.mrc", pixel_size_nm=30.0).pixel_size_nm == 30.0


def test_one_image_of_several(tmp_path, pair):
    tifffile.imwrite(tmp_path / "t.tif", np.stack(pair), metadata={"axes": "TYX"})
    first = read_measured_image(tmp_path / "t.tif", pixel_size_nm=30.0)
    np.testing.assert_array_equal(first.image, pair[0])
    assert "holds 2 images; the first is measured" in remarks([first])[0]
    second = read_measured_image(tmp_path / "t.tif", pixel_size_nm=30.0, index=1)
    np.testing.assert_array_equal(second.image, pair[1])
    assert remarks([second]) == []
    with pytest.raises(InputError, match=r"`index` is 2; .* holds 2 images"):
        read_measured_image(tmp_path / "t.tif", index=2)


def test_pixels_of_any_scale(tmp_path, pair):
    cutoff = float(decorrelation_analysis(pair[0]).cutoff)
    for gain in (1e300, 1e-300):
        tifffile.imwrite(tmp_path / "a.tif", pair[0].astype(np.float64) * gain)
        image = read_measured_image(tmp_path / "a.tif").image
        assert float(decorrelation_analysis(image).cutoff) == pytest.approx(cutoff, abs=0.0085)


def test_a_saturated_image_is_remarked_on(tmp_path, pair):
    counts = np.rint(1000 * pair[0].clip(0, 0.3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "clipped.tif", counts)
    (line,) = remarks([read_measured_image(tmp_path / "clipped.tif", pixel_size_nm=30.0)])
    assert f"{100 * (counts == 300).mean():.2g} % of the pixels have the largest value 300" in line


def test_panelpy_scales_eight_bit_images_alone(tmp_path, pair):
    counts = [np.rint(200 * image.clip(0, 1.2)).astype(np.uint8) for image in pair]
    options = RollingFrcOptions(block=32, skip=8, flavour="panelpy", background=20.0)
    for name, image in zip("ab", counts, strict=True):
        tifffile.imwrite(tmp_path / f"{name}.tif", image)
    first, second = (read_measured_image(tmp_path / f"{name}.tif", pixel_size_nm=30.0) for name in "ab")
    expected = rolling_frc(*counts, pixel_size_nm=30.0, options=options)
    assert 0.05 < expected.foreground.mean() < 0.6
    assert measure(first, other=second, options=options).rolling.mean_nm == pytest.approx(expected.mean_nm)


WRONG = {
    "constant": (np.ones((40, 40), np.float32), "one value everywhere"),
    "nan": (np.where(np.eye(40) > 0, np.nan, 0.0).astype(np.float32), "40 NaN or infinite pixels"),
    "flat in float32": (1e12 + np.eye(40), "float32 cannot hold"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_image_that_tells_nothing_is_refused(tmp_path, name):
    image, message = WRONG[name]
    tifffile.imwrite(tmp_path / "a.tif", image)
    with pytest.raises(InputError, match=message):
        read_measured_image(tmp_path / "a.tif")


def test_a_pixel_size_in_micrometres_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"`pixel_size_nm` is 0\.0313; .* nanometres"):
        read_measured_image(tmp_path / "a.tif", pixel_size_nm=0.0313)


def test_the_map_as_a_file(tmp_path, together):
    write_map(tmp_path / "map.tif", together, overwrite=False)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "map.tif"), together.rolling.map_nm)
    with pytest.raises(InputError, match="exists already"):
        check_map(tmp_path / "map.tif", overwrite=False)
    with pytest.raises(InputError, match=r"not \.ome\.tif"):
        check_map(tmp_path / "map.ome.tif", overwrite=False)
    with pytest.raises(InputError, match="is the image to be measured"):
        check_spared([tmp_path / "map.tif"], [tmp_path / "." / "map.tif"])


def test_the_page(tmp_path, together, alone):
    path = save_page(tmp_path / "page.svg", together, overwrite=False)
    text = path.read_text()
    assert "FRC" in text
    before = path.read_bytes()
    save_page(path, together, overwrite=True)
    assert path.read_bytes() == before
    with pytest.raises(InputError, match="exists already"):
        save_page(path, alone, overwrite=False)
    assert save_page(tmp_path / "alone.png", alone, overwrite=False).read_bytes().startswith(b"\x89PNG")

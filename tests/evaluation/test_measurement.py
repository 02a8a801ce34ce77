"""The resolution command: numbers of the metrics, for one image or two, in nm or pixels, and one line for mistakes."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from matplotlib.image import imread

from configs.metrics_flags import map_settings, parse
from oidn_jax.data import write_priism
from oidn_jax.errors import InputError
from oidn_jax.evaluation import measurement
from oidn_jax.resolution.image import Measured
from oidn_jax.resolution.text import format_lines, to_json
from oidn_jax.metrics.decorrelation import decorrelation_analysis
from oidn_jax.metrics.fourier_ring import fourier_ring_correlation
from oidn_jax.metrics.rolling_frc import RollingFrcOptions, rolling_frc
from oidn_jax.metrics.single_image import single_image_frc, single_image_resolution_nm
from tests.metrics import recipes

ROOT = Path(__file__).resolve().parents[2]
PIXEL_NM = 31.3
OPTIONS = RollingFrcOptions(block=32, skip=8)


@pytest.fixture(scope="module")
def pair():
    return tuple(image[:128, :120] for image in (recipes.synth1a(), recipes.synth1b()))


@pytest.fixture
def files(tmp_path, pair):
    paths = tmp_path / "a.tif", tmp_path / "b.tif"
    for path, image in zip(paths, pair, strict=True):
        tifffile.imwrite(path, image)
    return paths


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command in this process: exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["oidn_jax.metrics", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            runpy.run_module("oidn_jax.metrics", run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    return run


# ---------------------------------------------------------------------------------------------------------------------
# Numbers
# ---------------------------------------------------------------------------------------------------------------------


def test_json_of_one_image(run, files, pair):
    code, out, err = run(files[0], f"--pixel-size-nm={PIXEL_NM}", "--json", "--block=32", "--sectors=2")
    assert (code, err) == (0, "")
    found, da = json.loads(out), decorrelation_analysis(pair[0])
    assert found["image"] == str(files[0])
    assert (found["other"], found["shape"], found["pixel_size_nm"]) == (None, [128, 120], PIXEL_NM)
    assert found["decorrelation"]["kc"] == pytest.approx(float(da.cutoff))
    assert found["decorrelation"]["a0"] == pytest.approx(float(da.amplitude))
    assert found["decorrelation"]["resolution_nm"] == pytest.approx(2 * PIXEL_NM / float(da.cutoff))
    assert found["decorrelation"]["resolution_px"] == pytest.approx(2 / float(da.cutoff))
    assert [sector["direction_deg"] for sector in found["sectors"]] == [0.0, 90.0]
    assert all(50 < sector["resolution_nm"] < 500 for sector in found["sectors"])
    expected = single_image_resolution_nm(single_image_frc(pair[0]), pixel_size_nm=PIXEL_NM)
    assert found["single_image_frc"] == {
        "1/7": pytest.approx(
            {"resolution_nm": float(expected), "resolution_px": float(expected) / PIXEL_NM, "reliable": False}
        )
    }
    assert expected < 4 * PIXEL_NM
    assert "not reliable: detail finer than 4 pixels" in run(files[0], f"--pixel-size-nm={PIXEL_NM}", "--no-rolling")[1]
    assert found["single_image_rolling_frc"]["crossing"] == "3-sigma"
    assert found["single_image_rolling_frc"]["reliable"] is False
    assert "frc" not in found


def test_json_of_two_images(run, files, pair):
    code, out, err = run(*files, "--json", f"--pixel-size-nm={PIXEL_NM}", "--block=32", "--skip=8")
    assert (code, err) == (0, "")
    found = json.loads(out)
    curve = fourier_ring_correlation(*pair)
    for name in ("1/7", "half-bit", "3-sigma"):
        expected = float(curve.resolution_nm(threshold=name, pixel_size_nm=PIXEL_NM))
        assert found["frc"][name]["resolution_nm"] == pytest.approx(expected)
    rolling = rolling_frc(*pair, pixel_size_nm=PIXEL_NM, options=OPTIONS)
    of = found["rolling_frc"]
    assert (of["block"], of["skip"], of["flavour"], of["crossing"]) == (32, 8, "panelm", "3-sigma")
    numbers = {"mean_nm": rolling.mean_nm, "best_nm": rolling.best_nm, "worst_nm": rolling.worst_nm}
    numbers |= {"value": rolling.value, "missing": rolling.missing}
    assert {name: of[name] for name in numbers} == pytest.approx(numbers)
    assert "single_image_frc" not in found
    assert json.loads(run(*files, "--json", "--block=512")[1])["rolling_frc"] is None
    assert found["other"] == str(files[1])


def test_lines_for_a_person(run, files):
    code, out, _ = run(*files, f"--pixel-size-nm={PIXEL_NM}", "--block=32")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"{files[0]}: 128 x 120 pixels, 31.3 nm per pixel"
    assert lines[1].startswith("decorrelation analysis")
    assert " nm (kc = " in lines[1]
    assert [line.split(",")[0] for line in lines[2:5]] == ["FRC"] * 3
    assert "mean " in lines[5]


def test_what_a_file_says_of_its_pixels_and_what_is_not_known(run, tmp_path, pair):
    write_priism(tmp_path / "a.mrc", np.rint(1000 * pair[0].clip(0)).astype(np.uint16)[None], pixel_size_nm=40.0)
    found = json.loads(run(tmp_path / "a.mrc", "--json", "--no-rolling")[1])
    assert found["pixel_size_nm"] == pytest.approx(40.0)
    assert found["single_image_rolling_frc"] is None
    tifffile.imwrite(tmp_path / "b.tif", pair[0])
    code, out, err = run(tmp_path / "b.tif", "--json", "--no-rolling")
    found = json.loads(out)
    assert code == 0
    assert err.startswith("warning: ")
    assert "does not tell its pixel size; lengths are in pixels, give --pixel-size-nm" in err
    assert (found["pixel_size_nm"], found["decorrelation"]["resolution_nm"]) == (None, None)
    assert found["decorrelation"]["resolution_px"] > 2
    assert " px (kc = " in run(tmp_path / "b.tif", "--no-rolling")[1]


def test_one_image_of_several(run, tmp_path, pair):
    tifffile.imwrite(tmp_path / "t.tif", np.stack(pair), metadata={"axes": "TYX"})
    _, out, err = run(tmp_path / "t.tif", "--json", "--no-rolling", "--pixel-size-nm=30")
    assert json.loads(out)["index"] == 0
    assert "holds 2 images; the first is measured, give --index for another" in err
    _, out, err = run(tmp_path / "t.tif", "--json", "--no-rolling", "--pixel-size-nm=30", "--index=1")
    assert err == ""
    kc = float(decorrelation_analysis(pair[1]).cutoff)
    assert json.loads(out)["decorrelation"]["kc"] == pytest.approx(kc)
    code, _, err = run(tmp_path / "t.tif", "--index=2")
    assert code == 2
    assert err == f"error: --index is 2, but {tmp_path / 't.tif'} holds 2 images; legal: 0 to 1\n"


def test_noise_has_no_resolution(run, tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", rng.standard_normal((96, 96), np.float32))
    arguments = (tmp_path / "a.tif", tmp_path / "b.tif", "--pixel-size-nm=30")
    found = json.loads(run(*arguments, "--json")[1])
    assert found["decorrelation"]["resolution_nm"] is None
    assert found["decorrelation"]["kc"] == 0
    assert found["frc"]["half-bit"]["resolution_nm"] is None
    text = run(*arguments)[1]
    assert "no cutoff found" in text
    assert "FRC, half-bit            no crossing of the threshold" in text
    # Only the mean of a camera's noise stands out.
    tifffile.imwrite(tmp_path / "a.tif", 100 + rng.standard_normal((96, 96), np.float32))
    assert "no cutoff found" in run(tmp_path / "a.tif", "--pixel-size-nm=30")[1]
    found = json.loads(run(tmp_path / "a.tif", "--pixel-size-nm=30", "--json")[1])
    assert found["decorrelation"]["resolution_nm"] is None
    assert found["decorrelation"]["kc"] > 0


def test_panelpy_scales_eight_bit_images_alone(run, tmp_path, pair):
    counts = [np.rint(200 * image.clip(0, 1.2)).astype(np.uint8) for image in pair]
    for name, image in zip("ab", counts, strict=True):
        tifffile.imwrite(tmp_path / f"{name}.tif", image)
    arguments = (tmp_path / "a.tif", tmp_path / "b.tif", "--pixel-size-nm=30", "--block=32", "--skip=8", "--json")
    found = json.loads(run(*arguments, "--flavour=panelpy", "--background=20")[1])["rolling_frc"]
    options = RollingFrcOptions(block=32, skip=8, flavour="panelpy", background=20.0)
    expected = rolling_frc(*counts, pixel_size_nm=30.0, options=options)
    assert 0.05 < expected.foreground.mean() < 0.6
    assert found["mean_nm"] == pytest.approx(expected.mean_nm)


def test_every_flag_of_the_map_reaches_it():
    given = ["a.tif", "b.tif", "--block=48", "--skip=2", "--background=9", "--flavour=panelpy", "--crossing=1/7"]
    settings = map_settings(parse([*given, "--no-median", "--correct-drift"]))
    fields = {"block": 48, "skip": 2, "background": 9.0, "flavour": "panelpy", "crossing": "1/7"}
    assert settings == {**fields, "median": False, "correct_drift": True}
    defaults = RollingFrcOptions(**map_settings(parse(["a.tif"])))
    assert defaults == RollingFrcOptions(skip=4)


def test_drift_is_undone_on_request(pair):
    moved = np.roll(pair[1], (3, -2), (0, 1))
    a, b = (
        Measured(Path(name), 0, False, 1, image, PIXEL_NM) for name, image in zip("ab", (pair[0], moved), strict=True)
    )
    found = measurement.measure(a, other=b, options=RollingFrcOptions(block=32, skip=8, correct_drift=True))
    assert found.drift_px == pytest.approx((3, -2), abs=0.1)
    assert to_json(found)["drift_px"] == pytest.approx([3, -2], abs=0.1)
    drifted = measurement.measure(a, other=b, options=OPTIONS)
    good = measurement.ring_resolutions(found)
    for name, value in measurement.ring_resolutions(drifted).items():
        assert not value <= 1.2 * good[name], "worse, or without a crossing"
    assert any(line.startswith("drift that was undone") for line in format_lines(found))


def test_a_float64_image_of_any_scale_and_a_saturated_one(run, tmp_path, pair):
    for name, gain in (("large", 1e300), ("small", 1e-300)):
        tifffile.imwrite(tmp_path / f"{name}.tif", pair[0].astype(np.float64) * gain)
        code, out, err = run(tmp_path / f"{name}.tif", "--pixel-size-nm=30", "--json", "--no-rolling")
        assert (code, err) == (0, "")
        kc = float(decorrelation_analysis(pair[0]).cutoff)
        assert json.loads(out)["decorrelation"]["kc"] == pytest.approx(kc, abs=0.0085)
    counts = np.rint(1000 * pair[0].clip(0, 0.3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "clipped.tif", counts)
    err = run(tmp_path / "clipped.tif", "--pixel-size-nm=30", "--no-rolling")[2]
    assert f"{100 * (counts == 300).mean():.2g} % of the pixels have the largest value 300" in err


def test_a_negative_image_is_measured_without_a_map(run, tmp_path, pair):
    tifffile.imwrite(tmp_path / "negative.tif", pair[0] - 10)
    code, out, _ = run(tmp_path / "negative.tif", "--pixel-size-nm=30", "--block=16")
    assert code == 0
    assert "no map: the maximum of an image is" in out
    assert "decorrelation analysis   1" in out


def test_a_small_image_has_no_map(pair):
    small = Measured(Path("a"), 0, False, 1, pair[0][:40, :40], PIXEL_NM)
    found = measurement.measure(small)
    assert found.rolling is None
    assert any("smaller than a block" in line for line in format_lines(found))
    with pytest.raises(InputError, match=r"there is no map .*smaller than a block of 64 pixels"):
        measurement.write_map("map.tif", found, overwrite=False)


# ---------------------------------------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------------------------------------


def test_plot_and_map(run, files, pair, tmp_path):
    plot, map_file = tmp_path / "plot.png", tmp_path / "map.tif"
    arguments = (*files, "--pixel-size-nm=31.3", "--block=32", "--skip=8", f"--plot={plot}", f"--map={map_file}")
    assert run(*arguments)[0] == 0
    picture = imread(plot)[..., :3]
    assert picture.shape[1] == pytest.approx(180 / 25.4 * 300, abs=2)
    for part in np.array_split(picture, 2, axis=0):
        assert part.std() > 0.1
    rolling = rolling_frc(*pair, pixel_size_nm=PIXEL_NM, options=OPTIONS)
    np.testing.assert_allclose(tifffile.imread(map_file), rolling.map_nm, rtol=1e-5)
    before = plot.read_bytes()
    code, _, err = run(*arguments)
    assert code == 2
    assert "plot.png exists already" in err
    assert run(*arguments, "--overwrite")[0] == 0
    assert plot.read_bytes() == before


def test_vector_graphics_for_one_image(run, files, tmp_path):
    for suffix, head in (("pdf", b"%PDF"), ("svg", b"<?xml")):
        assert run(files[0], "--block=32", f"--plot={tmp_path / f'a.{suffix}'}")[0] == 0
        assert (tmp_path / f"a.{suffix}").read_bytes().startswith(head)


# ---------------------------------------------------------------------------------------------------------------------
# Mistakes
# ---------------------------------------------------------------------------------------------------------------------

WRONG = {
    "no image": ([], "the following arguments are required: IMAGE"),
    "three": (["a.tif", "a.tif", "a.tif"], "3 images are given; give one, or two of the same object"),
    "missing": (["nope.tif"], "nope.tif"),
    "unknown flag": (["a.tif", "--pixelsize=3"], "unrecognized arguments: --pixelsize=3"),
    "pixel size": (["a.tif", "--pixel-size-nm=-3"], "-3"),
    "no number": (["a.tif", "--pixel-size-nm=small"], "invalid float value: 'small'"),
    "other size": (["a.tif", "small.tif"], "small.tif is 40 x 40 pixels; give two images of the same field"),
    "same": (["a.tif", "a.tif"], "hold the same pixels"),
    "constant": (["constant.tif"], "one value everywhere"),
    "nan": (["nan.tif"], "1 NaN or infinite pixels"),
    "truncated": (["truncated.tif"], "truncated.tif"),
    "colour": (["colour.tif"], "colour"),
    "micrometres": (["a.tif", "--pixel-size-nm=0.0313"], "--pixel-size-nm is 0.0313; legal: 0.1 to 100000, in nano"),
    "dark": (["negative.tif", "--block=16", "--map=map.tif"], "there is no map for --map=map.tif: the maximum of"),
    "map over image": (["a.tif", "--map=./a.tif", "--overwrite"], "a.tif is the image to be measured"),
    "ome": (["a.tif", "--map=map.ome.tif"], "not .ome.tif"),
    "block": (["a.tif", "--block=8"], "block=8, skip=4.*at least 16"),
    "plot": (["a.tif", "--plot=a.gif"], "--plot=a.gif is no picture by its name; legal: .png, .pdf, .svg"),
    "map": (["a.tif", "--map=map.png"], "--map=map.png is no ImageJ TIFF by its name"),
    "small for a map": (["small.tif", "--map=map.tif"], "there is no map for --map=map.tif"),
    "drift": (["a.tif", "--correct-drift"], "--correct-drift aligns a second image"),
    "sectors": (["a.tif", "--sectors=0"], "--sectors is 0; legal: 1 to 36"),
    "map and none": (["a.tif", "--map=map.tif", "--no-rolling"], "--map writes the map that --no-rolling leaves out"),
}


@pytest.fixture
def wrong_files(files, pair, monkeypatch):
    folder = files[0].parent
    monkeypatch.chdir(folder)
    tifffile.imwrite("small.tif", pair[0][:40, :40])
    tifffile.imwrite("constant.tif", np.ones((40, 40), np.float32))
    tifffile.imwrite("nan.tif", np.where(pair[0] == pair[0].max(), np.nan, pair[0]))
    tifffile.imwrite("negative.tif", pair[0] - 10)
    tifffile.imwrite("colour.tif", np.zeros((40, 40, 3), np.uint8), photometric="rgb")
    Path("truncated.tif").write_bytes(Path("a.tif").read_bytes()[:2000])
    return folder


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line(run, wrong_files, case):
    arguments, message = WRONG[case]
    before = sorted(path.name for path in wrong_files.iterdir())
    code, out, err = run(*arguments)
    assert code == 2
    assert out == "" or "there is no map" in err
    *warnings, last = err.splitlines()
    assert all(line.startswith("warning: ") for line in warnings)
    assert last.startswith("error: ")
    parts = message.split(".*")
    assert all(part in last for part in parts), last
    assert sorted(path.name for path in wrong_files.iterdir()) == before


def test_as_a_process(files):
    command = [sys.executable, "-m", "oidn_jax.metrics", str(files[0]), "--pixel-size-nm=31.3", "--json", "--block=32"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)["decorrelation"]) >= {"resolution_nm", "kc", "a0"}
    assert done.stderr == ""
    wrong = subprocess.run([*command, "--index=7"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)

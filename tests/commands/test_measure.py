"""`oidn-jax measure` as its user meets it: flags, what is printed, and one line for each mistake."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from oidn_jax.commands.measure import main, parse
from oidn_jax.metrics.rolling_frc import RollingFrcOptions
from tests.metrics import recipes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = [image[:128, :120] for image in (recipes.synth1a(), recipes.synth1b())]
    for name, image in zip("ab", images, strict=True):
        tifffile.imwrite(f"{name}.tif", image)
    tifffile.imwrite("small.tif", images[0][:40, :40])
    return tmp_path


@pytest.fixture
def run(capsys):
    """Runs the command in this process: exit code, stdout, stderr."""

    def run(*words):
        capsys.readouterr()
        code = 0
        try:
            main(list(words))
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return run


def test_numbers_page_and_map(run, files):
    words = ("a.tif", "b.tif", "--pixel-size-nm=31.3", "--block=32", "--skip=8")
    code, out, err = run(*words, "--json", "--plot=page.png", "--map=map.tif")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["pixel_size_nm"] == 31.3
    assert result["rolling_frc"]["block"] == 32
    assert tifffile.imread("map.tif").shape == (128, 120)
    assert Path("page.png").stat().st_size > 10_000
    code, out, err = run(*words, "--plot=page.png")
    assert (code, out) == (2, "")
    assert "page.png exists already" in err
    assert "--overwrite" in err
    code, out, _ = run(*words, "--plot=page.png", "--overwrite")
    assert code == 0
    assert out.startswith("a.tif: 128 x 120 pixels, 31.3 nm per pixel\ndecorrelation analysis ")


def test_a_warning_names_the_flag(run, files):
    code, _, err = run("a.tif", "--no-rolling")
    assert code == 0
    assert err.startswith("warning: a.tif ")
    assert "--pixel-size-nm" in err


def test_every_flag_of_the_map_reaches_it(monkeypatch, files):
    given = {}
    monkeypatch.setattr("oidn_jax.resolution.measure", lambda image, **settings: given.update(settings) or 1 / 0)
    flags = ["--block=48", "--skip=2", "--background=9", "--flavour=panelpy", "--crossing=1/7", "--no-median"]
    with pytest.raises(ZeroDivisionError):
        main(["a.tif", "b.tif", "--sectors=3", "--correct-drift", *flags])
    assert given["options"] == RollingFrcOptions(
        block=48, skip=2, background=9.0, flavour="panelpy", crossing="1/7", median=False, correct_drift=True
    )
    assert (given["rolling"], given["sectors"], given["other"].path) == (True, 3, Path("b.tif"))
    with pytest.raises(ZeroDivisionError):
        main(["a.tif"])
    assert given["options"] == RollingFrcOptions(skip=4)
    assert (given["rolling"], given["sectors"], given["other"]) == (True, 0, None)


WRONG = {
    "no image": ([], "required: IMAGE"),
    "three images": (["a.tif", "b.tif", "a.tif"], "3 images"),
    "a file that is not there": (["nowhere.tif"], "nowhere.tif"),
    "an unknown flag": (["a.tif", "--pixelsize=3"], "--pixelsize"),
    "no number": (["a.tif", "--pixel-size-nm=small"], "'small'"),
    "a setting of the library": (["a.tif", "--pixel-size-nm=0.03"], "--pixel-size-nm is 0.03"),
    "a setting of the metrics": (["a.tif", "--block=8"], "at least 16"),
    "a map over the image": (["a.tif", "--map=./a.tif", "--overwrite"], "is the image to be measured"),
    "a plot of no format": (["a.tif", "--plot=a.gif"], "--plot is 'a.gif'"),
    "a map that is left out": (["a.tif", "--no-rolling", "--block=32"], "--block is of the map that --no-rolling"),
    "a map without a name": (["a.tif", "--map="], "--map is empty"),
    "a map that cannot be": (["small.tif", "--pixel-size-nm=30", "--map=map.tif"], "there is no map for map.tif"),
    "drift of one image": (["a.tif", "--correct-drift"], "--correct-drift"),
    "too many sectors": (["a.tif", "--sectors=37"], "--sectors is 37"),
    "map and none": (["a.tif", "--map=map.tif", "--no-rolling"], "--no-rolling"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line(run, files, case):
    words, message = WRONG[case]
    before = sorted(path.name for path in files.iterdir())
    code, _, err = run(*words)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(path.name for path in files.iterdir()) == before


def test_the_alias_as_a_process(files):
    command = [sys.executable, "-m", "oidn_jax.metrics", str(files / "small.tif"), "--pixel-size-nm=31.3", "--json"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert np.isfinite(json.loads(process.stdout)["decorrelation"]["kc"])
    assert process.stderr == ""


def test_help_needs_no_jax():
    program = "import sys; from oidn_jax.commands import measure\ntry: measure.main(['--help'])\n"
    program += "except SystemExit: print('jax' in sys.modules)"
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.endswith("False\n")
    assert parse(["a.tif"]).block == 64

"""The installed wheel works where there is no checkout: every step that a user takes first, in an empty folder."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.commands.test_train import flags

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def oidn_jax(tmp_path_factory):
    """The installed command: `oidn_jax(folder, words...)` gives the finished process.

    The environment has the wheel, and of the tests' own environment the dependencies: a folder that a .pth file adds is
    searched last, and its own .pth files, which may lead to a checkout, are not read.
    """
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(ROOT)]
    subprocess.run(wheel, check=True, capture_output=True, text=True)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    install = [*pip, f"--python={python}", "install", "--no-deps", "--no-index", *map(str, folder.glob("*.whl"))]
    subprocess.run(install, check=True, capture_output=True, text=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    _write_configs_of_a_stranger(site)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(working_folder: Path, *words: str) -> subprocess.CompletedProcess:
        command = [str(python.with_name("oidn-jax")), *words]
        return subprocess.run(command, cwd=working_folder, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def folder(tmp_path, golden):
    """A folder with one raw file, and with a stranger's `configs` that must not be read."""
    raw = golden("sim_acquisition_crop")["raw_mid"]
    tifffile.imwrite(tmp_path / "cell.tif", raw, imagej=True, metadata={"axes": "TYX"})
    _write_configs_of_a_stranger(tmp_path)
    return tmp_path


def _write_configs_of_a_stranger(folder: Path) -> None:
    (folder / "configs").mkdir()
    for name in ("__init__", "default", "f_actin", "variants"):
        (folder / "configs" / f"{name}.py").write_text("raise SystemExit('a stranger is executed')\n")


def succeeded(process: subprocess.CompletedProcess) -> str:
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_inspect_reconstruct_measure(oidn_jax, folder):
    assert "reconstruct" in succeeded(oidn_jax(folder))
    assert "contrast of the stripes" in succeeded(oidn_jax(folder, "inspect", "cell.tif", "--pixel-size-nm=62.6"))
    words = ("reconstruct", "cell.tif", "--method=wiener", "--pixel-size-nm=62.6", "--out=images")
    succeeded(oidn_jax(folder, *words))
    image = tifffile.imread(folder / "images" / "cell_sr.tif")
    assert image.shape == (256, 256)
    assert np.isfinite(image).all()
    measured = json.loads(succeeded(oidn_jax(folder, "measure", "images/cell_sr.tif", "--json", "--no-rolling")))
    assert measured["pixel_size_nm"] == pytest.approx(31.3)
    assert 60 < measured["decorrelation"]["resolution_nm"] < 250


def test_train(oidn_jax, folder):
    succeeded(oidn_jax(folder, "train", *flags("unet"), "--workdir=run"))
    assert list((folder / "run").rglob("weights.safetensors"))
    words = ("reconstruct", "cell.tif", "--workdir=run", "--pixel-size-nm=62.6", "--out=images")
    succeeded(oidn_jax(folder, *words))
    assert (folder / "images" / "cell_sr.tif").is_file()


def test_configs_of_a_stranger_are_not_experiments(oidn_jax, folder):
    """Neither those of the current folder nor those beside the installed package."""
    process = oidn_jax(folder, "train", "--config=variants")
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("error: --config is 'variants'; give a file")


def test_a_mistake_is_one_line(oidn_jax, folder):
    process = oidn_jax(folder, "measure", "nowhere.tif")
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("error: nowhere.tif")
    assert process.stderr.count("\n") == 1

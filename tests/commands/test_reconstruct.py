"""The script `reconstruct.py`: mistakes made before a model is loaded are one line on stderr and exit code 2."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def script(*arguments):
    command = [sys.executable, str(ROOT / "reconstruct.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: --out"),
        (["--workdir=run", "--out=out"], "required: INPUT"),
        (["cell.tif", "--out=out"], "required: --workdir"),
        (["cell.tif", "--workdir=run"], "required: --out"),
        (["cell.tif", "--out="], "--out is empty"),
        (["cell.tif", "--out=out", "--method=wiener", "--workdir=run"], "--workdir is for --method=oidn, not for"),
        (["cell.tif", "--out=out", "--method=hifi", "--wiener=0.1"], "--wiener is for --method=wiener, not for"),
        (["cell.tif", "--out=out", "--method=widefield", "--na=1.4"], "--na has no use with --method=widefield"),
        (["cell.tif", "--out=out", "--method=wiener", "--camera-gain=2"], "--camera-gain is of the noise"),
        (["cell.tif", "--out=out", "--method=wiener", "--refit-phases"], "--refit-phases needs --illumination"),
        (["cell.tif", "--out=out", "--method=wiener", "--otf=a", "--otf-damping=1"], "give one of them"),
        (["a.tif", "b.tif", "--out=out", "--image=sr.tif"], "--image judges one image against one raw file"),
        (["cell.tif", "--workdir=run", "--out=out", "--tiles=3"], "--tiles=3"),
        (["cell.tif", "--workdir=run", "--out=out", "--prev"], "--prev"),
        (["cell.tif", "--workdir=run", "--out=out", "--tile=wide"], "--tile: invalid int value: 'wide'"),
        (["cell.tif", "--workdir=run", "--out=out", "--pixel-size-nm=x"], "--pixel-size-nm: invalid float value: 'x'"),
        (["cell.tif", "--workdir=run", "--out=out", "--checkpoint=worst"], "--checkpoint: invalid choice: 'worst'"),
        (["cell.tif", "--workdir=run", "--out=out", "--frame-order=zigzag"], "--frame-order: invalid choice: 'zigzag'"),
    ],
)
def test_wrong_flags(arguments, message):
    run = script(*arguments)
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.startswith("error: ")
    assert message in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("spelling", ["--workdir={0}", "--workdir {0}"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_workdir_without_a_checkpoint(tmp_path, spelling, exists):
    workdir, out = tmp_path / "run", tmp_path / "out"
    if exists:
        workdir.mkdir()
    run = script("a.tif", *spelling.format(workdir).split(), "b.tif", f"--out={out}")
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.startswith("error: ")
    assert str(workdir) in run.stderr
    assert run.stderr.count("\n") == 1
    assert not out.exists()


def test_help_needs_no_jax():
    run = script("--help")
    assert run.returncode == 0
    for flag in (
        "INPUT",
        "--method",
        "--na",
        "--otf",
        "--illumination",
        "--trust",
        "--image",
        "--diagnostics",
        "--workdir",
        "--out",
        "--checkpoint",
        "--frame-order",
        "--pixel-size-nm",
        "--tile",
    ):
        assert flag in run.stdout
    program = "import sys; sys.argv = ['reconstruct.py']; import reconstruct; print('jax' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stdout == "False\n"

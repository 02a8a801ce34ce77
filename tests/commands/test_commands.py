"""The entry point, and how every command ends: help at once, a user's mistake in one line."""

import runpy
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import tifffile

from oidn_jax.commands import inspect, laws
from oidn_jax.commands.main import COMMANDS, main
from oidn_jax.commands.run import run, warn
from oidn_jax.data import write_raw_tiff
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.optics.laws import Law
from oidn_jax.version import __version__

ROOT = Path(__file__).resolve().parents[2]


def ended(function, *arguments):
    """The exit code."""
    try:
        function(*arguments)
    except SystemExit as end:
        return end.code or 0
    return 0


def test_without_a_word_the_commands_are_listed(capsys):
    assert ended(main, []) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)
    assert ended(main, ["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_an_unknown_command_is_one_line(capsys):
    assert ended(main, ["mesure"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: oidn-jax has no command 'mesure'")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_needs_no_jax(name):
    program = "import sys; from oidn_jax.commands.main import main\n"
    program += f"try: main([{name!r}, '--help'])\nexcept SystemExit as end: print(end.code, 'jax' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert process.stdout.endswith("0 False\n")
    assert f"usage: oidn-jax {name}" in process.stdout


def test_a_mistake_is_told_in_flags(capsys):
    def body():
        raise InputError("cell.tif exists; allow `overwrite`, or see `train.patch`, `config.seed` and `no setting`")

    assert ended(run, body) == 2
    assert capsys.readouterr().err == (
        "error: cell.tif exists; allow --overwrite, or see --config.train.patch, --config.seed and `no setting`\n"
    )

    def illegal():
        raise IllegalValue("emission_wavelength_nm", -1, "it must be positive")

    spelling = {"emission_wavelength_nm": "--emission-nm"}
    with pytest.raises(SystemExit):
        run(illegal, spell=spelling.get)
    assert capsys.readouterr().err == "error: --emission-nm is -1; it must be positive\n"
    warn("give `pixel_size_nm`")
    assert capsys.readouterr().err == "warning: give --pixel-size-nm\n"


def test_an_interrupt_ends_quietly_and_a_bug_keeps_its_traceback(capsys):
    def interrupted():
        raise KeyboardInterrupt

    assert ended(run, interrupted) == 130
    assert capsys.readouterr().err == "stopped\n"
    with pytest.raises(ZeroDivisionError):
        run(lambda: print(1 / 0))


def test_inspect_tells_what_a_raw_file_says(tmp_path, golden, capsys):
    for name in ("a.tif", "b.tif"):
        write_raw_tiff(tmp_path / name, golden("sim_acquisition_crop")["raw_mid"], pixel_size_nm=62.6)
    assert ended(inspect.main, [str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path / 'a.tif'}: 9 frames of 128 x 128 pixels, 62.6 nm per pixel"
    assert sum(line.startswith("contrast of the stripes") for line in lines) == 2
    assert ended(inspect.main, [str(tmp_path / "a.tif"), "--phases=5"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "--orientations and --phases" in err


def test_inspect_takes_maps_of_the_camera(tmp_path, golden, capsys):
    frames = golden("sim_acquisition_crop")["raw_mid"]
    source = str(tmp_path / "a.tif")
    write_raw_tiff(source, frames, pixel_size_nm=62.6)
    tifffile.imwrite(tmp_path / "gain.tif", np.full(frames.shape[1:], 2.5, np.float32))
    tifffile.imwrite(tmp_path / "offset.tif", np.full((64, 64), 90.0, np.float32))
    assert ended(inspect.main, [source, f"--gain-map={tmp_path / 'gain.tif'}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "camera maps: gain_map gain.tif" in lines
    (gains,) = [line.split()[-3:] for line in lines if line.startswith("gain, counts per photo-electron")]
    assert gains == ["2.5"] * 3
    assert ended(inspect.main, [source, source, f"--offset-map={tmp_path / 'offset.tif'}"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "error: --offset-map" in err
    assert "has 64 x 64 pixels, but the frames of" in err


def test_inspect_tells_of_positions_and_channels(tmp_path, golden, capsys):
    frames = golden("sim_acquisition_crop")["raw_mid"]
    channel = {"Name": ["GFP", "mCherry"], "EmissionWavelength": [525.0, 610.0]}
    metadata = {"axes": "CZYX", "PhysicalSizeX": 0.0626, "PhysicalSizeY": 0.0626, "Channel": channel}
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        for _ in range(2):
            file.write(np.stack([frames, frames]), metadata=metadata)
    assert ended(inspect.main, [str(tmp_path / "a.ome.tif")]) == 0
    titles = [line for line in capsys.readouterr().out.splitlines() if "frames of" in line]
    told = ("1 (GFP, emission 525 nm)", "2 (mCherry, emission 610 nm)")
    names = [f"position {position}, channel {channel}" for position in (1, 2) for channel in told]
    assert titles == [
        f"{tmp_path / 'a.ome.tif'}, {name}: 9 frames of 128 x 128 pixels, 62.6 nm per pixel" for name in names
    ]


def test_laws_are_checked_and_a_broken_one_is_told(monkeypatch, capsys):
    monkeypatch.setattr("oidn_jax.optics.laws.LAWS", (Law("nothing is wrong", lambda *_: jnp.float32(0), 1e-3),))
    assert ended(laws.main, []) == 0
    out, err = capsys.readouterr()
    assert "nothing is wrong" in out
    assert err == ""
    monkeypatch.setattr("oidn_jax.optics.laws.LAWS", (Law("all is wrong", lambda *_: jnp.float32(1), 1e-3),))
    assert ended(laws.main, []) == 1
    assert capsys.readouterr().err == "error: 1 of 1 laws fail: all is wrong\n"


def test_laws_take_the_microscope_of_a_configuration_and_a_measured_otf(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("oidn_jax.optics.laws.LAWS", (Law("nothing is wrong", lambda *_: jnp.float32(0), 1e-3),))
    assert ended(laws.main, ["--config=er:quick,560"]) == 0
    assert "NA 1.49 at 607 nm" in capsys.readouterr().out
    for words in ([f"--otf={tmp_path / 'nowhere.mrc'}"], ["--config=nowhere"]):
        assert ended(laws.main, words) == 2
        assert "nowhere" in capsys.readouterr().err


def test_the_alias_of_laws_and_inspect(monkeypatch):
    given = []
    monkeypatch.setattr(laws, "main", lambda words: given.append(("laws", words)))
    monkeypatch.setattr(inspect, "main", lambda words: given.append(("inspect", words)))
    monkeypatch.setattr(sys, "argv", ["checks", "cell.tif", "--otf=otf.mrc"])
    runpy.run_module("oidn_jax.optics.checks", run_name="__main__")
    assert given == [("laws", ["--otf=otf.mrc"]), ("inspect", ["cell.tif"])]

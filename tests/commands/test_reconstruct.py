"""`oidn-jax reconstruct`: flags that do not go together, optics and where they come from, weights by name."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from oidn_jax.acquisition.drift import measure_drift
from oidn_jax.data import write_raw_tiff
from oidn_jax.methods import reconstruct
from oidn_jax.models import weights
from oidn_jax.optics.microscope import Microscope
from tests.acquisition.simulated import counts
from tests.methods.fakes import frames_last, raw_counts, untrained

PIXEL_NM = 62.6


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, with a raw file of small frames and one that can be judged."""
    monkeypatch.chdir(tmp_path)
    write_raw_tiff(tmp_path / "cell.tif", raw_counts(32, 32)[0], pixel_size_nm=PIXEL_NM)
    write_raw_tiff(tmp_path / "spots.tif", counts(), pixel_size_nm=PIXEL_NM)
    tifffile.imwrite(tmp_path / "small.tif", np.ones((32, 32), np.float32))
    tifffile.imwrite(tmp_path / "montage.tif", np.block([list(row) for row in counts().reshape(3, 3, 64, 64)]))
    return tmp_path


def content(folder):
    """Every file and folder below a folder, with the bytes of the files."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


WRONG = {
    "no output": (["cell.tif", "--workdir=run"], "required: --out"),
    "no input": (["--workdir=run", "--out=out"], "required: INPUT"),
    "a checkpoint of no run": (
        ["cell.tif", "--checkpoint=best", "--out=out"],
        "guided is one model and no training run; leave it out",
    ),
    "an empty output": (["cell.tif", "--out=", "--workdir=run"], "--out is empty"),
    "an empty illumination": (["cell.tif", "--out=o", "--method=wiener", "--illumination="], "--illumination is empty"),
    "an empty input": (["", "--out=out", "--method=wiener"], "INPUT is empty"),
    "a change that is not of the microscope": (
        ["cell.tif", "--method=wiener", "--out=out", "--config=er", "--config.train.steps=7"],
        r"--config\.train\.steps has no use",
    ),
    "a change that widefield has no use for": (
        ["cell.tif", "--method=widefield", "--out=out", "--config=er", "--config.microscope.na=0.5"],
        r"--config\.microscope\.na has no use",
    ),
    "a pixel size in the configuration": (
        ["cell.tif", "--method=wiener", "--out=out", "--config=er", "--config.microscope.pixel_size_nm=100"],
        "--pixel-size-nm",
    ),
    "two OTFs, one in the configuration": (
        ["cell.tif", "--method=wiener", "--out=out", "--otf=a", "--config=er", "--config.microscope.otf_damping=1.0"],
        "give one of them",
    ),
    "a flag of another method": (["cell.tif", "--out=out", "--method=hifi", "--wiener=0.1"], "--wiener is for"),
    "a flag of networks": (["cell.tif", "--out=out", "--method=wiener", "--tile=64"], "--tile is for --method=network"),
    "errors that nobody knows": (["cell.tif", "--out=out", "--method=wiener", "--error"], "--error is of guided"),
    "errors of an image": (["cell.tif", "--out=out", "--image=sr.tif", "--error"], "--error is of .* for --image"),
    "tile of total variation": (
        ["cell.tif", "--out=out", "--method=tv", "--tile=64"],
        "--tile is for --method=network",
    ),
    "total variation of nothing": (
        ["cell.tif", "--out=out", "--method=tv", "--tv-strength=0"],
        "--tv-strength is 0.0; it must be from",
    ),
    "optics without use": (["cell.tif", "--out=out", "--method=widefield", "--na=1.4"], "--na has no use"),
    "noise without use": (["cell.tif", "--out=out", "--method=wiener", "--camera-gain=2"], "--camera-gain is of"),
    "an image of another size": (
        ["spots.tif", "--out=out", "--image=small.tif"],
        "small.tif is 1 x 32 x 32 .* must be 1 x 128 x 128",
    ),
    "a gain and its map": (
        ["spots.tif", "--out=out", "--method=wiener", "--trust", "--camera-gain=2", "--gain-map=gain.tif"],
        "--camera-gain is 2.0; --gain-map says it of each pixel",
    ),
    "an offset and its map": (
        ["spots.tif", "--out=out", "--method=widefield", "--camera-offset=2", "--offset-map=gain.tif"],
        "--camera-offset is 2.0; --offset-map says it of each pixel",
    ),
    "a map that there is not": (
        ["spots.tif", "--out=out", "--method=wiener", "--gain-map=g.tif"],
        "g.tif does not exist",
    ),
    "a map of other pixels": (
        ["spots.tif", "--out=out", "--method=wiener", "--variance-map=small.tif"],
        "--variance-map small.tif has 32 x 32 pixels, but the frames of spots.tif have 64 x 64",
    ),
    "frames for a map": (
        ["spots.tif", "--out=out", "--method=wiener", "--offset-map=spots.tif"],
        "--offset-map spots.tif holds 9 images",
    ),
    "a map of a montage": (
        ["montage.tif", "--out=out", "--method=widefield", "--frame-order=montage", "--gain-map=montage.tif"],
        "--gain-map montage.tif has 192 x 192 pixels, but the frames of montage.tif have 64 x 64",
    ),
    "phases of nothing": (["cell.tif", "--out=out", "--method=wiener", "--refit-phases"], "needs --illumination"),
    "a period where the stripes are known": (
        ["cell.tif", "--out=out", "--method=wiener", "--illumination=a.json", "--pattern-period=180"],
        "--pattern-period has no use",
    ),
    "a period of nothing": (
        ["cell.tif", "--out=out", "--method=widefield", "--pattern-period=180"],
        "--pattern-period has no use",
    ),
    "no period": (["cell.tif", "--out=out", "--method=wiener", "--pattern-period=fine"], "'fine' is no period in nm"),
    "no wavelength": (["cell.tif", "--out=out", "--method=wiener", "--emission-nm=green"], "'green' is no number"),
    "a period of no microscope": (
        ["cell.tif", "--out=out", "--method=wiener", "--pattern-period=60-90"],
        "--pattern-period is '60-90'; .* from 126 to 705 nm",
    ),
    "two OTFs": (["cell.tif", "--out=out", "--method=wiener", "--otf=a", "--otf-damping=1"], "give one of them"),
    "an image on workers": (
        ["a.tif", "--out=out", "--image=sr.tif", "--workers=2"],
        "--image judges one image; leave out",
    ),
    "an image resumed": (["a.tif", "--out=out", "--image=sr.tif", "--resume"], "--image judges one image; leave out"),
    "two kinds of workers": (
        ["cell.tif", "--out=out", "--workers=2", "--dask=tcp://head:8786"],
        "--workers starts processes, and --dask takes those that run already",
    ),
    "no worker": (["cell.tif", "--out=out", "--method=widefield", "--workers=0"], "--workers is 0; it must be"),
    "no address": (
        ["cell.tif", "--out=out", "--method=widefield", "--dask=head:8786"],
        "--dask is 'head:8786'; it must be the address of a scheduler",
    ),
    "two files and an image": (["a.tif", "b.tif", "--out=out", "--image=sr.tif"], "--image judges one image"),
    "an unknown flag": (["cell.tif", "--workdir=run", "--out=out", "--tiles=3"], "--tiles=3"),
    "an abbreviation": (["cell.tif", "--workdir=run", "--out=out", "--prev"], "--prev"),
    "no number": (["cell.tif", "--workdir=run", "--out=out", "--tile=wide"], "--tile: invalid int value: 'wide'"),
    "no such choice": (
        ["cell.tif", "--workdir=run", "--out=out", "--frame-order=zigzag"],
        "--frame-order.*: invalid",
    ),
    "a change without a configuration": (["cell.tif", "--method=wiener", "--out=out", "--config.seed=3"], "--config="),
    "no workdir": (["cell.tif", "--workdir=run", "--out=out"], "there is no folder run"),
    "no such file": (["nope.tif", "--method=wiener", "--out=out"], "nope.tif does not exist"),
    "a setting of a method": (["cell.tif", "--method=wiener", "--wiener=0", "--out=out"], "--wiener is 0"),
    "a setting of the microscope": (
        ["cell.tif", "--method=wiener", "--emission-nm=-5", "--out=out"],
        "--emission-nm is",
    ),
    "no wavelengths": (["cell.tif", "--method=wiener", "--emission-nm=525,", "--out=out"], "'525,' is no number"),
    "wavelengths of channels that there are not": (
        ["cell.tif", "--method=wiener", "--emission-nm=525,610", "--out=out"],
        "2 values of --emission-nm are given, but cell.tif has 1 channel",
    ),
    "two networks and a configuration": (
        ["cell.tif", "--workdir=a", "--workdir=b", "--config=er", "--trust", "--out=out"],
        "several --workdir bring their own",
    ),
    "no such place": (
        ["cell.tif", "--method=widefield", "--widefield-frame=middle", "--out=out"],
        "--widefield-frame: invalid choice",
    ),
    "a setting of the file": (
        ["cell.tif", "--method=widefield", "--pixel-size-nm=0", "--out=out"],
        "--pixel-size-nm is",
    ),
    "pixels too large": (
        [
            "cell.tif",
            "--method=wiener",
            "--pixel-size-nm=120",
            "--na=1.49",
            "--emission-nm=525",
            "--otf-damping=1",
            "--out=out",
        ],
        "120 nm .* check --pixel-size-nm, --na and --emission-nm",
    ),
    "a setting of a configuration": (
        ["cell.tif", "--method=wiener", "--config=er", "--config.microscope.na=-1", "--out=out"],
        "--na is -1",
    ),
    "an unknown field": (
        ["cell.tif", "--method=wiener", "--config=er", "--config.microscope.nna=1", "--out=out"],
        r"--config\.microscope\.nna; did you mean 'na'",
    ),
    "an unknown configuration": (["cell.tif", "--method=wiener", "--config=erx", "--out=out"], "--config is 'erx'"),
    "a wrong variant": (
        ["cell.tif", "--method=wiener", "--config=er:quik", "--out=out"],
        r"cannot be loaded: variant is",
    ),
    "frames of another microscope": (
        ["cell.tif", "--method=wiener", "--config=er", "--config.microscope.phases=4", "--out=out"],
        r"holds 9 images.*--phases",
    ),
    "an OTF that is none": (["cell.tif", "--method=wiener", "--otf=cell.tif", "--out=out"], "cell.tif"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line_and_nothing_is_lost(folder, refused, case):
    words, message = WRONG[case]
    before = content(folder)
    refused(message, "reconstruct", *words)
    assert content(folder) == before


def test_wrong_pixels_are_one_line(folder, refused):
    frames = raw_counts(32, 32)[0].astype(np.float32)
    frames[3, 4, 5] = np.nan
    tifffile.imwrite("bad.tif", frames, photometric="minisblack")
    refused(
        "bad.tif has 1 pixels that are NaN",
        "reconstruct",
        "bad.tif",
        "--method=widefield",
        "--out=out",
        "--pixel-size-nm=62.6",
    )
    assert not (folder / "out").exists()


def test_an_existing_image_is_replaced_only_when_told_to(folder, command, refused):
    (folder / "out").mkdir()
    (folder / "out" / "cell_sr.tif").write_text("mine")
    words = "cell.tif", "--method=widefield", "--out=out"
    refused(r"cell_sr\.tif exists already; .*--overwrite", "reconstruct", *words)
    assert (folder / "out" / "cell_sr.tif").read_text() == "mine"
    outcome = command("reconstruct", *words, "--overwrite")
    assert outcome == (0, "out/cell_sr.tif: 64 x 64 pixels, 31.3 nm per pixel\n", "")
    assert tifffile.imread("out/cell_sr.tif").shape == (64, 64)


def test_warnings_are_lines_on_stderr(folder, command):
    stack = np.minimum(100 * raw_counts(32, 32)[0], 4095).astype(np.uint16)
    tifffile.imwrite("bright.tif", stack, photometric="minisblack")
    code, out, err = command("reconstruct", "bright.tif", "--method=widefield", "--out=out")
    assert (code, out) == (0, "out/bright_sr.tif: 64 x 64 pixels, pixel size unknown\n")
    lines = err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("warning: bright.tif: ") for line in lines)
    assert "--pixel-size-nm" in err
    assert "saturated (value 4095)" in err


def test_the_progress_bar_leaves_stdout_alone(capsys, monkeypatch):
    import sys

    from oidn_jax.commands.progress import progress_bar

    with progress_bar() as progress:
        progress("cell.tif", 0.5)
        print("line")
    assert capsys.readouterr() == ("line\n", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_bar() as progress:
        progress("cell.tif", 0.5)
        print("line")
    printed = capsys.readouterr()
    assert printed.out == "line\n"  # stdout is a pipe here: its lines must not end up on the terminal
    assert "cell.tif" in printed.err
    assert "50%" in printed.err


# ---------------------------------------------------------------------------------------------------------------------
# The optics
# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def optics(command, monkeypatch):
    """A function that gives the microscope, where it comes from and what nobody gave of it, of the flags."""

    def optics(*words):
        given = {}

        def keep(inputs, method, out, *, microscope, reading, **rest):
            (only,) = microscope
            given.update(microscope=only, source=reading.optics_from, assumed=reading.assumed)

        with monkeypatch.context() as patch:
            patch.setattr("oidn_jax.reconstruction.reconstruct_files", keep)
            code, _, err = command("reconstruct", "spots.tif", "--out=out", *words)
        assert code == 0, err
        assert err == ""
        return given["microscope"], given["source"], given["assumed"]

    return optics


def test_one_flag_changes_one_number(optics):
    """Giving the default's own NA once made the OTF that of an ideal objective."""
    assert optics("--method=wiener")[0] == Microscope()
    assert optics("--method=wiener", "--na=1.49")[0] == Microscope()
    assert optics("--method=wiener", "--na=1.3")[0] == replace(Microscope(), na=1.3)
    assert optics("--method=wiener", "--emission-nm=600")[0] == replace(Microscope(), emission_wavelength_nm=600.0)
    assert optics("--method=wiener", "--otf-damping=1")[0] == replace(Microscope(), otf_damping=1.0)


ALL = ("na", "emission_wavelength_nm", "otf_damping")


def test_optics_that_nobody_gave(optics):
    assert optics("--method=wiener")[1:] == ("", ALL)
    assert optics("--method=wiener", "--na=1.3", "--emission-nm=600")[1:] == ("flags", ALL[2:])
    assert optics("--method=wiener", "--na=1.3", "--emission-nm=600", "--otf-damping=0.5")[1:] == ("flags", ())


def test_optics_that_nobody_gave_are_said_in_one_line(folder, command):
    code, _, err = command("reconstruct", "spots.tif", "--method=wiener", "--na=1.3", "--out=out")
    assert code == 0
    (line,) = [line for line in err.splitlines() if "assumed" in line]
    assert "these are assumed: emission at 525 nm; give --na and --emission-nm" in line
    # Widefield needs none.
    assert "assumed" not in command("reconstruct", "spots.tif", "--method=widefield", "--out=wide").err


def test_what_the_file_says_of_the_optics_is_used(folder, command):
    """540 nm in the file: used where nobody gives another, named where somebody gives one far from it."""
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.0626, "PhysicalSizeY": 0.0626}
    metadata["Channel"] = {"Name": ["GFP"], "EmissionWavelength": [540.0]}
    tifffile.imwrite("told.ome.tif", counts(), ome=True, metadata=metadata)
    words = "told.ome.tif", "--method=wiener", "--na=1.3"

    def sources(out):
        return json.loads((folder / out / "told_sr_illumination.json").read_text())

    code, _, err = command("reconstruct", *words, "--out=out")
    assert code == 0
    assert "are assumed:" not in err
    assert sources("out")["optics"]["emission_wavelength_nm"] == 540
    assert (
        sources("out")["optics_from"]
        == "flags and the file (emission) and assumed unless the frames tell it: an OTF damping of 0.175"
    )
    assert "emission" not in command("reconstruct", *words, "--emission-nm=530", "--out=near").err.replace("--em", "")
    code, _, err = command("reconstruct", *words, "--emission-nm=610", "--out=far")
    assert "the file tells of an emission of 540 nm, but 610 is used (--emission-nm)" in err
    assert sources("far")["optics"]["emission_wavelength_nm"] == 610


def test_each_channel_has_its_own_wavelength_and_illumination(folder, command):
    metadata, resolution = {"axes": "ZCYX", "unit": "um"}, (1000 / PIXEL_NM, 1000 / PIXEL_NM)
    frames = np.stack([counts(), counts()], 1)
    tifffile.imwrite("two.tif", frames, imagej=True, metadata=metadata, resolution=resolution)
    words = "two.tif", "--method=wiener", "--na=1.3", "--emission-nm=525,610"
    assert command("reconstruct", *words, "--out=out").code == 0
    files = [f"out/two_sr_c{number}_illumination.json" for number in (1, 2)]
    emissions = [json.loads((folder / file).read_text())["optics"]["emission_wavelength_nm"] for file in files]
    assert emissions == [525, 610]
    known = [f"--illumination={file}" for file in files]
    code, _, err = command("reconstruct", *words, *known, "--out=again")
    assert code == 0, err
    first, second = (tifffile.imread(f"{out}/two_sr.tif") for out in ("out", "again"))
    np.testing.assert_allclose(second, first, rtol=0, atol=1e-3 * np.abs(first).max())


def test_flags_of_the_file(folder, command):
    """A widefield frame, and rows the other way round."""
    wide = np.full((1, 64, 64), 300, np.uint16)
    write_raw_tiff("ten.tif", np.concatenate([counts(), wide]), pixel_size_nm=PIXEL_NM)
    code, _, err = command("reconstruct", "ten.tif", "--method=widefield", "--out=out")
    assert code == 2
    assert "give first or last as --widefield-frame" in err
    words = "--method=widefield", "--widefield-frame=last"
    assert command("reconstruct", "ten.tif", *words, "--flip-y", "--out=out").code == 0
    assert command("reconstruct", "spots.tif", "--method=widefield", "--out=out").code == 0
    image, flipped = tifffile.imread("out/spots_sr.tif"), tifffile.imread("out/ten_sr.tif")
    np.testing.assert_allclose(flipped[::-1], image, rtol=0, atol=1e-3 * image.max())


def test_the_optics_of_a_configuration(optics):
    microscope, source, assumed = optics("--method=wiener", "--config=er:quick,560", "--config.microscope.na=1.4")
    assert (microscope.na, microscope.emission_wavelength_nm) == (1.4, 607.0)
    assert (source, assumed) == ("configuration er:quick,560", ())
    microscope, source, assumed = optics("--method=hifi", "--config=er:quick,560", "--na=1.2")
    assert (microscope.na, microscope.emission_wavelength_nm) == (1.2, 607.0)
    assert (source, assumed) == ("configuration er:quick,560 and flags", ())


def test_the_optics_of_a_model(folder, optics):
    model = untrained()
    weights.write_model(folder / "model", model)
    assert optics("--workdir=model") == (model.microscope, "the model's training", ())
    microscope, source, assumed = optics("--workdir=model", "--trust", "--na=1.2")
    assert microscope == replace(model.microscope, na=1.2)
    assert (source, assumed) == ("the model's training and flags", ())


def test_a_measured_otf(optics, measured_otf_file):
    microscope, source, assumed = optics("--method=wiener", f"--otf={measured_otf_file}")
    assert microscope.measured_otf.name == measured_otf_file.name
    # Its damping is its own; NA and wavelength say where it ends.
    assert (source, assumed) == ("flags", ALL[:2])


@pytest.fixture
def measured_otf_file(tmp_path):
    """A Priism file of a radial OTF."""
    import struct

    values = np.linspace(1, 0, 65).astype(np.complex64)
    header = bytearray(1024)
    struct.pack_into("<10i", header, 0, 65, 1, 1, 4, 0, 0, 0, 65, 1, 1)
    struct.pack_into("<3f", header, 40, 0.1, 0.1, 0.1)
    struct.pack_into("<h", header, 96, -16224)
    path = tmp_path / "otf.mrc"
    path.write_bytes(bytes(header) + values.tobytes())
    return path


def test_what_is_written_says_which_optics_and_where_from(folder, command):
    words = "--method=wiener", "--trust", "--na=1.3", "--emission-nm=525"
    code, _, err = command("reconstruct", "spots.tif", "--out=out", *words)
    assert code == 0
    (line,) = [line for line in err.splitlines() if "damping" in line]
    assert line.startswith("warning: ")
    assert "is taken, as nobody gave --otf-damping" in line
    with tifffile.TiffFile("out/spots_sr.tif") as tiff:
        image = json.loads(tiff.imagej_metadata["Info"])
    others = [json.loads((folder / f"out/spots_sr_{end}.json").read_text()) for end in ("illumination", "trust")]
    for record in (image, *others):
        assert record["optics"] == image["optics"]
        # The frames are of an ideal objective.
        words = record["optics"]["otf"].replace("undamped", "damping 1")
        assert float(words.split("damping ")[1]) > 0.8
        assert record["optics_from"] == "flags and assumed unless the frames tell it: an OTF damping of 0.175"
    assert others[1]["otf_damping"]["taken"]


# ---------------------------------------------------------------------------------------------------------------------
# Weights
# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shipped(tmp_path_factory, monkeypatch):
    """Weights that come with the package under the name `tiny`."""
    folder = tmp_path_factory.mktemp("weights")
    weights.write_model(folder / "tiny", untrained())
    monkeypatch.setattr(weights, "SHIPPED", folder)
    return folder


def test_weights_by_name_go_before_the_current_folder(folder, shipped, command):
    (folder / "tiny").mkdir()
    (folder / "tiny" / "model.json").write_text("a stranger's")
    code, _, err = command("reconstruct", "cell.tif", "--workdir=tiny", "--out=out")
    assert (code, err) == (0, "")
    expected = reconstruct(frames_last(raw_counts(32, 32)), untrained())
    np.testing.assert_array_equal(tifffile.imread("out/cell_sr.tif"), expected[0, ..., 0])


def test_without_a_model_the_weights_of_the_package_are_taken_and_named(folder, shipped, command):
    weights.write_model(shipped / "guided", untrained("guided"))
    code, out, _ = command("reconstruct", "spots.tif", "--na=1.3", "--emission-nm=525", "--otf-damping=1", "--out=out")
    assert code == 0
    assert out.splitlines()[0].startswith("the network is 'guided', which comes with the package")
    image = tifffile.imread("out/spots_sr.tif")
    assert command("reconstruct", "spots.tif", "--na=1.3", "--emission-nm=525", "--otf-damping=1", "--workdir=guided",
                   "--out=again").code == 0  # fmt: skip
    np.testing.assert_array_equal(tifffile.imread("again/spots_sr.tif"), image)


def test_names_are_listed_where_one_is_wrong(shipped, refused):
    refused(r"tinny.*\(tiny\)", "reconstruct", "cell.tif", "--workdir=tinny", "--out=out")


def test_damaged_weights_are_refused(folder, shipped, refused):
    path = shipped / "tiny" / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refused("SHA-256", "reconstruct", "cell.tif", "--workdir=tiny", "--out=out")
    assert not (folder / "out").exists()


def test_names_with_markup_and_escape_sequences_are_text(folder, command):
    """A terminal told to turn red, bytes that are no UTF-8, mathematics, and what a console takes for markup."""
    for name in ("\x1b[31mred.tif", "bad\udcff.tif", "a$b$c.tif", "x[b].tif"):
        (folder / name).write_bytes((folder / "cell.tif").read_bytes())
        shown = name.replace("\x1b", "\\x1b").replace("\udcff", "\\udcff")
        code, out, err = command("reconstruct", name, "--method=widefield", "--out=out", "--preview")
        assert (code, err) == (0, "")
        assert out == f"out/{shown.removesuffix('.tif')}_sr.tif: 64 x 64 pixels, 31.3 nm per pixel\n"
        code, _, err = command("reconstruct", name, "--method=widefield", "--out=out")
        assert (code, err.count("\n")) == (2, 1)
        assert shown.removesuffix(".tif") in err
        code, _, err = command("measure", name, "--no-rolling", "--index=0", "--plot=page.png", "--overwrite")
        assert code == 0, err


def test_a_wrong_size_of_an_image_is_told_before_anything_is_estimated(refused, monkeypatch):
    monkeypatch.setattr(
        "oidn_jax.acquisition.Acquisition.check", lambda *_, **__: pytest.fail("the frames were looked at")
    )
    refused("small.tif is 1 x 32 x 32", "reconstruct", "spots.tif", "--out=out", "--image=small.tif")


@pytest.mark.parametrize(("words", "looked"), [((), 0), (("--correct-drift",), 1)])
def test_a_widefield_image_does_not_wait_for_a_drift_that_nobody_asked_for(command, monkeypatch, words, looked):
    calls = []

    def counted(*arguments, **settings):
        calls.append(arguments)
        return measure_drift(*arguments, **settings)

    monkeypatch.setattr("oidn_jax.acquisition.frames.measure_drift", counted)
    assert command("reconstruct", "spots.tif", "--method=widefield", "--out=out", *words).code == 0
    assert bool(calls) == bool(looked)

"""Files in, files out: checked first, written complete or not at all, with the right pixel size and provenance."""

import json
import os
import sys

import numpy as np
import pytest
import tifffile
from matplotlib.image import imread

from oidn_jax.data import InputError, read_raw_stack
from oidn_jax.data import writers as data_writers
from oidn_jax.reconstruction import (
    NetworkMethod,
    Outputs,
    Reading,
    Talk,
    files,
    jobs,
    progress_bar,
    reconstruct,
    reconstruct_files,
)
from tests.reconstruction.fakes import Identity, acquisition, fake, microscope_of, untrained, upsampled

STACK = acquisition()


@pytest.fixture
def run(tmp_path):
    """A function that reconstructs with the identity into tmp_path/out; its lines are in `said` and `warned`."""

    def run(*inputs, model=None, **options):
        run.model = model or fake(Identity)
        out = options.pop("out", tmp_path / "out")
        method = NetworkMethod(run.model, **take(options, "tile", "overlap"))
        talk = Talk(say=run.said.append, warn=run.warned.append, **take(options, "progress"))
        reading = Reading(**take(options, "frame_order", "pixel_size_nm"))
        outputs = Outputs(**options)
        how = {"microscope": microscope_of(run.model), "reading": reading, "outputs": outputs, "talk": talk}
        return reconstruct_files(inputs, method, out, **how)

    def take(options, *names):
        return {name: options.pop(name) for name in names if name in options}

    run.said, run.warned = [], []
    return run


def write(path, stack=STACK, *, pixel_size_nm=60.0, **metadata):
    """An ImageJ or OME-TIFF of the stack, or whatever else the name says."""
    times, frames = stack.shape[:2]
    if path.name.endswith(".ome.tif"):
        sizes = {f"PhysicalSize{axis}": pixel_size_nm / 1000 for axis in "XY"} if pixel_size_nm else {}
        tifffile.imwrite(path, stack[:, :, None], ome=True, metadata={"axes": "TCZYX", **sizes, **metadata})
    elif path.suffix == ".mrc":
        import mrcfile

        with mrcfile.new(path) as mrc:
            mrc.set_data(stack.reshape(times * frames, *stack.shape[2:]))
            mrc.voxel_size = 10 * pixel_size_nm
    else:
        resolution = {"resolution": (1000 / pixel_size_nm,) * 2} if pixel_size_nm else {}
        metadata = {"axes": "TCYX", **({"unit": "um"} if pixel_size_nm else {}), **metadata}
        tifffile.imwrite(path, stack, imagej=True, metadata=metadata, **resolution)
    return path


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("name", "written"), [("cell.tif", "cell_sr.tif"), ("cell.ome.tif", "cell_sr.ome.tif"), ("a.b.mrc", "a.b_sr.tif")]
)
def test_one_acquisition(tmp_path, run, name, written):
    source = write(tmp_path / name)
    assert run(source) == [tmp_path / "out" / written]
    assert listed(tmp_path / "out") == [written]
    result = read_raw_stack(tmp_path / "out" / written, orientations=1, phases=1)
    assert result.frames.dtype == np.float32
    assert result.pixel_size_nm == pytest.approx(30, rel=1e-5)
    np.testing.assert_allclose(result.frames[:, 0], upsampled(STACK.mean(1)), atol=2e-6 * STACK.max())
    assert run.said == [f"{tmp_path / 'out' / written}: 80 x 96 pixels, 30 nm per pixel"]
    assert run.warned == []


@pytest.mark.parametrize("name", ["cell.tif", "cell.ome.tif"])
def test_a_time_lapse_keeps_its_interval(tmp_path, run, name):
    stack = acquisition(times=3)
    interval = {"TimeIncrement": 2.5, "TimeIncrementUnit": "s"} if "ome" in name else {"finterval": 2.5}
    (path,) = run(write(tmp_path / name, stack, **interval))
    result = read_raw_stack(path, orientations=1, phases=1)
    assert result.time_interval_s == 2.5
    np.testing.assert_allclose(result.frames[:, 0], upsampled(stack.mean(1)), atol=2e-6 * stack.max())
    assert run.said == [f"{path}: 3 x 80 x 96 pixels, 30 nm per pixel"]


def test_files_give_what_arrays_give(tmp_path, run):
    model = untrained()
    (path,) = run(write(tmp_path / "cell.tif"), model=model, tile=32, overlap=8)
    expected = reconstruct(STACK.transpose(0, 2, 3, 1), model, tile=32, overlap=8)
    np.testing.assert_array_equal(tifffile.imread(path).reshape(80, 96), expected[0, ..., 0])


def test_provenance(tmp_path, run):
    (path,) = run(write(tmp_path / "cell.tif"), tile=44, overlap=7)
    with tifffile.TiffFile(path) as tiff:
        provenance = json.loads(tiff.imagej_metadata["Info"])
    assert provenance == {
        "software": "oidn_jax",
        "version": files.__version__,
        "source": "cell.tif",
        "weights": run.model.origin,
        "method": "oidn",
        "normalisation": "joint",
        "tile": [44, 44],
        "overlap": 7,
        "frame_order": "orientation-phase",
        "optics": run.model.config["optics"],
    }


def test_the_tile_that_memory_allowed_is_written_and_kept(tmp_path, run):
    sources = [write(tmp_path / f"{name}.tif", acquisition(140, 140)) for name in "ab"]
    model = fake(Identity, largest=70)
    paths = run(*sources, model=model, tile=140)
    for path in paths:
        with tifffile.TiffFile(path) as tiff:
            assert json.loads(tiff.imagej_metadata["Info"])["tile"] == [70, 70]
    assert [shape[1] for shape in model.shapes].count(140) == 1
    (warning,) = run.warned
    assert warning.startswith(
        f"{sources[0]}: memory ran out with tiles of 140 raw pixels; starting again with tiles of 70"
    )


def test_the_other_frame_order(tmp_path, run):
    other = STACK.reshape(1, 3, 3, 40, 48).swapaxes(1, 2).reshape(STACK.shape)
    model = untrained()
    (right,) = run(write(tmp_path / "right.tif"), model=model)
    (other,) = run(write(tmp_path / "other.tif", other), model=model, frame_order="phase-orientation")
    np.testing.assert_array_equal(tifffile.imread(right), tifffile.imread(other))
    assert run.warned == []


def test_doubtful_pixels_are_warned_of(tmp_path, run):
    stack = np.minimum(STACK * 100, 4095).astype(np.uint16)
    run(write(tmp_path / "cell.tif", stack))
    (warning,) = run.warned
    assert "saturated (value 4095)" in warning


@pytest.mark.parametrize(
    ("in_file", "given", "written", "warning"),
    [
        (60.0, None, 30.0, None),
        (61.0, None, 30.5, None),
        (62.9, None, 31.45, None),
        (66.0, None, 33.0, "has pixels of 66 nm, but the model was trained at 60 nm (+10 %)"),
        (30.0, None, 15.0, "has pixels of 30 nm, but the model was trained at 60 nm (-50 %)"),
        (30.0, 60.0, 30.0, None),
        (None, None, None, "does not say its pixel size, so the SR image has none; give that of the raw frames"),
        (None, 60.0, 30.0, None),
    ],
)
def test_pixel_sizes(tmp_path, run, in_file, given, written, warning):
    (path,) = run(write(tmp_path / "cell.tif", pixel_size_nm=in_file), pixel_size_nm=given)
    assert read_raw_stack(path, orientations=1, phases=1).pixel_size_nm == (
        written and pytest.approx(written, rel=1e-5)
    )
    if warning is None:
        assert run.warned == []
    else:
        (line,) = run.warned
        assert warning in line
        assert "--pixel-size-nm" in line
    assert run.said[0].endswith("pixel size unknown" if written is None else f"{written:g} nm per pixel")


def test_previews(tmp_path, run):
    sources = [write(tmp_path / name) for name in ("a.tif", "b.ome.tif", "c.tiff")]
    sources += [write(tmp_path / "d.ome.tif").rename(tmp_path / "d.OME.TIF")]
    run(*sources, preview=True)
    assert listed(tmp_path / "out") == sorted(
        [f"{name}_sr.png" for name in "abcd"] + ["a_sr.tif", "b_sr.ome.tif", "c_sr.tif", "d_sr.ome.tif"]
    )
    assert imread(tmp_path / "out" / "a_sr.png").shape[1] > 800


def test_an_image_beyond_imagej_becomes_ome(tmp_path, run, monkeypatch):
    assert jobs._LARGEST_IMAGEJ_BYTES <= data_writers._CLASSIC_TIFF_BYTES
    monkeypatch.setattr(jobs, "_LARGEST_IMAGEJ_BYTES", 4 * 80 * 96 - 1)
    (path,) = run(write(tmp_path / "cell.tif"))
    assert path.name == "cell_sr.ome.tif"
    assert read_raw_stack(path, orientations=1, phases=1).pixel_size_nm == pytest.approx(30)
    monkeypatch.setattr(jobs, "_LARGEST_IMAGEJ_BYTES", 4 * 80 * 96)
    (path,) = run(tmp_path / "cell.tif")
    assert path.name == "cell_sr.tif"


def refused(tmp_path, run, *inputs, message, **options):
    """The inputs are refused in one line, with nothing computed and nothing written."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message) as error:
        run(*inputs, **options)
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert run.model.shapes == []
    assert run.said == []


def damaged(folder, kind):
    path = write(folder / f"bad.{'mrc' if 'mrc' in kind else 'tif'}")
    match kind:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("a table, renamed\n")
        case "truncated tif" | "truncated mrc":
            path.write_bytes(path.read_bytes()[:-2000])
        case "8 frames":
            write(path, STACK[:, :8])
        case "small":
            write(path, STACK[:, :, :15])
        case "colour":
            tifffile.imwrite(path, np.zeros((40, 48, 3), np.uint8), photometric="rgb")
        case "folder":
            path.unlink()
            path.mkdir()
        case "nan" | "infinite" | "constant":
            stack = STACK.astype(np.float32)
            stack[0, 4, 5, 6] = np.inf if kind == "infinite" else np.nan
            if kind == "constant":
                stack[0, 4] = 7
            write(path, stack)
    return path


DAMAGE = {
    "missing": "bad.tif does not exist",
    "empty": r"bad.tif is empty \(0 bytes\)",
    "text": "bad.tif is not a TIFF file",
    "truncated tif": "bad.tif is truncated",
    "truncated mrc": "bad.mrc is truncated",
    "8 frames": "bad.tif holds 8 images",
    "small": "15 x 48 pixels",
    "colour": "bad.tif is a colour image",
    "folder": "bad.tif is a folder",
}
DAMAGED_PIXELS = {
    "nan": "1 NaN or infinite pixels",
    "infinite": "1 NaN or infinite pixels",
    "constant": "1 frames of one value everywhere",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_wrong_file_among_good_ones_stops_before_anything_is_computed(tmp_path, run, kind):
    refused(tmp_path, run, write(tmp_path / "good.tif"), damaged(tmp_path, kind), message=DAMAGE[kind])


@pytest.mark.parametrize("kind", DAMAGED_PIXELS)
def test_wrong_pixels(tmp_path, run, kind):
    refused(tmp_path, run, damaged(tmp_path, kind), message=DAMAGED_PIXELS[kind])


def test_wrong_pixels_in_a_later_file_leave_the_earlier_images(tmp_path, run):
    good, bad, never = write(tmp_path / "good.tif"), damaged(tmp_path, "nan"), write(tmp_path / "never.tif")
    with pytest.raises(InputError, match=r"has 1 NaN.* \(images written before it, which stay: .*good_sr.tif\)"):
        run(good, bad, never)
    assert listed(tmp_path / "out") == ["good_sr.tif"]
    assert len(run.said) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 8}, "the tile is 8"),
        ({"overlap": 150}, "the overlap is 150"),
        ({"pixel_size_nm": -1.0}, "pixel_size_nm is -1.0"),
        ({"pixel_size_nm": float("nan")}, "pixel_size_nm is nan"),
        ({"frame_order": "zigzag"}, "frame_order is 'zigzag'; legal: orientation-phase, phase-orientation"),
    ],
)
def test_wrong_options(tmp_path, run, options, message):
    refused(tmp_path, run, write(tmp_path / "cell.tif"), message=message, **options)


@pytest.mark.parametrize("name", ["cell_sr.tif", "cell_sr.png"])
def test_an_existing_output_is_kept(tmp_path, run, name):
    source, existing = write(tmp_path / "cell.tif"), tmp_path / "out" / name
    existing.parent.mkdir()
    existing.write_bytes(b"mine")
    inputs = write(tmp_path / "first.tif"), source
    refused(tmp_path, run, *inputs, message=f"{name} exists already; .* --overwrite", preview=True)
    assert existing.read_bytes() == b"mine"
    run(*inputs, preview=True, overwrite=True)
    assert len(listed(tmp_path / "out")) == 4
    assert existing.read_bytes() != b"mine"


def test_two_inputs_with_one_output_name(tmp_path, run):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    a, b = write(tmp_path / "a" / "cell.tif"), write(tmp_path / "b" / "cell.tif")
    refused(tmp_path, run, a, b, message=f"{a} and {b} would both become .*cell_sr.tif")
    refused(tmp_path, run, a, a, message="would both become", overwrite=True)
    ome = write(tmp_path / "a" / "cell.ome.tif")
    refused(tmp_path, run, a, ome, message=r"would both become .*cell_sr\.png", preview=True)
    assert len(run(a, ome)) == 2


def test_an_output_is_never_an_input(tmp_path, run):
    inputs = write(tmp_path / "cell.tif"), write(tmp_path / "cell_sr.tif")
    message = "cell_sr.tif is one of the inputs and would be replaced"
    refused(tmp_path, run, *inputs, message=message, out=tmp_path, overwrite=True)


def test_output_folders_that_cannot_be_made(tmp_path, run):
    source = write(tmp_path / "cell.tif")
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        refused(tmp_path, run, source, message="file is a file, so the output folder", out=out)
    (tmp_path / "out" / "cell_sr.tif").mkdir(parents=True)
    refused(tmp_path, run, source, message=r"cell_sr\.tif is a folder", overwrite=True)


def test_output_folders_that_cannot_be_written(tmp_path, run, monkeypatch):
    """Told by the nearest folder that exists; tests may run as root, whom no permission stops."""
    source, asked = write(tmp_path / "cell.tif"), []
    monkeypatch.setattr(os, "access", lambda path, mode: asked.append((path, mode)))
    message = rf"the output folder .*out.new cannot be written \({tmp_path} is not writable\)"
    refused(tmp_path, run, source, message=message, out=tmp_path / "out" / "new")
    assert asked == [(tmp_path, os.W_OK | os.X_OK)]


@pytest.mark.parametrize("preview", [False, True])
def test_an_interrupted_write_leaves_nothing(tmp_path, run, monkeypatch, preview):
    source = write(tmp_path / "cell.tif")

    def interrupted(path, *args, **options):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    if preview:
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda self, path, **options: interrupted(path))
    else:
        monkeypatch.setattr("tifffile.imwrite", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(source, preview=True)
    assert listed(tmp_path / "out") == (["cell_sr.tif"] if preview else [])


def test_a_file_too_large_for_the_memory(tmp_path, run, monkeypatch):
    def read(*args, **options):
        raise MemoryError

    monkeypatch.setattr(files, "read_raw_stack", read)
    refused(tmp_path, run, write(tmp_path / "cell.tif"), message=r"cell\.tif does not fit into memory")


def test_progress_runs_from_zero_to_one(tmp_path, run):
    calls = []
    inputs = write(tmp_path / "a.tif", acquisition(32, 32)), write(tmp_path / "b.tif", acquisition(32, 64, times=2))
    run(*inputs, tile=32, overlap=0, progress=lambda name, fraction: calls.append((name, fraction)))
    # Weighed by pixels: a has one fifth of them. Mirrored at the border, a has 2 x 2 tiles and b twice 2 x 3.
    assert [name for name, _ in calls] == ["a.tif"] * 4 + ["b.tif"] * 12
    expected = [i / 20 for i in range(1, 5)] + [0.2 + 0.8 * i / 12 for i in range(1, 13)]
    np.testing.assert_allclose([fraction for _, fraction in calls], expected)


def test_warnings_go_to_stderr_and_results_to_stdout(tmp_path, capsys):
    model, source = fake(Identity), write(tmp_path / "cell.tif", pixel_size_nm=None)
    reconstruct_files([source], NetworkMethod(model), tmp_path, microscope=microscope_of(model))
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'cell_sr.tif'}: 80 x 96 pixels, pixel size unknown\n"
    assert printed.err.startswith(f"warning: {tmp_path / 'cell.tif'} does not say its pixel size")
    assert printed.err.count("\n") == 1


def test_no_progress_bar_without_a_terminal(capsys):
    with progress_bar() as progress:
        progress("cell.tif", 0.5)
        print("line")
    assert capsys.readouterr() == ("line\n", "")


def test_a_progress_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_bar() as progress:
        progress("cell.tif", 0.5)
        print("line")
    printed = capsys.readouterr()
    assert printed.out == "line\n"  # stdout is a pipe here: its lines must not end up on the terminal
    assert "cell.tif" in printed.err
    assert "50%" in printed.err

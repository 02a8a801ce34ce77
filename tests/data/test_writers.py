"""What is written opens elsewhere with the right pixel size, and is never half a file or another file's end."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile

from oidn_jax.data import InputError, output_name, read_raw_stack, write_sr_tiff, writers

IMAGES = np.random.default_rng(0).normal(size=(2, 20, 24)).astype(np.float32)
PROVENANCE = {"version": "0.1", "tile": [128, 128], "note": '<µm> & "quotes"\nand a second line', "weights": None}


def write(path, image=IMAGES, **options):
    return write_sr_tiff(path, image, **{"pixel_size_nm": 31.3, "provenance": PROVENANCE} | options)


@pytest.mark.parametrize("name", ["cell_sr.tif", "cell_sr.TIFF", "cell_sr.ome.tif", "cell_sr.OME.TIFF"])
@pytest.mark.parametrize("image", [IMAGES, IMAGES[:1], IMAGES[0]], ids=["two times", "one time", "no time"])
def test_round_trip(tmp_path, name, image):
    path = write(tmp_path / "new" / "folder" / name, image, time_interval_s=2.5)
    assert path == tmp_path / "new" / "folder" / name
    assert [file.name for file in path.parent.iterdir()] == [name]
    stack = read_raw_stack(path, orientations=1, phases=1)
    assert stack.frames.dtype == np.float32
    assert stack.pixel_size_nm == pytest.approx(31.3, rel=1e-6)
    assert stack.time_interval_s == 2.5
    np.testing.assert_array_equal(stack.frames[:, 0], image.reshape(-1, 20, 24))


def test_what_imagej_reads(tmp_path):
    with tifffile.TiffFile(write(tmp_path / "cell_sr.tif", time_interval_s=2.5)) as tiff:
        metadata, tags = tiff.imagej_metadata, tiff.pages.first.tags
        assert tiff.is_imagej
        assert tiff.series[0].axes == "TYX"
        assert tiff.series[0].dtype == np.float32
        assert not tiff.is_bigtiff
        for name in ("XResolution", "YResolution"):
            pixels, units = tags.valueof(name)
            assert pixels / units == pytest.approx(1 / 0.0313, rel=1e-6)
    assert (metadata["unit"], metadata["finterval"], metadata["frames"]) == ("um", 2.5, 2)
    assert (metadata["min"], metadata["max"]) == pytest.approx((IMAGES.min(), IMAGES.max()))
    assert json.loads(metadata["Info"]) == PROVENANCE


def test_what_ome_readers_read(tmp_path):
    with tifffile.TiffFile(write(tmp_path / "cell_sr.ome.tif", time_interval_s=2.5)) as tiff:
        root = ElementTree.fromstring(tiff.ome_metadata)
        assert not tiff.is_bigtiff
    pixels = root.find(".//{*}Pixels").attrib
    assert (pixels["SizeT"], pixels["SizeC"], pixels["SizeZ"], pixels["Type"]) == ("2", "1", "1", "float")
    for axis in "XY":
        assert float(pixels[f"PhysicalSize{axis}"]) == pytest.approx(0.0313)
        assert pixels[f"PhysicalSize{axis}Unit"] == "µm"
    assert (pixels["TimeIncrement"], pixels["TimeIncrementUnit"]) == ("2.5", "s")
    assert json.loads(root.find(".//{*}Description").text) == PROVENANCE


@pytest.mark.parametrize("name", ["cell_sr.tif", "cell_sr.ome.tif"])
def test_an_unknown_pixel_size_is_not_written(tmp_path, name):
    path = write(tmp_path / name, pixel_size_nm=None)
    stack = read_raw_stack(path, orientations=1, phases=1)
    assert stack.pixel_size_nm is None
    assert stack.time_interval_s is None
    with tifffile.TiffFile(path) as tiff:
        assert "PhysicalSize" not in (tiff.ome_metadata or "")
        assert "unit" not in (tiff.imagej_metadata or {})


@pytest.mark.parametrize("dtype", ["f8", "f2", "u2", ">f4"])
@pytest.mark.parametrize("name", ["cell_sr.tif", "cell_sr.ome.tif"])
def test_every_dtype_becomes_float32(tmp_path, name, dtype):
    image = np.arange(480).reshape(20, 24).astype(dtype)
    written = tifffile.imread(write(tmp_path / name, image))
    assert written.dtype == np.float32
    np.testing.assert_array_equal(written.squeeze(), image)


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path):
    path = tmp_path / "cell_sr.tif"
    path.write_bytes(b"precious")
    with pytest.raises(InputError, match="exists already; choose another name or pass --overwrite") as error:
        write(path)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == b"precious"
    write(path, overwrite=True)
    assert tifffile.imread(path).shape == IMAGES.shape


@pytest.mark.parametrize(
    ("failure", "raised", "words"),
    [
        (OSError(28, "No space left on device"), InputError, r"cannot be written \(No space left on device\)"),
        (KeyboardInterrupt("stopped"), KeyboardInterrupt, "stopped"),
    ],
)
def test_a_failed_write_leaves_nothing_and_the_old_file(tmp_path, monkeypatch, failure, raised, words):
    path = tmp_path / "cell_sr.tif"
    path.write_bytes(b"precious")

    def fail(file, *args, **options):
        Path(file).write_bytes(b"half")
        assert path.read_bytes() == b"precious"
        raise failure

    monkeypatch.setattr(tifffile, "imwrite", fail)
    with pytest.raises(raised, match=words):
        write(path, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["cell_sr.tif"]
    assert path.read_bytes() == b"precious"


def test_places_that_cannot_be_written(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for path, words in (
        (file / "cell_sr.tif", "folder .* cannot be made"),
        (file / "deeper" / "cell_sr.tif", "folder .* cannot be made"),
        (tmp_path / "cell_sr.png", "must end in .tif, .tiff, .ome.tif or .ome.tiff"),
    ):
        with pytest.raises(InputError, match=words) as error:
            write(path)
        assert "\n" not in str(error.value)
    (tmp_path / "folder.tif").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        write(tmp_path / "folder.tif", overwrite=True)


def test_the_imagej_format_ends_at_four_gigabytes(tmp_path):
    # One number, seen 2**30 + 2**20 times: takes no memory.
    image = np.broadcast_to(np.float32(0), (1025, 1024, 1024))
    with pytest.raises(InputError, match=r"4\.0 GB, more than the 4 GB of the ImageJ format; .* ends in \.ome\.tif"):
        write(tmp_path / "cell_sr.tif", image)
    assert list(tmp_path.iterdir()) == []


def test_a_large_ome_tiff_is_a_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "_CLASSIC_TIFF_BYTES", IMAGES.nbytes - 1)
    path = write(tmp_path / "cell_sr.ome.tif")
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff
    np.testing.assert_array_equal(tifffile.imread(path), IMAGES)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_pixels_must_be_finite_as_float32(tmp_path, value):
    image = IMAGES.astype(np.float64)
    image[1, 2, 3] = value
    with pytest.raises(ValueError, match="1 NaN or infinite pixels"):
        write(tmp_path / "cell_sr.tif", image)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("image", [IMAGES[None], IMAGES[:0], IMAGES.astype(complex)], ids=["4d", "empty", "complex"])
def test_images_of_another_kind(tmp_path, image):
    with pytest.raises(ValueError, match="it must be real"):
        write(tmp_path / "cell_sr.tif", image)


@pytest.mark.parametrize("name", ["pixel_size_nm", "time_interval_s"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_sizes_and_intervals_must_be_positive(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; give a positive number or None"):
        write(tmp_path / "cell_sr.tif", **{name: value})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("cell.mrc", "cell_sr.tif"),
        ("cell.tiff", "cell_sr.tif"),
        ("a/b/cell.1.dv", "cell.1_sr.tif"),
        ("cell.ome.tif", "cell_sr.ome.tif"),
        ("cell.OME.TIFF", "cell_sr.ome.tiff"),
        ("cell", "cell_sr.tif"),
    ],
)
def test_output_name(source, expected):
    assert output_name(Path(source)) == expected

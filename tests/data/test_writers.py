"""What is written opens elsewhere with the right pixel size, and is never half a file or another file's end."""

import json
import resource
import tracemalloc
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile

from oidn_jax.data import InputError, open_images, open_map_tiff, open_sr_tiff, output_name, write_sr_tiff, writers
from oidn_jax.errors import IllegalValue

IMAGES = np.random.default_rng(0).normal(size=(2, 20, 24)).astype(np.float32)
MAPS = np.random.default_rng(1).normal(size=(2, 3, 20, 24)).astype(np.float32)
PROVENANCE = {"version": "0.1", "tile": [128, 128], "note": '<µm> & "quotes"\nand a second line', "weights": None}


def write(path, image=IMAGES, **options):
    return write_sr_tiff(path, image, **{"pixel_size_nm": 31.3, "provenance": PROVENANCE} | options)


def write_maps(path, maps=MAPS, **options):
    given = {
        "names": ["a", "b", "c"],
        "ranges": [(0.0, 3.0), (-10.0, 10.0), (-5.0, 5.0)],
        "pixel_size_nm": 31.3,
        "time_interval_s": 2.5,
        "provenance": PROVENANCE,
    }
    with open_map_tiff(path, shape=maps.shape, **given | options) as writer:
        for image in maps:
            writer.write(image)
    return path


def content(path):
    """All that a reader may ask of a file, but for places in it and the identity of an OME file."""
    with tifffile.TiffFile(path) as tiff:
        pages = [
            {
                tag.name: str(tag.value).partition(' UUID="')[0] + str(tag.value).partition('" Creator=')[2]
                for tag in page.tags
                if "Offset" not in tag.name
            }
            for page in tiff.pages
        ]
        whole = (tiff.byteorder, tiff.is_bigtiff, tiff.series[0].axes, tiff.series[0].shape, tiff.imagej_metadata)
        return pages, whole, tiff.asarray().tobytes()


@pytest.mark.parametrize("images", [IMAGES, IMAGES[:1]], ids=["two times", "one time"])
@pytest.mark.parametrize(("pixel_size_nm", "time_interval_s"), [(31.3, 2.5), (None, None)])
def test_an_image_is_written_as_tifffile_writes_the_whole(tmp_path, images, pixel_size_nm, time_interval_s):
    ours, whole = tmp_path / "ours", tmp_path / "whole"
    known = pixel_size_nm is not None
    for name in ("cell.tif", "cell.ome.tif"):
        write(ours / name, images, pixel_size_nm=pixel_size_nm, time_interval_s=time_interval_s)
    whole.mkdir()
    shown = {"min": float(images.min()), "max": float(images.max())}
    tifffile.imwrite(
        whole / "cell.tif",
        images[:, None, None],
        photometric="minisblack",
        imagej=True,
        resolution=(1000 / 31.3, 1000 / 31.3) if known else None,
        metadata={"axes": "TZCYX", "Info": json.dumps(PROVENANCE), **shown}
        | ({"unit": "um", "finterval": 2.5} if known else {}),
    )
    sizes = {"PhysicalSizeX": 0.0313, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.0313, "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(
        whole / "cell.ome.tif",
        images,
        photometric="minisblack",
        ome=True,
        metadata={"axes": "TYX", "Description": json.dumps(PROVENANCE)}
        | (sizes | {"TimeIncrement": 2.5, "TimeIncrementUnit": "s"} if known else {}),
    )
    for name in ("cell.tif", "cell.ome.tif"):
        assert content(ours / name) == content(whole / name)


@pytest.mark.parametrize("maps", [MAPS, MAPS[:1]], ids=["two times", "one time"])
def test_maps_are_written_as_tifffile_writes_the_whole(tmp_path, maps):
    tifffile.imwrite(
        tmp_path / "whole.tif",
        maps[:, None],
        photometric="minisblack",
        imagej=True,
        resolution=(1000 / 31.3, 1000 / 31.3),
        metadata={
            "axes": "TZCYX",
            "Info": json.dumps(PROVENANCE),
            "min": float(maps.min()),
            "max": float(maps.max()),
            "unit": "um",
            "finterval": 2.5,
            "mode": "grayscale",
            "Labels": ["a", "b", "c"] * len(maps),
            "Ranges": (0.0, 3.0, -10.0, 10.0, -5.0, 5.0),
        },
    )
    assert content(write_maps(tmp_path / "maps.tif", maps)) == content(tmp_path / "whole.tif")


@pytest.mark.parametrize("name", ["cell_sr.tif", "cell_sr.TIFF", "cell_sr.ome.tif", "cell_sr.OME.TIFF"])
def test_round_trip(tmp_path, name):
    path = write(tmp_path / "new" / "folder" / name, time_interval_s=2.5)
    assert path == tmp_path / "new" / "folder" / name
    assert [file.name for file in path.parent.iterdir()] == [name]
    stack = open_images(path)
    assert stack.dtype == np.float32
    assert stack.pixel_size_nm == pytest.approx(31.3, rel=1e-6)
    assert stack.time_interval_s == 2.5
    np.testing.assert_array_equal([stack.read(time)[0] for time in range(2)], IMAGES)


def test_an_image_without_time_and_a_view(tmp_path):
    for name, image in (("a.tif", IMAGES[0]), ("b.tif", IMAGES[0].T), ("c.tif", IMAGES[0][::-1, ::2])):
        np.testing.assert_array_equal(tifffile.imread(write(tmp_path / name, image)), image)


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
    assert (metadata["min"], metadata["max"]) == (IMAGES.min(), IMAGES.max())
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
    stack = open_images(path)
    assert stack.pixel_size_nm is None
    assert stack.time_interval_s is None
    with tifffile.TiffFile(path) as tiff:
        assert "PhysicalSize" not in (tiff.ome_metadata or "")
        assert "unit" not in (tiff.imagej_metadata or {})


def test_every_dtype_becomes_float32(tmp_path):
    for dtype in ("f8", "f2", "u2", ">f4"):
        image = np.arange(480).reshape(20, 24).astype(dtype)
        written = tifffile.imread(write(tmp_path / "cell_sr.tif", image, overwrite=True))
        assert written.dtype == np.float32
        np.testing.assert_array_equal(written, image)


def test_pixels_without_a_value_in_maps(tmp_path):
    maps = MAPS.copy()
    maps[0, 0, 3] = np.nan
    with pytest.raises(ValueError, match="24 NaN or infinite pixels"):
        write_maps(tmp_path / "maps.tif", maps)
    with tifffile.TiffFile(write_maps(tmp_path / "maps.tif", maps, allow_nan=True)) as tiff:
        np.testing.assert_array_equal(tiff.asarray(), maps)
        assert tiff.imagej_metadata["min"] == np.nanmin(maps)
    maps[1, 0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="1 NaN or infinite pixels"):
        write_maps(tmp_path / "more.tif", maps, allow_nan=True)


def test_names_and_ranges_are_as_many_as_the_maps(tmp_path):
    with pytest.raises(ValueError, match="3 maps, 2 names, 3 ranges"):
        write_maps(tmp_path / "maps.tif", names=["a", "b"])


# ---- one time point at a time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cell_sr.tif", "cell_sr.ome.tif"])
def test_memory_does_not_grow_with_the_number_of_time_points(tmp_path, name):
    image = np.random.default_rng(0).random((256, 256), np.float32)
    tracemalloc.start()
    with open_sr_tiff(tmp_path / name, shape=(60, 256, 256), pixel_size_nm=31.3, provenance=PROVENANCE) as writer:
        for time in range(60):
            writer.write(image + time)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * image.nbytes
    np.testing.assert_array_equal(open_images(tmp_path / name).read(57)[0], image + 57)


@pytest.mark.parametrize("name", ["cell_sr.tif", "cell_sr.ome.tif"])
def test_a_block_that_is_interrupted_leaves_nothing_and_the_old_file(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"precious")

    def stop():
        with open_sr_tiff(path, shape=(2, 20, 24), pixel_size_nm=None, provenance={}, overwrite=True) as writer:
            writer.write(IMAGES[0])
            assert path.read_bytes() == b"precious"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"precious"]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (IMAGES[:1], "have 2 time points; 1 came"),
        (IMAGES[[0, 1, 1]], "have 2 time points; no more can be written"),
        (IMAGES[:, 1:], r"must be real and \(20, 24\)"),
        (IMAGES.astype(complex), "must be real"),
    ],
)
def test_images_that_were_not_announced(tmp_path, images, words):
    def write_all():
        with open_sr_tiff(tmp_path / "a.tif", shape=(2, 20, 24), pixel_size_nm=None, provenance={}) as writer:
            for image in images:
                writer.write(image)

    with pytest.raises(ValueError, match=words):
        write_all()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, 1e300])
def test_pixels_must_be_finite_as_float32(tmp_path, value):
    image = IMAGES.astype(np.float64)
    image[1, 2, 3] = value
    with pytest.raises(ValueError, match="1 NaN or infinite pixels"):
        write(tmp_path / "cell_sr.tif", image)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(tmp_path):
    """The file may not grow beyond what it has room for now; buffers hide that until the end."""

    def write_all():
        with open_sr_tiff(tmp_path / "cell.tif", shape=(2, 20, 24), pixel_size_nm=None, provenance={}) as writer:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
            for image in IMAGES:
                writer.write(image)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(InputError, match=r"cell\.tif cannot be written \(File too large\).* 3840 bytes of room"):
            write_all()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


# ---- refused before the work ----------------------------------------------------------------------------------------


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path):
    path = tmp_path / "cell_sr.tif"
    path.write_bytes(b"precious")
    with pytest.raises(InputError, match="exists already"):
        write(path)
    assert path.read_bytes() == b"precious"
    write(path, overwrite=True)
    assert tifffile.imread(path).shape == IMAGES.shape


def test_another_suffix(tmp_path):
    with pytest.raises(InputError, match=r"must end in \.tif, \.tiff, \.ome\.tif or \.ome\.tiff"):
        write(tmp_path / "cell_sr.png")


def test_the_imagej_format_ends_at_four_gigabytes(tmp_path):
    shape = (1025, 1024, 1024)
    assert not writers.fits_imagej(shape)
    block = open_sr_tiff(tmp_path / "cell_sr.tif", shape=shape, pixel_size_nm=None, provenance={})
    with (
        pytest.raises(InputError, match=r"4\.0 GB, more than the 4 GB of the ImageJ format; .* ends in \.ome\.tif"),
        block,
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_large_ome_tiff_is_a_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "_CLASSIC_TIFF_BYTES", IMAGES.nbytes - 1)
    path = write(tmp_path / "cell_sr.ome.tif")
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff
    np.testing.assert_array_equal(tifffile.imread(path), IMAGES)


def test_an_empty_image(tmp_path):
    with pytest.raises(ValueError, match="there must be pixels"):
        write(tmp_path / "cell_sr.tif", IMAGES[:0])


@pytest.mark.parametrize("setting", ["pixel_size_nm", "time_interval_s"])
def test_sizes_and_intervals_must_be_positive(tmp_path, setting):
    for value in (0.0, float("nan")):
        with pytest.raises(IllegalValue) as error:
            write(tmp_path / "cell_sr.tif", **{setting: value})
        assert error.value.field == setting


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

"""Priism files that we write: read back by us and by the `mrc` package, and compared byte for byte with real ones."""

import os
import struct
from pathlib import Path

import mrc
import numpy as np
import pytest

from oidn_jax.data import InputError, open_raw_stack, write_priism
from oidn_jax.errors import IllegalValue

FRAMES = np.random.default_rng(0).integers(0, 30000, (9, 20, 24)).astype(np.uint16)
DATA = os.environ.get("OIDN_TEST_DATA")


def write(path, sections=FRAMES, **options):
    return write_priism(path, sections, **{"pixel_size_nm": 62.6} | options)


@pytest.mark.parametrize(
    ("name", "dtype"), [("cell.mrc", "<u2"), ("cell.DV", ">u2"), ("cell.mrc", "<i2"), ("cell.mrc", ">f4")]
)
def test_round_trip(tmp_path, name, dtype):
    frames = (FRAMES.astype(float) - 1000.5).astype(dtype) if "u" not in dtype else FRAMES.astype(dtype)
    path = write(tmp_path / "new" / "folder" / name, frames)
    assert path == tmp_path / "new" / "folder" / name
    assert [file.name for file in path.parent.iterdir()] == [name]
    stack = open_raw_stack(path)
    assert stack.shape == (1, 9, 20, 24)
    assert stack.read(0).dtype == np.dtype(dtype).newbyteorder("=")
    assert stack.pixel_size_nm == pytest.approx(62.6, rel=1e-6)
    np.testing.assert_array_equal(stack.read(0), frames)
    np.testing.assert_array_equal(mrc.imread(path), frames)


def test_a_view_is_written_in_its_own_order(tmp_path):
    view = FRAMES.transpose(0, 2, 1)[::-1, :, ::-1]
    np.testing.assert_array_equal(mrc.imread(write(tmp_path / "cell.mrc", view)), view)


def test_what_the_mrc_library_reads(tmp_path):
    with mrc.DVFile(write(tmp_path / "cell.mrc", wavelength_nm=525, title="a title")) as file:
        header = file.hdr
    assert (header.width, header.height, header.n_sections, header.nt, header.nc) == (24, 20, 9, 1, 1)
    assert (header.dx, header.dy, header.dz) == pytest.approx((0.0626, 0.0626, 0.16))
    assert (header.min, header.max, header.mean) == pytest.approx((FRAMES.min(), FRAMES.max(), FRAMES.mean()))
    assert (header.pixel_type, header.ext_hdr_len, header.dvid, header.img_seq) == (6, 0, -16224, 0)
    assert (header.wave1, header.wave2) == (525, 0)


def test_every_byte_of_the_header(tmp_path):
    expected = bytearray(1024)
    struct.pack_into("<4i", expected, 0, 24, 20, 9, 6)
    struct.pack_into("<3i", expected, 28, 1, 1, 1)
    struct.pack_into("<6f", expected, 40, 0.0626, 0.0626, 0.16, 90, 90, 90)
    struct.pack_into("<3i", expected, 64, 1, 2, 3)
    struct.pack_into("<3f", expected, 76, FRAMES.min(), FRAMES.max(), FRAMES.mean())
    struct.pack_into("<h", expected, 96, -16224)
    struct.pack_into("<h", expected, 180, 1)
    struct.pack_into("<2h", expected, 196, 1, 525)
    struct.pack_into("<i80s", expected, 220, 1, b"a title")
    content = write(tmp_path / "cell.mrc", wavelength_nm=525, title="a title").read_bytes()
    assert content[:1024] == expected
    assert content[1024:] == FRAMES.tobytes()


def test_nothing_is_claimed_about_the_wavelength_or_the_title(tmp_path):
    content = write(tmp_path / "cell.mrc").read_bytes()
    assert content[198:208] == bytes(10)
    assert content[220:1024] == bytes(804)


@pytest.mark.skipif(DATA is None, reason="OIDN_TEST_DATA names no folder of real acquisitions")
def test_a_real_acquisition_written_again(tmp_path):
    real = (Path(DATA) / "rdlsim_microtubules_488nm.mrc").read_bytes()
    frames = open_raw_stack(Path(DATA) / "rdlsim_microtubules_488nm.mrc").read(0)
    title = real[224:304].rstrip(b"\0").decode()
    ours = write(tmp_path / "cell.mrc", frames, wavelength_nm=525, title=title).read_bytes()
    # In between: minimum, maximum and mean (unset in the real file), fields of an extended header that is not there,
    # ranges of waves that are not there, and the title nine times more.
    for start, stop in ((0, 76), (88, 128), (180, 220), (224, 304), (1024, len(real))):
        assert ours[start:stop] == real[start:stop]
    assert len(ours) == len(real)


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path):
    path = tmp_path / "cell.mrc"
    path.write_bytes(b"precious")
    with pytest.raises(InputError, match="exists already; choose another name"):
        write(path)
    assert path.read_bytes() == b"precious"
    write(path, overwrite=True)
    np.testing.assert_array_equal(open_raw_stack(path).read(0), FRAMES)


def test_a_failed_write_leaves_nothing_and_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "cell.mrc"
    path.write_bytes(b"precious")

    def fail(source, target):
        assert source.stat().st_size == 1024 + FRAMES.nbytes
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\).* 9664 bytes of room"):
        write(path, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["cell.mrc"]
    assert path.read_bytes() == b"precious"


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.mrc").mkdir()
    for path, words in (
        (tmp_path / "file" / "cell.mrc", "folder .* cannot be made"),
        (tmp_path / "folder.mrc", "is a folder"),
        (tmp_path / "cell.tif", "must end in .mrc or .dv"),
        (tmp_path / f"{'x' * 300}.mrc", r"cannot be written \(File name too long\)"),
    ):
        with pytest.raises(InputError, match=words) as error:
            write(path, overwrite=True)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("sections", [FRAMES.astype(float), FRAMES[:0]])
def test_sections_of_another_kind(tmp_path, sections):
    with pytest.raises(ValueError, match="they must be int16, float32, uint16"):
        write(tmp_path / "cell.mrc", sections)
    assert list(tmp_path.iterdir()) == []


def test_pixels_must_be_finite(tmp_path):
    sections = FRAMES.astype(np.float32)
    sections[1, 2, 3] = np.inf
    with pytest.raises(ValueError, match="1 NaN or infinite pixels"):
        write(tmp_path / "cell.mrc", sections)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("pixel_size_nm", 0.0),
        ("pixel_size_nm", float("inf")),
        ("wavelength_nm", -1),
        ("wavelength_nm", 32768),
        ("title", "x" * 81),
        ("title", "µm"),
    ],
)
def test_values_that_do_not_fit_their_field(tmp_path, setting, value):
    with pytest.raises(IllegalValue) as error:
        write(tmp_path / "cell.mrc", **{setting: value})
    assert (error.value.field, error.value.value) == (setting, value)
    assert list(tmp_path.iterdir()) == []

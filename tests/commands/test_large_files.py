"""Files that promise more than there is memory for: one line from every command, before the memory is gone."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from oidn_jax.data import image_stack, write_raw_tiff
from oidn_jax.models.weights import write_model
from tests.evaluation.tiny import model
from tests.methods.fakes import raw_counts


def huge_mrc(folder):
    """65,000 x 65,000 pixels, and all of them holes: the file is as long as its header says."""
    header = bytearray(1024)
    struct.pack_into("<4i", header, 0, 65000, 65000, 9, 6)
    header[208:212] = b"MAP "
    path = folder / "huge.mrc"
    path.write_bytes(header)
    os.truncate(path, 1024 + 9 * 2 * 65000**2)
    return path


def huge_tiff(folder):
    """8.5 MB of deflate that are 8 GB of pixels."""
    strip = zlib.compress(bytes(2**22), 9)
    path = folder / "huge.tif"
    options = {"photometric": "minisblack", "metadata": None, "compression": "zlib", "rowsperstrip": 16}
    tifffile.imwrite(path, (strip for _ in range(2**11)), shape=(2**15, 2**15), dtype=np.float64, **options)
    assert path.stat().st_size < 10**7
    return path


@pytest.fixture(params=[huge_mrc, huge_tiff])
def huge(request, tmp_path):
    return request.param(tmp_path)


@pytest.mark.parametrize("words", ["measure", "inspect --orientations=1 --phases=1"])
def test_pixels_beyond_the_memory(huge, command, words, monkeypatch):
    monkeypatch.setattr(image_stack, "memory_bytes", lambda: 4e9)
    name, *flags = words.split()
    code, _, err = command(name, huge, *flags)
    assert code == 2
    assert err.startswith(f"error: {huge} ")
    assert "GB of memory, and there are 3.73 GB" in err
    assert err.count("\n") == 1


def test_the_memory_of_this_machine_is_known():
    assert 2**28 < image_stack.memory_bytes() < 2**50


def test_a_container_has_less(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(image_stack, "_CONTAINER", limit)
    whole = image_stack.memory_bytes()
    limit.write_text("300000000\n")
    assert image_stack.memory_bytes() == 3e8
    limit.write_text("max\n")
    assert image_stack.memory_bytes() == whole


@pytest.fixture
def cell(tmp_path):
    path = tmp_path / "cell.tif"
    write_raw_tiff(path, raw_counts(32, 32)[0], pixel_size_nm=62.6)
    return path


def of_30_gigabytes(path):
    path.touch()
    os.truncate(path, 30 * 10**9)


@pytest.mark.parametrize("make", [os.mkfifo, of_30_gigabytes])
@pytest.mark.parametrize("flag", ["--illumination", "--otf"])
def test_an_illumination_or_otf_that_is_none(cell, tmp_path, refused, make, flag):
    given = tmp_path / "given"
    make(given)
    words = ("reconstruct", cell, "--method=wiener", f"--out={tmp_path / 'out'}", f"{flag}={given}")
    refused("is a pipe or a device|has 30000000000 bytes|is not an MRC file", *words)


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_weights_that_are_none(cell, tmp_path, refused, name):
    write_model(tmp_path / "model", model("unet"))
    os.truncate(tmp_path / "model" / name, 30 * 10**9)
    words = ("reconstruct", cell, f"--workdir={tmp_path / 'model'}", f"--out={tmp_path / 'out'}")
    refused(f"{name} has 30000000000 bytes", *words)
    assert not Path(tmp_path / "out").exists()

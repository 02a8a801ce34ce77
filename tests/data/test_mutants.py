"""Damaged files give the images that they promise or one line; damage elsewhere leaves the pixels as they are."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from oidn_jax.data import open_raw_stack
from tests.data.mutants import seeds

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Good files that can be read."""
    contents = seeds(tmp_path_factory.mktemp("seeds"))
    return {name: content for name, content in contents.items() if name != "float16.mrc"}


def pixels(path, content):
    path.write_bytes(content)
    stack = open_raw_stack(path)
    return np.stack([stack.read(time) for time in range(stack.shape[0])])


@pytest.mark.parametrize(("seed", "count"), [(0, 200), pytest.param(1, 3000, marks=pytest.mark.slow)])
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path, seed, count):
    """In a process of its own: what libraries written in C print, and how much memory they take, shows there only."""
    command = [sys.executable, "-m", "tests.data.mutants", str(tmp_path), str(seed), str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    *faults, last = done.stdout.splitlines()
    assert faults == []
    tally = json.loads(last)
    assert tally["read"] + tally["refused"] == count
    assert min(tally.values()) > count / 10


def test_what_follows_the_last_byte_changes_nothing(tmp_path, files):
    for name, content in files.items():
        expected = pixels(tmp_path / name, content)
        np.testing.assert_array_equal(pixels(tmp_path / name, content + b"\xff" * 300), expected, err_msg=name)


def test_a_byte_of_a_pixel_changes_that_pixel_alone(tmp_path, files):
    for name, content in files.items():
        path = tmp_path / name
        before = pixels(path, content)
        if name.endswith((".mrc", ".dv")):
            at = len(content) - 501
        else:
            with tifffile.TiffFile(path) as tiff:
                page = tiff.pages[-1]
                if page.compression != 1:
                    continue
                at = page.dataoffsets[0] + 5
        damaged = bytearray(content)
        damaged[at] ^= 0x10
        assert np.count_nonzero(pixels(path, damaged) != before) == 1, name

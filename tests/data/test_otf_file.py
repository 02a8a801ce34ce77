"""Radial OTFs in Priism files, packed by hand to the byte, and a measured one."""

import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from oidn_jax.data import InputError, read_radial_otf

OTF = np.linspace(1, 0, 33) ** 2
DATA = os.environ.get("OIDN_TEST_DATA")


def save(path, samples=OTF, *, order="<", mode=4, spacing=0.25, samples_per_length=1, wavelength=525, stamp=-16224):
    samples = samples[(None,) * (3 - samples.ndim)]
    header = bytearray(1024)
    struct.pack_into(f"{order}4i", header, 0, *samples.shape[::-1], mode)
    struct.pack_into(f"{order}3i3f", header, 28, *[samples_per_length] * 3, spacing, spacing, spacing)
    struct.pack_into(f"{order}h", header, 96, stamp)
    struct.pack_into(f"{order}2h", header, 196, 1, wavelength)
    path.write_bytes(bytes(header) + samples.astype(f"{order}{'c8' if mode == 4 else 'f4'}").tobytes())
    return path


def refusal(path):
    with pytest.raises(InputError) as error:
        read_radial_otf(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("order", "mode", "factor"), [("<", 2, 1), ("<", 4, 3000.0), (">", 2, -0.5), (">", 4, 1)])
def test_both_modes_and_orders(tmp_path, order, mode, factor):
    path = save(tmp_path / "otf.mrc", factor * OTF, order=order, mode=mode)
    otf = read_radial_otf(str(path))
    assert otf.frequency_per_um.dtype == otf.values.dtype == np.float64
    np.testing.assert_array_equal(otf.frequency_per_um, 0.25 * np.arange(33))
    assert otf.values[0] == 1
    np.testing.assert_allclose(otf.values, OTF, atol=1e-7)
    assert otf.wavelength_nm == 525
    assert otf.source == path


def test_the_spacing_is_length_over_samples(tmp_path):
    otf = read_radial_otf(save(tmp_path / "otf.otf", spacing=8.0, samples_per_length=32))
    np.testing.assert_array_equal(otf.frequency_per_um, 0.25 * np.arange(33))


def test_an_unknown_wavelength(tmp_path):
    assert read_radial_otf(save(tmp_path / "otf.otf", wavelength=0)).wavelength_nm is None


def test_a_little_imaginary_noise_is_dropped(tmp_path):
    otf = read_radial_otf(save(tmp_path / "otf.otf", OTF + 0.005j))
    np.testing.assert_allclose(otf.values, OTF, atol=1e-7)


@pytest.mark.skipif(DATA is None, reason="OIDN_TEST_DATA names no folder of real acquisitions")
def test_a_measured_otf():
    # What this file holds: 1 at zero, about 0.01 at sample 160 (5.0 cycles per micrometre), noise beyond.
    otf = read_radial_otf(Path(DATA) / "tirf488_otf2d.mrc")
    assert otf.wavelength_nm == 515
    assert otf.values.shape == (257,)
    assert otf.values[0] == 1
    assert otf.frequency_per_um[160] == pytest.approx(4.992, abs=1e-4)
    assert np.all(otf.values[:160] >= 0.01)
    assert np.all(np.abs(otf.values[160:]) < 0.011)


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "options", "words"),
    [
        (OTF, {"mode": 6}, r"has the mode 6; a radial OTF has 4 \(complex64\) or 2 \(float32\)"),
        (OTF, {"stamp": 0}, "is not a Priism file"),
        (np.stack([OTF, OTF]), {}, "holds 1 sections of 2 rows; a radial OTF is one row"),
        (OTF[:7], {}, "holds 7 samples; a radial OTF needs at least 8"),
        (OTF, {"spacing": 0.0}, "the spacing in .* is 0; it must be positive, in cycles per micrometre"),
        (OTF, {"spacing": float("nan")}, "the spacing in .* is nan"),
        (OTF, {"spacing": 1.0}, "the spacing in .* is not set"),
        (np.where(OTF == 1, 0, OTF), {}, "is 0 at zero frequency"),
        (np.where(OTF == 0, np.inf, OTF), {"mode": 2}, "1 NaN or infinite samples"),
        (OTF + 0.02j, {}, "an imaginary part of 0.02 of its largest sample, more than 0.01; .* centre the PSF"),
    ],
)
def test_files_of_another_kind(tmp_path, samples, options, words):
    message = refusal(save(tmp_path / "otf.mrc", samples, **options))
    assert re.search(words, message), message


def test_truncated_files(tmp_path):
    content = save(tmp_path / "otf.mrc").read_bytes()
    for kept, words in (
        (len(content) - 1, f"truncated: {len(content) - 1} bytes found, {len(content)} needed"),
        (1024, f"truncated: 1024 bytes found, {len(content)} needed"),
        (1023, "truncated or not an MRC file: 1023 bytes found, 1024 needed"),
        (0, "truncated or not an MRC file: 0 bytes found"),
    ):
        (tmp_path / "otf.mrc").write_bytes(content[:kept])
        assert words in refusal(tmp_path / "otf.mrc")


def test_paths_that_cannot_be_read(tmp_path):
    assert "cannot be read (No such file or directory); give a Priism file" in refusal(tmp_path / "none.mrc")
    assert "cannot be read (Is a directory)" in refusal(tmp_path)
    (tmp_path / "notes.mrc").write_bytes(b"hello " * 500)
    assert "is not an MRC file" in refusal(tmp_path / "notes.mrc")

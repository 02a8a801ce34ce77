"""The illumination file: what is read is what was written, and a wrong file is one clear line."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.acquisition.illumination_file import read_illumination, write_illumination
from oidn_jax.data import InputError
from oidn_jax.optics.illumination import Illumination
from tests.acquisition.known_frames import estimated

GIVEN = Illumination(
    jnp.array([[0.1, 0.3], [0.3, 0.05], [-0.2, 0.2]]),
    jnp.array([[0.1, 2.2, -2.0], [1.0, 3.0, -1.1], [0.0, 2.0, 4.0]]),
    jnp.array([0.7, 0.8, 0.9]),
    jnp.ones((3, 3)),
)
ESTIMATE = estimated(GIVEN)
LAYOUT = {"orientations": 3, "phases": 3, "pixel_size_nm": 60.0}


@pytest.fixture
def path(tmp_path):
    return write_illumination(
        tmp_path / "a.json", ESTIMATE, frame_size=(64, 80), pixel_size_nm=60.0, provenance={"source": "cell.tif"}
    )


def test_what_is_read_is_what_was_written(path):
    stored = read_illumination(path, **LAYOUT)
    np.testing.assert_allclose(stored.wave_vector, GIVEN.wave_vector, rtol=1e-6)
    np.testing.assert_allclose(stored.phase, GIVEN.phase, rtol=1e-5)
    np.testing.assert_allclose(stored.modulation_depth, GIVEN.modulation_depth, rtol=1e-6)
    assert stored.frame_size == (64, 80)


def test_phases_and_brightness_of_time_points(tmp_path):
    times = [GIVEN, GIVEN._replace(phase=GIVEN.phase + 0.5, brightness=jnp.full((3, 3), 0.5))]
    options = {"frame_size": (64, 80), "pixel_size_nm": 60.0, "provenance": {}}
    path = write_illumination(tmp_path / "a.json", ESTIMATE, times=times, **options)
    stored = read_illumination(path, **LAYOUT)
    for time, given in enumerate(times):
        np.testing.assert_allclose(stored.time_phase[time], given.phase, rtol=1e-5)
        np.testing.assert_allclose(stored.time_brightness[time], given.brightness, rtol=1e-6)
    content = json.loads(path.read_text())
    for name, value, message in (
        ("brightness", [[1.0] * 3] * 2, "brightness of time points of the shape|inhomogeneous"),
        ("brightness", [[1.0, 0.0, 1.0]] * 3, "brightness above 0"),
        ("phases_deg", [[0.0, 0.0, 0.0]] * 3, "the phases of an orientation must differ"),
        ("phases_deg", [[float("nan")] * 3] * 3, "finite"),
    ):
        changed = json.loads(json.dumps(content))
        changed["times"][1][name] = value
        (tmp_path / "b.json").write_text(json.dumps(changed))
        with pytest.raises(InputError, match=message):
            read_illumination(tmp_path / "b.json", **LAYOUT)


def test_an_existing_file_is_kept(path):
    def write(overwrite):
        other = {"frame_size": (8, 8), "pixel_size_nm": 1.0}
        write_illumination(path, ESTIMATE, **other, provenance={}, overwrite=overwrite)

    with pytest.raises(InputError, match="exists already"):
        write(overwrite=False)
    assert read_illumination(path, **LAYOUT).frame_size == (64, 80)
    write(overwrite=True)
    assert read_illumination(path, **{**LAYOUT, "pixel_size_nm": None}).frame_size == (8, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="other"), 'no illumination file .its "format" must be'),
        (lambda c: c.pop("orientations"), "incomplete or has a wrong entry .KeyError"),
        (lambda c: c["orientations"].pop(), "has 2 orientations .* 3 orientations of 3 phases are asked for"),
        (lambda c: c["orientations"][1].update(wave_vector_cycles_per_pixel=[float("nan"), 0]), "must be above 0"),
        (lambda c: c["orientations"][1].update(modulation_depth=1.5), "modulation depths of .* at most 1"),
        (lambda c: c.update(pixel_size_nm=80.0), "found with pixels of 80 nm, but these frames have 60 nm"),
        (lambda c: c["orientations"][2].update(phases_deg=[7, 7, 7]), "the phases of an orientation must differ"),
        (lambda c: c["orientations"][2].update(phases_deg=[7, float("nan"), 7]), "phases that are NaN or infinite"),
    ],
)
def test_wrong_files(path, change, message):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as raised:
        read_illumination(path, **LAYOUT)
    assert "\n" not in str(raised.value)


def test_files_that_are_no_json(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe{")
    (tmp_path / "deep.json").write_text(100_000 * "[")
    for name, message in (
        ("deep.json", "no JSON file"),
        ("a.json", "no JSON file"),
        ("none.json", "cannot be read .No such file"),
    ):
        with pytest.raises(InputError, match=message):
            read_illumination(tmp_path / name, **LAYOUT)


BOTH = Illumination(
    jnp.array([[0.05, 0.15], [0.1, 0.3], [0.15, 0.02], [0.3, 0.04], [-0.1, 0.1], [-0.2, 0.2]]),
    jnp.stack([h * 2 * jnp.pi * jnp.arange(5) / 5 + start for start in (0.1, 1.0, 2.0) for h in (1, 2)]),
    jnp.array([0.2, 0.7, 0.3, 0.8, 0.01, 0.9]),
    jnp.ones((3, 5)),
)


def test_both_harmonics_of_three_beams_and_their_time_points(tmp_path):
    estimate = estimated(BOTH)._replace(harmonic=jnp.tile(jnp.array([1, 2]), 3))
    times = [BOTH, BOTH._replace(phase=BOTH.phase + 0.5)]
    options = {"frame_size": (64, 80), "pixel_size_nm": 60.0, "provenance": {}}
    path = write_illumination(tmp_path / "both.json", estimate, times=times, **options)
    layout = {"orientations": 3, "phases": 5, "pixel_size_nm": 60.0}
    stored = read_illumination(path, **layout)
    assert stored.harmonics == (1, 2)
    for name in ("wave_vector", "phase", "modulation_depth"):
        np.testing.assert_allclose(getattr(stored, name), getattr(BOTH, name), rtol=1e-5)
    np.testing.assert_allclose(stored.time_phase, np.stack([time.phase for time in times]), rtol=1e-5)
    content = json.loads(path.read_text())
    second = content["orientations"][1]
    assert (content["harmonic"], second["modulation_depth"]) == (2, pytest.approx(0.8))
    assert second["first_harmonic"]["modulation_depth"] == pytest.approx(0.3)
    assert second["first_harmonic"]["period_nm"] == pytest.approx(2 * second["period_nm"])
    for change, message in (
        (lambda c: c.update(harmonic=1), 'the "harmonic" 1; legal'),
        (lambda c: c["orientations"][0].pop("first_harmonic"), "KeyError"),
        (lambda c: c["orientations"][0]["first_harmonic"].update(phases_deg=[0.0] * 5), "phases of an orientation"),
        (lambda c: c["times"][0].pop("first_harmonic"), "KeyError"),
    ):
        changed = json.loads(json.dumps(content))
        change(changed)
        (tmp_path / "b.json").write_text(json.dumps(changed))
        with pytest.raises(InputError, match=message):
            read_illumination(tmp_path / "b.json", **layout)
    with pytest.raises(InputError, match="3 orientations of 3 phases are asked for"):
        read_illumination(path, **LAYOUT)
    # What earlier versions wrote, of one harmonic.
    for one in content["orientations"]:
        one.pop("first_harmonic")
    content.pop("times")
    path.write_text(json.dumps(content))
    old = read_illumination(path, **layout)
    assert old.harmonics == (2,)
    np.testing.assert_allclose(old.wave_vector, BOTH.wave_vector[1::2], rtol=1e-6)

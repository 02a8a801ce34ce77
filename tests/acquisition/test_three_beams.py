"""Three-beam data: the fine pattern is found in the second harmonic of five phases."""

import json
from pathlib import Path

import numpy as np
import pytest

from oidn_jax.acquisition import CameraSettings
from oidn_jax.acquisition.acquisition import Acquisition, KnownIllumination
from oidn_jax.acquisition.illumination_file import read_illumination, write_illumination
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.optics.microscope import Microscope
from tests.acquisition.three_beams import PIXEL_NM, acquire, fine_vectors, vector_error

SIZE = 128
MICROSCOPE = Microscope(phases=5, na=1.4, emission_wavelength_nm=525.0, pixel_size_nm=PIXEL_NM, otf_damping=1.0)


def acquisition(frames, microscope=MICROSCOPE, **options):
    camera = CameraSettings(1.0, 100.0, 1.6)
    return Acquisition.of_frames(np.moveaxis(frames, 0, -1), microscope, camera=camera, **options)


@pytest.fixture(scope="module")
def frames():
    return acquire(SIZE, first=0.2, second=0.7, period_nm=230, photons=100, seed=3)[1]


@pytest.fixture(scope="module")
def searched(frames):
    searched = acquisition(frames)
    assert searched.estimate is not None
    return searched


def test_the_fine_pattern_is_found_and_said(searched):
    given = searched.estimate.illumination
    assert searched.estimate.harmonic == 2
    assert vector_error(given.wave_vector, fine_vectors(230), SIZE) < 0.1
    np.testing.assert_allclose(given.modulation_depth, 0.7, atol=0.1)
    assert any("three-beam data" in line for line in searched.warnings)
    assert not any("evenly spaced" in line for line in searched.warnings)


def test_phases_are_those_of_the_frames_as_recorded(searched):
    steps = np.diff(np.unwrap(searched.estimate.illumination.phase, axis=1), axis=1) % (2 * np.pi)
    np.testing.assert_allclose(steps, 4 * np.pi / 5, atol=0.2)


def test_two_beams_of_five_phases_stay_two_beams():
    frames = acquire(SIZE, first=0.7, second=0.0, period_nm=115, photons=100, seed=3)[1]
    two = acquisition(frames)
    assert two.estimate.harmonic == 1
    assert vector_error(two.estimate.illumination.wave_vector, fine_vectors(230), SIZE) < 0.1
    assert not any("three-beam" in line for line in two.warnings)


def test_the_user_may_say_the_harmonic(frames):
    chosen = acquisition(frames, harmonic=1)
    assert chosen.estimate.harmonic == 1
    with pytest.raises(IllegalValue, match="legal: 1, and 2 with 5"):
        acquisition(frames[:9], Microscope(phases=3), harmonic=2)
    with pytest.raises(IllegalValue, match="given illumination"):
        acquisition(frames, harmonic=2, known=KnownIllumination(Path("a.json")))


def test_a_file_keeps_the_harmonic(searched, frames, tmp_path):
    path = tmp_path / "three.json"
    write_illumination(path, searched.estimate, frame_size=(SIZE, SIZE), pixel_size_nm=PIXEL_NM, provenance={})
    again = acquisition(frames, known=KnownIllumination(path, refit_phases=True)).estimate
    turn = np.exp(1j * (again.illumination.phase - searched.estimate.illumination.phase))
    assert again.harmonic == 2
    assert np.abs(np.angle(turn)).max() < 0.1
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"harmonic": 3}))
    with pytest.raises(InputError, match="harmonic"):
        read_illumination(path, orientations=3, phases=5, pixel_size_nm=PIXEL_NM)

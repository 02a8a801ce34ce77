"""Three-beam data: both harmonics of five phases are found, and make one image."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.acquisition import Acquisition, CameraSettings, KnownIllumination
from oidn_jax.acquisition.illumination_file import read_illumination, write_illumination
from oidn_jax.classical.consistency import check_consistency
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.methods import ClassicalMethod
from oidn_jax.optics.microscope import Microscope
from tests.acquisition.three_beams import PIXEL_NM, acquire, correlation, fine_vectors, truth_of, vector_error

SIZE = 128
MICROSCOPE = Microscope(phases=5, na=1.4, emission_wavelength_nm=525.0, pixel_size_nm=PIXEL_NM, otf_damping=1.0)
PERIOD = 230
check = jax.jit(check_consistency)


def acquisition(frames, microscope=MICROSCOPE, **options):
    camera = CameraSettings(1.0, 100.0, 1.6)
    return Acquisition.of_frames(np.moveaxis(frames, 0, -1), microscope, camera=camera, **options)


def score(searched, name, truth):
    return correlation(ClassicalMethod(name)(searched, 0).pixels, truth)


def reduced_chi_square(searched):
    image = ClassicalMethod("wiener")(searched, 0).pixels
    light, noise = jnp.asarray(searched.light(0)), searched.light_noise
    result = check(jnp.asarray(image), light, searched.illumination(0), otf=searched.otf, noise=noise)
    return float(result.reduced_chi_square), float(result.suspect_area)


@pytest.fixture(scope="module")
def recorded():
    return acquire(SIZE, first=0.3, second=0.7, period_nm=PERIOD, photons=100, seed=3)


@pytest.fixture(scope="module")
def frames(recorded):
    return recorded[1]


@pytest.fixture(scope="module")
def searched(frames):
    searched = acquisition(frames)
    assert searched.estimate is not None
    return searched


def test_both_harmonics_are_found_and_said(searched):
    estimate = searched.estimate
    given = estimate.illumination
    assert estimate.harmonics == (1, 2)
    assert vector_error(given.wave_vector[1::2], fine_vectors(PERIOD), SIZE) < 0.1
    assert vector_error(given.wave_vector[::2], fine_vectors(2 * PERIOD), SIZE) < 0.05
    np.testing.assert_allclose(given.modulation_depth, np.tile([0.3, 0.7], 3), atol=0.05)
    assert any("three-beam data" in line and "both used" in line for line in searched.warnings)
    assert not any("evenly spaced" in line for line in searched.warnings)


def test_phases_are_those_of_the_frames_as_recorded(searched):
    phase = searched.estimate.illumination.phase
    for harmonic in (1, 2):
        steps = np.diff(np.unwrap(phase[harmonic - 1 :: 2], axis=1), axis=1) % (2 * np.pi)
        np.testing.assert_allclose(steps, harmonic * 2 * np.pi / 5, atol=0.1)
    # The second harmonic of the light is that of 2 x + 0.7 where the first is that of x.
    offset = np.angle(np.exp(1j * (phase[1::2] - 2 * phase[::2] - 0.7)))
    np.testing.assert_allclose(offset, 0.0, atol=0.1)


def test_right_three_beam_data_are_explained(searched, frames):
    """By both harmonics, and by neither alone."""
    chi_square, contradicted = reduced_chi_square(searched)
    assert 0.85 < chi_square < 1.05
    assert contradicted == 0
    assert min(reduced_chi_square(acquisition(frames, harmonic=harmonic))[0] for harmonic in (1, 2)) > 2.0


@pytest.mark.parametrize(
    ("first", "second", "period_nm", "photons", "beads"),
    [(0.4, 0.3, 230, 6, None), (0.25, 0.6, 200, 6, None), (0.4, 0.9, 260, 4, None), (0.25, 0.3, 260, 300, 400)],
)
def test_the_image_is_better_than_that_of_the_second_harmonic(first, second, period_nm, photons, beads):
    """At low counts, with all methods; there is no row where it is worse in the table of docs/classical.md either."""
    specimen, frames = acquire(
        SIZE, first=first, second=second, period_nm=period_nm, photons=photons, seed=4, beads=beads
    )
    truth = truth_of(specimen, period_nm)
    both, alone = acquisition(frames), acquisition(frames, harmonic=2)
    assert both.estimate.harmonics == (1, 2)
    assert vector_error(both.estimate.finest.illumination.wave_vector, fine_vectors(period_nm), SIZE) < 0.1
    np.testing.assert_allclose(both.estimate.illumination.modulation_depth, np.tile([first, second], 3), atol=0.1)
    assert score(both, "wiener", truth) > score(alone, "wiener", truth) > score(both, "widefield", truth)
    assert score(both, "hifi", truth) > score(alone, "hifi", truth)


def test_a_grating_that_jitters_moves_both_harmonics():
    """Phases that are uneven by 12 degrees of the first harmonic, 24 of the second."""
    jitter = np.deg2rad(12) * np.random.default_rng(1).normal(size=(3, 5))
    frames = acquire(SIZE, first=0.3, second=0.7, period_nm=PERIOD, photons=300, seed=3, jitter=jitter)[1]
    uneven = acquisition(frames)
    phase = uneven.estimate.illumination.phase
    for harmonic in (1, 2):
        off = phase[harmonic - 1 :: 2] - harmonic * (2 * np.pi * np.arange(5) / 5 + jitter)
        off = np.angle(np.exp(1j * (off - np.angle(np.exp(1j * off).mean(1, keepdims=True)))))
        assert np.abs(off).max() < np.deg2rad(6 * harmonic)
    assert any("not evenly spaced" in line for line in uneven.warnings)
    assert reduced_chi_square(uneven)[0] < 1.15


def test_two_beams_of_five_phases_stay_two_beams():
    """Also where their phases are so uneven that the second harmonic of the frames holds something of the first."""
    jitter = np.deg2rad(20) * np.random.default_rng(2).normal(size=(3, 5))
    for period_nm, options in ((115, {}), (115, {"jitter": jitter}), (230, {"jitter": jitter})):
        frames = acquire(SIZE, first=0.7, second=0.0, period_nm=period_nm, photons=300, seed=3, **options)[1]
        two = acquisition(frames)
        assert two.estimate.harmonics == (1,)
        assert vector_error(two.estimate.illumination.wave_vector, fine_vectors(2 * period_nm), SIZE) < 0.1
        assert not any("three-beam data: " in line for line in two.warnings)


def test_one_harmonic_alone_is_used_and_said():
    frames = acquire(SIZE, first=0.0, second=0.7, period_nm=PERIOD, photons=100, seed=3)[1]
    second = acquisition(frames)
    assert second.estimate.harmonics == (2,)
    assert any("the first, of twice the period, does not show" in line for line in second.warnings)
    frames = acquire(SIZE, first=0.4, second=0.1, period_nm=PERIOD, photons=2, seed=0)[1]
    first = acquisition(frames)
    assert first.estimate.harmonics == (1,)
    (line,) = (line for line in first.warnings if "the second harmonic of the 5 phases does not show" in line)
    # 1 / (2 NA / wavelength + 1 / period), of 460 and of 230 nm.
    assert "down to 133 nm instead of 103 nm" in line


def test_the_user_may_say_the_harmonic(frames):
    for harmonic in (1, 2):
        chosen = acquisition(frames, harmonic=harmonic)
        assert chosen.estimate.harmonics == (harmonic,)
        assert not any("harmonic" in line for line in chosen.warnings)
        expected = fine_vectors(PERIOD * 2 / harmonic)
        assert vector_error(chosen.estimate.illumination.wave_vector, expected, SIZE) < 0.1
    with pytest.raises(IllegalValue, match="legal: 1, and 2 with 5"):
        acquisition(frames[:9], Microscope(phases=3), harmonic=2)
    with pytest.raises(IllegalValue, match="given illumination"):
        acquisition(frames, harmonic=2, known=KnownIllumination(Path("a.json")))


def test_a_file_keeps_both_harmonics(searched, frames, tmp_path):
    path = tmp_path / "three.json"
    write_illumination(path, searched.estimate, frame_size=(SIZE, SIZE), pixel_size_nm=PIXEL_NM, provenance={})
    same = acquisition(frames, known=KnownIllumination(path))
    for ours, theirs in zip(same.illumination(0), searched.illumination(0), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    image = ClassicalMethod("wiener")(searched, 0).pixels
    np.testing.assert_allclose(ClassicalMethod("wiener")(same, 0).pixels, image, atol=1e-3 * image.max())
    again = acquisition(frames, known=KnownIllumination(path, refit_phases=True)).estimate
    turn = np.exp(1j * (again.illumination.phase - searched.estimate.illumination.phase))
    assert again.harmonics == (1, 2)
    assert np.abs(np.angle(turn)).max() < 0.1
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"harmonic": 3}))
    with pytest.raises(InputError, match="harmonic"):
        read_illumination(path, orientations=3, phases=5, pixel_size_nm=PIXEL_NM)


def test_a_pattern_that_moves_over_time_is_followed_in_both_harmonics(frames):
    """The later time point is the same field under gratings moved by 40 degrees of the first harmonic."""
    moved = acquire(
        SIZE, first=0.3, second=0.7, period_nm=PERIOD, photons=95, seed=3, jitter=np.full((3, 5), np.deg2rad(40))
    )[1]
    lapse = np.moveaxis(np.stack([frames, moved]), 1, -1)
    both = Acquisition.of_frames(lapse, MICROSCOPE, camera=CameraSettings(1.0, 100.0, 1.6))
    turn = np.asarray(both.illumination(1).phase - both.illumination(0).phase).reshape(3, 2, 5)
    turned = np.rad2deg(np.angle(np.exp(1j * turn)))
    np.testing.assert_allclose(turned, np.broadcast_to([[[40.0], [80.0]]], turned.shape), atol=5.0)
    assert any("they are followed" in line for line in both.warnings)

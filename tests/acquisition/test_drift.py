"""Drift between orientations: measured to a few hundredths of a pixel, never invented, undone on request."""

import numpy as np
import pytest

from oidn_jax.acquisition import Acquisition, KnownIllumination
from oidn_jax.acquisition.drift import Drift, measure_drift, undo_drift
from oidn_jax.acquisition.illumination_file import write_illumination
from oidn_jax.errors import InputError
from tests.acquisition.simulated import MICROSCOPE, PIXEL_NM, SIZE, counts

SHIFT = np.array([[-1.0, 0.4], [0.0, 0.0], [1.5, 2.2]])
CUTOFF = MICROSCOPE.cutoff


def moved(frames):
    """As if the object (and with it the pattern, which no matter here) had moved."""
    return undo_drift(frames, Drift(-SHIFT, np.zeros((3, 2))))


def test_movement_is_measured_and_undone():
    frames = counts()
    drift = measure_drift(moved(frames), orientations=3, cutoff=CUTOFF)
    np.testing.assert_allclose(drift.shift, SHIFT, atol=0.15)
    assert np.all(drift.error[[0, 2]] < 0.1)
    back = undo_drift(moved(frames), Drift(SHIFT, drift.error))
    assert np.abs(back - frames)[:, 8:-8, 8:-8].mean() < 0.05 * frames.std()
    assert np.array_equal(back[3:6], frames[3:6])


@pytest.mark.parametrize("light", [0.02, 0.1, 1.0])
def test_what_rests_has_not_moved(light):
    mean = np.maximum(counts() - 100.0, 0) * light
    for seed in range(8):
        noisy = np.random.default_rng(seed).poisson(mean) + np.random.default_rng(seed).normal(0, 1.6, mean.shape)
        assert measure_drift(noisy, orientations=3, cutoff=CUTOFF).largest < 0.3


def test_noise_alone_does_not_move():
    for seed in range(8):
        noise = np.random.default_rng(seed).normal(100.0, 5.0, (9, 64, 64))
        assert not measure_drift(noise, orientations=3, cutoff=CUTOFF).shift.any()


def acquired(frames, **settings):
    return Acquisition.of_frames(np.moveaxis(frames, 0, -1), MICROSCOPE, **settings)


def test_drift_is_said_and_undone_on_request():
    frames = moved(counts())
    resting, told, mended = acquired(counts()), acquired(frames), acquired(frames, correct_drift=True)
    for acquisition in (resting, told, mended):
        acquisition.check()
    assert not [line for line in resting.warnings if "moved" in line]
    assert [line for line in told.warnings if "give `correct_drift` to undo it" in line]
    assert [line for line in mended.warnings if "this is undone" in line]
    assert not [line for line in told.warnings if "frame order" in line]
    np.testing.assert_allclose(told.counts(0), frames)
    assert measure_drift(mended.counts(0), orientations=3, cutoff=CUTOFF).largest < 0.1


def test_phases_of_frames_that_were_not_moved_do_not_hold(tmp_path):
    known = KnownIllumination(tmp_path / "cell.json")
    with pytest.raises(InputError, match="with `correct_drift` give `refit_phases` too"):
        acquired(counts(), known=known, correct_drift=True)


def test_phases_of_frames_that_were_moved_hold_for_no_others(tmp_path):
    """A file of drift that was undone gives its wave vectors only; where nothing had moved, all of it."""
    path, frames = tmp_path / "cell.json", moved(counts())
    for recorded, moves in ((frames, True), (counts(), False)):
        first = acquired(recorded, correct_drift=True)
        provenance = {"drift_undone_px": first.frames.drift.shift.tolist()}
        write_illumination(
            path,
            first.estimate,
            envelopes=first.envelopes,
            frame_size=(SIZE, SIZE),
            pixel_size_nm=PIXEL_NM,
            provenance=provenance,
            overwrite=True,
        )
        if moves:
            with pytest.raises(InputError, match="whose drift was undone"):
                _ = acquired(recorded, known=KnownIllumination(path)).estimate
            again = acquired(recorded, known=KnownIllumination(path, refit_phases=True)).estimate
        else:
            again = acquired(recorded, known=KnownIllumination(path)).estimate
        np.testing.assert_allclose(again.illumination.wave_vector, first.estimate.illumination.wave_vector, atol=1e-6)

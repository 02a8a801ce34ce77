"""Uneven illumination: found as far as the light tells, corrected, kept, and the reason of contradictions."""

import json
from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.acquisition import Acquisition, KnownIllumination
from oidn_jax.acquisition.envelope import BIN, assess_envelopes, bins_of, expand, find_envelopes
from oidn_jax.acquisition.illumination_file import write_illumination
from oidn_jax.data import InputError
from oidn_jax.methods import ClassicalMethod
from oidn_jax.optics.microscope import Microscope
from oidn_jax.optics.noise import NoiseModel
from oidn_jax.reconstruction.trust import judge
from oidn_jax.simulation.acquisitions import simulate_acquisition
from oidn_jax.simulation.settings import Simulation, specimen_settings

SIZE = (136, 128)
MICROSCOPE = Microscope(otf_damping=1.0)
SETTINGS = replace(
    specimen_settings("microtubules"),
    illumination_na=1.2,
    background=(0.0, 0.0),
    modulation_depth=(0.8, 0.8),
    mean_photons=(20.0, 400.0),
    fluorescence={"all": (1, 2)},
)


@cache
def simulated(uneven=0.0, dichroism=0.0, *, level=1, seed=2):
    settings = replace(SETTINGS, uneven_brightness=(uneven, uneven), dichroism=(dichroism, dichroism))
    simulate = partial(simulate_acquisition, simulation=Simulation(settings, MICROSCOPE), size=SIZE)
    return jax.device_get(jax.jit(simulate)(jax.random.key(seed), level))


def acquisition(*arguments, known=None, **settings):
    return Acquisition.of_frames(simulated(*arguments, **settings).raw_frames, MICROSCOPE, known=known)


def chi_square(each):
    return float(judge(ClassicalMethod("wiener")(each, 0).pixels, each, 0).reduced_chi_square)


def test_the_map_of_known_envelopes_is_found():
    """Against the truth relative to the mean of the orientations, weighted with the light that tells it."""
    scene, each = simulated(0.1), acquisition(0.1)
    found_map = expand(each.envelopes, SIZE)
    true_map = scene.envelopes / scene.envelopes.mean(0)
    weight = scene.photons.mean(-1)
    true_map = true_map / ((true_map * weight).sum((1, 2)) / weight.sum())[:, None, None]
    true_map = true_map / true_map.mean(0)
    error = np.sqrt((weight * (found_map - true_map) ** 2).sum() / weight.sum() / 3)
    spread = np.sqrt((weight * (true_map - 1) ** 2).sum() / weight.sum() / 3)
    assert spread > 0.06
    assert error < 0.25 * spread
    assert any("differ in brightness over the field" in line for line in assess_envelopes(each.envelopes))


@pytest.mark.parametrize("level", [0, 1])
def test_even_illumination_has_none(level):
    assert acquisition(level=level).envelopes is None


def test_uneven_illumination_contradicts_the_image_unless_it_is_corrected(monkeypatch):
    corrected = chi_square(acquisition(0.1))
    monkeypatch.setattr("oidn_jax.acquisition.frames.find_envelopes", lambda *_: None)
    assert chi_square(acquisition(0.1)) > 1.5 > 1.1 > corrected


def test_dichroism_of_filaments_makes_the_orientations_unlike():
    even, dichroic = simulated(), simulated(0.0, 0.4)
    means = [scene.photons.reshape(*SIZE, 3, 3).mean(-1) for scene in (even, dichroic)]
    np.testing.assert_allclose(means[0].mean(-1), means[1].mean(-1), rtol=0.05, atol=0.02 * means[0].max())
    unlike = [(mean / mean.mean((0, 1))).std(-1).max() / mean.mean() * mean.mean((0, 1)).mean() for mean in means]
    assert unlike[1] > 3 * unlike[0]


def test_a_file_keeps_them(tmp_path):
    first = acquisition(0.1)
    path = tmp_path / "illumination.json"
    write_illumination(
        path,
        first.estimate,
        envelopes=first.envelopes,
        frame_size=SIZE,
        pixel_size_nm=MICROSCOPE.pixel_size_nm,
        provenance={},
    )
    again = acquisition(0.1, known=KnownIllumination(path))
    np.testing.assert_allclose(again.envelopes, first.envelopes, atol=1e-4)
    np.testing.assert_allclose(again.light(0), first.light(0), rtol=1e-3)
    content = json.loads(path.read_text())
    content["brightness_over_the_field"]["of_orientations"][0] = [[1.0]]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="incomplete or has a wrong entry"):
        _ = acquisition(0.1, known=KnownIllumination(path)).envelopes


def test_noise_of_corrected_light_is_that_of_its_counts():
    each = acquisition(0.1)
    field = expand(each.envelopes, SIZE)
    counts = each.counts(0).reshape(3, 3, *SIZE)
    offset = each.noise.offset[:, None, None, None]
    expected = np.asarray(each.noise.variance(jnp.asarray(counts, jnp.float32))) / field[:, None] ** 2
    light = each.light(0).reshape(counts.shape)
    least = (each.noise.gain[:, None, None] / field) ** 2  # of one photo-electron
    np.testing.assert_allclose(
        each.light_noise.variance(jnp.asarray(light)), np.maximum(expected, least[:, None]), rtol=1e-3
    )
    np.testing.assert_allclose(light * field[:, None] + offset, counts, rtol=1e-4, atol=1e-2)


def test_dark_places_and_frames_that_are_no_multiple_of_a_bin():
    rng = np.random.default_rng(1)
    h, w = 3 * BIN + 3, 5 * BIN - 1
    light = np.zeros((2, 3, h, w))
    light[:, :, :12, :12] = rng.poisson(500.0 * np.array([1.3, 0.7])[:, None, None, None], (2, 3, 12, 12))
    light[:, :, 12:24, 20:32] = rng.poisson(500.0 * np.array([0.7, 1.3])[:, None, None, None], (2, 3, 12, 12))
    envelopes = find_envelopes(light, NoiseModel(np.ones(2), np.zeros(2), np.full(2, 2.0)))
    assert envelopes is not None
    assert envelopes.shape == (2, *bins_of((h, w)))
    np.testing.assert_allclose(envelopes.sum(0), 2.0, atol=1e-6)
    field = expand(envelopes, (h, w))
    assert field[0, 3, 3] > 1.15 > 0.85 > field[0, 20, 28]

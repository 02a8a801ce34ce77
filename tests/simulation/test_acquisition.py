"""Laws of the simulated acquisitions."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.data.errors import InputError
from oidn_jax.simulation.acquisition import AcquisitionSettings, simulate_acquisition
from oidn_jax.simulation.pairs import settings_from_config, simulate_pairs
from oidn_jax.simulation.specimens import draw_points, filaments

SETTINGS = AcquisitionSettings(margin=8, filament_length_um=3.0)
SIZE = (32, 40)


def compiled(*, settings=SETTINGS, size=SIZE):
    return jax.jit(lambda key, level: simulate_acquisition(key, level, settings=settings, size=size))


@pytest.fixture(scope="module")
def simulate():
    return compiled()


def test_points_share_their_brightness_between_four_pixels():
    points = jnp.array([[1.25, 2.0], [0.0, 0.0], [-5.0, 1.0], [9.0, 9.0]])
    image = draw_points((4, 4), points, jnp.array([2.0, 1.0, 7.0, 7.0]))
    expected = np.zeros((4, 4))
    expected[1, 2], expected[2, 2], expected[0, 0] = 1.5, 0.5, 1.0
    np.testing.assert_allclose(image, expected, atol=1e-6)


def test_filaments_are_as_many_as_asked(key):
    draw = jax.jit(partial(filaments, shape=(64, 64), max_count=20, max_length=30.0))

    def light(count):
        return float(draw(key, count=jnp.int32(count)).sum())

    assert light(0) == 0.0
    assert 0 < light(5) < light(20)


def test_shapes_and_units(simulate, key):
    acquisition = simulate(key, 2)
    assert acquisition.raw_frames.shape == (*SIZE, 9)
    assert acquisition.target.shape == (2 * SIZE[0], 2 * SIZE[1], 1)
    peak = np.percentile(acquisition.raw_frames.mean(-1), 99.9)
    np.testing.assert_allclose(peak, 2000.0, rtol=0.1)


def test_levels_share_the_scene_and_differ_in_photons(simulate, key):
    low, high = simulate(key, 0), simulate(key, 2)
    np.testing.assert_array_equal(low.target, high.target)
    assert np.corrcoef(low.raw_frames.mean(-1).ravel(), high.raw_frames.mean(-1).ravel())[0, 1] > 0.9
    np.testing.assert_allclose(low.raw_frames.sum() / high.raw_frames.sum(), 50 / 2000, rtol=0.2)


def test_keys_decide(simulate, key):
    np.testing.assert_array_equal(simulate(key, 1).raw_frames, simulate(key, 1).raw_frames)
    other = simulate(jax.random.fold_in(key, 1), 1)
    assert jnp.abs(other.target - simulate(key, 1).target).max() > 0.1


def test_noise_is_that_of_photons_and_camera(key):
    """Variance = mean + read_noise^2, seen as the scatter of many exposures around the noise-free frames."""
    settings = dataclasses.replace(SETTINGS, read_noise=3.0, background=(0.0, 0.0))

    one = np.asarray(compiled(settings=settings)(key, 1).raw_frames)
    noise_free = dataclasses.replace(settings, read_noise=0.0, peak_photons={"a": 1e7})
    mean = np.asarray(compiled(settings=noise_free)(key, 0).raw_frames) * 300.0 / 1e7
    scatter = (one - mean) / np.sqrt(mean + 9.0)
    np.testing.assert_allclose(scatter.std(), 1.0, atol=0.04)
    np.testing.assert_allclose(scatter.mean(), 0.0, atol=0.04)


def test_the_target_holds_no_frequency_beyond_the_extended_support(key):
    """Seen on a periodic field, without the crop that would spread the spectrum."""
    settings = dataclasses.replace(SETTINGS, margin=0, illumination_na_spread=0.0)
    target = compiled(settings=settings, size=(64, 64))(key, 1).target[..., 0]
    spectrum = np.abs(np.fft.fft2(np.asarray(target, np.float64)))
    radius = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
    reach = settings.sim_cutoff / 2
    assert spectrum[radius > reach + 0.005].max() < 1e-4 * spectrum.max()
    assert spectrum[(radius > settings.cutoff / 2) & (radius < 0.8 * reach)].max() > 1e-3 * spectrum.max()


def test_pairs_are_normalised_and_do_not_depend_on_the_batch_size(key):
    simulate = jax.jit(partial(simulate_pairs, settings=SETTINGS, size=SIZE, normalisation="joint"))
    two, one = simulate(key, jnp.array([0, 2])), simulate(key, jnp.array([0]))
    np.testing.assert_allclose(two["raw_frames"][:1], one["raw_frames"], atol=1e-5)
    for name, axes in (("raw_frames", (1, 2, 3)), ("target", (1, 2, 3))):
        np.testing.assert_allclose(two[name].min(axes), 0.0, atol=1e-6)
        np.testing.assert_allclose(two[name].max(axes), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"na": 0.0}, "na is 0.0"),
        ({"modulation_depth": (0.5, 1.5)}, "cannot be modulated beyond 1"),
        ({"background": (0.4, 0.3)}, r"background is \(0.4, 0.3\); it must be a range"),
        ({"peak_photons": {"low": 0.0}}, "each level must be positive"),
        ({"pixel_size_nm": 100.0}, "the extended support reaches 1.1.. cycles per raw pixel"),
        ({"read_noise": -1.0}, "read_noise is -1.0; it must not be negative"),
    ],
)
def test_illegal_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SETTINGS, **change)


def test_a_mistyped_section_is_an_input_error():
    with pytest.raises(InputError, match=r"config\.simulation: .*nonsense"):
        settings_from_config({"nonsense": 1, "peak_photons": {"low": 50.0}})

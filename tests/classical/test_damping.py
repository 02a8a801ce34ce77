"""The damping of the OTF, from how the bands differ where they overlap."""

from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.classical.bands import fine_frequencies
from oidn_jax.classical.damping import fit_damping
from oidn_jax.classical.estimation import estimate_illumination
from oidn_jax.optics import forward
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.transfer import TransferFunction

GOLDEN = Path(__file__).parents[1] / "data" / "sim_acquisition_crop.npz"
SIZE = 128

estimate = jax.jit(estimate_illumination)


def objective(damping):
    return TransferFunction.theoretical(na=1.3, emission_wavelength_nm=525.0, pixel_size_nm=62.6, damping=damping)


@cache
def stored():
    with np.load(GOLDEN) as archive:
        return dict(archive)


@partial(jax.jit, static_argnames="size")
def form_frames(specimen, given, otf, *, size):
    fine_otf = otf(*fine_frequencies(size, scale=2)) * forward.pixel_transfer(*specimen.shape, scale=2, integrate=False)
    return forward.form_raw_frames(specimen, given, fine_otf, scale=2)


def acquire(damping, *, peak=1000.0, depth=0.8, seed=0):
    """Frames of filaments behind an objective of this damping, with the noise of photons and camera."""
    data = stored()
    vector, phase = (jnp.asarray(data[name], jnp.float32) for name in ("wave_vector", "phase"))
    given = Illumination(vector, phase, jnp.full(3, depth), jnp.ones((3, 3)))
    light = form_frames(jnp.asarray(data["gt"][: 2 * SIZE]), given, objective(damping), size=(SIZE, SIZE))
    light = np.maximum(light, 0.0)
    generator = np.random.default_rng(seed)
    counts = generator.poisson(light * peak / np.percentile(light.mean(0), 99.9))
    return jnp.asarray(counts + generator.normal(0.0, 1.6, light.shape), jnp.float32)


def found(frames, otf):
    return fit_damping(frames, estimate(frames, otf).illumination, otf)


@pytest.mark.parametrize("assumed", [0.175, 1.0])
@pytest.mark.parametrize("damping", [0.1, 0.175, 0.5, 1.0])
def test_the_damping_is_found_whatever_was_assumed(damping, assumed):
    fit = found(acquire(damping), objective(assumed))
    assert fit.error < 0.12
    assert abs(fit.logarithm - np.log(damping / assumed)) < 3.0 * fit.error


@pytest.mark.parametrize("peak", [60.0, 300.0])
def test_noise_is_no_bias_to_it(peak):
    fits = [found(acquire(0.3, peak=peak, seed=seed), objective(0.3)) for seed in range(4)]
    logarithms, errors = np.transpose(fits)
    assert abs(logarithms.mean()) < 2.0 * np.sqrt((errors**2).mean() / len(fits)) + 0.03
    assert (np.abs(logarithms) < 3.0 * errors).all()


def test_a_cameras_fixed_pattern_is_none_either():
    """Rows and columns, and pixels, of their own offset: in all bands 0, and in no band +1."""
    generator = np.random.default_rng(5)
    pattern = generator.normal(0.0, 3.0, (SIZE, SIZE)) + generator.normal(0.0, 12.0, SIZE)
    frames = acquire(0.3, peak=200.0)
    fit = found(frames + jnp.asarray(pattern, jnp.float32)[None], objective(0.3))
    assert abs(fit.logarithm) < 2.5 * fit.error
    assert fit.error < 0.25


def test_frames_that_say_nothing_have_a_large_error():
    frames = acquire(0.3, peak=60.0, depth=0.02)
    given = estimate(acquire(0.3), objective(0.3)).illumination
    assert fit_damping(frames, given, objective(0.3)).error > 0.5


def test_bands_that_do_not_overlap_say_nothing():
    otf = objective(0.3)
    frames = acquire(0.3)
    given = estimate(frames, otf).illumination
    far = given._replace(wave_vector=given.wave_vector * 2.2)
    assert fit_damping(frames, far, otf).error == np.inf

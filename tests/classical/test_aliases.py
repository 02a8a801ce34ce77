"""Pixels too coarse for the objective: which of its periodic copies a wave vector is, and what of the OTF is used."""

from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.acquisition import Acquisition
from oidn_jax.classical.aliases import AMBIGUOUS
from oidn_jax.classical.bands import fine_frequencies
from oidn_jax.classical.estimation import estimate_illumination
from oidn_jax.classical.widefield import widefield
from oidn_jax.errors import InputError
from oidn_jax.methods import ClassicalMethod
from oidn_jax.optics import forward
from oidn_jax.optics.fourier import filter_image, frequency_radius
from oidn_jax.optics.grid import bin_pixels
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.microscope import Microscope
from oidn_jax.optics.otf import airy_otf

GOLDEN = Path(__file__).parents[1] / "data" / "sim_acquisition_crop.npz"
MICROSCOPE = Microscope(na=1.42, pixel_size_nm=108.3, otf_damping=0.5)
SIZE, SCALE = 64, 4
# The first one lies outside the range of sampled frames, half a cycle per pixel along x.
ANGLES, LENGTH = np.deg2rad([10.0, 70.0, 130.0]), 0.95 * MICROSCOPE.cutoff
VECTORS = LENGTH * np.stack([np.sin(ANGLES), np.cos(ANGLES)], -1)

estimate = jax.jit(estimate_illumination, static_argnames="aliased")


@cache
def specimen():
    with np.load(GOLDEN) as archive:
        return jnp.asarray(archive["gt"][: SIZE * SCALE, : SIZE * SCALE], jnp.float32)


@cache
def light():
    given = Illumination.ideal(jnp.asarray(VECTORS, jnp.float32), modulation_depth=0.8)
    otf = airy_otf(
        frequency_radius(SIZE * SCALE, SIZE * SCALE), cutoff=MICROSCOPE.cutoff / SCALE, damping=MICROSCOPE.otf_damping
    )
    otf = otf * forward.pixel_transfer(SIZE * SCALE, SIZE * SCALE, scale=SCALE, integrate=False)
    form = jax.jit(partial(forward.form_raw_frames, scale=SCALE))
    return np.maximum(form(specimen(), given, jnp.asarray(otf, jnp.float32)), 0.0)


@cache
def counts():
    generator = np.random.default_rng(3)
    photons = light() * 400.0 / np.percentile(light().mean(0), 99.9)
    return (100.0 + generator.poisson(photons) + generator.normal(0.0, 1.6, photons.shape)).round().astype(np.uint16)


def acquired(frames):
    return Acquisition.of_frames(np.moveaxis(frames, 0, -1), MICROSCOPE)


def errors(vectors):
    """In frequency pixels."""
    apart = [[np.hypot(*(SIZE * (v + s * t))) for s in (1, -1)] for v, t in zip(vectors, VECTORS, strict=True)]
    return np.min(apart, axis=1)


def test_the_copy_that_agrees_with_band_0_is_taken():
    frames = jnp.asarray(counts(), jnp.float32) - 100.0
    otf = MICROSCOPE.otf(aliased=True)
    chosen = jax.device_get(estimate(frames, otf, aliased=True))
    assert errors(chosen.illumination.wave_vector).max() < 0.1
    assert np.max(chosen.other_copy) < 0.5 * AMBIGUOUS
    np.testing.assert_allclose(chosen.illumination.modulation_depth, 0.8, atol=0.1)
    first = estimate(frames, otf)
    assert errors(np.asarray(first.illumination.wave_vector))[0] > 1.0
    assert first.other_copy == 0.0


def test_coarse_pixels_give_a_better_image_than_widefield_and_one_warning():
    acquisition = acquired(counts())
    image = ClassicalMethod("wiener")(acquisition, 0).pixels
    reach = (MICROSCOPE.cutoff + LENGTH) / SCALE
    truth = filter_image(specimen(), jnp.asarray(airy_otf(frequency_radius(256, 256), cutoff=reach), jnp.float32))
    truth = np.asarray(bin_pixels(truth, scale=2))
    inside = np.s_[16:-16, 16:-16]
    wide = np.asarray(widefield(jnp.asarray(counts(), jnp.float32), scale=2))
    ours, theirs = (np.corrcoef(each[inside].ravel(), truth[inside].ravel())[0, 1] for each in (image, wide))
    assert ours > 0.97
    assert ours > theirs + 0.02
    (line,) = acquisition.warnings
    assert line.startswith("the pixels of 108.3 nm are 17 % larger than the 92.4 nm")
    assert "a `scale` of 3 does" in line


def test_stripes_that_are_not_certain_cannot_be_told_from_their_copies(monkeypatch):
    """Also where no copy is as good as the one taken."""
    monkeypatch.setattr("oidn_jax.acquisition.stripes.AMBIGUOUS", 1.0)
    noise = np.random.default_rng(0).poisson(200.0, (9, SIZE, SIZE)).astype(np.uint16)
    with pytest.raises(InputError, match=r"the pixels of 108\.3 nm .* shows no stripes for certain, so that they"):
        _ = acquired(noise).estimate


def test_stripes_that_cannot_be_told_from_others_are_refused_with_the_number():
    noise = np.random.default_rng(0).poisson(200.0, (9, SIZE, SIZE)).astype(np.uint16)
    with pytest.raises(
        InputError, match=r"the pixels of 108\.3 nm .* cannot be told from others .* evidence [01]\.\d\d"
    ):
        _ = acquired(noise).estimate


def test_the_otf_is_used_where_the_camera_mixes_it_with_what_is_weaker():
    otf = MICROSCOPE.otf(aliased=True)
    frequency = jnp.linspace(0.0, MICROSCOPE.cutoff, 400)
    along, zero = otf(frequency, jnp.zeros(400)), jnp.zeros(())
    last = float(frequency[along > 0].max())
    assert 0.45 < last < 0.5
    assert 2.5 < float(otf.at(jnp.float32(last)) / otf.at(jnp.float32(1.0 - last))) < 6.0
    # Along the diagonal the alias is farther away.
    assert float(otf(zero + 0.4, zero + 0.4)) == float(otf.at(jnp.hypot(zero + 0.4, zero + 0.4))) > 0.0


def test_fine_pixels_have_all_of_it():
    fine = Microscope()
    assert fine.otf(aliased=True).unmixed is None
    assert not fine.aliased
    ky, kx = fine_frequencies((32, 32), scale=1)
    np.testing.assert_array_equal(fine.otf(aliased=True)(ky, kx), fine.otf()(ky, kx))


def test_pixels_are_refused_from_30_percent_beyond_on():
    Microscope(na=1.42, pixel_size_nm=120.1).otf(aliased=True)
    with pytest.raises(InputError, match=r"120\.3 nm .* too large; SIM needs less than 92\.4 nm, and up to 120\.2 nm"):
        Microscope(na=1.42, pixel_size_nm=120.3).otf(aliased=True)
    with pytest.raises(InputError, match=r"108\.3 nm .* too large; SIM needs less than 92\.4 nm: check"):
        MICROSCOPE.otf()

"""The checks: the model passes every law, and for each law a model that breaks it is seen to fail."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import random
from oidn_jax.optics import forward, noise, otf
from oidn_jax.optics.laws import LAWS, Model, Setup, check
from oidn_jax.optics.microscope import MeasuredOtf, Microscope
from oidn_jax.optics.noise import Camera


def microscope(cutoff, **fields):
    """With a cutoff in cycles per raw pixel."""
    return Microscope(na=1.0, emission_wavelength_nm=500.0, pixel_size_nm=250.0 * cutoff, **fields)


SETUP = Setup(microscope(0.33, otf_damping=0.5), illumination_frequency=0.31, size=16)
STATEMENTS = [law.statement for law in LAWS]


def test_the_model_keeps_every_law():
    failed = [outcome for outcome in check(LAWS, SETUP) if not outcome.passed]
    assert not failed


def test_other_pixels_and_grids_keep_every_law():
    setup = Setup(
        microscope(0.4, orientations=5, phases=5, scale=3, integrate_pixel=True, otf_damping=1.0),
        illumination_frequency=0.5,
        angles=(0.2, 0.9, 1.6, 2.3, 3.0),
        camera=Camera(gain=2.2, offset=400.0, read_noise=2.0, saturation=4095.0),
        size=12,
    )
    laws = [law for law in LAWS if "gradient" not in law.statement]
    assert [outcome for outcome in check(laws, setup) if not outcome.passed] == []


@pytest.mark.parametrize("camera", [Camera(read_noise=0.0), Camera(gain=0.2)])
def test_any_camera_has_lawful_noise(camera):
    (law,) = [law for law in LAWS if "noise" in law.statement]
    (outcome,) = check([law], replace(SETUP, camera=camera))
    assert outcome.passed, outcome


def shifted_psf(specimen, illumination, psf, *, scale):
    return forward.form_raw_frames_in_space(specimen, illumination, jnp.roll(psf, 1, 0), scale=scale)


def with_frames(change):
    """The Fourier form of a changed illumination."""

    def in_fourier(specimen, illumination, otf, *, scale):
        return forward.form_raw_frames(specimen, change(illumination), otf, scale=scale)

    return in_fourier


def frozen(field):
    """The Fourier form with no gradient by one field of the illumination."""
    return with_frames(lambda i: i._replace(**{field: jax.lax.stop_gradient(getattr(i, field))}))


def clipped(*arguments, **options):
    return jnp.maximum(forward.form_raw_frames(*arguments, **options), 0.0)


def frozen_specimen(specimen, illumination, otf, *, scale):
    half = 0.5 * specimen + 0.5 * jax.lax.stop_gradient(specimen)
    return forward.form_raw_frames(half, illumination, otf, scale=scale)


def frozen_psf(specimen, illumination, psf, *, scale):
    return forward.form_raw_frames_in_space(specimen, illumination, jax.lax.stop_gradient(psf), scale=scale)


def wrong_adjoint(frames, illumination, otf, *, scale):
    return forward.back_project(frames, illumination._replace(phase=-illumination.phase), otf, scale=scale)


def gaussian_noise(key, photons, camera):
    """As noisy, but of one strength for dark and bright pixels."""
    spread = jnp.sqrt(100.0 + camera.read_noise**2) * random.normal(key, photons.shape)
    return jnp.round(camera.gain * (photons + spread) + camera.offset)


def without_read_noise(key, photons, camera):
    return noise.expose(key, photons, replace(camera, read_noise=0.0))


def symmetric_noise(key, photons, camera):
    """Of the right strength, but as likely above as below the mean."""
    spread = jnp.sqrt(photons + camera.read_noise**2) * random.normal(key, photons.shape)
    return jnp.round(camera.gain * (photons + spread) + camera.offset)


def paired_noise(key, photons, camera):
    """Two neighbouring pixels share their noise."""
    return jnp.repeat(noise.expose(key, photons[..., ::2], camera), 2, axis=-1)


def unclipped(key, photons, camera):
    return noise.expose(key, photons, replace(camera, saturation=jnp.inf))


def box(radius, *, cutoff, damping):
    return (radius < cutoff).astype(float)


BROKEN = {
    "spatial form equals Fourier form": [{"in_space": shifted_psf}],
    "spatial form equals the direct sum over pixels": [{"in_space": shifted_psf}],
    "energy is conserved": [{"otf": lambda r, **o: 1.01 * otf.airy_otf(r, **o)}],
    "OTF is the overlap of two pupils, damped": [
        {"otf": lambda r, **o: otf.airy_otf(r, **o) ** 2},
        {"otf": lambda r, *, cutoff, damping: otf.airy_otf(r, cutoff=0.8 * cutoff, damping=damping)},
        {"otf": lambda r, *, cutoff, damping: otf.airy_otf(r, cutoff=cutoff)},
    ],
    "OTF is 0 from its cutoff on": [
        {"otf": lambda r, *, cutoff, damping: otf.airy_otf(r, cutoff=1.1 * cutoff, damping=damping)}
    ],
    "cutoff is within the camera's Nyquist frequency": [{"microscope": microscope(0.51)}],
    "cutoff + |p| is within the fine grid's Nyquist frequency": [{"illumination_frequency": 0.68}],
    "frames are linear in the object": [{"in_fourier": clipped}],
    "back-projection is the adjoint": [{"back_project": wrong_adjoint}],
    "phases of an orientation add up to the widefield": [
        {"in_fourier": with_frames(lambda i: i._replace(phase=1.05 * i.phase))}
    ],
    "separated band is the shifted, OTF-weighted spectrum": [
        {"in_fourier": with_frames(lambda i: i._replace(wave_vector=-i.wave_vector))},
        {"in_fourier": with_frames(lambda i: i._replace(phase=i.phase + 0.1))},
        {"in_fourier": with_frames(lambda i: i._replace(modulation_depth=0.9 * i.modulation_depth))},
    ],
    "PSF is positive, of sum 1, centred": [
        {"otf": box},
        {"psf_of_otf": lambda o: jnp.roll(otf.psf_of_otf(o), 1, 1)},
        {"psf_of_otf": lambda o: 2.0 * otf.psf_of_otf(o)},
    ],
    "gradient by the object equals finite differences": [{"in_fourier": frozen_specimen}],
    "gradient by the PSF equals finite differences": [{"in_space": frozen_psf}],
    "gradient by the wave vectors equals finite differences": [{"in_fourier": frozen("wave_vector")}],
    "gradient by the phases equals finite differences": [{"in_fourier": frozen("phase")}],
    "gradient by the modulation depths equals finite differences": [{"in_fourier": frozen("modulation_depth")}],
    "gradient by the brightness of the patterns equals finite differences": [{"in_fourier": frozen("brightness")}],
    "noise has its mean, variance, skewness and no memory (standard errors)": [
        {"expose": gaussian_noise},
        {"expose": without_read_noise},
        {"expose": symmetric_noise},
        {"expose": lambda key, photons, camera: noise.expose(jax.random.key(0), photons, camera)},
        {"expose": paired_noise},
    ],
    "counts are whole, from 0 to saturation": [{"expose": unclipped}],
}


def test_every_law_has_a_broken_model():
    assert set(BROKEN) == set(STATEMENTS)
    assert len(set(STATEMENTS)) == len(LAWS)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_broken_model_fails(statement):
    (law,) = [law for law in LAWS if law.statement == statement]
    for changes in BROKEN[statement]:
        changed = {name: value for name, value in changes.items() if name in Model._fields}
        setup = replace(SETUP, **{name: value for name, value in changes.items() if name not in changed})
        (outcome,) = check([law], setup, model=Model()._replace(**changed))
        assert not outcome.passed, changes


def test_a_measured_otf_takes_the_place_of_the_theoretical_one():
    frequency_per_um = np.arange(200) * 0.05
    cutoff, cutoff_per_um = SETUP.microscope.cutoff, 4.0  # 2 NA / 500 nm
    values = 0.2 ** (frequency_per_um / cutoff_per_um) * (1 + 1e-3)
    measured = MeasuredOtf(tuple((values / values[0]).tolist()), 0.05, "otf.mrc")
    setup = replace(SETUP, microscope=replace(SETUP.microscope, measured_otf=measured))
    values = setup.optical_otf(Model())
    np.testing.assert_allclose(values[0, 0], 1.0)
    np.testing.assert_allclose(values[0, 4], 0.2 ** (2 * 4 / 32 / cutoff), rtol=1e-3)
    assert values[0, 12] == 0
    laws = [law for law in LAWS if "form" in law.statement or "energy" in law.statement]
    assert all(outcome.passed for outcome in check(laws, setup))

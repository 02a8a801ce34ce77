"""The checks: the model passes every law, and for each law a model that breaks it is seen to fail."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.data.otf_file import RadialOtf
from oidn_jax.optics import camera, forward, otf
from oidn_jax.optics.laws import LAWS, Microscope, Model, check
from oidn_jax.optics.laws.report import microscope_of
from oidn_jax.optics.illumination import Illumination
from oidn_jax.simulation.settings import AcquisitionSettings

ROOT = Path(__file__).resolve().parents[2]
MICROSCOPE = Microscope(cutoff=0.33, illumination_frequency=0.31, damping=0.5, size=16)
STATEMENTS = [law.statement for law in LAWS]


def test_the_model_keeps_every_law():
    failed = [outcome for outcome in check(LAWS, MICROSCOPE) if not outcome.passed]
    assert not failed


def test_other_pixels_and_grids_keep_every_law():
    microscope = Microscope(
        cutoff=0.4,
        illumination_frequency=0.5,
        angles=(0.2, 0.9, 1.6, 2.3, 3.0),
        phases=5,
        scale=3,
        integrate_pixel=True,
        camera=camera.Camera(gain=2.2, offset=400.0, read_noise=2.0, saturation=4095.0),
        size=12,
    )
    laws = [law for law in LAWS if "gradient" not in law.statement]
    assert [outcome for outcome in check(laws, microscope) if not outcome.passed] == []


@pytest.mark.parametrize("changes", [{"read_noise": 0.0}, {"gain": 0.2}])
def test_any_camera_has_lawful_noise(changes):
    (law,) = [law for law in LAWS if "noise" in law.statement]
    (outcome,) = check([law], MICROSCOPE._replace(camera=camera.Camera(**changes)))
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


def gaussian_noise(key, photons, settings):
    """As noisy, but of one strength for dark and bright pixels."""
    noise = jnp.sqrt(100.0 + settings.read_noise**2) * jax.random.normal(key, photons.shape)
    return jnp.round(settings.gain * (photons + noise) + settings.offset)


def without_read_noise(key, photons, settings):
    return camera.expose(key, photons, settings._replace(read_noise=0.0))


def symmetric_noise(key, photons, settings):
    """Of the right strength, but as likely above as below the mean."""
    noise = jnp.sqrt(photons + settings.read_noise**2) * jax.random.normal(key, photons.shape)
    return jnp.round(settings.gain * (photons + noise) + settings.offset)


def paired_noise(key, photons, settings):
    """Two neighbouring pixels share their noise."""
    return jnp.repeat(camera.expose(key, photons[..., ::2], settings), 2, axis=-1)


def unclipped(key, photons, settings):
    return camera.expose(key, photons, settings._replace(saturation=jnp.inf))


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
    "cutoff is within the camera's Nyquist frequency": [{"cutoff": 0.51}],
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
        {"expose": lambda key, photons, settings: camera.expose(jax.random.key(0), photons, settings)},
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
        model = Model()._replace(**{name: value for name, value in changes.items() if name in Model._fields})
        microscope = MICROSCOPE._replace(
            **{name: value for name, value in changes.items() if name in Microscope._fields}
        )
        (outcome,) = check([law], microscope, model=model)
        assert not outcome.passed, changes


def test_a_measured_otf_takes_the_place_of_the_theoretical_one():
    settings = AcquisitionSettings()
    frequency = np.arange(200) * 0.05
    cutoff_per_um = 2 * settings.na / settings.emission_wavelength_nm * 1000
    measured = RadialOtf(frequency, 0.2 ** (frequency / cutoff_per_um) * (1 + 1e-3), 525.0, Path("otf.mrc"))
    microscope = microscope_of(settings, measured=measured)._replace(size=16)
    values = microscope.optical_otf(Model())
    np.testing.assert_allclose(values[0, 0], 1.0)
    np.testing.assert_allclose(values[0, 4], 0.2 ** (2 * 4 / 32 / settings.cutoff), rtol=1e-3)
    assert values[0, 12] == 0
    laws = [law for law in LAWS if "form" in law.statement or "energy" in law.statement]
    assert all(outcome.passed for outcome in check(laws, microscope))


def run(*arguments):
    command = [sys.executable, "-m", "oidn_jax.optics.laws", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_command_fails_for_a_microscope_that_breaks_a_law():
    """115 nm pixels cannot sample an objective of NA 1.49: exit code 1, and the law is named."""
    outcome = run("--config=configs/microtubules.py:quick,647", "--config.optics.pixel_size_nm=115.0")
    assert outcome.returncode == 1, outcome.stderr
    assert "cutoff is within the camera's Nyquist frequency" in outcome.stderr
    assert "error: 1 of" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert len([line for line in outcome.stdout.splitlines() if " yes " in line]) == len(LAWS) - 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.mrc",), "missing.mrc"),
        (("--otf=missing.mrc",), "missing.mrc"),
        (("--config=configs/er.py", "--config.simulation.damping=1"), "no field 'damping'"),
    ],
)
def test_wrong_input_is_one_line(arguments, message):
    outcome = run(*arguments)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("error: ")
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_settings_and_microscope_agree():
    settings = dataclasses.replace(AcquisitionSettings(), gain=3.0, otf_damping=0.4)
    microscope = microscope_of(settings)
    assert microscope.cutoff == settings.cutoff
    assert microscope.camera.gain == 3.0
    assert microscope.damping == 0.4
    assert isinstance(microscope.illumination(jax.random.key(0)), Illumination)

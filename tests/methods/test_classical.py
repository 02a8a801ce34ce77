"""Classical methods on a simulated acquisition whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from oidn_jax.acquisition import Acquisition, CameraSettings
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.methods import ClassicalMethod
from tests.acquisition.simulated import MICROSCOPE, SIZE, affine_psnr, counts, scene


def acquired(frames=None, **settings):
    return Acquisition.of_frames(np.moveaxis(counts() if frames is None else frames, 0, -1), MICROSCOPE, **settings)


@pytest.fixture(scope="module")
def acquisition():
    return acquired()


@pytest.fixture(scope="module")
def wiener(acquisition):
    return ClassicalMethod("wiener")(acquisition, 0)


def test_wiener_and_hifi_are_better_than_widefield(acquisition, wiener):
    widefield, hifi = (ClassicalMethod(name)(acquisition, 0).pixels for name in ("widefield", "hifi"))
    assert widefield.shape == hifi.shape == wiener.pixels.shape == (2 * SIZE, 2 * SIZE)
    target = scene().target[..., 0]
    assert affine_psnr(wiener.pixels, target) > affine_psnr(widefield, target) + 5.0
    # HiFi-SIM reshapes the spectrum: judged by how narrow the structures are.
    power = [np.abs(np.fft.fft2(image / image.std())) ** 2 for image in (widefield, hifi)]
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(2 * SIZE), np.fft.fftfreq(2 * SIZE)))
    beyond = (radius > 0.16) & (radius < 0.25)
    assert power[1][beyond].sum() > 4.0 * power[0][beyond].sum()


def test_an_image_is_zero_without_light(wiener):
    assert wiener.dark == 0.0
    assert wiener.remarks == ()


def test_ghosts_of_the_pattern_are_said(acquisition):
    """Stripes of the patterns' periods that are the same in all frames."""
    y, x = np.mgrid[:SIZE, :SIZE]
    vectors = acquisition.estimate.illumination.wave_vector
    stripes = sum(np.cos(2 * np.pi * (p[0] * y + p[1] * x)) for p in vectors)
    (remark,) = ClassicalMethod("wiener")(acquired(counts() + np.round(400.0 + 100.0 * stripes)), 0).remarks
    assert "ghosts of the pattern's period" in remark
    assert "check the OTF (`otf_damping`" in remark


def test_options_change_the_image(acquisition, wiener):
    for method in (ClassicalMethod("wiener", wiener=0.5), ClassicalMethod("wiener", attenuation=0.9)):
        assert np.abs(method(acquisition, 0).pixels - wiener.pixels).max() > 1.0


def test_the_provenance_has_numbers_optics_and_camera(wiener):
    provenance = wiener.provenance
    assert (provenance["wiener"], provenance["attenuation"]) == ("automatic", 0.0)
    assert provenance["optics"] == MICROSCOPE.describe()
    np.testing.assert_allclose(provenance["camera_offset"], 100.0, atol=8.0)
    hifi = ClassicalMethod("hifi", w1=0.9, rl_iterations=0, attenuation=0.5)
    provenance = hifi(acquired(camera=CameraSettings(camera_offset=99.0)), 0).provenance
    assert provenance["initial_wiener"] == pytest.approx(0.9)
    assert provenance["attenuation_strength"] == pytest.approx(0.5)
    assert provenance["rl_iterations"] == 0
    assert provenance["camera_offset"] == [99.0] * 3


def test_hot_and_dead_pixels_do_not_show(wiener):
    broken = counts()
    broken[:, 30, 41], broken[:, 12, 50] = 20000, 0
    acquisition = acquired(broken)
    assert affine_psnr(ClassicalMethod("wiener")(acquisition, 0).pixels, wiener.pixels) > 30.0
    assert any("2 hot or dead pixels" in line for line in acquisition.warnings)


@pytest.mark.parametrize(
    ("field", "value"), [("name", "weiner"), ("wiener", 0.0), ("attenuation", 1.0), ("w1", -1.0), ("rl_iterations", -1)]
)
def test_settings_that_are_not_legal(field, value):
    with pytest.raises(IllegalValue, match=str(value)) as error:
        ClassicalMethod(**{"name": "wiener", field: value})
    assert error.value.field == {"name": "method"}.get(field, field)


def test_two_phases_are_too_few():
    microscope = replace(MICROSCOPE, phases=2)
    with pytest.raises(IllegalValue, match=r"`microscope\.phases` is 2"):
        ClassicalMethod("wiener").check(microscope)
    ClassicalMethod("widefield").check(microscope)


def test_pixels_that_the_objective_does_not_go_with():
    """The widefield image needs no optics."""
    frames = np.moveaxis(counts(), 0, -1)
    for changes, message in (
        ({"na": 4.0}, r"62\.6 nm .* too large; SIM needs less than 32\.8 nm"),
        ({"na": 0.01}, r"check that `microscope\.pixel_size_nm` and `microscope\.emission_wavelength_nm` are in nm"),
    ):
        acquisition = Acquisition.of_frames(frames, replace(MICROSCOPE, **changes))
        with pytest.raises(InputError, match=message):
            ClassicalMethod("wiener")(acquisition, 0)
        ClassicalMethod("widefield")(acquisition, 0)

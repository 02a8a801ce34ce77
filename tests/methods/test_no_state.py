"""Methods have no state: the same call gives the same pixels, whatever was asked before."""

import numpy as np
import pytest

from oidn_jax.acquisition import Acquisition
from oidn_jax.data import open_sr_tiff
from oidn_jax.errors import InputError
from oidn_jax.methods import ClassicalMethod, GivenImage, Method, NetworkMethod
from tests.acquisition.simulated import MICROSCOPE, SIZE, counts
from tests.methods.fakes import untrained

TIMES = 3


def lapse():
    """Raw frames (time, h, w, frames) that get dimmer."""
    frames = np.stack([100 + (counts() - 100.0) * 0.8**time for time in range(TIMES)])
    return np.moveaxis(np.round(frames), 1, -1).astype(np.uint16)


@pytest.fixture(scope="module", params=["widefield", "wiener", "hifi", "oidn", "unet", "given"])
def method(request, tmp_path_factory):
    if request.param in ("oidn", "unet"):
        return NetworkMethod(untrained(request.param, microscope=MICROSCOPE), tile=48, overlap=8)
    if request.param == "given":
        path = tmp_path_factory.mktemp("given") / "image.tif"
        shape = (TIMES, 2 * SIZE, 2 * SIZE)
        with open_sr_tiff(path, shape=shape, pixel_size_nm=None, provenance={}) as writer:
            for image in np.random.default_rng(0).normal(size=shape).astype(np.float32):
                writer.write(image)
        return GivenImage(path)
    return ClassicalMethod(request.param)


def test_time_points_in_any_order_and_again(method):
    assert isinstance(method, Method)
    frames = lapse()
    acquisition = Acquisition.of_frames(frames, MICROSCOPE)
    forwards = [method(acquisition, time) for time in range(TIMES)]
    other, calls = Acquisition.of_frames(frames, MICROSCOPE), []
    for time in (2, 0, 2, 1):
        image = method(other, time, progress=lambda done, total: calls.append((done, total)))
        np.testing.assert_array_equal(image.pixels, forwards[time].pixels)
        assert image.dark == forwards[time].dark
        assert image.provenance == forwards[time].provenance
        assert calls[-1][0] == calls[-1][1]
    assert np.abs(forwards[0].pixels - forwards[2].pixels).max() > 0


def test_given_images_of_another_size(tmp_path):
    path = tmp_path / "small.tif"
    with open_sr_tiff(path, shape=(1, SIZE, SIZE), pixel_size_nm=None, provenance={}) as writer:
        writer.write(np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32))
    with pytest.raises(InputError, match=r"1 x 64 x 64 \(time, y, x\), but .* must be 3 x 128 x 128"):
        GivenImage(path)(Acquisition.of_frames(lapse(), MICROSCOPE), 0)


@pytest.mark.parametrize(
    "method", [ClassicalMethod("wiener"), ClassicalMethod("widefield"), NetworkMethod(untrained(microscope=MICROSCOPE))]
)
@pytest.mark.parametrize("value", [np.nan, np.inf, 7.0, 1e30])
def test_no_method_makes_an_image_of_frames_that_nobody_has_checked(method, value):
    frames = np.moveaxis(counts().astype(np.float32), 0, -1)
    frames[..., 3] = value
    with pytest.raises(InputError, match=r"one value everywhere|NaN, infinite"):
        method(Acquisition.of_frames(frames, MICROSCOPE), 0)

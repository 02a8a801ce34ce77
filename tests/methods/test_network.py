"""Networks in tiles: one normalisation, the units of the raw frames, and backing off when memory runs out."""

import re
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import oidn_jax
from oidn_jax.acquisition import Acquisition
from oidn_jax.data.normalisation import fit_min_max
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.methods import ClassicalMethod, NetworkMethod, reconstruct, reconstruct_with_error
from oidn_jax.methods.tiling import Tiling
from oidn_jax.models.layers import pixel_shuffle
from oidn_jax.models.prediction import Prediction
from oidn_jax.models.trained import TrainedModel
from tests.methods.fakes import (
    FIELDS,
    MICROSCOPE,
    ORIGIN,
    Constant,
    Identity,
    fake,
    frames_last,
    identity,
    raw_counts,
    untrained,
    upsampled,
)

OUT_OF_MEMORY = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 123 bytes."


@pytest.fixture(scope="module", params=("oidn", "unet", "dfcan", "apcan", "rcan"))
def tiny(request):
    return untrained(request.param)


def test_the_package_has_it_at_hand():
    assert oidn_jax.reconstruct is reconstruct
    assert oidn_jax.reconstruct_with_error is reconstruct_with_error


def test_one_tile_is_the_network_on_the_normalised_mirrored_image(tiny):
    raw_frames = frames_last(raw_counts(32, 40)).astype(np.float32)
    normalisation = fit_min_max(raw_frames)
    mirrored = np.pad(normalisation.apply(raw_frames), ((0, 0), (16, 16), (16, 16), (0, 0)), mode="symmetric")
    expected = normalisation.invert_image(np.asarray(tiny(mirrored).image)[:, 32:-32, 32:-32])
    result = reconstruct(raw_frames, tiny, tile=72)
    assert (result.shape, result.dtype) == ((1, 64, 80, 1), np.float32)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("shape", [(16, 16), (17, 61)])
def test_the_network_by_tiles_gives_every_size(tiny, shape):
    result = reconstruct(frames_last(raw_counts(*shape)), tiny, tile=16, overlap=4)
    assert result.shape == (1, 2 * shape[0], 2 * shape[1], 1)
    assert np.isfinite(result).all()


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i4", "f2", "f8"])
@pytest.mark.parametrize("normalisation", ["joint", "per_frame"])
def test_the_identity_keeps_the_units(dtype, normalisation):
    raw_frames = (frames_last(raw_counts(45, 61, times=2)) // 8).astype(dtype)
    model = fake(Identity, normalisation=normalisation)
    result = reconstruct(raw_frames, model, tile=20, overlap=5)
    mean = raw_frames.astype(np.float64).mean(-1)
    if normalisation == "per_frame":
        fitted = fit_min_max(raw_frames.astype(np.float64), mode="per_frame")
        mean = fitted.invert_image(fitted.apply(raw_frames.astype(np.float64)).mean(-1, keepdims=True))[..., 0]
    np.testing.assert_allclose(result[..., 0], upsampled(mean), atol=2e-6 * raw_frames.max())
    assert {shape[1:] for shape in model.shapes} == {(20, 20, 9)}


def test_wide_pixels_are_normalised_before_they_become_float32():
    """A small signal on a large offset, which float32 cannot tell apart."""
    signal, seen = frames_last(raw_counts(20, 20)).astype(np.float64), []

    class Seen(Identity):
        def __call__(self, tile):
            seen.append(tile)
            return super().__call__(tile)

    for offset in (0, 2**38):
        reconstruct(signal + offset, fake(Seen))
    np.testing.assert_array_equal(seen[0], seen[1])


def test_the_whole_image_has_one_normalisation():
    """A network that says 0.5 everywhere gives the middle of the image's range everywhere, whatever a tile holds."""
    raw_frames = frames_last(raw_counts(64, 64))
    raw_frames[:, :32] //= 4
    result = reconstruct(raw_frames, fake(Constant), tile=16, overlap=4)
    middle = (float(raw_frames.min()) + float(raw_frames.max())) / 2
    np.testing.assert_allclose(result, middle, rtol=1e-6)


def test_each_time_point_is_reconstructed_by_itself(tiny):
    raw_frames = frames_last(raw_counts(20, 24, times=3))
    together = reconstruct(raw_frames, tiny, tile=16)
    for t in range(3):
        np.testing.assert_array_equal(together[t], reconstruct(raw_frames[t : t + 1], tiny, tile=16)[0])


def test_the_default_tiling():
    assert identity(patch=400).tiling == Tiling(400, 32)
    assert identity(patch=32).tiling == Tiling(288, 32)
    assert NetworkMethod(fake(Identity), tile=40).tiling == Tiling(40, 10)
    assert NetworkMethod(fake(Identity), overlap=3).tiling == Tiling(288, 3)
    model = fake(Identity, patch=80)
    reconstruct(frames_last(raw_counts(280, 100)), model)
    assert set(model.shapes) == {(1, 288, 132, 9)}


def test_progress_counts_every_tile():
    calls = []
    raw_frames = frames_last(raw_counts(40, 40, times=2))
    reconstruct(raw_frames, fake(Identity), tile=24, overlap=4, progress=lambda *c: calls.append(c))
    assert calls == [(i + 1, 32) for i in range(32)]


@pytest.mark.parametrize("error", [MemoryError(), jax.errors.JaxRuntimeError(OUT_OF_MEMORY)], ids=["host", "device"])
def test_backs_off_to_smaller_tiles(error):
    raw_frames = frames_last(raw_counts(300, 280))
    model, calls = fake(Identity, patch=400, largest=83, error=error), []
    with pytest.warns(RuntimeWarning, match="memory ran out") as caught:
        result = reconstruct(raw_frames, model, progress=lambda *c: calls.append(c))
    np.testing.assert_allclose(result[..., 0], upsampled(raw_frames.mean(-1)), atol=2e-6 * raw_frames.max())
    assert list(dict.fromkeys(model.shapes)) == [(1, n, m, 9) for n, m in [(332, 312), (166, 166), (83, 83)]]
    assert [re.findall(r"(\d+)", str(w.message)) for w in caught] == [["332", "166"], ["166", "83"]]
    assert not any("\n" in str(w.message) for w in caught)
    assert calls[-1][0] == calls[-1][1]


def test_memory_that_runs_out_later_starts_the_time_point_again():
    """One image has one tiling, so the first tiles must not stay."""
    raw_frames = frames_last(raw_counts(128, 128))

    class Later(Identity):
        def __call__(self, tile):
            if tile.shape[1] == 128 and len(self.shapes) == 1:
                raise MemoryError
            prediction = super().__call__(tile)
            return prediction._replace(image=prediction.image * 0 + tile.shape[1])

    with pytest.warns(RuntimeWarning, match="`tile` is 64"):
        result = reconstruct(raw_frames, fake(Later), tile=128)
    low, high = float(raw_frames.min()), float(raw_frames.max())
    np.testing.assert_allclose(result, low + 64 * (high - low), rtol=1e-6)


def test_gives_up_below_the_smallest_tile():
    raw_frames = frames_last(raw_counts(100, 100))
    message = "memory ran out with tiles of 64 raw pixels, and tiles are not made smaller than 64"
    with pytest.raises(InputError, match=message):
        reconstruct(raw_frames, fake(Identity, largest=16), tile=100)


def test_other_errors_of_the_device_are_not_taken_for_memory():
    error = jax.errors.JaxRuntimeError("INTERNAL: something else")
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        reconstruct(frames_last(raw_counts(100, 100)), fake(Identity, largest=16, error=error))


def test_a_diverged_model_is_told():
    with pytest.raises(InputError, match="6400 NaN or infinite pixels"):
        reconstruct(frames_last(raw_counts(40, 40)), fake(Constant, value=np.nan))


def with_pixel(value):
    raw_frames = frames_last(raw_counts()).astype(np.float32)
    raw_frames[0, 3, 4, 5] = value
    return raw_frames


GOOD = frames_last(raw_counts())


@pytest.mark.parametrize(
    ("raw_frames", "message"),
    [
        (GOOD[0], r"shape \(40, 48, 9\); this model takes \(b, h, w, 9\)"),
        (GOOD[..., :8], r"shape \(1, 40, 48, 8\)"),
        (GOOD[:0], r"\(0, 9, 40, 48\)"),
        (GOOD[:, :15], "15 x 48 pixels; the smallest image is 16 x 16"),
        (GOOD > 0, "bool"),
        (with_pixel(np.nan), "1 pixels that are NaN, infinite"),
        (with_pixel(np.inf), "1 pixels that are NaN, infinite"),
        (with_pixel(3e12), "1 pixels that are NaN, infinite or beyond 1e\\+12"),
    ],
)
def test_wrong_frames(raw_frames, message):
    with pytest.raises(InputError, match=message) as error:
        reconstruct(raw_frames, fake(Identity))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("tile", "overlap", "field"), [(8, None, "tile"), (64, 32, "overlap"), (None, -1, "overlap")])
def test_wrong_tiles(tile, overlap, field):
    with pytest.raises(IllegalValue) as error:
        NetworkMethod(fake(Identity), tile=tile, overlap=overlap)
    assert error.value.field == field


@pytest.mark.parametrize("field", ["orientations", "phases", "scale"])
def test_a_microscope_that_the_model_was_not_trained_for(field):
    with pytest.raises(IllegalValue, match=f"`microscope.{field}` is 4") as error:
        identity().check(replace(MICROSCOPE, **{field: 4}))
    assert str(getattr(MICROSCOPE, field)) in error.value.legal


def test_doubtful_frames_are_python_warnings():
    raw_frames = np.minimum(100 * GOOD, 4095).astype(np.uint16)
    with pytest.warns(RuntimeWarning, match=r"saturated \(value 4095\)"):
        reconstruct(raw_frames, fake(Identity))


def test_the_image_tells_its_zero_and_where_it_comes_from():
    """The normalisation's zero is the smallest count; classical images are 0 without light."""
    acquisition = Acquisition.of_frames(GOOD + np.uint16(100), MICROSCOPE)
    image = NetworkMethod(fake(Identity), tile=44, overlap=7)(acquisition, 0)
    assert image.dark == GOOD.min() + 100
    assert image.provenance == {
        "weights": ORIGIN,
        "intensity": "in the range of the raw frames, not proportional to light",
        "normalisation": "joint",
        "tile": [44, 44],
        "overlap": 7,
        "optics": MICROSCOPE.describe(),
    }
    assert image.remarks == ()


def test_a_guided_network_wants_the_microscope_and_is_proportional_to_light():
    model = untrained("guided")
    frames = frames_last(raw_counts(48, 48)).astype(np.float32)
    with pytest.raises(InputError, match="give the `microscope` that recorded the frames"):
        reconstruct(frames, model)
    with pytest.warns(RuntimeWarning):
        image = reconstruct(frames, model, microscope=MICROSCOPE)
    assert image.shape == (1, 96, 96, 1)
    with pytest.warns(RuntimeWarning):
        brighter = reconstruct(3.0 * frames, model, microscope=MICROSCOPE)
    np.testing.assert_allclose(brighter, 3.0 * image, atol=0.02 * np.abs(brighter).max())


def test_what_lies_outside_the_training_is_said():
    frames = frames_last(raw_counts(48, 48)).astype(np.float32)
    acquisition = Acquisition.of_frames(frames, MICROSCOPE)
    cutoff = MICROSCOPE.cutoff
    inside = {"cutoff": [0.9 * cutoff, 1.1 * cutoff], "pattern": [0.05, 2.0], "photons": [1e-6, 1e9]}
    outside = {"cutoff": [1.5 * cutoff, 2.0 * cutoff], "pattern": [3.0, 4.0], "photons": [1e8, 1e9]}
    model = untrained("guided")
    for given, expected in (
        (inside, []),
        (outside, ["the pixel size", "the stripes", "the signal"]),
        (inside | {"photons": [1e8, 1e9]}, ["the signal"]),
    ):
        image = NetworkMethod(replace(model, origin={**ORIGIN, "range": given}))(acquisition, 0)
        remarks = [line for line in image.remarks if line.startswith("outside the network's training is")]
        assert len(remarks) == len(expected)
        assert all(words in line for words, line in zip(expected, remarks, strict=True))


@dataclass(frozen=True)
class Slanted(TrainedModel):
    """Gives its first guide plus the row and ten times the column of each pixel, and as expected error the row."""

    def __call__(self, guides):
        image = np.array(pixel_shuffle(jnp.asarray(guides[..., :4]), 2))
        y, x = np.indices(image.shape[1:3]).astype(np.float32)
        return Prediction(image + (y + 10.0 * x)[None, ..., None], log_error=np.log(1e-3 * (1.0 + y))[None, ..., None])


@pytest.mark.parametrize("tile", [None, 40], ids=["whole", "tiles"])
def test_the_image_is_the_mean_of_its_views(tile):
    model = Slanted(FIELDS["guided"], {}, MICROSCOPE, "joint", 32, ORIGIN, {})
    acquisition = Acquisition.of_frames(GOOD, MICROSCOPE, fit_damping=False)
    one, two, four, eight = (NetworkMethod(model, tile=tile, views=views)(acquisition, 0) for views in (1, 2, 4, 8))
    assert [image.provenance["views"] for image in (one, two, four, eight)] == [1, 2, 4, 8]
    unit = one.provenance["unit_counts"]
    slant = (one.pixels - one.guide) / unit
    assert np.ptp(slant) > 10.0
    for image in (two, four, eight):
        added = (image.pixels - image.guide) / unit
        np.testing.assert_allclose(added, added.mean(), atol=1e-3 * added.mean())  # what is mirrored cancels
        if image is not eight:  # the field is not square: transposed, the slant is another
            np.testing.assert_allclose(added.mean(), slant.mean(), rtol=1e-3)
            np.testing.assert_allclose(image.error.mean(), one.error.mean(), rtol=1e-3)
    np.testing.assert_array_equal(NetworkMethod(model, tile=tile)(acquisition, 0).pixels, four.pixels)


def test_wrong_views():
    with pytest.raises(IllegalValue, match=r"`views` is 3; legal: 1, 2, 4, 8$"):
        NetworkMethod(untrained("guided"), views=3)
    with pytest.raises(IllegalValue, match="`views` is 2; legal: 1 for U-Net, whose raw frames cannot be turned"):
        NetworkMethod(untrained(), views=2)


@dataclass(frozen=True)
class Doubtful(TrainedModel):
    """Gives its first guide, and expects everywhere the same error, in the guides' unit."""

    expected: float = 1e-3

    def __call__(self, guides):
        image = np.asarray(pixel_shuffle(jnp.asarray(guides[..., :4]), 2))
        return Prediction(image, log_error=np.full_like(image, np.log(self.expected)))


@pytest.mark.parametrize("tile", [None, 40], ids=["whole", "tiles"])
def test_the_expected_error_has_the_unit_of_the_image(tile):
    model = Doubtful(FIELDS["guided"], {}, MICROSCOPE, "joint", 32, ORIGIN, {})
    acquisition = Acquisition.of_frames(GOOD, MICROSCOPE, fit_damping=False)
    image = NetworkMethod(model, tile=tile)(acquisition, 0)
    assert image.provenance["intensity"].startswith("proportional to light, in the counts")
    unit = image.provenance["unit_counts"]
    np.testing.assert_allclose(image.error, 1e-3 * unit, rtol=1e-5)
    wiener = ClassicalMethod("wiener")(acquisition, 0)
    assert wiener.error is None
    np.testing.assert_allclose(image.pixels, wiener.pixels, atol=1e-3 * wiener.pixels.max())
    np.testing.assert_allclose(image.pixels, image.guide, atol=1e-5 * unit)
    # No more than the pixel itself and the noise of the widefield image.
    boundless = NetworkMethod(replace(model, expected=1e6), tile=tile)(acquisition, 0)
    noise = boundless.error - np.abs(boundless.pixels)
    np.testing.assert_allclose(noise, noise[0, 0], rtol=1e-3)
    assert 1e-3 * unit < noise[0, 0] < 0.5 * unit


def test_images_with_errors_are_those_without():
    model, frames = untrained("guided"), frames_last(raw_counts(48, 48)).astype(np.float32)
    with pytest.warns(RuntimeWarning):
        images, errors = reconstruct_with_error(frames, model, microscope=MICROSCOPE, tile=40)
    with pytest.warns(RuntimeWarning):
        np.testing.assert_array_equal(images, reconstruct(frames, model, microscope=MICROSCOPE, tile=40))
    assert images.shape == errors.shape
    assert errors.min() > 0
    assert errors.std() > 0
    with pytest.raises(InputError, match="U-Net does not know the expected error of its pixels"):
        reconstruct_with_error(frames, untrained("unet"))

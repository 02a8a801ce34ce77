"""What a raw file says of itself, against data whose camera, light and stripes are known."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from oidn_jax.acquisition.checks import check_pixels
from oidn_jax.acquisition.photon_transfer import fit_photon_transfer
from oidn_jax.acquisition.raw_report import describe_raw, format_lines
from oidn_jax.data import InputError, RawStack, open_raw_stack

DATA = os.environ.get("OIDN_TEST_DATA")
SIDE = 192
PERIODS = ((6, 21), (-16, 17), (20, 8))  # per image: (y, x) of the stripes of each orientation
GAIN, OFFSET, READ_NOISE = 2.2, 100.0, 1.4


def stack_of(frames):
    return RawStack.of_array(frames, source="cell.tif")


def blurred(image, sigma=2.0):
    """A periodic Gaussian blur, to a band limit below what the noise is measured at."""
    distance = np.minimum(np.arange(SIDE), SIDE - np.arange(SIDE))
    kernel = np.exp(-(distance**2) / (2 * sigma**2))
    circulant = kernel[(np.arange(SIDE)[:, None] - np.arange(SIDE)) % SIDE] / kernel.sum()
    return circulant @ image @ circulant


@cache
def specimen():
    """Blobs with a mean of 1 over their bright part, on a dark ground."""
    random = np.random.default_rng(0)
    image = blurred(random.random((SIDE, SIDE)) ** 2, sigma=6.0)
    image = blurred(np.clip(image - np.percentile(image, 40), 0, None))
    return image / image[image > image.mean()].mean()


def photons(mean, *, modulation=0.3, phases=3, times=1, background=0.0):
    """Noise-free frames (times, 3, phases, y, x); stripes of the given contrast where the specimen is smooth."""
    y, x = np.mgrid[:SIDE, :SIDE]
    stripes = [
        [1 + modulation * np.cos(2 * np.pi * ((v * y + u * x) / SIDE + n / phases)) for n in range(phases)]
        for v, u in PERIODS
    ]
    return np.tile(mean * specimen() * np.array(stripes) + background, (times, 1, 1, 1, 1))


def recorded(light, *, gain=GAIN, offset=OFFSET, read_noise=READ_NOISE, seed=1):
    """What a camera makes of noise-free frames, (times, frames, y, x); the gain may be one number per orientation."""
    random = np.random.default_rng(seed)
    electrons = random.poisson(light) + random.normal(0, read_noise, light.shape)
    counts = np.round(offset + np.reshape(gain, (-1, 1, 1, 1)) * electrons)
    return np.clip(counts, 0, 65535).astype(np.uint16).reshape(len(light), -1, *light.shape[3:])


def report_of(light, *, phases=3, gain=GAIN, seed=1):
    return describe_raw(stack_of(recorded(light, gain=gain, seed=seed)), phases=phases)


def true_electrons(light):
    """Mean light over the brighter of two classes of the noise-free pixels, each nearer to its own mean."""
    image = light[0].mean(axis=(0, 1))
    low, high = image.min(), image.max()
    for _ in range(20):
        middle = (low + high) / 2
        low, high = image[image <= middle].mean(), image[image > middle].mean()
    return image[image > middle].mean()


def values(report, name):
    return np.array([getattr(orientation, name) for orientation in report.orientations])


@pytest.mark.parametrize("mean", [15.0, 400.0, 3000.0])
def test_gain_light_and_contrast(mean):
    light = photons(mean)
    report = report_of(light)
    np.testing.assert_allclose(values(report, "gain_counts_per_electron"), GAIN, rtol=0.1)
    np.testing.assert_allclose(values(report, "offset_counts"), OFFSET, atol=0.02 * mean * GAIN + 2 * GAIN)
    np.testing.assert_allclose(values(report, "electrons_frame"), light.mean(), rtol=0.1)
    np.testing.assert_allclose(values(report, "electrons_structures"), true_electrons(light), rtol=0.1)
    np.testing.assert_allclose(values(report, "contrast"), 0.3, rtol=0.1)
    assert report.warnings == ()


def test_the_line_is_the_cameras():
    """Its slope, and its value at 0 counts: what the read noise adds, less what the offset would."""
    frames = recorded(photons(60.0))[0, :3].astype(float)
    line = fit_photon_transfer(frames, None)
    assert line.gain == pytest.approx(GAIN, rel=0.1)
    assert line.intercept == pytest.approx((GAIN * READ_NOISE) ** 2 - GAIN * OFFSET, rel=0.1)
    assert line.offset == pytest.approx(OFFSET, abs=5)


def test_an_even_background_is_light_and_not_offset():
    light = photons(100.0, background=60.0)
    report = report_of(light)
    np.testing.assert_allclose(values(report, "electrons_frame"), light.mean(), rtol=0.1)


def test_each_orientation_has_a_gain_of_its_own():
    gains = np.array([2.0, 1.7, 2.6])
    report = report_of(photons(100.0), gain=gains)
    np.testing.assert_allclose(values(report, "gain_counts_per_electron"), gains, rtol=0.1)


@pytest.mark.parametrize(("phases", "seed"), [(3, 0), (3, 1), (5, 2)])
def test_noise_is_no_contrast(phases, seed):
    report = report_of(photons(15.0, modulation=0.0, phases=phases), phases=phases, seed=seed)
    # The raw ratio would be 2 / sqrt(phases * 15), 0.3 and 0.2.
    assert (values(report, "contrast") < 1.5 * values(report, "contrast_limit")).all()
    assert (values(report, "contrast_limit") < 0.1).all()
    np.testing.assert_allclose(values(report, "mcnr"), 3.545 / np.sqrt(phases), rtol=0.05)
    assert any("the stripes have a contrast of" in warning for warning in report.warnings)


def test_jitter_without_stripes_is_no_contrast():
    factors = np.array([[1.0, 1.1, 0.9], [1.0, 1.0, 1.0], [0.9, 1.0, 1.05]])
    report = report_of(photons(3000.0, modulation=0.0) * factors[:, :, None, None])
    assert (values(report, "contrast") < 0.01).all()


def test_mcnr_of_clear_stripes():
    # 2 m sqrt(A) by its definition, over a specimen of uneven brightness A.
    light = photons(1000.0)
    image = light[0].mean(axis=(0, 1))
    expected = 2 * 0.3 * np.sqrt(image[image > 500]).mean()
    np.testing.assert_allclose(values(report_of(light), "mcnr"), expected, rtol=0.1)


def test_bleaching_and_jitter():
    light = photons(300.0, times=4)
    exposures = np.arange(9).reshape(3, 3)
    report = report_of(light * 0.97 ** (exposures + 9 * np.arange(4)[:, None, None])[..., None, None])
    assert report.bleaching_percent_per_frame == pytest.approx(3.0, abs=0.3)
    assert report.bleaching_percent_per_time == pytest.approx(100 * (1 - 0.97**9), abs=0.5)
    assert len([warning for warning in report.warnings if "bleaching" in warning]) == 2

    factors = np.array([[1.0, 1.0, 1.0], [1.1, 1.0, 0.9], [2.0, 2.0, 2.0]])
    report = report_of(light[:1] * factors[:, :, None, None])
    expected = 100 * factors / factors.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(values(report, "frame_brightness_percent"), expected, atol=0.5)
    np.testing.assert_allclose(values(report, "brightness_percent"), [75, 75, 150], atol=1.0)
    (warning,) = report.warnings
    assert "orientation 2: the frames differ in brightness by up to 10" in warning
    assert report.bleaching_percent_per_time is None


def test_saturated_and_dead_pixels_do_not_spoil_the_gain():
    frames = np.minimum(recorded(photons(1600.0)), 4095)
    frames[:, :, 20::40, 30::40] = 0
    report = describe_raw(stack_of(frames))
    fraction = (frames == 4095).mean()
    assert 0.05 < fraction < 0.2
    assert report.saturated_percent == pytest.approx(100 * fraction)
    assert "saturated (value 4095)" in report.warnings[0]
    np.testing.assert_allclose(values(report, "gain_counts_per_electron"), GAIN, rtol=0.1)


def test_little_light_is_warned_of():
    report = report_of(photons(3.0))
    assert any("photo-electrons per pixel in the structures" in warning for warning in report.warnings)


@pytest.mark.parametrize("noisy", [False, True])
def test_an_unknown_gain_is_not_made_up(noisy):
    # Noise that does not grow with the light, and no noise at all.
    noise = np.random.default_rng(0).normal(0, 5, (1, 9, SIDE, SIDE)) if noisy else 0
    report = describe_raw(stack_of((photons(100.0).reshape(1, 9, SIDE, SIDE) + noise).astype(np.float32)))
    for name in ("gain_counts_per_electron", "electrons_frame", "electrons_structures", "mcnr"):
        assert (values(report, name) == None).all()  # noqa: E711
    np.testing.assert_allclose(values(report, "contrast").astype(float), 0.3, rtol=0.1)
    assert "unknown" in "\n".join(format_lines(report))


@pytest.mark.parametrize(("value", "rows"), [(151, 40), (163, 24), (177, 60), (203, 20)])
def test_padding_with_one_value_leaves_no_line(value, rows):
    """Its noise is that of rounding, which is not always 0."""
    frames = recorded(photons(60.0))[0, :3].astype(float)
    frames[:, :rows] = value
    line = fit_photon_transfer(frames, None)
    assert (line.gain, line.intercept) == (None, 0.0)


def test_a_featureless_image_has_neither_gain_nor_contrast():
    frames = np.random.default_rng(0).poisson(50, (1, 9, 64, 64)).astype(np.uint16)
    report = describe_raw(stack_of(frames))
    for name in ("gain_counts_per_electron", "offset_counts", "contrast", "mcnr"):
        assert (values(report, name) == None).all()  # noqa: E711
    np.testing.assert_allclose(values(report, "frame_brightness_percent"), 100, atol=2)


def test_the_smallest_images_say_little_but_do_not_fail():
    frames = np.random.default_rng(0).poisson(50, (1, 9, 16, 16)).astype(np.uint16)
    assert describe_raw(stack_of(frames)).orientations[0].gain_counts_per_electron is None


def test_two_phases_have_no_contrast():
    report = report_of(photons(100.0)[:, :, :2], phases=2)
    assert (values(report, "contrast") == None).all()  # noqa: E711


def test_what_is_refused():
    frames = recorded(photons(100.0))
    with pytest.raises(ValueError, match="9 frames per time point"):
        describe_raw(stack_of(frames), phases=5)
    frames[0, 3] = 7
    with pytest.raises(InputError, match="1 frames of one value"):
        describe_raw(stack_of(frames))


def test_the_text_is_a_table():
    report = report_of(photons(3.0, times=2))
    lines = format_lines(report)
    assert lines[0].split() == ["orientation", "1", "orientation", "2", "orientation", "3"]
    assert len({len(line) for line in lines[:12]}) == 1
    assert [line for line in lines if line.startswith("warning: ")] == [f"warning: {w}" for w in report.warnings]
    assert report.warnings
    assert all("\n" not in line for line in lines)


@pytest.mark.skipif(DATA is None, reason="OIDN_TEST_DATA names no folder of real acquisitions")
def test_the_order_of_uneven_phases_is_not_doubted():
    """Their widefield images keep stripes, which looks like a wrong order until the stripes are asked."""
    stack = open_raw_stack(Path(DATA) / "microtubules_660nm_uneven_phases.tif")
    assert any("frame order is doubtful" in line for line in check_pixels(stack))
    assert not any("frame order" in line for line in describe_raw(stack).warnings)


@pytest.mark.skipif(DATA is None, reason="OIDN_TEST_DATA names no folder of real acquisitions")
def test_a_real_acquisition():
    # Its counts were multiplied by these after recording: the pixels of an orientation are whole multiples apart.
    quanta = np.array([360.08, 319.7, 374.5])
    report = describe_raw(open_raw_stack(Path(DATA) / "rdlsim_microtubules_488nm.mrc"))
    gains = values(report, "gain_counts_per_electron") / quanta
    # One camera, an sCMOS of about 0.46 electrons per count.
    np.testing.assert_allclose(gains, gains.mean(), rtol=0.05)
    assert gains.mean() == pytest.approx(2.2, rel=0.1)
    electrons = values(report, "electrons_structures")
    assert (electrons > 5).all()
    assert (electrons < 20).all()
    assert report.saturated_percent < 0.001
    assert (np.abs(values(report, "frame_brightness_percent") - 100) < 3).all()


def test_the_contrast_of_the_second_harmonic():
    first, second = photons(300.0, modulation=0.1, phases=5), photons(300.0, modulation=0.4, phases=5)
    order = 2 * np.arange(5) % 5  # twice the phase in each frame
    light = first + second[:, :, order] - photons(300.0, modulation=0.0, phases=5)
    report = report_of(light, phases=5)
    np.testing.assert_allclose(values(report, "contrast"), 0.1, rtol=0.1)
    np.testing.assert_allclose(values(report, "second_contrast"), 0.4, rtol=0.05)
    assert any("second harmonic" in line for line in format_lines(report))
    two = report_of(photons(300.0), phases=3)
    assert two.orientations[0].second_contrast is None
    assert not any("second harmonic" in line for line in format_lines(two))
    faint = photons(300.0, modulation=0.4, phases=5)[:, :, order]
    assert not any("stripes have a contrast" in warning for warning in report_of(faint, phases=5).warnings)

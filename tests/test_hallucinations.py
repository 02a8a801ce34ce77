"""What the benchmark of hallucinations counts, on images whose content is known."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from benchmarks.hallucinations import Change, drawn, features, gain_of, scatter, shares, weights_of

SIDE, PLACE = 96, np.array([40, 52])


@pytest.fixture(scope="module")
def target():
    """Soft structure of mean 1."""
    return 1.0 + gaussian_filter(np.random.default_rng(0).standard_normal((SIDE, SIDE)), 3.0)


@pytest.fixture(scope="module")
def change():
    seen = gaussian_filter(0.4 * drawn(PLACE, SIDE, (2.0, 14.0), angle=0.7), 1.5)
    return seen, Change("filament", 0.4, weights_of(seen, PLACE))


@pytest.mark.parametrize("shown", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (300.0, -20.0)])
def test_the_share_of_a_change_that_an_image_shows(target, change, shown, gain, offset):
    seen, described = change
    image = gain * (target + shown * seen) + offset
    (share,) = shares(image, target, [described], gain=gain)
    assert share == pytest.approx(shown, abs=1e-6)
    assert gain_of(gain * target + offset, target) == pytest.approx(gain, rel=1e-6)


def test_noise_does_not_shift_the_gain_or_the_share(target, change):
    seen, described = change
    random = np.random.default_rng(1)
    images = [target + seen + 0.1 * random.standard_normal(target.shape) for _ in range(100)]
    assert np.mean([gain_of(image, target) for image in images]) == pytest.approx(1.0, abs=0.05)
    mean = np.mean([shares(image, target, [described], gain=1.0) for image in images])
    assert mean == pytest.approx(1.0, abs=0.1)


def test_a_drawn_filament_has_its_width_and_length():
    line = drawn(PLACE, SIDE, (2.0, 14.0), angle=0.0)
    assert line.max() == line[tuple(PLACE)] == 1.0
    np.testing.assert_allclose(line[PLACE[0] + 1, PLACE[1]], 0.5)  # a half width across
    assert (line[PLACE[0]] > 0.5).sum() == pytest.approx(14 + 2, abs=1)


def test_noise_alone_has_hardly_any_features_and_worms_are_counted():
    noise = np.random.default_rng(0).standard_normal((200, 200))
    assert scatter(noise) == pytest.approx(1.0, abs=0.02)
    share, count = features(noise, noise=1.0, pixel_um=0.1)
    assert share < 2e-4
    assert count < 2.0
    # A smooth, dark image with two worms, of 1.5 standard deviations of Wiener SIM's noise.
    worms = 0.05 * noise
    worms[50, 20:60] = worms[120:150, 90] = 1.5
    share, count = features(worms, noise=1.0, pixel_um=0.1)
    assert share == 0.0
    assert count == pytest.approx(2 * 100.0 / 400.0)  # in 400 square micrometres
    assert features(worms, noise=2.0, pixel_um=0.1)[1] == 0.0  # weaker than that noise
    assert features(worms, noise=0.3, pixel_um=0.1)[0] == pytest.approx(70 / 40_000)

"""Defects of the camera: found by standing out more than light can, and only they are changed."""

import numpy as np
import pytest

from oidn_jax.acquisition.defects import find_defects, repair

CUTOFF = 0.36  # of NA 1.49 at 525 nm and 62.6 nm
# Offsets (y, x) of touching pixels.
CLUSTERS = {
    "L": ((0, 0), (1, 0), (1, 1)),
    "line": ((0, 0), (0, 1), (0, 2)),
    "square": ((0, 0), (0, 1), (1, 0), (1, 1)),
    "2 x 3": tuple((i, j) for i in range(2) for j in range(3)),
    "3 x 3": tuple((i, j) for i in range(3) for j in range(3)),
}


def points(size, places, *, sigma=1.35):
    """Points of light of up to 3000 photons, as narrow as an objective of NA 1.49 makes them at 62.6 nm."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[: size[0], : size[1]]
    return sum(random.uniform(50, 3000) * np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * sigma**2)) for a, b in places)


def exposed(light, seed=0):
    return np.random.default_rng(seed).poisson(light, (9, *light.shape)).astype(np.uint16) + 100


@pytest.fixture(scope="module")
def frames():
    places = np.random.default_rng(0).uniform((4, 4), (44, 60), (60, 2))
    return exposed(5.0 + points((64, 64), places))


@pytest.fixture(scope="module")
def wires():
    """Straight filaments along the axes, full width at half maximum 2.4 pixels, one of which ends, and an edge."""
    y, x = np.mgrid[:96, :96]

    def rising(place):
        return 0.5 + 0.5 * np.tanh(x - place)

    light = 5.0 + 200 * rising(70)
    for place in (20.0, 31.5, 44.3):
        light = light + 300 * np.exp(-((x - place) ** 2) / 2) + 200 * rising(47) * np.exp(-((y - place) ** 2) / 2)
    return light


def nothing(defects):
    return not (defects.pixels.any() or defects.lines or defects.offset.any())


def test_light_is_no_defect(frames, wires):
    assert nothing(find_defects(frames, cutoff=CUTOFF))
    assert nothing(find_defects(exposed(wires), cutoff=CUTOFF))
    assert nothing(find_defects(exposed(10.0 * wires), cutoff=CUTOFF))


@pytest.mark.parametrize("cutoff", [0.36, 0.45, 0.499, 0.55, 0.65])
def test_points_of_light_are_no_defects_whatever_the_pixels(cutoff):
    """Bright, in focus and alone, where four coarse pixels hold nearly all of one."""
    size, samples = 48, 4
    f = np.fft.fftfreq(size * samples) * samples
    inside = np.clip(np.hypot(f[:, None], f[None]) / cutoff, 0, 1)
    transfer = 2 / np.pi * (np.arccos(inside) - inside * np.sqrt(1 - inside**2))
    places = np.random.default_rng(3).integers(4 * samples, (size - 4) * samples, (2, 25))
    fine = np.zeros((size * samples,) * 2)
    fine[tuple(places)] = 3e4
    light = np.fft.ifft2(np.fft.fft2(fine) * transfer).real.clip(0)
    light = light.reshape(size, samples, size, samples).sum((1, 3))
    assert nothing(find_defects(exposed(2.0 + light), cutoff=cutoff))


def test_stripes_along_an_axis_are_no_defect():
    """Of phases that are not even, which leave them in the mean."""
    x = np.arange(96)
    for period in (2.6, 2.8, 3.3, 5.0):
        assert nothing(
            find_defects(exposed(np.broadcast_to(100 + 20 * np.cos(2 * np.pi * x / period), (96, 96))), cutoff=CUTOFF)
        )


@pytest.mark.parametrize("sigma", [0.8, 1.0, 1.35])
def test_the_sharpest_points_of_light_are_no_defect(sigma):
    """Down to those of coarse pixels, at every position within a pixel."""
    places = [(8 + 12 * i + i / 5, 8 + 12 * j + j / 5) for i in range(6) for j in range(6)]
    assert nothing(find_defects(exposed(20.0 + points((80, 80), places, sigma=sigma)), cutoff=CUTOFF))


@pytest.mark.parametrize("value", [0, 9000])
def test_defects_are_found_and_nothing_else_is_changed(frames, value):
    broken = frames.copy()
    places = np.zeros((64, 64), bool)
    for place in ((54, 20), (57, 31), (57, 32), (62, 40)):
        places[place] = True
    broken[:, places] = value
    defects = find_defects(broken, cutoff=CUTOFF)
    np.testing.assert_array_equal(defects.pixels, places)
    assert defects.describe() == ["4 hot or dead pixels are replaced by the median of their neighbours"]
    repaired = repair(broken, defects)
    np.testing.assert_array_equal(repaired[:, ~places], frames[:, ~places])
    assert np.abs(repaired[:, places].astype(float) - frames[:, places]).max() < 0.5 * np.ptp(frames)


@pytest.mark.parametrize(("least", "most"), [(0, 0), (6000, 6000), (2000, 9000)])
@pytest.mark.parametrize("shape", CLUSTERS)
def test_touching_defects_are_found_and_filled_from_outside(frames, shape, least, most):
    random, broken, places = np.random.default_rng(1), frames.copy(), np.zeros((64, 64), bool)
    for y, x in CLUSTERS[shape]:
        places[53 + y, 30 + x] = True
    broken[:, places] = random.uniform(least, most, places.sum())
    defects = find_defects(broken, cutoff=CUTOFF)
    np.testing.assert_array_equal(defects.pixels, places)
    repaired = repair(broken, defects)
    np.testing.assert_array_equal(repaired[:, ~places], frames[:, ~places])
    assert np.abs(repaired[:, places].mean() - frames[:, places].mean()) < 3.0


@pytest.mark.parametrize("counts", [8, -15, 150])
@pytest.mark.parametrize("kind", ["column", "row"])
def test_a_line_with_an_offset_of_its_own_is_brought_back(wires, kind, counts):
    frames = exposed(wires).astype(float)
    where = np.s_[:, :, 55] if kind == "column" else np.s_[:, 80, :]
    broken = frames.copy()
    broken[where] += counts
    defects = find_defects(broken.clip(0).astype(np.uint16), cutoff=CUTOFF)
    assert not defects.pixels.any()
    (line,) = defects.lines
    assert (line.kind, line.index, line.start, line.stop) == (kind, 55 if kind == "column" else 80, 0, 96)
    assert line.follows
    assert f"{kind} {line.index} by {line.counts:+.3g}; this is subtracted" in defects.describe()[0]
    assert abs(line.counts - counts) < 2.0
    assert np.abs((repair(broken, defects) - frames).mean(0)).max() < 2.0


def test_two_lines_side_by_side_and_half_a_line(wires):
    frames = exposed(wires)
    frames[:, 78:80] += 60
    frames[:, 40:, 8] += 60
    lines = [(line.kind, line.index, line.start > 30, line.stop) for line in find_defects(frames, cutoff=CUTOFF).lines]
    assert lines == [("column", 8, True, 96), ("row", 78, False, 96), ("row", 79, False, 96)]


@pytest.mark.parametrize("value", [0, 60000])
def test_a_line_that_does_not_see_the_light_is_replaced(wires, value):
    frames = exposed(wires)
    broken = frames.copy()
    broken[:, :, 55] = value
    defects = find_defects(broken, cutoff=CUTOFF)
    assert [line.follows for line in defects.lines] == [False]
    assert defects.pixels[:, 55].all()
    assert defects.pixels.sum() == 96
    assert "replaced by their neighbours" in defects.describe()[0]
    repaired = repair(broken, defects)
    assert repaired.dtype == frames.dtype
    assert np.abs(repaired[:, :, 55].mean(0) - frames[:, :, 55].mean(0)).mean() < 5.0


def test_without_defects_nothing_is_copied(frames):
    assert repair(frames, find_defects(frames, cutoff=CUTOFF)) is frames


def test_frames_that_were_clipped_at_zero_have_no_defects():
    """Points of light on a background that somebody has subtracted and cut off."""
    random = np.random.default_rng(5)
    y, x = np.mgrid[:64, :80]
    spots = sum(300 * np.exp(-((y - a) ** 2 + (x - b) ** 2) / 3) for a, b in random.uniform(4, 60, (20, 2)))
    frames = random.poisson(np.broadcast_to(spots, (9, 64, 80))) + random.normal(0, 2, (9, 64, 80))
    frames = np.clip(frames - 8, 0, None)
    assert np.median(frames) == 0
    assert nothing(find_defects(frames.round(), cutoff=CUTOFF))
    frames[:, 30, 40] += 200
    assert find_defects(frames.round(), cutoff=CUTOFF).pixels.sum() == 1

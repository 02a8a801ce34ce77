"""Fourier ring correlation: against a direct computation, thresholds, crossings, a single image, drift."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import shift

from oidn_jax.metrics import fourier_ring as frc
from oidn_jax.metrics.drift import align, find_drift, shift_image
from oidn_jax.metrics.single_image import diagonal_pairs, single_image_frc, single_image_resolution_nm
from tests.metrics import recipes


def noisy_pair(sigma=2.0, noise=0.05, shape=(256, 256)):
    clean, rng = recipes.points(shape, n=1500, sigma=sigma, seed=7), np.random.default_rng(8)
    return tuple((clean + noise * rng.standard_normal(shape)).astype(np.float32) for _ in range(2))


def direct(a, b):
    """Ring by ring over the full plane, in double precision."""
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in a.shape))
    fa, fb = (np.fft.fft2((x - x.mean(dtype=np.float64)) * window) for x in (a, b))
    n = min(a.shape)
    radius = np.rint(np.hypot(*np.meshgrid(*(np.fft.fftfreq(s) * n for s in a.shape), indexing="ij"))).astype(int)
    curve, count = [], []
    for ring in range(n // 2 + 1):
        at = radius == ring
        norm = np.sqrt((np.abs(fa[at]) ** 2).sum() * (np.abs(fb[at]) ** 2).sum())
        curve.append((fa[at] * fb[at].conj()).sum().real / norm)
        count.append(at.sum())
    return np.array(curve), np.array(count)


@pytest.mark.parametrize("shape", [(64, 64), (65, 65), (48, 70), (71, 50)])
def test_the_curve_equals_a_direct_computation(shape):
    a, b = noisy_pair(shape=shape)
    curve, count = direct(a, b)
    measured = frc.fourier_ring_correlation(a, b)
    np.testing.assert_allclose(measured.correlation, curve, atol=2e-4)
    np.testing.assert_array_equal(measured.coefficients, count)
    np.testing.assert_allclose(measured.frequency, np.arange(len(curve)) / min(shape), rtol=1e-6)
    smoothed = [curve[max(0, i - 3) : i + 4].mean() for i in range(len(curve))]
    np.testing.assert_allclose(measured.smoothed, smoothed, atol=2e-4)


def test_a_pair_of_a_batch_by_itself_and_gain_and_offset_change_nothing():
    a, b = noisy_pair()
    batch = frc.fourier_ring_correlation(np.stack([a, b]), np.stack([b, a]))
    one = frc.fourier_ring_correlation(a, 5.0 * b + 300.0)
    for curve in batch.correlation:
        np.testing.assert_allclose(curve[2:], one.correlation[2:], atol=2e-4)
    np.testing.assert_allclose(batch.cutoff(threshold="half-bit"), one.cutoff(threshold="half-bit"), rtol=1e-3)


def test_thresholds():
    n = np.array([8.0, 100.0, 1e8])
    np.testing.assert_allclose(frc.threshold_curve(n, name="1/7"), 1 / 7)
    np.testing.assert_allclose(
        frc.threshold_curve(n, name="3-sigma"), [1.0, 3 / np.sqrt(50), 3 / np.sqrt(5e7)], rtol=1e-6
    )
    np.testing.assert_allclose(
        frc.threshold_curve(n, name="half-bit")[1:], [0.39812 / 1.29812, 0.2071 / 1.2071], rtol=1e-3
    )
    with pytest.raises(ValueError, match=r"threshold is '0\.143'; legal: '1/7', 'half-bit', '3-sigma'"):
        frc.threshold_curve(n, name="0.143")


def curve_of(values):
    values = jnp.asarray(values, jnp.float32)
    frequency = jnp.arange(len(values), dtype=jnp.float32) / 40
    return frc.RingCorrelation(frequency, values, values, jnp.full(len(values), 1e6))


def test_the_crossing_lies_on_the_line_between_two_rings():
    curve = curve_of([1, 1, 0.0, 1, 0.9, 0.8, 2 / 7, 0.0, 0.0, 0.5])
    assert float(curve.cutoff(threshold="1/7")) == pytest.approx(6.5 / 40, rel=1e-5)
    assert float(curve.resolution_nm(threshold="1/7", pixel_size_nm=31.3)) == pytest.approx(31.3 * 40 / 6.5, rel=1e-5)


@pytest.mark.parametrize("values", [[0.9] * 10, [0.1] * 10, [1.0, 1.0, 0.0, *[0.0] * 7]])
def test_without_a_crossing_there_is_no_number(values):
    """Never below, never above, and a fall within the first rings."""
    assert np.isnan(curve_of(values).cutoff(threshold="1/7"))


def test_resolution_follows_blur_and_noise():
    resolution = {}
    for sigma, noise in [(1.5, 0.02), (3.0, 0.02), (1.5, 0.2)]:
        curve = frc.fourier_ring_correlation(*noisy_pair(sigma, noise))
        resolution[sigma, noise] = [
            float(curve.resolution_nm(threshold=name, pixel_size_nm=30.0)) for name in frc.THRESHOLDS
        ]
        assert resolution[sigma, noise][0] < resolution[sigma, noise][1], "half-bit asks for more than 1/7"
    assert np.all(np.array(resolution[3.0, 0.02]) > 1.3 * np.array(resolution[1.5, 0.02]))
    assert np.all(np.array(resolution[1.5, 0.2]) > 1.2 * np.array(resolution[1.5, 0.02]))


def test_noise_alone_has_no_resolution_and_equal_images_no_end():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 128, 128)).astype(np.float32)
    curve = frc.fourier_ring_correlation(a, b)
    assert np.isnan(curve.cutoff(threshold="half-bit"))
    assert np.abs(curve.correlation[10:]).max() < 0.3
    np.testing.assert_allclose(frc.fourier_ring_correlation(a, a).correlation, 1.0, atol=1e-5)


def test_other_shapes_and_small_images_are_refused():
    a = np.ones((20, 20), np.float32)
    with pytest.raises(ValueError, match="must be on the same pixels"):
        frc.fourier_ring_correlation(a, a[:, 1:])
    with pytest.raises(ValueError, match="at least 16 x 16"):
        frc.fourier_ring_correlation(a[:15], a[:15])


# ---------------------------------------------------------------------------------------------------------------------
# A single image
# ---------------------------------------------------------------------------------------------------------------------


def test_diagonal_pairs_are_the_four_quarters():
    image = np.arange(35).reshape(5, 7)
    (ee, oo), (eo, oe) = diagonal_pairs(image)
    np.testing.assert_array_equal(ee, [[0, 2, 4], [14, 16, 18]])
    np.testing.assert_array_equal(oo, ee + 8)
    np.testing.assert_array_equal(eo, ee + 1)
    np.testing.assert_array_equal(oe, ee + 7)


@pytest.mark.parametrize(("sigma", "noise"), [(2.0, 0.02), (3.0, 0.02), (2.0, 0.05), (3.0, 0.05), (3.0, 0.1)])
def test_a_single_image_tells_nearly_what_two_tell(sigma, noise):
    a, b = noisy_pair(sigma, noise, shape=(512, 512))
    two = float(frc.fourier_ring_correlation(a, b).resolution_nm(threshold="1/7", pixel_size_nm=30.0))
    assert float(single_image_resolution_nm(single_image_frc(a), pixel_size_nm=30.0)) == pytest.approx(two, rel=0.12)


# ---------------------------------------------------------------------------------------------------------------------
# Drift
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drift", [(0.0, 0.0), (0.3, -0.7), (3.45, -12.2), (-8.5, 5.0)])
def test_drift_is_found_and_undone(drift):
    a, b = noisy_pair()
    moved = shift(b, drift, order=5, mode="grid-wrap")
    np.testing.assert_allclose(find_drift(moved, a), drift, atol=0.03)
    aligned, undone = align(moved, a)
    np.testing.assert_allclose(undone, drift, atol=0.03)
    assert np.corrcoef(np.ravel(aligned), a.ravel())[0, 1] > 0.99 * np.corrcoef(b.ravel(), a.ravel())[0, 1]


def test_a_whole_pixel_is_a_roll_and_shifts_undo_each_other():
    image = noisy_pair(shape=(40, 37))[0]
    np.testing.assert_allclose(shift_image(image, np.float32([3, -2])), np.roll(image, (3, -2), (0, 1)), atol=1e-5)
    there = shift_image(image[:, :36], np.float32([0.0, 1.3]))
    smooth = recipes.points((40, 37), n=60, sigma=2.0, seed=1).astype(np.float32)
    np.testing.assert_allclose(
        shift_image(shift_image(smooth, np.float32([1.3, 0.4])), np.float32([-1.3, -0.4])), smooth, atol=1e-4
    )
    assert there.shape == (40, 36)


def test_images_of_other_shapes_cannot_be_aligned():
    with pytest.raises(ValueError, match="must be equal"):
        align(np.ones((20, 20), np.float32), np.ones((20, 21), np.float32))

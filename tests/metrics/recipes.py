"""Images for the tests of the metrics, made from seeds: the recipes of the reference values of other programs.

The same pixels, bit for bit, as the images on which scikit-image, ImDecorr and PANEL computed those values.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

SEED_A, SEED_B = 100, 101


def points(shape: tuple[int, int], *, n: int, sigma: float, seed: int) -> np.ndarray:
    """n points of amplitude 0.5 to 1 at random pixels, blurred by a periodic Gaussian; float64, maximum 1."""
    rng = np.random.default_rng(seed)
    y, x = rng.integers(0, shape[0], n), rng.integers(0, shape[1], n)
    image = np.zeros(shape)
    np.add.at(image, (y, x), rng.uniform(0.5, 1.0, n))
    image = gaussian_filter(image, sigma, mode="wrap", truncate=6)
    return image / image.max()


def _noisy_points(seed: int) -> np.ndarray:
    clean = points((256, 256), n=1500, sigma=2.0, seed=0)
    return (clean + 0.02 * np.random.default_rng(seed).standard_normal(clean.shape)).astype(np.float32)


def synth1a() -> np.ndarray:
    """Points of sigma 2 with noise of 0.02, (256, 256) float32."""
    return _noisy_points(SEED_A)


def synth1b() -> np.ndarray:
    """`synth1a` with other noise."""
    return _noisy_points(SEED_B)


def synth2() -> np.ndarray:
    """Photon counts of points of sigma 1.2 on a background of 10; odd by odd, (255, 301) uint16."""
    photons = 200 * points((255, 301), n=800, sigma=1.2, seed=1) + 10
    return np.random.default_rng(102).poisson(photons).astype(np.uint16)


def synth3() -> np.ndarray:
    """Photon counts of points of sigma 4 on a background of 5; even by even, (200, 254) uint16."""
    photons = 60 * points((200, 254), n=300, sigma=4.0, seed=2) + 5
    return np.random.default_rng(103).poisson(photons).astype(np.uint16)


def noise128() -> np.ndarray:
    """White noise without any structure, (128, 128) float32."""
    return np.random.default_rng(104).standard_normal((128, 128)).astype(np.float32)


def clean128() -> np.ndarray:
    """Points of sigma 2 without noise, (128, 128) float32."""
    return points((128, 128), n=400, sigma=2.0, seed=3).astype(np.float32)


def small48() -> np.ndarray:
    """A crop of `synth1a`, (48, 48)."""
    return synth1a()[100:148, 60:108]

"""Frames of three-beam SIM by a forward model of its own: numpy, four samples per raw pixel, light in space."""

import numpy as np

SAMPLES, PIXEL_NM, CUTOFF = 4, 80.0, 2 * 1.4 / 525 * 80.0


def airy(radius):
    inside = np.clip(radius, 0, 1)
    return 2 / np.pi * (np.arccos(inside) - inside * np.sqrt(1 - inside**2))


def fine_vectors(period_nm):
    """The second harmonic's vectors 2 p, three directions, cycles per raw pixel."""
    angle = np.deg2rad([11.0, 71.0, 131.0])
    return PIXEL_NM / period_nm * np.stack([np.sin(angle), np.cos(angle)], -1)


def acquire(size, *, first, second, period_nm, photons, seed, beads=None, phase_offset=0.7):
    """Object (fine grid) and frames (15, size, size) of offset 100, light 1 + m1 cos x + m2 cos(2 x + d)."""
    rng = np.random.default_rng(seed)
    n = SAMPLES * size
    specimen = np.zeros((n, n))
    if beads is not None:
        specimen[rng.integers(n, size=beads), rng.integers(n, size=beads)] = rng.uniform(0.5, 1.5, beads)
    else:
        for _ in range(max(size // 4, 1)):
            y, x, angle = *rng.uniform(0, n, 2), rng.uniform(0, 2 * np.pi)
            for turn in rng.normal(0, 0.02, 2 * n):
                angle += turn
                y, x = (y + np.sin(angle)) % n, (x + np.cos(angle)) % n
                specimen[int(y), int(x)] += 1
    f = np.fft.fftfreq(n) * SAMPLES
    transfer = airy(np.hypot(f[:, None], f[None]) / CUTOFF)
    r = (np.arange(n) + 0.5) / SAMPLES - 0.5 - size // 2
    frames = []
    for vector in fine_vectors(period_nm) / 2:
        along = 2 * np.pi * (vector[0] * r[:, None] + vector[1] * r[None])
        start = rng.uniform(0, 2 * np.pi)
        for step in range(5):
            x = along + start + 2 * np.pi * step / 5
            light = 1 + first * np.cos(x) + second * np.cos(2 * x + phase_offset)
            image = np.fft.ifft2(np.fft.fft2(specimen * light) * transfer).real.clip(0)
            frames.append(image.reshape(size, SAMPLES, size, SAMPLES).sum((1, 3)))
    frames = np.array(frames)
    frames *= photons / frames.mean()
    noisy = rng.poisson(frames) + rng.normal(0, 1.6, frames.shape) + 100
    return specimen, noisy.round().clip(0).astype(np.uint16)


def vector_error(estimated, expected, size):
    """Largest distance in pixels of the spectrum, whichever way a vector points."""
    either = [np.hypot(*((estimated - sign * expected) * size).T) for sign in (1, -1)]
    return np.minimum(*either).max()

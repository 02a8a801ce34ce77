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


def acquire(size, *, first, second, period_nm, photons, seed, beads=None, phase_offset=0.7, jitter=None):
    """Object (fine grid) and frames (15, size, size) of offset 100, light 1 + m1 cos x + m2 cos(2 x + d).

    `jitter` (3, 5) is added to x in each frame.
    """
    jitter = np.zeros((3, 5)) if jitter is None else jitter
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
    for vector, moved in zip(fine_vectors(period_nm) / 2, jitter, strict=True):
        along = 2 * np.pi * (vector[0] * r[:, None] + vector[1] * r[None])
        start = rng.uniform(0, 2 * np.pi)
        for step in range(5):
            x = along + start + 2 * np.pi * step / 5 + moved[step]
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


# m1, m2, period of the second harmonic in nm, mean counts of a frame, number of beads or filaments.
CASES = (
    (0.1, 0.3, 200, 30, None),
    (0.25, 0.6, 230, 30, 400),
    (0.4, 0.9, 260, 30, None),
    (0.1, 0.6, 260, 100, 400),
    (0.25, 0.3, 230, 100, None),
    (0.4, 0.9, 200, 100, 400),
    (0.1, 0.9, 230, 300, None),
    (0.25, 0.3, 260, 300, 400),
    (0.4, 0.6, 200, 300, None),
    (0.25, 0.6, 230, 6, None),
    (0.1, 0.9, 200, 30, 400),
    (0.4, 0.3, 260, 100, None),
    (0.25, 0.9, 200, 6, 400),
    (0.4, 0.3, 230, 2, None),
    (0.4, 0.9, 230, 2, None),
)


def correlation(image, truth):
    inside = np.s_[12:-12, 12:-12]
    return np.corrcoef(image[inside].ravel(), truth[inside].ravel())[0, 1]


def truth_of(specimen, period_nm):
    """The object within the support of SIM with the second harmonic, on pixels half as large as raw ones."""
    n = len(specimen)
    f = np.fft.fftfreq(n) * SAMPLES
    radius = np.hypot(f[:, None], f[None])
    image = np.fft.ifft2(np.fft.fft2(specimen) * airy(radius / (CUTOFF + PIXEL_NM / period_nm))).real
    half = SAMPLES // 2
    return image.reshape(n // half, half, n // half, half).sum((1, 3))


def print_table(size=256):
    """The rows of docs/classical.md: `python -m tests.acquisition.three_beams`."""
    import jax

    from oidn_jax.acquisition import Acquisition, CameraSettings
    from oidn_jax.classical.consistency import check_consistency
    from oidn_jax.methods import ClassicalMethod
    from oidn_jax.optics.microscope import Microscope

    microscope = Microscope(phases=5, na=1.4, emission_wavelength_nm=525.0, pixel_size_nm=PIXEL_NM, otf_damping=1.0)
    check = jax.jit(check_consistency)
    for seed, (first, second, period_nm, photons, beads) in enumerate(CASES):
        specimen, frames = acquire(
            size, first=first, second=second, period_nm=period_nm, photons=photons, seed=seed, beads=beads
        )
        camera = CameraSettings(1.0, 100.0, 1.6)
        truth, scores, judged = truth_of(specimen, period_nm), [], []
        for harmonic in (2, None):  # the second alone, and what is used by default
            acquisition = Acquisition.of_frames(
                np.moveaxis(frames, 0, -1), microscope, camera=camera, harmonic=harmonic
            )
            images = {name: ClassicalMethod(name)(acquisition, 0).pixels for name in ("wiener", "hifi")}
            scores.append([correlation(image, truth) for image in images.values()])
            light, given = acquisition.light(0), acquisition.illumination(0)
            result = check(images["wiener"], light, given, otf=acquisition.otf, noise=acquisition.light_noise)
            judged.append(float(result.reduced_chi_square))
        scores.append([correlation(ClassicalMethod("widefield")(acquisition, 0).pixels, truth)])
        estimate, expected = acquisition.estimate, fine_vectors(period_nm)
        depths = np.reshape(estimate.illumination.modulation_depth, (3, -1))
        row = (
            *(f"{number:g}" for number in (first, second, period_nm, photons)),
            "filaments" if beads is None else "beads",
            f"{vector_error(estimate.finest.illumination.wave_vector, expected, size):.3f}",
            *(", ".join(f"{depth:.2f}" for depth in wave) for wave in depths.T),
            *(f"{alone:.4f} → {both:.4f}" for alone, both in zip(*scores[:2], strict=True)),
            f"{scores[2][0]:.4f}",
            f"{judged[0]:.2f} → {judged[1]:.2f}",
        )
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    print_table()

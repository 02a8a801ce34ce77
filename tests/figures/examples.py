"""One small example of what each figure shows."""

import numpy as np
from scipy.ndimage import gaussian_filter

from oidn_jax.figures.diagnostics import DiagnosticsPage
from oidn_jax.figures.distributions import Distribution
from oidn_jax.figures.images import ImageRow
from oidn_jax.figures.measurement import MeasurementPage, RingCurve, RingThreshold
from oidn_jax.figures.psf import PsfPanel
from oidn_jax.figures.resolution import DecorrelationPanel, RollingFrcPanel
from oidn_jax.figures.style import GREY, PALETTE, palette
from oidn_jax.figures.trust import TrustPage
from oidn_jax.figures.worst_cases import WorstCase

PIXEL_NM = 31.3
METHODS = ("Widefield", "Wiener SIM", "HiFi-SIM", "OIDN")
COLOURS = palette(
    [*METHODS, *"abcdefg", "dark", "OIDN, CCPs", "OIDN, F-actin", "Ground truth"],
    known={"Widefield": GREY, "Wiener SIM": PALETTE["blue"], "OIDN": PALETTE["vermilion"], "Ground truth": "#000000"},
)


def picture(seed=0, side=64):
    rng = np.random.default_rng(seed)
    return gaussian_filter(rng.random((side, side)) ** 8, 1.5).astype(np.float32)


def image_row(specimen="ER", side=64, labels=("Widefield", "OIDN")):
    images = {label: picture(i, side) for i, label in enumerate((*labels, "Ground truth"))}
    return ImageRow(f"{specimen}, low fluorescence", images, "Ground truth", PIXEL_NM)


def decorrelation_panel(label="OIDN", *, empty=False):
    radii = np.linspace(0, 1, 50)
    curves = np.abs(np.sin(np.outer(np.arange(1, 13), radii)))
    return DecorrelationPanel(
        label=label,
        image=picture(),
        pixel_size_nm=PIXEL_NM,
        radii=radii,
        curves=curves,
        refined_radii=radii,
        refined_curves=curves[:10],
        peaks=np.zeros((2, 2)) if empty else np.array([[0.0, 0.5], [0.5, 0.6]]),
        kc=0.0 if empty else 0.5,
        a0=0.0 if empty else 0.44,
        resolution_nm=np.inf if empty else 125.2,
    )


def rolling_panel(label="OIDN", *, mean_nm=1234.5, worst_nm=2345.6, offset_nm=0.0):
    values = np.full((64, 64), np.nan, np.float32)
    if np.isfinite(mean_nm):
        values[:32] = offset_nm + np.linspace(100, 300, 32 * 64).reshape(32, 64)
    return RollingFrcPanel(label, picture(), values, PIXEL_NM, mean_nm, worst_nm)


def distributions(scores=("PSNR (dB), affine", "SSIM, affine", "DA (nm)")):
    values = {"PSNR (dB), affine": [31.2, 30.1, 33.3], "SSIM, affine": [0.91234, 0.9, 0.95], "DA (nm)": [np.inf] * 3}
    return [
        Distribution(specimen, level, method, {score: values[score] for score in scores})
        for specimen in ("ER", "CCPs")
        for level in ("low", "medium", "high")
        for method in ("Wiener SIM", "OIDN")
    ]


def gaussian_psf(sigma, n=8):
    r2 = (np.arange(n) - n // 2) ** 2
    kernel = np.exp(-0.5 * (r2[:, None] + r2[None, :]) / sigma**2)
    return kernel / kernel.sum()


def psf_panel(learned=1.2):
    return PsfPanel("OIDN", gaussian_psf(2.0), gaussian_psf(learned), PIXEL_NM, 0.123, 0.045, 1e-7)


def worst_case():
    place = "Microtubules, medium, scene 11"
    return WorstCase("Widefield", place, "PSNR (dB), min-max", 0.4321, picture(0), picture(1), PIXEL_NM)


RADAR = {
    f"OIDN, {home}": {"Microtubules": 0.8, "CCPs": 0.9, "F-actin": value}
    for home, value in (("CCPs", 0.85), ("F-actin", np.nan))
}


def measurement_page(*, unit="nm"):
    frequency = np.linspace(0, 1, 60)
    curve = np.exp(-4 * frequency)
    thresholds = [
        RingThreshold(f"{name}: 1234.5 {unit}, calibrated", np.full(60, value), cutoff)
        for name, value, cutoff in (("1/7", 1 / 7, 0.49), ("1/2-bit", 0.3, 0.3), ("3-sigma", 0.05, np.nan))
    ]
    rings = RingCurve("Single-image FRC", frequency, curve + 0.01, curve, thresholds, end=0.5)
    rolling = rolling_panel("Single-image rolling FRC: mean 1234.5, worst 2345.6 nm, not reliable")
    return MeasurementPage("cell_sr.tif", unit, decorrelation_panel(""), rings, rolling)


def trust_page(*, pixel_size_nm=PIXEL_NM):
    rng = np.random.default_rng(0)
    evidence = rng.normal(size=(64, 96))
    evidence[10, 20], evidence[30, 40] = 9.0, -8.0
    residual = np.pad(rng.normal(size=(9, 24, 40)), [(0, 0), (4, 4), (4, 4)])
    return TrustPage(
        title="the image agrees with its raw frames",
        image=picture(0, 96)[:64],
        evidence=evidence,
        threshold=4.2,
        chi_square=rng.gamma(4, 0.25, size=(64, 96)),
        mean_residual=residual.mean(0) * 3,
        residual=residual,
        reduced_chi_square=0.987,
        pixel_size_nm=pixel_size_nm,
    )


VECTORS = np.array([[12, -3], [-4, 15], [9, 12]])  # frequency pixels of 48 x 60


def diagnostics_page(
    *, vectors=VECTORS, size=(48, 60), phases=3, profiles=3, pixel_size_nm=50.0, warnings=(), harmonics=(1,)
):
    """Noise with one bright pixel at each wave vector."""
    rng, count, (h, w) = np.random.default_rng(0), len(vectors), size
    orientations = count // len(harmonics)
    spectrum, correlogram = rng.random((h, w)), 1 + rng.random((count, h, w))
    for i, (y, x) in enumerate(vectors):
        correlogram[i, h // 2 + y, w // 2 + x] = 20.0 + i
        for sign in (1, -1):
            spectrum[h // 2 + sign * y, w // 2 + sign * x] = 9.0
    ones, fine = np.ones(count), rng.random((2 * h, 2 * w))
    frequency, position = np.linspace(0, 0.6, 50), np.linspace(0, 8, 81)
    widths = np.array([2.0, 1.2, 1.5])[:profiles, None]
    angles = 2 * np.pi * np.arange(phases) / phases * np.ones((count, 1))
    return DiagnosticsPage(
        method="Wiener SIM",
        pixel_size_nm=pixel_size_nm,
        widefield=picture(0, 60)[:h, :w],
        image=picture(1, 120)[: 2 * h, : 2 * w],
        cutoff=0.32,
        searched=(0.64 * 0.32, 1.02 * 0.32),
        brightness=1 + 0.03 * rng.normal(size=(orientations, phases)),
        raw_spectrum=spectrum,
        result_spectrum=fine,
        correlogram=correlogram,
        at_rest=np.stack([fine] * orientations),
        moved=np.stack([fine] * count),
        wave_vector=vectors / size,
        phase=angles,
        single_phases=angles + 0.1,
        modulation_depth=0.8 * ones,
        modulation_with_noise=0.5 * ones,
        confidence=20.0 + np.arange(count),
        runner_up=4 * ones,
        coherence=0.9 * ones,
        overlap=100 * ones,
        condition=1.8 * ones[:orientations],
        residual_peak=2 * ones,
        frequency=frequency,
        transfer=np.clip(1 - frequency * widths, 0, 1),
        position=position,
        psf=np.exp(-0.5 * (position / widths) ** 2),
        harmonics=harmonics,
        warnings=warnings,
    )

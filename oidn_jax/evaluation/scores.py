"""What is measured of each image: likeness to the target, resolution, agreement with the widefield image.

Every score is of the `light` of an image: what its pixels, as they are written to a file, are above the value of a
pixel without light.

Contract: `SCORES` names every score, in the order of tables, with its label, digits and direction; a score that an
image does not have (no crossing, a constant image) is NaN.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax.metrics.calibration import reliability
from oidn_jax.metrics.decorrelation import Decorrelation, decorrelation_analysis
from oidn_jax.metrics.fourier_ring import THRESHOLDS, fourier_ring_correlation
from oidn_jax.metrics.image import mse, nrmse, pearson, psnr
from oidn_jax.metrics.linearity import linearity
from oidn_jax.metrics.normalisation import affine_match, min_max, percentile
from oidn_jax.metrics.rolling_frc import RollingFrc, RollingFrcOptions, rolling_frc
from oidn_jax.metrics.squirrel import resolution_scaled_error
from oidn_jax.metrics.ssim import largest_ms_ssim_scales, ms_ssim, ssim, ssim_legacy


@dataclass(frozen=True)
class Score:
    """How a score is called and read.

    Attributes:
        label: for the head of a table, with the unit.
        digits: after the point.
        higher_is_better: None where neither is.
    """

    label: str
    digits: int
    higher_is_better: bool | None


# Of the foreground without a crossing: with more, a mean would be over what happens to cross.
MOST_MISSING = 0.5

_LIKENESS = {
    "psnr": Score("PSNR (dB)", 2, True),
    "ssim": Score("SSIM", 4, True),
    "ms_ssim": Score("MS-SSIM", 4, True),
    "nrmse": Score("NRMSE", 4, False),
    "mse": Score("MSE", 5, False),
}
_NORMALISATIONS = {"minmax": "min-max", "percentile": "percentile", "affine": "affine"}

SCORES: Mapping[str, Score] = {
    **{
        f"{kind}_{name}": Score(f"{score.label}, {word}", score.digits, score.higher_is_better)
        for kind, word in _NORMALISATIONS.items()
        for name, score in _LIKENESS.items()
    },
    "ssim_legacy": Score("SSIM, legacy (inflated)", 4, True),
    "pearson": Score("Pearson", 4, True),
    "da_resolution_nm": Score("DA (nm)", 1, False),
    "da_a0": Score("DA amplitude A0", 3, None),
    "frc_1_7_nm": Score("FRC 1/7 (nm)", 1, False),
    "frc_half_bit_nm": Score("FRC 1/2-bit (nm)", 1, False),
    "frc_3_sigma_nm": Score("FRC 3-sigma (nm)", 1, False),
    "rfrc_mean_nm": Score("rFRC mean (nm)", 1, False),
    "rfrc_worst_nm": Score("rFRC worst (nm)", 1, False),
    "rfrc_value": Score("rFRC value", 3, False),
    "rfrc_missing": Score("rFRC without crossing", 3, False),
    "rsp": Score("RSP", 4, True),
    "rse": Score("RSE", 4, False),
    "linearity": Score("Linearity, exponent", 2, None),
    "linearity_r2": Score("Linearity, R²", 3, True),
    "error_calibration": Score("Error / expected", 2, None),
}


def light(pixels: Float[np.ndarray, "*batch h w"], *, dark: float) -> Float[np.ndarray, "*batch h w"]:
    """max(pixels - dark, 0): below the value of a pixel without light is noise or overshoot, and no light.

    Images of classical methods have dark = 0; a network's that of the zero of its normalisation. The one place where
    negative pixels get a meaning: files hold them as they are.
    """
    return np.maximum(pixels - np.float32(dark), np.float32(0.0))


@jax.jit
def score_min_max(image: Float[Array, "b h w"], target: Float[Array, "b h w"]) -> dict[str, Float[Array, "b"]]:
    """`ssim` and `psnr` of images that are min-max normalised, as the target is; data range 1."""
    normalised = min_max(image).apply(image)
    return {"ssim": ssim(normalised, target, data_range=1.0), "psnr": psnr(normalised, target, data_range=1.0)}


@jax.jit
def score_likeness(image: Float[Array, "b h w"], target: Float[Array, "b h w"]) -> dict[str, Float[Array, "b"]]:
    """The scores of each image against its target, which is in [0, 1]; data range 1.

    `minmax_*`: the image min-max normalised, as the target is. `percentile_*`: both so that their percentiles 0.1 and
    99.9 become 0 and 1. `affine_*`: after the least-squares match a image + b, which no difference of brightness or
    offset can spoil. MS-SSIM has five scales from 161 pixels on and fewer for smaller images. `ssim_legacy` is of the
    min-max normalised image.
    """
    pairs = {
        "minmax": (min_max(image).apply(image), target),
        "percentile": (percentile(image).apply(image), percentile(target).apply(target)),
        "affine": (affine_match(image, target).apply(image), target),
    }
    scales = largest_ms_ssim_scales(image.shape[-2], image.shape[-1])
    measures = {"psnr": psnr, "ssim": ssim, "ms_ssim": partial(ms_ssim, scales=scales), "nrmse": nrmse}
    scores = {}
    for kind, (normalised, truth) in pairs.items():
        for name, measure in measures.items():
            scores[f"{kind}_{name}"] = measure(normalised, truth, data_range=1.0)
        scores[f"{kind}_mse"] = mse(normalised, truth)
    return scores | {"ssim_legacy": ssim_legacy(*pairs["minmax"]), "pearson": pearson(image, target)}


@jax.jit
def score_against_widefield(
    image: Float[Array, "b h2 w2"], widefield: Float[Array, "b h w"]
) -> dict[str, Float[Array, "b"]]:
    """SQUIRREL's `rsp` and `rse`, the latter in units of the range of the widefield image."""
    error = resolution_scaled_error(image, min_max(widefield).apply(widefield))
    return {"rsp": error.rsp, "rse": error.rse}


def score_linearity(
    image: Float[np.ndarray, "b h w"], target: Float[np.ndarray, "b h w"]
) -> dict[str, Float[np.ndarray, "b"]]:
    """`linearity`, the exponent of the power law between target and image, and `linearity_r2` (`metrics.linearity`)."""
    exponent, r2 = zip(*map(linearity, image, target), strict=True)
    return {"linearity": np.array(exponent), "linearity_r2": np.array(r2)}


def errors_against(
    pixels: Float[np.ndarray, "h w"], expected: Float[np.ndarray, "h w"], target: Float[np.ndarray, "h w"]
) -> tuple[np.ndarray, np.ndarray]:
    """Absolute and expected errors in the unit of the target, which is brought to the scale of the pixels for it.

    By the affine match of the target to them, as it has no noise to make that gain too small. Of pixels as they are
    written, not of their light: below zero, too, the truth is as far away as was expected or not.
    """
    truth = jnp.asarray(target)
    matched = affine_match(truth, jnp.asarray(pixels))
    gain = np.maximum(np.abs(np.asarray(matched.gain)), 1e-12)
    return np.abs(pixels - np.asarray(matched.apply(truth))) / gain, expected / gain


def score_calibration(errors: Float[np.ndarray, "h w"], expected: Float[np.ndarray, "h w"]) -> float:
    """`error_calibration`: the mean error over the mean expected one, of what `errors_against` gives."""
    return reliability(errors, expected, bins=1).ratio


# Compiled, so that a constant image, which an untrained network may give, is NaN and no error.
analyse_decorrelation = jax.jit(decorrelation_analysis)


def score_decorrelation(analysis: Decorrelation, *, pixel_size_nm: float) -> dict[str, np.ndarray]:
    """`da_resolution_nm` and `da_a0`."""
    resolution = np.asarray(analysis.resolution_nm(pixel_size_nm=pixel_size_nm))
    return {"da_resolution_nm": resolution, "da_a0": np.asarray(analysis.amplitude)}


def score_rings(
    image: Float[Array, "b h w"], repeated: Float[Array, "b h w"], *, pixel_size_nm: float
) -> dict[str, np.ndarray]:
    """`frc_*_nm` at each threshold, of images whose acquisitions differ in their noise."""
    curve = fourier_ring_correlation(image, repeated)
    resolution = {t: curve.resolution_nm(threshold=t, pixel_size_nm=pixel_size_nm) for t in THRESHOLDS}
    return {f"frc_{t.replace('/', '_').replace('-', '_')}_nm": np.asarray(nm) for t, nm in resolution.items()}


def map_resolution(
    image: Float[np.ndarray, "h w"],
    repeated: Float[np.ndarray, "h w"],
    *,
    pixel_size_nm: float,
    options: RollingFrcOptions,
) -> RollingFrc:
    """The rFRC map of an image; without any value for an image that has no light."""
    if min(image.max(), repeated.max()) <= 0:
        return RollingFrc(np.full(image.shape, np.nan, np.float32), np.zeros(image.shape, bool))
    return rolling_frc(image, repeated, pixel_size_nm=pixel_size_nm, options=options)


def score_map(rolling: RollingFrc) -> dict[str, float]:
    """`rfrc_*` of a map; NaN but for `rfrc_missing` where most of the foreground has no value to speak for it."""
    numbers = {"rfrc_mean_nm": rolling.mean_nm, "rfrc_worst_nm": rolling.worst_nm, "rfrc_value": rolling.value}
    if not rolling.missing <= MOST_MISSING:
        numbers = dict.fromkeys(numbers, float("nan"))
    return {**numbers, "rfrc_missing": rolling.missing}


def is_better(name: str, value: float, than: float) -> bool:
    """Whether a value of a score is better than another; never where neither direction is."""
    higher = SCORES[name].higher_is_better
    return higher is not None and (value > than if higher else value < than)


def format_score(name: str, value: Any) -> str:
    """The value with the digits of its score, a dash where there is none."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.{SCORES[name].digits}f}"

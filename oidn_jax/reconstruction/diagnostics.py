"""The page about one reconstruction: what `acquisition.diagnostics` computes, as `figures.diagnostics` draws it."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Real

from oidn_jax.acquisition.diagnostics import diagnose
from oidn_jax.classical.estimation import Estimate
from oidn_jax.classical.images import ClassicalOptions
from oidn_jax.classical.peaks import SEARCHED
from oidn_jax.data.atomic import check_target
from oidn_jax.figures.diagnostics import DiagnosticsPage, save_diagnostics
from oidn_jax.optics.transfer import TransferFunction

_LABELS = {"wiener": "Wiener SIM", "hifi": "HiFi-SIM", "oidn": "OIDN", "image": "given image"}


def write_diagnostics(
    path: Path,
    raw_frames: Real[Array | np.ndarray, "frames h w"],
    sr_image: Real[Array | np.ndarray, "h2 w2"],
    *,
    estimate: Estimate,
    otf: TransferFunction,
    method: str,
    options: ClassicalOptions = ClassicalOptions(),  # noqa: B008 -- immutable
    pixel_size_nm: float | None,
    warnings: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Draws the diagnostics of one acquisition.

    Args:
        path: the PNG to write.
        raw_frames: camera offset subtracted, orientation slow and phase fast.
        sr_image: what was reconstructed, two pixels per raw pixel.
        estimate: illumination of these frames.
        otf: of a raw frame.
        method: that gave the image. Wiener SIM and HiFi-SIM have an effective OTF, the others have none.
        options: of Wiener SIM and HiFi-SIM.
        pixel_size_nm: of the raw frames; without it lengths are in raw pixels, and there is no scale bar.
        warnings: printed at the bottom.
        overwrite: replace an existing file.

    Raises:
        InputError: the file exists and `overwrite` is False, or cannot be written.
    """
    check_target(path, overwrite=overwrite)
    frames, image = jnp.asarray(raw_frames, jnp.float32), jnp.asarray(sr_image, jnp.float32)
    computed = diagnose(frames, image, estimate, otf=otf, method=method, options=options)
    numbers, widefield, image = jax.device_get((computed, frames.mean(0), image))
    illumination, cutoff = numbers.estimate.illumination, float(numbers.cutoff)
    page = DiagnosticsPage(
        method=_LABELS.get(method, method),
        pixel_size_nm=pixel_size_nm,
        widefield=widefield,
        image=image,
        cutoff=cutoff,
        searched=(SEARCHED[0] * cutoff, SEARCHED[1] * cutoff),
        brightness=numbers.brightness,
        raw_spectrum=numbers.raw_spectrum,
        result_spectrum=numbers.result_spectrum,
        correlogram=numbers.correlogram,
        at_rest=numbers.at_rest,
        moved=numbers.moved,
        wave_vector=illumination.wave_vector,
        phase=illumination.phase,
        single_phases=numbers.estimate.single_phases,
        modulation_depth=illumination.modulation_depth,
        modulation_with_noise=numbers.estimate.modulation_with_noise,
        confidence=numbers.estimate.confidence,
        runner_up=numbers.estimate.runner_up,
        coherence=numbers.estimate.coherence,
        overlap=numbers.estimate.overlap,
        condition=numbers.condition,
        residual_peak=numbers.residual_peak,
        frequency=numbers.profiles.frequency,
        transfer=numbers.profiles.otf,
        position=numbers.profiles.position,
        psf=numbers.profiles.psf,
        warnings=warnings,
    )
    save_diagnostics(path, page, overwrite=overwrite)

"""The page about one reconstruction: what `acquisition.diagnostics` computes, as `figures.diagnostics` draws it."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from oidn_jax.acquisition import Acquisition
from oidn_jax.acquisition.diagnostics import diagnose
from oidn_jax.classical.images import ClassicalOptions
from oidn_jax.data.atomic import check_target
from oidn_jax.figures.diagnostics import DiagnosticsPage, save_diagnostics


def write_diagnostics(
    path: Path,
    acquisition: Acquisition,
    sr_image: Float32[np.ndarray, "h2 w2"],
    *,
    method: str,
    label: str,
    options: ClassicalOptions | None,
    overwrite: bool = False,
) -> None:
    """Draws the diagnostics of the first time point of an acquisition.

    Args:
        path: the PNG to write.
        acquisition: whose frames and illumination are shown.
        sr_image: what was reconstructed, two pixels per raw pixel.
        method: that gave the image. Wiener SIM and HiFi-SIM have an effective OTF, the others have none.
        label: its name in print.
        options: of Wiener SIM and HiFi-SIM.
        overwrite: replace an existing file.

    Raises:
        InputError: the file exists and `overwrite` is False, or cannot be written.
    """
    check_target(path, overwrite=overwrite)
    frames, image, inner = acquisition.light(0), np.asarray(sr_image), acquisition.inner
    illumination, estimate = jax.device_get(acquisition.illumination(0)), acquisition.estimate
    numbers = jax.device_get(
        diagnose(
            jnp.asarray(inner.of(frames)),
            jnp.asarray(inner.of(image, scale=acquisition.microscope.scale)),
            estimate._replace(illumination=inner.illumination(illumination)),
            otf=acquisition.otf,
            method=method,
            options=options or ClassicalOptions(),
            harmonics=estimate.harmonics,
        )
    )
    cutoff, (shortest, longest) = float(numbers.cutoff), acquisition.stripes.searched
    page = DiagnosticsPage(
        method=label,
        pixel_size_nm=acquisition.stack.pixel_size_nm,
        widefield=frames.mean(0),
        image=image,
        cutoff=cutoff,
        searched=(shortest * cutoff, longest * cutoff),
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
        envelopes=acquisition.envelopes,
        harmonics=estimate.harmonics,
        warnings=acquisition.warnings,
    )
    save_diagnostics(path, page, overwrite=overwrite)

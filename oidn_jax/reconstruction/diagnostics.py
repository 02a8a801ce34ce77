"""A page about one reconstruction: what the raw frames show, what was found in them, what came out.

Contract: one PNG, written complete or not at all. `diagnose` computes what is drawn, with the functions that
reconstruct; `reconstruction.diagnostics_panels` draws it. Until then frequencies are in cycles per raw pixel; spectra
are log10 of the modulus with the zero frequency at index n // 2.

Source: the checks of SIMcheck, Ball et al., Sci. Rep. 5 (2015), and of fairSIM, Müller et al., Nat. Commun. 7 (2016).
"""

import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure

from oidn_jax.classical.bands import Transfer, fine_frequencies, move_bands, repeat_spectrum
from oidn_jax.classical.estimation import Estimate, measure_brightness
from oidn_jax.classical.images import ClassicalOptions, transfer_of_image
from oidn_jax.classical.peaks import SEARCHED, correlogram
from oidn_jax.classical.spectra import taper
from oidn_jax.data.atomic import check_target, write_atomically
from oidn_jax.optics.fourier import fft2, frequencies
from oidn_jax.optics.illumination import phase_matrix
from oidn_jax.optics.transfer import TransferFunction
from oidn_jax.reconstruction import diagnostics_panels as panels

Method = Literal["wiener", "hifi", "widefield", "oidn", "image"]

_SCALE = 2
_LARGEST_BANDS = 512  # raw pixels: a picture shows no more
_PSF_GRID, _PSF_REACH = 64, 8.0  # raw pixels: period, and how far from the centre
_NAMES = {"wiener": "Wiener SIM", "hifi": "HiFi-SIM", "widefield": "widefield", "oidn": "OIDN", "image": "given image"}
_WIDTH, _HEIGHT, _TOP, _LINE = 16.0, 12.0, 3.8, 0.18  # inches
_WRAPPED = 190  # characters


class Diagnostics(NamedTuple):
    """What the page shows.

    Attributes:
        estimate: of the illumination.
        cutoff: scalar, of the OTF.
        brightness: (orientations, phases), mean of each frame over the mean of all.
        raw_spectrum: (h, w), root mean square over the frames.
        correlogram: (orientations, h, w), Z as in `classical.peaks`.
        at_rest: (orientations, h2, w2), C0 on the fine grid, NaN outside its support |k| < k_c.
        moved: (orientations, h2, w2), C+ at its place, NaN outside its support |k + p| < k_c.
        result_spectrum: (h2, w2).
        residual_peak: (orientations,), modulus of the result's spectrum at p, within 1.5 frequency pixels, over the
            median of the ring of the same |k|; about 2 for noise.
        condition: (orientations,), condition number of what mixes the bands into frames, at best sqrt(2) / m.
        profiles: of the transfer function and the PSF.
    """

    estimate: Estimate
    cutoff: Array
    brightness: Array
    raw_spectrum: Array
    correlogram: Array
    at_rest: Array
    moved: Array
    result_spectrum: Array
    residual_peak: Array
    condition: Array
    profiles: panels.Profiles


def write_diagnostics(
    path: Path,
    raw_frames: Real[Array | np.ndarray, "frames h w"],
    sr_image: Real[Array | np.ndarray, "h2 w2"],
    *,
    estimate: Estimate,
    otf: TransferFunction,
    method: Method,
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
    found = jax.device_get(_diagnose(frames, image, estimate, otf=otf, method=method, options=options))
    figure = _draw(found, (frames, image), method=method, pixel_size_nm=pixel_size_nm, warnings=warnings)
    write_atomically(path, lambda partial: figure.savefig(partial, format="png"), n_bytes=2**20)


def diagnose(
    raw_frames: Float[Array, "frames h w"],
    sr_image: Float[Array, "h2 w2"],
    estimate: Estimate,
    *,
    otf: TransferFunction,
    method: Method,
    options: ClassicalOptions = ClassicalOptions(),  # noqa: B008 -- immutable
) -> Diagnostics:
    """Everything that the page shows; arguments as `write_diagnostics`."""
    given = estimate.illumination
    brightness = measure_brightness(raw_frames, orientations=len(given.brightness))
    frames = raw_frames.reshape(*brightness.shape, *raw_frames.shape[1:])
    spectrum = jnp.abs(fft2(taper(sr_image)))
    at_rest, moved = _band_spectra(raw_frames, estimate, otf)
    effective = transfer_of_image(raw_frames, given, otf, method=method, options=options)
    return Diagnostics(
        estimate=estimate,
        cutoff=otf.cutoff,
        brightness=brightness,
        raw_spectrum=_displayed(jnp.sqrt((jnp.abs(fft2(taper(raw_frames))) ** 2).mean(0))),
        correlogram=_centred(correlogram(frames / brightness[..., None, None], cutoff=otf.cutoff)),
        at_rest=at_rest,
        moved=moved,
        result_spectrum=_displayed(spectrum),
        residual_peak=jax.vmap(partial(_over_ring, spectrum))(given.wave_vector / _SCALE),
        condition=jax.vmap(jnp.linalg.cond)(phase_matrix(given)),
        profiles=_profiles(effective, given.wave_vector[0], otf),
    )


_diagnose = jax.jit(diagnose, static_argnames="method")


def _centred(spectrum: Array) -> Array:
    return jnp.roll(spectrum, [n // 2 for n in spectrum.shape[-2:]], (-2, -1))


def _displayed(spectrum: Array) -> Array:
    return _centred(jnp.log10(jnp.maximum(jnp.abs(spectrum), 1e-12)))


def _band_spectra(raw_frames: Array, estimate: Estimate, otf: TransferFunction) -> tuple[Array, Array]:
    """C0, and C+ at its place, on the fine grid, of the middle of the frames."""
    # Phases refer to pixel n // 2, which stays there.
    rows, columns = (slice(n // 2 - min(n, _LARGEST_BANDS) // 2, None) for n in raw_frames.shape[1:])
    frames = raw_frames[:, rows, columns][:, :_LARGEST_BANDS, :_LARGEST_BANDS]
    bands = move_bands(taper(frames), estimate.illumination)
    ky, kx = fine_frequencies((frames.shape[1], frames.shape[2]), scale=_SCALE)

    def supported(spectrum: Array, centre: Array) -> Array:
        inside = jnp.hypot(ky - centre[0], kx - centre[1]) < otf.cutoff
        return jnp.where(_centred(inside), _displayed(repeat_spectrum(spectrum, scale=_SCALE)), jnp.nan)

    vector = estimate.illumination.wave_vector
    return jax.vmap(supported)(bands.at_rest, jnp.zeros_like(vector)), jax.vmap(supported)(bands.moved, -vector)


def _over_ring(modulus: Float[Array, "h w"], vector: Float[Array, "2"]) -> Float[Array, ""]:
    """Peak of a spectrum, zero frequency first, at a vector in cycles per pixel, over the median of its ring."""
    ky, kx = (jnp.asarray(frequencies(n), jnp.float32) for n in modulus.shape)
    ring = jnp.abs(jnp.hypot(ky[:, None], kx[None, :]) - jnp.linalg.norm(vector)) < 2.0 / max(modulus.shape)
    away = [jnp.abs((k - v + 0.5) % 1.0 - 0.5) * len(k) for k, v in zip((ky, kx), vector, strict=True)]
    near = jnp.hypot(away[0][:, None], away[1][None, :]) < 1.5
    return jnp.where(near, modulus, 0.0).max() / jnp.nanmedian(jnp.where(ring & ~near, modulus, jnp.nan))


def _profiles(effective: Transfer | None, vector: Float[Array, "2"], otf: TransferFunction) -> panels.Profiles:
    """PSF(x) = sum_k H(k) exp(2 pi i x k.u) along the direction u of a profile, over its value at 0."""
    along = vector / jnp.linalg.norm(vector)
    across = jnp.stack([-along[1], along[0]])
    drawn = [(otf, along)] + ([] if effective is None else [(effective, along), (effective, across)])
    frequency = jnp.linspace(0.0, otf.cutoff + jnp.linalg.norm(vector), 300)
    position = jnp.linspace(0.0, _PSF_REACH, 321)
    ky, kx = fine_frequencies((_PSF_GRID, _PSF_GRID), scale=_SCALE)
    otfs, psfs = [], []
    for transfer, (y, x) in drawn:
        otfs.append(transfer(y * frequency[None], x * frequency[None])[0])
        waves = [jnp.exp(2j * jnp.pi * position[:, None] * k.reshape(1, -1)) for k in (y * ky, x * kx)]
        psfs.append(jnp.einsum("ny,yx,nx->n", waves[0], transfer(ky, kx), waves[1]).real)
    return panels.Profiles(
        frequency=frequency,
        otf=jnp.stack([h / h.max() for h in otfs]),
        position=position,
        psf=jnp.stack([psf / psf[0] for psf in psfs]),
    )


def _draw(
    found: Diagnostics, images: tuple[Array, Array], *, method: str, pixel_size_nm: float | None, warnings: Sequence
) -> Figure:
    units = panels.Units.of(pixel_size_nm)
    lines = [line for text in warnings for line in textwrap.wrap(f"• {text}", _WRAPPED, subsequent_indent="   ")]
    bottom = _LINE * (len(lines) + 3) if lines else 0.0
    figure = Figure(figsize=(_WIDTH, _HEIGHT + bottom), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    (orientations, phases), (h, w) = found.brightness.shape, found.raw_spectrum.shape
    figure.suptitle(
        f"{_NAMES[method]}: {orientations} × {phases} frames of {w} × {h} pixels, {units.pixel}; "
        f"cutoff $k_c$ = {units.frequency * found.cutoff:.3g} {units.frequency_unit}",
        fontsize=13,
    )
    rows = [_TOP, _HEIGHT - _TOP] + ([bottom] if lines else [])
    parts = figure.subfigures(len(rows), 1, height_ratios=rows, squeeze=False)[:, 0]
    _draw_images(parts[0], found, images, name=_NAMES[method], units=units)
    left, right = parts[1].subfigures(1, 2, width_ratios=(7.8, 8.2) if orientations > 1 else (4.0, 12.0))
    _draw_orientations(left, found, units)
    _draw_numbers(right, found, units)
    if lines:
        panels.draw_warnings(parts[2], lines, height=bottom)
    for axes in figure.axes:
        axes.title.set_fontsize(10)
        axes.tick_params(labelsize=8)
    return figure


def _draw_images(
    part: SubFigure, found: Diagnostics, images: tuple[Array, Array], *, name: str, units: panels.Units
) -> None:
    axes = part.subplots(1, 5, width_ratios=(2.8, 3.0, 3.0, 3.5, 3.5))
    vectors, cutoff = found.estimate.illumination.wave_vector, float(found.cutoff)
    reach = cutoff + float(np.hypot(*vectors.T).mean())
    panels.draw_brightness(axes[0], found.brightness)
    panels.draw_spectrum(axes[1], found.raw_spectrum, units, limit=0.5)
    axes[1].set_title("spectrum of the raw frames, marks: ±p\nsolid: $k_c$, dotted: searched")
    for radius in SEARCHED:
        panels.draw_circle(axes[1], radius * cutoff, units, line=":")
    panels.draw_spectrum(axes[2], found.result_spectrum, units, limit=1.05 * reach, scale=_SCALE)
    left_over = ", ".join(f"{peak:.1f}" for peak in found.residual_peak)
    axes[2].set_title(f"spectrum of the result, dashed: $k_c$ + |p|\npeaks at p over their ring: {left_over}")
    panels.draw_circle(axes[2], reach, units, line="--")
    for spectrum in axes[1:3]:
        panels.draw_circle(spectrum, cutoff, units)
        panels.name_frequencies(spectrum, units)
        for i, vector in [(i, sign * vector) for i, vector in enumerate(vectors) for sign in (1, -1)]:
            panels.mark_vector(spectrum, vector, units, index=i)
    for panel, image in zip(axes[3:], (images[0].mean(0), images[1]), strict=True):
        panels.draw_image(panel, np.asarray(image), units, size=found.raw_spectrum.shape)
    axes[3].set_title("widefield (mean of the frames)")
    axes[4].set_title(f"result ({name})")


def _draw_orientations(part: SubFigure, found: Diagnostics, units: panels.Units) -> None:
    vectors, cutoff = found.estimate.illumination.wave_vector, float(found.cutoff)
    reach, count = 1.02 * (cutoff + float(np.hypot(*vectors.T).max())), len(vectors)
    rows = part.subplots(count, 3, squeeze=False) if count > 1 else part.subplots(3, 1, squeeze=False).T
    for i, (vector, axes) in enumerate(zip(vectors, rows, strict=True)):
        z, other = float(found.estimate.confidence[i]), float(found.estimate.runner_up[i])
        score, contrast = np.log10(np.maximum(found.correlogram[i], 1.0)), (0.0, float(np.log10(max(z, other, 2.0))))
        panels.draw_spectrum(axes[0], score, units, limit=1.3 * cutoff, contrast=contrast)
        panels.enlarge(axes[0], vector, units, reach=6.0 / max(score.shape), index=i)
        panels.mark_vector(axes[0], vector, units, index=i)
        for radius in SEARCHED:
            panels.draw_circle(axes[0], radius * cutoff, units, line=":")
        axes[0].set_title(f"{i + 1}: correlation Z = {z:.1f}, next {other:.1f}")
        for panel, band, centre in ((axes[1], found.at_rest[i], 0 * vector), (axes[2], found.moved[i], -vector)):
            panels.draw_spectrum(panel, band, units, limit=reach, scale=_SCALE)
            panels.draw_circle(panel, cutoff, units, line=":")
            panels.draw_circle(panel, cutoff, units, centre=centre, colour=panels.colour(i))
        axes[1].set_title(f"{i + 1}: band 0")
        axes[2].set_title(f"{i + 1}: band +1, at −p")
    for panel in rows[-1]:
        panels.name_frequencies(panel, units)


def _draw_numbers(part: SubFigure, found: Diagnostics, units: panels.Units) -> None:
    (plots,), (table,) = part.subfigures(2, 1, squeeze=False, height_ratios=(5.2, 3.0))
    axes = plots.subplots(2, 2, height_ratios=(1.25, 1.0))
    panels.draw_modulation(axes[0, 0], found.estimate)
    panels.draw_phases(axes[0, 1], found.estimate)
    cutoff, length = float(found.cutoff), float(np.hypot(*found.estimate.illumination.wave_vector[0]))
    panels.draw_transfer(axes[1, 0], found.profiles, units, reach={"$k_c$": cutoff, "$k_c$ + |p|": cutoff + length})
    panels.draw_psf(axes[1, 1], found.profiles, units)
    panels.draw_table(table, found.estimate, units, size=found.raw_spectrum.shape, condition=found.condition)

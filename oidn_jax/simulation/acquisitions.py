"""Simulated SIM acquisitions: a specimen, the frames a camera would record of it, and what SIM can recover.

The image is formed on the fine grid (raw pixel / scale) with a margin, so that filaments leave the field as in a real
image, and cropped. Two kinds of target, on the fine grid:

- "ideal": the specimen within the extended support of linear SIM, its spectrum times an Airy-shaped apodisation with
  the cutoff k_c + |p|;
- "classical": the Wiener reconstruction of another, bright acquisition of the same specimen, as BioSR's targets are.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Int

from oidn_jax import random
from oidn_jax.classical.wiener import wiener_sim
from oidn_jax.optics.forward import form_bands, mix_bands
from oidn_jax.optics.fourier import filter_image, frequency_radius
from oidn_jax.optics.illumination import Illumination, bleaching, wave_vectors
from oidn_jax.optics.microscope import Microscope
from oidn_jax.optics.noise import CameraPixels, expose
from oidn_jax.optics.otf import airy_otf
from oidn_jax.simulation.drawing import between, draw_bodies, label, uniforms
from oidn_jax.simulation.foreground import FOREGROUNDS
from oidn_jax.simulation.settings import Simulation

_STRUCTURE = 2.0  # fine pixels over which the direction of a structure is judged


class SimulatedAcquisition(NamedTuple):
    """One acquisition and its truth, nothing of it normalised.

    Attributes:
        raw_frames: (h, w, frames) camera counts.
        target: (scale*h, scale*w, 1).
        specimen: (scale*h, scale*w), the density of fluorophores in focus.
        background: (h, w), the light in the raw frames that the patterns do not modulate, in units of the specimen.
        photons: (h, w, frames), the expected photo-electrons: the raw frames without noise,
            photons_per_unit envelope max(form_raw_frames(specimen) + brightness background, 0).
        photons_per_unit: scalar.
        illumination: the patterns, phases at the centre of raw pixel (h // 2, w // 2).
        envelopes: (orientations, h, w), brightness of each over the field, a factor of the photons; mean about 1.
        camera: its pixels, each part (h, w) but the saturation.
    """

    raw_frames: Array
    target: Array
    specimen: Array
    background: Array
    photons: Array
    photons_per_unit: Array
    illumination: Illumination
    envelopes: Array
    camera: CameraPixels


def draw_illumination(key: Array, simulation: Simulation) -> Illumination:
    """The patterns of one acquisition: a published set of directions, with what a real microscope adds to it.

    The waves of three beams of amplitudes a, b, a and any phases are cos x and cos 2x, up to the sign of the first: so
    in each frame the second harmonic has twice the phase of the first.
    """
    settings = simulation.settings
    orientations, phases = simulation.microscope.orientations, simulation.microscope.phases
    scene, flat, normal, frame = uniforms(key, (4,), (2, orientations), (3, orientations), (2, orientations, phases))
    which, turned, relative, bleached = scene
    offset, depth = flat
    angle_jitter, length_jitter, brightness = ndtri(normal)
    phase_error, flicker = ndtri(frame)

    sets = jnp.deg2rad(jnp.asarray(settings.orientation_sets_deg))
    angles = sets[jnp.floor(which * len(sets)).astype(jnp.int32)]
    angles = angles + jnp.deg2rad(settings.orientation_spread_deg) * (2.0 * turned - 1.0)
    length = 1.0 + settings.illumination_na_spread * (2.0 * relative - 1.0)
    jitter = settings.wave_vector_jitter
    kept = bleaching(orientations, phases, per_frame=between(settings.bleaching_per_frame, bleached))
    laser = jnp.exp(settings.orientation_brightness * brightness[:, None] + settings.frame_brightness * flicker)
    steps = 2.0 * jnp.pi * (offset[:, None] + jnp.arange(phases)[None] / phases)
    drawn = Illumination(
        wave_vector=wave_vectors(
            angles + jitter * angle_jitter, (length + jitter * length_jitter) * simulation.illumination_frequency
        ),
        phase=steps + jnp.deg2rad(settings.phase_error_deg) * phase_error,
        modulation_depth=between(settings.modulation_depth, depth),
        brightness=kept * laser,
    )
    if not settings.three_beams:
        return drawn
    first = between(settings.first_harmonic, jax.random.uniform(jax.random.fold_in(key, 3), (orientations,)))
    return drawn._replace(
        wave_vector=jnp.stack([drawn.wave_vector / 2.0, drawn.wave_vector], axis=1).reshape(-1, 2),
        phase=jnp.stack([drawn.phase, 2.0 * drawn.phase], axis=1).reshape(-1, phases),
        modulation_depth=jnp.stack([first, drawn.modulation_depth], axis=1).ravel(),
    )


def _draw_specimen(key: Array, size: tuple[int, int], simulation: Simulation) -> tuple[Array, Array]:
    """What is in focus, on the fine grid, and what is not, on the raw grid: another plane, blurred."""
    settings, microscope, draw = simulation.settings, simulation.microscope, simulation.specimen.draw
    focus_key, label_key, haze_key, strength_key = jax.random.split(key, 4)
    fine_nm = microscope.fine_pixel_size_nm
    in_focus = draw(
        focus_key,
        (size[0] * microscope.scale, size[1] * microscope.scale),
        pixel_size_nm=fine_nm,
        density=settings.density,
        brightness_variation=settings.brightness_variation,
    )
    if settings.diffuse[1] > 0:
        key, share_key = jax.random.split(jax.random.fold_in(focus_key, 2))
        share = between(settings.diffuse, jax.random.uniform(share_key))
        bodies = draw_bodies(key, (in_focus.shape[0], in_focus.shape[1]), pixel_size_nm=fine_nm)
        in_focus = (1.0 - share) * in_focus + share * in_focus.mean() * bodies
    if settings.labels_per_um:
        in_focus = label(label_key, in_focus, labels_per_unit=settings.labels_per_um * fine_nm / 1000.0)
    filled = 1.0
    if settings.empty > 0:
        filled = jax.random.uniform(jax.random.fold_in(focus_key, 1)) >= settings.empty
    if settings.background[1] == 0:
        return filled * in_focus, jnp.zeros(size)
    haze = draw(
        haze_key,
        size,
        pixel_size_nm=microscope.pixel_size_nm,
        density=settings.density,
        brightness_variation=settings.brightness_variation,
    )
    sigma = settings.background_blur_um * 1000.0 / microscope.pixel_size_nm
    radius = frequency_radius(*size)
    blur = jnp.exp(-2.0 * (jnp.pi * sigma * radius) ** 2) * airy_otf(radius, cutoff=microscope.cutoff)
    haze = jnp.maximum(filter_image(haze, blur), 0.0)
    strength = between(settings.background, jax.random.uniform(strength_key)) * simulation.background_excitation
    return filled * in_focus, strength * in_focus.mean() / jnp.maximum(haze.mean(), 1e-6) * haze


def _draw_envelopes(key: Array, size: tuple[int, int], simulation: Simulation) -> Float[Array, "orientations h w"]:
    """Smooth brightness of each orientation: 1 + s u, u the cosines of up to a period over the field, of variance 1."""
    settings, count = simulation.settings, simulation.microscope.orientations
    if settings.uneven_brightness[1] == 0:
        return jnp.ones((count, *size))
    spread_key, wave_key = jax.random.split(key)
    spread = between(settings.uneven_brightness, jax.random.uniform(spread_key))
    weights = jax.random.normal(wave_key, (count, 3, 3)).at[:, 0, 0].set(0.0)
    weights = weights / jnp.sqrt((weights**2).mean((1, 2), keepdims=True) * 9.0)
    along = [
        jnp.cos(jnp.pi * jnp.arange(3)[:, None] * ((jnp.arange(n) + 0.5) / n)[None])
        * jnp.sqrt(jnp.where(jnp.arange(3) > 0, 2.0, 1.0))[:, None]
        for n in size
    ]
    return jnp.maximum(1.0 + spread * jnp.einsum("oij,iy,jx->oyx", weights, *along), 0.05)


def _draw_camera(key: Array, size: tuple[int, int], simulation: Simulation) -> CameraPixels:
    """The camera's pixels: gain and offset scatter normally (the gain not below a tenth), some have more read noise."""
    settings, camera = simulation.settings, simulation.settings.camera
    gain_key, offset_key, noisy_key = jax.random.split(key, 3)
    gain, offset, read_noise = (jnp.full(size, n) for n in (camera.gain, camera.offset, camera.read_noise))
    if settings.gain_variation:
        gain *= jnp.maximum(1.0 + settings.gain_variation * random.normal(gain_key, size), 0.1)
    if settings.offset_variation:
        offset += settings.offset_variation * random.normal(offset_key, size)
    if settings.noisy_pixels:
        noisy = random.uniform(noisy_key, size) < settings.noisy_pixels
        read_noise *= jnp.where(noisy, jnp.sqrt(settings.noisy_pixel_variance), 1.0)
    return CameraPixels(gain, offset, read_noise, camera.saturation)


def _seen_by_each(specimen: Array, illumination: Illumination, *, strength: Array) -> list[Array]:
    """The specimen as each orientation excites it: times 1 + d cos 2(a - b), a along structures, b the polarisation.

    a is the direction of least change (structure tensor within some pixels), b is across the wave vector, as of beams
    that must be s-polarised to interfere.
    """
    radius = jnp.asarray(frequency_radius(*specimen.shape), jnp.float32)
    smooth = jnp.exp(-2.0 * (jnp.pi * _STRUCTURE * radius) ** 2)
    slope = jnp.stack(jnp.gradient(filter_image(specimen, smooth)))
    yy, xx, xy = filter_image(jnp.stack([slope[0] ** 2, slope[1] ** 2, slope[0] * slope[1]]), smooth)
    size = jnp.hypot(xx - yy, 2.0 * xy)
    anisotropy = size / jnp.maximum(xx + yy, 1e-9)
    # The slope is across a structure: the double angle turns by 180 degrees.
    cosine, sine = (-part / jnp.maximum(size, 1e-12) * anisotropy for part in (xx - yy, 2.0 * xy))
    y, x = illumination.finest.T / jnp.linalg.norm(illumination.finest, axis=-1)[None]
    across_cosine, across_sine = y**2 - x**2, -2.0 * x * y
    return [
        specimen * (1.0 + strength * (c * cosine + s * sine)) for c, s in zip(across_cosine, across_sine, strict=True)
    ]


def _parts(illumination: Illumination, count: int) -> list[Illumination]:
    """The whole, or each orientation for itself."""
    if count == 1:
        return [illumination]
    return [illumination.of_orientation(i) for i in range(count)]


def simulate_acquisition(
    key: Array,
    level: Int[Array, ""] | int,
    *,
    simulation: Simulation,
    size: tuple[int, int],
    drift: Int[Array, "2"] | None = None,
) -> SimulatedAcquisition:
    """One acquisition of a random specimen.

    The photons are scaled so that the noise-free mean of the frames has the mean `settings.mean_photons[level]` over
    its foreground (`simulation.foreground`); then come photon noise, read noise, gain, offset and saturation.

    Args:
        key: of the acquisition. The same key gives the same scene and illumination at every level, with other noise.
        level: index into `settings.mean_photons`, from 0.
        simulation: the specimen and the microscope.
        size: (h, w) of the raw frames.
        drift: (y, x), whole fine pixels by which the specimen has moved; the field is periodic beyond the margin.
    """
    settings, scale = simulation.settings, simulation.microscope.scale
    margin = settings.margin
    padded = (size[0] + 2 * margin, size[1] + 2 * margin)
    specimen_key, illumination_key, noise_key, target_key = jax.random.split(key, 4)
    specimen, haze = _draw_specimen(specimen_key, padded, simulation)
    if drift is not None:
        specimen = jnp.roll(specimen, drift, (0, 1))
    illumination = draw_illumination(illumination_key, simulation)
    otf = jnp.asarray(simulation.microscope.fine_otf(*padded), jnp.float32)
    excited = [specimen]
    if settings.dichroism[1] > 0:
        strength = between(settings.dichroism, jax.random.uniform(jax.random.fold_in(illumination_key, 1)))
        excited = _seen_by_each(specimen, illumination, strength=strength)
    light = jnp.concatenate(
        [
            mix_bands(form_bands(seen, part.wave_vector, otf, scale=scale), part, background=haze)
            for seen, part in zip(excited, _parts(illumination, len(excited)), strict=True)
        ]
    )
    envelopes = _draw_envelopes(jax.random.fold_in(illumination_key, 2), padded, simulation)
    even = jnp.maximum(light, 0.0)
    light = even * jnp.repeat(envelopes, simulation.microscope.phases, axis=0)

    inside = slice(margin, margin + size[0]), slice(margin, margin + size[1])
    fine = slice(scale * margin, scale * (margin + size[0])), slice(scale * margin, scale * (margin + size[1]))
    per_photon = FOREGROUNDS[settings.foreground](light[:, *inside].mean(0))
    photons_per_unit = jnp.asarray(settings.mean_photons)[level] / per_photon
    photons = light[:, *inside] * photons_per_unit
    camera = _draw_camera(jax.random.fold_in(illumination_key, 3), size, simulation)
    counts = expose(jax.random.fold_in(noise_key, level), photons, camera.for_frames(0))
    if settings.target == "ideal":
        target = _ideal_target(specimen, illumination, simulation.microscope)
    else:
        target = _classical_target(target_key, even * settings.target_photons / per_photon, illumination, simulation)
    return SimulatedAcquisition(
        raw_frames=jnp.moveaxis(counts, 0, -1),
        target=target[fine][..., None],
        specimen=specimen[fine],
        background=haze[inside],
        photons=jnp.moveaxis(photons, 0, -1),
        photons_per_unit=photons_per_unit,
        illumination=illumination,
        envelopes=envelopes[:, *inside],
        camera=camera,
    )


def _ideal_target(specimen: Array, illumination: Illumination, microscope: Microscope) -> Array:
    """The specimen within the extended support of this acquisition's illumination."""
    reach = illumination.reach(microscope.cutoff)
    radius = jnp.asarray(frequency_radius(*specimen.shape), jnp.float32)
    return filter_image(specimen, airy_otf(radius, cutoff=reach / microscope.scale))


def _classical_target(
    key: Array, photons: Array, illumination: Illumination, simulation: Simulation
) -> Float[Array, "h w"]:
    """Wiener SIM of a bright acquisition with its true illumination; no camera saturates at it."""
    camera = replace(simulation.settings.camera, saturation=math.inf)
    return wiener_sim(
        (expose(key, photons, camera) - camera.offset) / camera.gain,
        illumination,
        simulation.microscope.otf(),
        scale=simulation.microscope.scale,
        wiener=simulation.settings.target_wiener,
        pad=0,
    )


def simulate_acquisitions(
    key: Array, levels: Int[Array, "b"], *, simulation: Simulation, size: tuple[int, int]
) -> SimulatedAcquisition:
    """A batch of acquisitions, sample i drawn from `fold_in(key, i)`: the same scenes at every level and batch size.

    Levels are indices into `settings.mean_photons`.
    """
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(levels.shape[0]))
    return jax.vmap(lambda k, level: simulate_acquisition(k, level, simulation=simulation, size=size))(keys, levels)

"""Simulated SIM acquisitions: a specimen, the nine frames a camera would record of it, and what ideal SIM recovers.

The image is formed on the fine grid (raw pixel / scale) with a margin, so that filaments leave the field as in a real
image, cropped and binned to the camera grid. The target is the specimen within the extended support of linear SIM:
its spectrum times an Airy-shaped apodisation with the cutoff k_c + |p|, on the fine grid.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from oidn_jax.optics.forward import bin_pixels, form_raw_frames
from oidn_jax.optics.fourier import filter_image, frequency_radius
from oidn_jax.optics.illumination import sinusoidal_illumination, wave_vectors
from oidn_jax.optics.otf import airy_otf, otf_cutoff
from oidn_jax.simulation.specimens import filaments


class Acquisition(NamedTuple):
    """Raw frames in photo-electrons (h, w, frames) and the target (scale*h, scale*w, 1), not normalised."""

    raw_frames: Array
    target: Array


@dataclass(frozen=True)
class AcquisitionSettings:
    """The microscope, its nuisances and the specimen; the `simulation` section of a configuration.

    Raises:
        ValueError: if a field is not legal.
    """

    na: float = 1.49
    emission_wavelength_nm: float = 525.0
    pixel_size_nm: float = 62.6
    otf_damping: float = 0.175
    orientations: int = 3
    phases: int = 3
    scale: int = 2
    illumination_na: float = 1.41
    excitation_wavelength_nm: float = 488.0
    illumination_na_spread: float = 0.04  # relative, uniform, one draw per acquisition
    first_orientation_deg: float = 84.8
    orientation_spread_deg: float = 5.0  # uniform, one draw per acquisition
    phase_error_deg: float = 3.0  # standard deviation of each phase step
    modulation_depth: tuple[float, float] = (0.5, 0.95)
    peak_photons: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({"low": 50.0, "medium": 300.0, "high": 2000.0})
    )
    read_noise: float = 1.6  # electrons
    filaments_per_100_um2: tuple[float, float] = (10.0, 60.0)
    filament_length_um: float = 10.0
    background: tuple[float, float] = (0.0, 1.0)  # out-of-focus light, of the in-focus mean
    background_blur_um: float = 0.6
    margin: int = 16  # raw pixels simulated around the frames and cropped

    def __post_init__(self):
        """Check the fields."""
        otf_cutoff(na=self.na, emission_wavelength_nm=self.emission_wavelength_nm, pixel_size_nm=self.pixel_size_nm)
        airy_otf(np.zeros(1), cutoff=1.0, damping=self.otf_damping)
        counts = ("orientations", "phases", "scale")
        for name in (*counts, "illumination_na", "excitation_wavelength_nm", "filament_length_um"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")
        for name in ("read_noise", "margin", "background_blur_um", "phase_error_deg", "orientation_spread_deg"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        if not 0 <= self.illumination_na_spread < 1:
            raise ValueError(f"illumination_na_spread is {self.illumination_na_spread}; it must be in [0, 1)")
        for name in ("modulation_depth", "filaments_per_100_um2", "background"):
            limits = getattr(self, name)
            if np.shape(limits) != (2,) or not 0 <= limits[0] <= limits[1]:
                raise ValueError(f"{name} is {limits}; it must be a range (low, high) with 0 <= low <= high")
        if self.modulation_depth[1] > 1:
            raise ValueError(f"modulation_depth is {self.modulation_depth}; a pattern cannot be modulated beyond 1")
        if not self.peak_photons or min(self.peak_photons.values()) <= 0:
            raise ValueError(f"peak_photons is {dict(self.peak_photons)}; each level must be positive")
        if self.sim_cutoff * (1 + self.illumination_na_spread) > 0.5 * self.scale:
            raise ValueError(
                f"the extended support reaches {self.sim_cutoff:.3f} cycles per raw pixel, beyond what a grid "
                f"{self.scale} times as fine can hold; make the raw pixels smaller or the scale larger"
            )

    @property
    def cutoff(self) -> float:
        """OTF cutoff k_c in cycles per raw pixel."""
        return otf_cutoff(
            na=self.na, emission_wavelength_nm=self.emission_wavelength_nm, pixel_size_nm=self.pixel_size_nm
        )

    @property
    def illumination_frequency(self) -> float:
        """Nominal |p| = 2 NA_ill pixel / excitation wavelength, cycles per raw pixel."""
        return otf_cutoff(
            na=self.illumination_na,
            emission_wavelength_nm=self.excitation_wavelength_nm,
            pixel_size_nm=self.pixel_size_nm,
        )

    @property
    def sim_cutoff(self) -> float:
        """Reach of the extended support, k_c + |p|, cycles per raw pixel."""
        return self.cutoff + self.illumination_frequency

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the fluorescence levels, weakest first."""
        return tuple(sorted(self.peak_photons, key=self.peak_photons.__getitem__))


def _uniform(key: Array, limits: tuple[float, float], shape: tuple[int, ...] = ()) -> Array:
    return jax.random.uniform(key, shape, minval=limits[0], maxval=limits[1])


def _specimen(key: Array, shape: tuple[int, int], settings: AcquisitionSettings) -> tuple[Array, Array]:
    """In-focus filaments and out-of-focus light (blurred filaments of another plane), on the fine grid."""
    pixel_um = settings.pixel_size_nm / settings.scale / 1000.0
    per_field = shape[0] * shape[1] * pixel_um**2 / 100.0
    low, high = (math.ceil(n * per_field) for n in settings.filaments_per_100_um2)
    count_key, focus_key, haze_key, background_key = jax.random.split(key, 4)
    options = {
        "shape": shape,
        "count": jax.random.randint(count_key, (), low, high + 1),
        "max_count": max(high, 1),
        "max_length": settings.filament_length_um / pixel_um,
    }
    in_focus = filaments(focus_key, **options)
    sigma = settings.background_blur_um / pixel_um
    blur = jnp.exp(-2.0 * (jnp.pi * sigma * frequency_radius(*shape)) ** 2)
    haze = filter_image(filaments(haze_key, **options), blur)
    strength = _uniform(background_key, settings.background) * in_focus.mean() / jnp.maximum(haze.mean(), 1e-6)
    return in_focus, strength * haze


def _illumination(key: Array, shape: tuple[int, int], settings: AcquisitionSettings) -> tuple[Array, Array]:
    """Patterns on the fine grid and the relative |p| of this acquisition."""
    angle_key, frequency_key, phase_key, error_key, depth_key = jax.random.split(key, 5)
    orientations, phases = settings.orientations, settings.phases
    spread = settings.orientation_spread_deg
    start = settings.first_orientation_deg + _uniform(angle_key, (-spread, spread))
    angles = jnp.deg2rad(start + 180.0 / orientations * jnp.arange(orientations))
    relative = 1.0 + _uniform(frequency_key, (-settings.illumination_na_spread, settings.illumination_na_spread))
    fine_frequency = relative * settings.illumination_frequency / settings.scale
    vectors = wave_vectors(angles, jnp.full((orientations,), fine_frequency))
    steps = 2.0 * jnp.pi / phases * jnp.arange(phases)[None, :]
    offset = jax.random.uniform(phase_key, (orientations, 1), maxval=2.0 * jnp.pi)
    error = jnp.deg2rad(settings.phase_error_deg) * jax.random.normal(error_key, (orientations, phases))
    depth = _uniform(depth_key, settings.modulation_depth, (orientations,))
    phase = offset + steps + error
    return sinusoidal_illumination(shape, wave_vector=vectors, phase=phase, modulation_depth=depth), relative


def simulate_acquisition(
    key: Array, level: Int[Array, ""] | int, *, settings: AcquisitionSettings, size: tuple[int, int]
) -> Acquisition:
    """One acquisition of a random specimen.

    raw = Poisson(photons) + Normal(0, read_noise), in electrons, camera offset removed; the photons are scaled so that
    the 99.9th percentile of the noise-free mean over the frames is the level's `peak_photons`.

    Args:
        key: of the acquisition. The same key gives the same scene and illumination at every level.
        level: index into `settings.levels`.
        settings: of the microscope and the specimen.
        size: (h, w) of the raw frames.
    """
    scale, margin = settings.scale, settings.margin
    shape = (scale * (size[0] + 2 * margin), scale * (size[1] + 2 * margin))
    specimen_key, illumination_key, photon_key, read_key = jax.random.split(key, 4)
    in_focus, haze = _specimen(specimen_key, shape, settings)
    illumination, relative = _illumination(illumination_key, shape, settings)

    radius = frequency_radius(*shape)
    otf = airy_otf(radius, cutoff=settings.cutoff / scale, damping=settings.otf_damping)
    frames = form_raw_frames(in_focus, illumination, otf, binning=scale)
    frames = frames + bin_pixels(filter_image(haze, otf), factor=scale)[None]
    frames = jnp.maximum(frames[:, margin : margin + size[0], margin : margin + size[1]], 0.0)

    photons = jnp.asarray([settings.peak_photons[name] for name in settings.levels])[level]
    frames = frames * photons / jnp.maximum(jnp.percentile(frames.mean(0), 99.9), 1e-6)
    noisy = jax.random.poisson(photon_key, frames).astype(jnp.float32)
    noisy = noisy + settings.read_noise * jax.random.normal(read_key, frames.shape)

    target = filter_image(in_focus, _apodisation(radius, settings, relative))
    crop = slice(scale * margin, scale * (margin + size[0])), slice(scale * margin, scale * (margin + size[1]))
    return Acquisition(jnp.moveaxis(noisy, 0, -1), target[crop][..., None])


def _apodisation(radius, settings: AcquisitionSettings, relative: Array) -> Float[Array, "h half_w"]:
    """Airy shape with the cutoff k_c + |p| of this acquisition; jax, because |p| is drawn."""
    reach = (settings.cutoff + relative * settings.illumination_frequency) / settings.scale
    rho = jnp.minimum(jnp.asarray(radius, jnp.float32) / reach, 1.0)
    return 2.0 / jnp.pi * (jnp.arccos(rho) - rho * jnp.sqrt(1.0 - rho**2))

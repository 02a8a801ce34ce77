"""What a simulated acquisition depends on: the `simulation` section of a configuration, checked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from oidn_jax.optics.noise import Camera
from oidn_jax.optics.otf import airy_otf, evanescent_depth_nm, otf_cutoff
from oidn_jax.simulation.specimens import SPECIMENS

TARGETS = ("ideal", "classical")
_POSITIVE = (
    "orientations",
    "phases",
    "scale",
    "illumination_na",
    "excitation_wavelength_nm",
    "sample_index",
    "target_photons",
    "gain",
    "saturation",
)
_NOT_NEGATIVE = (
    "brightness_variation",
    "labels_per_um",
    "background_blur_um",
    "background_depth_nm",
    "wave_vector_jitter",
    "orientation_spread_deg",
    "phase_error_deg",
    "orientation_brightness",
    "frame_brightness",
    "offset",
    "read_noise",
    "target_wiener",
    "margin",
)
_RANGES = ("density", "background", "modulation_depth", "bleaching_per_frame")


@dataclass(frozen=True)
class AcquisitionSettings:
    """The specimen, the microscope and its nuisances; a pair is a range from which each acquisition draws.

    Raises:
        ValueError: if a field is not legal.
    """

    specimen: str = "f_actin"
    density: tuple[float, float] = (2.0, 9.0)  # µm / µm^2, ccps: 1 / µm^2
    brightness_variation: float = 0.4  # between structures, standard deviation of the logarithm
    labels_per_um: float = 150.0  # on a filament of brightness 1; 0 for ideal labels
    background: tuple[float, float] = (0.0, 1.0)  # out-of-focus light, of the in-focus mean, where light reaches it
    background_blur_um: float = 0.6
    background_depth_nm: float = 300.0  # of what is out of focus; evanescent light hardly reaches it

    na: float = 1.49
    emission_wavelength_nm: float = 525.0
    pixel_size_nm: float = 62.6
    otf_damping: float = 0.175
    integrate_pixel: bool = False  # whether the camera pixel comes on top of the OTF; a measured one includes it
    sample_index: float = 1.38

    orientations: int = 3
    phases: int = 3
    scale: int = 2
    illumination_na: float = 1.41
    excitation_wavelength_nm: float = 488.0
    illumination_na_spread: float = 0.01  # relative, uniform, one draw per acquisition
    wave_vector_jitter: float = 0.002  # relative, of each orientation's length, and of its direction in radians
    orientation_sets_deg: tuple[tuple[float, ...], ...] = (
        (84.8, 144.8, 204.8),
        (-95.1, -35.1, 24.9),
        (90.0, 150.0, 210.0),
    )
    orientation_spread_deg: float = 3.0  # uniform, the same for all orientations of an acquisition
    phase_error_deg: float = 3.0  # standard deviation of each phase step
    modulation_depth: tuple[float, float] = (0.5, 0.95)
    orientation_brightness: float = 0.05  # relative standard deviation
    frame_brightness: float = 0.01  # relative standard deviation
    bleaching_per_frame: tuple[float, float] = (0.0, 0.005)

    mean_photons: tuple[float, ...] = (15.0, 24.0, 38.0, 60.0, 95.0, 150.0, 240.0, 380.0, 600.0)
    fluorescence: Mapping[str, tuple[int, ...]] = field(
        default_factory=lambda: MappingProxyType({"low": (1, 2, 3), "medium": (4, 5, 6), "high": (7, 8, 9)})
    )
    gain: float = 1.0
    offset: float = 100.0
    read_noise: float = 1.6
    saturation: float = 65535.0

    target: str = "ideal"
    target_photons: float = 3000.0  # "classical": mean photons of the acquisition it is reconstructed from
    target_wiener: float = 0.02
    margin: int = 16  # raw pixels simulated around the frames and cropped

    def __post_init__(self):
        """Check the fields."""
        otf_cutoff(na=self.na, emission_wavelength_nm=self.emission_wavelength_nm, pixel_size_nm=self.pixel_size_nm)
        airy_otf(np.zeros(1), cutoff=1.0, damping=self.otf_damping)
        for name, legal in (("specimen", tuple(SPECIMENS)), ("target", TARGETS)):
            if getattr(self, name) not in legal:
                raise ValueError(f"{name} is {getattr(self, name)!r}; legal: {', '.join(legal)}")
        for name in _POSITIVE:
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")
        for name in _NOT_NEGATIVE:
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        if not 0 <= self.illumination_na_spread < 1:
            raise ValueError(f"illumination_na_spread is {self.illumination_na_spread}; it must be in [0, 1)")
        for name in _RANGES:
            limits = getattr(self, name)
            if np.shape(limits) != (2,) or not 0 <= limits[0] <= limits[1] < math.inf:
                raise ValueError(f"{name} is {limits}; it must be a range (low, high) with 0 <= low <= high")
        for name in ("modulation_depth", "bleaching_per_frame"):
            if getattr(self, name)[1] > 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it cannot exceed 1")
        if self.density[0] == 0:
            raise ValueError(f"density is {self.density}; it must begin above 0, an empty field is no specimen")
        self._check_light()
        self._check_orientations()
        self._check_levels()
        if self.sim_cutoff * (1 + self.illumination_na_spread) > 0.5 * self.scale:
            raise ValueError(
                f"the extended support reaches {self.sim_cutoff:.3f} cycles per raw pixel, beyond what a grid "
                f"{self.scale} times as fine can hold; make the raw pixels smaller or the scale larger"
            )

    def _check_light(self) -> None:
        if self.saturation != round(self.saturation) or self.offset >= self.saturation:
            raise ValueError(
                f"saturation is {self.saturation} and offset {self.offset}; it must be a whole number above the offset"
            )
        if self.target == "classical" and (self.phases < 3 or self.modulation_depth[0] == 0):
            raise ValueError(
                f'target="classical" cannot be reconstructed from phases={self.phases} and modulation_depth='
                f"{self.modulation_depth}; it needs at least 3 phases and stripes"
            )

    def _check_orientations(self) -> None:
        for angles in self.orientation_sets_deg:
            if np.shape(angles) != (self.orientations,) or not np.all(np.isfinite(angles)):
                raise ValueError(
                    f"orientation_sets_deg has {angles}; each set must be the {self.orientations} directions in degrees"
                )
        if not self.orientation_sets_deg:
            raise ValueError("orientation_sets_deg is empty; give at least one set of directions in degrees")

    def _check_levels(self) -> None:
        levels = self.mean_photons
        if not levels or not all(0 < n < math.inf for n in levels) or list(levels) != sorted(levels):
            raise ValueError(f"mean_photons is {levels}; it must be the levels' positive photon numbers, weakest first")
        for name, numbers in self.fluorescence.items():
            if not numbers or any(n not in range(1, len(levels) + 1) for n in numbers):
                raise ValueError(
                    f"fluorescence has {name}={tuple(numbers)}; each name needs signal levels from 1 to {len(levels)}"
                )
        if not self.fluorescence:
            raise ValueError("fluorescence is empty; name at least one group of signal levels, as low=(1, 2, 3)")

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
    def background_excitation(self) -> float:
        """How much of the light reaches what is out of focus: 1, or exp(-depth / penetration depth) in TIRF."""
        depth = evanescent_depth_nm(
            illumination_na=self.illumination_na,
            excitation_wavelength_nm=self.excitation_wavelength_nm,
            sample_index=self.sample_index,
        )
        return math.exp(-self.background_depth_nm / depth)

    @property
    def camera(self) -> Camera:
        """The camera's numbers."""
        return Camera(gain=self.gain, offset=self.offset, read_noise=self.read_noise, saturation=self.saturation)

"""What a simulated acquisition depends on besides the microscope: the `simulation` section of a configuration."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from oidn_jax.errors import IllegalValue
from oidn_jax.optics.microscope import Microscope
from oidn_jax.optics.noise import Camera
from oidn_jax.optics.otf import evanescent_depth_nm, otf_cutoff
from oidn_jax.simulation.foreground import FOREGROUNDS
from oidn_jax.simulation.specimen import Specimen
from oidn_jax.simulation.specimens import SPECIMENS

TARGETS = ("ideal", "classical")
_POSITIVE = ("sample_index", "illumination_na", "excitation_wavelength_nm", "target_photons")
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
    "gain_variation",
    "offset_variation",
    "noisy_pixels",
    "noisy_pixel_variance",
    "target_wiener",
    "margin",
)
_RANGES = (
    "density",
    "diffuse",
    "background",
    "modulation_depth",
    "first_harmonic",
    "bleaching_per_frame",
    "uneven_brightness",
    "dichroism",
)


@dataclass(frozen=True)
class SimulationSettings:
    """The specimen, its illumination, the light and the nuisances; a pair is a range from which each acquisition draws.

    Raises:
        IllegalValue: if a field is not legal.
    """

    specimen: str = "f_actin"
    density: tuple[float, float] = (2.0, 9.0)  # µm / µm^2, ccps: 1 / µm^2
    brightness_variation: float = 0.4  # between structures, standard deviation of the logarithm
    labels_per_um: float = 150.0  # on a filament of brightness 1; 0 for ideal labels
    background: tuple[float, float] = (0.0, 1.0)  # out-of-focus light, of the in-focus mean, where light reaches it
    background_blur_um: float = 0.6
    background_depth_nm: float = 300.0  # of what is out of focus; evanescent light hardly reaches it
    sample_index: float = 1.38
    diffuse: tuple[float, float] = (0.0, 0.0)  # share of the in-focus light in filled bodies and smooth clouds
    empty: float = 0.0  # share of fields with nothing in focus

    illumination_na: float = 1.41
    excitation_wavelength_nm: float = 488.0
    illumination_na_spread: float = 0.01  # relative, uniform, one draw per acquisition
    wave_vector_jitter: float = 0.002  # relative, of each orientation's length, and of its direction in radians
    # The three published sets of the laboratory that recorded BioSR.
    orientation_sets_deg: tuple[tuple[float, ...], ...] = (
        (84.8, 144.8, 204.8),
        (-95.1, -35.1, 24.9),
        (90.0, 150.0, 210.0),
    )
    orientation_spread_deg: float = 3.0  # uniform, the same for all orientations of an acquisition
    phase_error_deg: float = 3.0  # standard deviation of each phase step
    modulation_depth: tuple[float, float] = (0.5, 0.95)
    first_harmonic: tuple[float, float] = (0.0, 0.0)  # its depth with three beams; `modulation_depth` is the second's
    orientation_brightness: float = 0.05  # relative standard deviation
    frame_brightness: float = 0.01  # relative standard deviation
    bleaching_per_frame: tuple[float, float] = (0.0, 0.005)
    uneven_brightness: tuple[float, float] = (0.0, 0.0)  # of orientations over the field: relative standard deviation
    dichroism: tuple[float, float] = (0.0, 0.0)  # d: brightness 1 + d cos 2(direction of structure - of polarisation)

    # Signal levels, mean photons over the foreground, and their names; BioSR gives neither as a table.
    foreground: str = "above_mean"  # of which these are the mean; or "biosr" (`simulation.foreground`)
    mean_photons: tuple[float, ...] = (15.0, 24.0, 38.0, 60.0, 95.0, 150.0, 240.0, 380.0, 600.0)
    fluorescence: Mapping[str, tuple[int, ...]] = field(
        default_factory=lambda: {"low": (1, 2, 3), "medium": (4, 5, 6), "high": (7, 8, 9)}
    )
    camera: Camera = field(default_factory=Camera)
    # The pixels of a CMOS, which differ from each other and stay as they are through an acquisition.
    gain_variation: float = 0.0  # relative standard deviation
    offset_variation: float = 0.0  # counts, standard deviation
    noisy_pixels: float = 0.0  # share of the pixels
    noisy_pixel_variance: float = 50.0  # read noise squared of these, times that of the others

    target: str = "ideal"  # or "classical": Wiener SIM of a bright acquisition, as BioSR's
    target_photons: float = 3000.0  # "classical": mean photons of the acquisition it is reconstructed from
    target_wiener: float = 0.02
    margin: int = 16  # raw pixels simulated around the frames and cropped

    def __post_init__(self) -> None:
        for name, legal in (("specimen", tuple(SPECIMENS)), ("target", TARGETS), ("foreground", tuple(FOREGROUNDS))):
            if getattr(self, name) not in legal:
                raise IllegalValue(name, getattr(self, name), f"legal: {', '.join(legal)}")
        for name in _POSITIVE:
            if not 0 < getattr(self, name) < math.inf:
                raise IllegalValue(name, getattr(self, name), "it must be positive")
        for name in _NOT_NEGATIVE:
            if not 0 <= getattr(self, name) < math.inf:
                raise IllegalValue(name, getattr(self, name), "it must not be negative")
        if not 0 <= self.empty <= 1:
            raise IllegalValue("empty", self.empty, "it must be a share from 0 to 1")
        if self.noisy_pixels > 1:
            raise IllegalValue("noisy_pixels", self.noisy_pixels, "it is a share of the pixels, at most 1")
        if not 0 <= self.illumination_na_spread < 1:
            raise IllegalValue("illumination_na_spread", self.illumination_na_spread, "it must be in [0, 1)")
        for name in _RANGES:
            limits = getattr(self, name)
            if np.shape(limits) != (2,) or not 0 <= limits[0] <= limits[1] < math.inf:
                raise IllegalValue(name, limits, "it must be a range (low, high) with 0 <= low <= high")
        for name in ("diffuse", "modulation_depth", "first_harmonic", "bleaching_per_frame", "dichroism"):
            if getattr(self, name)[1] > 1:
                raise IllegalValue(name, getattr(self, name), "it cannot exceed 1")
        if self.three_beams and (self.first_harmonic[0] == 0 or self._darkest_light() < 0):
            raise IllegalValue(
                "first_harmonic",
                self.first_harmonic,
                f"with a `modulation_depth` of {self.modulation_depth} it must be (0, 0), two beams, or begin above 0 "
                "and leave the light 1 + m1 cos x + m2 cos 2x positive: m1^2 at most 8 m2 (1 - m2)",
            )
        if self.density[0] == 0:
            raise IllegalValue("density", self.density, "it must begin above 0, an empty field is no specimen")
        levels = self.mean_photons
        if not levels or not all(0 < n < math.inf for n in levels) or list(levels) != sorted(levels):
            raise IllegalValue("mean_photons", levels, "it must be the levels' positive photon numbers, weakest first")
        if not self.fluorescence:
            raise IllegalValue("fluorescence", {}, "name at least one group of signal levels, as low=(1, 2, 3)")
        for name, numbers in self.fluorescence.items():
            if not numbers or any(n not in range(1, len(levels) + 1) for n in numbers):
                raise IllegalValue(f"fluorescence.{name}", numbers, f"it must be signal levels from 1 to {len(levels)}")

    @property
    def three_beams(self) -> bool:
        """Whether the illumination has a first harmonic besides the second."""
        return self.first_harmonic[1] > 0

    def _darkest_light(self) -> float:
        """The smallest value of 1 + m1 cos x + m2 cos 2x, whose minimum is where cos x = -m1 / (4 m2), or at x = pi."""
        first = self.first_harmonic[1]
        return min(
            1.0 - second - first**2 / (8.0 * second) if first < 4.0 * second else 1.0 - first + second
            for second in self.modulation_depth
        )

    @property
    def fluorescence_levels(self) -> dict[str, tuple[int, ...]]:
        """`fluorescence`, the weakest first, whatever order a configuration keeps."""
        return dict(sorted(self.fluorescence.items(), key=lambda named: tuple(named[1])))

    def for_specimen(self, name: str, *, given: Collection[str] = ()) -> "SimulationSettings":
        """The same of another specimen: what is this one's default becomes the other's, what was changed stays.

        Args:
            name: of the other specimen.
            given: fields, or fields of fields as `camera.gain`, that stay even where they have this one's default.

        Raises:
            IllegalValue: for a specimen that does not exist.
        """
        if name not in SPECIMENS:
            raise IllegalValue("specimen", name, f"legal: {', '.join(SPECIMENS)}")
        usual = specimen_settings(self.specimen)
        kept = {field.split(".")[0] for field in given} - {"specimen"}
        changed = {
            field: value for field, value in vars(self).items() if field in kept or value != getattr(usual, field)
        }
        return replace(specimen_settings(name), **changed)


def specimen_settings(name: str) -> SimulationSettings:
    """The settings of a specimen where nothing is changed."""
    return replace(SimulationSettings(specimen=name), **SPECIMENS[name].defaults)


@dataclass(frozen=True)
class Simulation:
    """A specimen under a microscope: what acquisitions are simulated from.

    Raises:
        IllegalValue: if the two do not go together.
    """

    settings: SimulationSettings
    microscope: Microscope

    def __post_init__(self) -> None:
        """Checks that they go together."""
        settings, microscope = self.settings, self.microscope
        sets = settings.orientation_sets_deg
        if not sets or any(np.shape(s) != (microscope.orientations,) or not np.all(np.isfinite(s)) for s in sets):
            legal = f"it must be one or more sets of the {microscope.orientations} directions in degrees"
            raise IllegalValue("simulation.orientation_sets_deg", sets, legal)
        if settings.three_beams and (microscope.phases < 5 or microscope.phases % 2 == 0):
            raise IllegalValue(
                "simulation.first_harmonic",
                settings.first_harmonic,
                f"the harmonics of three beams take `microscope.phases` of 5, 7, 9, ... (it is {microscope.phases})",
            )
        if settings.target == "classical" and (microscope.phases < 3 or settings.modulation_depth[0] == 0):
            raise IllegalValue(
                "simulation.target",
                settings.target,
                f"Wiener SIM needs at least 3 phases and stripes, but `microscope.phases` is {microscope.phases} and "
                f"`simulation.modulation_depth` {settings.modulation_depth}",
            )
        reach = microscope.cutoff + self.illumination_frequency * (1 + settings.illumination_na_spread)
        if reach > 0.5 * microscope.scale:
            raise IllegalValue(
                "microscope.scale",
                microscope.scale,
                f"the extended support reaches {reach:.3f} cycles per raw pixel, which needs at least "
                f"{math.ceil(2 * reach)}: or make `microscope.pixel_size_nm` smaller",
            )

    @property
    def specimen(self) -> Specimen:
        """The value that the settings name."""
        return SPECIMENS[self.settings.specimen]

    @property
    def illumination_frequency(self) -> float:
        """Nominal |p| = 2 NA_ill pixel / excitation wavelength, cycles per raw pixel; three beams: the finest."""
        return otf_cutoff(
            na=self.settings.illumination_na,
            emission_wavelength_nm=self.settings.excitation_wavelength_nm,
            pixel_size_nm=self.microscope.pixel_size_nm,
        )

    @property
    def background_excitation(self) -> float:
        """How much of the light reaches what is out of focus: 1, or exp(-depth / penetration depth) in TIRF."""
        depth = evanescent_depth_nm(
            illumination_na=self.settings.illumination_na,
            excitation_wavelength_nm=self.settings.excitation_wavelength_nm,
            sample_index=self.settings.sample_index,
        )
        return math.exp(-self.settings.background_depth_nm / depth)

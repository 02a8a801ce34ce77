"""The microscope of an acquisition: its objective, its pixels and its frames."""

from dataclasses import dataclass, replace
from typing import Any

from oidn_jax.data.errors import InputError
from oidn_jax.data.otf_file import RadialOtf
from oidn_jax.optics.otf import otf_cutoff
from oidn_jax.optics.transfer import TransferFunction

_SMALLEST_CUTOFF = 0.05  # cycles per raw pixel


@dataclass(frozen=True)
class Microscope:
    """What classical reconstruction must know.

    Attributes:
        na: of detection.
        emission_wavelength_nm: of the light detected.
        pixel_size_nm: of the raw frames, in the sample plane, where a file does not tell.
        otf_damping: attenuation of the theoretical OTF at its cutoff (`optics.otf.airy_otf`); 1 for an ideal objective.
        integrate_pixel: whether the theoretical OTF is that of the objective alone, without the camera pixel.
        orientations: illumination directions.
        phases: frames of each.
        scale: super-resolved pixels per raw pixel.
        measured: OTF in place of the theoretical one.
    """

    na: float
    emission_wavelength_nm: float
    pixel_size_nm: float
    otf_damping: float = 1.0
    integrate_pixel: bool = False
    orientations: int = 3
    phases: int = 3
    scale: int = 2
    measured: RadialOtf | None = None

    @classmethod
    def from_config(cls, config: Any) -> "Microscope":
        """From the sections `optics`, `frames` and `simulation` of a configuration."""
        optics, frames, simulation = config["optics"], config["frames"], config["simulation"]
        return cls(
            na=optics["na"],
            emission_wavelength_nm=optics["emission_wavelength_nm"],
            pixel_size_nm=optics["pixel_size_nm"],
            otf_damping=simulation["otf_damping"],
            integrate_pixel=simulation["integrate_pixel"],
            orientations=frames["orientations"],
            phases=frames["phases"],
            scale=frames["scale"],
        )

    def with_optics(
        self,
        *,
        na: float | None = None,
        emission_wavelength_nm: float | None = None,
        otf_damping: float | None = None,
        measured: RadialOtf | None = None,
    ) -> "Microscope":
        """With what is given replaced; another objective is an ideal one, unless its damping is given too."""
        changes: dict[str, Any] = {"measured": measured}
        if na is not None:
            changes |= {"na": na, "otf_damping": 1.0}
        if emission_wavelength_nm is not None:
            changes["emission_wavelength_nm"] = emission_wavelength_nm
        if otf_damping is not None:
            changes["otf_damping"] = otf_damping
        return replace(self, **changes)

    def otf(self, *, pixel_size_nm: float | None = None) -> TransferFunction:
        """The OTF of raw frames of this pixel size (by default the microscope's), in cycles per raw pixel.

        Raises:
            InputError: numbers that are no optics, or pixels too large for it: SIM needs 2 pixels per period.
        """
        pixel = self.pixel_size_nm if pixel_size_nm is None else pixel_size_nm
        numbers = {"na": self.na, "emission_wavelength_nm": self.emission_wavelength_nm, "pixel_size_nm": pixel}
        try:
            cutoff = otf_cutoff(**numbers)
            if self.measured is None:
                theory = {"damping": self.otf_damping, "integrate_pixel": self.integrate_pixel}
                otf = TransferFunction.theoretical(**numbers, **theory)
            else:
                step = float(self.measured.frequency_per_um[1]) * pixel / 1000.0
                otf = TransferFunction.measured(self.measured.values, step=step, cutoff=cutoff)
        except ValueError as error:
            raise InputError(f"the microscope: {error}") from error
        if cutoff < _SMALLEST_CUTOFF:
            raise InputError(
                f"the microscope: pixels of {pixel:g} nm with NA {self.na:g} at {self.emission_wavelength_nm:g} nm are "
                f"{1 / cutoff:.3g} to the finest period that the objective passes, where cameras have 2 to 10: check "
                "that pixel size and wavelength are in nm"
            )
        if cutoff >= 0.5:
            largest = self.emission_wavelength_nm / (4.0 * self.na)
            raise InputError(
                f"the microscope: pixels of {pixel:g} nm are too large for NA {self.na:g} at "
                f"{self.emission_wavelength_nm:g} nm; SIM needs less than {largest:.1f} nm: check the pixel size, the "
                "NA and the emission wavelength"
            )
        return otf

    def describe(self) -> dict[str, Any]:
        """For the provenance of an image."""
        known = {"na": self.na, "emission_wavelength_nm": self.emission_wavelength_nm}
        if self.measured is not None:
            return known | {"otf": self.measured.source.name}
        return known | {"otf_damping": self.otf_damping, "integrate_pixel": self.integrate_pixel}

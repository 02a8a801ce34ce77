"""The microscope of an acquisition: objective, pixels, frames and OTF. The only holder of these numbers."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.optics.forward import pixel_transfer
from oidn_jax.optics.fourier import frequency_radius
from oidn_jax.optics.otf import airy_otf, airy_psf, cropped_psf, otf_cutoff, radial_otf
from oidn_jax.optics.transfer import TransferFunction

_SMALLEST_CUTOFF = 0.05  # cycles per raw pixel
_LARGEST_CUTOFF, _LARGEST_ALIASED = 0.5, 0.65


@dataclass(frozen=True)
class MeasuredOtf:
    """A measured radial OTF.

    Attributes:
        values: evenly spaced samples from zero frequency on, 1 there.
        step_per_um: their spacing, cycles per micrometre.
        name: of where it comes from, for people.
    """

    values: tuple[float, ...]
    step_per_um: float
    name: str

    def __call__(self, frequency: np.ndarray, *, pixel_size_nm: float, cutoff: float) -> np.ndarray:
        """At frequencies in cycles per pixel of this size; 0 from the cutoff on, where samples are noise."""
        values = radial_otf(frequency, values=np.asarray(self.values), step=self.step_per_um * pixel_size_nm / 1000.0)
        return np.where(frequency < cutoff, values, 0.0)


@dataclass(frozen=True)
class Microscope:
    """What image formation, reconstruction and networks know of a microscope.

    The defaults are those of the microscope that recorded BioSR. Its measured OTF is that of an NA of 1.49 at 525 nm
    with a damping of 0.175; `integrate_pixel` is off because that includes the camera pixel.

    Attributes:
        na: of detection.
        emission_wavelength_nm: of the light detected.
        pixel_size_nm: of the raw frames, in the sample plane.
        orientations: illumination directions.
        phases: frames of each.
        scale: super-resolved pixels per raw pixel.
        otf_damping: attenuation of the theoretical OTF at its cutoff (`optics.otf.airy_otf`); 1 for an ideal objective.
        integrate_pixel: whether the theoretical OTF is that of the objective alone, without the camera pixel.
        measured_otf: in place of the theoretical one.

    Raises:
        IllegalValue: for numbers that no microscope has.
    """

    na: float = 1.49
    emission_wavelength_nm: float = 525.0
    pixel_size_nm: float = 62.6
    orientations: int = 3
    phases: int = 3
    scale: int = 2
    otf_damping: float = 0.175
    integrate_pixel: bool = False
    measured_otf: MeasuredOtf | None = None

    def __post_init__(self) -> None:
        for name in ("na", "emission_wavelength_nm", "pixel_size_nm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise IllegalValue(name, value, "it must be a positive number")
        for name in ("orientations", "phases", "scale"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= 1):
                raise IllegalValue(name, value, "it must be a whole number of at least 1")
        if not 0.0 < self.otf_damping <= 1.0:
            raise IllegalValue("otf_damping", self.otf_damping, "it must be above 0 and at most 1, an ideal objective")

    @classmethod
    def from_plain(cls, fields: Mapping[str, Any]) -> "Microscope":
        """Of what `plain` gives."""
        measured = fields.get("measured_otf")
        if measured is not None:
            measured = MeasuredOtf(tuple(measured["values"]), measured["step_per_um"], measured["name"])
        return cls(**{**fields, "measured_otf": measured})

    def plain(self) -> dict[str, Any]:
        """All fields as JSON can hold them."""
        return asdict(self)

    @property
    def frames(self) -> int:
        """Raw frames of one acquisition."""
        return self.orientations * self.phases

    @property
    def cutoff(self) -> float:
        """Of the OTF, k_c, cycles per raw pixel."""
        return otf_cutoff(
            na=self.na, emission_wavelength_nm=self.emission_wavelength_nm, pixel_size_nm=self.pixel_size_nm
        )

    @property
    def fine_pixel_size_nm(self) -> float:
        """Of the super-resolved image."""
        return self.pixel_size_nm / self.scale

    @property
    def aliased(self) -> bool:
        """Whether the pixels are too coarse for the objective: the camera mixes its finest periods with others."""
        return self.cutoff >= _LARGEST_CUTOFF

    @property
    def coarsest_pixel_nm(self) -> float:
        """The pixels that hold all that the objective passes, 2 for its finest period."""
        return _LARGEST_CUTOFF * self.emission_wavelength_nm / (2.0 * self.na)

    def otf(self, *, aliased: bool = False) -> TransferFunction:
        """The OTF of raw frames, the camera pixel included, in cycles per raw pixel.

        Args:
            aliased: whether pixels up to 30 % too large will do. Their OTF is used only where what the camera mixes
                with a frequency k is weaker, about 3 times: up to 1/2 - (cutoff - 1/2) / 3 along each axis. Its alias
                at 1 - k is then that far beyond 1/2.

        Raises:
            InputError: pixels too small or too large for the objective: SIM needs 2 pixels per period.
        """
        cutoff = self.cutoff
        pixels = f"pixels of {self.pixel_size_nm:g} nm with NA {self.na:g} at {self.emission_wavelength_nm:g} nm"
        if cutoff < _SMALLEST_CUTOFF:
            raise InputError(
                f"the microscope: {pixels} are {1 / cutoff:.3g} to the finest period that the objective passes, where "
                "cameras have 2 to 10: check that `microscope.pixel_size_nm` and `microscope.emission_wavelength_nm` "
                "are in nm"
            )
        largest = _LARGEST_ALIASED if aliased else _LARGEST_CUTOFF
        if cutoff >= largest:
            stretched = self.coarsest_pixel_nm * _LARGEST_ALIASED / _LARGEST_CUTOFF
            still = f", and up to {stretched:.1f} nm does with a warning" if aliased else ""
            raise InputError(
                f"the microscope: {pixels} are too large; SIM needs less than {self.coarsest_pixel_nm:.1f} nm{still}: "
                "check `microscope.pixel_size_nm`, `microscope.na` and `microscope.emission_wavelength_nm`"
            )
        otf = self._otf_up_to(cutoff)
        if not self.aliased:
            return otf
        return otf._replace(unmixed=jnp.float32(_LARGEST_CUTOFF - (cutoff - _LARGEST_CUTOFF) / 3.0))

    def _otf_up_to(self, cutoff: float) -> TransferFunction:
        if self.measured_otf is not None:
            step = self.measured_otf.step_per_um * self.pixel_size_nm / 1000.0
            return TransferFunction.measured(np.asarray(self.measured_otf.values), step=step, cutoff=cutoff)
        return TransferFunction.theoretical(
            na=self.na,
            emission_wavelength_nm=self.emission_wavelength_nm,
            pixel_size_nm=self.pixel_size_nm,
            damping=self.otf_damping,
            integrate_pixel=self.integrate_pixel,
        )

    def fine_otf(self, height: int, width: int) -> Float[np.ndarray, "h2 w2"]:
        """The OTF on the fine grid of height x width raw pixels, with what makes an exact camera pixel of binning.

        Zero frequency first; a measured OTF includes the camera pixel.
        """
        size = (height * self.scale, width * self.scale)
        radius, cutoff = frequency_radius(*size), self.cutoff / self.scale
        if self.measured_otf is None:
            otf = airy_otf(radius, cutoff=cutoff, damping=self.otf_damping)
        else:
            otf = self.measured_otf(radius, pixel_size_nm=self.fine_pixel_size_nm, cutoff=cutoff)
        integrate = self.integrate_pixel and self.measured_otf is None
        return otf * pixel_transfer(*size, scale=self.scale, integrate=integrate)

    def psf(self, size: int) -> Float[np.ndarray, "size size"]:
        """The PSF on size x size super-resolved pixels, its centre on tap size // 2, of sum 1.

        Of the measured OTF, or else of the ideal pupil: the sharpest that the objective can have.
        """
        if self.measured_otf is not None:
            measured, pixel_size_nm = self.measured_otf, self.fine_pixel_size_nm
            cutoff = self.cutoff / self.scale
            return cropped_psf(size, lambda k: measured(k, pixel_size_nm=pixel_size_nm, cutoff=cutoff))
        return airy_psf(
            size,
            na=self.na,
            emission_wavelength_nm=self.emission_wavelength_nm,
            pixel_size_nm=self.fine_pixel_size_nm,
        )

    def describe_otf(self) -> str:
        """Which OTF is used, in words."""
        optics = f"NA {self.na:g} at {self.emission_wavelength_nm:g} nm"
        if self.measured_otf is not None:
            return f"measured ({self.measured_otf.name}), up to the cutoff of {optics}"
        damping = "undamped" if self.otf_damping == 1.0 else f"damping {self.otf_damping:g}"
        return f"theoretical, {optics}, {damping}" + (", times the camera pixel" if self.integrate_pixel else "")

    def describe(self) -> dict[str, Any]:
        """Numbers and OTF, for the provenance of an image."""
        return {"na": self.na, "emission_wavelength_nm": self.emission_wavelength_nm, "otf": self.describe_otf()}

"""Reads measured radial OTFs from Priism files, as SIM laboratories keep them beside their acquisitions.

Contract: one row of samples from zero frequency on, complex64 (mode 4) or float32 (mode 2), the header's x spacing
in cycles per micrometre. What comes back is real, equals 1 at zero frequency, and is neither smoothed nor clipped.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from oidn_jax.data.mrc import PRIISM_STAMP, find_pixels, read_fields, spacing_xy
from oidn_jax.errors import InputError

_DTYPES = {2: "f4", 4: "c8"}
_FEWEST_SAMPLES = 8
# A centred PSF has a real radial OTF; more than this part of the largest sample is no noise: the PSF was off centre.
_LARGEST_IMAGINARY_PART = 0.01


@dataclass(frozen=True, eq=False)
class RadialOtf:
    """A radially averaged OTF on an even grid of frequencies from zero.

    Attributes:
        frequency_per_um: in cycles per micrometre, ascending from 0.
        values: OTF at these frequencies, 1 at zero; noise may make the last ones negative.
        wavelength_nm: emission wavelength in nanometres; None when the file does not say.
        source: the file that was read.
    """

    frequency_per_um: Float[np.ndarray, " samples"]
    values: Float[np.ndarray, " samples"]
    wavelength_nm: float | None
    source: Path


def read_radial_otf(path: str | Path) -> RadialOtf:
    """Reads H(k) = Re S(k) / Re S(0) with k = 0, dx, 2 dx ... from the samples S and the spacing dx of a Priism file.

    Args:
        path: the file, in either byte order.

    Returns:
        The OTF in float64.

    Raises:
        InputError: a file that cannot be opened, is truncated or no Priism file; another mode than 2 and 4; several
            rows; fewer than 8 samples; a spacing that is not set or not positive; NaN or infinite samples; an imaginary
            part above 1 % of the largest sample; zero at zero frequency.
    """
    path = Path(path)
    try:
        fields = read_fields(path)
        dtype, spacing = _checked_layout(path, fields)
        samples = np.fromfile(path, dtype, int(fields["size_xyz"][0]), offset=find_pixels(path, fields, dtype))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a Priism file of a radial OTF") from error
    wavelength_nm = float(fields["wavelengths"][0])
    return RadialOtf(
        frequency_per_um=spacing * np.arange(samples.size),
        values=_normalised(path, samples.astype(np.complex128)),
        wavelength_nm=wavelength_nm if wavelength_nm > 0 else None,
        source=path,
    )


def _checked_layout(path: Path, fields: np.void) -> tuple[np.dtype, float]:
    """Gives the stored dtype and the spacing in cycles per micrometre."""
    if fields["stamp"] != PRIISM_STAMP:
        raise InputError(f"{path} is not a Priism file (no {PRIISM_STAMP} at byte 96); convert the OTF to one")
    mode = int(fields["mode"])
    if mode not in _DTYPES:
        raise InputError(f"{path} has the mode {mode}; a radial OTF has 4 (complex64) or 2 (float32): check the file")
    nx, ny, nz = (int(n) for n in fields["size_xyz"])
    if (ny, nz) != (1, 1):
        raise InputError(
            f"{path} holds {nz} sections of {ny} rows; a radial OTF is one row: give the radial average, not the "
            "transform of the PSF"
        )
    if nx < _FEWEST_SAMPLES:
        raise InputError(f"{path} holds {nx} samples; a radial OTF needs at least {_FEWEST_SAMPLES}: check the file")
    spacing = spacing_xy(fields)
    if spacing is None or not (math.isfinite(spacing[0]) and spacing[0] > 0):
        fault = "is not set" if spacing is None else f"is {spacing[0]:g}"
        raise InputError(
            f"the spacing in {path} {fault}; it must be positive, in cycles per micrometre: write it into the header "
            "at byte 40"
        )
    return np.dtype(_DTYPES[mode]).newbyteorder(fields.dtype["mode"].byteorder), spacing[0]


def _normalised(path: Path, samples: np.ndarray) -> np.ndarray:
    not_finite = np.count_nonzero(~np.isfinite(samples))
    if not_finite:
        raise InputError(f"{path} has {not_finite} NaN or infinite samples; every sample must be finite: measure again")
    largest = np.abs(samples).max()
    imaginary = np.abs(np.imag(samples)).max()
    if imaginary > _LARGEST_IMAGINARY_PART * largest:
        raise InputError(
            f"{path} has an imaginary part of {imaginary / largest:.2g} of its largest sample, more than "
            f"{_LARGEST_IMAGINARY_PART:g}; a radial OTF is real: centre the PSF before transforming it"
        )
    values = np.real(samples)
    if values[0] == 0:
        raise InputError(f"{path} is 0 at zero frequency; its first sample must be the largest: check the file")
    return values / values[0]

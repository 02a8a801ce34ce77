"""Optical transfer function (OTF) and point spread function (PSF) of a circular pupil.

Units: wavelengths and pixel sizes in nanometres, frequencies in cycles per pixel.
"""

import numpy as np
from jaxtyping import Float

from oidn_jax.optics import fourier


def otf_cutoff(*, na: float, emission_wavelength_nm: float, pixel_size_nm: float) -> float:
    """Highest frequency the objective passes, k_c = 2 NA pixel / wavelength, in cycles per pixel.

    Raises:
        ValueError: if a quantity is not positive and finite.
    """
    quantities = {"na": na, "emission_wavelength_nm": emission_wavelength_nm, "pixel_size_nm": pixel_size_nm}
    for name, value in quantities.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}; it must be a positive number")
    return 2.0 * na * pixel_size_nm / emission_wavelength_nm


def airy_otf(frequency: Float[np.ndarray, "*grid"], *, cutoff: float, damping: float = 1.0) -> np.ndarray:
    """OTF of an ideal circular pupil in incoherent light, optionally damped.

    H(rho) = (2 / pi) (arccos rho - rho sqrt(1 - rho^2)) damping^rho for rho = frequency / cutoff < 1, else 0; H(0) = 1.

    Args:
        frequency: modulus of the frequency, cycles per pixel.
        cutoff: from `otf_cutoff`, cycles per pixel.
        damping: attenuation at the cutoff, 0 < damping <= 1; 1 is the ideal pupil. A measured 1.49 NA TIRF OTF at
            525 nm is fitted by 0.175.

    Raises:
        ValueError: if the damping is outside (0, 1].
    """
    if not 0.0 < damping <= 1.0:
        raise ValueError(f"damping is {damping}; it must be in (0, 1], 1 for an ideal pupil")
    rho = np.minimum(np.asarray(frequency) / cutoff, 1.0)
    return 2.0 / np.pi * (np.arccos(rho) - rho * np.sqrt(1.0 - rho**2)) * damping**rho


def airy_psf(
    size: int, *, na: float, emission_wavelength_nm: float, pixel_size_nm: float
) -> Float[np.ndarray, "size size"]:
    """PSF of an ideal circular pupil on size x size pixels, its centre on tap size // 2, normalised to sum 1.

    The inverse transform of `airy_otf` on a grid 16 times as large, cropped: non-negative up to that grid's
    periodicity, which is clipped.
    """
    grid = 16 * size
    cutoff = otf_cutoff(na=na, emission_wavelength_nm=emission_wavelength_nm, pixel_size_nm=pixel_size_nm)
    psf = np.real(fourier.numpy_centred_ifft2(airy_otf(fourier.centred_frequency_radius(grid), cutoff=cutoff)))
    start = grid // 2 - size // 2
    psf = np.maximum(psf[start : start + size, start : start + size], 0.0)
    return psf / psf.sum()

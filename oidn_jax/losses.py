"""Training losses: spatial, frequency and PSF terms, each by name.

`total_loss` is sum_i weight_i term_i over the terms whose weight is not zero. The published total is
spatial + 0.01 frequency + 0.001 psf, in two forms (Jin et al., Optics Express 32(21), 2024, and the authors' code):

    paper: mse 1, ssim 0.1;   frequency 0.01;  psf_energy 1e-3, psf_symmetry 1e-3
    code:  l1 0.9, ssim 0.1 (zero padding);    frequency 0.01;  psf_monotonicity 1e-3

so the paper's ablations (without one of them) are a weight of 0.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from oidn_jax.errors import IllegalValue
from oidn_jax.metrics.ssim import ssim
from oidn_jax.optics.fourier import fft2

Image = Float[Array, "b h w 1"]
PSF = Float[Array, "b n n frames"]
Scalar = Float[Array, ""]


def mean_squared_error(sr_image: Image, target: Image) -> Scalar:
    """Mean of (sr_image - target)^2."""
    return ((sr_image - target) ** 2).mean()


def mean_absolute_error(sr_image: Image, target: Image) -> Scalar:
    """Mean of |sr_image - target|."""
    return jnp.abs(sr_image - target).mean()


def ssim_loss(sr_image: Image, target: Image, *, padding: str = "valid") -> Scalar:
    """1 - SSIM with data range 1, mean over the batch; range [0, 2]."""
    return 1.0 - ssim(sr_image[..., 0], target[..., 0], data_range=1.0, padding=padding).mean()


def fourier_charbonnier(sr_image: Image, target: Image, *, epsilon: float = 1e-3) -> Scalar:
    """Charbonnier distance of the orthonormal 2-D spectra, D = F(sr_image) - F(target).

    Mean over all coefficients of sqrt(Re D^2 + eps^2) + sqrt(Im D^2 + eps^2); 2 eps for equal images.
    """
    difference = fft2(sr_image[..., 0] - target[..., 0])
    return (jnp.sqrt(difference.real**2 + epsilon**2) + jnp.sqrt(difference.imag**2 + epsilon**2)).mean()


def psf_energy(psf: PSF) -> Scalar:
    """Energy consistency: mean over samples and frames of |sum_u psf[u] - 1|.

    Zero by construction where the PSF is a softmax; it matters where `psf_normalisation` is "none".
    """
    return jnp.abs(psf.sum((1, 2)) - 1.0).mean()


def psf_symmetry(psf: PSF) -> Scalar:
    """Rotational symmetry: the PSF must equal its rotations by 90, 180 and 270 degrees about its centre.

    Mean over samples, frames and rotations R of sum_u |psf[u] - psf[R u]|. The centre is tap n // 2, the one without
    displacement (see `models.degradation.degrade`); for the even n the taps of row and column 0 have their partners
    outside the support, where the PSF is zero.
    """
    if psf.shape[1] % 2 == 0:
        psf = jnp.pad(psf, ((0, 0), (0, 1), (0, 1), (0, 0)))
    rotations = [jnp.abs(psf - jnp.rot90(psf, k, axes=(1, 2))).sum((1, 2)).mean() for k in (1, 2, 3)]
    return jnp.stack(rotations).mean()


def psf_monotonicity(psf_correction: PSF) -> Scalar:
    """The authors' code's penalty: sum of the positive finite differences of the mirrored quadrant along y and x.

    Summed over the batch, frames and taps, so its size grows with all three.
    """
    along_y, along_x = jnp.diff(psf_correction, axis=1), jnp.diff(psf_correction, axis=2)
    return jnp.maximum(along_y, 0.0).sum() + jnp.maximum(along_x, 0.0).sum()


def error_likelihood(sr_image: Image, target: Image, log_error: Image) -> Scalar:
    """How well the expected absolute error b = exp(log_error) fits: mean of |sr_image - target| / b + log b.

    The negative logarithm of a Laplace density, least where b is the mean of |sr_image - target|. It does not move the
    image, which is held constant here.
    """
    error = jnp.abs(jax.lax.stop_gradient(sr_image) - target)
    return (error * jnp.exp(-log_error) + log_error).mean()


IMAGE_TERMS = {
    "mse": mean_squared_error,
    "l1": mean_absolute_error,
    "ssim": ssim_loss,
    "frequency": fourier_charbonnier,
}
ERROR_TERMS = {"error": error_likelihood}
PSF_TERMS = {"psf_energy": psf_energy, "psf_symmetry": psf_symmetry, "psf_monotonicity": psf_monotonicity}
TERMS = IMAGE_TERMS | PSF_TERMS | ERROR_TERMS


def total_loss(
    sr_image: Image,
    target: Image,
    *,
    psf: PSF | None = None,
    psf_correction: PSF | None = None,
    log_error: Image | None = None,
    weights: Mapping[str, float],
    ssim_padding: str = "valid",
) -> tuple[Scalar, dict[str, Scalar]]:
    """Weighted sum of the named terms, and the unweighted terms. A term of weight 0 is not computed.

    Args:
        sr_image: the network's image.
        target: ground truth, normalised to [0, 1].
        psf: of the network, where it has one; what `psf_energy` and `psf_symmetry` are of.
        psf_correction: likewise; what `psf_monotonicity` is of.
        log_error: of the network, where it has one; what `error` is of.
        weights: by name of the term; see the module's docstring.
        ssim_padding: "valid" or "zero".

    Raises:
        IllegalValue: for a weight whose term does not exist, or is of something that the network does not have.
    """
    values = {}
    for name, weight in weights.items():
        if name not in TERMS:
            raise IllegalValue(f"weights.{name}", weight, f"there are: {', '.join(TERMS)}")
        if weight == 0.0:
            continue
        if name in PSF_TERMS:
            image_of_psf = psf_correction if name == "psf_monotonicity" else psf
            if image_of_psf is None:
                raise IllegalValue(f"weights.{name}", weight, "it must be 0: this network has no PSF")
            values[name] = PSF_TERMS[name](image_of_psf)
        elif name in ERROR_TERMS:
            if log_error is None:
                raise IllegalValue(f"weights.{name}", weight, "it must be 0: this network expects no error")
            values[name] = ERROR_TERMS[name](sr_image, target, log_error)
        elif name == "ssim":
            values[name] = ssim_loss(sr_image, target, padding=ssim_padding)
        else:
            values[name] = IMAGE_TERMS[name](sr_image, target)
    total = sum((weights[name] * value for name, value in values.items()), jnp.zeros(()))
    return total, values

"""Maps on the fine grid of what raw frames and predicted ones have not in common.

`evidence`: the score test for a point of light added to the object at r, one for every fine pixel. With the response
a_n(r' - r) of frame n to such a point and the noise's variance sigma_n^2,

    t(r) = sum_n,r' a_n (raw - predicted) / sigma_n^2  /  sqrt(sum_n,r' a_n^2 / sigma_n^2),

of all linear tests the most powerful for this change (Kay, Fundamentals of Statistical Signal Processing II, 1998, ch.
4), is standard normal where image and frames agree. Light out of focus and from beyond the border is not in the image;
so as not to take it for a contradiction, the response of band 0 is taken against its surroundings: without what varies
over more than `SURROUNDINGS` raw pixels, 1 / (1 + (2 pi s |k|)^4).

`chi_square`: of each frame the residual over sigma, seen through the same PSF against its surroundings, squared, over
what noise alone gives, in the mean of the frames. It also answers to what no object can explain, as wrong patterns.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from oidn_jax.classical.bands import Transfer, crop, fine_frequencies, repeat_spectrum
from oidn_jax.optics.fourier import fft2, ifft2
from oidn_jax.optics.illumination import Illumination, carriers, phase_matrix

SURROUNDINGS = 3.0
_PAD = 16
_FALSE_ALARM = 0.05


def evidence(
    residual: Float[Array, "frames h w"],
    precision: Float[Array, "frames h w"],
    illumination: Illumination,
    *,
    otf: Transfer,
    scale: int,
) -> Float[Array, "h2 w2"]:
    """The score test t of this module; positive where light is missing in the image.

    Args:
        residual: raw minus predicted frames, counts.
        precision: 1 / sigma^2, 0 where a pixel is not to be used.
        illumination: of these frames.
        otf: as in `classical.wiener.wiener_sim`.
        scale: fine pixels per raw pixel.
    """
    size = (residual.shape[1] + 2 * _PAD, residual.shape[2] + 2 * _PAD)
    transfer, against = _transfers(otf, size, scale)
    both = (against**2).mean(), (against * transfer).mean(), (transfer**2).mean()
    squared = _squared_kernel(transfer, scale) / both[2]

    def sums(part: tuple[Array, ...]) -> tuple[Array, Array]:
        weighted, precision, rows, phases, depths, carriers = part
        combined = fft2(_padded(jnp.einsum("nj,nyx->jyx", rows, weighted, precision="highest")))
        score, *waves = _back(combined, jnp.stack([against] + [transfer] * (len(combined) - 1)), scale)
        pattern = 0.0
        for h, (phase, depth, carrier) in enumerate(zip(phases, depths, carriers, strict=True)):
            score = score + waves[2 * h] * carrier.real + waves[2 * h + 1] * carrier.imag
            pattern = pattern + depth * (jnp.exp(1j * phase)[:, None, None] * carrier[None]).real
        response = both[0] + 2.0 * both[1] * pattern + both[2] * pattern**2
        information = _back(fft2(_padded(precision * rows[:, :1, None] ** 2)), squared[None], scale)
        return score, (response * information).sum(0)

    rows = phase_matrix(illumination)
    shape = (*rows.shape[:2], *residual.shape[1:])
    score, power = jax.lax.map(
        sums,
        (
            (residual * precision).reshape(shape),
            precision.reshape(shape),
            rows,
            *(
                waves.reshape(illumination.orientations, illumination.harmonics, *waves.shape[1:])
                for waves in (
                    illumination.phase,
                    illumination.modulation_depth,
                    carriers(illumination.wave_vector, size=size, scale=scale),
                )
            ),
        ),
    )
    return crop(_ratio(score.sum(0), jnp.sqrt(jnp.maximum(power.sum(0), 0.0))), scale * _PAD)


def chi_square(
    residual: Float[Array, "frames h w"], precision: Float[Array, "frames h w"], *, otf: Transfer, scale: int
) -> Float[Array, "h2 w2"]:
    """The squared residuals in the mean of the frames, noise alone giving 1; arguments as `evidence`."""
    size = (residual.shape[1] + 2 * _PAD, residual.shape[2] + 2 * _PAD)
    _, against = _transfers(otf, size, scale)

    def squared(frame: Float[Array, "h w"]) -> Float[Array, "h2 w2"]:
        return _back(fft2(_padded(frame)), against, scale) ** 2

    measured = jax.lax.map(squared, residual * jnp.sqrt(precision)).sum(0)
    used = fft2(_padded((precision > 0).sum(0).astype(jnp.float32)))
    return crop(_ratio(measured, _back(used, _squared_kernel(against, scale), scale)), scale * _PAD)


def significance_threshold(places: float | Array) -> Float[Array, ""]:
    """The |t| that noise exceeds anywhere among so many independent places with a probability of 5 %."""
    return -jax.scipy.special.ndtri(0.5 * _FALSE_ALARM / jnp.asarray(places, jnp.float32))


def _transfers(otf: Transfer, size: tuple[int, int], scale: int) -> tuple[Array, Array]:
    """H on the fine grid, and H against the surroundings."""
    ky, kx = fine_frequencies(size, scale=scale)
    transfer = otf(ky, kx)
    slow = (2.0 * jnp.pi * SURROUNDINGS) ** 4 * (ky**2 + kx**2) ** 2
    return transfer, transfer * slow / (1.0 + slow)


def _squared_kernel(transfer: Float[Array, "h w"], scale: int) -> Float[Array, "h w"]:
    """The transfer function for `_back` that sums scale^4 h^2, the square of what `transfer` sums."""
    h, w = transfer.shape
    # An OTF is even: its transform and its inverse transform are the same.
    return fft2(fft2(transfer).real ** 2).real * (scale**2 / (h * w) ** 0.5)


def _back(
    spectrum: Complex[Array, "*batch h w"], transfer: Float[Array, "*batch2 h2 w2"], scale: int
) -> Float[Array, "*batch h2 w2"]:
    """scale^2 sum_r' h(r' - r) v(r') over the raw pixels r', at each fine pixel r."""
    return ifft2(repeat_spectrum(spectrum, scale=scale) * transfer).real


def _padded(images: Float[Array, "*batch h w"]) -> Float[Array, "*batch h2 w2"]:
    return jnp.pad(images, ((0, 0),) * (images.ndim - 2) + ((_PAD, _PAD), (_PAD, _PAD)))


def _ratio(above: Float[Array, "h w"], below: Float[Array, "h w"]) -> Float[Array, "h w"]:
    """The quotient, 0 where next to nothing was measured."""
    measured = below > 1e-3 * below.max()
    return jnp.where(measured, above / jnp.where(measured, below, 1.0), 0.0)

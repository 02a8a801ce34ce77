"""Wiener SIM with known illumination: separate the bands, move them to their place, add them with their weights.

Per orientation d the frames are D_n = A_n [c0 + m Re(exp(i phi_n) c+)], which least squares solve for c0 and c+. With
Ct_b(k) = S(k) H(k + b p), b = 0, +1, -1, after moving, g_b the inverse noise of band b relative to that of band 0, and
D the number of orientations,

    S_hat(k) = Apo(k) sum_db g_b H(k + b p_d) Ct_db(k) / D  /  (sum_db g_b H(k + b p_d)^2 / D + w^2).

Source: Gustafsson, J. Microsc. 198 (2000); the weights g_b are those of least variance.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from oidn_jax.optics.fourier import fft2, frequencies, ifft2
from oidn_jax.optics.grid import upsample
from oidn_jax.optics.illumination import Illumination, carriers, phase_matrix
from oidn_jax.optics.otf import airy_otf

Transfer = Callable[[Array, Array], Array]


def separate_bands(
    raw_frames: Float[Array, "frames h w"], illumination: Illumination
) -> tuple[Array, Array, Float[Array, "orientations"]]:
    """Images of the bands c0 (real) and c+ (complex) of each orientation, (orientations, h, w), and the weight of c+.

    The weight is the variance of c0 over that of c+ for frames of equal noise: m^2 / 4 for evenly spaced phases.
    """
    rows = phase_matrix(illumination)
    solution = jnp.linalg.pinv(rows)  # (orientations, 3, phases)
    frames = raw_frames.reshape(*rows.shape[:2], *raw_frames.shape[1:])
    still, real, imag = jnp.einsum("ojn,onyx->joyx", solution, frames)
    variance = jnp.sum(solution**2, axis=-1)
    return still, real + 1j * imag, variance[:, 0] / (variance[:, 1] + variance[:, 2])


def wiener_sim(
    raw_frames: Float[Array, "frames h w"],
    illumination: Illumination,
    otf: Transfer,
    *,
    cutoff: float,
    scale: int = 2,
    wiener: float | Array = 0.05,
    pad: int = 24,
) -> Float[Array, "h2 w2"]:
    """Super-resolved image by generalised Wiener filtering, in the units of the raw frames; may be negative.

    Args:
        raw_frames: camera offset subtracted, orientation slow and phase fast.
        illumination: of these frames.
        otf: the OTF of a raw frame, the camera pixel included, as a function of the frequency (k_y, k_x) in cycles per
            raw pixel, arrays that broadcast.
        cutoff: of the OTF, cycles per raw pixel; the apodisation is Airy-shaped and ends at cutoff + mean |p|.
        scale: fine pixels per raw pixel; the grid must hold cutoff + |p|.
        wiener: w, best about 0.02, 0.05, 0.1 for peaks of 2000, 300, 50 photons.
        pad: raw pixels by which the frames are continued (mirrored) at the border; 0 for periodic frames.
    """
    frames = jnp.pad(raw_frames, ((0, 0), (pad, pad), (pad, pad)), mode="reflect")
    h, w = frames.shape[1:]
    still, modulated, weight = separate_bands(frames, illumination)
    carrier = carriers(illumination.wave_vector, size=(h, w), scale=scale)
    at_rest = fft2(upsample(still.sum(0), scale=scale))
    moved = fft2(upsample(modulated, scale=scale) * jnp.conj(carrier))

    # Cycles per raw pixel on the fine grid.
    ky, kx = (scale * jnp.asarray(frequencies(scale * n), jnp.float32) for n in (h, w))
    ky, kx, vector = ky[:, None], kx[None], illumination.wave_vector
    transfer = otf(ky, kx)
    above, below = (otf(ky[None] + s * vector[:, :1, None], kx[None] + s * vector[:, 1:, None]) for s in (1.0, -1.0))
    count = vector.shape[0]
    gain = weight[:, None, None]
    strength = (count * transfer**2 + (gain * (above**2 + below**2)).sum(0)) / count + wiener**2
    reach = cutoff + jnp.linalg.norm(vector, axis=-1).mean()
    apodised = airy_otf(jnp.hypot(ky, kx), cutoff=reach) / (count * strength)
    # Band -1 is the mirrored conjugate of band +1: together they are twice the real part.
    image = ifft2(apodised * transfer * at_rest).real + 2.0 * ifft2(apodised * (gain * above * moved).sum(0)).real
    return image[scale * pad : image.shape[0] - scale * pad, scale * pad : image.shape[1] - scale * pad]

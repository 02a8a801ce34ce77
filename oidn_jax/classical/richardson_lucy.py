"""Accelerated Richardson-Lucy deconvolution of a stack of frames.

With Y_k an extrapolation of the estimates J_k, h the PSF and h' its mirror image,

    Y_k = max(J_k + a_k (J_k - J_{k-1}), 0),      J_{k+1} = Y_k (h' * [D / (h * Y_k)]) / sum h,
    a_k = <g_k, g_{k-1}> / <g_{k-1}, g_{k-1}>  within [0, 1],      g_k = J_k - Y_{k-1},

from J_0 = D on; a_0 = a_1 = 0. The scalar products run over all frames, so that one factor a_k accelerates the stack.

Source: Richardson, J. Opt. Soc. Am. 62 (1972); Lucy, Astron. J. 79 (1974); the acceleration is that of Biggs and
Andrews, Appl. Opt. 36 (1997).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from oidn_jax.optics.fourier import filter_image

_DARK = 1e-6  # of the brightest pixel: below, a single-precision transform has only rounding errors


def richardson_lucy(
    frames: Float[Array, "frames h w"], transfer: Array, *, iterations: int
) -> Float[Array, "frames h w"]:
    """Non-negative estimate of what was blurred; the frames count as periodic.

    Args:
        frames: camera offset subtracted; negative values count as 0.
        transfer: (h, w), transform of the non-negative PSF, zero frequency first; its value at zero frequency is the
            PSF's sum, 1 for an estimate of the same flux.
        iterations: known when compiled; 0 returns the frames with negative values at 0.
    """
    observed = jnp.maximum(frames, 0.0)
    floor = jnp.maximum(_DARK * observed.max(), jnp.finfo(observed.dtype).tiny)

    def iterate(_: Array | int, state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        estimate, previous, change, change_before = state
        # Both changes are 0 at first, which makes the first two iterations plain ones.
        power = jnp.maximum((change_before**2).sum(), jnp.finfo(observed.dtype).tiny)
        factor = jnp.clip((change * change_before).sum() / power, 0.0, 1.0)
        guess = jnp.maximum(estimate + factor * (estimate - previous), 0.0)
        ratio = observed / jnp.maximum(filter_image(guess, transfer), floor)
        correction = filter_image(ratio, jnp.conj(transfer)) / transfer[0, 0].real
        refined = jnp.maximum(guess * correction, 0.0)
        return refined, estimate, refined - guess, change

    still = jnp.zeros_like(observed)
    return jax.lax.fori_loop(0, iterations, iterate, (observed, observed, still, still))[0]

"""Wave vectors to a fraction of a frequency pixel.

With b0, b1 the bands 0 and +1 within their overlap, each weighted with the OTF of the other, maximise

    |c(p)| = |sum_r b1(r) conj b0(r) exp(-2 pi i p.r)|,

first on a grid around the start, then by Newton's method.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from oidn_jax.classical.overlap import overlap, positions, shifted_frequencies
from oidn_jax.classical.peaks import harmonics
from oidn_jax.classical.spectra import TAPER, tukey
from oidn_jax.optics.fourier import fft2, ifft2
from oidn_jax.optics.transfer import TransferFunction

_WITHIN, _GRID_STEPS = 1.5, 61  # pixels of the spectrum around the start, points
_NEWTON = 5  # steps


def refine_wave_vector(
    frames: Float[Array, "phases h w"], start: Float[Array, "2"], *, otf: TransferFunction
) -> Float[Array, "2"]:
    """The wave vector that maximises |c(p)|, of one orientation, from frames that fade out at the border.

    Two biases are avoided. Each band is weighted with the OTF of the other, so that both end with the same weights
    H(k) H(k + p): different ones would shift the maximum with the object's spectrum. And near the border, where the
    fading of the frames mixes frequencies of different H, the product does not count.
    """
    size = frames.shape[1], frames.shape[2]
    rest, moved = (fft2(band) for band in harmonics(frames))
    inside = jnp.asarray(tukey(size, width=TAPER, inset=TAPER), jnp.float32)

    def product(vector: Array) -> Array:
        at_rest, at_band = overlap(vector, size, otf.cutoff)
        above, below = (otf(*shifted_frequencies(sign * vector, size)) for sign in (1.0, -1.0))
        return ifft2(at_band * below * moved) * jnp.conj(ifft2(at_rest * above * rest)) * inside

    vector = _grid_maximum(product(start), start)
    correlation = product(vector)  # the overlap has moved with the vector
    return jax.lax.fori_loop(0, _NEWTON, lambda _, v: v + _newton_step(correlation, v), vector)


def _grid_maximum(product: Complex[Array, "h w"], start: Float[Array, "2"]) -> Float[Array, "2"]:
    """The largest |c| on a grid around the start, c(p) = E_y(p_y) g E_x(p_x): two matrix products."""
    steps = jnp.linspace(-_WITHIN, _WITHIN, _GRID_STEPS)
    tried = [start[i] + steps / n for i, n in enumerate(product.shape)]
    waves = [jnp.exp(-2j * jnp.pi * t[:, None] * positions(n)[None]) for t, n in zip(tried, product.shape, strict=True)]
    best = jnp.argmax(jnp.abs(waves[0] @ product @ waves[1].T))
    return jnp.stack([tried[0][best // _GRID_STEPS], tried[1][best % _GRID_STEPS]])


def _newton_step(product: Complex[Array, "h w"], vector: Float[Array, "2"]) -> Float[Array, "2"]:
    """One Newton step on log |c|^2, whose derivatives are the moments of g exp(-2 pi i p.r); at most 0.2 pixels."""
    h, w = product.shape
    moments = [
        jnp.exp(-2j * jnp.pi * v * r)[None] * (-2j * jnp.pi * r[None]) ** jnp.arange(3)[:, None]
        for v, r in ((vector[0], positions(h)), (vector[1], positions(w)))
    ]
    c = moments[0] @ product @ moments[1].T
    slope = jnp.stack([c[1, 0], c[0, 1]]) / c[0, 0]
    curvature = jnp.array([[c[2, 0], c[1, 1]], [c[1, 1], c[0, 2]]]) / c[0, 0] - slope[:, None] * slope[None, :]
    size = jnp.array([h, w], jnp.float32)
    step = -jnp.linalg.solve(curvature.real, slope.real)
    largest = jnp.max(jnp.abs(step * size))
    return jnp.where(jnp.isfinite(largest), step * jnp.minimum(1.0, 0.2 / jnp.maximum(largest, 1e-9)), 0.0)

"""Drift between two images of one object: found by cross-correlation to a fraction of a pixel, and undone.

The peak of the cross-correlation of the images, windowed and without their mean, is first found to a pixel and then
followed on the exact correlation (its Fourier series) by Newton's method. Noise of the two images is independent, so it
broadens nothing; structure that is only in one of them moves the peak.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from oidn_jax.metrics.arrays import as_floating, unit_scale
from oidn_jax.optics.fourier import frequencies, irfft2, rfft2

_STEPS = 8


def find_drift(image: Real[Array | np.ndarray, "h w"], reference: Real[Array | np.ndarray, "h w"]) -> Array:
    """(dy, dx) in pixels by which the structures of `image` lie further down and right than those of `reference`.

    At most a quarter of the image is looked for. The window, which stays where it is, pulls the peak towards zero: the
    drift is undone and what is left is found once more.
    """
    image, reference = (unit_scale(as_floating(x)) for x in (image, reference))
    coarse = _correlation_peak(image, reference)
    return coarse + _correlation_peak(shift_image(image, -coarse), reference)


@jax.jit
def _correlation_peak(image: Float[Array, "h w"], reference: Float[Array, "h w"]) -> Float[Array, "2"]:
    h, w = image.shape
    window = jnp.asarray(np.outer(np.hanning(h + 2)[1:-1], np.hanning(w + 2)[1:-1]), image.dtype)
    first, second = (rfft2((x - x.mean()) * window) for x in (image, reference))
    cross = first * second.conj()
    correlation = irfft2(cross, shape=(h, w))
    near = (jnp.abs(_offsets(h)) <= h / 4)[:, None] & (jnp.abs(_offsets(w)) <= w / 4)[None, :]
    peak = jnp.unravel_index(jnp.argmax(jnp.where(near, correlation, -jnp.inf)), (h, w))
    start = jnp.stack([_offsets(n)[i] for n, i in zip((h, w), peak, strict=True)]).astype(image.dtype)

    ky, kx = _frequency_grid(h, w, image.dtype)
    weight = cross / jnp.abs(cross).max()

    def series(shift: Array) -> Array:
        return (weight * jnp.exp(2j * jnp.pi * (ky * shift[0] + kx * shift[1]))).real.sum()

    def newton(_: Any, shift: Array) -> Array:
        gradient, hessian = jax.grad(series)(shift), jax.hessian(series)(shift)
        step = jnp.linalg.solve(hessian, gradient)
        ascends = (jnp.linalg.det(hessian) > 0) & (jnp.trace(hessian) < 0) & jnp.isfinite(step).all()
        return shift - jnp.where(ascends, jnp.clip(step, -0.5, 0.5), 0.0)

    refined = jax.lax.fori_loop(0, _STEPS, newton, start)
    refined = jnp.where(jnp.abs(refined - start).max() <= 1.0, refined, start)
    return jnp.where(jnp.isfinite(correlation).all(), refined, jnp.nan)


@jax.jit
def shift_image(image: Real[Array | np.ndarray, "h w"], shift: Float[Array | np.ndarray, "2"]) -> Array:
    """The image moved by (dy, dx) pixels down and right, by the phases of its Fourier series; periodic."""
    image = as_floating(image)
    ky, kx = _frequency_grid(image.shape[0], image.shape[1], image.dtype)
    phase = jnp.exp(-2j * jnp.pi * (ky * shift[0] + kx * shift[1]))
    return irfft2(rfft2(image) * phase, shape=(image.shape[0], image.shape[1]))


def align(
    image: Real[Array | np.ndarray, "h w"], reference: Real[Array | np.ndarray, "h2 w2"]
) -> tuple[Float[Array, "h w"], Float[Array, "2"]]:
    """The image moved onto the reference, and the drift (dy, dx) in pixels that was undone.

    Raises:
        ValueError: images of different shapes.
    """
    if image.shape != reference.shape:
        raise ValueError(f"the images have the shapes {image.shape} and {reference.shape}; they must be equal")
    drift = find_drift(image, reference)
    return shift_image(image, -drift), drift


def overlap(drift: Float[Array | np.ndarray, "2"], shape: tuple[int, int]) -> tuple[slice, slice]:
    """The part of an aligned image that the moved one had seen; beyond it the shift has wrapped round.

    Args:
        drift: (dy, dx) that `align` undid.
        shape: (h, w).
    """
    edges = []
    for moved, n in zip(np.asarray(drift).tolist(), shape, strict=True):
        lost = min(math.ceil(abs(moved)), n) if abs(moved) > 1e-3 else 0
        edges.append(slice(0, n - lost) if moved > 0 else slice(lost, n))
    return edges[0], edges[1]


def _offsets(n: int) -> Array:
    """0, 1, ..., -1: the shifts of a correlation."""
    return jnp.asarray(np.rint(frequencies(n) * n).astype(np.int32))


def _frequency_grid(h: int, w: int, dtype) -> tuple[Array, Array]:
    return jnp.asarray(frequencies(h)[:, None], dtype), jnp.asarray(np.arange(w // 2 + 1)[None, :] / w, dtype)

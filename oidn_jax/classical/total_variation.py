"""Regularised inversion: the object without negative light that explains the frames best and has few edges.

    x = argmin_{x >= 0}  1/2 sum_i (D_i - (A x)_i)^2 / v_i  +  mu sum_p |grad x|_p

with the image formation A of `optics.forward` (on frames mirrored at their border), the variance v of the frames as the
first estimate predicts them, and the isotropic total variation of forward differences. mu is in the object's own unit:
mu = `strength` / <|grad x_0|>, x_0 a cautious Wiener image: then the reconstruction is proportional to light, and its
smoothness does not hang on the brightness, only on how many photons there are.

Solved by accelerated proximal gradient descent with restarts (Beck and Teboulle, SIAM J. Imaging Sci. 2 (2009);
O'Donoghue and Candes, Found. Comput. Math. 15 (2015)), its proximal step by the fast gradient projection of Beck and
Teboulle, IEEE Trans. Image Process. 18 (2009), which goes on from the dual variable of the step before.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from oidn_jax.classical.bands import crop, fine_frequencies, mirror
from oidn_jax.classical.wiener import PAD, automatic_wiener, wiener_sim
from oidn_jax.optics.forward import back_project, form_raw_frames, pixel_transfer
from oidn_jax.optics.fourier import filter_image, frequency_radius
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.noise import NoiseModel
from oidn_jax.optics.otf import airy_otf
from oidn_jax.optics.transfer import TransferFunction

STRENGTH = 0.01  # the best of 0.003, 0.01, 0.03 and 0.1 for simulated F-actin at most signal levels
MOST_ITERATIONS, BLOCK = 200, 10
_SETTLED = 1e-3  # relative change of the image over a block
_INNER = 6  # steps of the proximal step
_CAUTIOUS = 2.5  # times the automatic Wiener parameter
_POWER_STEPS = 12
_SAFETY = 1.05  # the largest eigenvalue is found from below


class TotalVariationImage(NamedTuple):
    """What comes out.

    Attributes:
        image: (scale*h, scale*w), in the units of the raw frames, not negative.
        iterations: that it took.
    """

    image: Array
    iterations: int


class _Problem(NamedTuple):
    frames: Array
    weight: Array
    illumination: Illumination
    otf: Array
    lipschitz: Array
    mu: Array


class _State(NamedTuple):
    image: Array
    ahead: Array
    momentum: Array
    dual: Array


def total_variation_sim(
    raw_frames: Float[Array, "frames h w"],
    illumination: Illumination,
    otf: TransferFunction,
    noise: NoiseModel,
    *,
    scale: int = 2,
    strength: float | Array = STRENGTH,
    most_iterations: int = MOST_ITERATIONS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TotalVariationImage:
    """The image, with the apodisation of Wiener SIM.

    Ends when ten iterations change the image by less than a thousandth, or after `most_iterations`.

    Args:
        raw_frames: camera offset subtracted, orientation slow and phase fast.
        illumination: of these frames.
        otf: of a raw frame, the camera pixel included.
        noise: of these frames.
        scale: fine pixels per raw pixel.
        strength: of the regularisation.
        most_iterations: a limit.
        progress: called with the iterations done and their limit.
    """
    problem, state = _begin(raw_frames, illumination, otf, noise, strength, scale=scale)
    done = 0
    while done < most_iterations:
        state, change = _advance(problem, state, scale=scale)
        done += BLOCK
        progress(min(done, most_iterations), most_iterations)
        if float(change) < _SETTLED:
            break
    if done < most_iterations:
        progress(most_iterations, most_iterations)
    return TotalVariationImage(_finish(state.image, illumination, otf, scale=scale), done)


@partial(jax.jit, static_argnames="scale")
def _finish(image: Array, illumination: Illumination, otf: TransferFunction, *, scale: int) -> Array:
    """What Wiener SIM too would show of the object: beyond k_c + |p| the frames know nothing."""
    radius = jnp.asarray(scale * frequency_radius(*image.shape), jnp.float32)
    apodisation = airy_otf(radius, cutoff=illumination.reach(otf.cutoff))
    return crop(jnp.maximum(filter_image(image, apodisation), 0.0), scale * PAD)


@partial(jax.jit, static_argnames="scale")
def _begin(raw_frames, illumination, otf, noise, strength, *, scale) -> tuple[_Problem, _State]:
    frames = mirror(raw_frames, PAD)
    size = (frames.shape[1], frames.shape[2])
    ky, kx = fine_frequencies(size, scale=scale)
    fine_otf = otf(ky, kx) * pixel_transfer(size[0] * scale, size[1] * scale, scale=scale, integrate=False)
    wiener = jnp.minimum(_CAUTIOUS * automatic_wiener(raw_frames, illumination, otf), 1.0)
    first = jnp.maximum(wiener_sim(frames, illumination, otf, scale=scale, wiener=wiener, pad=0), 0.0)
    predicted = form_raw_frames(first, illumination, fine_otf, scale=scale)
    grouped = predicted.reshape(illumination.orientations, -1, *size)
    padded = NoiseModel(*(_mirrored(part) for part in noise))
    weight = 1.0 / padded.variance(grouped).reshape(frames.shape)
    edges = jnp.sqrt((_gradient(first) ** 2).sum(0))
    mean = jnp.maximum(edges.mean(), 1e-6 * jnp.maximum(first.mean(), 1e-6))

    def normal(x: Array) -> Array:
        forward = form_raw_frames(x, illumination, fine_otf, scale=scale)
        return back_project(weight * forward, illumination, fine_otf, scale=scale)

    def power(_: Array, x: Array) -> Array:
        y = normal(x)
        return y / jnp.linalg.norm(y)

    # The largest eigenvalue belongs to a smooth, positive image.
    x = jax.lax.fori_loop(0, _POWER_STEPS, power, jnp.ones_like(first) / first.size**0.5)
    lipschitz = _SAFETY * jnp.linalg.norm(normal(x))
    problem = _Problem(frames, weight, illumination, fine_otf, lipschitz, strength / mean)
    return problem, _State(first, first, jnp.float32(1.0), jnp.zeros((2, *first.shape)))


def _mirrored(part: Array) -> Array:
    part = jnp.asarray(part, jnp.float32)
    return mirror(part, PAD) if part.ndim == 3 else part


@partial(jax.jit, static_argnames="scale")
def _advance(problem: _Problem, state: _State, *, scale: int) -> tuple[_State, Array]:
    """Some iterations, and by how much they changed the image."""

    def iterate(_: Array, state: _State) -> _State:
        residual = problem.frames - form_raw_frames(state.ahead, problem.illumination, problem.otf, scale=scale)
        downhill = back_project(problem.weight * residual, problem.illumination, problem.otf, scale=scale)
        step = state.ahead + downhill / problem.lipschitz
        image, dual = _denoise(step, state.dual, problem.mu / problem.lipschitz)
        momentum = 0.5 * (1.0 + jnp.sqrt(1.0 + 4.0 * state.momentum**2))
        moved = image - state.image
        # Against the direction of the last step: the momentum has become too large.
        again = jnp.vdot(state.ahead - image, moved) > 0
        momentum = jnp.where(again, 1.0, momentum)
        carry = jnp.where(again, 0.0, (state.momentum - 1.0) / momentum)
        return _State(image, image + carry * moved, momentum, dual)

    after = jax.lax.fori_loop(0, BLOCK, iterate, state)
    change = jnp.linalg.norm(after.image - state.image) / jnp.maximum(jnp.linalg.norm(after.image), 1e-30)
    return after, change


def _denoise(image: Array, dual: Array, mu: Array) -> tuple[Array, Array]:
    """argmin_{x >= 0} 1/2 |x - image|^2 + mu TV(x), from the dual variable (2, h, w) on, |dual| <= 1 at each pixel."""

    def primal(dual: Array) -> Array:
        return jnp.maximum(image + mu * _divergence(dual), 0.0)

    def iterate(_: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        dual, ahead, momentum = state
        moved = ahead + _gradient(primal(ahead)) / (8.0 * mu)
        moved = moved / jnp.maximum(jnp.sqrt((moved**2).sum(0, keepdims=True)), 1.0)
        following = 0.5 * (1.0 + jnp.sqrt(1.0 + 4.0 * momentum**2))
        return moved, moved + (momentum - 1.0) / following * (moved - dual), following

    dual, _, _ = jax.lax.fori_loop(0, _INNER, iterate, (dual, dual, jnp.float32(1.0)))
    return primal(dual), dual


def _gradient(image: Array) -> Float[Array, "2 h w"]:
    """Forward differences along y and x; none across the border."""
    return jnp.stack([jnp.diff(image, axis=0, append=image[-1:]), jnp.diff(image, axis=1, append=image[:, -1:])])


def _divergence(field: Float[Array, "2 h w"]) -> Float[Array, "h w"]:
    """The negative adjoint of `_gradient`."""
    y, x = field[0].at[-1].set(0.0), field[1].at[:, -1].set(0.0)
    return jnp.diff(y, axis=0, prepend=0.0) + jnp.diff(x, axis=1, prepend=0.0)

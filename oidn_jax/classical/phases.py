"""The phase of each frame, with the modulation depth, by maximum likelihood.

In the overlap of band 0 and band +1 the N frames of an orientation at k and at k + p, weighted with the other one's OTF
and stacked to z(k), hold four frequencies of the object, s(k) = H(k) H(k + p) [S(k), S(k - p), S(k + p), S(k + 2 p)]:

    z(k) = A s(k) + noise,   frame n at k:      [1, t_n, t_n*, 0],     t_n = (m / 2) exp(i phi_n),
                             frame n at k + p:  [t_n, 0, 1, t_n*].

The same mixing A serves all k, and S(k) is seen twice: that fixes the phases phi_n and the depth m of bright frames
whatever the object is. (It would fix their brightness too, but on real frames what is fitted so leaves more of the
pattern in the image than the means of the frames do.) Of noisy ones the four frequencies are moreover independent of
each other on average. Both is in the likelihood of complex normal z with the covariance C = A diag(P) A^H + noise,

    L = sum_bins n [ln det C + tr(C^-1 R)],   R = <z z^H> over the bin's n frequencies,

with the powers P of each bin of |k| and |k + p| from R itself. Without S(k) seen twice, S(k + 2 p) conj S(k) passes for
an error of the phases of several degrees in fields of 128 x 128 pixels, however bright.

Source: the model is Gustafsson's (Biophys. J. 94, 2008); that cross-talk between separated bands tells the phases is
Wicker's (Opt. Express 21, 2013). The likelihood of both is this project's.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from oidn_jax.classical.overlap import HIGH, LOW, in_overlap
from oidn_jax.classical.spectra import noise_power
from oidn_jax.optics.transfer import TransferFunction

_RINGS = 4  # of |k| and of |k + p|
_MOST = 8192  # frequencies; of more, an evenly thinned choice is enough
_ROUNDS = 18
_STEP = 0.35  # radians, or of a logarithm, at most
# What the model leaves out (the faded border, the width of the bins, an OTF that is not quite right) counts as noise,
# in parts of the mean power of z times the number of pixels (0.005 in fields of 128 x 128); and takes so much from the
# likelihood that errors come out as found in simulations. After half of the rounds, what no object explains counts as
# noise too: with a wrong OTF both sights of S(k) differ, and phases that make them agree would be wrong.
_LEFT_OUT, _INDEPENDENT = 80.0, 1.0 / 14.0
_DEPTHS = 0.05, 1.5  # to start from


class FittedPhases(NamedTuple):
    """Of one orientation.

    Attributes:
        phase: of each frame, radians.
        error: standard error of each phase against the others' mean; of noise alone large.
        depth: modulation depth.
    """

    phase: Array
    error: Array
    depth: Array


def fit_phases(
    frames: Float[Array, "phases h w"],
    vector: Float[Array, "2"],
    *,
    otf: TransferFunction,
    phase: Float[Array, "phases"],
    depth: Float[Array, ""],
) -> FittedPhases:
    """The most likely phases and depth, from frames that fade out at the border, by Fisher's scoring.

    Args:
        frames: of one orientation, of equal brightness.
        vector: p, cycles per raw pixel.
        otf: of a raw frame.
        phase: to start from.
        depth: to start from.
    """
    count = frames.shape[0]
    covariance, noise, number = _covariances(frames, vector, otf=otf)

    def separation(parameters: Array, noise: Array) -> tuple[Array, Array]:
        mixing = _mixing(parameters)
        adjoint = jnp.conj(mixing.T)[None] / noise[:, None, :]
        return mixing, _inverse(adjoint @ mixing[None])[0] @ adjoint

    def powers(parameters: Array, noise: Array) -> Array:
        _, separate = separation(parameters, noise)
        excess = covariance - jax.vmap(jnp.diag)(noise)
        return jnp.maximum(jnp.einsum("bij,bjk,bik->bi", separate, excess, jnp.conj(separate)).real, 0.0)

    def left_out(parameters: Array) -> Array:
        """The noise, and what of R no object explains: a wrong OTF, other waves."""
        mixing, separate = separation(parameters, noise)
        rest = jnp.eye(2 * count)[None] - mixing[None] @ separate
        unexplained = jnp.einsum("bij,bjk,bik->b", rest, covariance, jnp.conj(rest)).real / (2 * count - 4)
        return jnp.maximum(noise, unexplained[:, None])

    def cost(parameters: Array, noise: Array) -> tuple[Array, tuple[Array, Array]]:
        power = powers(parameters, noise)
        inverse, logarithm = _inverse(_model(parameters, power, noise=noise))
        fit = logarithm + jnp.einsum("bij,bji->b", inverse, covariance).real
        return jnp.sum(number * fit), (power, inverse)

    def improve(round_: Array, state: _Search) -> _Search:
        # Anew with what the rounds before have left unexplained.
        anew = round_ == _ROUNDS // 2
        seen = jnp.where(anew, left_out(state.best), state.noise)
        state = state._replace(
            noise=seen, tried=jnp.where(anew, state.best, state.tried), value=jnp.where(anew, jnp.inf, state.value)
        )
        (value, (power, inverse)), gradient = jax.value_and_grad(cost, has_aux=True)(state.tried, seen)
        slope = inverse[None] @ jnp.moveaxis(jax.jacfwd(partial(_model, noise=seen))(state.tried, power), -1, 0)
        information = jnp.einsum("b,pbij,qbji->pq", number, slope, slope).real
        better = value < state.value
        damping = jnp.where(better, 0.2 * state.damping, 8.0 * jnp.maximum(state.damping, 1e-3))
        here = _Search(seen, state.tried, state.tried, value, gradient, information, damping)
        kept = jax.tree.map(partial(jnp.where, better), here, state._replace(damping=damping))
        damped = kept.information + damping * jnp.diag(jnp.diag(kept.information))
        step = -jnp.linalg.solve(damped, kept.gradient)
        step = step * jnp.minimum(1.0, _STEP / jnp.maximum(jnp.abs(step).max(), 1e-9))
        return kept._replace(tried=kept.best + step)

    start = jnp.append(phase, jnp.log(jnp.clip(depth, *_DEPTHS)))
    unknown = jnp.zeros((len(start), len(start)))
    search = _Search(noise, start, start, jnp.array(jnp.inf), jnp.zeros_like(start), unknown, jnp.array(1e-2))
    search = jax.lax.fori_loop(0, _ROUNDS, improve, search)
    centred = jnp.eye(count) - 1.0 / count
    variance = jnp.diag(centred @ jnp.linalg.inv(search.information)[:count, :count] @ centred)
    known = jnp.isfinite(variance) & (variance > 0.0)
    return FittedPhases(
        phase=search.best[:count],
        error=jnp.where(known, jnp.minimum(jnp.sqrt(jnp.where(known, variance, 1.0)), jnp.pi), jnp.pi),
        depth=jnp.exp(search.best[count]),
    )


class _Search(NamedTuple):
    """The noise, the best parameters yet, what the likelihood is there, and those to try next."""

    noise: Array
    tried: Array
    best: Array
    value: Array
    gradient: Array
    information: Array
    damping: Array


def _inverse(matrix: Complex[Array, "bins n n"]) -> tuple[Complex[Array, "bins n n"], Float[Array, "bins"]]:
    """Of positive definite matrices, with the logarithm of the determinant."""
    lower = jnp.linalg.cholesky(matrix)
    unit = jnp.broadcast_to(jnp.eye(matrix.shape[-1], dtype=matrix.dtype), matrix.shape)
    half = jax.lax.linalg.triangular_solve(lower, unit, left_side=True, lower=True)
    diagonal = jnp.diagonal(lower, axis1=-2, axis2=-1).real
    return jnp.conj(jnp.swapaxes(half, -1, -2)) @ half, 2.0 * jnp.log(diagonal).sum(-1)


def _mixing(parameters: Float[Array, "parameters"]) -> Complex[Array, "z 4"]:
    """A of the phases and the logarithm of the depth."""
    turned = 0.5 * jnp.exp(parameters[-1]) * jnp.exp(1j * parameters[:-1])
    still, none = jnp.ones_like(turned), jnp.zeros_like(turned)
    at_rest = jnp.stack([still, turned, jnp.conj(turned), none], -1)
    moved = jnp.stack([turned, none, still, jnp.conj(turned)], -1)
    return jnp.concatenate([at_rest, moved])


def _model(
    parameters: Float[Array, "parameters"], power: Float[Array, "bins 4"], *, noise: Float[Array, "bins z"]
) -> Complex[Array, "bins z z"]:
    """C of each bin."""
    mixing = _mixing(parameters)
    return jnp.einsum("ik,bk,jk->bij", mixing, power, jnp.conj(mixing)) + jax.vmap(jnp.diag)(noise)


def _covariances(
    frames: Float[Array, "phases h w"], vector: Float[Array, "2"], *, otf: TransferFunction
) -> tuple[Complex[Array, "bins z z"], Float[Array, "bins z"], Float[Array, "bins"]]:
    """R of each bin, the variance of the noise in it, and how many independent frequencies it has."""
    count, size = frames.shape[0], frames.shape[1] * frames.shape[2]
    seen = in_overlap(frames, vector, otf=otf)
    order = jnp.cumsum(seen.inside.ravel())
    most = min(size, _MOST)
    wanted = 1 + jnp.floor(jnp.arange(most) * jnp.maximum(order[-1] / most, 1.0)).astype(order.dtype)
    place = jnp.minimum(jnp.searchsorted(order, wanted), size - 1)

    def taken(values: Array) -> Array:
        return values.reshape(*values.shape[:-2], size)[..., place]

    ring = [
        jnp.clip((taken(radius) / otf.cutoff - LOW) / (HIGH - LOW) * _RINGS, 0, _RINGS - 1).astype(jnp.int32)
        for radius in (seen.radius, seen.moved_radius)
    ]
    which = jnp.where(wanted <= order[-1], _RINGS * ring[0] + ring[1], _RINGS**2)
    stacked = jnp.concatenate([taken(seen.at_rest), taken(seen.moved)])
    parts = jnp.concatenate([stacked.real, stacked.imag])
    transfer = jnp.stack([taken(seen.moved_transfer), taken(seen.transfer)])

    def of_bin(number: Array) -> tuple[Array, Array, Array]:
        member = which == number
        product = jnp.matmul(jnp.where(member[None], parts, 0.0), parts.T, precision=jax.lax.Precision.HIGHEST)
        (rr, ri), (ir, ii) = (jnp.split(half, 2, axis=1) for half in jnp.split(product, 2, axis=0))
        return rr + ii + 1j * (ir - ri), jnp.sum(jnp.where(member[None], transfer**2, 0.0), axis=1), member.sum()

    covariance, passed, number = jax.lax.map(of_bin, jnp.arange(_RINGS**2))
    power = jnp.abs(seen.spectra.mean(0, keepdims=True)) ** 2
    white = count * noise_power(power, cutoff=otf.cutoff)[0]
    # In units of the bin's mean power, so that float32 holds them; a bin without frequencies counts nothing.
    level = jnp.einsum("bii->b", covariance).real / (2 * count)
    level = jnp.where(number > 0, jnp.maximum(level, 1e-30), 1.0)
    filled = (number > 0)[:, None]
    covariance = jnp.where(filled[..., None], covariance / level[:, None, None], jnp.eye(2 * count)[None])
    noise = jnp.where(filled, jnp.maximum(white * passed / level[:, None], _LEFT_OUT / size), 1.0)
    return covariance, jnp.repeat(noise, count, axis=1), _INDEPENDENT * number

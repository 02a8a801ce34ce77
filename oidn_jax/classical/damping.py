"""How strongly the objective damps high frequencies, from the overlap of the bands.

Where band 0 and the moved band +1 both carry signal they show the same object S(k),

    C0(k) = S(k) H(k) + noise,   C1(k) = m exp(i phi) S(k) H(k + p) + noise.

With H the OTF at hand times e^(x |k| / k_c), x the logarithm of the extra damping, their ratio is

    b(k) = m exp(i phi) H(k + p) / H(k) e^(x (|k + p| - |k|) / k_c).

Noise in C0 would make it look smaller where C0 is weak. So both are multiplied with the conjugate of R, the sum of the
bands 0 of the other orientations, which shows the object again with noise of its own (an instrumental variable), and
summed over small ranges of |k| and |k + p|. What does not change from frame to frame, the camera's fixed pattern, is
common to C0 and R; its power is found where the OTF passes nothing, and the axes, on which the patterns of rows and
columns lie, are left out. With sigma_0 and sigma_1 the noise of C0 and C1,

    Q(x, m, phi) = sum over ranges |<C1 R*> - b <C0 R*>|^2 / (<|R|^2> (sigma_1^2 + |b|^2 sigma_0^2))

is the negative logarithm of the likelihood. Each orientation gives an x and its error, from the curvature of Q and,
where Q is larger than noise explains, as much larger; all of them together their weighted mean, whose error is no
smaller than their scatter says.

The damping found is that of all there is between object and frame: the camera pixel, movement of the sample and errors
of NA and wavelength are in it.

Source: Hansen, Heaton, Yaron, J. Bus. Econ. Stat. 14 (1996) for an instrument with weights that follow b; its use for
an OTF is this project's.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float
from scipy.optimize import minimize

from oidn_jax.classical.bands import separate_bands
from oidn_jax.classical.overlap import overlap, shifted_frequencies
from oidn_jax.classical.spectra import noise_power, outside_support, taper
from oidn_jax.optics.fourier import fft2
from oidn_jax.optics.illumination import Illumination, carriers
from oidn_jax.optics.transfer import TransferFunction

_RANGES = 32  # along |k| / k_c and along |k + p| / k_c
_SMALLEST_OTF = 0.003
_STREAKS = 2.0  # frequency pixels on either side of the axes
_DEPTHS = (0.1, 1.0)  # where the search for m starts
_STEP = 0.02  # of the second differences of Q
_SYSTEMATIC = 0.03  # what is left of the error of x in strong data: H varies within a range


class Damping(NamedTuple):
    """The extra damping that frames ask for.

    Attributes:
        logarithm: x, of the extra damping at the cutoff; 0 where the OTF fits, negative where it damps too little.
        error: its standard error, infinite where the frames tell nothing.
    """

    logarithm: float
    error: float


class Overlap(NamedTuple):
    """Sums over the frequencies of nearly the same |k| and |k + p|, (waves, ranges).

    Attributes:
        frequencies: how many.
        others: of |R|^2.
        rest: of C0 conj R / sigma_0, without the fixed pattern.
        moved: of C1 conj R / sigma_1.
        ratio: of ln (H(k + p) sigma_0 / (H(k) sigma_1)).
        further: of (|k + p| - |k|) / k_c.
    """

    frequencies: Array
    others: Array
    rest: Array
    moved: Array
    ratio: Array
    further: Array


def fit_damping(
    raw_frames: Float[Array, "frames h w"] | Float[np.ndarray, "frames h w"],
    illumination: Illumination,
    otf: TransferFunction,
) -> Damping:
    """The extra damping of `otf` that makes the bands agree.

    Args:
        raw_frames: camera offset subtracted, orientation slow and phase fast.
        illumination: of these frames; modulation depths are fitted anew.
        otf: of a raw frame.
    """
    illumination = Illumination(*(jnp.asarray(part) for part in illumination))
    sums = jax.device_get(_compare(jnp.asarray(raw_frames), illumination, otf))
    depths = np.asarray(illumination.modulation_depth)
    single = [_of_orientation(Overlap(*(part[i] for part in sums)), float(depths[i])) for i in range(len(depths))]
    fits = np.array([one for one in single if np.isfinite(one.error)])
    if len(fits) == 0:
        return Damping(0.0, float("inf"))
    logarithm, weight = fits[:, 0], fits[:, 1] ** -2
    mean = float((weight * logarithm).sum() / weight.sum())
    scatter = (weight * (logarithm - mean) ** 2).sum() / weight.sum() / max(len(fits) - 1, 1)
    return Damping(mean, float(np.sqrt(max(1.0 / weight.sum(), scatter) + _SYSTEMATIC**2)))


@jax.jit
def _compare(raw_frames: Float[Array, "frames h w"], illumination: Illumination, otf: TransferFunction) -> Overlap:
    size, vector = (raw_frames.shape[1], raw_frames.shape[2]), illumination.wave_vector
    undivided = illumination._replace(modulation_depth=jnp.ones_like(illumination.modulation_depth))
    still, modulated, _ = separate_bands(taper(raw_frames), undivided)
    rest, moved = fft2(still), fft2(modulated * jnp.conj(carriers(vector, size=size, scale=1)))
    others = rest.sum(0, keepdims=True) - rest if len(rest) > 1 else rest
    if illumination.harmonics > 1:  # each wave is compared with band 0 of its orientation
        rest, others = (jnp.repeat(band, illumination.harmonics, axis=0) for band in (rest, others))
    levels = [jnp.sqrt(noise_power(jnp.abs(band) ** 2, cutoff=otf.cutoff)) for band in (rest, fft2(modulated))]
    ky, kx = shifted_frequencies(jnp.zeros(2), size)
    here = jnp.hypot(ky, kx)
    streaks = (jnp.abs(ky) * size[0] < _STREAKS) | (jnp.abs(kx) * size[1] < _STREAKS)
    beyond = ~streaks & outside_support(size, cutoff=otf.cutoff)

    def sums(
        rest: Complex[Array, "h w"],
        others: Complex[Array, "h w"],
        moved: Complex[Array, "h w"],
        vector: Float[Array, "2"],
        level0: Float[Array, ""],
        level1: Float[Array, ""],
    ) -> Overlap:
        there = jnp.hypot(*shifted_frequencies(vector, size))
        below, above = otf.at(here), otf.at(there)
        inside = overlap(vector, size, otf.cutoff)[0] & (jnp.minimum(below, above) > _SMALLEST_OTF) & ~streaks
        row, column = ((_RANGES * radius / otf.cutoff).astype(jnp.int32) for radius in (here, there))
        place = jnp.where(inside, _RANGES * row + column, 0).ravel()

        def total(values: Array) -> Array:
            values = jnp.where(inside, values, 0.0).ravel()
            return jax.ops.segment_sum(values, place, _RANGES**2)

        common = rest * jnp.conj(others)
        fixed = jnp.where(beyond, common.real, 0.0).sum() / jnp.maximum(beyond.sum(), 1)
        return Overlap(
            frequencies=total(jnp.ones(size)),
            others=total(jnp.abs(others) ** 2),
            rest=total(common - fixed) / level0,
            moved=total(moved * jnp.conj(others)) / level1,
            ratio=total(jnp.log(jnp.where(inside, above * level0, 1.0) / jnp.where(inside, below * level1, 1.0))),
            further=total((there - here) / otf.cutoff),
        )

    return jax.vmap(sums)(rest, others, moved, vector, *levels)


def _of_orientation(sums: Overlap, depth: float) -> Damping:
    """x of one orientation, and its error."""
    used = sums.frequencies > 0
    if not used.any():
        return Damping(0.0, float("inf"))
    count, others = (np.asarray(part, np.float64)[used] for part in (sums.frequencies, sums.others))
    bands = [np.asarray(part, np.complex128)[used] for part in (sums.rest, sums.moved)]
    rest, moved = (np.abs(band) ** 2 / others for band in bands)
    both = bands[1] * np.conj(bands[0]) / others
    ratio, further = sums.ratio[used] / count, sums.further[used] / count

    def q(point: Float[np.ndarray, "2"]) -> float:
        """Q with the best phi, of x and ln m."""
        b = np.exp(np.clip(point[1] + ratio + point[0] * further, -30.0, 30.0))
        weight = 1.0 / (1.0 + b**2)
        return float((weight * (moved + b**2 * rest)).sum() - 2.0 * np.abs((weight * b * both).sum()))

    start = np.array([0.0, np.log(np.clip(depth, *_DEPTHS))])
    simplex = start[None] + np.array([[0.0, 0.0], [0.5, 0.0], [0.0, 0.3]])
    best = minimize(q, start, method="Nelder-Mead", options={"initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-3})
    steps = _STEP * np.eye(2)
    curvature = np.array(
        [[sum(s * t * q(best.x + s * a + t * b) for s in (1, -1) for t in (1, -1)) for a in steps] for b in steps]
    ) / (4.0 * _STEP**2)
    determinant = np.linalg.det(curvature)
    if not (best.success and determinant > 0 and curvature[1, 1] > 0):
        return Damping(0.0, float("inf"))
    excess = max(best.fun / len(count), 1.0)
    return Damping(float(best.x[0]), float(np.sqrt(excess * curvature[1, 1] / determinant)))

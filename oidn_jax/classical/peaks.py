"""The coarse search for the wave vectors: peaks of the correlation between bands, to a frequency pixel.

With B0 the mean of an orientation's frames and B1 the first harmonic of their phases, both weighted with

    w(k) = H(k)^(1/2) (1 - exp(-|k|^2 / (2 s^2))),   s = 0.2 k_c,   H the undamped Airy OTF,

X(q) = sum_k B1(k + q) conj B0(k) peaks at q = p. How sure that is says Z(q) = |X(q)| over the median of |X| on the ring
of the same |q|. Of noise the largest Z is about 4 and hardly ever above 4.7; outside 0.5 to 1.15 of the cutoff, where
chance gives more, Z is multiplied with 5 / 7. Objects that move give more: what is certain says `classical.chance`.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float

from oidn_jax.classical.chance import LENGTHS, STEPS
from oidn_jax.classical.spectra import EULER_GAMMA, taper
from oidn_jax.optics.fourier import fft2, frequencies, frequency_radius, ifft2
from oidn_jax.optics.otf import airy_otf

SEARCHED = (0.25, 1.4)  # |p| in parts of the cutoff
# Where gratings usually are. Beyond, the correlation of few frequencies, or of bright ones, gives larger peaks by
# chance (up to 6.2 instead of 4.7): Z counts for less there, so that one threshold holds everywhere.
_USUAL, _COUNTS = (0.5, 1.15), 5.0 / 7.0
CONFIDENT = 5.0
_CENTRE = 0.2  # s in parts of the cutoff
# Of Rayleigh-distributed moduli the median is sqrt(ln 2), the geometric mean exp(-gamma / 2).
_MEDIAN_OVER_GEOMETRIC_MEAN = math.sqrt(math.log(2.0)) * math.exp(EULER_GAMMA / 2.0)
_POOLED = 5  # pixels: how far an orientation may lie from the common ring and angular step
_RADII, _ANGLES = 96, 720
_NEIGHBOURHOOD = 4.0  # pixels
CERTAIN = 7.0  # a confidence that chance never gives
_AS_GOOD = 0.85  # of the evidence of peaks found alone, for those of a joint search to replace them


class Peaks(NamedTuple):
    """Where the correlation of an orientation's bands peaks.

    Attributes:
        wave_vector: (orientations, 2), cycles per raw pixel, on the grid of frequencies.
        confidence: (orientations,), Z there.
        runner_up: (orientations,), the largest Z elsewhere in the searched ring.
        joint: scalar, True where the peaks were searched together (`_joint`), because one alone was too weak.
    """

    wave_vector: Array
    confidence: Array
    runner_up: Array
    joint: Array


def harmonics(frames: Array) -> tuple[Array, Complex[Array, "*orientations h w"]]:
    """Mean and first harmonic 2 <D_n exp(-2 pi i n / phases)> of evenly spaced phases: c0 and m exp(i phi_0) c+.

    Frames or their spectra, (..., phases, h, w).
    """
    phases = frames.shape[-3]
    turn = (2.0 / phases * np.exp(-2j * np.pi * np.arange(phases) / phases)).astype(np.complex64)
    modulated = turn[0] * frames[..., 0, :, :]
    for n in range(1, phases):  # XLA's product of complex matrices takes several times as long on a CPU
        modulated = modulated + turn[n] * frames[..., n, :, :]
    return frames.mean(-3), modulated


def correlogram(
    frames: Float[Array, "orientations phases h w"], *, cutoff: float | Array
) -> Float[Array, "orientations h w"]:
    """Z(q) of each orientation, zero frequency first, cycles per raw pixel as the FFT's.

    Args:
        frames: offset subtracted and of equal brightness.
        cutoff: of the OTF, cycles per raw pixel.
    """
    h, w = frames.shape[-2:]
    correlation = jnp.abs(fft2(product_of_bands(frames, cutoff=cutoff)))
    ring = np.rint(frequency_radius(h, w) * max(h, w)).astype(np.int32)
    return jax.vmap(partial(_over_ring_median, ring=ring))(correlation)


def product_of_bands(
    frames: Float[Array, "orientations phases h w"], *, cutoff: float | Array
) -> Complex[Array, "orientations h w"]:
    """b1 conj b0 over the field, both weighted with w, of frames as in `correlogram`: X is its spectrum."""
    radius = jnp.asarray(frequency_radius(*frames.shape[-2:]), jnp.float32)
    weight = jnp.sqrt(airy_otf(radius, cutoff=cutoff)) * (1.0 - jnp.exp(-(radius**2) / (2.0 * (_CENTRE * cutoff) ** 2)))
    still, modulated = (ifft2(weight[None] * fft2(band)) for band in harmonics(taper(frames)))
    return modulated * jnp.conj(still)


def _over_ring_median(modulus: Float[Array, "h w"], *, ring: np.ndarray) -> Float[Array, "h w"]:
    """|X| over the median of its ring, from the geometric mean, which neither sorts nor sees a single peak."""
    count = np.bincount(ring.ravel())
    order = np.argsort(ring.ravel(), kind="stable")
    logarithm = jnp.log(jnp.maximum(modulus, 1e-30)).ravel()[order]
    total = jax.ops.segment_sum(logarithm, ring.ravel()[order], num_segments=len(count), indices_are_sorted=True)
    median = _MEDIAN_OVER_GEOMETRIC_MEAN * jnp.exp(total / np.maximum(count, 1))
    return modulus / median[ring]


def find_peaks(
    frames: Float[Array, "orientations phases h w"],
    *,
    cutoff: float | Array,
    searched: tuple[float | Array, float | Array] = SEARCHED,
) -> Peaks:
    """The largest Z of each orientation with |p| in `searched` times the cutoff, of those larger than their neighbours.

    So the slope of something that lies outside the ring is no peak at its edge.

    Where one of them is below `CONFIDENT`, or the geometry is not that of a grating (lengths that differ by more than
    3 %, directions whose steps differ by more than 4 degrees), all are searched together: as the vectors of equal
    length whose directions differ by 180 degrees over the number of orientations, one way round or the other, with the
    most evidence (`_evidence`). What is found so replaces weak peaks, and strong ones where it is certain and nearly as
    strong: a period of the object can give a larger peak than the pattern, but not at every orientation's place.
    """
    score = correlogram(frames, cutoff=cutoff)
    h, w = score.shape[1:]
    fy, fx = (jnp.asarray(frequencies(n), jnp.float32) for n in (h, w))
    radius = jnp.asarray(frequency_radius(h, w), jnp.float32)
    inside = (radius >= searched[0] * cutoff) & (radius <= searched[1] * cutoff)
    usual = (radius >= _USUAL[0] * cutoff) & (radius <= _USUAL[1] * cutoff)
    candidate = inside[None] & (score >= _largest_within(score, pixels=3))
    score = jnp.where(candidate, jnp.where(usual[None], score, _COUNTS * score), 0.0)

    def largest(score: Array, where: Array) -> tuple[Array, Array]:
        index = jnp.argmax(jnp.where(where, score, 0.0))
        return jnp.stack([fy[index // w], fx[index % w]]), score.ravel()[index]

    alone, confidence = jax.vmap(largest, in_axes=(0, None))(score, inside)
    near = jax.vmap(partial(_near, size=(h, w), pixels=_NEIGHBOURHOOD))
    odd, unlike = _is_no_grating(alone)
    weak = (confidence.min() < CONFIDENT) | (unlike & (confidence.min() < CERTAIN))

    def together() -> tuple[Array, Array, Array]:
        common = _joint(score, limits=(searched[0] * cutoff, searched[1] * cutoff))
        vector, height = jax.vmap(largest)(score, near(common))
        as_good = _evidence(height).sum() >= _AS_GOOD * _evidence(confidence).sum()
        better = weak | (as_good & (height.min() >= CERTAIN))
        changed = jnp.any(jnp.abs(vector) != jnp.abs(alone))
        return jnp.where(better, vector, alone), jnp.where(better, height, confidence), weak | (better & changed)

    vector, confidence, joint = jax.lax.cond(weak | odd, together, lambda: (alone, confidence, jnp.array(False)))
    _, runner_up = jax.vmap(largest)(score, ~near(vector))
    return Peaks(vector, confidence, runner_up, joint)


def _evidence(score: Array) -> Array:
    """Z^2, as of noise, up to twice `CERTAIN`; above, where height is the object's doing, hardly more."""
    most = 2.0 * CERTAIN
    return jnp.minimum(score, most) ** 2 * (1.0 + 0.1 * jnp.log(jnp.maximum(score / most, 1.0)))


def _is_no_grating(vector: Float[Array, "orientations 2"]) -> tuple[Bool[Array, ""], Bool[Array, ""]]:
    """Whether lengths or directions are not those of one grating that is turned, and whether it is the lengths."""
    count, length = vector.shape[0], jnp.linalg.norm(vector, axis=-1)
    angle = jnp.sort(jnp.arctan2(vector[:, 0], vector[:, 1]) % jnp.pi)
    steps = jnp.diff(jnp.append(angle, angle[0] + jnp.pi))
    uneven = (jnp.abs(steps - jnp.pi / count).max() > STEPS) & (count > 1)
    unlike = length.max() > (1.0 + LENGTHS) * length.min()
    return uneven | unlike, unlike


def peaks_at(
    frames: Float[Array, "orientations phases h w"],
    wave_vector: Float[Array, "orientations 2"],
    *,
    cutoff: float | Array,
) -> Peaks:
    """The same at wave vectors that are known: the largest Z within a pixel and a half, the runner-up of the rest."""
    score = correlogram(frames, cutoff=cutoff)
    h, w = score.shape[1:]
    radius = jnp.asarray(frequency_radius(h, w), jnp.float32)
    searched = (radius >= SEARCHED[0] * cutoff) & (radius <= SEARCHED[1] * cutoff)
    near = jax.vmap(partial(_near, size=(h, w), pixels=1.5))(wave_vector)
    far = jax.vmap(partial(_near, size=(h, w), pixels=_NEIGHBOURHOOD))(wave_vector)
    confidence = jnp.where(near, score, 0.0).max((1, 2))
    runner_up = jnp.where(searched[None] & ~far, score, 0.0).max((1, 2))
    return Peaks(wave_vector, confidence, runner_up, jnp.array(False))


def _near(vector: Float[Array, "2"], *, size: tuple[int, int], pixels: float) -> Bool[Array, "h w"]:
    """Frequencies within some pixels of a vector, on a periodic grid."""
    away = [
        jnp.abs((jnp.asarray(frequencies(n), jnp.float32) - v + 0.5) % 1.0 - 0.5) * n
        for n, v in zip(size, vector, strict=True)
    ]
    return jnp.hypot(away[0][:, None], away[1][None, :]) < pixels


def _largest_within(score: Float[Array, "orientations h w"], *, pixels: int) -> Float[Array, "orientations h w"]:
    """The largest of the square of so many pixels around each, on a periodic grid."""
    wrapped = jnp.pad(score, ((0, 0), (pixels // 2,) * 2, (pixels // 2,) * 2), mode="wrap")
    return jax.lax.reduce_window(wrapped, 0.0, jax.lax.max, (1, pixels, pixels), (1, 1, 1), "VALID")


def _joint(
    score: Float[Array, "orientations h w"], *, limits: tuple[float | Array, float | Array]
) -> Float[Array, "orientations 2"]:
    """The wave vectors that together have the largest sum of Z^2."""
    count, h, w = score.shape
    pooled = _largest_within(score, pixels=_POOLED)
    radius = jnp.linspace(limits[0], limits[1], _RADII)
    first = jnp.linspace(0.0, 2.0 * jnp.pi, _ANGLES, endpoint=False)
    sense = jnp.array([1.0, -1.0])
    angle = first[None, None] + sense[:, None, None] * (jnp.pi / count) * jnp.arange(count)[None, :, None]
    vector = jnp.stack([jnp.sin(angle), jnp.cos(angle)], -1)[..., None, :] * radius[None, None, None, :, None]
    y, x = (jnp.rint(vector[..., i] * n).astype(jnp.int32) % n for i, n in enumerate((h, w)))
    which = jnp.arange(count)[None, :, None, None]
    total = _evidence(pooled[jnp.broadcast_to(which, y.shape), y, x]).sum(1)
    best = jnp.unravel_index(jnp.argmax(total), total.shape)
    return vector[best[0], :, best[1], best[2]]

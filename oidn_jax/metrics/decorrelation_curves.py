"""The curves of decorrelation analysis: |F| correlated with its own phases, ring sums of a filtered spectrum.

Only |F| matters, and filters depend on the radius R alone: mirrored coefficients are added before anything else is
done, and filters and radii meet in one matrix product, in pieces, so that memory does not grow with filters times
pixels.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from oidn_jax.optics.fourier import rfft2

_PIECE = 1 << 15  # coefficients at a time: filters and radii of one piece stay in the cache


class Plane(NamedTuple):
    """Coefficients with the same R^2 = y2 + x2 added: sum of |F|, sum of |F|^2, how many are not zero."""

    amplitude: Array
    energy: Array
    present: Array
    y2: Array
    x2: Array


def _half_plane(image: Float[Array, "h w"]) -> tuple[Array, Array]:
    """|F| for kx >= 0, ky from 0 on, then negative; and how often each stands in the full plane, by column."""
    amplitude = jnp.abs(rfft2(image))
    return amplitude, jnp.where(jnp.arange(amplitude.shape[1]) == 0, 1.0, 2.0).astype(amplitude.dtype)


def whole_plane(image: Float[Array, "h w"]) -> Plane:
    """Of an image of odd height and width: the four quadrants on one another."""
    amplitude, multiplicity = _half_plane(image)
    half = image.shape[0] // 2

    def fold(values: Array) -> Array:
        mirrored = jnp.flip(values[half + 1 :], 0)
        return multiplicity[None] * values[: half + 1].at[1:].add(mirrored)

    coordinates = ((jnp.arange(n // 2 + 1) / (n // 2)) ** 2 for n in image.shape)
    y2, x2 = (c.astype(image.dtype) for c in coordinates)
    return Plane(fold(amplitude), fold(amplitude**2), fold((amplitude > 0).astype(amplitude.dtype)), y2, x2)


def sector_planes(image: Float[Array, "h w"], sectors: int) -> Plane:
    """One plane for each double sector, along a new first axis; the coefficient of the mean is in all of them."""
    amplitude, multiplicity = _half_plane(image)
    h, w = image.shape
    y = jnp.roll(jnp.arange(h) - h // 2, -(h // 2)) / (h // 2)
    x = jnp.arange(w // 2 + 1) / (w // 2)
    direction = jnp.arctan2(y[:, None], x[None, :]) % jnp.pi
    nearest = jnp.round(direction * sectors / jnp.pi).astype(jnp.int32) % sectors
    inside = (nearest[None] == jnp.arange(sectors)[:, None, None]).at[:, 0, 0].set(True)
    weight = inside * multiplicity[None, None]
    amplitude = amplitude[None]
    y2, x2 = (jnp.broadcast_to((c**2).astype(image.dtype)[None], (sectors, len(c))) for c in (y, x))
    return Plane(weight * amplitude, weight * amplitude**2, weight * (amplitude > 0), y2, x2)


def decorrelation_curves(plane: Plane, radii: Float[Array, "r"], strengths: Float[Array, "f"]) -> Float[Array, "f r"]:
    """d(r) for each filter w = 1 - exp(-2 g^2 R^2), rounded down to thousandths.

    Args:
        plane: the spectrum.
        radii: r, in units of Nyquist's frequency; coefficients with R < r count.
        strengths: g; infinite is no filter.
    """
    rows, columns = plane.amplitude.shape
    rows_at_once = max(1, min(rows, _PIECE // columns))
    missing = -rows % rows_at_once
    # Rows of zeros beyond R = 1, which no sum sees.
    stacked = [
        jnp.pad(values, ((0, missing), (0, 0))).reshape(-1, rows_at_once * columns)
        for values in (plane.amplitude, plane.energy, plane.present)
    ]
    y2 = jnp.pad(plane.y2, (0, missing), constant_values=4.0).reshape(-1, rows_at_once)

    def piece(sums: tuple[Array, Array, Array], values: tuple[Array, ...]) -> tuple[tuple[Array, Array, Array], None]:
        amplitude, energy, count, y2 = values
        r2 = (y2[:, None] + plane.x2[None, :]).reshape(-1)
        passed = 1.0 - jnp.exp(-2.0 * strengths[:, None] ** 2 * r2[None, :])
        # At zero frequency without a filter: exp(-inf * 0) is NaN.
        passed = jnp.where(jnp.isinf(strengths)[:, None], 1.0, passed)
        within = (r2[:, None] < radii[None, :] ** 2).astype(amplitude.dtype)
        numerator, total, number = sums
        numerator += jnp.matmul(amplitude[None] * passed, within, precision="highest")
        total += jnp.sum(jnp.where(r2 < 1.0, energy, 0.0)[None] * passed**2, 1)
        number += jnp.matmul(count, within, precision="highest")
        return (numerator, total, number), None

    dtype = plane.amplitude.dtype
    start = (jnp.zeros((len(strengths), len(radii)), dtype), jnp.zeros(len(strengths), dtype), jnp.zeros_like(radii))
    (numerator, total, number), _ = jax.lax.scan(piece, start, (*stacked, y2))
    norm = jnp.sqrt(total[:, None] * number[None, :])
    curve = jnp.where(norm > 0, numerator / jnp.where(norm > 0, norm, 1.0), 0.0)
    return jnp.floor(1000.0 * curve) / 1000.0


def local_maximum(curve: Float[Array, "n"]) -> tuple[Array, Array]:
    """Index and height of the last peak from which the curve falls; index 0 where there is none.

    The curve is shortened from its end until its first maximum is not its last sample and stands above some later one.
    """
    n = len(curve)
    length = jnp.arange(n, 0, -1)
    kept = jnp.arange(n)[None, :] < length[:, None]
    at = jnp.argmax(jnp.where(kept, curve[None], -jnp.inf), axis=1)
    later = kept & (jnp.arange(n)[None, :] >= at[:, None])
    drop = curve[at] - jnp.min(jnp.where(later, curve[None], jnp.inf), axis=1)
    stops = (at == 0) | ((at < length - 1) & (drop >= 0.0005))
    index = at[jnp.argmax(stops)]
    return index, curve[index]

"""F-actin: a mesh of single filaments, and bundles."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from oidn_jax.simulation.drawing import (
    POINT_SPACING,
    between,
    curvature_nodes,
    draw_points,
    log_normal,
    smooth_curves,
    uniforms,
)
from oidn_jax.simulation.specimen import Specimen


class _Bundles(NamedTuple):
    """A population of bundles of parallel filaments; a single filament is a bundle of one strand."""

    length_um: tuple[float, float]
    persistence_um: float
    strands: tuple[int, int]


# Single filaments in vitro bend over 9 to 18 µm (Isambert et al., J. Biol. Chem. 270, 1995).
_SINGLE = _Bundles(length_um=(1.0, 7.0), persistence_um=12.0, strands=(1, 1))
_STRESS_FIBRES = _Bundles(length_um=(5.0, 14.0), persistence_um=60.0, strands=(2, 7))
_DRAWN = 0.7  # mean share of a bundle's length that a strand takes
_BUNDLED = 0.5  # share of the actin's length
_STRAND_GAP_NM = (35.0, 110.0)


def _draw_bundles(
    key: Array,
    shape: tuple[int, int],
    angles: Callable[[Array, Array], Array],
    *,
    kind: _Bundles,
    pixel_size_nm: float,
    length_per_area: Array,
    most_length_per_area: float,
    brightness_variation: float,
) -> Float[Array, "h w"]:
    """Bundles centred anywhere in the field or up to half their mean length outside, so that its border is no edge.

    `angles` gives their directions from two uniform random numbers of each; `length_per_area` is that of all strands,
    µm / µm^2, and `most_length_per_area` its largest value, which fixes the shapes of the computation.
    """
    pixel_um = pixel_size_nm / 1000.0
    mean_um = 0.5 * sum(kind.length_um)
    extent = [n + mean_um / pixel_um for n in shape]
    bundles_per_unit = extent[0] * extent[1] * pixel_um**2 / (_DRAWN * mean_um * 0.5 * sum(kind.strands))
    count, most_strands = max(1, math.ceil(most_length_per_area * bundles_per_unit)), kind.strands[1]
    exists = jnp.arange(count) < length_per_area * bundles_per_unit

    steps = math.ceil(kind.length_um[1] / pixel_um / POINT_SPACING)
    bundle, curve, strand = uniforms(
        key, (7, count), (count, curvature_nodes(steps, pixel_size_nm=pixel_size_nm)), (4, count, most_strands)
    )
    y, x, *which, length, number, gap = bundle
    begin, end = between((0.4, 1.0), strand[:2, ..., None])
    jitter, brightness = ndtri(strand[2:])
    anchor = jnp.stack([y * extent[0], x * extent[1]], axis=-1) - 0.5 * mean_um / pixel_um
    path, normal = smooth_curves(
        ndtri(curve),
        anchor,
        angles(*which),
        steps=steps,
        pixel_size_nm=pixel_size_nm,
        persistence_um=kind.persistence_um,
    )
    # Positions along a bundle, -1 to 1; its strands begin and end at places of their own.
    half_length = 0.5 * between(kind.length_um, length) / pixel_um / POINT_SPACING
    along = (jnp.arange(steps) - steps // 2)[None] / half_length[:, None]
    strands = jnp.floor(between((float(kind.strands[0]), kind.strands[1] + 1.0), number))[:, None]
    index = jnp.arange(most_strands)[None]
    drawn = (exists[:, None] & (index < strands))[..., None] & (along[:, None] > -begin) & (along[:, None] < end)

    offset = (index - 0.5 * (strands - 1) + 0.3 * jitter) * between(_STRAND_GAP_NM, gap)[:, None] / pixel_size_nm
    points = _beside(path, normal, offset, along=along)
    weight = POINT_SPACING * log_normal(brightness, variation=brightness_variation)
    return draw_points(shape, points.reshape(-1, 2), jnp.where(drawn, weight[..., None], 0.0).reshape(-1))


def _beside(
    path: Float[Array, "n steps 2"],
    normal: Float[Array, "n steps 2"],
    offset: Float[Array, "n strands"],
    *,
    along: Array,
) -> Float[Array, "n strands steps 2"]:
    """Strands at their offsets from the path, which come closer towards the ends, along = -1 and 1."""
    narrowed = offset[..., None] * (1.0 - 0.6 * jnp.minimum(along**2, 1.0))[:, None]
    return path[:, None] + narrowed[..., None] * normal[:, None]


def f_actin(
    key: Array,
    shape: tuple[int, int],
    *,
    pixel_size_nm: float,
    density: tuple[float, float],
    brightness_variation: float,
) -> Float[Array, "h w"]:
    """The actin cytoskeleton at the bottom of a cell: a mesh of crossing single filaments, and bundles.

    Half of the length is single filaments of 1 to 7 µm in any direction; half is in bundles (stress fibres) of 2 to 7
    strands, 35 to 110 nm apart and 5 to 14 µm long, which lie along one or two main directions of the scene.
    """
    scene_key, single_key, bundle_key = jax.random.split(key, 3)
    dense, spread, *main = uniforms(scene_key, (4,))[0]
    length_per_area = between(density, dense)

    def any_direction(which: Array, _: Array) -> Array:
        return math.pi * which

    def main_direction(which: Array, turn: Array) -> Array:
        return math.pi * jnp.where(which < 0.7, main[0], main[1]) + between((0.08, 0.3), spread) * ndtri(turn)

    populations = (
        (single_key, any_direction, _SINGLE, 1.0 - _BUNDLED),
        (bundle_key, main_direction, _STRESS_FIBRES, _BUNDLED),
    )
    images = [
        _draw_bundles(
            part_key,
            shape,
            angles,
            kind=kind,
            pixel_size_nm=pixel_size_nm,
            length_per_area=share * length_per_area,
            most_length_per_area=share * density[1],
            brightness_variation=brightness_variation,
        )
        for part_key, angles, kind, share in populations
    ]
    return images[0] + images[1]


SPECIMEN = Specimen(
    name="f_actin",
    label="F-actin",
    folder="F-actin",
    draw=f_actin,
    # Total internal reflection; BioSR has twelve signal levels of this specimen.
    defaults={
        "density": (2.0, 9.0),
        "illumination_na": 1.41,
        "mean_photons": (15.0, 21.0, 29.0, 41.0, 57.0, 80.0, 112.0, 157.0, 219.0, 307.0, 429.0, 600.0),
        "fluorescence": {"low": (1, 2, 3, 4), "medium": (5, 6, 7, 8), "high": (9, 10, 11, 12)},
    },
)

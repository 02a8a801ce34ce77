"""Clathrin-coated pits: hollow rings and filled discs, alone and in clusters."""

import math

import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from oidn_jax.simulation.drawing import between, draw_points, log_normal, uniforms
from oidn_jax.simulation.specimen import Specimen

# Outer diameters 100 to 200 nm, as electron and super-resolution microscopy see them (Li et al., Science 349, 2015).
_RADIUS_NM = (45.0, 95.0)
_COAT_NM = 12.0  # standard deviation of the coat's thickness, label included
_FILLED = 0.25  # young pits, domes seen from above and coats too small for a hole
_CLUSTERED = 0.5
_CLUSTER_NM = 350.0  # standard deviation of a cluster's spread
_CLUSTER_SIZE = 4
_POINTS = 48


def ccps(
    key: Array,
    shape: tuple[int, int],
    *,
    pixel_size_nm: float,
    density: tuple[float, float],
    brightness_variation: float,
) -> Float[Array, "h w"]:
    """Clathrin-coated pits: rings of 90 to 190 nm, slightly oval, a quarter of them filled, half of them in clusters.

    A pure function of a key that gives fluorophore density (see `simulation.drawing`): 1 per pixel along a ring.

    Args:
        key: of the scene.
        shape: of the image.
        pixel_size_nm: of the image.
        density: range of pits per µm^2, counted before those that would overlap another are left out.
        brightness_variation: from pit to pit.
    """
    border = 2.0 * _CLUSTER_NM / pixel_size_nm
    extent = [n + 2.0 * border for n in shape]
    area = extent[0] * extent[1] * (pixel_size_nm / 1000.0) ** 2
    most = max(1, math.ceil(density[1] * area))
    dense, pit, thickness = uniforms(key, (), (11, most), (most, _POINTS))
    exists = jnp.arange(most) < between(density, dense) * area
    y, x, scatter_y, scatter_x, alone, size, fill, brightness, *oval = pit

    place = jnp.stack([y * extent[0], x * extent[1]], axis=-1) - border
    cluster_of = jnp.arange(most) // _CLUSTER_SIZE
    scatter = _CLUSTER_NM / pixel_size_nm * ndtri(jnp.stack([scatter_y, scatter_x], axis=-1))
    clustered = (alone < _CLUSTERED)[cluster_of, None]
    centre = jnp.where(clustered, place[cluster_of] + scatter, place)
    radius = between(_RADIUS_NM, size) / pixel_size_nm
    exists &= ~_overlaps_an_earlier_one(centre, radius, exists)

    coat = 1.0 + _COAT_NM / pixel_size_nm * ndtri(thickness) / radius[:, None]
    # The golden angle spreads the points evenly over a disc, and as well around a ring.
    number = jnp.arange(_POINTS)[None]
    turn = 2.399963 * number + 2.0 * math.pi * oval[0][:, None]
    relative = jnp.where(fill[:, None] < _FILLED, jnp.sqrt((number + 0.5) / _POINTS), coat)
    points = centre[:, None] + _oval(
        radius[:, None] * relative, turn, flat=between((0.85, 1.0), oval[1]), angle=oval[2]
    )
    around = 2.0 * math.pi * radius * log_normal(ndtri(brightness), variation=brightness_variation)
    weight = jnp.where(exists, around / _POINTS, 0.0)
    return draw_points(shape, points.reshape(-1, 2), jnp.repeat(weight, _POINTS))


def _overlaps_an_earlier_one(centre: Array, radius: Array, exists: Array) -> Array:
    squared = jnp.sum((centre[:, None] - centre[None]) ** 2, axis=-1)
    near = (squared < (radius[:, None] + radius[None]) ** 2) & exists[None]
    return jnp.any(jnp.tril(near, -1), axis=1)


def _oval(
    distance: Float[Array, "n points"], turn: Float[Array, "n points"], *, flat: Array, angle: Array
) -> Float[Array, "n points 2"]:
    """Polar to (y, x), each circle flattened by a factor across a direction given in half turns."""
    cos, sin = jnp.cos(math.pi * angle)[:, None], jnp.sin(math.pi * angle)[:, None]
    along, across = distance * jnp.cos(turn), flat[:, None] * distance * jnp.sin(turn)
    return jnp.stack([sin * along + cos * across, cos * along - sin * across], axis=-1)


SPECIMEN = Specimen(
    name="ccps",
    label="CCPs",
    folder="CCPs",
    draw=ccps,
    # Total internal reflection.
    defaults={"density": (0.6, 2.0), "illumination_na": 1.41},
    # Most of a field is dark, so that learning rings takes twice as many steps as learning filaments.
    quick_steps=1000,
)

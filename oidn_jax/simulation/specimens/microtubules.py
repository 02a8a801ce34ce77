"""Microtubules: long, gently curved tubes through the field."""

import math

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

_TUBULE_DIAMETER_NM = 25.0
_ENDING = 0.25  # share of the microtubules that end in the field, anywhere along it
# Microtubules are rigid (millimetres in vitro) but bent by the cell: tens of µm (Brangwynne et al., J. Cell Biol. 173,
# 2006).
_TUBULE_PERSISTENCE_UM = 30.0


def microtubules(
    key: Array,
    shape: tuple[int, int],
    *,
    pixel_size_nm: float,
    density: tuple[float, float],
    brightness_variation: float,
) -> Float[Array, "h w"]:
    """Microtubules: long, gently curved hollow tubes of 25 nm across the field, most of them roughly in one direction.

    They run as from an organising centre outside the field; a fifth of them in any direction; a quarter end within the
    field. Lines at offsets spread evenly over the field's diagonal D have the length per area (their number) / D.
    """
    pixel_um = pixel_size_nm / 1000.0
    diagonal = math.hypot(*shape)
    tubes_per_unit = diagonal * pixel_um / (1.0 - 0.5 * _ENDING)
    most = max(1, math.ceil(density[1] * tubes_per_unit))
    steps = math.ceil(1.2 * diagonal / POINT_SPACING)
    scene, tube, curve, wall = uniforms(
        key, (3,), (7, most), (most, curvature_nodes(steps, pixel_size_nm=pixel_size_nm)), (most, steps)
    )
    dense, spread, main = scene
    stray, any_angle, turn, offset, stops, end, brightness = tube
    exists = jnp.arange(most) < between(density, dense) * tubes_per_unit

    angle = math.pi * main + between((0.15, 0.7), spread) * ndtri(turn)
    angle = jnp.where(stray < 0.2, math.pi * any_angle, angle)
    centre = jnp.asarray([0.5 * n for n in shape])
    sideways = jnp.stack([jnp.cos(angle), -jnp.sin(angle)], axis=-1)
    anchor = centre[None] + diagonal * (offset[:, None] - 0.5) * sideways
    path, normal = smooth_curves(
        ndtri(curve), anchor, angle, steps=steps, pixel_size_nm=pixel_size_nm, persistence_um=_TUBULE_PERSISTENCE_UM
    )
    # Labels sit anywhere on the wall of the tube, seen from the side.
    across = 0.5 * _TUBULE_DIAMETER_NM / pixel_size_nm * jnp.sin(2.0 * math.pi * wall)
    points = path + across[..., None] * normal
    last = jnp.where(stops < _ENDING, end * steps, steps)
    weight = POINT_SPACING * log_normal(ndtri(brightness), variation=brightness_variation)
    drawn = exists[:, None] & (jnp.arange(steps)[None] < last[:, None])
    return draw_points(shape, points.reshape(-1, 2), jnp.where(drawn, weight[:, None], 0.0).reshape(-1))


SPECIMEN = Specimen(
    name="microtubules",
    label="Microtubules",
    folder="Microtubules",
    draw=microtubules,
    # Grazing incidence.
    defaults={"density": (0.7, 2.5), "illumination_na": 1.35},
)

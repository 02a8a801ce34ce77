"""Specimens: fluorophore distributions on the fine (super-resolved) pixel grid."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

POINT_SPACING = 0.7  # pixels; below 1, so that a filament has no gaps


def draw_points(
    shape: tuple[int, int], points: Float[Array, "n 2"], brightness: Float[Array, "n"]
) -> Float[Array, "h w"]:
    """Sum of points (y, x), in pixels, each shared bilinearly between its four pixels; points outside add nothing."""
    corner = jnp.floor(points)
    fraction = points - corner
    image = jnp.zeros(shape)
    for dy in (0, 1):
        for dx in (0, 1):
            share_y = fraction[:, 0] if dy else 1.0 - fraction[:, 0]
            share_x = fraction[:, 1] if dx else 1.0 - fraction[:, 1]
            y, x = corner[:, 0].astype(jnp.int32) + dy, corner[:, 1].astype(jnp.int32) + dx
            # Negative indices would wrap around, which "drop" does not catch.
            inside = (y >= 0) & (x >= 0)
            image = image.at[y, x].add(jnp.where(inside, brightness * share_y * share_x, 0.0), mode="drop")
    return image


def _filament_paths(
    key: Array, shape: tuple[int, int], count: int, steps: int
) -> tuple[Float[Array, "count steps 2"], Float[Array, "count steps 2"]]:
    """Smooth random curves and their unit normals: the direction is a random walk with a filament's own bend."""
    start_key, angle_key, bend_key, walk_key = jax.random.split(key, 4)
    start = jax.random.uniform(start_key, (count, 1, 2)) * jnp.asarray(shape, jnp.float32)[None, None, :]
    bend = 0.004 * jax.random.normal(bend_key, (count, 1))
    walk = 0.02 * jax.random.normal(walk_key, (count, steps))
    angle = jax.random.uniform(angle_key, (count, 1), maxval=2.0 * jnp.pi) + jnp.cumsum(walk + bend, axis=1)
    direction = jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1)
    normal = jnp.stack([jnp.cos(angle), -jnp.sin(angle)], axis=-1)
    return start + POINT_SPACING * jnp.cumsum(direction, axis=1), normal


def filaments(
    key: Array, *, shape: tuple[int, int], count: Int[Array, ""], max_count: int, max_length: float
) -> Float[Array, "h w"]:
    """A scene of `count` filaments like F-actin, mean brightness per filament pixel about 1.

    Curved, of random length up to `max_length` pixels and of log-normal brightness that fluctuates along the filament
    (labelling); half of them are bundles of two strands 2 to 6 pixels apart, which is where resolution shows.

    Args:
        key: of the scene.
        shape: of the image, (h, w).
        count: of filaments, at most `max_count`, which fixes the shapes of the computation.
        max_count: largest possible count.
        max_length: pixels.
    """
    steps = math.ceil(max_length / POINT_SPACING)
    path_key, length_key, brightness_key, label_key, strand_key, gap_key = jax.random.split(key, 6)
    path, normal = _filament_paths(path_key, shape, max_count, steps)
    length = jax.random.uniform(length_key, (max_count, 1), minval=0.2, maxval=1.0) * steps
    exists = (jnp.arange(max_count)[:, None] < count) & (jnp.arange(steps)[None, :] < length)
    brightness = jnp.exp(0.4 * jax.random.normal(brightness_key, (max_count, 1)))
    labelling = jnp.exp(0.4 * jax.random.normal(label_key, (max_count, steps // 4 + 1)))
    labelling = jnp.repeat(labelling, 4, axis=1)[:, :steps]
    weight = POINT_SPACING * jnp.where(exists, brightness * labelling, 0.0)
    bundled = jax.random.bernoulli(strand_key, 0.5, (max_count, 1))
    gap = jax.random.uniform(gap_key, (max_count, 1, 1), minval=2.0, maxval=6.0)
    second = jnp.where(bundled, weight, 0.0)
    points = jnp.concatenate([path.reshape(-1, 2), (path + gap * normal).reshape(-1, 2)])
    return draw_points(shape, points, jnp.concatenate([weight.reshape(-1), second.reshape(-1)]))

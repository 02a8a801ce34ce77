"""Drawing on the fine pixel grid: points shared between pixels, smooth curves, labels.

Positions are (y, x) in pixels, pixel (i, j) with its centre on (i, j). An image holds fluorophore density: a filament
of brightness 1 carries one unit per pixel of its length.
"""

import itertools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from oidn_jax import random
from oidn_jax.optics.fourier import filter_image, frequency_radius
from oidn_jax.optics.noise import poisson

POINT_SPACING = 0.7  # pixels; below 1, so that a curve has no gaps
_CURVATURE_LENGTH_NM = 500.0  # over which a curve's curvature changes
# Of bodies and clouds: standard deviation of the Gaussian that smooths their noise, least and greatest; the level in
# standard deviations of it; logarithm of the softness of their edge in these.
_BODY_NM, _BODY_LEVEL, _BODY_SOFTNESS = (100.0, 1000.0), (-1.0, 1.5), (math.log(0.03), 0.0)


def draw_points(
    shape: tuple[int, int], points: Float[Array, "n 2"], brightness: Float[Array, "n"]
) -> Float[Array, "h w"]:
    """Sum of points, each shared bilinearly between its four pixels; what lies outside adds nothing."""
    h, w = shape
    corner = jnp.floor(points)
    upper = points - corner
    share = jnp.stack([1.0 - upper, upper], axis=-1)  # (n, axis, lower or upper pixel)
    blocks = brightness[:, None, None] * share[:, 0, :, None] * share[:, 1, None, :]
    # The canvas has a border of one pixel, so that every block of 2 x 2 pixels that touches the image fits.
    inside = jnp.all((corner >= -1) & (corner < jnp.asarray([h, w])[None]), axis=1)
    canvas = jax.lax.scatter_add(
        jnp.zeros((h + 2, w + 2)),
        jnp.where(inside[:, None], corner + 1, 0).astype(jnp.int32),
        jnp.where(inside[:, None, None], blocks, 0.0),
        jax.lax.ScatterDimensionNumbers(
            update_window_dims=(1, 2), inserted_window_dims=(), scatter_dims_to_operand_dims=(0, 1)
        ),
        mode="promise_in_bounds",
    )
    return canvas[1:-1, 1:-1]


def curvature_nodes(steps: int, *, pixel_size_nm: float) -> int:
    """How many random numbers `smooth_curves` needs for a curve of `steps` points."""
    return steps // _steps_per_node(pixel_size_nm) + 2


def _steps_per_node(pixel_size_nm: float) -> int:
    return max(1, round(_CURVATURE_LENGTH_NM / pixel_size_nm / POINT_SPACING))


def smooth_curves(
    nodes: Float[Array, "n nodes"],
    anchor: Float[Array, "n 2"],
    angle: Float[Array, "n"],
    *,
    steps: int,
    pixel_size_nm: float,
    persistence_um: float,
) -> tuple[Float[Array, "n steps 2"], Float[Array, "n steps 2"]]:
    """Curves of `steps` points and their unit normals, through `anchor` at the middle point with the direction `angle`.

    The curvature is smooth noise of the strength of a worm-like chain in the plane: the direction's variance over a
    length s is s / persistence length, for s beyond the 0.5 µm over which the curvature changes. `nodes` are normal
    random numbers, `curvature_nodes` of them for each curve.
    """
    per_node = _steps_per_node(pixel_size_nm)
    fraction = (jnp.arange(steps) % per_node / per_node)[None]
    node = jnp.arange(steps) // per_node
    noise = nodes[:, node] * (1.0 - fraction) + nodes[:, node + 1] * fraction
    step_um = POINT_SPACING * pixel_size_nm / 1000.0
    # Over a long way the interpolated noise adds up as the nodes do: the variance of the direction is
    # strength^2 per_node steps = steps step_um / persistence_um.
    strength = (step_um / (persistence_um * per_node)) ** 0.5
    turned = strength * _running_sum(noise)
    direction_angle = angle[:, None] + turned - turned[:, steps // 2, None]
    direction = jnp.stack([jnp.sin(direction_angle), jnp.cos(direction_angle)], axis=-1)
    normal = jnp.stack([jnp.cos(direction_angle), -jnp.sin(direction_angle)], axis=-1)
    path = POINT_SPACING * jnp.stack([_running_sum(direction[..., axis]) for axis in (0, 1)], axis=-1)
    return anchor[:, None] + path - path[:, steps // 2, None], normal


def _running_sum(values: Float[Array, "n steps"]) -> Float[Array, "n steps"]:
    """Cumulative sum as a matrix product: a scan of slices takes XLA seconds to compile."""
    steps = values.shape[1]
    until = jnp.triu(jnp.ones((steps, steps)))
    return jnp.matmul(values, until, precision="highest")


def draw_bodies(key: Array, shape: tuple[int, int], *, pixel_size_nm: float) -> Float[Array, "h w"]:
    """Density of mean 1 without fine structure: filled bodies with an edge, or smooth clouds, and all between.

    sigmoid((g - t) / s), g smooth noise of variance 1; its length, the level t and the softness s are drawn anew for
    each field: of small s are bodies of one brightness, of large s clouds.
    """
    noise_key, length_key, level_key, softness_key = jax.random.split(key, 4)
    low, high = (math.log(length / pixel_size_nm) for length in _BODY_NM)
    length = jnp.exp(between((low, high), jax.random.uniform(length_key)))
    smooth = jnp.exp(-2.0 * (jnp.pi * length * jnp.asarray(frequency_radius(*shape), jnp.float32)) ** 2)
    noise = filter_image(random.normal(noise_key, shape), smooth)
    noise = noise / jnp.maximum(noise.std(), 1e-9)
    level = between(_BODY_LEVEL, jax.random.uniform(level_key))
    level = jnp.minimum(level, 0.5 * noise.max())  # a small field has something, too
    softness = jnp.exp(between(_BODY_SOFTNESS, jax.random.uniform(softness_key)))
    bodies = jax.nn.sigmoid((noise - level) / softness)
    return bodies / jnp.maximum(bodies.mean(), 1e-6)


def uniforms(key: Array, *shapes: tuple[int, ...]) -> list[Array]:
    """Uniform random numbers from 0 to 1 in several shapes, from one draw: each draw takes XLA long to compile."""
    sizes = [math.prod(shape) for shape in shapes]
    numbers = jax.random.uniform(key, (sum(sizes),), minval=1e-7)  # never 0, so that `ndtri` is finite
    ends = list(itertools.accumulate(sizes))
    return [numbers[end - size : end].reshape(shape) for end, size, shape in zip(ends, sizes, shapes, strict=True)]


def between(limits: tuple[float, float], uniform: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Uniform numbers from 0 to 1 brought between the limits."""
    return limits[0] + (limits[1] - limits[0]) * uniform


def log_normal(normal: Float[Array, "*shape"], *, variation: float) -> Float[Array, "*shape"]:
    """Normal numbers made positive ones of mean 1; `variation` is the standard deviation of their logarithm."""
    return jnp.exp(variation * normal - 0.5 * variation**2)


def label(key: Array, density: Float[Array, "h w"], *, labels_per_unit: float) -> Float[Array, "h w"]:
    """Fluorophores are discrete: Poisson(density labels_per_unit) / labels_per_unit of each pixel."""
    return poisson(key, density * labels_per_unit) / labels_per_unit

"""The endoplasmic reticulum (ER): a network of tubules with three-way junctions, and sheets."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from oidn_jax.simulation.drawing import between, log_normal, uniforms
from oidn_jax.simulation.specimen import Specimen

_TUBULE_RADIUS_NM = (30.0, 50.0)  # Georgiades et al., Sci. Rep. 7 (2017): diameters of about 100 nm with the label
_SHEET_THICKNESS_NM = 50.0
# Length of the borders between the seeds, one in each cell of a square lattice, over the cells' width (measured).
_BORDER_PER_CELL = 1.87
_MISSING = 0.12  # share of the polygons' sides that are not there: dead ends and larger meshes
# Around the field: two that are seen from inside, two for what the bending moves.
_BORDER_CELLS = 4
_WARP_NM = 90.0  # tubules are not straight
_WARP_LENGTH_NM = 600.0
_ROUNDING = 0.25  # squared lattice cells


class _Mesh(NamedTuple):
    """One seed of a polygon in each cell of a square lattice (rows, columns): place in cells, random traits, sheet."""

    place: Array
    trait: Array
    sheet: Array


def er(
    key: Array,
    shape: tuple[int, int],
    *,
    pixel_size_nm: float,
    density: tuple[float, float],
    brightness_variation: float,
) -> Float[Array, "h w"]:
    """The endoplasmic reticulum: polygons of tubules that meet in three-way junctions, and sheets towards one side.

    The tubules are the bent borders of a Voronoi tessellation, whose vertices join three of them; some are missing.
    Sheets are polygons filled with 50 nm of lumen. A pure function of a key that gives fluorophore density (see
    `simulation.drawing`): the cross-section of a tubule adds up to its brightness.

    Args:
        key: of the scene.
        shape: of the image.
        pixel_size_nm: of the image.
        density: range of the tubules' length per area, µm / µm^2; polygons are about 2 / density µm wide.
        brightness_variation: from tubule to tubule.
    """
    nm_per_cell = _BORDER_PER_CELL * (1.0 - _MISSING) * 1000.0
    smallest_cell = nm_per_cell / density[1] / pixel_size_nm
    lattice = tuple(math.ceil(n / smallest_cell) + 2 * _BORDER_CELLS + 1 for n in shape)
    warp_nodes = tuple(max(2, math.ceil(n * pixel_size_nm / _WARP_LENGTH_NM)) for n in shape)
    scene, seeds, bends = uniforms(key, (4,), (5, *lattice), (*warp_nodes, 2))
    dense, thick, angle, threshold = scene
    cell = nm_per_cell / between(density, dense) / pixel_size_nm
    field = jnp.asarray(shape, jnp.float32) / cell
    mesh = _mesh(seeds, field=field, angle=2.0 * math.pi * angle, threshold=between((0.6, 1.6), threshold))
    rows, columns = (jnp.arange(n, dtype=jnp.float32) for n in shape)
    position = jnp.stack(jnp.meshgrid(rows, columns, indexing="ij"), axis=-1) + _warp(bends, shape, pixel_size_nm)
    nearest, second, squared_nearest, squared_second, sheet = _neighbours(position / cell + _BORDER_CELLS, mesh)

    apart = jnp.linalg.norm(_at(mesh.place, nearest) - _at(mesh.place, second), axis=-1)
    to_border = cell * (squared_second - squared_nearest) / (2.0 * jnp.maximum(apart, 1e-3))
    # A side has its own traits: sums of both seeds' numbers, wrapped, are uniform and do not depend on the order.
    trait = (_at(mesh.trait, nearest) + _at(mesh.trait, second)) % 1.0
    radius = between(_TUBULE_RADIUS_NM, thick) / pixel_size_nm
    width = jnp.sqrt(0.25 * radius**2 + 1.0 / 12.0)  # of a cylinder seen from the side, and of a pixel
    profile = jnp.exp(-0.5 * (to_border / width) ** 2) / (math.sqrt(2.0 * math.pi) * width)
    brightness = log_normal(ndtri(jnp.clip(trait[..., 1], 1e-3, 1.0 - 1e-3)), variation=brightness_variation)
    tubules = jnp.where(trait[..., 0] < _MISSING, 0.0, brightness * profile)
    lumen = _SHEET_THICKNESS_NM / pixel_size_nm / (math.pi * radius**2)
    inside = jax.nn.sigmoid(40.0 * (sheet - 0.5))
    return jnp.maximum(tubules * (1.0 - inside), lumen * inside)


def _mesh(seeds: Float[Array, "5 rows columns"], *, field: Array, angle: Array, threshold: Array) -> _Mesh:
    """Seeds anywhere in their cells; sheets where the position along a direction, with noise, exceeds a threshold.

    Positions along it run from -1 to 1 over the field, which is `field` cells large and begins in cell _BORDER_CELLS.
    `seeds` are uniform random numbers.
    """
    y, x, noise, *trait = seeds
    corner = jnp.stack(jnp.meshgrid(*(jnp.arange(n, dtype=jnp.float32) for n in y.shape), indexing="ij"), axis=-1)
    place = corner + between((0.05, 0.95), jnp.stack([y, x], axis=-1))
    centred = 2.0 * (corner + 0.5 - _BORDER_CELLS) / field[None, None] - 1.0
    side = centred[..., 0] * jnp.sin(angle) + centred[..., 1] * jnp.cos(angle) + 0.25 * ndtri(noise)
    return _Mesh(place, jnp.stack(trait, axis=-1), side > threshold)


def _warp(bends: Float[Array, "rows columns 2"], shape: tuple[int, int], pixel_size_nm: float) -> Float[Array, "h w 2"]:
    """A smooth random displacement in pixels, from uniform random numbers on a coarse grid."""
    return jax.image.resize(_WARP_NM / pixel_size_nm * ndtri(bends), (*shape, 2), "cubic")


def _at(trait: Array, cell: Array) -> Array:
    return trait.reshape(-1, *trait.shape[2:])[cell]


def _neighbours(position: Float[Array, "h w 2"], mesh: _Mesh) -> tuple[Array, Array, Array, Array, Array]:
    """What each position (in lattice cells) sees: nearest and second nearest seed, their squared distances, sheetness.

    Seeds are flat indices. Sheetness, 0 to 1, is the share of sheets among the seeds around, weighted with
    exp(-distance^2 / _ROUNDING): 1/2 near the border of a sheet's polygon, but without its corners. Only the 5 x 5
    cells around are looked at, which hold both seeds: the own cell's is within sqrt(2) cells.
    """
    rows, columns = mesh.place.shape[:2]
    home = jnp.clip(jnp.floor(position).astype(jnp.int32), 2, jnp.asarray([rows - 3, columns - 3])[None, None])
    shape = position.shape[:2]
    zero, infinite, index = jnp.zeros(shape), jnp.full(shape, jnp.inf), jnp.zeros(shape, jnp.int32)

    def look(offset: Array, seen: tuple[Array, ...]) -> tuple[Array, ...]:
        nearest, second, squared_nearest, squared_second, sheets, total = seen
        candidate = (home[..., 0] + offset // 5 - 2) * columns + home[..., 1] + offset % 5 - 2
        squared = jnp.sum((_at(mesh.place, candidate) - position) ** 2, axis=-1)
        first, other = squared < squared_nearest, squared < squared_second
        weight = jnp.exp(-squared / _ROUNDING)
        return (
            jnp.where(first, candidate, nearest),
            jnp.where(first, nearest, jnp.where(other, candidate, second)),
            jnp.minimum(squared, squared_nearest),
            jnp.where(first, squared_nearest, jnp.minimum(squared, squared_second)),
            sheets + weight * _at(mesh.sheet, candidate),
            total + weight,
        )

    seen = jax.lax.fori_loop(jnp.int32(0), jnp.int32(25), look, (index, index, infinite, infinite, zero, zero))
    return (*seen[:4], seen[4] / seen[5])


SPECIMEN = Specimen(
    name="er",
    label="ER",
    folder="ER",
    draw=er,
    # Grazing incidence; BioSR has six signal levels of this specimen.
    defaults={
        "density": (1.5, 3.5),
        "illumination_na": 1.35,
        "mean_photons": (15.0, 31.0, 66.0, 137.0, 287.0, 600.0),
        "fluorescence": {"low": (1, 2), "medium": (3, 4), "high": (5, 6)},
    },
    moves=True,
)

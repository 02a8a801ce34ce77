"""Cuts an image into overlapping tiles of one shape and blends the results: pure functions over numpy arrays.

Contract: the tiles cover every pixel, none reaches beyond the image, and all have one shape, so a network is compiled
once. An axis no longer than the tile is not cut, and nothing is padded or cropped. The blending weights are positive
and sum to 1 at every pixel, so tiles that agree give the whole image, without seams.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float32, Float64, Shaped

from oidn_jax.errors import IllegalValue

SMALLEST_TILE = 16


@dataclass(frozen=True)
class Tiling:
    """How an image is cut.

    Attributes:
        tile: side of the square tiles in raw pixels, at least 16; an axis of the image shorter than it is taken whole.
        overlap: raw pixels that neighbouring tiles share at least; from 0 to less than half a tile.

    Raises:
        IllegalValue: for other numbers.
    """

    tile: int
    overlap: int

    def __post_init__(self) -> None:
        if self.tile < SMALLEST_TILE:
            raise IllegalValue("tile", self.tile, f"give at least {SMALLEST_TILE} raw pixels")
        if not 0 <= 2 * self.overlap < self.tile:
            legal = f"give 0 to {(self.tile - 1) // 2} raw pixels, less than half a tile of {self.tile}"
            raise IllegalValue("overlap", self.overlap, legal)

    def starts(self, length: int) -> list[int]:
        """First pixels of the tiles along an axis of `length` raw pixels (see `tile_starts`)."""
        return tile_starts(length, tile=self.tile, overlap=self.overlap)

    def count(self, shape: tuple[int, int]) -> int:
        """Number of tiles of an image of `shape` (y, x)."""
        return len(self.starts(shape[0])) * len(self.starts(shape[1]))

    def smaller(self, shape: tuple[int, int], *, smallest: int) -> "Tiling | None":
        """The tiling with tiles of half the size and the overlap in proportion, for an image of `shape` (y, x).

        Returns:
            The tiling, its tile at least `smallest`; None where that is no smaller than the tiles in use.
        """
        tile = min(self.tile, max(shape))
        half = max(tile // 2, smallest)
        return Tiling(half, self.overlap * half // self.tile) if half < tile else None


def tile_starts(length: int, *, tile: int, overlap: int) -> list[int]:
    """Places the fewest tiles that cover an axis, evenly: start_i = floor(i (length - tile) / (n - 1)).

    n is the smallest number of tiles with (n - 1) (tile - overlap) >= length - tile, so neighbours share at least
    `overlap` pixels, and usually more. The first tile starts at 0 and the last ends at `length`.

    Args:
        length: of the axis in pixels.
        tile: its side in pixels.
        overlap: pixels that neighbours share at least; less than the tile.

    Returns:
        The first pixels of the tiles, increasing; [0] for an axis no longer than the tile.
    """
    if length <= tile:
        return [0]
    steps = -(-(length - tile) // (tile - overlap))
    return [i * (length - tile) // steps for i in range(steps + 1)]


def blend_weights(starts: Sequence[int], *, length: int, tile: int) -> Float64[np.ndarray, "n tile"]:
    """Weights of the tiles along an axis: positive, and their sum is 1 at every pixel.

    A tile's weight is 1 inside and falls over the pixels it shares with its neighbour as a raised cosine,
    sin^2(pi (i + 1/2) / (2 n)) for i = 0 ... n - 1 from its border, n being the smallest number of shared pixels of any
    two neighbours; there is no ramp at the borders of the image. The sum at each pixel is then divided out.

    Args:
        starts: the first pixels of the tiles, increasing.
        length: of the axis in pixels.
        tile: side of the tiles in pixels.

    Returns:
        One row per tile.
    """
    weights = np.ones((len(starts), tile))
    shared = tile - max((b - a for a, b in pairwise(starts)), default=tile)
    ramp = np.sin(np.pi * (np.arange(shared) + 0.5) / (2 * max(shared, 1))) ** 2
    weights[1:, :shared] *= ramp
    weights[:-1, tile - shared :] *= ramp[::-1]
    total = np.zeros(length)
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + tile] += weight
    return np.stack([weight / total[start : start + tile] for start, weight in zip(starts, weights, strict=True)])


def map_tiles(
    function: Callable[[np.ndarray], np.ndarray],
    image: Shaped[np.ndarray, "h w frames"],
    tiling: Tiling,
    *,
    scale: int,
    maps: int = 1,
) -> Float32[np.ndarray, "maps sr_h sr_w"]:
    """Applies a function to the tiles of an image and blends what it gives.

    Args:
        function: (tile_h, tile_w, frames) to (maps, scale * tile_h, scale * tile_w); called with one shape only.
        image: (h, w, frames).
        tiling: how to cut it.
        scale: output pixels per raw pixel.
        maps: how many images the function gives.

    Returns:
        (maps, scale * h, scale * w), summed in float32.
    """
    lengths = image.shape[:2]
    starts = [tiling.starts(length) for length in lengths]
    sides = [min(tiling.tile, length) for length in lengths]
    weights = [
        blend_weights([scale * i for i in start], length=scale * length, tile=scale * side).astype(np.float32)
        for start, length, side in zip(starts, lengths, sides, strict=True)
    ]
    blended = np.zeros((maps, scale * lengths[0], scale * lengths[1]), np.float32)
    for y, weight_y in zip(starts[0], weights[0], strict=True):
        for x, weight_x in zip(starts[1], weights[1], strict=True):
            result = function(image[y : y + sides[0], x : x + sides[1]])
            target = blended[:, scale * y : scale * (y + sides[0]), scale * x : scale * (x + sides[1])]
            target += result * (weight_y[:, None] * weight_x[None, :])
    return blended

"""Laws of the tiling: every pixel covered, tiles of one shape, weights that sum to one, the identity unchanged."""

import numpy as np
import pytest

from oidn_jax.errors import IllegalValue
from oidn_jax.methods.tiling import Tiling, blend_weights, map_tiles, tile_starts
from tests.methods.fakes import upsampled

TILINGS = [(16, 0), (16, 4), (17, 8), (32, 8), (33, 16), (64, 1)]


@pytest.mark.parametrize(("tile", "overlap"), TILINGS)
def test_tiles_cover_an_axis_of_any_length(tile, overlap):
    for length in range(16, 200):
        starts = tile_starts(length, tile=tile, overlap=overlap)
        side = min(tile, length)
        steps = np.diff(starts)
        assert starts[0] == 0
        assert starts[-1] + side == length
        assert (steps > 0).all()
        assert (side - steps >= overlap).all()
        assert len(steps) == 0 or steps.max() - steps.min() <= 1
        # One tile fewer could not keep the overlap.
        assert len(starts) == 1 or len(starts) * tile - (len(starts) - 1) * overlap >= length
        assert len(starts) == 1 or (len(starts) - 1) * tile - (len(starts) - 2) * overlap < length


@pytest.mark.parametrize(("tile", "overlap"), TILINGS)
def test_weights_are_positive_and_sum_to_one(tile, overlap):
    for length in range(16, 200):
        starts, side = tile_starts(length, tile=tile, overlap=overlap), min(tile, length)
        weights = blend_weights(starts, length=length, tile=side)
        assert weights.shape == (len(starts), side)
        assert weights.min() > 0
        total = np.zeros(length)
        for start, weight in zip(starts, weights, strict=True):
            total[start : start + side] += weight
        np.testing.assert_allclose(total, 1, rtol=1e-12)
        assert weights[0, 0] == weights[-1, -1] == 1  # the borders of the image belong to one tile


def test_weights_fall_as_a_raised_cosine_over_the_overlap():
    first, second = blend_weights([0, 24], length=56, tile=32)
    ramp = np.sin(np.pi * (np.arange(8) + 0.5) / 16) ** 2
    np.testing.assert_allclose(first, [*np.ones(24), *ramp[::-1]], rtol=1e-12)
    np.testing.assert_allclose(second, [*ramp, *np.ones(24)], rtol=1e-12)


def test_weights_where_tiles_share_most_of_their_pixels():
    first, second = blend_weights([0, 8], length=40, tile=32)
    ramp = np.sin(np.pi * (np.arange(24) + 0.5) / 48) ** 2
    np.testing.assert_allclose(first, [*np.ones(8), *ramp[::-1]], rtol=1e-12)
    np.testing.assert_allclose(second, [*ramp, *np.ones(8)], rtol=1e-12)


def test_weights_where_the_overlaps_differ():
    """The ramp has the length of the smallest overlap, so that none begins where a tile is alone."""
    first, _, last = blend_weights([0, 23, 47], length=79, tile=32)
    ramp = np.sin(np.pi * (np.arange(8) + 0.5) / 16) ** 2
    assert first[23] == pytest.approx(1 / (1 + ramp[0]))
    np.testing.assert_allclose(last[:8], ramp, rtol=1e-12)


def test_without_overlap_there_is_no_ramp():
    np.testing.assert_array_equal(blend_weights([0, 16], length=32, tile=16), 1)


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("tiling", [Tiling(16, 0), Tiling(16, 4), Tiling(17, 8), Tiling(40, 10), Tiling(500, 100)])
def test_the_identity_by_tiles_is_the_identity(tiling, scale):
    random = np.random.default_rng(0)
    for height, width in [(16, 16), (16, 100), (97, 31), (33, 33), (40, 41), (100, 64), (65, 99), (17, 16)]:
        image = random.normal(size=(height, width, 1)).astype(np.float32)
        shapes = []

        def function(tile, shapes=shapes):
            shapes.append(tile.shape)
            return upsampled(tile[..., 0], scale)[None]

        result = map_tiles(function, image, tiling, scale=scale)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, upsampled(image[..., 0], scale)[None], atol=1e-6)
        assert set(shapes) == {(min(tiling.tile, height), min(tiling.tile, width), 1)}
        assert len(shapes) == tiling.count((height, width))


def test_a_disagreement_between_tiles_is_smooth():
    """Tiles that differ by 1 are joined by a slope over the overlap: no seam."""
    values = iter([0.0, 1.0])
    result = map_tiles(
        lambda tile: np.full((1, tile.shape[0] * 2, tile.shape[1] * 2), next(values), np.float32),
        np.zeros((16, 112, 9), np.float32),
        Tiling(64, 16),
        scale=2,
    )[0]
    steps = np.diff(result, axis=1)
    assert (steps >= 0).all()
    assert steps.max() < 0.06
    assert (result[:, 0] == 0).all()
    assert (result[:, -1] == 1).all()


@pytest.mark.parametrize(
    ("tile", "overlap", "field", "legal"),
    [
        (15, 0, "tile", "at least 16"),
        (64, 32, "overlap", "0 to 31"),
        (17, 9, "overlap", "0 to 8"),
        (64, -1, "overlap", ""),
    ],
)
def test_illegal_tilings(tile, overlap, field, legal):
    with pytest.raises(IllegalValue) as error:
        Tiling(tile, overlap)
    assert error.value.field == field
    assert legal in error.value.legal


def test_largest_overlaps_are_legal():
    assert Tiling(17, 8).overlap == 8
    assert Tiling(16, 7).overlap == 7


@pytest.mark.parametrize(
    ("before", "shape", "after"),
    [
        (Tiling(512, 128), (1000, 1000), Tiling(256, 64)),
        (Tiling(10_000, 2500), (1000, 800), Tiling(500, 125)),  # half of the tile in use, not of the one asked for
        (Tiling(100, 25), (1000, 1000), Tiling(64, 16)),
        (Tiling(128, 63), (1000, 1000), Tiling(64, 31)),
        (Tiling(64, 16), (1000, 1000), None),
        (Tiling(32, 8), (1000, 1000), None),
        (Tiling(512, 128), (50, 40), None),
    ],
)
def test_smaller_tiles(before, shape, after):
    assert before.smaller(shape, smallest=64) == after

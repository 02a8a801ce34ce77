"""The part of the frames that holds light, where they have a rim: padding of a registration, a clipped field.

A rim is no part of the object: its edge is a step, sharper than the objective can draw, whose spectrum reaches where
the bands overlap; what is estimated there would be too small a modulation depth, another OTF and another noise. So
images are made of the smallest rectangle that holds the lit part alone, and all is estimated in the largest within it,
which is the same but for a part that is no rectangle (`acquisition.lit_shape`).

Of a dark rim along an edge of the field: from that edge inwards, in the mean of an orientation's frames, rows are a rim
up to the row where

- all before it have one level, as dark as the darkest of the field, but for noise, whose variance is below 0.2 of the
  power P of that row's light (the mean square of its difference from that level, less that variance);
- the light of the row before it is below 0.05 P and has nothing of its pattern (regression below 0.08), but that of
  the three after it is nowhere above 6 P: a step. The light of a point is wider: from one row to the next it falls
  by less where it is strong, and where it falls faster it is weak;
- the light is that of more than a few columns, sum(light^2)^2 / sum(light^4).
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Real, Shaped

from oidn_jax.acquisition.lit_shape import find_lit_shape, largest_rectangle
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.noise import NoiseModel

_NOISE, _BEFORE, _ALIKE, _AFTER, _ROWS_AFTER = 0.2, 0.05, 0.08, 6.0, 3
_DARKEST = 5  # percentile
_COLUMNS, _SHARE_OF_COLUMNS = 8.0, 0.05
_SMALLEST_SIDE = 48  # of a lit part: smaller ones tell nothing of stripes
_RECTANGLE = 0.98  # of the pixels of a shape that is taken for one


class LitField(NamedTuple):
    """A rectangle of the raw frames.

    Attributes:
        size: (h, w) of the frames.
        rows: of the lit part.
        columns: likewise.
    """

    size: tuple[int, int]
    rows: slice
    columns: slice

    @classmethod
    def whole(cls, size: tuple[int, int]) -> "LitField":
        """All of the frames."""
        return cls(size, slice(0, size[0]), slice(0, size[1]))

    @property
    def has_rim(self) -> bool:
        """Whether a part is dark."""
        return self.lit_size != self.size

    @property
    def lit_size(self) -> tuple[int, int]:
        """(h, w) of the lit part."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def __str__(self) -> str:
        rows, columns = (f"{part.start} to {part.stop - 1}" for part in (self.rows, self.columns))
        return f"rows {rows} and columns {columns}"

    def of(self, images: Shaped[np.ndarray, "*batch h w"], *, scale: int = 1) -> Shaped[np.ndarray, "*batch h2 w2"]:
        """The lit part of images of `scale` pixels per raw pixel."""
        rows, columns = (slice(scale * part.start, scale * part.stop) for part in (self.rows, self.columns))
        return images[..., rows, columns]

    def noise(self, given: NoiseModel) -> NoiseModel:
        """That of the lit part, where it is of each pixel."""
        return NoiseModel(*(self.of(part) if part.ndim == 3 else part for part in map(np.asarray, given)))

    def embed(
        self, images: Shaped[np.ndarray, "*batch h2 w2"], *, scale: int = 1, outside: float = 0.0
    ) -> Shaped[np.ndarray, "*batch h w"]:
        """Images of the lit part as images of the whole, with one value elsewhere."""
        if not self.has_rim:
            return images
        whole = np.full((*images.shape[:-2], *(scale * n for n in self.size)), outside, images.dtype)
        self.of(whole, scale=scale)[...] = images
        return whole

    def illumination(self, given: Illumination) -> Illumination:
        """Of the whole frames, as of the lit part: phases are those at its centre."""
        return given.seen_from(self._centre)

    def in_whole(self, given: Illumination) -> Illumination:
        """The reverse of `illumination`."""
        return given.seen_from((-self._centre[0], -self._centre[1]))

    def shrunk(self, pixels: int) -> "LitField":
        """Without so many pixels beside each rim."""
        rows, columns = (
            slice(part.start + pixels * (part.start > 0), part.stop - pixels * (part.stop < n))
            for part, n in zip((self.rows, self.columns), self.size, strict=True)
        )
        return self._replace(rows=rows, columns=columns)

    @property
    def _centre(self) -> tuple[float, float]:
        """Of the lit part from that of the whole, raw pixels."""
        parts, size = (self.rows, self.columns), self.size
        y, x = (float(part.start + (part.stop - part.start) // 2 - n // 2) for part, n in zip(parts, size, strict=True))
        return y, x


class LitPart(NamedTuple):
    """What is lit in every orientation; its rectangles are the same unless it is none itself.

    Attributes:
        bounds: the smallest rectangle that holds it.
        inner: the largest rectangle within it.
        shape: its pixels, among those of the whole frames.
    """

    bounds: LitField
    inner: LitField
    shape: Bool[np.ndarray, "h w"]

    @classmethod
    def of(cls, field: LitField) -> "LitPart":
        """A rectangle."""
        return cls(field, field, field.embed(np.ones(field.lit_size, bool)))

    def shrunk(self, pixels: int) -> "LitPart":
        """Rectangles without so many pixels beside each rim."""
        return self._replace(bounds=self.bounds.shrunk(pixels), inner=self.inner.shrunk(pixels))

    def without_rim(self, light: Float[np.ndarray, "*batch h w"]) -> Float[np.ndarray, "*batch h w"]:
        """Frames of light with none in the rim."""
        return self.bounds.embed(self.bounds.of(np.where(self.shape, light, np.zeros((), light.dtype))))


def find_lit_part(frames: Real[np.ndarray, "orientations phases h w"]) -> LitPart:
    """The part of the frames that is lit, as far as its rectangles are large enough; all of them where no rim shows.

    Args:
        frames: without defects of the camera.
    """
    size = frames.shape[2:]
    outer = find_lit_field(frames.mean(1, dtype=np.float64))
    shape = outer.embed(find_lit_shape(outer.of(frames)))
    rows, columns = (np.flatnonzero(shape.any(axis)) for axis in (1, 0))
    if not rows.size:
        return LitPart.of(outer)
    bounds = LitField(size, *(slice(int(part[0]), int(part[-1]) + 1) for part in (rows, columns)))
    inner = LitField(size, *largest_rectangle(shape))
    if min(inner.lit_size) < min(_SMALLEST_SIDE, *size):
        return LitPart.of(outer)
    if math.prod(inner.lit_size) >= _RECTANGLE * math.prod(bounds.lit_size):
        return LitPart.of(inner)
    return LitPart(bounds, inner.shrunk(1), shape)


def find_lit_field(means: Float[np.ndarray, "orientations h w"]) -> LitField:
    """The rectangle that is lit in every orientation; the whole where no side has a dark rim.

    Args:
        means: of the frames of each orientation, without defects of the camera.
    """
    h, w = means.shape[1:]
    means = means - np.median(means)
    views = (means, means[:, ::-1], means.swapaxes(1, 2), means.swapaxes(1, 2)[:, ::-1])
    top, bottom, left, right = (max(_rim(image) for image in view) for view in views)
    lit = LitField((h, w), slice(top, h - bottom), slice(left, w - right))
    return lit if min(lit.lit_size) >= min(_SMALLEST_SIDE, h, w) else LitField.whole((h, w))


def _rim(image: Float[np.ndarray, "h w"]) -> int:
    """How many rows from the first one on are a rim."""
    h, w = image.shape
    first, second = image.mean(1), (image**2).mean(1)
    before = np.arange(1, h - _ROWS_AFTER)  # the rows that may be the first lit one
    level = np.cumsum(first)[before - 1] / before
    noise = np.maximum(np.cumsum(second)[before - 1] / before - level**2, 0.0)

    def light(row: np.ndarray) -> np.ndarray:
        return second[row] - 2 * level * first[row] + level**2 - noise

    power = light(before)
    after = np.max([light(before + n) for n in range(1, _ROWS_AFTER + 1)], axis=0)
    product = (image[before - 1] * image[before]).mean(1) - level * (first[before - 1] + first[before]) + level**2
    brighter = (power > 0) & (first[before] > level) & (level - 2 * np.sqrt(noise) <= np.percentile(image, _DARKEST))
    dark = (noise < _NOISE * power) & (light(before - 1) < _BEFORE * power) & (product < _ALIKE * power)
    step = brighter & dark & (after < _AFTER * power)
    for b in before[step][::-1].tolist():
        square = (image[b] - level[b - 1]) ** 2
        if square.sum() ** 2 > max(_COLUMNS, _SHARE_OF_COLUMNS * w) * (square**2).sum():
            return b
    return 0

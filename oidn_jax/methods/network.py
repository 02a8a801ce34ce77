"""Images by a trained network.

What a network takes of a time point is made of the whole of it, and mirrored at its border: raw frames normalised by
the model's own mode, whose image is scaled back to their range and is not quantitative; or, of a guided network, the
guides that the illumination gives, whose image is proportional to light. The network sees it in tiles of one shape
(`methods.tiling`), one at a time. Where the device's memory does not suffice the tiles are halved, with a remark, and
the image is computed again, so that it has one tiling.

A guided network sees each tile in several views, mirrored and turned, and gives the mean of what it makes of them
("geometric self-ensemble": Lim et al., CVPR Workshops (2017)): what it has learned knows no direction, its mistakes do.
Raw frames cannot be turned, as their patterns would turn too.

The result depends on the tile: the attention of OIDN takes statistics of the tile it sees, and its PSF is estimated per
tile. Measured (docs/reconstruction.md) the dependence is small and larger tiles are faster.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jaxtyping import Float32, Shaped

from oidn_jax.acquisition.acquisition import Acquisition
from oidn_jax.classical.guides import Guides, compiled_guides
from oidn_jax.data.normalisation import fit_min_max
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.methods.classical import PROPORTIONAL, illumination_provenance
from oidn_jax.methods.method import Image, Method, Progress, check_finite, no_progress
from oidn_jax.methods.tiling import Tiling, map_tiles
from oidn_jax.models.guided import GUIDES, VIEWS, View, fold
from oidn_jax.models.layers import SMALLEST_IMAGE
from oidn_jax.models.trained import TrainedModel
from oidn_jax.models.training_range import TrainingRange
from oidn_jax.optics.microscope import Microscope

# Raw pixels mirrored around an image before it is tiled, and cropped after: the zeros that a convolution sees beyond
# the edge of an image with background would draw a dark frame into it.
BORDER = 16

# An image of 256 x 256, mirrored at its border, is one tile.
DEFAULT_TILE, DEFAULT_OVERLAP = 256 + 2 * BORDER, 32
DEFAULT_VIEWS = 4  # the time of the network is proportional to them; what 8 gain is little (docs/guided.md)

# Backing off ends here: below it, the statistics of a tile have little to do with those of the image.
SMALLEST_BACKED_OFF_TILE = 64

_OUT_OF_MEMORY = ("resource_exhausted", "out of memory")


@dataclass(frozen=True, eq=False)
class NetworkMethod:
    """A trained network.

    Attributes:
        model: its weights.
        tile: side of the tiles, raw pixels; None takes that of the training patches, at least 288.
        overlap: raw pixels that neighbouring tiles share at least; None takes a quarter of a tile, at most 32.
        views: of each tile, whose mean is taken: 1, 2 (turned by 180 degrees), 4 (mirrored) or 8 (transposed too); None
            is 4 for a guided network, and 1 for the others, which have no choice.

    Raises:
        IllegalValue: for a tile below 16, an overlap that is negative or not less than half a tile, or other views.
    """

    model: TrainedModel
    tile: int | None = None
    overlap: int | None = None
    views: int | None = None

    writes_image, inputs = True, ()

    def __post_init__(self) -> None:
        _ = self.tiling
        legal = (1, 2, 4, 8) if self.model.guided else (1,)
        if self.views is not None and self.views not in legal:
            only = "" if self.model.guided else f" for {self.label}, whose raw frames cannot be turned"
            raise IllegalValue("views", self.views, f"legal: {', '.join(map(str, legal))}{only}")

    @property
    def name(self) -> str:
        """The network's."""
        return self.model.fields["name"]

    @property
    def label(self) -> str:
        """The network's in print."""
        return self.model.label

    @property
    def needs_illumination(self) -> bool:
        """Guided ones do."""
        return self.model.guided

    @cached_property
    def tiling(self) -> Tiling:
        """What is tried first."""
        tile = max(self.model.patch, DEFAULT_TILE) if self.tile is None else self.tile
        return Tiling(tile, min(tile // 4, DEFAULT_OVERLAP) if self.overlap is None else self.overlap)

    @property
    def _views(self) -> tuple[View, ...]:
        return VIEWS[: self.views or (DEFAULT_VIEWS if self.model.guided else 1)]

    def check(self, microscope: Microscope) -> None:
        """Refuses other frames than those of the training; a guided network minds the scale only.

        Raises:
            IllegalValue: another number of orientations or phases, or another scale; no SIM for a guided network.
        """
        if self.model.guided and microscope.phases < 3:
            raise IllegalValue("microscope.phases", microscope.phases, "to separate the bands of SIM it takes 3")
        for field in ("scale",) if self.model.guided else ("orientations", "phases", "scale"):
            expected, given = getattr(self.model.microscope, field), getattr(microscope, field)
            if expected != given:
                raise IllegalValue(f"microscope.{field}", given, f"the model was trained with {expected}")

    def __call__(self, acquisition: Acquisition, time: int, *, progress: Progress = no_progress) -> Image:
        """The image of a time point.

        Raises:
            InputError: other frames than the network takes, images below 16 pixels, or too little memory even for tiles
                of 64 pixels.
        """
        self.check(acquisition.microscope)
        if min(acquisition.frame_size) < SMALLEST_IMAGE:
            raise InputError(
                f"{acquisition.stack.source} has frames of {acquisition.frame_size[0]} x {acquisition.frame_size[1]} "
                f"pixels; the smallest image is {SMALLEST_IMAGE} x {SMALLEST_IMAGE}"
            )
        given = (
            _guides(acquisition, time, self.model) if self.model.guided else _raw_frames(acquisition, time, self.model)
        )
        pixels, tiling, remarks = self._with_enough_memory(given.channels, progress)
        height, width = (min(n + 2 * BORDER, tiling.tile) for n in given.channels.shape[:2])
        image = Image(
            given.image(pixels[0]),
            dark=given.dark,
            error=given.image(pixels[1]) if self.model.expects_error else None,
            guide=given.guide,
            provenance={
                "weights": dict(self.model.origin),
                **given.provenance,
                "tile": [height, width],
                "overlap": tiling.overlap,
                **({"views": len(self._views)} if self.model.guided else {}),
            },
            remarks=(*given.remarks, *remarks),
        )
        return check_finite(image, acquisition)

    def _with_enough_memory(
        self, channels: Float32[np.ndarray, "h w channels"], progress: Progress
    ) -> tuple[Float32[np.ndarray, "maps h2 w2"], Tiling, tuple[str, ...]]:
        """The pixels (and errors), the tiling that memory allowed, and what to say of it."""
        tiling, remarks = self.tiling, ()
        padded = (channels.shape[0] + 2 * BORDER, channels.shape[1] + 2 * BORDER)
        while True:
            pixels = _unless_out_of_memory(lambda: self._reconstruct(channels, tiling, progress))  # noqa: B023 -- called at once
            if pixels is not None:
                return pixels, tiling, remarks
            smaller = tiling.smaller(padded, smallest=SMALLEST_BACKED_OFF_TILE)
            side = min(tiling.tile, max(padded))
            if smaller is None:
                raise InputError(
                    f"memory ran out with tiles of {side} raw pixels, and tiles are not made smaller than "
                    f"{SMALLEST_BACKED_OFF_TILE}; close other programs or use a device with more memory"
                )
            remarks = (*remarks, f"memory ran out with tiles of {side} raw pixels; `tile` is {smaller.tile} instead")
            tiling = smaller

    def _reconstruct(
        self, channels: Float32[np.ndarray, "h w channels"], tiling: Tiling, progress: Progress
    ) -> Float32[np.ndarray, "maps h2 w2"]:
        """The image, and where the network expects errors, these."""
        scale = self.model.microscope.scale
        padded = np.pad(channels, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), mode="symmetric")
        done, total = 0, tiling.count((padded.shape[0], padded.shape[1]))

        def maps(tile: np.ndarray) -> np.ndarray:
            nonlocal done
            if self.model.guided:
                seen = [view.undone(self._maps(view.of_guides(tile, scale=scale))) for view in self._views]
                values = np.mean(seen, axis=0)
            else:
                values = self._maps(tile)
            done += 1
            progress(done, total)
            return values

        blended = map_tiles(maps, padded, tiling, scale=scale, maps=1 + self.model.expects_error)
        inside = slice(scale * BORDER, -scale * BORDER)
        return blended[:, inside, inside]

    def _maps(self, tile: Float32[np.ndarray, "h w channels"]) -> Float32[np.ndarray, "maps h2 w2"]:
        """What the network makes of one view of a tile."""
        prediction = self.model(tile[None])
        image = np.asarray(prediction.image)[0, :, :, 0]
        if prediction.log_error is None:
            return image[None]
        # An exponential has no bound, and what no training showed may be expected to be wrong by a thousand times.
        largest = np.abs(image) + 10.0 ** tile[0, 0, GUIDES * self.model.microscope.scale**2]
        return np.stack([image, np.minimum(np.exp(np.asarray(prediction.log_error)[0, :, :, 0]), largest)])


@dataclass(frozen=True)
class _Input:
    """What a network takes of a time point.

    Attributes:
        channels: (h, w, channels).
        image: what makes pixels of what the network gives, (h2, w2); of a guided network a factor, also for errors.
        dark: the value of a pixel without light in them.
        provenance: how it was made.
        remarks: what the user should know of it.
        guide: the first of a guided network's, (h2, w2), in the unit of the image.
    """

    channels: Float32[np.ndarray, "h w channels"]
    image: Callable[[np.ndarray], np.ndarray]
    dark: float
    provenance: Mapping[str, Any]
    remarks: tuple[str, ...] = ()
    guide: Float32[np.ndarray, "h2 w2"] | None = None


def _raw_frames(acquisition: Acquisition, time: int, model: TrainedModel) -> _Input:
    frames = acquisition.counts(time).transpose(1, 2, 0)
    # float32 holds every 16-bit integer; wider pixels are normalised in float64.
    frames = frames.astype(np.result_type(frames.dtype, np.float32))
    normalisation = fit_min_max(frames, mode=model.normalisation)
    return _Input(
        normalisation.apply(frames).astype(np.float32),
        image=lambda pixels: normalisation.invert_image(pixels[..., None])[..., 0].astype(np.float32),
        dark=float(normalisation.offset.mean()),
        provenance={
            "intensity": "in the range of the raw frames, not proportional to light",
            "normalisation": model.normalisation,
            "optics": model.microscope.describe(),
        },
    )


def _guides(acquisition: Acquisition, time: int, model: TrainedModel) -> _Input:
    scale = acquisition.microscope.scale
    lit = acquisition.lit
    light, illumination = lit.of(acquisition.light(time)), lit.illumination(acquisition.illumination(time))
    made = compiled_guides(light, illumination, acquisition.otf, scale=scale)
    unit = np.float32(made.unit)

    def image(pixels: np.ndarray) -> np.ndarray:
        return lit.embed(pixels * unit, scale=scale)

    return _Input(
        np.asarray(fold(made.images, made.conditions, scale=scale)),
        image=image,
        dark=0.0,
        guide=image(np.asarray(made.images[0])),
        provenance={
            "intensity": PROPORTIONAL,
            "unit_counts": float(unit),
            **illumination_provenance(acquisition),
        },
        remarks=() if model.range is None else _outside(model.range, made, acquisition),
    )


def _outside(trained: TrainingRange, made: Guides, acquisition: Acquisition) -> tuple[str, ...]:
    """What of the acquisition the network was not trained with."""
    *_, cutoff, reach = map(float, made.conditions)
    gain = float(np.mean(acquisition.noise.gain))
    photons = float(made.unit) / gain if gain > 0 else None
    lines = trained.outside(cutoff=cutoff, pattern=reach / cutoff - 1.0, photons=photons)
    return tuple(f"outside the network's training is {line}; compare with a classical image" for line in lines)


def _unless_out_of_memory(compute: Callable[[], np.ndarray]) -> np.ndarray | None:
    """What a computation gives; None when memory runs out, by then free of everything the error had kept alive."""
    try:
        return compute()
    except MemoryError:
        return None
    except jax.errors.JaxRuntimeError as error:
        if not any(text in str(error).lower() for text in _OUT_OF_MEMORY):
            raise
        return None


def reconstruct(
    raw_frames: Shaped[np.ndarray, "..."],
    model: TrainedModel,
    *,
    microscope: Microscope | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    views: int | None = None,
    progress: Progress = no_progress,
) -> Float32[np.ndarray, "b h2 w2 1"]:
    """Reconstructs raw SIM frames in memory by a trained network.

    Args:
        raw_frames: (b, h, w, frames), any real dtype, as the camera gave them (not normalised), orientation slow and
            phase fast; b are time points of one field, each normalised by itself.
        model: what `oidn_jax.load` gives.
        microscope: what recorded the frames; None for the model's. A guided network needs it, as one serves many.
        tile: as `NetworkMethod`.
        overlap: as `NetworkMethod`.
        views: as `NetworkMethod`.
        progress: called after each tile with the number of tiles done and of all; where memory runs out, both numbers
            start anew.

    Returns:
        (b, scale * h, scale * w, 1), scaled to the range of the raw frames of each time point and not quantitative; of
        a guided network in counts above the camera's offset.

    Raises:
        InputError: (a ValueError) wrong shape, dtype, tile, overlap or views; NaN or infinite pixels, given or
            computed; too little memory even for tiles of 64 pixels; a guided network without a microscope.

    Warns:
        RuntimeWarning: hot pixels, saturation, a doubtful frame order; the tiles were halved because memory ran out.
    """
    method = NetworkMethod(model, tile=tile, overlap=overlap, views=views)
    images = _images(raw_frames, method, microscope, progress)
    return np.stack([image.pixels for image in images])[..., None]


def reconstruct_with_error(
    raw_frames: Shaped[np.ndarray, "..."],
    model: TrainedModel,
    *,
    microscope: Microscope | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    views: int | None = None,
    progress: Progress = no_progress,
) -> tuple[Float32[np.ndarray, "b h2 w2 1"], Float32[np.ndarray, "b h2 w2 1"]]:
    """As `reconstruct`; gives the images, and the expected absolute error of each pixel in their unit.

    Raises:
        InputError: as `reconstruct`; a network that expects no errors.
    """
    method = NetworkMethod(model, tile=tile, overlap=overlap, views=views)
    check_expects_error(method)
    images = _images(raw_frames, method, microscope, progress)
    pixels, errors = zip(*((image.pixels, image.error) for image in images), strict=True)
    return np.stack(pixels)[..., None], np.stack(errors)[..., None]


def check_expects_error(method: Method) -> None:
    """Refuses methods that do not know the error of their pixels.

    Raises:
        InputError: all but guided networks whose body is a U-Net.
    """
    if not (isinstance(method, NetworkMethod) and method.model.expects_error):
        raise InputError(
            f"{method.label} does not know the expected error of its pixels; only a guided network with `body` 'unet' "
            "does: use one, or leave `error` out"
        )


def _images(
    raw_frames: Shaped[np.ndarray, "..."], method: NetworkMethod, microscope: Microscope | None, progress: Progress
) -> list[Image]:
    """Of frames in memory, one for each time point; see `reconstruct`."""
    model = method.model
    if microscope is None:
        if model.guided:
            raise InputError("a guided network serves many microscopes; give the `microscope` that recorded the frames")
        microscope = model.microscope
    method.check(microscope)
    if raw_frames.ndim != 4:
        raise InputError(
            f"the frames have the shape {raw_frames.shape}; this model takes (b, h, w, {microscope.frames})"
        )
    acquisition = Acquisition.of_frames(raw_frames, microscope)
    acquisition.check()
    images: list[Image] = []
    for time in range(acquisition.times):

        def advance(done: int, total: int, time: int = time) -> None:
            progress(time * total + done, acquisition.times * total)

        images.append(method(acquisition, time, progress=advance))
    for line in dict.fromkeys([*acquisition.warnings, *(line for image in images for line in image.remarks)]):
        warnings.warn(line, RuntimeWarning, stacklevel=3)
    return images

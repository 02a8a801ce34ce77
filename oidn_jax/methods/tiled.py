"""Raw frames of any size to super-resolved images, in memory.

Contract: each time point is normalised as a whole, by the model's own mode, and mirrored at its border; the network
sees it in tiles of one shape (`tiling`), one at a time; what comes back is scaled to the range of the raw frames. Where
the device's memory does not suffice the tiles are halved, with a warning, and all time points are computed again, so
that one result has one tiling.

The result depends on the tile: the attention of the network takes statistics of the tile it sees, and its PSF is
estimated per tile. Measured (docs/reconstruction.md) the dependence is small and larger tiles are faster.
"""

import warnings
from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jaxtyping import Float32

from oidn_jax.errors import InputError
from oidn_jax.data.normalisation import fit_min_max
from oidn_jax.models.oidn import SMALLEST_IMAGE
from oidn_jax.models.trained import TrainedModel
from oidn_jax.methods.tiling import Tiling, map_tiles

# Raw pixels mirrored around an image before it is tiled, and cropped after: the zeros that a convolution sees beyond
# the edge of an image with background would draw a dark frame into it.
BORDER = 16

# An image of 256 x 256, mirrored at its border, is one tile.
DEFAULT_TILE, DEFAULT_OVERLAP = 256 + 2 * BORDER, 32

# Backing off ends here: below it, the statistics of a tile have little to do with those of the image.
SMALLEST_BACKED_OFF_TILE = 64

_OUT_OF_MEMORY = ("resource_exhausted", "out of memory")


def default_tiling(model: TrainedModel, *, tile: int | None = None, overlap: int | None = None) -> Tiling:
    """The tiling for a model, filling in what is not given.

    Args:
        model: the trained model.
        tile: raw pixels; None takes the side of the training patches, at least 288.
        overlap: raw pixels; None takes a quarter of the tile, at most 32.

    Raises:
        InputError: for a tile below 16, or an overlap that is negative or not less than half a tile.
    """
    if tile is None:
        tile = max(model.patch, DEFAULT_TILE)
    return Tiling(tile, min(tile // 4, DEFAULT_OVERLAP) if overlap is None else overlap)


def reconstruct(
    raw_frames: np.ndarray,
    model: TrainedModel,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Float32[np.ndarray, "b sr_h sr_w 1"]:
    """Reconstructs raw SIM frames: normalise, network tile by tile, blend, undo the normalisation.

    Args:
        raw_frames: (b, h, w, frames), any real dtype, as the camera gave them (not normalised), orientation slow and
            phase fast; b are time points, each normalised by itself, and h and w are at least 16.
        model: what `oidn_jax.load` gives.
        tile: side of the tiles in raw pixels, at least 16; None takes that of the training patches, at least 288.
        overlap: raw pixels that neighbouring tiles share at least, less than half a tile; None takes a quarter, at
            most 32.
        progress: called after each tile with the number of tiles done and of all. Where memory runs out, both numbers
            start anew.

    Returns:
        (b, scale * h, scale * w, 1), scaled to the range of the raw frames of each time point; not quantitative.

    Raises:
        InputError: (a ValueError) wrong shape, dtype, tile or overlap; NaN or infinite pixels, given or computed; too
            little memory even for tiles of 64 pixels.

    Warns:
        RuntimeWarning: the tiles were halved because memory ran out.
    """
    tiling = default_tiling(model, tile=tile, overlap=overlap)

    def warn(message: str) -> None:
        warnings.warn(message, RuntimeWarning, stacklevel=4)

    return reconstruct_with_tiling(raw_frames, model, tiling, progress=progress, warn=warn)[0]


def reconstruct_with_tiling(
    raw_frames: np.ndarray,
    model: TrainedModel,
    tiling: Tiling,
    *,
    warn: Callable[[str], None],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Float32[np.ndarray, "b sr_h sr_w 1"], Tiling]:
    """Does what `reconstruct` says, and tells the tiling that memory allowed.

    Args:
        raw_frames: see `reconstruct`.
        model: see `reconstruct`.
        tiling: to start with.
        warn: called with one line whenever the tiles are halved.
        progress: see `reconstruct`.

    Returns:
        The images, and the tiling they were computed with.

    Raises:
        InputError: see `reconstruct`.
    """
    _check_frames(raw_frames, model)
    b, h, w, _ = raw_frames.shape
    images = np.empty((b, model.scale * h, model.scale * w, 1), np.float32)
    padded_shape = (h + 2 * BORDER, w + 2 * BORDER)
    while not _fits_into_memory(partial(_reconstruct_into, images, raw_frames, model, tiling, progress)):
        smaller = tiling.smaller(padded_shape, smallest=SMALLEST_BACKED_OFF_TILE)
        side = min(tiling.tile, max(padded_shape))
        if smaller is None:
            raise InputError(
                f"memory ran out with tiles of {side} raw pixels, and tiles are not made "
                f"smaller than {SMALLEST_BACKED_OFF_TILE}; close other programs or use a device with more memory"
            )
        warn(
            f"memory ran out with tiles of {side} raw pixels; starting again with tiles of "
            f"{smaller.tile} (give --tile, or tile=, to start there)"
        )
        tiling = smaller
    if not np.isfinite(images).all():
        raise InputError(
            f"the model gave {np.count_nonzero(~np.isfinite(images))} NaN or infinite pixels; its training may have "
            "diverged: use another checkpoint"
        )
    return images, tiling


def _reconstruct_into(
    images: np.ndarray,
    raw_frames: np.ndarray,
    model: TrainedModel,
    tiling: Tiling,
    progress: Callable[[int, int], None] | None,
) -> None:
    _, h, w, _ = raw_frames.shape
    done, total = 0, len(raw_frames) * tiling.count((h + 2 * BORDER, w + 2 * BORDER))
    inside = slice(model.scale * BORDER, -model.scale * BORDER)

    def network(tile: np.ndarray) -> np.ndarray:
        return np.asarray(model(tile[None]))[0, :, :, 0]

    def count() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    for image, frames in zip(images, raw_frames, strict=True):
        # float32 holds every 16-bit integer; wider pixels are normalised in float64.
        frames = frames.astype(np.result_type(frames.dtype, np.float32))
        normalisation = fit_min_max(frames, mode=model.normalisation)
        normalised = normalisation.apply(frames).astype(np.float32)
        mirrored = np.pad(normalised, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), mode="symmetric")
        blended = map_tiles(network, mirrored, tiling, scale=model.scale, on_tile=count)
        image[...] = normalisation.invert_image(blended[inside, inside, None])


def _fits_into_memory(compute: Callable[[], None]) -> bool:
    """Runs a computation; False when it runs out of memory, by then free of everything the error had kept alive."""
    try:
        compute()
    except MemoryError:
        return False
    except jax.errors.JaxRuntimeError as error:
        if not any(text in str(error).lower() for text in _OUT_OF_MEMORY):
            raise
        return False
    return True


def _check_frames(raw_frames: np.ndarray, model: TrainedModel) -> None:
    if raw_frames.ndim != 4 or raw_frames.shape[-1] != model.frames or not len(raw_frames):
        raise InputError(
            f"raw_frames has the shape {raw_frames.shape}; this model takes (b, h, w, {model.frames}), the frames last "
            "and at least one time point"
        )
    if min(raw_frames.shape[1:3]) < SMALLEST_IMAGE:
        raise InputError(
            f"raw_frames are {raw_frames.shape[1]} x {raw_frames.shape[2]} pixels; the smallest image is "
            f"{SMALLEST_IMAGE} x {SMALLEST_IMAGE}"
        )
    if raw_frames.dtype.kind not in "uif":
        raise InputError(f"raw_frames is of type {raw_frames.dtype}; give integers or real floats")
    if not np.isfinite(raw_frames).all():
        raise InputError(
            f"raw_frames has {np.count_nonzero(~np.isfinite(raw_frames))} NaN or infinite pixels; replace them before "
            "reconstruction"
        )

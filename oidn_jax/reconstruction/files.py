"""Raw files to super-resolved files.

Contract: every input and every output name is checked before anything is computed, and every image appears complete
or not at all. Files go one by one, so memory holds one acquisition. When one fails, the images written before it stay,
and the message says so.
"""

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oidn_jax import __version__
from oidn_jax.data.checks import check_pixels
from oidn_jax.data.errors import InputError
from oidn_jax.data.raw_stack import RawStack, inspect_raw_stack, read_raw_stack
from oidn_jax.data.writers import output_name, write_sr_tiff
from oidn_jax.models.trained import TrainedModel
from oidn_jax.reconstruction.images import BORDER, default_tiling, reconstruct_with_tiling
from oidn_jax.reconstruction.preview import write_preview
from oidn_jax.reconstruction.tiling import Tiling

# A little below what `write_sr_tiff` accepts as ImageJ TIFF.
_LARGEST_IMAGEJ_BYTES = 4_000_000_000
_PIXEL_SIZE_TOLERANCE = 0.05


@dataclass(frozen=True)
class _Job:
    """One acquisition: the raw file, its shape (time, frames, y, x), and what is written for it."""

    source: Path
    shape: tuple[int, int, int, int]
    image: Path
    preview: Path | None

    @property
    def pixels(self) -> int:
        """Raw pixels, which the computing time is proportional to."""
        return self.shape[0] * self.shape[2] * self.shape[3]

    @property
    def outputs(self) -> list[Path]:
        """The files to write."""
        return [path for path in (self.image, self.preview) if path is not None]


def reconstruct_files(
    inputs: Sequence[str | Path],
    model: TrainedModel,
    out: str | Path,
    *,
    frame_order: str = "orientation-phase",
    pixel_size_nm: float | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    preview: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
    warn: Callable[[str], None] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> list[Path]:
    """Reconstructs raw files (TIFF, MRC) into a folder.

    `cell.mrc` becomes `cell_sr.tif` (ImageJ) and `cell.ome.tif` becomes `cell_sr.ome.tif`; an image beyond the 4 GB of
    the ImageJ format becomes an OME-TIFF. The pixel size is that of the raw file divided by the model's scale; the time
    interval is kept; software, weights, normalisation, tiling, frame order, source and optics are in the metadata.

    Args:
        inputs: the raw files, each one acquisition or a time lapse.
        model: what `oidn_jax.load` gives.
        out: folder of the images; made if missing.
        frame_order: of the raw files, "orientation-phase" or "phase-orientation", the slow one first.
        pixel_size_nm: of the raw frames, in place of what the files say.
        tile: see `reconstruct`.
        overlap: see `reconstruct`.
        preview: also write `NAME_sr.png`, widefield beside SR, of the first time point.
        overwrite: replace existing outputs.
        say: called with one line for each image written.
        warn: called with one line for each thing the user should know; None prints it on stderr after `warning: `.
        progress: called with the name of the file at work and the fraction of all work done, 0 to 1.

    Returns:
        The images written, in the order of the inputs.

    Raises:
        InputError: a wrong input, option or output; nothing is written then, unless the message names what is.
    """
    tiling = default_tiling(model, tile=tile, overlap=overlap)
    jobs = [_inspect(Path(path), model, Path(out), preview=preview) for path in inputs]
    _check_outputs(jobs, Path(out), overwrite=overwrite)
    _finish(jobs, _Work(model, frame_order, pixel_size_nm, overwrite, say, warn or _print_warning, progress), tiling)
    return [job.image for job in jobs]


@dataclass(frozen=True)
class _Work:
    """What is the same for all files: the arguments of `reconstruct_files`."""

    model: TrainedModel
    frame_order: str
    pixel_size_nm: float | None
    overwrite: bool
    say: Callable[[str], None]
    warn: Callable[[str], None]
    progress: Callable[[str, float], None] | None


def _print_warning(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _inspect(source: Path, model: TrainedModel, out: Path, *, preview: bool) -> _Job:
    """Checks an input by its headers and names its outputs."""
    network = model.network
    shape = inspect_raw_stack(source, orientations=network.orientations, phases=network.phases)
    name = output_name(source)
    picture = out / re.sub(r"(\.ome)?\.tiff?$", ".png", name)
    n_bytes = 4 * shape[0] * shape[2] * shape[3] * network.scale**2
    if n_bytes > _LARGEST_IMAGEJ_BYTES and name.endswith("_sr.tif"):
        name = f"{name.removesuffix('.tif')}.ome.tif"
    return _Job(source, shape, out / name, picture if preview else None)


def _check_outputs(jobs: Sequence[_Job], out: Path, *, overwrite: bool) -> None:
    """Refuses what could not be written, or would destroy something, before anything is computed."""
    raw_files = {job.source.resolve() for job in jobs}
    owner: dict[Path, Path] = {}
    for job in jobs:
        for path in job.outputs:
            if path in owner:
                raise InputError(
                    f"{owner[path]} and {job.source} would both become {path}; reconstruct them into different folders"
                )
            owner[path] = job.source
            if path.resolve() in raw_files:
                raise InputError(f"{path} is one of the inputs and would be replaced; choose another output folder")
            if path.is_dir():
                raise InputError(f"{path} is a folder, and an image of that name is to be written; move it away")
            if path.exists() and not overwrite:
                raise InputError(f"{path} exists already; choose another output folder or pass --overwrite")
    existing = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    if not existing.is_dir():
        raise InputError(f"{existing} is a file, so the output folder {out} cannot be made; choose another one")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"the output folder {out} cannot be written ({existing} is not writable); choose another one")


def _finish(jobs: Sequence[_Job], work: _Work, tiling: Tiling) -> None:
    """Does the jobs; when one fails, its error also names the images written before it."""
    done, total = 0, sum(job.pixels for job in jobs)
    for number, job in enumerate(jobs):

        def advance(tile: int, tiles: int, job: _Job = job, done: int = done) -> None:
            if work.progress is not None:
                work.progress(job.source.name, (done + job.pixels * tile / tiles) / total)

        try:
            # A tile that memory did not allow once is not tried again for the next file.
            tiling = _run(job, work, tiling, advance=advance)
        except (InputError, MemoryError) as error:
            message = str(error) if isinstance(error, InputError) else f"{job.source} does not fit into memory"
            if number:
                written = ", ".join(str(job.image) for job in jobs[:number])
                message += f" (images written before it, which stay: {written})"
            raise InputError(message) from error
        done += job.pixels


def _run(job: _Job, work: _Work, tiling: Tiling, *, advance: Callable[[int, int], None]) -> Tiling:
    """Reads, checks, reconstructs and writes one acquisition; gives the tiling that memory allowed."""
    network = work.model.network
    stack = read_raw_stack(
        job.source,
        orientations=network.orientations,
        phases=network.phases,
        frame_order=work.frame_order,
        pixel_size_nm=work.pixel_size_nm,
    )
    for message in check_pixels(stack, orientations=network.orientations, phases=network.phases):
        work.warn(message)
    _warn_of_pixel_size(stack, network.pixel_size_nm, warn=work.warn)

    raw_frames = stack.frames.transpose(0, 2, 3, 1)
    images, tiling = reconstruct_with_tiling(
        raw_frames, work.model, tiling, progress=advance, warn=lambda message: work.warn(f"{job.source}: {message}")
    )
    pixel_size_nm = None if stack.pixel_size_nm is None else stack.pixel_size_nm / network.scale
    write_sr_tiff(
        job.image,
        images[..., 0],
        pixel_size_nm=pixel_size_nm,
        time_interval_s=stack.time_interval_s,
        provenance=_provenance(stack, work, tiling),
        overwrite=work.overwrite,
    )
    if job.preview is not None:
        first = raw_frames[0], images[0, ..., 0]
        write_preview(job.preview, *first, pixel_size_nm=stack.pixel_size_nm, overwrite=work.overwrite)
    size = " x ".join(str(n) for n in (images.shape[:3] if len(images) > 1 else images.shape[1:3]))
    pixel = "pixel size unknown" if pixel_size_nm is None else f"{pixel_size_nm:g} nm per pixel"
    work.say(f"{job.image}: {size} pixels, {pixel}")
    return tiling


def _warn_of_pixel_size(stack: RawStack, trained_nm: float, *, warn: Callable[[str], None]) -> None:
    found_nm = stack.pixel_size_nm
    if found_nm is None:
        warn(
            f"{stack.source} does not say its pixel size, so the SR image has none; give that of the raw frames with "
            f"--pixel-size-nm (the model was trained at {trained_nm:g} nm)"
        )
    elif abs(found_nm - trained_nm) > _PIXEL_SIZE_TOLERANCE * trained_nm:
        warn(
            f"{stack.source} has pixels of {found_nm:g} nm, but the model was trained at {trained_nm:g} nm "
            f"({100 * (found_nm / trained_nm - 1):+.0f} %); the result is not reliable: train a model for this "
            "pixel size, or correct it with --pixel-size-nm if the file is wrong"
        )


def _provenance(stack: RawStack, work: _Work, tiling: Tiling) -> dict[str, Any]:
    height, width = (int(n) for n in np.minimum(np.add(stack.frames.shape[2:], 2 * BORDER), tiling.tile))
    return {
        "software": "oidn_jax",
        "version": __version__,
        "source": stack.source.name,
        "weights": dict(work.model.origin),
        "normalisation": work.model.normalisation,
        "tile": [height, width],
        "overlap": tiling.overlap,
        "frame_order": work.frame_order,
        "optics": dict(work.model.config.get("optics", {})),
    }

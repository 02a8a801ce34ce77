"""Raw files to super-resolved files.

Contract: every input and every output name is checked before anything is computed, and every image appears complete
or not at all. Files go one by one, so memory holds one acquisition. When one fails, the images written before it stay,
and the message says so.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oidn_jax import __version__
from oidn_jax.optics.microscope import Microscope
from oidn_jax.acquisition.checks import check_pixels
from oidn_jax.errors import InputError
from oidn_jax.data.raw_stack import RawStack, read_raw_stack
from oidn_jax.data.writers import write_sr_tiff
from oidn_jax.acquisition.acquisition import Acquisition
from oidn_jax.reconstruction.diagnostics import write_diagnostics
from oidn_jax.acquisition.illumination_file import write_illumination
from oidn_jax.reconstruction.jobs import Job, Outputs, Reading, Talk, Work, check_outputs, check_work, inspect
from oidn_jax.reconstruction.methods import ClassicalMethod, GivenImage, Method, NetworkMethod
from oidn_jax.figures.preview import write_preview
from oidn_jax.reconstruction.trust import on_our_grid, write_trust

_PIXEL_SIZE_TOLERANCE = 0.05


def reconstruct_files(
    inputs: Sequence[str | Path],
    method: Method,
    out: str | Path,
    *,
    microscope: Microscope,
    reading: Reading = Reading(),  # noqa: B008 -- immutable
    outputs: Outputs = Outputs(),  # noqa: B008 -- immutable
    talk: Talk = Talk(),  # noqa: B008 -- immutable
) -> list[Path]:
    """Reconstructs raw files (TIFF, MRC) into a folder.

    `cell.mrc` becomes `cell_sr.tif` (ImageJ) and `cell.ome.tif` becomes `cell_sr.ome.tif`; an image beyond the 4 GB of
    the ImageJ format becomes an OME-TIFF. The pixel size is that of the raw file divided by the scale; the time
    interval is kept; software, method, frame order, source and optics are in the metadata. Where the illumination is
    estimated it is written as `cell_sr_illumination.json`.

    Args:
        inputs: the raw files, each one acquisition or a time lapse.
        method: a `NetworkMethod`, a `ClassicalMethod`, or a `GivenImage` to be judged.
        out: folder of the images; made if missing.
        microscope: what recorded the frames.
        reading: of the files.
        outputs: what to write besides the images.
        talk: where messages go.

    Returns:
        The images written, in the order of the inputs; with a `GivenImage`, the trust maps.

    Raises:
        InputError: a wrong input, option or output; nothing is written then, unless the message names what is.
    """
    work = Work(method, microscope, reading, outputs, talk)
    check_work(work)
    jobs = [inspect(Path(path), work, Path(out)) for path in inputs]
    check_outputs(jobs, Path(out), work)
    _finish(jobs, work)
    return [job.image or job.maps for job in jobs]


def _finish(jobs: Sequence[Job], work: Work) -> None:
    """Does the jobs; when one fails, its error also names the images written before it."""
    done, total = 0, sum(job.pixels for job in jobs)
    for number, job in enumerate(jobs):

        def advance(part: int, parts: int, job: Job = job, done: int = done) -> None:
            work.talk.progress(job.source.name, (done + job.pixels * part / parts) / total)

        try:
            _run(job, work, advance=advance)
        except (InputError, MemoryError) as error:
            message = str(error) if isinstance(error, InputError) else f"{job.source} does not fit into memory"
            if number:
                written = ", ".join(str(job.image or job.source) for job in jobs[:number])
                message += f" (images written before it, which stay: {written})"
            raise InputError(message) from error
        done += job.pixels


def _run(job: Job, work: Work, *, advance: Callable[[int, int], None]) -> None:
    """Reads, checks, reconstructs and writes one acquisition."""
    microscope, reading, warn = work.microscope, work.reading, work.talk.warn
    layout = {"orientations": microscope.orientations, "phases": microscope.phases}
    stack = read_raw_stack(job.source, **layout, frame_order=reading.frame_order, pixel_size_nm=reading.pixel_size_nm)
    for message in check_pixels(stack, **layout):
        warn(message)
    _warn_of_pixel_size(stack, work)
    acquisition = Acquisition(stack, microscope, reading.camera, reading.known, warn)
    if work.needs_illumination:
        _ = acquisition.estimate  # what is wrong with it must be said before anything is written
    images = work.method(acquisition, progress=advance)
    if not np.isfinite(images).all():
        raise InputError(
            f"{job.source} gave {np.count_nonzero(~np.isfinite(images))} NaN or infinite pixels; check the numbers of "
            "the microscope and the method"
        )
    _write(job, work, acquisition, images)


def _write(job: Job, work: Work, acquisition: Acquisition, images: np.ndarray) -> None:
    stack, overwrite = acquisition.stack, work.outputs.overwrite
    provenance = _provenance(acquisition, work)
    raw_nm = stack.pixel_size_nm
    pixel_size_nm = None if raw_nm is None else raw_nm / work.microscope.scale
    if job.image is not None:
        write_sr_tiff(
            job.image,
            images,
            pixel_size_nm=pixel_size_nm,
            time_interval_s=stack.time_interval_s,
            provenance=provenance,
            overwrite=overwrite,
        )
        size = " x ".join(str(n) for n in (images.shape if len(images) > 1 else images.shape[1:]))
        pixel = "pixel size unknown" if pixel_size_nm is None else f"{pixel_size_nm:g} nm per pixel"
        work.talk.say(f"{job.image}: {size} pixels, {pixel}")
    if job.preview is not None:
        first = stack.frames[0].transpose(1, 2, 0), images[0]
        write_preview(job.preview, *first, pixel_size_nm=raw_nm, overwrite=overwrite)
    if job.illumination is not None:
        write_illumination(
            job.illumination,
            acquisition.estimate,
            frame_size=acquisition.frame_size,
            pixel_size_nm=acquisition.pixel_size_nm,
            provenance={"source": stack.source.name, "optics": work.microscope.describe()},
            warnings=acquisition.warnings,
            overwrite=overwrite,
        )
    if job.diagnostics is not None:
        write_diagnostics(
            job.diagnostics,
            acquisition.light(0),
            images[0],
            estimate=acquisition.estimate,
            otf=acquisition.otf,
            **_drawn_method(work.method, acquisition),
            pixel_size_nm=raw_nm,
            warnings=acquisition.warnings,
            overwrite=overwrite,
        )
    if job.trust is not None:
        if isinstance(work.method, GivenImage):
            images = on_our_grid(images, acquisition)
        summary = write_trust(job.trust, images, acquisition, provenance=provenance, overwrite=overwrite)
        work.talk.say(f"{job.trust.maps}: {summary['verdict']}")


def _drawn_method(method: Method, acquisition: Acquisition) -> dict[str, Any]:
    """Name and options, for the effective OTF."""
    if isinstance(method, ClassicalMethod):
        return {"method": method.name, "options": method.options_for(acquisition)}
    return {"method": method.name}


def _warn_of_pixel_size(stack: RawStack, work: Work) -> None:
    found_nm, expected_nm, warn = stack.pixel_size_nm, work.microscope.pixel_size_nm, work.talk.warn
    network = isinstance(work.method, NetworkMethod)
    if found_nm is None:
        used = f"the model was trained at {expected_nm:g} nm" if network else f"{expected_nm:g} nm is assumed"
        warn(
            f"{stack.source} does not say its pixel size, so the SR image has none; give that of the raw frames with "
            f"--pixel-size-nm ({used})"
        )
    elif network and abs(found_nm - expected_nm) > _PIXEL_SIZE_TOLERANCE * expected_nm:
        warn(
            f"{stack.source} has pixels of {found_nm:g} nm, but the model was trained at {expected_nm:g} nm "
            f"({100 * (found_nm / expected_nm - 1):+.0f} %); the result is not reliable: train a model for this "
            "pixel size, or correct it with --pixel-size-nm if the file is wrong"
        )


def _provenance(acquisition: Acquisition, work: Work) -> dict[str, Any]:
    return {
        "software": "oidn_jax",
        "version": __version__,
        "source": acquisition.stack.source.name,
        "method": work.method.name,
        "frame_order": work.reading.frame_order,
        **work.method.provenance(acquisition),
    }

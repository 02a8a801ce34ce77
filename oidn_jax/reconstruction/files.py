"""Raw files to super-resolved files.

Contract: every input and every output name is checked before anything is computed, and every image appears complete
or not at all. Files go one by one and time points one by one, so memory holds one time point. When one fails, the
images written before it stay, and the message says so.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from oidn_jax.acquisition import Acquisition
from oidn_jax.acquisition.illumination_file import write_illumination
from oidn_jax.data.writers import open_sr_tiff
from oidn_jax.errors import InputError
from oidn_jax.figures.preview import save_preview
from oidn_jax.methods import ClassicalMethod, GivenImage, Image, Method, NetworkMethod
from oidn_jax.optics.microscope import Microscope
from oidn_jax.reconstruction.diagnostics import write_diagnostics
from oidn_jax.reconstruction.jobs import (
    Job,
    Messages,
    Outputs,
    Reading,
    Work,
    check_outputs,
    check_work,
    inspect,
    open_acquisition,
)
from oidn_jax.reconstruction.trust import TrustWriter, fits_better_moved, on_our_grid
from oidn_jax.version import __version__

_PIXEL_SIZE_TOLERANCE = 0.05


def reconstruct_files(
    inputs: Sequence[str | Path],
    method: Method,
    out: str | Path,
    *,
    microscope: Microscope,
    reading: Reading | None = None,
    outputs: Outputs | None = None,
    messages: Messages | None = None,
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
        microscope: what recorded the frames; its pixel size holds where a file tells none.
        reading: of the files.
        outputs: what to write besides the images.
        messages: where they go.

    Returns:
        The images written, in the order of the inputs; with a `GivenImage`, the trust maps.

    Raises:
        InputError: a wrong input, setting or output; nothing is written then, unless the message names what is.
    """
    work = Work(method, microscope, reading or Reading(), outputs or Outputs(), messages or Messages())
    check_work(work)
    jobs = [inspect(Path(path), work, Path(out)) for path in inputs]
    check_outputs(jobs, Path(out), work)
    for remark in work.reading.remarks:
        work.messages.warn(remark)
    done, total = 0, sum(job.pixels for job in jobs)
    for number, job in enumerate(jobs):

        def advance(fraction: float, job: Job = job, done: int = done) -> None:
            work.messages.progress(job.source.name, (done + job.pixels * fraction) / total)

        try:
            _run(job, work, advance)
        except (InputError, MemoryError) as error:
            message = str(error) if isinstance(error, InputError) else f"{job.source} does not fit into memory"
            if number:
                written = ", ".join(str(job.result) for job in jobs[:number])
                message += f" (images written before it, which stay: {written})"
            raise InputError(message) from error
        done += job.pixels
    return [job.result for job in jobs]


def _run(job: Job, work: Work, advance: Callable[[float], None]) -> None:
    """Reads, checks, reconstructs and writes one acquisition."""
    acquisition = open_acquisition(job.source, work)
    _warn_of_pixel_size(acquisition, work)
    acquisition.check()
    if work.needs_illumination:
        _ = acquisition.estimate  # what is wrong with it must be said before anything is written
    image = work.method(acquisition, 0, progress=lambda part, parts: advance(part / parts / acquisition.times))
    provenance = {
        "software": "oidn_jax",
        "version": __version__,
        "source": job.source.name,
        "method": work.method.name,
        "frame_order": work.reading.frame_order,
        "optics_from": work.reading.optics_from,
        **image.provenance,
    }
    _write_images(job, work, acquisition, image, provenance, advance)
    _write_about_first(job, work, acquisition, image)


def _write_images(
    job: Job,
    work: Work,
    acquisition: Acquisition,
    first: Image,
    provenance: dict[str, Any],
    advance: Callable[[float], None],
) -> None:
    """The images of all time points and their trust maps, as they are made."""
    stack, times, raw_nm = acquisition.stack, acquisition.times, acquisition.stack.pixel_size_nm
    fine_nm = None if raw_nm is None else raw_nm / work.microscope.scale
    moved = isinstance(work.method, GivenImage) and fits_better_moved(first.pixels, acquisition)
    remarks: set[str] = set()
    with ExitStack() as files:
        image_file = trust = None
        if job.image is not None:
            image_file = files.enter_context(
                open_sr_tiff(
                    job.image,
                    shape=(times, *acquisition.fine_size),
                    pixel_size_nm=fine_nm,
                    time_interval_s=stack.time_interval_s,
                    provenance=provenance,
                    overwrite=work.outputs.overwrite,
                )
            )
        if job.trust is not None:
            trust = files.enter_context(
                TrustWriter(job.trust, acquisition, provenance=provenance, overwrite=work.outputs.overwrite)
            )
        for time in range(times):

            def count(part: int, parts: int, time: int = time) -> None:
                advance((time + part / parts) / times)

            image = first if time == 0 else work.method(acquisition, time, progress=count)
            for remark in image.remarks:
                if remark not in remarks:
                    acquisition.warn(remark)
                    remarks.add(remark)
            if image_file is not None:
                image_file.write(image.pixels)
            if trust is not None:
                trust.write(on_our_grid(image.pixels, acquisition) if moved else image.pixels, time)
    if job.image is not None:
        size = " x ".join(str(n) for n in ((times,) if times > 1 else ()) + acquisition.fine_size)
        pixel = "pixel size unknown" if fine_nm is None else f"{fine_nm:g} nm per pixel"
        work.messages.say(f"{job.image}: {size} pixels, {pixel}")
    if job.trust is not None and trust is not None:
        work.messages.say(f"{job.trust.maps}: {trust.verdict}")


def _write_about_first(job: Job, work: Work, acquisition: Acquisition, image: Image) -> None:
    """What is written about the first time point: preview, illumination, diagnostics."""
    stack, overwrite = acquisition.stack, work.outputs.overwrite
    raw_nm = stack.pixel_size_nm
    if job.preview is not None:
        save_preview(
            job.preview,
            stack.read(0).mean(axis=0, dtype=np.float64),
            image.pixels,
            pixel_size_nm=None if raw_nm is None else raw_nm / work.microscope.scale,
            overwrite=overwrite,
        )
    if job.illumination is not None:
        write_illumination(
            job.illumination,
            acquisition.estimate,
            frame_size=acquisition.frame_size,
            pixel_size_nm=acquisition.microscope.pixel_size_nm,
            provenance={
                "source": stack.source.name,
                "optics": acquisition.microscope.describe(),
                "optics_from": work.reading.optics_from,
            },
            warnings=acquisition.warnings,
            overwrite=overwrite,
        )
    if job.diagnostics is not None:
        options = work.method.options(acquisition.microscope) if isinstance(work.method, ClassicalMethod) else None
        write_diagnostics(
            job.diagnostics,
            acquisition,
            image.pixels,
            method=work.method.name,
            label=work.method.label,
            options=options,
            overwrite=overwrite,
        )


def _warn_of_pixel_size(acquisition: Acquisition, work: Work) -> None:
    file_nm = acquisition.stack.pixel_size_nm
    trained_nm = work.method.model.microscope.pixel_size_nm if isinstance(work.method, NetworkMethod) else None
    if file_nm is None:
        used = f"{work.microscope.pixel_size_nm:g} nm is assumed"
        used = used if trained_nm is None else f"the model was trained at {trained_nm:g} nm"
        acquisition.warn(
            "the file does not say its pixel size, so the SR image has none; give that of the raw frames as "
            f"`pixel_size_nm` ({used})"
        )
    elif trained_nm is not None and abs(file_nm - trained_nm) > _PIXEL_SIZE_TOLERANCE * trained_nm:
        acquisition.warn(
            f"the pixels are {file_nm:g} nm, but the model was trained at {trained_nm:g} nm "
            f"({100 * (file_nm / trained_nm - 1):+.0f} %); the result is not reliable: train a model for this pixel "
            "size, or correct it with `pixel_size_nm` if the file is wrong"
        )

"""Raw files to super-resolved files.

Contract: every input and every output name is checked before anything is computed, and every image appears complete
or not at all. Files go one by one and time points one by one, so memory holds one time point. When one fails, the
images written before it stay, and the message says so. With workers, files go to them, and those that are right do not
wait for those that are not; the bits are the same.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from oidn_jax.acquisition import Acquisition, GroupingError
from oidn_jax.acquisition.illumination_file import write_illumination
from oidn_jax.data.atomic import remove_leftovers_of
from oidn_jax.data.folder_lock import locked
from oidn_jax.data.image_file import common_name
from oidn_jax.data.raw_stack import RawStack, gather
from oidn_jax.data.workers import Workers, spread
from oidn_jax.data.writers import ImageWriter, open_sr_tiff
from oidn_jax.errors import InputError, WriteError
from oidn_jax.figures.preview import save_preview
from oidn_jax.methods import ClassicalMethod, GivenImage, Image, Method, NetworkMethod
from oidn_jax.optics.microscope import Microscope
from oidn_jax.reconstruction.diagnostics import write_diagnostics
from oidn_jax.reconstruction.jobs import (
    Beside,
    Job,
    Messages,
    Outputs,
    Reading,
    Work,
    channels_of,
    check_outputs,
    check_work,
    decide_frame_axis,
    fitting_groupings,
    for_channel,
    inspect,
    open_stack,
)
from oidn_jax.reconstruction.trust import TrustWriter, fits_better_moved, on_our_grid
from oidn_jax.version import __version__

_PIXEL_SIZE_TOLERANCE = 0.05
_CONTRADICTED = 1.1
_EXPECTED_ERROR = "expected absolute error of each pixel, in the unit of the image"


def reconstruct_files(
    inputs: Sequence[str | Path],
    method: Method | Sequence[Method],
    out: str | Path,
    *,
    microscope: Microscope | Sequence[Microscope],
    reading: Reading | None = None,
    outputs: Outputs | None = None,
    messages: Messages | None = None,
    workers: Workers | None = None,
) -> list[Path]:
    """Reconstructs raw files (TIFF, MRC) into a folder.

    `cell.mrc` becomes `cell_sr.tif` (ImageJ) and `cell.ome.tif` becomes `cell_sr.ome.tif`; an image beyond the 4 GB of
    the ImageJ format becomes an OME-TIFF. The pixel size is that of the raw file divided by the scale; time interval,
    slices with their distance, and channels with their names and colours are kept; software, method, frame order,
    source and optics are in the metadata. Where the illumination is estimated it is written as
    `cell_sr_illumination.json`, for each channel of several as `cell_sr_c1_illumination.json`. Each position of several
    becomes a file, `cell_sr_p1.tif`.

    Args:
        inputs: the raw files, each one acquisition or a time lapse; or, where each holds one image and they are as many
            as an acquisition has frames or a multiple, the frames of one.
        method: a `NetworkMethod`, a `ClassicalMethod`, or a `GivenImage` to be judged; several are of one channel each.
        out: folder of the images; made if missing.
        microscope: what recorded the frames; its pixel size holds where a file tells none. Several are of one channel
            each.
        reading: of the files.
        outputs: what to write besides the images.
        messages: where they go.
        workers: who does it; None for this process. They must find files under the same paths as this process. What is
            wrong with one file is then a warning, the others go on, and at the end an error tells how many are missing.

    Returns:
        The images, in the order of the inputs, with `resume` also those that were there; with a `GivenImage`, the
        trust maps.

    Raises:
        InputError: a wrong input, setting or output; nothing is written then, unless the message names what is.
    """
    work = _work(method, microscope, reading, outputs, messages)
    mistakes: list[str] | None = None if workers is None else []
    every = _jobs(inputs, work, Path(out), mistakes)
    jobs = check_outputs(every, Path(out), work)
    _warn_of_missing(jobs, work)
    if work.outputs.resume:
        work.messages.say(f"{len(every) - len(jobs)} of {len(every)} images are there already; {len(jobs)} are made")
    if work.outputs.resume or workers is not None:
        # What is there of a job is its own, as has been looked at, or of a process that died over it.
        work = replace(work, outputs=replace(work.outputs, overwrite=True))
    if workers is None or mistakes is None:
        _one_by_one(jobs, work)
    else:
        _spread(jobs, work, workers, Path(out), mistakes)
    return [job.result for job in every]


def _one_by_one(jobs: Sequence[Job], work: Work) -> None:
    done, total = 0, sum(job.pixels for job in jobs)
    for number, job in enumerate(jobs):

        def advance(fraction: float, job: Job = job, done: int = done) -> None:
            work.messages.progress(job.name.name, (done + job.pixels * fraction) / total)

        try:
            _run(job, work, advance)
        except (InputError, MemoryError) as error:
            message = _mistake(error, job)
            if number:
                written = ", ".join(str(job.result) for job in jobs[:number])
                message += f" (images written before it, which stay: {written})"
            raise (WriteError if isinstance(error, WriteError) else InputError)(message) from error
        done += job.pixels


def _mistake(error: InputError | MemoryError, job: Job) -> str:
    return str(error) if isinstance(error, InputError) else f"{job.name} does not fit into memory"


@dataclass(frozen=True)
class _Outcome:
    """What a worker has to tell of a job.

    Attributes:
        lines: whether each is a warning, and the line.
        mistake: that ended it.
        disk: whether it is one of the disk, which the next file would meet too.
    """

    lines: Sequence[tuple[bool, str]]
    mistake: str | None = None
    disk: bool = False


def _run_on_worker(work: Work, job: Job) -> _Outcome:
    lines: list[tuple[bool, str]] = []
    messages = Messages(lambda line: lines.append((False, line)), lambda line: lines.append((True, line)))
    try:
        _run(job, replace(work, messages=messages), lambda fraction: None)
    except (InputError, MemoryError) as error:
        return _Outcome(lines, _mistake(error, job), isinstance(error, WriteError))
    return _Outcome(lines)


def _spread(jobs: Sequence[Job], work: Work, workers: Workers, out: Path, mistakes: list[str]) -> None:
    """The jobs on workers; `mistakes` are of files that made no job.

    Raises:
        InputError: some files could not be reconstructed; or as `workers.spread`.
        WriteError: a full disk, with jobs left undone.
        Exception: a bug of ours, when all others have ended.
    """
    messages, total, files = work.messages, sum(job.pixels for job in jobs), len(jobs) + len(mistakes)
    done: list[Job] = []
    bug: Exception | None = None
    for line in mistakes:
        messages.warn(line)
    if jobs:
        results = spread(
            _run_on_worker, replace(work, messages=Messages()), jobs, workers, folder=out, warn=messages.warn
        )
        with locked(out, messages.warn, setting="out"), closing(results):
            pixels = 0
            messages.progress(f"0 of {len(jobs)} images", 0.0)
            for count, (number, outcome) in enumerate(results, start=1):
                job = jobs[number]
                if isinstance(outcome, InputError):
                    outcome = _Outcome((), str(outcome))
                if isinstance(outcome, Exception):
                    bug = bug or outcome
                    outcome = _Outcome((), f"an error of this program ({type(outcome).__name__}), told at the end")
                for is_warning, line in outcome.lines:
                    (messages.warn if is_warning else messages.say)(line)
                if outcome.disk:
                    raise WriteError(f"{outcome.mistake} ({len(done)} images are written, and stay)")
                if outcome.mistake is None:
                    done.append(job)
                else:
                    mistakes.append(_with_name(job.name, outcome.mistake))
                    messages.warn(mistakes[-1])
                pixels += job.pixels
                messages.progress(f"{count} of {len(jobs)} images", pixels / total)
            # A machine that failed has left its own, which no other one could tell from what is being written.
            remove_leftovers_of(path for job in done for path in job.outputs)
    if bug is not None:
        raise bug
    _check_seen(done, out)
    if mistakes:
        raise InputError(
            f"{len(mistakes)} of {files} files could not be reconstructed, for the reasons above; the others are"
        )


def _with_name(name: Path, message: str) -> str:
    return message if str(name) in message else f"{name}: {message}"


def _check_seen(done: Sequence[Job], out: Path) -> None:
    there = {path.name for path in out.iterdir()} if done and out.is_dir() else set()
    unseen = [job.result for job in done if job.result.name not in there]
    if unseen:
        raise InputError(
            f"{len(unseen)} images that workers have written are not there, the first {unseen[0]}; give as `out` a "
            "folder on a disk that this machine and the workers share"
        )


def open_acquisitions(
    inputs: Sequence[str | Path],
    method: Method | Sequence[Method],
    *,
    microscope: Microscope | Sequence[Microscope],
    reading: Reading | None = None,
    messages: Messages | None = None,
) -> list[Acquisition]:
    """The acquisitions that `reconstruct_files` would make images of, checked as there: each position and channel.

    Args:
        inputs: as there.
        method: likewise; it is asked for no image.
        microscope: likewise.
        reading: likewise.
        messages: where warnings go.

    Raises:
        InputError: a wrong input or setting.
    """
    work = _work(method, microscope, reading, None, messages)
    jobs = _jobs(inputs, work, Path())
    _warn_of_missing(jobs, work)
    return [acquisition for job in jobs for acquisition in _opened(job, work)[2]]


def _work(
    method: Method | Sequence[Method],
    microscope: Microscope | Sequence[Microscope],
    reading: Reading | None,
    outputs: Outputs | None,
    messages: Messages | None,
) -> Work:
    """What is the same for all files, checked."""
    methods = tuple(method) if isinstance(method, Sequence) else (method,)
    microscopes = (microscope,) if isinstance(microscope, Microscope) else tuple(microscope)
    work = Work(methods, microscopes, reading or Reading(), outputs or Outputs(), messages or Messages())
    check_work(work)
    return work


def _jobs(inputs: Sequence[str | Path], work: Work, out: Path, mistakes: list[str] | None = None) -> list[Job]:
    """The positions of all files.

    Args:
        inputs: the files.
        work: what is the same for all.
        out: folder of the images.
        mistakes: takes what is wrong with a file, where others are right; None raises it.
    """
    frames = work.microscope.frames + (work.reading.widefield_frame is not None)
    sources = gather(inputs, frames=1 if work.reading.frame_order == "montage" else frames)
    jobs, first = list[Job](), None
    for source in sources:
        try:
            jobs += inspect(source, work, out)
        except InputError as error:
            if mistakes is None:
                raise
            first = first or error
            name = common_name(source) if isinstance(source, tuple) else source
            mistakes.append(_with_name(name, str(error)))
    if first is not None and not jobs:
        raise first
    return jobs


def _warn_of_missing(jobs: Sequence[Job], work: Work) -> None:
    """What of the optics nobody gave."""
    missing = dict.fromkeys(text for job in jobs for text in job.missing)
    if missing and work.needs_illumination:
        work.messages.warn(
            f"nobody gave all of the optics, so these are assumed: {', '.join(missing)}; give `na` and "
            "`emission_nm`, or a `config`"
        )


def _opened(job: Job, work: Work) -> tuple[Work, RawStack, list[Acquisition]]:
    """One position of a file, its channels checked, and the work with the axis of its frames."""
    work = replace(work, reading=replace(work.reading, frame_axis=decide_frame_axis(job, work)))
    stack = open_stack(job.source, work, work.reading.frame_axis).position(job.position or 0)
    channels = channels_of(stack, work, job.position)
    _warn_of_pixel_size(channels[0], work)
    _warn_of_optics(stack, channels, work)
    for acquisition in channels:
        _check(acquisition, job, work)
    return work, stack, channels


def _check(acquisition: Acquisition, job: Job, work: Work) -> None:
    """Pixels, stripes and grouping of a channel: what is wrong must be said before anything is written."""
    acquisition.check(movement=work.depends_on_optics or work.reading.correct_drift)
    try:
        if work.needs_illumination:
            _ = acquisition.estimate
        acquisition.check_grouping()
    except GroupingError as error:
        fitting = fitting_groupings(job, work)
        words = f"; the stripes agree with {' and with '.join(fitting)}" if fitting else ""
        raise InputError(f"{error}{words}") from error


def _run(job: Job, work: Work, advance: Callable[[float], None]) -> None:
    """Reads, checks, reconstructs and writes the channels of one position of a file."""
    work, stack, channels = _opened(job, work)
    firsts = [
        for_channel(work.methods, number)(
            acquisition, 0, progress=lambda part, parts: advance(part / parts / job.shape[0])
        )
        for number, acquisition in enumerate(channels)
    ]
    provenances = [
        _provenance(job, work, stack, number) | _drift(channels[number]) | dict(image.provenance)
        for number, image in enumerate(firsts)
    ]
    _write_images(job, work, channels, firsts, provenances, advance)
    for number, (beside, acquisition, image) in enumerate(zip(job.channels, channels, firsts, strict=True)):
        method, source = for_channel(work.methods, number), provenances[number]["optics_from"]
        _write_about_first(beside, work, method, acquisition, image, source)


def _drift(acquisition: Acquisition) -> dict[str, Any]:
    """For the provenance: the drift that was undone, of the brightest time point."""
    return {"drift_undone_px": acquisition.frames.drift.shift.tolist()} if acquisition.frames.correct_drift else {}


def _provenance(job: Job, work: Work, stack: RawStack, number: int) -> dict[str, Any]:
    """How the image of a channel is made, as far as the method does not say; without what does not apply."""
    reading = work.reading
    entries = {
        "software": "oidn_jax",
        "version": __version__,
        "source": job.name.name,
        "files": [path.name for path in job.inputs] if len(job.inputs) > 1 else None,
        "position": None if job.position is None else job.position + 1,
        "channel": stack.channels[number].name,
        "method": for_channel(work.methods, number).name,
        "frame_order": reading.frame_order,
        "frame_axis": reading.frame_axis,
        "widefield_frame": reading.widefield_frame,
        "flip_y": stack.bottom_first or None,
        "camera_maps": reading.camera.describe_maps() or None,
        "optics_from": work.optics(stack, number).describe_sources(reading.optics_from),
        "fingerprint": dict(job.fingerprint),
    }
    return {name: value for name, value in entries.items() if value is not None}


def _warn_of_optics(stack: RawStack, channels: Sequence[Acquisition], work: Work) -> None:
    """Where the file contradicts the optics that are used, and where several channels have to share them."""
    if not work.depends_on_optics:
        return
    for number, acquisition in enumerate(channels):
        line = work.optics(stack, number).contradiction
        if line is not None:
            acquisition.warn(line)
    first, told = channels[0].microscope, [work.optics(stack, number).told for number in range(len(channels))]
    if len(channels) > 1 and len(work.microscopes) == 1 and not any("emission_wavelength_nm" in each for each in told):
        channels[0].warn(
            f"the file has {len(channels)} channels; each gets an illumination of its own, but all are taken with NA "
            f"{first.na:g} and emission at {first.emission_wavelength_nm:g} nm; give one for each as `emission_nm`"
        )


def _write_images(
    job: Job,
    work: Work,
    channels: Sequence[Acquisition],
    firsts: Sequence[Image],
    provenances: Sequence[dict[str, Any]],
    advance: Callable[[float], None],
) -> None:
    """All images, channel fast and time slow, and their trust maps, as they are made."""
    stack = channels[0].stack
    layout = stack.layout._replace(channels=len(channels))
    fine_nm = None if stack.pixel_size_nm is None else stack.pixel_size_nm / work.microscope.scale
    provenance = dict(provenances[0])
    if len(channels) > 1:
        provenance = {**provenance, "channel": "all", "channels": list(provenances)}
    moved = [
        isinstance(work.method, GivenImage) and fits_better_moved(first.pixels, acquisition)
        for first, acquisition in zip(firsts, channels, strict=True)
    ]
    remarks: set[tuple[int, str]] = set()
    with ExitStack() as files:
        trusts = []

        def opened(path: Path | None, provenance: dict[str, Any]) -> ImageWriter | None:
            if path is None:
                return None
            file = open_sr_tiff(
                path,
                shape=(job.shape[0], *channels[0].fine_size),
                pixel_size_nm=fine_nm,
                layout=layout,
                time_interval_s=stack.time_interval_s,
                z_spacing_nm=stack.images.z_spacing_nm,
                channels=[acquisition.stack.channels[0] for acquisition in channels],
                provenance=provenance,
                overwrite=work.outputs.overwrite,
            )
            return files.enter_context(file)

        image_file = opened(job.image, provenance)
        error_file = opened(job.error, {"quantity": _EXPECTED_ERROR, **provenance})
        for beside, acquisition, own in zip(job.channels, channels, provenances, strict=True):
            if beside.trust is not None:
                writer = TrustWriter(beside.trust, acquisition, provenance=own, overwrite=work.outputs.overwrite)
                trusts.append(files.enter_context(writer))
        for number in range(job.shape[0]):
            time, channel = divmod(number, len(channels))
            acquisition = channels[channel]

            def count(part: int, parts: int, number: int = number) -> None:
                advance((number + part / parts) / job.shape[0])

            method = for_channel(work.methods, channel)
            image = firsts[channel] if time == 0 else method(acquisition, time, progress=count)
            for remark in image.remarks:
                if (channel, remark) not in remarks:
                    acquisition.warn(remark)
                    remarks.add((channel, remark))
            if image_file is not None:
                image_file.write(stack.as_shown(image.pixels))
            if error_file is not None:
                assert image.error is not None, "checked before"
                error_file.write(stack.as_shown(image.error))
            if trusts:
                pixels = on_our_grid(image.pixels, acquisition) if moved[channel] else image.pixels
                trusts[channel].write(pixels, time, error=image.error, guide=image.guide)
    if job.image is not None:
        lengths = (layout.times, layout.slices, layout.channels)
        size = " x ".join(str(n) for n in (*(n for n in lengths if n > 1), *channels[0].fine_size))
        pixel = "pixel size unknown" if fine_nm is None else f"{fine_nm:g} nm per pixel"
        work.messages.say(f"{job.image}: {size} pixels, {pixel}")
    if job.error is not None:
        work.messages.say(f"{job.error}: {_EXPECTED_ERROR}")
    for beside, trust, acquisition in zip(job.channels, trusts, channels, strict=False):
        assert beside.trust is not None
        if trust.worst_chi_square > _CONTRADICTED:
            acquisition.warn(
                f"the reduced chi-square is {trust.worst_chi_square:.2f}, above {_CONTRADICTED:g}: the frames "
                "contradict the image by more than their noise; the trust map shows where"
            )
        work.messages.say(f"{beside.trust.maps}: {trust.verdict}")


def _write_about_first(
    beside: Beside, work: Work, method: Method, acquisition: Acquisition, image: Image, optics_from: str
) -> None:
    """What is written about the first image of a channel: preview, illumination, diagnostics."""
    stack, overwrite, maps = acquisition.stack, work.outputs.overwrite, work.reading.camera.describe_maps()
    raw_nm = stack.pixel_size_nm
    if beside.preview is not None:
        save_preview(
            beside.preview,
            stack.as_shown(stack.read(0).mean(axis=0, dtype=np.float64)),
            stack.as_shown(image.pixels),
            pixel_size_nm=None if raw_nm is None else raw_nm / work.microscope.scale,
            overwrite=overwrite,
        )
    if beside.illumination is not None:
        write_illumination(
            beside.illumination,
            acquisition.estimate,
            envelopes=acquisition.envelopes,
            frame_size=acquisition.frame_size,
            pixel_size_nm=acquisition.microscope.pixel_size_nm,
            provenance={
                "source": stack.source.name,
                "optics": acquisition.optics.describe(),
                "optics_from": optics_from,
                **_drift(acquisition),
                **({"camera_maps": maps} if maps else {}),
            },
            times=[acquisition.illumination(time) for time in range(acquisition.times)],
            warnings=acquisition.warnings,
            overwrite=overwrite,
        )
    if beside.diagnostics is not None:
        options = method.options(acquisition.microscope) if isinstance(method, ClassicalMethod) else None
        write_diagnostics(
            beside.diagnostics,
            acquisition,
            image.pixels,
            method=method.name,
            label=method.label,
            options=options,
            overwrite=overwrite,
        )


def _warn_of_pixel_size(acquisition: Acquisition, work: Work) -> None:
    file_nm = acquisition.stack.pixel_size_nm
    model = work.method.model if isinstance(work.method, NetworkMethod) else None
    trained_nm = None if model is None or model.guided else model.microscope.pixel_size_nm
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

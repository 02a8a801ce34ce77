"""What is to be done for each raw file: what is read and how, what is written and where, where messages go."""

import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from oidn_jax.acquisition import Acquisition, CameraSettings, KnownIllumination
from oidn_jax.acquisition.illumination_file import read_illumination
from oidn_jax.classical.assessment import certain
from oidn_jax.classical.consistency import BORDER
from oidn_jax.data.atomic import check_target
from oidn_jax.data.image_file import Source, common_name, open_image_stack
from oidn_jax.data.raw_stack import FRAME_ORDERS, RawStack, open_raw_stack
from oidn_jax.data.writers import fits_imagej, output_name, read_provenance
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.methods import GivenImage, Method, NetworkMethod, check_expects_error
from oidn_jax.optics.microscope import Microscope
from oidn_jax.reconstruction.fingerprint import digest_of_frames, digest_of_settings
from oidn_jax.reconstruction.optics import ChannelOptics
from oidn_jax.reconstruction.trust import TrustFiles

_SMALLEST_JUDGED = 2 * BORDER + 24

T = TypeVar("T")


@dataclass(frozen=True)
class Outputs:
    """What is written besides the image.

    Attributes:
        preview: widefield beside SR, of the first time point.
        diagnostics: the page of `reconstruction.diagnostics`.
        trust: the files of `reconstruction.trust`.
        error: the expected absolute error of each pixel, of networks that know it.
        overwrite: replace existing files.
        resume: leave images that are there already, made of the same frames with the same settings, and all that is
            written besides them; with `overwrite` those that were made otherwise are replaced, else refused.
    """

    preview: bool = False
    diagnostics: bool = False
    trust: bool = False
    error: bool = False
    overwrite: bool = False
    resume: bool = False


@dataclass(frozen=True)
class Reading:
    """How raw files are read, and what is known of them.

    Attributes:
        frame_order: one of `data.raw_stack.FRAME_ORDERS`.
        frame_axis: letter of the axis of the file that the frames are on; None lets the file decide, and the stripes
            where two axes fit.
        widefield_frame: "first" or "last" where each acquisition has a frame without stripes there, which is left out.
        pixel_size_nm: of the raw frames, in place of what the files say.
        flip_y: write images bottom row first; None does so where other programs show the file so (MRC, DV).
        camera: what is known of the camera.
        known: the illumination, where it need not be estimated; several are of one channel each.
        pattern_period_nm: smallest and largest period of the stripes, where it is known.
        harmonic: of the phases, that the pattern is, as of `Acquisition`; None to find out.
        correct_drift: undo the sample's drift between the orientations.
        optics_from: where the numbers of the microscope come from, for the provenance of images.
        assumed: those of them, by their names in `Microscope`, that nobody gave; what a file says goes before them.
    """

    frame_order: str = "paz"
    frame_axis: str | None = None
    widefield_frame: str | None = None
    pixel_size_nm: float | None = None
    flip_y: bool | None = None
    camera: CameraSettings = field(default_factory=CameraSettings)
    known: KnownIllumination | tuple[KnownIllumination, ...] | None = None
    pattern_period_nm: tuple[float, float] | None = None
    harmonic: int | None = None
    correct_drift: bool = False
    optics_from: str = "given"
    assumed: tuple[str, ...] = ()

    @property
    def illuminations(self) -> tuple[KnownIllumination, ...]:
        """Those that are known."""
        if isinstance(self.known, KnownIllumination):
            return (self.known,)
        return self.known or ()


def _ignore(_: str) -> None:
    pass


def _no_progress(_: str, __: float) -> None:
    pass


def _python_warning(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)


@dataclass(frozen=True)
class Messages:
    """Where messages go.

    Attributes:
        say: called with one line for each image written.
        warn: called with one line for each thing the user should know; by default Python warnings.
        progress: called with the name of the file at work and the fraction of all work done, 0 to 1.
    """

    say: Callable[[str], None] = _ignore
    warn: Callable[[str], None] = _python_warning
    progress: Callable[[str, float], None] = _no_progress


@dataclass(frozen=True)
class Beside:
    """What is written beside the image, about one channel."""

    preview: Path | None
    illumination: Path | None
    diagnostics: Path | None
    trust: TrustFiles | None

    @property
    def files(self) -> list[Path]:
        """All of them."""
        single = (self.preview, self.illumination, self.diagnostics)
        return [path for path in single if path is not None] + (self.trust.all if self.trust else [])


@dataclass(frozen=True)
class Job:
    """One position of a raw file, and what is written for it and for each of its channels.

    Attributes:
        source: the file, a folder of files, or files that belong together.
        position: its number, from 0; None of a file that has one.
        shape: (images, frames, y, x).
        missing: what of the optics nobody gave, not even the file.
        image: to be written, if any.
        error: of its pixels, to be written, if any.
        channels: what is written beside it.
        fingerprint: of settings and frames, for the provenance (`reconstruction.fingerprint`).
    """

    source: Source
    position: int | None
    shape: tuple[int, int, int, int]
    missing: tuple[str, ...]
    image: Path | None
    error: Path | None
    channels: tuple[Beside, ...]
    fingerprint: Mapping[str, str]

    @property
    def name(self) -> Path:
        """What messages call the source."""
        return common_name(self.source) if isinstance(self.source, tuple) else self.source

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The paths that are read."""
        return self.source if isinstance(self.source, tuple) else (self.source,)

    @property
    def pixels(self) -> int:
        """Raw pixels, which the computing time is proportional to."""
        return self.shape[0] * self.shape[2] * self.shape[3]

    @property
    def result(self) -> Path:
        """The image, or the trust maps where these are what is written."""
        if self.image is not None:
            return self.image
        trust = self.channels[0].trust
        assert trust is not None, "something is written"
        return trust.maps

    @property
    def outputs(self) -> list[Path]:
        """The files to write."""
        own = [path for path in (self.image, self.error) if path is not None]
        return own + [path for beside in self.channels for path in beside.files]

    @property
    def after_image(self) -> list[Path]:
        """Those of them that are written when the image is in its place."""
        each = [(beside.preview, beside.illumination, beside.diagnostics) for beside in self.channels]
        return [path for paths in each for path in paths if path is not None]


@dataclass(frozen=True)
class Work:
    """What is the same for all files: the arguments of `reconstruct_files`.

    There is one method and one microscope for all channels, or one for each.
    """

    methods: tuple[Method, ...]
    microscopes: tuple[Microscope, ...]
    reading: Reading
    outputs: Outputs
    messages: Messages

    @cached_property
    def digest(self) -> str:
        """Of all that an image depends on besides its raw file."""
        return digest_of_settings(self.methods, self.microscopes, self.reading)

    @property
    def method(self) -> Method:
        """Of the first channel; the others are of its kind."""
        return self.methods[0]

    @property
    def microscope(self) -> Microscope:
        """Of the first channel; the others have as many frames, and the same scale."""
        return self.microscopes[0]

    @property
    def other_inputs(self) -> list[Path]:
        """Files besides the raw frames that are read."""
        methods = [path for method in self.methods for path in method.inputs]
        maps = [place for place in self.reading.camera.given_maps.values() if isinstance(place, Path)]
        return methods + maps + [known.path for known in self.reading.illuminations]

    @property
    def needs_illumination(self) -> bool:
        """Whether the illumination must be known."""
        return self.method.needs_illumination or self.outputs.diagnostics or self.outputs.trust

    @property
    def depends_on_optics(self) -> bool:
        """Whether another NA or emission would be another image, or another judgement."""
        return self.needs_illumination or isinstance(self.method, NetworkMethod)

    def optics(self, stack: RawStack, number: int) -> ChannelOptics:
        """Of a channel of a stack."""
        return ChannelOptics.of_channel(stack, number, for_channel(self.microscopes, number), self.reading.assumed)


def for_channel(values: Sequence[T], number: int) -> T:
    """Of values that are one for all channels, or one for each."""
    return values[number if len(values) > 1 else 0]


def open_stack(source: Source, work: Work, frame_axis: str | None) -> RawStack:
    """The raw stack of a file, all positions, its headers read and no pixels."""
    stack = open_raw_stack(
        source,
        orientations=work.microscope.orientations,
        phases=work.microscope.phases,
        frame_order=work.reading.frame_order,
        frame_axis=frame_axis,
        widefield_frame=work.reading.widefield_frame,
        pixel_size_nm=work.reading.pixel_size_nm,
    )
    return replace(stack, flip_y=work.reading.flip_y)


def decide_frame_axis(job: Job, work: Work) -> str | None:
    """The axis of the frames where two axes of a file have their number: that on which all orientations have stripes.

    Returns:
        Its letter; None where the file leaves no doubt, has been told, or the stripes do not tell: then the rules of
        `data.raw_stack` hold.
    """
    fitting = open_stack(job.source, work, None).frame_axes
    if work.reading.frame_axis is not None or len(fitting) < 2 or work.microscope.phases < 3:
        return work.reading.frame_axis
    stacks = {axis: open_stack(job.source, work, axis).position(job.position or 0) for axis in fitting}
    striped = [axis for axis, stack in stacks.items() if _has_stripes(stack, work)]
    if len(striped) == 1:
        work.messages.warn(f"{job.name}: the frames are on the axis {striped[0]}, where every orientation has stripes")
        return striped[0]
    work.messages.warn(
        f"{job.name}: the axes {' and '.join(fitting)} could both be that of the frames, and the stripes do not tell; "
        "if the image is wrong, name the axis as `frame_axis`"
    )
    return None


def _has_stripes(stack: RawStack, work: Work) -> bool:
    period = work.reading.pattern_period_nm
    try:
        microscope = work.optics(stack, 0).microscope
        estimate = Acquisition(stack.channel(0), microscope, pattern_period_nm=period).estimate
    except InputError:
        return False
    return bool(certain(estimate).all())


def fitting_groupings(job: Job, work: Work) -> list[str]:
    """The other frame order, and other numbers of orientations, that the stripes of the first channel agree with."""
    reading, orders, fitting = work.reading, dict[str, float](), list[str]()
    seen = {open_stack(job.source, work, reading.frame_axis).planes.tobytes()}
    for order in dict.fromkeys(FRAME_ORDERS.values()) if reading.frame_order != "montage" else ():
        other = replace(work, reading=replace(reading, frame_order=order))
        planes = open_stack(job.source, other, reading.frame_axis).planes.tobytes()
        if planes not in seen:
            orders[order] = _agreement(job, other)
        seen.add(planes)
    if max(orders.values(), default=0.0) > 0:
        # Phases of other slices make stripes too, but weaker ones.
        fitting.append(f"{max(orders, key=orders.__getitem__)} as `frame_order`")
    for orientations in range(2, 7):
        microscopes = tuple(replace(microscope, orientations=orientations) for microscope in work.microscopes)
        if orientations != work.microscope.orientations and _agreement(job, replace(work, microscopes=microscopes)):
            fitting.append(f"{orientations} as `orientations`")
    return fitting


def _agreement(job: Job, work: Work) -> float:
    """Sum of the confidences of all orientations; 0 where the file cannot be grouped so, or one is not certain."""
    try:
        stack = open_stack(job.source, work, work.reading.frame_axis).position(job.position or 0)
        acquisition = Acquisition(stack.channel(0), work.optics(stack, 0).microscope)
        acquisition.check_grouping()
        estimate = acquisition.estimate
    except InputError:
        return 0.0
    return float(estimate.finest.confidence.sum()) if certain(estimate).all() else 0.0


def channels_of(stack: RawStack, work: Work, position: int | None) -> list[Acquisition]:
    """The acquisition of each channel of one position of a raw file.

    Raises:
        InputError: one known illumination for several channels, or other numbers of methods, wavelengths or
            illuminations than of channels.
    """
    reading, count = work.reading, stack.layout.channels
    known = reading.illuminations
    if count > 1 and len(known) == 1:
        raise InputError(
            f"{stack.source} has {count} channels, and each has stripes of its own, but {known[0].path} holds those of "
            "one; give one for each channel as `illumination`, or leave it out"
        )
    given = {"illumination": known, "workdir": work.methods, "emission_nm": work.microscopes}
    for name, values in given.items():
        if len(values) not in (0, 1, count):
            legal = f"{stack.source} has {count} channel{'s' * (count > 1)}; give one for all, or one for each"
            raise InputError(f"{len(values)} values of `{name}` are given, but {legal}")

    def opened(number: int) -> Acquisition:
        def warn(line: str) -> None:
            line = line if count == 1 else f"channel {number + 1} of {line}"
            work.messages.warn(line if position is None else f"position {position + 1}, {line}")

        return Acquisition(
            stack.channel(number),
            work.optics(stack, number).microscope,
            camera=reading.camera,
            known=for_channel(known, number) if known else None,
            pattern_period_nm=reading.pattern_period_nm,
            harmonic=reading.harmonic,
            fit_damping="otf_damping" in reading.assumed,
            correct_drift=reading.correct_drift,
            warn=warn,
        )

    return [opened(number) for number in range(count)]


def inspect(source: Source, work: Work, out: Path) -> list[Job]:
    """Checks an input by its headers and names its outputs: a job for each position."""
    stack = open_stack(source, work, work.reading.frame_axis)
    if stack.positions == 1:
        return [_inspect_position(source, stack, None, work, out)]
    if not work.method.writes_image:
        raise InputError(
            f"{stack.source} has {stack.positions} positions, and an image is judged against one: save it alone"
        )
    return [
        _inspect_position(source, stack.position(position), position, work, out) for position in range(stack.positions)
    ]


def _inspect_position(source: Source, stack: RawStack, position: int | None, work: Work, out: Path) -> Job:
    outputs, channels = work.outputs, channels_of(stack, work, position)
    microscope, (times, frames, h, w) = channels[0].microscope, channels[0].stack.shape
    images = times * len(channels)
    for number, acquisition in enumerate(channels):
        method = for_channel(work.methods, number)
        if isinstance(method, GivenImage):
            method.open_for(acquisition)
    if work.needs_illumination:
        for acquisition in channels:
            acquisition.microscope.otf(aliased=True)  # refuses pixels that the objective does not go with
    if outputs.trust and min(h, w) < _SMALLEST_JUDGED:
        raise InputError(
            f"{stack.source} has frames of {h} x {w} pixels; trust maps leave out {BORDER} at each edge "
            f"and need at least {_SMALLEST_JUDGED} x {_SMALLEST_JUDGED}"
        )
    name = output_name(stack.source)
    stem = re.sub(r"(\.ome)?\.tiff?$", "", name)
    if position is not None:
        name = f"{stem}_p{position + 1}{name.removeprefix(stem)}"
        stem = f"{stem}_p{position + 1}"
    if not fits_imagej((images, microscope.scale * h, microscope.scale * w)) and name == f"{stem}.tif":
        name = f"{stem}.ome.tif"

    def beside(stem: str) -> Beside:
        return Beside(
            preview=out / f"{stem}.png" if outputs.preview else None,
            illumination=out / f"{stem}_illumination.json" if work.needs_illumination else None,
            diagnostics=out / f"{stem}_diagnostics.png" if outputs.diagnostics else None,
            trust=TrustFiles.beside(out, stem) if outputs.trust else None,
        )

    stems = [stem] if len(channels) == 1 else [f"{stem}_c{number + 1}" for number in range(len(channels))]
    return Job(
        source,
        position,
        (images, frames, h, w),
        missing=tuple(line for number in range(len(channels)) for line in work.optics(stack, number).missing),
        image=out / name if work.method.writes_image else None,
        error=out / f"{stem}_error{name.removeprefix(stem)}" if outputs.error else None,
        channels=tuple(map(beside, stems)),
        fingerprint={"settings": work.digest, "frames": digest_of_frames(source)},
    )


def check_work(work: Work) -> None:
    """Refuses what does not go together, before a file is looked at."""
    microscope = work.microscope
    for name in ("orientations", "phases", "scale"):
        values = {getattr(each, name) for each in work.microscopes}
        if len(values) > 1:
            raise IllegalValue(f"microscope.{name}", sorted(values), "it must be the same for all channels")
    for method in work.methods:
        method.check(microscope)
        if work.outputs.error:
            check_expects_error(method)
    for known in work.reading.illuminations:
        read_illumination(
            known.path,
            orientations=microscope.orientations,
            phases=microscope.phases,
            pixel_size_nm=work.reading.pixel_size_nm,
        )
    if work.needs_illumination and microscope.phases < 3:
        raise IllegalValue("microscope.phases", microscope.phases, "to separate the bands of SIM it takes 3")
    if work.outputs.diagnostics and microscope.scale != 2:
        raise IllegalValue("microscope.scale", microscope.scale, "`diagnostics` are drawn for 2 pixels per raw pixel")


def check_outputs(jobs: Sequence[Job], out: Path, work: Work) -> list[Job]:
    """Refuses what could not be written, or would destroy something, before anything is computed.

    Returns:
        The jobs that are to be done: with `resume` those whose outputs are not there yet.
    """
    to_do = []
    inputs = {path.resolve() for job in jobs for path in job.inputs} | {path.resolve() for path in work.other_inputs}
    owner: dict[Path, Path] = {}
    for job in jobs:
        for path in job.outputs:
            if path in owner:
                raise InputError(
                    f"{owner[path]} and {job.name} would both become {path}; reconstruct them into different folders"
                )
            owner[path] = job.name
            if path.resolve() in inputs or path.resolve().parent in inputs:
                raise InputError(f"{path} is one of the inputs and would be replaced; choose another output folder")
            check_target(path, overwrite=work.outputs.overwrite or work.outputs.resume)
        if not (work.outputs.resume and is_done(job, overwrite=work.outputs.overwrite)):
            to_do.append(job)
    existing = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    if not existing.is_dir():
        raise InputError(f"{existing} is a file, so the output folder {out} cannot be made; choose another one")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"the output folder {out} cannot be written ({existing} is not writable); choose another one")
    return to_do


def is_done(job: Job, *, overwrite: bool) -> bool:
    """Whether all outputs of a job are there, made of the same frames with the same settings.

    Files appear whole, so it takes their names, the fingerprints in their metadata, and the order in which they were
    written: what comes after an image and is older belongs to an earlier one.

    Args:
        job: whose outputs are looked for; of one that is not done, nothing or its own unfinished work is there.
        overwrite: whether other files under their names may be replaced.

    Raises:
        InputError: files under their names that were made otherwise, where these may not be replaced.
    """
    existing = [path for path in job.outputs if path.exists()]
    images = [path for path in existing if path.suffix.lower() in (".tif", ".tiff")]
    others = [path for path in images if read_provenance(path).get("fingerprint") != job.fingerprint]
    if existing and (others or not images):
        if overwrite:
            return False
        raise InputError(
            f"{(others or existing)[0]} exists already, and does not tell that it was made of {job.name} with these "
            "settings by this version; choose another folder, or allow `overwrite` too, which replaces such files"
        )
    if len(existing) < len(job.outputs) or not all(map(_is_whole, images)):
        return False
    written = 0 if job.image is None else job.image.stat().st_mtime_ns
    return all(path.stat().st_mtime_ns >= written for path in job.after_image)


def _is_whole(path: Path) -> bool:
    """Whether nobody has cut a TIFF since it was written, as a copy to a full disk does."""
    try:
        open_image_stack(path)
    except InputError:
        return False
    return True

"""What is to be done for each raw file: what is read and how, what is written and where, where messages go."""

import os
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from oidn_jax.acquisition import Acquisition, CameraSettings, KnownIllumination
from oidn_jax.acquisition.illumination_file import read_illumination
from oidn_jax.classical.assessment import certain
from oidn_jax.classical.consistency import BORDER
from oidn_jax.data.atomic import check_target
from oidn_jax.data.raw_stack import RawStack, open_raw_stack
from oidn_jax.data.writers import fits_imagej, output_name
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.methods import Method
from oidn_jax.optics.microscope import Microscope
from oidn_jax.reconstruction.trust import TrustFiles

_SMALLEST_JUDGED = 2 * BORDER + 24


@dataclass(frozen=True)
class Outputs:
    """What is written besides the image.

    Attributes:
        preview: widefield beside SR, of the first time point.
        diagnostics: the page of `reconstruction.diagnostics`.
        trust: the files of `reconstruction.trust`.
        overwrite: replace existing files.
    """

    preview: bool = False
    diagnostics: bool = False
    trust: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Reading:
    """How raw files are read, and what is known of them.

    Attributes:
        frame_order: one of `data.raw_stack.FRAME_ORDERS`.
        frame_axis: letter of the axis of the file that the frames are on; None lets the file decide, and the stripes
            where two axes fit.
        pixel_size_nm: of the raw frames, in place of what the files say.
        camera: what is known of the camera.
        known: the illumination, where it need not be estimated.
        pattern_period_nm: smallest and largest period of the stripes, where it is known.
        harmonic: of the phases, that the pattern is, as of `Acquisition`; None to find out.
        fit_damping: whether the microscope's `otf_damping` is a guess, as of `Acquisition`.
        optics_from: where the numbers of the microscope come from, for the provenance of images.
        remarks: warnings about all this, one line each, given once the inputs are accepted.
    """

    frame_order: str = "paz"
    frame_axis: str | None = None
    pixel_size_nm: float | None = None
    camera: CameraSettings = field(default_factory=CameraSettings)
    known: KnownIllumination | None = None
    pattern_period_nm: tuple[float, float] | None = None
    harmonic: int | None = None
    fit_damping: bool = False
    optics_from: str = "given"
    remarks: tuple[str, ...] = ()


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
    """One raw file: its shape (images, frames, y, x), and what is written for it and for each of its channels."""

    source: Path
    shape: tuple[int, int, int, int]
    image: Path | None
    channels: tuple[Beside, ...]

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
        image = [] if self.image is None else [self.image]
        return image + [path for beside in self.channels for path in beside.files]


@dataclass(frozen=True)
class Work:
    """What is the same for all files: the arguments of `reconstruct_files`."""

    method: Method
    microscope: Microscope
    reading: Reading
    outputs: Outputs
    messages: Messages

    @property
    def other_inputs(self) -> list[Path]:
        """Files besides the raw frames that are read."""
        known = self.reading.known
        return [*self.method.inputs, *([known.path] if known else [])]

    @property
    def needs_illumination(self) -> bool:
        """Whether the illumination must be known."""
        return self.method.needs_illumination or self.outputs.diagnostics or self.outputs.trust


def open_stack(source: Path, work: Work, frame_axis: str | None) -> RawStack:
    """The raw stack of a file, its headers read and no pixels."""
    return open_raw_stack(
        source,
        orientations=work.microscope.orientations,
        phases=work.microscope.phases,
        frame_order=work.reading.frame_order,
        frame_axis=frame_axis,
        pixel_size_nm=work.reading.pixel_size_nm,
    )


def decide_frame_axis(source: Path, work: Work) -> str | None:
    """The axis of the frames where two axes of a file have their number: that on which all orientations have stripes.

    Returns:
        Its letter; None where the file leaves no doubt, has been told, or the stripes do not tell: then the rules of
        `data.raw_stack` hold.
    """
    fitting = open_stack(source, work, None).frame_axes
    if work.reading.frame_axis is not None or len(fitting) < 2 or work.microscope.phases < 3:
        return work.reading.frame_axis
    striped = [axis for axis in fitting if _has_stripes(open_stack(source, work, axis), work)]
    if len(striped) == 1:
        work.messages.warn(f"{source}: the frames are on the axis {striped[0]}, where every orientation has stripes")
        return striped[0]
    work.messages.warn(
        f"{source}: the axes {' and '.join(fitting)} could both be that of the frames, and the stripes do not tell; if "
        "the image is wrong, name the axis as `frame_axis`"
    )
    return None


def _has_stripes(stack: RawStack, work: Work) -> bool:
    period = work.reading.pattern_period_nm
    try:
        estimate = Acquisition(stack.channel(0), work.microscope, pattern_period_nm=period).estimate
    except InputError:
        return False
    return bool(certain(estimate).all())


def open_channels(source: Path, work: Work) -> list[Acquisition]:
    """The acquisition of each channel of a raw file, whose headers are read and no pixels.

    Raises:
        InputError: what `open_raw_stack` refuses; one known illumination for several channels.
    """
    stack = open_stack(source, work, work.reading.frame_axis)
    microscope, reading = work.microscope, work.reading
    count = stack.layout.channels
    if count > 1 and reading.known is not None:
        raise InputError(
            f"{source} has {count} channels, and each has stripes of its own, but {reading.known.path} holds those of "
            "one; leave `illumination` out, or save the channels as files of their own"
        )

    def opened(number: int) -> Acquisition:
        def warn(line: str) -> None:
            work.messages.warn(line if count == 1 else f"channel {number + 1} of {line}")

        return Acquisition(
            stack.channel(number),
            microscope,
            camera=reading.camera,
            known=reading.known,
            pattern_period_nm=reading.pattern_period_nm,
            harmonic=reading.harmonic,
            fit_damping=reading.fit_damping,
            warn=warn,
        )

    return [opened(number) for number in range(count)]


def inspect(source: Path, work: Work, out: Path) -> Job:
    """Checks an input by its headers and names its outputs."""
    outputs, channels = work.outputs, open_channels(source, work)
    microscope, (times, frames, h, w) = channels[0].microscope, channels[0].stack.shape
    images = times * len(channels)
    if work.needs_illumination:
        microscope.otf()  # refuses pixels that the objective does not go with
    if outputs.trust and min(h, w) < _SMALLEST_JUDGED:
        raise InputError(
            f"{source} has frames of {h} x {w} pixels; trust maps leave out {BORDER} at each edge and need at least "
            f"{_SMALLEST_JUDGED} x {_SMALLEST_JUDGED}"
        )
    name = output_name(source)
    stem = re.sub(r"(\.ome)?\.tiff?$", "", name)
    if not fits_imagej((images, microscope.scale * h, microscope.scale * w)) and name.endswith("_sr.tif"):
        name = f"{name.removesuffix('.tif')}.ome.tif"

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
        (images, frames, h, w),
        image=out / name if work.method.writes_image else None,
        channels=tuple(map(beside, stems)),
    )


def check_work(work: Work) -> None:
    """Refuses what does not go together, before a file is looked at."""
    microscope = work.microscope
    work.method.check(microscope)
    if work.reading.known is not None:
        read_illumination(
            work.reading.known.path,
            orientations=microscope.orientations,
            phases=microscope.phases,
            pixel_size_nm=work.reading.pixel_size_nm,
        )
    if work.needs_illumination and microscope.phases < 3:
        raise IllegalValue("microscope.phases", microscope.phases, "to separate the bands of SIM it takes 3")
    if work.outputs.diagnostics and microscope.scale != 2:
        raise IllegalValue("microscope.scale", microscope.scale, "`diagnostics` are drawn for 2 pixels per raw pixel")


def check_outputs(jobs: Sequence[Job], out: Path, work: Work) -> None:
    """Refuses what could not be written, or would destroy something, before anything is computed."""
    inputs = {job.source.resolve() for job in jobs} | {path.resolve() for path in work.other_inputs}
    owner: dict[Path, Path] = {}
    for job in jobs:
        for path in job.outputs:
            if path in owner:
                raise InputError(
                    f"{owner[path]} and {job.source} would both become {path}; reconstruct them into different folders"
                )
            owner[path] = job.source
            if path.resolve() in inputs or path.resolve().parent in inputs:
                raise InputError(f"{path} is one of the inputs and would be replaced; choose another output folder")
            check_target(path, overwrite=work.outputs.overwrite)
    existing = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    if not existing.is_dir():
        raise InputError(f"{existing} is a file, so the output folder {out} cannot be made; choose another one")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"the output folder {out} cannot be written ({existing} is not writable); choose another one")

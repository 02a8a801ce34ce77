"""What is to be done for each raw file: what is read and how, what is written and where, where messages go."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from oidn_jax.classical.consistency import BORDER
from oidn_jax.optics.microscope import Microscope
from oidn_jax.errors import InputError
from oidn_jax.data.raw_stack import inspect_raw_stack
from oidn_jax.data.writers import output_name
from oidn_jax.acquisition.acquisition import KnownIllumination
from oidn_jax.acquisition.camera import CameraSettings
from oidn_jax.acquisition.illumination_file import read_illumination
from oidn_jax.reconstruction.methods import GivenImage, Method, NetworkMethod
from oidn_jax.reconstruction.trust import TrustFiles

# A little below what `write_sr_tiff` accepts as ImageJ TIFF.
_LARGEST_IMAGEJ_BYTES = 4_000_000_000
_SMALLEST_JUDGED = 2 * BORDER + 24


@dataclass(frozen=True)
class Outputs:
    """What is written besides the image.

    Attributes:
        preview: widefield beside SR, of the first time point.
        diagnostics: the figure of `reconstruction.diagnostics`.
        trust: the files of `reconstruction.trust`.
        overwrite: replace existing files.
    """

    preview: bool = False
    diagnostics: bool = False
    trust: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Reading:
    """How raw files are read.

    Attributes:
        frame_order: "orientation-phase" or "phase-orientation", the slow one first.
        pixel_size_nm: of the raw frames, in place of what the files say.
        camera: what is known of the camera.
        known: the illumination, where it need not be estimated.
    """

    frame_order: str = "orientation-phase"
    pixel_size_nm: float | None = None
    camera: CameraSettings = field(default_factory=CameraSettings)
    known: KnownIllumination | None = None


def _print_warning(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


@dataclass(frozen=True)
class Talk:
    """Where messages go.

    Attributes:
        say: called with one line for each image written.
        warn: called with one line for each thing the user should know; by default on stderr after `warning: `.
        progress: called with the name of the file at work and the fraction of all work done, 0 to 1.
    """

    say: Callable[[str], None] = print
    warn: Callable[[str], None] = _print_warning
    progress: Callable[[str, float], None] = field(default=lambda _name, _fraction: None)


@dataclass(frozen=True)
class Job:
    """One acquisition: the raw file, its shape (time, frames, y, x), and what is written for it."""

    source: Path
    shape: tuple[int, int, int, int]
    image: Path | None
    preview: Path | None
    illumination: Path | None
    diagnostics: Path | None
    trust: TrustFiles | None

    @property
    def pixels(self) -> int:
        """Raw pixels, which the computing time is proportional to."""
        return self.shape[0] * self.shape[2] * self.shape[3]

    @property
    def maps(self) -> Path:
        """The trust maps, where these are what is written."""
        assert self.trust is not None
        return self.trust.maps

    @property
    def outputs(self) -> list[Path]:
        """The files to write."""
        single = (self.image, self.preview, self.illumination, self.diagnostics)
        return [path for path in single if path is not None] + (self.trust.all if self.trust else [])


@dataclass(frozen=True)
class Work:
    """What is the same for all files: the arguments of `reconstruct_files`."""

    method: Method
    microscope: Microscope
    reading: Reading
    outputs: Outputs
    talk: Talk

    @property
    def other_inputs(self) -> list[Path]:
        """Files besides the raw frames that are read."""
        known, measured = self.reading.known, self.microscope.measured
        given = [self.method.path] if isinstance(self.method, GivenImage) else []
        return given + ([known.path] if known else []) + ([measured.source] if measured else [])

    @property
    def needs_illumination(self) -> bool:
        """Whether the illumination must be known."""
        return self.method.needs_illumination or self.outputs.diagnostics or self.outputs.trust


def inspect(source: Path, work: Work, out: Path) -> Job:
    """Checks an input by its headers and names its outputs."""
    microscope, outputs = work.microscope, work.outputs
    shape = inspect_raw_stack(source, orientations=microscope.orientations, phases=microscope.phases)
    if outputs.trust and min(shape[2:]) < _SMALLEST_JUDGED:
        raise InputError(
            f"{source} has frames of {shape[2]} x {shape[3]} pixels; trust maps leave out {BORDER} at each edge and "
            f"need at least {_SMALLEST_JUDGED} x {_SMALLEST_JUDGED}"
        )
    name = output_name(source)
    stem = re.sub(r"(\.ome)?\.tiff?$", "", name)
    n_bytes = 4 * shape[0] * shape[2] * shape[3] * microscope.scale**2
    if n_bytes > _LARGEST_IMAGEJ_BYTES and name.endswith("_sr.tif"):
        name = f"{name.removesuffix('.tif')}.ome.tif"
    return Job(
        source,
        shape,
        image=out / name if work.method.writes_image else None,
        preview=out / f"{stem}.png" if outputs.preview else None,
        illumination=out / f"{stem}_illumination.json" if work.needs_illumination else None,
        diagnostics=out / f"{stem}_diagnostics.png" if outputs.diagnostics else None,
        trust=TrustFiles.beside(out, stem) if outputs.trust else None,
    )


def check_work(work: Work) -> None:
    """Refuses what does not go together, before a file is looked at."""
    method, microscope = work.method, work.microscope
    if work.reading.known is not None:
        layout = {"orientations": microscope.orientations, "phases": microscope.phases}
        read_illumination(work.reading.known.path, **layout, pixel_size_nm=work.reading.pixel_size_nm)
    if work.needs_illumination:
        microscope.otf(pixel_size_nm=work.reading.pixel_size_nm)
        if microscope.phases < 3:
            raise InputError(
                f"config.frames.phases is {microscope.phases}; to separate the bands of SIM it must be at least 3"
            )
    if work.outputs.diagnostics and microscope.scale != 2:
        raise InputError(f"diagnostics are drawn for 2 pixels per raw pixel, not for scale={microscope.scale}")
    if isinstance(method, GivenImage):
        inspect_raw_stack(method.path, orientations=1, phases=1)
    if isinstance(method, NetworkMethod):
        for name in ("orientations", "phases", "scale"):
            expected, given = getattr(method.model.network, name), getattr(microscope, name)
            if expected != given:
                raise InputError(f"config.frames.{name} is {given}, but the model was trained with {expected}")


def check_outputs(jobs: Sequence[Job], out: Path, work: Work) -> None:
    """Refuses what could not be written, or would destroy something, before anything is computed."""
    overwrite = work.outputs.overwrite
    raw_files = {job.source.resolve() for job in jobs} | {path.resolve() for path in work.other_inputs}
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

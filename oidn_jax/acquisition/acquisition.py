"""A raw acquisition with what is known or found out about it: camera, OTF, illumination.

Contract: nothing is computed before it is asked for, and nothing twice; frames are read one time point at a time.
Camera, defects and illumination are found at the brightest time point (`reference`). At the others its wave vectors,
phase steps and modulation depths hold; brightness and position of the patterns are measured there, as far as the frames
show them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real, Shaped

from oidn_jax.acquisition.camera import CameraSettings, noise_model
from oidn_jax.acquisition.checks import ORDER_DOUBT, OTHER_ORDER, PixelSurvey, check_frames, check_pixels, survey_pixels
from oidn_jax.acquisition.defects import Defects, find_defects, repair
from oidn_jax.acquisition.illumination_file import read_illumination
from oidn_jax.classical.assessment import BY_CHANCE, assess, other_order_preference, other_stripes, repeated_stripes
from oidn_jax.classical.estimation import (
    Estimate,
    estimate_illumination,
    measure_brightness,
    measure_patterns,
    pattern_shift,
)
from oidn_jax.classical.peaks import CONFIDENT
from oidn_jax.data.raw_stack import RawStack
from oidn_jax.errors import InputError
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.microscope import Microscope
from oidn_jax.optics.noise import NoiseModel
from oidn_jax.optics.transfer import TransferFunction

_AS_BRIGHT = 0.9
_MOVED = np.deg2rad(10.0)
_OTHER_ORDER_CERTAIN = 1.5

_estimate = jax.jit(estimate_illumination, static_argnames=("orientations",))
_measure = jax.jit(measure_patterns)
_brightness = jax.jit(measure_brightness, static_argnames=("orientations",))


@dataclass(frozen=True)
class KnownIllumination:
    """An illumination from an earlier acquisition.

    Attributes:
        path: file that `write_illumination` wrote.
        refit_phases: take only the wave vectors from it, and measure phases and modulation depths in these frames.
    """

    path: Path
    refit_phases: bool = False


class Acquisition:
    """One raw acquisition, or several of the same field in time.

    Attributes:
        stack: its frames.
        microscope: what recorded it, with the pixel size of the frames where they tell it.
        known: its illumination, where it need not be estimated.
        warnings: what the user should know, one line each, as far as it was found out.
    """

    def __init__(
        self,
        stack: RawStack,
        microscope: Microscope,
        *,
        camera: CameraSettings | None = None,
        known: KnownIllumination | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        """Computes nothing yet.

        Args:
            stack: of the microscope's number of frames.
            microscope: whose pixel size holds where the stack has none.
            camera: what is known of it; the rest is estimated.
            known: the illumination, where it need not be estimated.
            warn: called with each line of `warnings`, after the name of the source.
        """
        if stack.shape[1] != microscope.frames:
            raise InputError(
                f"{stack.source} has {stack.shape[1]} frames per time point, but the microscope "
                f"{microscope.orientations} orientations x {microscope.phases} phases"
            )
        self.stack, self.known, self.warnings = stack, known, list[str]()
        self.microscope = replace(microscope, pixel_size_nm=stack.pixel_size_nm or microscope.pixel_size_nm)
        self._camera, self._callback = camera or CameraSettings(), warn
        self._latest: tuple[int, Real[np.ndarray, "frames h w"]] | None = None
        self._told: set[int] = set()  # time points that a warning was given of

    @classmethod
    def of_frames(
        cls,
        raw_frames: Shaped[np.ndarray, "..."],
        microscope: Microscope,
        *,
        camera: CameraSettings | None = None,
        known: KnownIllumination | None = None,
        warn: Callable[[str], None] | None = None,
        source: str = "frames",
    ) -> "Acquisition":
        """Of frames in memory.

        Args:
            raw_frames: (h, w, frames), or (time, h, w, frames); as the camera gave them, orientation slow, phase fast.
            microscope: what recorded them; its pixel size is theirs.
            camera: as in the constructor.
            known: as in the constructor.
            warn: as in the constructor.
            source: what messages call them.

        Raises:
            InputError: frames of another shape or type.
        """
        if raw_frames.ndim not in (3, 4) or raw_frames.shape[-1] != microscope.frames:
            raise InputError(
                f"{source} have the shape {raw_frames.shape}; they must be ([time,] h, w, {microscope.frames}), the "
                "frames last"
            )
        frames = raw_frames if raw_frames.ndim == 4 else raw_frames[None]
        stack = RawStack.of_array(np.moveaxis(frames, -1, 1), pixel_size_nm=microscope.pixel_size_nm, source=source)
        return cls(stack, microscope, camera=camera, known=known, warn=warn)

    @property
    def times(self) -> int:
        """Number of time points."""
        return self.stack.shape[0]

    @property
    def frame_size(self) -> tuple[int, int]:
        """(h, w) of the raw frames."""
        return self.stack.shape[2], self.stack.shape[3]

    @property
    def fine_size(self) -> tuple[int, int]:
        """(h2, w2) of the super-resolved image."""
        return self.microscope.scale * self.frame_size[0], self.microscope.scale * self.frame_size[1]

    def warn(self, message: str) -> None:
        """Keeps a line of warning, and passes it on."""
        self.warnings.append(message)
        if self._callback is not None:
            self._callback(f"{self.stack.source}: {message}")

    @cached_property
    def survey(self) -> PixelSurvey:
        """What one pass over the pixels of all time points tells."""
        return survey_pixels(self.stack)

    def check(self) -> None:
        """Looks at the pixels of all time points; warnings say what is doubtful.

        Raises:
            InputError: NaN or infinite pixels, or a frame of one value everywhere.
        """
        orientations, phases = self.microscope.orientations, self.microscope.phases
        for line in self.stack.images.remarks:
            self.warn(line)
        for line in check_pixels(self.stack, orientations=orientations, phases=phases, survey=self.survey):
            if not (line.startswith(ORDER_DOUBT) and self._shows_stripes):
                self.warn(line)

    @property
    def _shows_stripes(self) -> bool:
        """Whether every orientation certainly has stripes in the order given, and fewer in the other one.

        Phases that are not even make the widefield images of orientations differ, which looks like a wrong order.
        """
        if self.microscope.phases < 3:
            return False
        try:
            otf = self.otf
        except InputError:  # pixels too coarse for SIM, which a widefield image does not mind
            return False
        light = self.light(self.reference)
        confidence = _estimate(light, otf, orientations=self.microscope.orientations).confidence
        other = other_order_preference(jnp.asarray(light), confidence, cutoff=otf.cutoff)
        return bool(confidence.min() >= CONFIDENT) and other < 1

    @cached_property
    def reference(self) -> int:
        """The first of the brightest time points: one without light must not spoil the others."""
        light = self.survey.means.mean(1) - self.survey.darkest
        return int(np.argmax(light >= _AS_BRIGHT * light.max()))

    @cached_property
    def noise(self) -> NoiseModel:
        """Given or estimated, of each orientation; from the reference."""
        return noise_model(
            self.counts(self.reference),
            self._camera,
            orientations=self.microscope.orientations,
            ceiling=self.survey.full_scale,
            source=self.stack.source,
        )

    @cached_property
    def otf(self) -> TransferFunction:
        """Of a raw frame."""
        return self.microscope.otf()

    @cached_property
    def defects(self) -> Defects:
        """Hot and dead pixels, columns and rows of the reference; warnings name them."""
        defects = find_defects(self._read(self.reference))
        for line in defects.describe():
            self.warn(line)
        return defects

    def counts(self, time: int) -> Real[np.ndarray, "frames h w"]:
        """The frames of a time point as stored, with defects of the camera mended; the latest ones are kept.

        Raises:
            IndexError: a time point that there is not.
            InputError: pixels that `checks.check_frames` refuses.
        """
        if self._latest is None or self._latest[0] != time:
            defects = self.defects
            self._latest = time, repair(self._read(time), defects)
        return self._latest[1]

    def _read(self, time: int) -> Real[np.ndarray, "frames h w"]:
        """As stored. Checked here too: who calls a method need not have called `check`."""
        frames = self.stack.read(time)
        check_frames(frames, time=time, source=self.stack.source)
        return frames

    def light(self, time: int) -> Float[np.ndarray, "frames h w"]:
        """The frames of a time point without the camera's offset."""
        offset = np.repeat(self.noise.offset, self.microscope.phases)
        return self.counts(time).astype(np.float32) - offset[:, None, None].astype(np.float32)

    @cached_property
    def estimate(self) -> Estimate:
        """The illumination of the reference and how sure it is; warnings are given once.

        Raises:
            InputError: two orientations with the same stripes, which are not what they are said to be.
        """
        light = self.light(self.reference)
        if self.known is None:
            estimate = _estimate(light, self.otf, orientations=self.microscope.orientations)
        else:
            estimate = self._recall(light, self.known)
        same = repeated_stripes(estimate, self.frame_size) if self.known is None else None
        if same is not None:
            raise InputError(
                f"{self.stack.source}: orientations {same[0] + 1} and {same[1] + 1} "
                f"show the same stripes, so the frames {self._not_grouped}"
            )
        doubts = assess(estimate)
        # A wrong order is never free of warnings: what then passes for stripes has no common length and angle.
        if doubts and self.known is None:
            other = other_order_preference(jnp.asarray(light), estimate.confidence, cutoff=self.otf.cutoff)
            line = f"the stripes show better with phases and orientations exchanged; {OTHER_ORDER}"
            if other > _OTHER_ORDER_CERTAIN:
                raise InputError(f"{self.stack.source}: {line}")
            if other > 1:
                doubts.insert(0, line)
        for doubt in doubts:
            self.warn(doubt)
        return jax.device_get(estimate)

    @property
    def _not_grouped(self) -> str:
        return (
            f"are not grouped as {self.microscope.orientations} orientations of {self.microscope.phases} phases; check "
            "`orientations`, `phases`, `frame_order` and what the axes of the file are"
        )

    def _recall(self, light: Float[np.ndarray, "frames h w"], known: KnownIllumination) -> Estimate:
        microscope = self.microscope
        stored = read_illumination(
            known.path,
            orientations=microscope.orientations,
            phases=microscope.phases,
            pixel_size_nm=microscope.pixel_size_nm,
        )
        if not known.refit_phases and stored.frame_size != self.frame_size:
            raise InputError(
                f"{known.path} was found in frames of {stored.frame_size[0]} x {stored.frame_size[1]} pixels, but "
                f"{self.stack.source} has {self.frame_size[0]} x {self.frame_size[1]}, so its phases do not hold here; "
                "give `refit_phases` to take the wave vectors only"
            )
        measured = _measure(light, jnp.asarray(stored.wave_vector, jnp.float32), self.otf)
        if known.refit_phases:
            return measured
        given = measured.illumination._replace(
            phase=jnp.asarray(stored.phase, jnp.float32),
            modulation_depth=jnp.asarray(stored.modulation_depth, jnp.float32),
        )
        return measured._replace(illumination=given)

    @cached_property
    def _reference_brightness(self) -> Array:
        return _brightness(self.light(self.reference), orientations=self.microscope.orientations)

    def illumination(self, time: int) -> Illumination:
        """Of a time point: what `estimate` holds, with the brightness and the position of the patterns there.

        A pattern that has moved is followed, and where none shows, that of the reference holds; both are warned of.

        Raises:
            InputError: certain stripes of other directions than those of the reference: not the same grouping.
        """
        given = Illumination(*(jnp.asarray(part) for part in self.estimate.illumination))
        if time == self.reference:
            return given
        light = self.light(time)
        now = _brightness(light, orientations=self.microscope.orientations)
        brightness = given.brightness * now / self._reference_brightness
        given = given._replace(brightness=brightness / brightness.mean())
        if self.known is not None and not self.known.refit_phases:
            return given
        measured = jax.device_get(_measure(light, given.wave_vector, self.otf))
        self._check_stripes(time, light, measured.confidence)
        moved = pattern_shift(self.estimate, measured)
        if np.abs(moved).max() > _MOVED and time not in self._told:
            self._told.add(time)
            degrees = ", ".join(f"{n:.0f}" for n in np.rad2deg(moved))
            self.warn(
                f"time {time + 1}: the patterns have moved by {degrees} degrees since time {self.reference + 1}; they "
                "are followed"
            )
        return given._replace(phase=given.phase + jnp.asarray(moved, jnp.float32)[:, None])

    def _check_stripes(self, time: int, light: np.ndarray, confidence: np.ndarray) -> None:
        """Whether stripes of the reference's wave vectors show at a time point, or others do."""
        if time in self._told or confidence.min() >= BY_CHANCE or self.estimate.confidence.min() < CONFIDENT:
            return
        self._told.add(time)
        alone = jax.device_get(_estimate(light, self.otf, orientations=self.microscope.orientations))
        if other_stripes(self.estimate, alone, self.frame_size):
            raise InputError(
                f"{self.stack.source}: times {self.reference + 1} and {time + 1} show stripes of different directions, "
                f"so the frames {self._not_grouped}"
            )
        numbers = ", ".join(f"{z:.1f}" for z in confidence)
        self.warn(
            f"time {time + 1}: the stripes do not show in every orientation (confidence {numbers}); where not, those "
            f"of time {self.reference + 1} are taken, which is right only if the patterns have not moved"
        )

"""A raw acquisition with what is known or found out about it: camera, OTF, illumination.

Contract: nothing is computed before it is asked for, and nothing twice; frames are read one time point at a time.
Camera, defects and illumination are found at the brightest time point (`reference`). At the others its wave vectors,
phase steps and modulation depths hold; brightness and position of the patterns are measured there, as far as the frames
show them.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from oidn_jax.acquisition.camera import CameraSettings
from oidn_jax.acquisition.checks import ORDER_DOUBT, OTHER_ORDER, check_pixels
from oidn_jax.acquisition.drift import SAID_FROM
from oidn_jax.acquisition.envelope import assess_envelopes
from oidn_jax.acquisition.frames import Frames
from oidn_jax.acquisition.illumination_file import KnownIllumination
from oidn_jax.acquisition.lit_field import LitField
from oidn_jax.acquisition.otf_damping import believable_damping, misfit_remark, taken_remark, unknown_remark
from oidn_jax.acquisition.stripes import Stripes
from oidn_jax.acquisition.time_stamp import unstamped
from oidn_jax.classical.assessment import assess, certain, other_stripes, repeated_stripes
from oidn_jax.classical.damping import Damping, fit_damping
from oidn_jax.classical.estimation import Estimate, harmonics_apart, measure_brightness, pattern_shift
from oidn_jax.data.raw_stack import RawStack
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.microscope import Microscope
from oidn_jax.optics.noise import NoiseModel
from oidn_jax.optics.transfer import TransferFunction

_MOVED = np.deg2rad(10.0)
_OTHER_ORDER_CERTAIN = 1.5
# A grouping of another number of frames comes round after as many images as that number has orientations, at most.
_COMPARED_TIMES = 3

_brightness = jax.jit(measure_brightness, static_argnames=("orientations",))


class GroupingError(InputError):
    """Certain stripes contradict the number of orientations and phases, or the order of the frames."""


class Acquisition:
    """One raw acquisition, or several of the same field in time.

    Attributes:
        frames: all that concerns the frames, but for the illumination.
        stripes: the search for it.
        stack: the frames, read without time stamps of the camera.
        microscope: what recorded it, with the pixel size of the frames where they tell it.
        known: its illumination, where it need not be estimated.
        pattern_period_nm: smallest and largest period of its stripes, where it is known.
        times: number of time points.
        frame_size: (h, w) of the raw frames.
        warnings: what the user should know, one line each, as far as it was found out.
        warn: `Frames.warn`.
        counts: `Frames.counts`.
        light: `Frames.light`.
    """

    def __init__(
        self,
        stack: RawStack,
        microscope: Microscope,
        *,
        camera: CameraSettings | None = None,
        known: KnownIllumination | None = None,
        pattern_period_nm: tuple[float, float] | None = None,
        harmonic: int | None = None,
        fit_damping: bool = False,
        correct_drift: bool = False,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        """Computes nothing yet.

        Args:
            stack: of the microscope's number of frames.
            microscope: whose pixel size holds where the stack has none.
            camera: what is known of it; the rest is estimated.
            known: the illumination, where it need not be estimated.
            pattern_period_nm: smallest and largest period of the stripes, in the sample; they are looked for to 5 %
                beyond. None for all that a microscope may have.
            harmonic: of the phases, that the pattern is: 1, or of an odd number of phases from 5 on 2, the fine pattern
                of three beams; None to find out, and to use both where both show.
            fit_damping: whether the microscope's `otf_damping` is a guess, for which that of the frames is taken where
                they tell it.
            correct_drift: move the frames of each orientation onto those of the middle one, before all else.
            warn: called with each line of `warnings`, after the name of the source.
        """
        if stack.shape[1] != microscope.frames:
            raise InputError(
                f"{stack.source} has {stack.shape[1]} frames per time point, but the microscope "
                f"{microscope.orientations} orientations x {microscope.phases} phases"
            )
        if harmonic not in (None, *harmonics_apart(microscope.phases)):
            raise IllegalValue(
                "harmonic", harmonic, f"legal: 1, and 2 with 5, 7, 9, ... phases (here {microscope.phases})"
            )
        if harmonic is not None and known is not None:
            raise IllegalValue("harmonic", harmonic, "a given illumination says it already; leave it out")
        if correct_drift and known is not None and not known.refit_phases:
            raise InputError(
                f"{known.path} holds phases of frames that were not moved; with `correct_drift` give `refit_phases` too"
            )
        stack = unstamped(stack)
        self.microscope = replace(microscope, pixel_size_nm=stack.pixel_size_nm or microscope.pixel_size_nm)
        self.frames = Frames(
            stack,
            self.microscope,
            camera=camera or CameraSettings(),
            known=known,
            correct_drift=correct_drift,
            warn=warn,
        )
        self.stripes = Stripes(self.frames, harmonic=harmonic, pattern_period_nm=pattern_period_nm)
        self.stack, self.known, self.pattern_period_nm = stack, known, pattern_period_nm
        self.times, self.frame_size = self.frames.times, self.frames.frame_size
        self.warnings, self.warn = self.frames.warnings, self.frames.warn
        self.counts, self.light = self.frames.counts, self.frames.light
        self._fit_damping = fit_damping and microscope.measured_otf is None
        self._illuminations: dict[int, Illumination] = {}
        self._told: set[int] = set()  # time points that a warning was given of

    @classmethod
    def of_frames(
        cls,
        raw_frames: Shaped[np.ndarray, "..."],
        microscope: Microscope,
        *,
        camera: CameraSettings | None = None,
        known: KnownIllumination | None = None,
        pattern_period_nm: tuple[float, float] | None = None,
        harmonic: int | None = None,
        fit_damping: bool = False,
        correct_drift: bool = False,
        warn: Callable[[str], None] | None = None,
        source: str = "frames",
    ) -> "Acquisition":
        """Of frames in memory.

        Args:
            raw_frames: (h, w, frames), or (time, h, w, frames); as the camera gave them, orientation slow, phase fast.
            microscope: what recorded them; its pixel size is theirs.
            camera: as in the constructor.
            known: as in the constructor.
            pattern_period_nm: as in the constructor.
            harmonic: as in the constructor.
            fit_damping: as in the constructor.
            correct_drift: as in the constructor.
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
        return cls(
            stack,
            microscope,
            camera=camera,
            known=known,
            pattern_period_nm=pattern_period_nm,
            harmonic=harmonic,
            fit_damping=fit_damping,
            correct_drift=correct_drift,
            warn=warn,
        )

    @property
    def fine_size(self) -> tuple[int, int]:
        """(h2, w2) of the super-resolved image."""
        return self.microscope.scale * self.frame_size[0], self.microscope.scale * self.frame_size[1]

    @property
    def reference(self) -> int:
        """`Frames.reference`."""
        return self.frames.reference

    @property
    def noise(self) -> NoiseModel:
        """`Frames.noise`."""
        return self.frames.noise

    @property
    def light_noise(self) -> NoiseModel:
        """`Frames.light_noise`."""
        return self.frames.light_noise

    @property
    def lit(self) -> LitField:
        """`Frames.lit`."""
        return self.frames.lit

    @property
    def inner(self) -> LitField:
        """`Frames.inner`."""
        return self.frames.inner

    @property
    def envelopes(self) -> Float[np.ndarray, "orientations bins_y bins_x"] | None:
        """`Frames.envelopes`."""
        return self.frames.envelopes

    def check(self, *, movement: bool = True) -> None:
        """Looks at the pixels of all time points; warnings say what is doubtful.

        Args:
            movement: whether to look for movement of the sample too, which a widefield image hardly suffers from, and
                which takes longer than that image.

        Raises:
            InputError: NaN or infinite pixels, or a frame of one value everywhere.
        """
        for line in self.stack.images.remarks:
            self.warn(line)
        if movement:
            _ = self.frames.drift
        for line in self.pixel_doubts():
            self.warn(line)

    def pixel_doubts(self) -> list[str]:
        """What `check_pixels` says, but for a doubt of the frame order that the stripes refute; and of the maps."""
        orientations, phases = self.microscope.orientations, self.microscope.phases
        lines = check_pixels(self.stack, orientations=orientations, phases=phases, survey=self.frames.survey)
        lines = [line for line in lines if not (line.startswith(ORDER_DOUBT) and self._order_shows())]
        return [*lines, *self.frames.misfit_of_maps()]

    def _order_shows(self) -> bool:
        """Whether every orientation certainly has stripes in the order given, and fewer in the other one.

        Phases that are not even make the widefield images of orientations differ, which looks like a wrong order; so
        does a sample that moved, and then weaker stripes are enough.
        """
        if self.microscope.phases < 3:
            return False
        try:
            _ = self.stripes.given_otf
        except InputError:  # pixels too coarse for SIM, which a widefield image does not mind
            return False
        light = self.light(self.reference)
        moved = self.frames.drift.largest >= SAID_FROM
        return (
            bool(moved or certain(self.stripes.found).all()) and self.stripes.other_order(light, self.stripes.found) < 1
        )

    @cached_property
    def otf(self) -> TransferFunction:
        """Of a raw frame, that of `optics`."""
        return self.optics.otf(aliased=True)

    @cached_property
    def optics(self) -> Microscope:
        """The microscope; where its damping is a guess and the frames tell it, with theirs."""
        fitted = believable_damping(self.microscope, self.damping) if self._fit_damping else None
        return self.microscope if fitted is None else replace(self.microscope, otf_damping=fitted)

    @cached_property
    def damping(self) -> Damping | None:
        """What the overlap of the bands says of the damping of `given_otf`; None where the stripes are not certain."""
        estimate = self._as_given
        if not certain(estimate).all():
            return None
        # The whole's phases differ from the inner part's by one angle for each orientation, which is fitted too.
        return fit_damping(self.inner.of(self.light(self.reference)), estimate.illumination, self.stripes.given_otf)

    def _damping_remark(self) -> str | None:
        """What the user should know of the damping."""
        misfit = misfit_remark(self.microscope, self.damping)
        if not self._fit_damping:
            return misfit
        if self.damping is not None and self.optics != self.microscope:
            return taken_remark(self.optics.otf_damping, self.damping)
        return misfit or unknown_remark(self.microscope)

    @cached_property
    def estimate(self) -> Estimate:
        """The illumination of the reference and how sure it is; warnings are given once.

        Raises:
            GroupingError: stripes that contradict the grouping of the frames, as `check_grouping` says.
        """
        estimate, doubts = self._found
        for doubt in doubts:
            self.warn(doubt)
        return estimate

    def check_grouping(self) -> None:
        """Looks whether certain stripes contradict the grouping of the frames, also for methods that need no stripes.

        Nothing is said of stripes that are weak, or of pixels that are too coarse to show any. A known illumination
        vouches for the grouping.

        Raises:
            GroupingError: two orientations with the same stripes; other directions at one of the next time points than
                at the reference.
            InputError: stripes that are those of the other order of phases and orientations.
        """
        if self.known is not None or self.microscope.phases < 3:
            return
        try:
            _ = self.stripes.given_otf
        except InputError:
            return
        estimate, _ = self._found
        if not certain(estimate).all():
            return
        numbers = range(self.times)[max(self.reference - _COMPARED_TIMES, 0) : self.reference + _COMPARED_TIMES + 1]
        for time in (time for time in numbers if time != self.reference):
            light = self.light(time)
            vector = estimate.illumination.wave_vector
            measured = self.stripes.measure(light, vector, self.otf, harmonics=estimate.harmonics)
            self._check_directions(time, light, measured)

    @cached_property
    def _found(self) -> tuple[Estimate, list[str]]:
        """The illumination of the reference, on the host, and what is doubtful about it."""
        light = self.light(self.reference)
        if self.optics == self.microscope:
            estimate = self._as_given
        elif self.known is None:
            estimate = self.stripes.search_again(light, self.otf)
        else:
            estimate = self.stripes.recall(light, self.known, self.otf)
        same = repeated_stripes(estimate, self.inner.lit_size) if self.known is None else None
        if same is not None:
            raise GroupingError(
                f"{self.stack.source}: orientations {same[0] + 1} and {same[1] + 1} "
                f"show the same stripes, so the frames {self._not_grouped}"
            )
        doubts = [*self.stripes.coarse_pixels(estimate), *assess(estimate)]
        # A wrong order is never free of warnings: what then passes for stripes has no common length and angle.
        if doubts and self.known is None:
            other = self.stripes.other_order(light, estimate)
            line = f"the stripes show better with phases and orientations exchanged; {OTHER_ORDER}"
            if other > _OTHER_ORDER_CERTAIN:
                raise InputError(f"{self.stack.source}: {line}")
            if other > 1 and not certain(estimate).all():
                doubts.insert(0, line)
        damping = self._damping_remark()
        doubts += ([] if damping is None else [damping]) + assess_envelopes(self.envelopes)
        return jax.device_get(estimate), doubts

    @cached_property
    def _as_given(self) -> Estimate:
        """The illumination of the reference, with the OTF as given."""
        if self.known is None:
            return self.stripes.found
        return self.stripes.recall(self.light(self.reference), self.known, self.stripes.given_otf)

    @cached_property
    def _reference_brightness(self) -> Array:
        return _brightness(self.inner.of(self.light(self.reference)), orientations=self.microscope.orientations)

    def illumination(self, time: int) -> Illumination:
        """Of a time point: what `estimate` holds, with the brightness and the position of the patterns there.

        A pattern that has moved is followed, and where none shows, that of the reference holds; both are warned of. A
        known illumination of as many time points has both for each of them; of another number, its phases hold at all.

        Raises:
            InputError: certain stripes of other directions than those of the reference: not the same grouping.
        """
        if time not in self._illuminations:
            self._illuminations[time] = self._illumination(time)
        return self._illuminations[time]

    def _illumination(self, time: int) -> Illumination:
        given = Illumination(*(jnp.asarray(part) for part in self.estimate.illumination))
        if self.known is not None and not self.known.refit_phases:
            phase, brightness = self.frames.stored.time_phase, self.frames.stored.time_brightness
            if phase is not None and brightness is not None and len(phase) == self.times:
                return given._replace(
                    phase=jnp.asarray(phase[time], jnp.float32), brightness=jnp.asarray(brightness[time], jnp.float32)
                )
        if time == self.reference:
            return given
        light = self.light(time)
        now = _brightness(self.inner.of(light), orientations=self.microscope.orientations)
        brightness = given.brightness * now / self._reference_brightness
        given = given._replace(brightness=brightness / brightness.mean())
        if self.known is not None and not self.known.refit_phases:
            return given
        measured = self.stripes.measure(light, given.wave_vector, self.otf, harmonics=self.estimate.harmonics)
        self._check_stripes(time, light, measured)
        moved = pattern_shift(self.estimate, measured)
        if np.abs(moved).max() > _MOVED and time not in self._told:
            self._told.add(time)
            degrees = ", ".join(f"{n:.0f}" for n in np.rad2deg(moved))
            self.warn(
                f"time {time + 1}: the patterns have moved by {degrees} degrees since time {self.reference + 1}; they "
                "are followed"
            )
        return given._replace(phase=given.phase + jnp.asarray(moved, jnp.float32)[:, None])

    def _check_stripes(self, time: int, light: np.ndarray, measured: Estimate) -> None:
        """Whether stripes of the reference's wave vectors show at a time point, or others do."""
        if time in self._told or certain(measured).all() or not certain(self.estimate).all():
            return
        self._told.add(time)
        self._check_directions(time, light, measured)
        numbers = ", ".join(f"{z:.1f}" for z in measured.confidence)
        self.warn(
            f"time {time + 1}: the stripes do not show in every orientation (confidence {numbers}); where not, those "
            f"of time {self.reference + 1} are taken, which is right only if the patterns have not moved"
        )

    def _check_directions(self, time: int, light: np.ndarray, measured: Estimate) -> None:
        """Refuses a time point that shows other stripes than the reference, of which this was measured there.

        Raises:
            GroupingError: certain stripes of other directions.
        """
        if certain(measured).all():
            return
        alone = self.stripes.estimate(light, self.otf, harmonic=measured.harmonics[-1])
        if other_stripes(self._found[0], alone, self.inner.lit_size):
            raise GroupingError(
                f"{self.stack.source}: times {self.reference + 1} and {time + 1} show stripes of different directions, "
                f"so the frames {self._not_grouped}"
            )

    @property
    def _not_grouped(self) -> str:
        return (
            f"are not grouped as {self.microscope.orientations} orientations of {self.microscope.phases} phases; check "
            "`orientations`, `phases`, `frame_order` and what the axes of the file are"
        )

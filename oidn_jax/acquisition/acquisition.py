"""A raw acquisition with what is known or found out about it: camera, OTF, illumination.

Contract: nothing is computed before it is asked for, and nothing twice; frames are read one time point at a time.
Camera, defects and illumination are found at the brightest time point (`reference`). At the others its wave vectors,
phase steps and modulation depths hold; brightness and position of the patterns are measured there, as far as the frames
show them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real, Shaped

from oidn_jax.acquisition.camera import CameraSettings, common_offset, noise_model
from oidn_jax.acquisition.camera_maps import misfit_of_maps
from oidn_jax.acquisition.checks import ORDER_DOUBT, OTHER_ORDER, PixelSurvey, check_frames, check_pixels, survey_pixels
from oidn_jax.acquisition.defects import Defects, find_defects, repair
from oidn_jax.acquisition.drift import SAID_FROM, Drift, measure_drift, undo_drift
from oidn_jax.acquisition.envelope import assess_envelopes, expand, find_envelopes
from oidn_jax.acquisition.illumination_file import StoredIllumination, read_illumination
from oidn_jax.acquisition.lit_field import LitField, LitPart, find_lit_part
from oidn_jax.acquisition.noisy_pixels import NoisyPixels, find_noisy, quieten
from oidn_jax.acquisition.otf_damping import believable_damping, misfit_remark, taken_remark, unknown_remark
from oidn_jax.acquisition.time_stamp import unstamped
from oidn_jax.classical.aliases import AMBIGUOUS
from oidn_jax.classical.assessment import (
    DEEP_ENOUGH,
    assess,
    certain,
    harmonics_agree,
    in_other_order,
    other_order_preference,
    other_stripes,
    repeated_stripes,
    second_harmonic_shows,
    shallowest,
)
from oidn_jax.classical.damping import Damping, fit_damping
from oidn_jax.classical.estimation import (
    Estimate,
    estimate_illumination,
    harmonics_apart,
    measure_brightness,
    measure_patterns,
    pattern_shift,
    vectors_of_one_grating,
)
from oidn_jax.classical.peaks import SEARCHED
from oidn_jax.classical.regression import wrapped
from oidn_jax.data.raw_stack import RawStack
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.microscope import Microscope
from oidn_jax.optics.noise import NoiseModel
from oidn_jax.optics.transfer import TransferFunction

_AS_BRIGHT = 0.9
_MOVED = np.deg2rad(10.0)
_OTHER_ORDER_CERTAIN = 1.5
_PERIOD_KNOWN_TO = 0.05  # of a pattern period that is given
# A grouping of another number of frames comes round after as many images as that number has orientations, at most.
_COMPARED_TIMES = 3

_estimate = jax.jit(estimate_illumination, static_argnames=("orientations", "harmonic", "aliased"))
_measure = jax.jit(measure_patterns, static_argnames=("harmonics",))
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


class GroupingError(InputError):
    """Certain stripes contradict the number of orientations and phases, or the order of the frames."""


class Acquisition:
    """One raw acquisition, or several of the same field in time.

    Attributes:
        stack: its frames, read without time stamps of the camera.
        microscope: what recorded it, with the pixel size of the frames where they tell it.
        known: its illumination, where it need not be estimated.
        pattern_period_nm: smallest and largest period of its stripes, where it is known.
        searched: range of the wave vectors' length, in parts of the cutoff.
        warnings: what the user should know, one line each, as far as it was found out.
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
        self.harmonic = harmonic
        self.stack, self.known, self.warnings = unstamped(stack), known, list[str]()
        self.microscope = replace(microscope, pixel_size_nm=stack.pixel_size_nm or microscope.pixel_size_nm)
        self._camera, self._callback = camera or CameraSettings(), warn
        self._maps = self._camera.maps(self.frame_size, bottom_first=stack.images.bottom_first, source=stack.source)
        self.pattern_period_nm = pattern_period_nm
        self.searched = self._range_of(pattern_period_nm)
        self.correct_drift = correct_drift
        self._fit_damping = fit_damping and microscope.measured_otf is None
        self._latest: tuple[int, Real[np.ndarray, "frames h w"]] | None = None
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

    def _range_of(self, pattern_period_nm: tuple[float, float] | None) -> tuple[float, float]:
        """|p| over the cutoff of the periods given.

        Raises:
            IllegalValue: periods that no microscope has.
        """
        if pattern_period_nm is None:
            return SEARCHED
        resolved = self.microscope.pixel_size_nm / self.microscope.cutoff
        smallest, largest = resolved / SEARCHED[1], resolved / SEARCHED[0]
        low, high = pattern_period_nm
        if not smallest <= low <= high <= largest:
            raise IllegalValue(
                "pattern_period_nm",
                f"{low:g}" if low == high else f"{low:g}-{high:g}",
                f"the periods of this microscope's stripes are from {smallest:.0f} to {largest:.0f} nm, in the sample",
            )
        shortest = max(resolved / (high * (1.0 + _PERIOD_KNOWN_TO)), SEARCHED[0])
        return shortest, min(resolved / (low * (1.0 - _PERIOD_KNOWN_TO)), SEARCHED[1])

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
            _ = self.drift
        for line in self.pixel_doubts():
            self.warn(line)

    def pixel_doubts(self) -> list[str]:
        """What `check_pixels` says, but for a doubt of the frame order that the stripes refute; and of the maps."""
        orientations, phases = self.microscope.orientations, self.microscope.phases
        lines = check_pixels(self.stack, orientations=orientations, phases=phases, survey=self.survey)
        lines = [line for line in lines if not (line.startswith(ORDER_DOUBT) and self._order_shows())]
        if self._maps.gain is None and self._maps.offset is None:
            return lines
        misfit = misfit_of_maps(self.stack.read(self.reference), self._read(self.reference))
        return lines if misfit is None else [*lines, misfit]

    def _order_shows(self) -> bool:
        """Whether every orientation certainly has stripes in the order given, and fewer in the other one.

        Phases that are not even make the widefield images of orientations differ, which looks like a wrong order; so
        does a sample that moved, and then weaker stripes are enough.
        """
        if self.microscope.phases < 3:
            return False
        try:
            _ = self.given_otf
        except InputError:  # pixels too coarse for SIM, which a widefield image does not mind
            return False
        light = self.light(self.reference)
        moved = self.drift.largest >= SAID_FROM
        return bool(moved or certain(self._stripes).all()) and self._other_order(light, self._stripes) < 1

    def _estimate(
        self, light: Float[np.ndarray, "frames h w"], otf: TransferFunction, *, harmonic: int = 1
    ) -> Estimate:
        """Of frames of the whole field, from its inner part."""
        estimate = _estimate(
            self.inner.of(light),
            otf,
            orientations=self.microscope.orientations,
            searched=self.searched,
            harmonic=harmonic,
            aliased=self.microscope.aliased,
        )
        return self._in_whole(estimate)

    def _measure(
        self,
        light: Float[np.ndarray, "frames h w"],
        wave_vector: Float[np.ndarray, "waves 2"] | Float[Array, "waves 2"],
        otf: TransferFunction,
        *,
        harmonics: tuple[int, ...],
    ) -> Estimate:
        """Likewise, with known wave vectors."""
        vector = jnp.asarray(wave_vector, jnp.float32)
        return self._in_whole(_measure(self.inner.of(light), vector, otf, harmonics=harmonics))

    def _in_whole(self, estimate: Estimate) -> Estimate:
        """What was found in the inner part, on the host, with the phases of the whole frames."""
        if self.inner.has_rim:
            illumination = self.inner.in_whole(estimate.illumination)
            single = self.inner.in_whole(estimate.illumination._replace(phase=estimate.single_phases)).phase
            estimate = estimate._replace(
                illumination=illumination._replace(phase=wrapped(illumination.phase)), single_phases=wrapped(single)
            )
        return jax.device_get(estimate)

    def _other_order(self, light: Float[np.ndarray, "frames h w"], estimate: Estimate) -> float:
        other = in_other_order(light, orientations=self.microscope.orientations)
        return other_order_preference(estimate, self._estimate(other, self.given_otf, harmonic=estimate.harmonics[-1]))

    @cached_property
    def reference(self) -> int:
        """The first of the brightest time points: one without light must not spoil the others."""
        light = self.survey.means.mean(1) - self.survey.darkest
        return int(np.argmax(light >= _AS_BRIGHT * light.max()))

    @cached_property
    def noise(self) -> NoiseModel:
        """Given or estimated, of each orientation; from the reference."""
        return noise_model(
            self.inner.of(self._mended(self.reference)),
            self._camera,
            orientations=self.microscope.orientations,
            ceiling=self._ceiling,
            source=self.stack.source,
            maps=self._maps,
            variance=None if self._noisy is None else self._noisy.variance,
        )

    @property
    def _ceiling(self) -> float | None:
        """Full scale of evened frames, if pixels have reached it: the smallest of their pixels."""
        full = self.survey.full_scale
        return None if full is None else float(self._evened(np.full((1, *self.frame_size), full)).min())

    def _evened(self, frames: Real[np.ndarray, "frames h w"]) -> Real[np.ndarray, "frames h w"]:
        """Frames as of a camera of even pixels, where maps of its pixels are known."""
        return self._maps.even(frames, offset=self._common_offset if self._maps.needs_offset else None)

    @cached_property
    def _common_offset(self) -> float:
        """Of all pixels, where no map says it: given, or as the uneven frames of the reference show it."""
        return common_offset(
            self.stack.read(self.reference),
            self._camera,
            orientations=self.microscope.orientations,
            ceiling=self.survey.full_scale,
            source=self.stack.source,
        )

    @cached_property
    def given_otf(self) -> TransferFunction:
        """Of a raw frame, as the microscope has it; good enough to find the illumination."""
        return self.microscope.otf(aliased=True)

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
        return fit_damping(self.inner.of(self.light(self.reference)), estimate.illumination, self.given_otf)

    def _damping_remark(self) -> str | None:
        """What the user should know of the damping."""
        misfit = misfit_remark(self.microscope, self.damping)
        if not self._fit_damping:
            return misfit
        if self.damping is not None and self.optics != self.microscope:
            return taken_remark(self.optics.otf_damping, self.damping)
        return misfit or unknown_remark(self.microscope)

    @cached_property
    def defects(self) -> Defects:
        """Hot and dead pixels, columns and rows of the reference; warnings name them."""
        variance = self._maps.even_variance
        defects = find_defects(self._read(self.reference), cutoff=self.microscope.cutoff, variance=variance)
        for line in defects.describe():
            self.warn(line)
        return defects

    @cached_property
    def _recorded(self) -> LitPart:
        """The lit part of the frames as recorded."""
        frames = self._mended(self.reference)
        return find_lit_part(frames.reshape(self.microscope.orientations, -1, *self.frame_size))

    @cached_property
    def _lit_part(self) -> LitPart:
        """That of `counts`; a warning says if it is not all."""
        part = self._recorded
        if not part.inner.has_rim:
            return part
        if self.correct_drift:
            part = part.shrunk(math.ceil(self.drift.largest) + 1)
        rectangle = f"{part.inner} (counted from 0)"
        self.warn(
            f"only {rectangle} are lit; the rim is left out, and is 0 in classical images"
            if part.inner == part.bounds
            else f"the lit part of the frames is no rectangle: all is estimated in {rectangle}, the largest within it; "
            "beside its edge the image rings and is not to be trusted"
        )
        return part

    @property
    def lit(self) -> LitField:
        """The part of the frames that images are made of."""
        return self._lit_part.bounds

    @property
    def inner(self) -> LitField:
        """The part of `lit` that all is estimated in: less of it where the lit pixels are no rectangle."""
        return self._lit_part.inner

    @cached_property
    def drift(self) -> Drift:
        """Of the reference, between its orientations; a warning says it from 0.3 pixels on."""
        drift = self._measure_drift(self._mended(self.reference))
        if drift.largest >= SAID_FROM:
            remedy = "this is undone" if self.correct_drift else "give `correct_drift` to undo it"
            self.warn(
                f"the sample moved between the orientations: against the middle one by (y, x) {drift} pixels; {remedy}"
            )
        return drift

    def _measure_drift(self, frames: Real[np.ndarray, "frames h w"]) -> Drift:
        return measure_drift(
            self._recorded.inner.of(frames), orientations=self.microscope.orientations, cutoff=self.microscope.cutoff
        )

    def counts(self, time: int) -> Real[np.ndarray, "frames h w"]:
        """The frames of a time point as stored, but for the camera's pattern, defects and drift; the latest are kept.

        Raises:
            IndexError: a time point that there is not.
            InputError: pixels that `checks.check_frames` refuses.
        """
        if self._latest is None or self._latest[0] != time:
            frames = self._mended(time)
            if self.correct_drift:
                frames = undo_drift(frames, self.drift if time == self.reference else self._measure_drift(frames))
            self._latest = time, frames
        return self._latest[1]

    def _mended(self, time: int) -> Real[np.ndarray, "frames h w"]:
        frames = repair(self._read(time), self.defects)
        return frames if self._noisy is None else quieten(frames, self._noisy)

    @cached_property
    def _noisy(self) -> NoisyPixels | None:
        """Noisy pixels of the reference, where the variance of the pixels is known."""
        variance = self._maps.even_variance
        return None if variance is None else find_noisy(repair(self._read(self.reference), self.defects), variance)

    def _read(self, time: int) -> Real[np.ndarray, "frames h w"]:
        """As stored, but evened. Checked here too: who calls a method need not have called `check`."""
        frames = self.stack.read(time)
        check_frames(frames, time=time, source=self.stack.source)
        return self._evened(frames)

    def light(self, time: int) -> Float[np.ndarray, "frames h w"]:
        """The frames of a time point without the camera's offset, as of even illumination (`envelopes`)."""
        light = self._uneven_light(time)
        if self._field is None:
            return light
        return (light.reshape(*self._field.shape[:1], -1, *self.frame_size) / self._field[:, None]).reshape(light.shape)

    @property
    def light_noise(self) -> NoiseModel:
        """Of `light`, which has no offset: per orientation, and where the illumination is uneven for each pixel."""
        gain, dark = (np.asarray(part, np.float32) for part in (self.noise.gain, self.noise.dark_variance))
        if self._field is not None:
            dark = dark.reshape(*dark.shape, *(1,) * (3 - dark.ndim))
            gain, dark = gain[:, None, None] / self._field, dark / self._field**2
        return NoiseModel(gain, np.zeros_like(gain), dark)

    def _uneven_light(self, time: int) -> Float[np.ndarray, "frames h w"]:
        offset = np.repeat(self.noise.offset, self.microscope.phases)
        light = self.counts(time).astype(np.float32) - offset[:, None, None].astype(np.float32)
        return self._lit_part.without_rim(light)

    @cached_property
    def envelopes(self) -> Float[np.ndarray, "orientations bins_y bins_x"] | None:
        """How the orientations differ in brightness over the field (`acquisition.envelope`); None where they do not.

        Of the reference, or of the known illumination; they hold at all time points.
        """
        if self.known is not None and not self.known.refit_phases:
            return self._stored.envelopes
        shape = (self.microscope.orientations, self.microscope.phases, *self.frame_size)
        return find_envelopes(self._uneven_light(self.reference).reshape(shape), self.noise)

    @cached_property
    def _field(self) -> Float[np.ndarray, "orientations h w"] | None:
        return None if self.envelopes is None else expand(self.envelopes, self.frame_size).astype(np.float32)

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
            _ = self.given_otf
        except InputError:
            return
        estimate, _ = self._found
        if not certain(estimate).all():
            return
        numbers = range(self.times)[max(self.reference - _COMPARED_TIMES, 0) : self.reference + _COMPARED_TIMES + 1]
        for time in (time for time in numbers if time != self.reference):
            light = self.light(time)
            vector = estimate.illumination.wave_vector
            measured = self._measure(light, vector, self.otf, harmonics=estimate.harmonics)
            self._check_directions(time, light, measured)

    @cached_property
    def _found(self) -> tuple[Estimate, list[str]]:
        """The illumination of the reference, on the host, and what is doubtful about it."""
        light = self.light(self.reference)
        if self.optics == self.microscope:
            estimate = self._as_given
        elif self.known is None:
            estimate = self._search_again(light, self.otf)
        else:
            estimate = self._recall(light, self.known, self.otf)
        same = repeated_stripes(estimate, self.inner.lit_size) if self.known is None else None
        if same is not None:
            raise GroupingError(
                f"{self.stack.source}: orientations {same[0] + 1} and {same[1] + 1} "
                f"show the same stripes, so the frames {self._not_grouped}"
            )
        doubts = [*self._coarse_pixels(estimate), *assess(estimate)]
        # A wrong order is never free of warnings: what then passes for stripes has no common length and angle.
        if doubts and self.known is None:
            other = self._other_order(light, estimate)
            line = f"the stripes show better with phases and orientations exchanged; {OTHER_ORDER}"
            if other > _OTHER_ORDER_CERTAIN:
                raise InputError(f"{self.stack.source}: {line}")
            if other > 1 and not certain(estimate).all():
                doubts.insert(0, line)
        damping = self._damping_remark()
        doubts += ([] if damping is None else [damping]) + assess_envelopes(self.envelopes)
        return jax.device_get(estimate), doubts

    def _coarse_pixels(self, estimate: Estimate) -> list[str]:
        """What pixels that are too coarse for the objective do to the image.

        Raises:
            InputError: stripes that cannot be told from others.
        """
        microscope, estimate = self.microscope, estimate.finest
        other = np.asarray(estimate.other_copy)
        if not microscope.aliased:
            return []
        pixels = (
            f"the pixels of {microscope.pixel_size_nm:g} nm are "
            f"{100 * (microscope.pixel_size_nm / microscope.coarsest_pixel_nm - 1):.0f} % larger than the "
            f"{microscope.coarsest_pixel_nm:.1f} nm that hold all that the objective passes"
        )
        if other.max() > AMBIGUOUS:
            raise InputError(
                f"{self.stack.source}: {pixels}, and the stripes of orientation {int(other.argmax()) + 1} cannot be "
                f"told from others that look the same to the camera (which have an evidence {other.max():.2f} of "
                f"theirs, {AMBIGUOUS:g} at most will do); record smaller pixels, or give an `illumination`"
            )
        shown = certain(estimate)
        if self.known is None and not shown.all():
            raise InputError(
                f"{self.stack.source}: {pixels}, and orientation {int(shown.argmin()) + 1} shows no stripes for "
                "certain, so that they cannot be told from others that look the same to the camera; record smaller "
                "pixels or more light, or give an `illumination`"
            )
        lengths = np.linalg.norm(np.asarray(estimate.illumination.wave_vector), axis=-1)
        line = f"{pixels}: its finest periods are mixed with others and hardly used"
        if microscope.cutoff + lengths.mean() > microscope.scale / 2.0:
            line += f"; the image's pixels do not hold all of the rest, a `scale` of {microscope.scale + 1} does"
        return [line]

    @cached_property
    def _as_given(self) -> Estimate:
        """The illumination of the reference, with the OTF as given."""
        if self.known is None:
            return self._stripes
        return self._recall(self.light(self.reference), self.known, self.given_otf)

    @cached_property
    def _stripes(self) -> Estimate:
        """Those of the reference, whatever is known."""
        light, otf = self.light(self.reference), self.given_otf
        first = self._estimate(light, otf, harmonic=self.harmonic or 1)
        if self.harmonic is not None or 2 not in harmonics_apart(self.microscope.phases):
            return first
        second = self._estimate(light, otf, harmonic=2)
        fine = second_harmonic_shows(first, second, self.inner.lit_size)
        # Twice the vectors of two beams lies beyond what is searched: there is no second harmonic to look for.
        if not fine and not (certain(first).all() and 2 * _length(first) <= self.searched[1] * float(otf.cutoff)):
            return first
        both = self._of_both(light, otf, first, second)
        if certain(both).all() and shallowest(both) >= DEEP_ENOUGH:
            self.warn(f"three-beam data: {_harmonics_used(both)}")
            return both
        if fine:
            self.warn(f"three-beam data: {_harmonics_used(second)}")
            return second
        reach = [self.microscope.pixel_size_nm / (float(otf.cutoff) + h * _length(first)) for h in (1, 2)]
        self.warn(
            f"the second harmonic of the {self.microscope.phases} phases does not show, only the first (periods of "
            f"{_periods(first)} pixels), which is used: if these are three-beam data, the image resolves periods down "
            f"to {reach[0]:.0f} nm instead of {reach[1]:.0f} nm; record more light, or give an `illumination`"
        )
        return first

    def _of_both(
        self, light: Float[np.ndarray, "frames h w"], otf: TransferFunction, first: Estimate, second: Estimate
    ) -> Estimate:
        """Both harmonics of three beams, at the vectors of one grating.

        One of the two leads: it was found without the other, and what its search says of chance stays.
        """
        leader = second if second_harmonic_shows(first, second, self.inner.lit_size) else first
        agree = harmonics_agree(first, second, self.inner.lit_size)
        vector = vectors_of_one_grating(first, second, agree=agree, leader=leader)
        both = self._measure(light, vector, otf, harmonics=(1, 2))
        chance = np.array(both.false_alarm).reshape(-1, 2)
        chance[:, leader.harmonics[0] - 1] = leader.false_alarm
        other_copy = np.repeat(np.broadcast_to(leader.other_copy, len(chance)), 2)
        return both._replace(false_alarm=chance.ravel(), joint=leader.joint, other_copy=other_copy)

    def _search_again(self, light: Float[np.ndarray, "frames h w"], otf: TransferFunction) -> Estimate:
        """What `_stripes` has found, with another OTF."""
        alone = [self._estimate(light, otf, harmonic=harmonic) for harmonic in self._stripes.harmonics]
        return alone[0] if len(alone) == 1 else self._of_both(light, otf, *alone)

    @property
    def _not_grouped(self) -> str:
        return (
            f"are not grouped as {self.microscope.orientations} orientations of {self.microscope.phases} phases; check "
            "`orientations`, `phases`, `frame_order` and what the axes of the file are"
        )

    @cached_property
    def _stored(self) -> StoredIllumination:
        assert self.known is not None
        known, microscope = self.known, self.microscope
        stored = read_illumination(
            known.path,
            orientations=microscope.orientations,
            phases=microscope.phases,
            pixel_size_nm=microscope.pixel_size_nm,
        )
        if not known.refit_phases and stored.drift_undone:
            raise InputError(
                f"{known.path} holds phases of frames whose drift was undone, which do not hold for others; give "
                "`refit_phases` to take the wave vectors only"
            )
        if not known.refit_phases and stored.frame_size != self.frame_size:
            raise InputError(
                f"{known.path} was found in frames of {stored.frame_size[0]} x {stored.frame_size[1]} pixels, but "
                f"{self.stack.source} has {self.frame_size[0]} x {self.frame_size[1]}, so its phases do not hold here; "
                "give `refit_phases` to take the wave vectors only"
            )
        return stored

    def _recall(
        self, light: Float[np.ndarray, "frames h w"], known: KnownIllumination, otf: TransferFunction
    ) -> Estimate:
        stored = self._stored
        measured = self._measure(light, stored.wave_vector, otf, harmonics=stored.harmonics)
        if known.refit_phases:
            return measured
        given = measured.illumination._replace(
            phase=jnp.asarray(stored.phase, jnp.float32),
            modulation_depth=jnp.asarray(stored.modulation_depth, jnp.float32),
        )
        return measured._replace(illumination=given)

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
            phase, brightness = self._stored.time_phase, self._stored.time_brightness
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
        measured = self._measure(light, given.wave_vector, self.otf, harmonics=self.estimate.harmonics)
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
        alone = self._estimate(light, self.otf, harmonic=measured.harmonics[-1])
        if other_stripes(self._found[0], alone, self.inner.lit_size):
            raise GroupingError(
                f"{self.stack.source}: times {self.reference + 1} and {time + 1} show stripes of different directions, "
                f"so the frames {self._not_grouped}"
            )


def _length(estimate: Estimate) -> float:
    """Mean |p|, cycles per raw pixel."""
    return float(np.linalg.norm(np.asarray(estimate.illumination.wave_vector), axis=-1).mean())


def _periods(estimate: Estimate) -> str:
    """Of the orientations, raw pixels."""
    return ", ".join(f"{1 / np.hypot(*vector):.2f}" for vector in np.asarray(estimate.illumination.wave_vector))


def _harmonics_used(estimate: Estimate) -> str:
    """In words, of three-beam data."""
    fine = f"the second harmonic of the phases (periods of {_periods(estimate.finest)} pixels)"
    if len(estimate.harmonics) == 1:
        return f"{fine} is the pattern; the first, of twice the period, does not show for certain and is not used"
    depths = ", ".join(f"{m:.2f}" for m in estimate.of_wave(0).illumination.modulation_depth)
    return (
        f"{fine} and the first, of twice the period (modulation depths {depths}), are both used; `harmonic` of 1 or 2 "
        "takes one alone"
    )

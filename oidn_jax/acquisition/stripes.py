"""The stripes in the frames of an acquisition: searched, measured, compared with those of another order or harmonic.

All is found in `Frames.inner`, with the phases of the whole frames.
"""

from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax.acquisition.frames import Frames
from oidn_jax.acquisition.illumination_file import KnownIllumination
from oidn_jax.classical.aliases import AMBIGUOUS
from oidn_jax.classical.assessment import (
    DEEP_ENOUGH,
    certain,
    harmonics_agree,
    in_other_order,
    other_order_preference,
    second_harmonic_shows,
    shallowest,
)
from oidn_jax.classical.estimation import (
    Estimate,
    estimate_illumination,
    harmonics_apart,
    measure_patterns,
    vectors_of_one_grating,
)
from oidn_jax.classical.peaks import SEARCHED
from oidn_jax.classical.regression import wrapped
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.optics.microscope import Microscope
from oidn_jax.optics.transfer import TransferFunction

_PERIOD_KNOWN_TO = 0.05  # of a pattern period that is given

_estimate = jax.jit(estimate_illumination, static_argnames=("orientations", "harmonic", "aliased"))
_measure = jax.jit(measure_patterns, static_argnames=("harmonics",))


class Stripes:
    """The stripes in some frames.

    Attributes:
        frames: that show them.
        microscope: what recorded these.
        harmonic: of the phases, that the pattern is; None to find out.
        searched: range of the wave vectors' length, in parts of the cutoff.
    """

    def __init__(self, frames: Frames, *, harmonic: int | None, pattern_period_nm: tuple[float, float] | None) -> None:
        """Computes nothing yet; the arguments are those of `Acquisition`."""
        self.frames, self.microscope, self.harmonic = frames, frames.microscope, harmonic
        self.searched = _range_of(pattern_period_nm, self.microscope)

    def estimate(self, light: Float[np.ndarray, "frames h w"], otf: TransferFunction, *, harmonic: int = 1) -> Estimate:
        """Of frames of the whole field, from its inner part."""
        estimate = _estimate(
            self.frames.inner.of(light),
            otf,
            orientations=self.microscope.orientations,
            searched=self.searched,
            harmonic=harmonic,
            aliased=self.microscope.aliased,
        )
        return self._in_whole(estimate)

    def measure(
        self,
        light: Float[np.ndarray, "frames h w"],
        wave_vector: Float[np.ndarray, "waves 2"] | Float[Array, "waves 2"],
        otf: TransferFunction,
        *,
        harmonics: tuple[int, ...],
    ) -> Estimate:
        """Likewise, with known wave vectors."""
        vector = jnp.asarray(wave_vector, jnp.float32)
        return self._in_whole(_measure(self.frames.inner.of(light), vector, otf, harmonics=harmonics))

    def _in_whole(self, estimate: Estimate) -> Estimate:
        """What was found in the inner part, on the host, with the phases of the whole frames."""
        if self.frames.inner.has_rim:
            illumination = self.frames.inner.in_whole(estimate.illumination)
            single = self.frames.inner.in_whole(estimate.illumination._replace(phase=estimate.single_phases)).phase
            estimate = estimate._replace(
                illumination=illumination._replace(phase=wrapped(illumination.phase)), single_phases=wrapped(single)
            )
        return jax.device_get(estimate)

    def other_order(self, light: Float[np.ndarray, "frames h w"], estimate: Estimate) -> float:
        """How much more the stripes show with phases and orientations exchanged (`other_order_preference`)."""
        other = in_other_order(light, orientations=self.microscope.orientations)
        return other_order_preference(estimate, self.estimate(other, self.given_otf, harmonic=estimate.harmonics[-1]))

    @cached_property
    def given_otf(self) -> TransferFunction:
        """Of a raw frame, as the microscope has it; good enough to find the illumination."""
        return self.microscope.otf(aliased=True)

    @cached_property
    def found(self) -> Estimate:
        """Those of the reference, whatever is known."""
        light, otf = self.frames.light(self.frames.reference), self.given_otf
        first = self.estimate(light, otf, harmonic=self.harmonic or 1)
        if self.harmonic is not None or 2 not in harmonics_apart(self.microscope.phases):
            return first
        second = self.estimate(light, otf, harmonic=2)
        fine = second_harmonic_shows(first, second, self.frames.inner.lit_size)
        # Twice the vectors of two beams lies beyond what is searched: there is no second harmonic to look for.
        if not fine and not (certain(first).all() and 2 * _length(first) <= self.searched[1] * float(otf.cutoff)):
            return first
        both = self._of_both(light, otf, first, second)
        if certain(both).all() and shallowest(both) >= DEEP_ENOUGH:
            self.frames.warn(f"three-beam data: {_harmonics_used(both)}")
            return both
        if fine:
            self.frames.warn(f"three-beam data: {_harmonics_used(second)}")
            return second
        reach = [self.microscope.pixel_size_nm / (float(otf.cutoff) + h * _length(first)) for h in (1, 2)]
        self.frames.warn(
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
        leader = second if second_harmonic_shows(first, second, self.frames.inner.lit_size) else first
        agree = harmonics_agree(first, second, self.frames.inner.lit_size)
        vector = vectors_of_one_grating(first, second, agree=agree, leader=leader)
        both = self.measure(light, vector, otf, harmonics=(1, 2))
        chance = np.array(both.false_alarm).reshape(-1, 2)
        chance[:, leader.harmonics[0] - 1] = leader.false_alarm
        other_copy = np.repeat(np.broadcast_to(leader.other_copy, len(chance)), 2)
        return both._replace(false_alarm=chance.ravel(), joint=leader.joint, other_copy=other_copy)

    def search_again(self, light: Float[np.ndarray, "frames h w"], otf: TransferFunction) -> Estimate:
        """What `found` says, with another OTF."""
        alone = [self.estimate(light, otf, harmonic=harmonic) for harmonic in self.found.harmonics]
        return alone[0] if len(alone) == 1 else self._of_both(light, otf, *alone)

    def recall(
        self, light: Float[np.ndarray, "frames h w"], known: KnownIllumination, otf: TransferFunction
    ) -> Estimate:
        """The known illumination in frames of light; measured there but for what it says."""
        stored = self.frames.stored
        measured = self.measure(light, stored.wave_vector, otf, harmonics=stored.harmonics)
        if known.refit_phases:
            return measured
        given = measured.illumination._replace(
            phase=jnp.asarray(stored.phase, jnp.float32),
            modulation_depth=jnp.asarray(stored.modulation_depth, jnp.float32),
        )
        return measured._replace(illumination=given)

    def coarse_pixels(self, estimate: Estimate) -> list[str]:
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
                f"{self.frames.stack.source}: {pixels}, and the stripes of orientation {int(other.argmax()) + 1} "
                "cannot be told from others that look the same to the camera (which have an evidence "
                f"{other.max():.2f} of theirs, {AMBIGUOUS:g} at most will do); record smaller pixels, or give an "
                "`illumination`"
            )
        shown = certain(estimate)
        if self.frames.known is None and not shown.all():
            raise InputError(
                f"{self.frames.stack.source}: {pixels}, and orientation {int(shown.argmin()) + 1} shows no stripes for "
                "certain, so that they cannot be told from others that look the same to the camera; record smaller "
                "pixels or more light, or give an `illumination`"
            )
        lengths = np.linalg.norm(np.asarray(estimate.illumination.wave_vector), axis=-1)
        line = f"{pixels}: its finest periods are mixed with others and hardly used"
        if microscope.cutoff + lengths.mean() > microscope.scale / 2.0:
            line += f"; the image's pixels do not hold all of the rest, a `scale` of {microscope.scale + 1} does"
        return [line]


def _range_of(pattern_period_nm: tuple[float, float] | None, microscope: Microscope) -> tuple[float, float]:
    """|p| over the cutoff of the periods given.

    Raises:
        IllegalValue: periods that no microscope has.
    """
    if pattern_period_nm is None:
        return SEARCHED
    resolved = microscope.pixel_size_nm / microscope.cutoff
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

"""A raw acquisition with what is known or found out about it: camera, OTF, illumination.

Contract: nothing is computed before it is asked for, and nothing twice. The illumination is estimated at the first time
point and reused for the others, but for the brightness of the frames, which bleaching changes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Real

from oidn_jax.classical.assessment import assess, other_order_fits
from oidn_jax.classical.estimation import Estimate, estimate_illumination, measure_brightness, measure_patterns
from oidn_jax.optics.microscope import Microscope
from oidn_jax.acquisition.defects import find_defects, repair
from oidn_jax.errors import InputError
from oidn_jax.data.raw_stack import RawStack
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.transfer import TransferFunction
from oidn_jax.acquisition.camera import CameraLine, CameraSettings, camera_of
from oidn_jax.acquisition.illumination_file import read_illumination

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


@dataclass(frozen=True)
class Acquisition:
    """One raw file.

    Attributes:
        stack: its frames.
        microscope: what recorded it.
        camera_settings: what is known of the camera.
        known: its illumination, where it need not be estimated.
        warn: called with one line for each thing the user should know.
        warnings: what `warn` was called with about the illumination.
    """

    stack: RawStack
    microscope: Microscope
    camera_settings: CameraSettings
    known: KnownIllumination | None
    warn: Callable[[str], None]
    warnings: list[str] = field(default_factory=list)

    @property
    def times(self) -> int:
        """Number of time points."""
        return len(self.stack.frames)

    @property
    def frame_size(self) -> tuple[int, int]:
        """(h, w) of the raw frames."""
        return self.stack.frames.shape[2], self.stack.frames.shape[3]

    @property
    def pixel_size_nm(self) -> float:
        """Of the raw frames: the file's, or else the microscope's."""
        return self.stack.pixel_size_nm or self.microscope.pixel_size_nm

    @cached_property
    def camera(self) -> CameraLine:
        """Given or estimated."""
        return camera_of(self.stack, self.camera_settings, orientations=self.microscope.orientations)

    @cached_property
    def otf(self) -> TransferFunction:
        """Of a raw frame."""
        return self.microscope.otf(pixel_size_nm=self.pixel_size_nm)

    @cached_property
    def defects(self) -> Bool[np.ndarray, "h w"]:
        """Hot and dead pixels; a warning says how many."""
        found = find_defects(self.stack.frames[0])
        if found.any():
            self.warn(
                f"{self.stack.source}: {np.count_nonzero(found)} hot or dead pixels are replaced by the median of "
                "their neighbours"
            )
        return found

    @cached_property
    def counts(self) -> Real[np.ndarray, "time frames h w"]:
        """The frames with hot and dead pixels replaced; those of the stack itself where there are none."""
        if not self.defects.any():
            return self.stack.frames
        return np.stack([repair(frames, self.defects) for frames in self.stack.frames])

    def light(self, time: int) -> Float[np.ndarray, "frames h w"]:
        """The frames of a time point without the camera's offset."""
        offset = np.repeat(self.camera.offset, self.microscope.phases)
        return self.counts[time].astype(np.float32) - offset[:, None, None].astype(np.float32)

    @cached_property
    def estimate(self) -> Estimate:
        """The illumination of the first time point and how sure it is; warnings are given once."""
        light = self.light(0)
        if self.known is None:
            found = _estimate(light, self.otf, orientations=self.microscope.orientations)
        else:
            found = self._recall(light)
        said = assess(found)
        # A wrong order is never free of warnings: what then passes for stripes has no common length and angle.
        doubtful = said and self.known is None
        if doubtful and other_order_fits(jnp.asarray(light), found.confidence, cutoff=self.otf.cutoff):
            said.insert(0, "the stripes show better in the other frame order; try the other --frame-order")
        self.warnings.extend(said)
        for warning in said:
            self.warn(f"{self.stack.source}: {warning}")
        return jax.device_get(found)

    def _recall(self, light: Float[np.ndarray, "frames h w"]) -> Estimate:
        known, microscope = self.known, self.microscope
        assert known is not None
        stored = read_illumination(
            known.path,
            orientations=microscope.orientations,
            phases=microscope.phases,
            pixel_size_nm=self.pixel_size_nm,
        )
        if not known.refit_phases and stored.frame_size != self.frame_size:
            raise InputError(
                f"{known.path} was found in frames of {stored.frame_size[0]} x {stored.frame_size[1]} pixels, but "
                f"{self.stack.source} has {self.frame_size[0]} x {self.frame_size[1]}, so its phases do not hold here; "
                "give --refit-phases to take the wave vectors only"
            )
        measured = _measure(light, jnp.asarray(stored.wave_vector, jnp.float32), self.otf)
        if known.refit_phases:
            return measured
        given = measured.illumination._replace(
            phase=jnp.asarray(stored.phase, jnp.float32),
            modulation_depth=jnp.asarray(stored.modulation_depth, jnp.float32),
        )
        return measured._replace(illumination=given)

    def _means(self, light: Float[np.ndarray, "frames h w"]) -> Array:
        return _brightness(light, orientations=self.microscope.orientations)

    def illumination(self, time: int) -> Illumination:
        """Of a time point."""
        given = Illumination(*(jnp.asarray(part) for part in self.estimate.illumination))
        if time == 0:
            return given
        first, now = (self._means(self.light(t)) for t in (0, time))
        brightness = given.brightness * now / first
        return given._replace(brightness=brightness / brightness.mean())

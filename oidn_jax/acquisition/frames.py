"""The frames of a raw acquisition as light: camera, defects, rim, drift, uneven illumination.

Contract: as that of `acquisition.acquisition`; what holds at all time points is found at the brightest (`reference`).
"""

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np
from jaxtyping import Float, Real

from oidn_jax.acquisition.camera import CameraSettings, common_offset, noise_model
from oidn_jax.acquisition.camera_maps import misfit_of_maps, misfit_of_variance
from oidn_jax.acquisition.checks import PixelSurvey, check_frames, survey_pixels
from oidn_jax.acquisition.defects import Defects, find_defects, repair
from oidn_jax.acquisition.drift import SAID_FROM, Drift, measure_drift, undo_drift
from oidn_jax.acquisition.envelope import expand, find_envelopes
from oidn_jax.acquisition.illumination_file import KnownIllumination, StoredIllumination
from oidn_jax.acquisition.lit_field import LitField, LitPart, find_lit_part
from oidn_jax.acquisition.noisy_pixels import NoisyPixels, find_noisy, quieten
from oidn_jax.data.raw_stack import RawStack
from oidn_jax.optics.microscope import Microscope
from oidn_jax.optics.noise import NoiseModel

_AS_BRIGHT = 0.9


class Frames:
    """The frames of one acquisition.

    Attributes:
        stack: the frames as stored, without time stamps of the camera.
        microscope: what recorded them.
        known: their illumination, where it need not be estimated.
        correct_drift: whether the frames of each orientation are moved onto those of the middle one.
        warnings: what the user should know, one line each, as far as it was found out.
    """

    def __init__(
        self,
        stack: RawStack,
        microscope: Microscope,
        *,
        camera: CameraSettings,
        known: KnownIllumination | None,
        correct_drift: bool,
        warn: Callable[[str], None] | None,
    ) -> None:
        """Computes nothing yet; the arguments are those of `Acquisition`."""
        self.stack, self.microscope, self.known = stack, microscope, known
        self.correct_drift, self.warnings = correct_drift, list[str]()
        self._camera, self._callback = camera, warn
        self._maps = camera.maps(self.frame_size, bottom_first=stack.images.bottom_first, source=stack.source)
        self._latest: tuple[int, Real[np.ndarray, "frames h w"]] | None = None

    @property
    def times(self) -> int:
        """Number of time points."""
        return self.stack.shape[0]

    @property
    def frame_size(self) -> tuple[int, int]:
        """(h, w) of the raw frames."""
        return self.stack.shape[2], self.stack.shape[3]

    def warn(self, message: str) -> None:
        """Keeps a line of warning, and passes it on."""
        self.warnings.append(message)
        if self._callback is not None:
            self._callback(f"{self.stack.source}: {message}")

    @cached_property
    def survey(self) -> PixelSurvey:
        """What one pass over the pixels of all time points tells."""
        return survey_pixels(self.stack)

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
            return self.stored.envelopes
        shape = (self.microscope.orientations, self.microscope.phases, *self.frame_size)
        return find_envelopes(self._uneven_light(self.reference).reshape(shape), self.noise)

    @cached_property
    def _field(self) -> Float[np.ndarray, "orientations h w"] | None:
        return None if self.envelopes is None else expand(self.envelopes, self.frame_size).astype(np.float32)

    def misfit_of_maps(self) -> list[str]:
        """Lines of warning where the maps of the camera do not fit the reference."""
        lines = list[str | None]()
        if self._maps.gain is not None or self._maps.offset is not None:
            lines.append(misfit_of_maps(self.stack.read(self.reference), self._read(self.reference)))
        if self._maps.even_variance is not None:
            lines.append(misfit_of_variance(self._maps.even_variance, self._read(self.reference)))
        return [line for line in lines if line is not None]

    @cached_property
    def stored(self) -> StoredIllumination:
        """What the file of the known illumination holds."""
        assert self.known is not None
        return self.known.read(self.microscope, frame_size=self.frame_size, source=self.stack.source)

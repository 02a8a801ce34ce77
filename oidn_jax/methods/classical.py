"""Images by classical methods: widefield, Wiener SIM, HiFi-SIM, total variation."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from oidn_jax.acquisition.acquisition import Acquisition
from oidn_jax.acquisition.diagnostics import GHOSTS, pattern_left
from oidn_jax.classical.images import ClassicalOptions, compiled_image, with_published_notch
from oidn_jax.classical.total_variation import STRENGTH, total_variation_sim
from oidn_jax.classical.widefield import widefield
from oidn_jax.classical.wiener import Attenuation
from oidn_jax.errors import IllegalValue
from oidn_jax.methods.method import Image, Progress, check_finite, no_progress
from oidn_jax.optics.microscope import Microscope

LABELS = {
    "widefield": "Widefield",
    "wiener": "Wiener SIM",
    "true-wiener": "True-Wiener SIM",
    "hifi": "HiFi-SIM",
    "tv": "TV-SIM",
}
PROPORTIONAL = "proportional to light, in the counts of the raw frames above the camera's offset"
_SMALLEST_REGULARISATION, _LARGEST_REGULARISATION = 1e-4, 1e3
_MOST_ITERATIONS = 100

_widefield = jax.jit(widefield, static_argnames="scale")


@dataclass(frozen=True, eq=False)
class ClassicalMethod:
    """A method of `classical.images`, or of `classical.total_variation`; a None is its default.

    Attributes:
        name: "widefield", "wiener", "true-wiener", "hifi" or "tv".
        wiener: the Wiener parameter of "wiener"; None for that of the noise in each image.
        attenuation: strength of the notch around the centres of the bands, 0 to below 1, of all but "widefield" and
            "tv".
        w1: of step 1 of "hifi".
        rl_iterations: of Richardson-Lucy deconvolution before "hifi".
        tv_strength: of the regularisation of "tv".

    Raises:
        IllegalValue: for another name, or numbers that are not legal.
    """

    name: str
    wiener: float | None = None
    attenuation: float | None = None
    w1: float | None = None
    rl_iterations: int = 5
    tv_strength: float | None = None

    writes_image: bool = field(default=True, init=False)
    inputs: tuple[Path, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        """Checks name and numbers."""
        if self.name not in LABELS:
            raise IllegalValue("method", self.name, f"legal: {', '.join(LABELS)}")
        for name, value in (("wiener", self.wiener), ("w1", self.w1), ("tv_strength", self.tv_strength)):
            if value is not None and not _SMALLEST_REGULARISATION <= value <= _LARGEST_REGULARISATION:
                legal = f"it must be from {_SMALLEST_REGULARISATION:g} to {_LARGEST_REGULARISATION:g}"
                raise IllegalValue(name, value, legal)
        if self.attenuation is not None and not 0 <= self.attenuation < 1:
            raise IllegalValue("attenuation", self.attenuation, "it must be from 0 to below 1")
        if not 0 <= self.rl_iterations <= _MOST_ITERATIONS:
            raise IllegalValue("rl_iterations", self.rl_iterations, f"it must be from 0 to {_MOST_ITERATIONS}")

    @property
    def label(self) -> str:
        """In print."""
        return LABELS[self.name]

    @property
    def needs_illumination(self) -> bool:
        """All but widefield do."""
        return self.name != "widefield"

    def check(self, microscope: Microscope) -> None:
        """Refuses frames that no SIM image can be made of.

        Raises:
            IllegalValue: fewer than 3 phases.
        """
        if self.needs_illumination and microscope.phases < 3:
            raise IllegalValue("microscope.phases", microscope.phases, "to separate the bands of SIM it takes 3")

    def options(self, microscope: Microscope) -> ClassicalOptions:
        """The options for the pixels of a microscope."""
        options = with_published_notch(
            ClassicalOptions(wiener=self.wiener),
            pixel_size_nm=microscope.pixel_size_nm,
            cutoff=microscope.otf(aliased=True).cutoff,
        )
        hifi = options.hifi
        if self.attenuation is not None:
            hifi = hifi._replace(attenuation_strength=self.attenuation)
        if self.w1 is not None:
            hifi = hifi._replace(initial_wiener=self.w1)
        notch = Attenuation(strength=jnp.float32(self.attenuation)) if self.attenuation else None
        return options._replace(attenuation=notch, hifi=hifi)

    def __call__(self, acquisition: Acquisition, time: int, *, progress: Progress = no_progress) -> Image:
        """The image of a time point; all of them share the illumination but for the brightness of the frames."""
        microscope, lit = acquisition.microscope, acquisition.lit
        light = lit.of(acquisition.light(time))
        if self.name == "tv":
            pixels = total_variation_sim(
                jnp.asarray(light),
                lit.illumination(acquisition.illumination(time)),
                acquisition.otf,
                lit.noise(acquisition.light_noise),
                scale=microscope.scale,
                strength=STRENGTH if self.tv_strength is None else self.tv_strength,
                progress=progress,
            ).image
        elif self.needs_illumination:
            pixels = compiled_image(
                light,
                lit.illumination(acquisition.illumination(time)),
                acquisition.otf,
                method=self.name,
                options=self.options(microscope),
                iterations=self.rl_iterations,
                scale=microscope.scale,
            )
        else:
            pixels = _widefield(light, scale=microscope.scale)
        progress(1, 1)
        judged = self.needs_illumination and time == acquisition.reference
        remarks = self._remarks(pixels, acquisition) if judged else ()
        whole = lit.embed(np.asarray(pixels), scale=microscope.scale)
        image = Image(whole, dark=0.0, provenance=self._provenance(acquisition), remarks=remarks)
        return check_finite(image, acquisition)

    def _remarks(self, pixels: Array, acquisition: Acquisition) -> tuple[str, ...]:
        vectors = acquisition.estimate.illumination.wave_vector
        left = pattern_left(pixels, vectors, scale=acquisition.microscope.scale)
        if float(left.factor) < GHOSTS:
            return ()
        return (
            f"the image holds ghosts of the pattern's period: its frequencies stand out by a factor of "
            f"{float(left.factor):.1f} (above {GHOSTS:g}), as stripes of {100 * float(left.contrast):.2g} % of the "
            "image's contrast: check the OTF (`otf_damping`, `na`, `emission_nm`), phases and movement, or try "
            "`attenuation`",
        )

    def _provenance(self, acquisition: Acquisition) -> dict[str, Any]:
        """Numbers, optics and camera offset."""
        numbers: dict[str, Any] = {}
        if self.name != "hifi" and not self.attenuation:  # filters that give each frequency another brightness
            numbers["intensity"] = PROPORTIONAL
        if self.name in ("wiener", "true-wiener"):
            automatic = "automatic" if self.name == "wiener" else "automatic for each frequency"
            numbers["wiener"] = automatic if self.wiener is None else self.wiener
            numbers["attenuation"] = self.attenuation or 0.0
        if self.name == "hifi":
            hifi = self.options(acquisition.microscope).hifi
            numbers |= {name: float(value) for name, value in hifi._asdict().items() if value is not None}
            numbers["rl_iterations"] = self.rl_iterations
        if self.name == "tv":
            numbers["tv_strength"] = STRENGTH if self.tv_strength is None else self.tv_strength
        if self.needs_illumination:
            return {**numbers, **illumination_provenance(acquisition)}
        return {**numbers, "optics": acquisition.microscope.describe(), "camera_offset": camera_offset(acquisition)}


def illumination_provenance(acquisition: Acquisition) -> dict[str, Any]:
    """Where the illumination comes from, optics and camera offset."""
    numbers: dict[str, Any] = {}
    known = acquisition.known
    if known is not None:
        numbers["illumination"] = known.path.name + (", phases measured" if known.refit_phases else "")
    if acquisition.pattern_period_nm is not None:
        numbers["pattern_period_nm"] = list(acquisition.pattern_period_nm)
    return {**numbers, "optics": acquisition.optics.describe(), "camera_offset": camera_offset(acquisition)}


def camera_offset(acquisition: Acquisition) -> list[float]:
    """Of each orientation, counts."""
    return [float(offset) for offset in np.asarray(acquisition.noise.offset)]

"""Methods on a series of exposures of one field, without any truth.

Two measures, against the brightest exposure:

- Ring correlation of an image with the reference's Wiener image, mean over the thin rings of a band of the cutoff k_c.
  It is blind to every linear filter, and what both exposures show by chance of their noise does not correlate: it is
  what the method knows of the object at these periods.
- The reduced chi-square of the reference's raw frames under the image (`classical.consistency`): what the image shows
  that brighter frames contradict. Where the object has changed or bleached between the exposures that is in it too.

Both take the exposures as of one field: a structure that has moved in between is unlike for every method.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from oidn_jax.acquisition import Acquisition, KnownIllumination
from oidn_jax.acquisition.illumination_file import write_illumination
from oidn_jax.classical.assessment import certain
from oidn_jax.classical.consistency import check_consistency
from oidn_jax.errors import InputError
from oidn_jax.methods import ClassicalMethod, Method
from oidn_jax.metrics.fourier_ring import fourier_ring_correlation

BANDS = ((0.4, 0.7), (0.7, 1.0), (1.0, 1.3), (1.3, 1.6))  # of the cutoff
_check = jax.jit(check_consistency)
_correlate = jax.jit(fourier_ring_correlation)


@dataclass(frozen=True)
class ExposureScore:
    """One method at one exposure.

    Attributes:
        exposure: the file's name.
        electrons: mean light of its widefield image over the field, photo-electrons; NaN where the gain is not known.
        method: its name.
        correlation: in each of `BANDS`.
        chi_square: reduced, of the reference's frames.
        suspect_area: share of the field that they contradict.
    """

    exposure: str
    electrons: float
    method: str
    correlation: tuple[float, ...]
    chi_square: float
    suspect_area: float

    @property
    def mean_correlation(self) -> float:
        """Over the bands."""
        return float(np.mean(self.correlation))


def band_means(
    image: np.ndarray, reference: np.ndarray, *, cutoff: float, bands: Sequence[tuple[float, float]] = BANDS
) -> tuple[float, ...]:
    """Ring correlation of two images, mean over the rings of each band; the cutoff in cycles per pixel of theirs."""
    curve = _correlate(jnp.asarray(image, jnp.float32), jnp.asarray(reference, jnp.float32))
    frequency, correlation = np.asarray(curve.frequency), np.asarray(curve.correlation)
    inside = [(frequency >= low * cutoff) & (frequency < high * cutoff) for low, high in bands]
    return tuple(float(correlation[band].mean()) if band.any() else float("nan") for band in inside)


def keep_stripes(reference: Acquisition, folder: Path) -> KnownIllumination | None:
    """The wave vectors of the brightest exposure for the others, as a file; None, with a warning, if not certain.

    Weak frames may not show their stripes for certain, and images by other ones would compare the search, not methods.
    """
    if not certain(reference.estimate).all():
        reference.warn("its stripes are not certain, so each exposure's own are looked for")
        return None
    path = write_illumination(
        folder / "reference_illumination.json",
        reference.estimate,
        frame_size=reference.frame_size,
        pixel_size_nm=reference.microscope.pixel_size_nm,
        provenance={},
    )
    return KnownIllumination(path, refit_phases=True)


def compare_exposures(
    exposures: Mapping[str, Acquisition],
    reference: Acquisition,
    methods: Mapping[str, Method],
    *,
    progress: Callable[[str, float], None] = lambda text, fraction: None,
) -> tuple[list[ExposureScore], dict[tuple[str, str], np.ndarray]]:
    """The scores of each method at each exposure, and the images by (exposure, method).

    Args:
        exposures: by name, weakest first; of the first time point of each.
        reference: the brightest exposure of the same field, not one of them.
        methods: by name.
        progress: called with what is at work and the fraction done.

    Raises:
        InputError: an exposure of another size than the reference.
    """
    for name, acquisition in exposures.items():
        if acquisition.frame_size != reference.frame_size:
            raise InputError(
                f"{name} has frames of {acquisition.frame_size[0]} x {acquisition.frame_size[1]} pixels and the "
                f"reference of {reference.frame_size[0]} x {reference.frame_size[1]}; exposures must be of one field"
            )
    known = ClassicalMethod("wiener")(reference, 0).pixels
    light, illumination = jnp.asarray(reference.light(0)), reference.illumination(0)
    cutoff = float(reference.otf.cutoff) / reference.microscope.scale
    scores, images = [], {}
    for number, (exposure, acquisition) in enumerate(exposures.items()):
        gain = float(np.mean(np.asarray(acquisition.noise.gain)))
        electrons = float(acquisition.light(0).mean()) / gain if gain > 0 else float("nan")
        for count, (name, method) in enumerate(methods.items()):
            progress(f"{exposure}, {name}", (number + count / len(methods)) / len(exposures))
            image = method(acquisition, 0)
            pixels = image.pixels - np.float32(image.dark)
            judged = _check(jnp.asarray(pixels), light, illumination, otf=reference.otf, noise=reference.light_noise)
            scores.append(
                ExposureScore(
                    exposure,
                    electrons,
                    name,
                    band_means(pixels, known, cutoff=cutoff),
                    float(judged.reduced_chi_square),
                    float(judged.suspect_area),
                )
            )
            images[exposure, name] = pixels
    progress("", 1.0)
    return scores, images

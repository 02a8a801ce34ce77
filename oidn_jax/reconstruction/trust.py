"""Trust maps: where the raw frames contradict an image, as files beside it.

`NAME_trust.tif`: chi-square and evidence on the pixels of the image. `NAME_residual.tif`: the residual of each frame
in units of the expected noise, then their average in units of its own. `NAME_trust.json`: the numbers.
`NAME_trust.png`: the picture. The statistics are those of `classical.consistency`.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32

from oidn_jax.acquisition import Acquisition
from oidn_jax.acquisition.diagnostics import GHOSTS, pattern_left
from oidn_jax.classical.consistency import Consistency, check_consistency
from oidn_jax.data.atomic import check_target, write_json
from oidn_jax.data.writers import fits_imagej, open_map_tiff
from oidn_jax.figures.trust import TrustPage, save_trust
from oidn_jax.optics.grid import from_padded_spectrum

_CLEARLY_BETTER = 0.98
_UNCONFIRMED, _LACKING = 0.3, 10.0
_CLEARLY_ADDED, _TENTH = 2.0, 0.1  # standard deviations of the frames' noise; of the light
_check = jax.jit(check_consistency)
_onto_our_grid = jax.jit(from_padded_spectrum, static_argnames="scale")


@dataclass(frozen=True)
class TrustFiles:
    """What is written.

    Attributes:
        maps: TIFF of the maps.
        residual: TIFF of the residuals.
        numbers: JSON.
        picture: PNG.
    """

    maps: Path
    residual: Path
    numbers: Path
    picture: Path

    @classmethod
    def beside(cls, folder: Path, stem: str) -> "TrustFiles":
        """Named after an image."""
        return cls(*(folder / f"{stem}_{end}" for end in ("trust.tif", "residual.tif", "trust.json", "trust.png")))

    @property
    def all(self) -> list[Path]:
        """The files."""
        return [self.maps, self.residual, self.numbers, self.picture]


def judge(image: Float32[np.ndarray, "h2 w2"], acquisition: Acquisition, time: int) -> Consistency:
    """What the raw frames of a time point say about its image, in their lit part."""
    lit, scale = acquisition.lit, acquisition.microscope.scale
    consistency = _check(
        jnp.asarray(lit.of(image, scale=scale)),
        jnp.asarray(lit.of(acquisition.light(time))),
        lit.illumination(acquisition.illumination(time)),
        otf=acquisition.otf,
        noise=lit.noise(acquisition.light_noise),
    )
    consistency = jax.device_get(consistency)
    return consistency._replace(
        **{
            name: lit.embed(getattr(consistency, name))
            for name in ("predicted", "residual", "mean_residual", "background")
        },
        chi_square=lit.embed(consistency.chi_square, scale=scale, outside=1.0),
        evidence=lit.embed(consistency.evidence, scale=scale),
    )


def on_our_grid(image: Float32[np.ndarray, "h2 w2"], acquisition: Acquisition) -> Float32[np.ndarray, "h2 w2"]:
    """The image of a program that interpolates by padding the spectrum, whose pixels lie elsewhere (`optics.grid`)."""
    return np.asarray(_onto_our_grid(jnp.asarray(image), scale=acquisition.microscope.scale))


def fits_better_moved(image: Float32[np.ndarray, "h2 w2"], acquisition: Acquisition) -> bool:
    """Whether the first image of another program fits its raw frames better `on_our_grid`; a warning says so."""
    as_given, as_moved = (
        float(judge(pixels, acquisition, 0).reduced_chi_square) for pixels in (image, on_our_grid(image, acquisition))
    )
    if as_moved > _CLEARLY_BETTER * as_given:
        return False
    acquisition.warn(
        f"the image fits better when moved by half a pixel along y and x (reduced chi-square {as_moved:.4g} instead of "
        f"{as_given:.4g}), as images of programs that pad the spectrum do; so it is judged"
    )
    return True


class _First(NamedTuple):
    """What is shown of the first time point."""

    image: Float32[np.ndarray, "h2 w2"]
    error: Float32[np.ndarray, "h2 w2"] | None
    additions: Float32[np.ndarray, "h2 w2"] | None
    consistency: Consistency


class TrustWriter:
    """Judges images as they come and writes the files; use as a context manager, which ends them.

    Attributes:
        verdict: in one line, once the block has ended.
        worst_chi_square: the largest reduced chi-square of an image so far.
    """

    def __init__(
        self, files: TrustFiles, acquisition: Acquisition, *, provenance: dict[str, Any], overwrite: bool
    ) -> None:
        """Writes nothing yet.

        Args:
            files: to write.
            acquisition: whose frames judge.
            provenance: of the images, for the metadata.
            overwrite: replace existing files.

        Raises:
            InputError: a file that exists, or cannot be written.
        """
        for path in files.all:
            check_target(path, overwrite=overwrite)
        times, frames = acquisition.times, acquisition.stack.shape[1]
        self._every_frame = fits_imagej((times, frames + 1, *acquisition.frame_size))
        if not self._every_frame:
            acquisition.warn("only the average residual is written, all of them exceed 4 GB")
        if not (np.asarray(acquisition.noise.gain) > 0).all():
            acquisition.warn(
                "the camera gain does not show in the frames, so the noise is taken as the same everywhere; give "
                "`camera_gain` and `camera_offset` for a better map"
            )
        self._files, self._acquisition = files, acquisition
        # The optics are those that judge; a network has its own.
        self._provenance = {**provenance, "optics": acquisition.optics.describe()}
        self._overwrite = overwrite
        self._numbers: list[dict[str, float]] = []
        self._first: _First | None = None
        self.verdict, self.worst_chi_square = "", 0.0

    def __enter__(self) -> "TrustWriter":
        acquisition, raw_nm = self._acquisition, self._acquisition.stack.pixel_size_nm
        frames = acquisition.stack.shape[1]
        names = [f"residual of frame {i + 1}" for i in range(frames)] if self._every_frame else []
        names.append("residual of the average")
        with ExitStack() as files:
            self._maps = files.enter_context(
                open_map_tiff(
                    self._files.maps,
                    shape=(acquisition.times, 2, *acquisition.fine_size),
                    names=["reduced chi-square", "evidence"],
                    ranges=[(0.0, 3.0), (-10.0, 10.0)],
                    pixel_size_nm=None if raw_nm is None else raw_nm / acquisition.microscope.scale,
                    time_interval_s=acquisition.stack.time_interval_s,
                    provenance=self._provenance,
                    overwrite=self._overwrite,
                )
            )
            self._residual = files.enter_context(
                open_map_tiff(
                    self._files.residual,
                    shape=(acquisition.times, len(names), *acquisition.frame_size),
                    names=names,
                    ranges=[(-5.0, 5.0)] * len(names),
                    pixel_size_nm=raw_nm,
                    time_interval_s=acquisition.stack.time_interval_s,
                    provenance=self._provenance,
                    overwrite=self._overwrite,
                )
            )
            self._open_files = files.pop_all()
        return self

    def write(
        self,
        image: Float32[np.ndarray, "h2 w2"],
        time: int,
        *,
        error: Float32[np.ndarray, "h2 w2"] | None = None,
        guide: Float32[np.ndarray, "h2 w2"] | None = None,
    ) -> None:
        """Judges the image of the next time point and writes its maps.

        Args:
            image: to be judged.
            time: its number.
            error: the expected absolute error of its pixels, if known.
            guide: the classical image that a network began with, if any.
        """
        consistency = judge(image, self._acquisition, time)
        additions = None
        if guide is not None:
            of_guide = judge(guide, self._acquisition, time)
            more = clearly_more(image, guide)
            additions = more * unconfirmed(np.asarray(consistency.evidence), np.asarray(of_guide.evidence))
        every = consistency.residual if self._every_frame else []
        as_shown = self._acquisition.stack.as_shown
        self._maps.write(as_shown(np.stack([consistency.chi_square, consistency.evidence])))
        self._residual.write(as_shown(np.stack([*every, consistency.mean_residual])))
        vectors = self._acquisition.estimate.illumination.wave_vector
        left = pattern_left(image, vectors, scale=self._acquisition.microscope.scale)
        of_pattern = {"pattern_left": float(left.factor), "pattern_left_contrast": float(left.contrast)}
        self._numbers.append({**_numbers(consistency), **of_pattern, **self._expected(image, error)})
        if additions is not None:
            judged = np.count_nonzero(consistency.evidence)
            self._numbers[-1]["unconfirmed_additions"] = np.count_nonzero(additions) / max(judged, 1)
        self.worst_chi_square = max(self.worst_chi_square, float(consistency.reduced_chi_square))
        if self._first is None:
            self._first = _First(image, error, additions, consistency)

    def _expected(
        self, image: Float32[np.ndarray, "h2 w2"], error: Float32[np.ndarray, "h2 w2"] | None
    ) -> dict[str, float]:
        """Of the lit part: the median of the expected errors, and their sum over that of the light."""
        if error is None:
            return {}
        lit, scale = self._acquisition.lit, self._acquisition.microscope.scale
        errors, light = lit.of(error, scale=scale), lit.of(image, scale=scale).mean(dtype=np.float64)
        share = errors.mean(dtype=np.float64) / light if light > 0 else np.inf
        return {"expected_error_median": float(np.median(errors)), "expected_error_of_light": float(share)}

    def __exit__(self, *error: Any) -> None:
        self._open_files.__exit__(*error)
        if error[0] is None:
            self._finish()

    def _finish(self) -> None:
        assert self._first is not None, "there is a time point"
        summary = _summary(self._numbers, self._acquisition, self._provenance)
        self.verdict = summary["verdict"]
        write_json(self._files.numbers, summary)
        (image, error, additions, consistency), as_shown = self._first, self._acquisition.stack.as_shown
        raw_nm = self._acquisition.stack.pixel_size_nm
        page = TrustPage(
            title=self.verdict,
            image=as_shown(image),
            evidence=as_shown(np.asarray(consistency.evidence)),
            threshold=float(consistency.threshold),
            chi_square=as_shown(np.asarray(consistency.chi_square)),
            mean_residual=as_shown(np.asarray(consistency.mean_residual)),
            residual=as_shown(np.asarray(consistency.residual)),
            error=None if error is None else as_shown(error),
            additions=None if additions is None else as_shown(additions),
            reduced_chi_square=float(consistency.reduced_chi_square),
            pixel_size_nm=None if raw_nm is None else raw_nm / self._acquisition.microscope.scale,
        )
        save_trust(self._files.picture, page, overwrite=self._overwrite)


def clearly_more(image: Float32[np.ndarray, "h2 w2"], guide: Float32[np.ndarray, "h2 w2"]) -> Bool[np.ndarray, "h2 w2"]:
    """Where an image has more than its guide, by a tenth of that or, where it is darker, of its mean.

    Brightness and background are fitted to each of them, so that a strong addition moves the evidence everywhere.
    """
    return image - guide > _TENTH * np.maximum(guide, max(float(guide.mean()), 0.0))


def unconfirmed(
    evidence: Float32[np.ndarray, "h2 w2"], evidence_of_guide: Float32[np.ndarray, "h2 w2"]
) -> Float32[np.ndarray, "h2 w2"]:
    """Where the frames do not confirm what a network added to its guide, in standard deviations; else 0.

    The evidence is linear in what frames and image have not in common, so a = guide's - image's is the light that was
    added, as the frames must show it. It counts where a > 2, and is confirmed where the guide lacked at least half of
    it: guide's evidence >= a / 2, the image is then no worse than its guide.
    """
    added = evidence_of_guide - evidence
    return np.where((added > _CLEARLY_ADDED) & (evidence_of_guide < 0.5 * added), added, 0.0).astype(np.float32)


def confirmed_period(consistency: Consistency) -> float:
    """The finest period, raw pixels, down to which the image has the contrast that the frames ask for.

    Up to its frequency the fitted transfer stays between 0.3 (below, the image holds what the frames do not confirm)
    and 10 (above, it has less than a tenth of the contrast that they ask for, as a blurred image).
    """
    wrong = (consistency.transfer < _UNCONFIRMED) | (consistency.transfer > _LACKING)
    last = int(wrong.argmax()) if wrong.any() else len(wrong)
    return float(1.0 / consistency.frequency[max(last - 1, 0)])


def _numbers(consistency: Consistency) -> dict[str, float]:
    return {
        "confirmed_period_pixels": confirmed_period(consistency),
        "reduced_chi_square": float(consistency.reduced_chi_square),
        "suspect_area": float(consistency.suspect_area),
        "most_missing": float(consistency.evidence.max()),
        "most_invented": float(consistency.evidence.min()),
        "threshold": float(consistency.threshold),
    }


def _damping(acquisition: Acquisition) -> dict[str, float | bool] | None:
    """What the frames say of the damping: how much more than that of the OTF as given, and whether that is taken."""
    fit = acquisition.damping
    if fit is None or not np.isfinite(fit.error):
        return None
    return {
        "further": float(np.exp(fit.logarithm)),
        "error_of_logarithm": fit.error,
        "taken": acquisition.optics != acquisition.microscope,
    }


def _summary(numbers: list[dict[str, float]], acquisition: Acquisition, provenance: dict[str, Any]) -> dict[str, Any]:
    chi_square = float(np.mean([n["reduced_chi_square"] for n in numbers]))
    area = float(np.mean([n["suspect_area"] for n in numbers]))
    period = float(np.mean([n["confirmed_period_pixels"] for n in numbers]))
    left = float(np.mean([n["pattern_left"] for n in numbers]))
    contrast = float(np.mean([n["pattern_left_contrast"] for n in numbers]))
    words = f", ghosts of the pattern ({left:.1f} times its surroundings, {100 * contrast:.2g} % of the contrast)"
    ghosts = words if left > GHOSTS else ""
    period_nm = acquisition.microscope.pixel_size_nm * period
    known = {
        name: float(np.mean([n[name] for n in numbers]))
        for name in ("expected_error_median", "expected_error_of_light", "unconfirmed_additions")
        if name in numbers[0]
    }
    of_network = ""
    if "unconfirmed_additions" in known:
        of_network += f", light added that the frames do not confirm in {100 * known['unconfirmed_additions']:.2f} %"
    if "expected_error_median" in known:
        of_network += (
            f", expected error {100 * known['expected_error_of_light']:.2g} % of the light (median "
            f"{known['expected_error_median']:.3g} counts)"
        )
    noise = acquisition.noise
    gain, offset = np.asarray(noise.gain).tolist(), np.asarray(noise.offset).tolist()
    dark = np.asarray(noise.dark_variance)
    dark_variance = np.median(dark.reshape(len(dark), -1), axis=1).tolist()  # of a typical pixel
    return {
        "verdict": f"reduced chi-square {chi_square:.3f} (1: noise explains all), contradicted area "
        f"{100 * area:.2f} %, detail confirmed down to periods of {period_nm:.0f} nm{ghosts}{of_network}",
        "confirmed_period_nm": period_nm,
        "reduced_chi_square": chi_square,
        "suspect_area": area,
        "pattern_left": left,
        "pattern_left_contrast": contrast,
        **known,
        "otf_damping": _damping(acquisition),
        "times": numbers,
        "noise": {
            "gain_counts_per_electron": gain,
            "offset_counts": offset,
            "dark_variance_counts2": dark_variance,
            "gain_known": bool(np.all(np.asarray(gain) > 0)),
        },
        "confidence_of_illumination": [float(z) for z in acquisition.estimate.confidence],
        **provenance,
    }

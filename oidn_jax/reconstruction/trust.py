"""Trust maps: where the raw frames contradict an image, as files beside it.

`NAME_trust.tif`: chi-square and evidence on the pixels of the image. `NAME_residual.tif`: the residual of each frame
in units of the expected noise, then their average in units of its own. `NAME_trust.json`: the numbers.
`NAME_trust.png`: the picture. The statistics are those of `classical.consistency`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from oidn_jax.classical.consistency import Consistency, check_consistency
from oidn_jax.classical.prediction import Camera
from oidn_jax.data.atomic import write_atomically
from oidn_jax.data.writers import write_map_tiff
from oidn_jax.optics.grid import from_padded_spectrum
from oidn_jax.acquisition.acquisition import Acquisition
from oidn_jax.figures.trust import draw_trust

_LARGEST_RESIDUALS = 4_000_000_000
_CLEARLY_BETTER = 0.98
_UNCONFIRMED, _LACKING = 0.3, 10.0
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
    """What the raw frames of a time point say about its image."""
    camera = acquisition.camera
    noise = Camera(
        jnp.asarray(camera.gain, jnp.float32), jnp.asarray(camera.intercept + camera.gain * camera.offset, jnp.float32)
    )
    found = _check(
        jnp.asarray(image),
        jnp.asarray(acquisition.light(time)),
        acquisition.illumination(time),
        otf=acquisition.otf,
        cutoff=acquisition.otf.cutoff,
        camera=noise,
    )
    return jax.device_get(found)


def on_our_grid(images: Float32[np.ndarray, "time h2 w2"], acquisition: Acquisition) -> np.ndarray:
    """The images of another program, moved by half a pixel if they fit the raw frames better then.

    Programs that interpolate by padding the spectrum have their pixels there (`optics.grid`).
    """
    moved = np.stack([_onto_our_grid(jnp.asarray(image), scale=acquisition.microscope.scale) for image in images])
    as_given, as_moved = (float(judge(x[0], acquisition, 0).reduced_chi_square) for x in (images, moved))
    if as_moved > _CLEARLY_BETTER * as_given:
        return images
    acquisition.warn(
        f"{acquisition.stack.source}: the image fits better when moved by half a pixel along y and x (reduced "
        f"chi-square {as_moved:.4g} instead of {as_given:.4g}), as images of programs that pad the spectrum do; so it "
        "is judged"
    )
    return moved


def write_trust(
    files: TrustFiles,
    images: Float32[np.ndarray, "time h2 w2"],
    acquisition: Acquisition,
    *,
    provenance: dict[str, Any],
    overwrite: bool,
) -> dict[str, Any]:
    """Judges every time point and writes the files; gives the numbers.

    Raises:
        InputError: a file that exists, or cannot be written.
    """
    stack, n_frames = acquisition.stack, acquisition.stack.frames.shape[1]
    if not acquisition.camera.gain_known:
        acquisition.warn(
            f"{stack.source}: the camera gain does not show in the frames, so the noise is taken as the same "
            "everywhere; give --camera-gain and --camera-offset for a better map"
        )
    every_frame = 4 * stack.frames.size < _LARGEST_RESIDUALS
    if not every_frame:
        acquisition.warn(f"{stack.source}: only the average residual is written, all of them exceed 4 GB")
    maps, residuals, numbers, first = _judge_all(images, acquisition, every_frame=every_frame)
    scale = acquisition.microscope.scale
    common = {"time_interval_s": stack.time_interval_s, "provenance": provenance, "overwrite": overwrite}
    names = [f"residual of frame {i + 1}" for i in range(n_frames)] if every_frame else []
    names.append("residual of the average")
    raw_nm = stack.pixel_size_nm
    write_map_tiff(
        files.maps,
        maps,
        names=["reduced chi-square", "evidence"],
        ranges=[(0.0, 3.0), (-10.0, 10.0)],
        pixel_size_nm=None if raw_nm is None else raw_nm / scale,
        **common,
    )
    ranges = [(-5.0, 5.0)] * len(names)
    write_map_tiff(files.residual, residuals, names=names, ranges=ranges, pixel_size_nm=raw_nm, **common)
    summary = _summary(numbers, acquisition, provenance)
    text = json.dumps(summary, indent=1, allow_nan=False) + "\n"
    write_atomically(files.numbers, lambda part: part.write_text(text, encoding="utf-8"), n_bytes=len(text))
    draw_trust(files.picture, images[0], first, pixel_size_nm=raw_nm, title=summary["verdict"], overwrite=overwrite)
    return summary


def _judge_all(
    images: Float32[np.ndarray, "time h2 w2"], acquisition: Acquisition, *, every_frame: bool
) -> tuple[np.ndarray, np.ndarray, list[dict[str, float]], Consistency]:
    """Maps and residuals (time, map, y, x) and numbers of all time points, and all there is of the first."""
    maps, residuals, numbers, first = [], [], [], None
    for time, image in enumerate(images):
        found = judge(image, acquisition, time)
        first = first or found
        maps.append(np.stack([found.chi_square, found.evidence]))
        residuals.append(np.stack([*found.residual, found.mean_residual] if every_frame else [found.mean_residual]))
        numbers.append(_numbers(found))
    assert first is not None
    return np.stack(maps), np.stack(residuals), numbers, first


def confirmed_period(found: Consistency) -> float:
    """The finest period, raw pixels, down to which the image has the contrast that the frames ask for.

    Up to its frequency the fitted transfer stays between 0.3 (below, the image holds what the frames do not confirm)
    and 10 (above, it has less than a tenth of the contrast that they ask for, as a blurred image).
    """
    wrong = (found.transfer < _UNCONFIRMED) | (found.transfer > _LACKING)
    last = int(wrong.argmax()) if wrong.any() else len(wrong)
    return float(1.0 / found.frequency[max(last - 1, 0)])


def _numbers(found: Consistency) -> dict[str, float]:
    return {
        "confirmed_period_pixels": confirmed_period(found),
        "reduced_chi_square": float(found.reduced_chi_square),
        "suspect_area": float(found.suspect_area),
        "most_missing": float(found.evidence.max()),
        "most_invented": float(found.evidence.min()),
        "threshold": float(found.threshold),
    }


def _summary(numbers: list[dict[str, float]], acquisition: Acquisition, provenance: dict[str, Any]) -> dict[str, Any]:
    chi_square = float(np.mean([n["reduced_chi_square"] for n in numbers]))
    area = float(np.mean([n["suspect_area"] for n in numbers]))
    period_nm = acquisition.pixel_size_nm * float(np.mean([n["confirmed_period_pixels"] for n in numbers]))
    camera = acquisition.camera
    return {
        "verdict": f"reduced chi-square {chi_square:.3f} (1: noise explains all), contradicted area "
        f"{100 * area:.2f} %, detail confirmed down to periods of {period_nm:.0f} nm",
        "confirmed_period_nm": period_nm,
        "reduced_chi_square": chi_square,
        "suspect_area": area,
        "times": numbers,
        "camera": {
            "gain_counts_per_electron": camera.gain.tolist(),
            "offset_counts": camera.offset.tolist(),
            "variance_at_zero_counts": camera.intercept.tolist(),
            "gain_known": camera.gain_known,
        },
        "confidence_of_illumination": [float(z) for z in acquisition.estimate.confidence],
        **provenance,
    }

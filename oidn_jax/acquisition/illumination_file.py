"""The illumination of an acquisition as a JSON file, written beside its image and read again for another one."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from oidn_jax.acquisition.envelope import BIN, bins_of
from oidn_jax.classical.assessment import ILL_CONDITIONED, conditions
from oidn_jax.classical.estimation import Estimate, harmonics_apart
from oidn_jax.data.atomic import check_target, write_json
from oidn_jax.data.regular_file import read_small
from oidn_jax.errors import InputError
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.microscope import Microscope
from oidn_jax.version import __version__

FORMAT = "oidn_jax illumination 1"
_FIRST = "first_harmonic"
_SAME_PIXEL = 0.01
_MOST_BYTES = 4 * 10**7  # of uneven frames of 4096 x 4096 pixels it has 11 million


@dataclass(frozen=True)
class StoredIllumination:
    """What a file says of the patterns.

    Attributes:
        wave_vector: (waves, 2), y and x in cycles per raw pixel; the waves as of `Illumination`.
        phase: (waves, phases), radians, at the centre of raw pixel (h // 2, w // 2).
        modulation_depth: (waves,).
        frame_size: (h, w) of the frames they were found in.
        harmonics: of the phases, that the waves of an orientation are.
        envelopes: (orientations, bins_y, bins_x) as in `acquisition.envelope`; None where the light is even.
        drift_undone: whether the frames had been moved, by which the phases are not those of frames as recorded.
        source: the file read.
        time_phase: the phases of each time point, where there are several; None where the file has one.
        time_brightness: the mean of each pattern at each of them.
    """

    wave_vector: Float[np.ndarray, "waves 2"]
    phase: Float[np.ndarray, "waves phases"]
    modulation_depth: Float[np.ndarray, "waves"]
    frame_size: tuple[int, int]
    harmonics: tuple[int, ...]
    envelopes: Float[np.ndarray, "orientations bins_y bins_x"] | None
    drift_undone: bool
    source: Path
    time_phase: Float[np.ndarray, "times waves phases"] | None = None
    time_brightness: Float[np.ndarray, "times orientations phases"] | None = None


def write_illumination(
    path: Path,
    estimate: Estimate,
    *,
    envelopes: Float[np.ndarray, "orientations bins_y bins_x"] | None = None,
    frame_size: tuple[int, int],
    pixel_size_nm: float,
    provenance: Mapping[str, Any],
    times: Sequence[Illumination] = (),
    warnings: Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Writes an estimate with its confidence, and phases and brightness of each time point of several, atomically.

    Raises:
        InputError: the file exists, or cannot be written.
    """
    check_target(path, overwrite=overwrite)
    estimate = jax.device_get(estimate)
    content = {
        "format": FORMAT,
        "software": f"oidn_jax {__version__}",
        **provenance,
        "frame_size": list(frame_size),
        "pixel_size_nm": pixel_size_nm,
        "phases_at": "the centre of raw pixel (h // 2, w // 2), counted from 0; axes are (y, x), rows as stored",
        "orientations": [
            _orientation(estimate, i, pixel_size_nm=pixel_size_nm) for i in range(estimate.illumination.orientations)
        ],
        "harmonic": estimate.harmonics[-1],
        **({"times": [_time(given) for given in times]} if len(times) > 1 else {}),
        "found_jointly": bool(estimate.joint),
        "brightness_over_the_field": None if envelopes is None else _envelopes(envelopes),
        "warnings": list(warnings),
    }
    write_json(path, content)
    return path


def _envelopes(envelopes: Float[np.ndarray, "orientations bins_y bins_x"]) -> dict[str, Any]:
    return {"bin_pixels": BIN, "of_orientations": np.round(envelopes, 4).tolist()}


def _time(given: Illumination) -> dict[str, Any]:
    phases = [np.rad2deg(np.asarray(given.phase[h :: given.harmonics], float)).tolist() for h in range(given.harmonics)]
    return {
        "phases_deg": phases[-1],
        **({_FIRST: {"phases_deg": phases[0]}} if len(phases) > 1 else {}),
        "brightness": np.asarray(given.brightness, float).tolist(),
    }


def _orientation(estimate: Estimate, i: int, *, pixel_size_nm: float) -> dict[str, Any]:
    """Of the finest harmonic; where the first is used too, what is of it stands in an entry of its own."""
    several = estimate.illumination.harmonics > 1
    first = {_FIRST: _wave(estimate.of_wave(0), i, pixel_size_nm=pixel_size_nm)} if several else {}
    return {**_wave(estimate.finest, i, pixel_size_nm=pixel_size_nm), **first}


def _wave(estimate: Estimate, i: int, *, pixel_size_nm: float) -> dict[str, Any]:
    given = estimate.illumination
    y, x = (float(component) for component in given.wave_vector[i])
    return {
        "wave_vector_cycles_per_pixel": [y, x],
        "period_nm": pixel_size_nm / math.hypot(y, x),
        "angle_deg": math.degrees(math.atan2(y, x)),
        "phases_deg": np.rad2deg(given.phase[i]).astype(float).tolist(),
        "modulation_depth": float(given.modulation_depth[i]),
        "brightness": given.brightness[i].astype(float).tolist(),
        "confidence": float(estimate.confidence[i]),
        "runner_up": float(estimate.runner_up[i]),
        "false_alarm_probability": float(estimate.false_alarm[i]),
        "coherence": float(estimate.coherence[i]),
        "modulation_depth_without_noise_correction": float(estimate.modulation_with_noise[i]),
        "single_phases_deg": np.rad2deg(estimate.single_phases[i]).astype(float).tolist(),
        "single_phases_error_deg": np.rad2deg(estimate.phase_error[i]).astype(float).tolist(),
        "overlap_frequency_pixels": int(estimate.overlap[i]),
    }


def read_illumination(
    path: str | Path, *, orientations: int, phases: int, pixel_size_nm: float | None
) -> StoredIllumination:
    """Reads the patterns, of all time points where the file has several; a pixel size of None is not compared.

    Raises:
        InputError: a file that is missing, damaged or none of ours; other numbers of orientations or phases than asked
            for; another pixel size (by more than 1 %); numbers that are no illumination.
    """
    path = Path(path)
    try:
        content = json.loads(read_small(path, most_bytes=_MOST_BYTES))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give one that a reconstruction wrote") from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON file ({error}); give one that a reconstruction wrote") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f'{path} is no illumination file (its "format" must be "{FORMAT}"); see docs/classical.md')
    try:
        times = content.get("times")
        both = any(_FIRST in one for one in content["orientations"])
        waves = [wave for one in content["orientations"] for wave in ((one[_FIRST], one) if both else (one,))]
        stored = StoredIllumination(
            wave_vector=np.array([wave["wave_vector_cycles_per_pixel"] for wave in waves], float),
            phase=np.deg2rad(np.array([wave["phases_deg"] for wave in waves], float)),
            modulation_depth=np.array([wave["modulation_depth"] for wave in waves], float),
            frame_size=(int(content["frame_size"][0]), int(content["frame_size"][1])),
            harmonics=(*((1,) if both else ()), int(content.get("harmonic", 1))),
            envelopes=_read_envelopes(content.get("brightness_over_the_field")),
            drift_undone=bool(np.any(np.array(content.get("drift_undone_px", 0.0), float))),
            source=path,
            time_phase=None if times is None else np.deg2rad([_phases(time, both=both) for time in times]),
            time_brightness=None if times is None else np.array([time["brightness"] for time in times], float),
        )
        stored_nm = float(content["pixel_size_nm"])
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path} is incomplete or has a wrong entry ({error!r}); write it anew") from error
    _check(stored, orientations=orientations, phases=phases)
    if pixel_size_nm is not None and not abs(stored_nm - pixel_size_nm) <= _SAME_PIXEL * pixel_size_nm:
        raise InputError(
            f"{path} was found with pixels of {stored_nm:g} nm, but these frames have {pixel_size_nm:g} nm; give an "
            "illumination of the same camera and magnification"
        )
    return stored


@dataclass(frozen=True)
class KnownIllumination:
    """An illumination from an earlier acquisition.

    Attributes:
        path: file that `write_illumination` wrote.
        refit_phases: take only the wave vectors from it, and measure phases and modulation depths in these frames.
    """

    path: Path
    refit_phases: bool = False

    def read(self, microscope: Microscope, *, frame_size: tuple[int, int], source: Path) -> StoredIllumination:
        """What the file holds, for frames of a microscope.

        Args:
            microscope: with the pixel size of the frames.
            frame_size: (h, w) of them.
            source: what messages call them.

        Raises:
            InputError: what `read_illumination` refuses; phases that do not hold in these frames.
        """
        stored = read_illumination(
            self.path,
            orientations=microscope.orientations,
            phases=microscope.phases,
            pixel_size_nm=microscope.pixel_size_nm,
        )
        if not self.refit_phases and stored.drift_undone:
            raise InputError(
                f"{self.path} holds phases of frames whose drift was undone, which do not hold for others; give "
                "`refit_phases` to take the wave vectors only"
            )
        if not self.refit_phases and stored.frame_size != frame_size:
            raise InputError(
                f"{self.path} was found in frames of {stored.frame_size[0]} x {stored.frame_size[1]} pixels, but "
                f"{source} has {frame_size[0]} x {frame_size[1]}, so its phases do not hold here; "
                "give `refit_phases` to take the wave vectors only"
            )
        return stored


def _phases(time: dict[str, Any], *, both: bool) -> Float[np.ndarray, "waves phases"]:
    finest = np.array(time["phases_deg"], float)
    if not both:
        return finest
    return np.stack([np.array(time[_FIRST]["phases_deg"], float), finest], axis=1).reshape(-1, finest.shape[-1])


def _read_envelopes(content: dict[str, Any] | None) -> Float[np.ndarray, "orientations bins_y bins_x"] | None:
    if content is None:
        return None
    if content["bin_pixels"] != BIN:
        raise ValueError(f"bin_pixels must be {BIN}")
    envelopes = np.array(content["of_orientations"], float)
    if envelopes.ndim != 3:
        raise ValueError("of_orientations must be a map for each orientation")
    return envelopes


def _check(stored: StoredIllumination, *, orientations: int, phases: int) -> None:
    path = stored.source
    waves = orientations * len(stored.harmonics)
    if stored.wave_vector.shape != (waves, 2) or stored.phase.shape != (waves, phases):
        raise InputError(
            f"{path} has {len(stored.wave_vector) // len(stored.harmonics)} orientations and phases of the shape "
            f"{stored.phase.shape}; {orientations} orientations of {phases} phases are asked for"
        )
    if stored.harmonics not in ((1,), *((harmonics_apart(phases), (2,)) if 2 in harmonics_apart(phases) else ())):
        raise InputError(
            f'{path} has the "harmonic" {stored.harmonics[-1]}; legal: 1, and 2 with 5, 7, 9, ... phases (here '
            f'{phases}), with a "{_FIRST}" or without'
        )
    if stored.envelopes is not None and (
        stored.envelopes.shape != (orientations, *bins_of(stored.frame_size)) or not np.all(stored.envelopes > 0)
    ):
        raise InputError(
            f'{path} has a "brightness_over_the_field" that is none: of frames of {stored.frame_size} pixels it must '
            f"be {(orientations, *bins_of(stored.frame_size))} positive numbers"
        )
    length = np.hypot(*stored.wave_vector.T)
    if not np.all((length > 0) & (length < 1)):
        raise InputError(
            f"{path} has wave vectors of {', '.join(f'{n:g}' for n in length)} cycles per pixel; they must be above 0 "
            "and below 1"
        )
    if not np.all(np.isfinite(stored.phase)):
        raise InputError(f"{path} has phases that are NaN or infinite; they must be degrees")
    if not np.all((stored.modulation_depth > 0) & (stored.modulation_depth <= 1)):
        raise InputError(
            f"{path} has modulation depths of {', '.join(f'{m:g}' for m in stored.modulation_depth)}; they must be "
            "above 0 and at most 1"
        )
    if stored.time_phase is not None and stored.time_brightness is not None:
        for part in (stored.time_phase, stored.time_brightness):
            rows = waves if part is stored.time_phase else orientations
            if part.ndim != 3 or part.shape[1:] != (rows, phases) or not np.all(np.isfinite(part)):
                raise InputError(
                    f"{path} has phases or brightness of time points of the shape {part.shape}, or that are no "
                    f"numbers; they must be finite, (times, {rows}, {phases})"
                )
        if len(stored.time_phase) != len(stored.time_brightness) or not np.all(stored.time_brightness > 0):
            raise InputError(f"{path} must have a brightness above 0 for each time point that it has phases of")
    each = [stored.phase, *([] if stored.time_phase is None else stored.time_phase)]
    count = len(stored.harmonics)
    worst = max(conditions(phase, stored.modulation_depth, harmonics=count).max() for phase in each)
    if worst > ILL_CONDITIONED:
        raise InputError(
            f"{path} has phases or modulation depths from which the bands cannot be separated (condition number "
            f"{worst:.3g}, at most {ILL_CONDITIONED:g}); the phases of an orientation must differ"
        )

"""Methods on held-out scenes: every image, every score, everything that tables and figures show."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from oidn_jax.evaluation.example import TARGET, Example
from oidn_jax.evaluation.held_out import HeldOutScenes
from oidn_jax.evaluation.methods import Method, WidefieldMethod
from oidn_jax.evaluation.scores import (
    SCORES,
    analyse_decorrelation,
    map_resolution,
    score_against_widefield,
    score_decorrelation,
    score_likeness,
    score_map,
    score_rings,
)
from oidn_jax.metrics.rolling_frc import SMALLEST_BLOCK, RollingFrc, RollingFrcOptions

KEYS = ("specimen", "level", "method", "scene", "signal_level")
Place = tuple[str, str, str]


@dataclass(frozen=True)
class Comparison:
    """The outcome of all methods on all scenes.

    Attributes:
        scenes: by specimen.
        methods: names, in the order of tables and panels.
        images: (scenes, scale*h, scale*w) by (specimen, level, method).
        recorded: of the methods whose resolution is measured on raw pixels, those images, (scenes, h, w).
        maps: the rFRC map of the first scene, by (specimen, level, method); empty without second exposures.
        rows: one for each image: `specimen`, `level`, `method`, `scene`, `signal_level`, then its scores.
        targets: one for each target: `specimen`, `scene`, then `da_resolution_nm` and `da_a0`.
    """

    scenes: Mapping[str, HeldOutScenes]
    methods: tuple[str, ...]
    images: Mapping[Place, np.ndarray]
    recorded: Mapping[Place, np.ndarray]
    maps: Mapping[Place, RollingFrc]
    rows: list[dict[str, Any]]
    targets: list[dict[str, Any]]

    def examples(self, *, most: int, level: str | None = None) -> list[Example]:
        """The first scenes, at most so many, of each specimen and level (or of one level), with their images."""
        found = []
        for specimen, scenes in self.scenes.items():
            for name in [level] if level is not None else scenes.raw_frames:
                for scene in range(min(most, len(scenes.target))):
                    images = {method: self.images[specimen, name, method][scene] for method in self.methods}
                    images[TARGET] = scenes.target[scene, ..., 0]
                    pixel_size_nm = scenes.pixel_size_nm / scenes.scale
                    signal_level = scenes.signal_level[name][scene]
                    found.append(Example(specimen, name, scene, signal_level, pixel_size_nm, images))
        return found


def compare(
    scenes: Mapping[str, HeldOutScenes],
    methods: Mapping[str, Mapping[str, Method]],
    *,
    rolling: RollingFrcOptions,
    progress: Callable[[str, float], None] = lambda text, fraction: None,
) -> Comparison:
    """Run every method on every scene of every specimen, and score the images.

    Args:
        scenes: by specimen.
        methods: by specimen, then by name, the same names for each: a classical method knows the microscope of its
            specimen.
        rolling: how rFRC maps are made, where scenes were exposed twice.
        progress: called before each step with what is done and the fraction of the whole.
    """
    images, recorded, maps, rows = {}, {}, {}, []
    names = tuple(next(iter(methods.values())))
    places = [(s, level, name) for s, of in scenes.items() for level in of.raw_frames for name in names]
    for i, (specimen, level, name) in enumerate(places):
        progress(f"{specimen} {level}: {name}", i / len(places))
        of = scenes[specimen]
        method = methods[specimen][name]
        image = np.asarray(method(jnp.asarray(of.raw_frames[level])))
        repeated = np.asarray(method(jnp.asarray(of.repeated_frames[level]))) if of.repeated_frames else None
        scores = score_likeness(jnp.asarray(image), jnp.asarray(of.target[..., 0]))
        scores |= score_against_widefield(jnp.asarray(image), jnp.asarray(of.raw_frames[level].mean(-1)))
        measured = (image, repeated, 1)
        if isinstance(method, WidefieldMethod):
            measured = _recorded(method, of, level)
            recorded[specimen, level, name] = measured[0]
        found, first_map = _score_resolution(*measured, pixel_size_nm=of.pixel_size_nm / of.scale, rolling=rolling)
        scores = {name: np.asarray((scores | found)[name]) for name in SCORES if name in scores | found}
        images[specimen, level, name] = image
        if first_map is not None:
            maps[specimen, level, name] = first_map
        for scene in range(len(image)):
            place = dict(zip(KEYS, (specimen, level, name, scene, of.signal_level[level][scene]), strict=True))
            rows.append(place | {score: float(values[scene]) for score, values in scores.items()})
    progress("", 1.0)
    return Comparison(scenes, names, images, recorded, maps, rows, _score_targets(scenes))


def _score_targets(scenes: Mapping[str, HeldOutScenes]) -> list[dict[str, Any]]:
    targets = []
    for specimen, of in scenes.items():
        found = analyse_decorrelation(jnp.asarray(of.target[..., 0]))
        scores = score_decorrelation(found, pixel_size_nm=of.pixel_size_nm / of.scale)
        for scene in range(len(of.target)):
            targets.append({"specimen": specimen, "scene": scene, **{s: float(v[scene]) for s, v in scores.items()}})
    return targets


def _recorded(method: WidefieldMethod, of: HeldOutScenes, level: str) -> tuple[np.ndarray, np.ndarray | None, int]:
    """Images on raw pixels without the camera's offset, from both exposures, and their pixels' width in fine pixels."""

    def record(frames: np.ndarray) -> np.ndarray:
        return np.asarray(method.on_raw_pixels(jnp.asarray(frames) - of.offset))

    return record(of.raw_frames[level]), record(of.repeated_frames[level]) if of.repeated_frames else None, of.scale


def _score_resolution(
    image: np.ndarray,
    repeated: np.ndarray | None,
    width: int,
    *,
    pixel_size_nm: float,
    rolling: RollingFrcOptions,
) -> tuple[dict[str, np.ndarray], RollingFrc | None]:
    """Scores of a batch of images, each (scenes,), and the rFRC map of the first, on fine pixels.

    Args:
        image: (scenes, h, w).
        repeated: from the second exposure.
        width: of a pixel, in fine pixels.
        pixel_size_nm: of the fine pixels.
        rolling: block and skip in fine pixels.
    """
    on_device, spacing_nm = jnp.asarray(image), width * pixel_size_nm
    scores = dict(score_decorrelation(analyse_decorrelation(on_device), pixel_size_nm=spacing_nm))
    if repeated is None:
        return scores, None
    scores |= score_rings(on_device, jnp.asarray(repeated), pixel_size_nm=spacing_nm)
    options = replace(rolling, block=max(rolling.block // width, SMALLEST_BLOCK), skip=max(rolling.skip // width, 1))
    how = {"pixel_size_nm": spacing_nm, "options": options}
    maps = [map_resolution(one, other, **how) for one, other in zip(image, repeated, strict=True)]
    by_scene = [score_map(found) for found in maps]
    scores |= {name: np.array([s[name] for s in by_scene]) for name in by_scene[0]}
    first = maps[0]
    fine = (values.repeat(width, 0).repeat(width, 1) for values in (first.map_nm, first.foreground))
    return scores, RollingFrc(*fine)

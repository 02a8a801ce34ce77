"""Methods on held-out scenes: every image, every score, everything that tables and figures show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from oidn_jax.acquisition import Acquisition
from oidn_jax.classical.assessment import certain
from oidn_jax.evaluation.example import TARGET, Example
from oidn_jax.evaluation.scenes import Scenes
from oidn_jax.evaluation.scores import (
    SCORES,
    analyse_decorrelation,
    errors_against,
    light,
    map_resolution,
    score_against_widefield,
    score_calibration,
    score_contradictions,
    score_decorrelation,
    score_likeness,
    score_linearity,
    score_map,
    score_rings,
    score_truth_rings,
)
from oidn_jax.methods import Image, Method
from oidn_jax.metrics.calibration import Reliability, reliability
from oidn_jax.metrics.rolling_frc import SMALLEST_BLOCK, RollingFrc, RollingFrcOptions

KEYS = ("specimen", "level", "method", "scene", "signal_level")
Place = tuple[str, str, str]


@dataclass(frozen=True)
class Comparison:
    """The outcome of all methods on all scenes.

    Attributes:
        scenes: by specimen.
        methods: how each is called in print, by name, in the order of tables and panels.
        images: (scenes, scale*h, scale*w), the light of the images, by (specimen, level, method).
        recorded: of the methods whose resolution is measured on raw pixels, those images, (scenes, h, w).
        maps: the rFRC map of the first scene, by (specimen, level, method); empty without second exposures.
        rows: one for each image: `specimen`, `level`, `method`, `scene`, `signal_level`, of measured scenes the name
            of the `cell`, then its scores.
        targets: one for each target: `specimen`, `scene`, then `da_resolution_nm` and `da_a0`.
        uncertain: by specimen, how many of how many acquisitions have an orientation whose stripes were not found for
            certain; empty where no method asked for the illumination.
        expected: errors over those expected, of all scenes, by (specimen, level, method), of methods that expect any.
    """

    scenes: Mapping[str, Scenes]
    methods: Mapping[str, str]
    images: Mapping[Place, np.ndarray]
    recorded: Mapping[Place, np.ndarray]
    maps: Mapping[Place, RollingFrc]
    rows: list[dict[str, Any]]
    targets: list[dict[str, Any]]
    uncertain: Mapping[str, tuple[int, int]]
    expected: Mapping[Place, Reliability]

    def examples(self, *, most: int, level: str | None = None) -> list[Example]:
        """The first scenes, at most so many, of each specimen and level (or of one level), with their images."""
        examples = []
        for specimen, scenes in self.scenes.items():
            for name in [level] if level is not None else scenes.levels:
                for scene in range(min(most, len(scenes.target))):
                    images = {
                        label: self.images[specimen, name, method][scene] for method, label in self.methods.items()
                    }
                    examples.append(
                        Example(
                            specimen=scenes.label,
                            level=name,
                            scene=scene,
                            signal_level=scenes.signal_level[name][scene],
                            pixel_size_nm=scenes.microscope.fine_pixel_size_nm,
                            images={**images, TARGET: scenes.target_at(name)[scene]},
                        )
                    )
        return examples

    def in_print(self, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Rows, or what statistics made of them, with specimens and methods as they are called in print."""
        specimens = {name: scenes.label for name, scenes in self.scenes.items()}
        labels = {"specimen": specimens, "method": self.methods, "reference": self.methods}
        return [
            {key: labels[key][value] if key in labels else value for key, value in entry.items()} for entry in entries
        ]


def compare(
    scenes: Mapping[str, Scenes],
    methods: Mapping[str, Method],
    *,
    labels: Mapping[str, str],
    rolling: RollingFrcOptions,
    progress: Callable[[str, float], None] = lambda text, fraction: None,
) -> Comparison:
    """Run every method on every scene of every specimen, and score the images.

    Args:
        scenes: by specimen.
        methods: by name.
        labels: of methods in print, by name.
        rolling: how rFRC maps are made, where scenes were exposed twice.
        progress: called before each step with what is done and the fraction of the whole.
    """
    images, recorded, maps, rows, expected = {}, {}, {}, [], {}
    uncertain, with_stripes = {}, any(method.needs_illumination for method in methods.values())
    places = [(specimen, level) for specimen, its_scenes in scenes.items() for level in its_scenes.levels]
    for i, (specimen, level) in enumerate(places):
        its_scenes = scenes[specimen]
        fine_nm, scale = its_scenes.microscope.fine_pixel_size_nm, its_scenes.microscope.scale
        # Each acquisition estimates its illumination once, for all methods.
        first = its_scenes.acquisitions(level)
        second = its_scenes.acquisitions(level, repeated=True) if its_scenes.repeated_frames else []
        target = its_scenes.target_at(level)
        for j, (name, method) in enumerate(methods.items()):
            progress(f"{specimen} {level}: {name}", (i + j / len(methods)) / len(places))
            given = [method(acquisition, 0) for acquisition in first]
            image, repeated = _lights(given), _lights([method(a, 0) for a in second]) if second else None
            scores = score_likeness(jnp.asarray(image), jnp.asarray(target))
            scores |= score_linearity(image, target)
            scores |= score_truth_rings(jnp.asarray(image), jnp.asarray(target), pixel_size_nm=fine_nm)
            if with_stripes:
                scores |= score_contradictions(given, first)
            errors = _errors(given, target)
            if errors:
                scores["error_calibration"] = np.array([score_calibration(*pair) for pair in errors])
                measured_and_told = (np.stack(part) for part in zip(*errors, strict=True))
                expected[specimen, level, name] = reliability(*measured_and_told)
            widefield = np.stack([acquisition.counts(0).mean(0, dtype=np.float32) for acquisition in first])
            scores |= score_against_widefield(jnp.asarray(image), jnp.asarray(widefield))
            measured, measured_again, width = image, repeated, 1
            if name == "widefield":
                # Interpolation leaves mirror images of the structures at high frequencies, which decorrelation analysis
                # and ring correlation take for detail: of an interpolated image they tell a third of the true period.
                measured, width = _recorded(first), scale
                measured_again = _recorded(second) if second else None
                recorded[specimen, level, name] = measured
            resolution, first_map = _score_resolution(
                measured, measured_again, width=width, fine_nm=fine_nm, rolling=rolling
            )
            scores |= resolution
            images[specimen, level, name] = image
            if first_map is not None:
                maps[specimen, level, name] = first_map
            for scene in range(len(image)):
                place = (specimen, level, name, scene, its_scenes.signal_level[level][scene])
                values = {score: float(scores[score][scene]) for score in SCORES if score in scores}
                cell = {"cell": its_scenes.names[scene]} if its_scenes.names else {}
                rows.append(dict(zip(KEYS, place, strict=True)) | cell | values)
        if with_stripes:
            doubtful = [not certain(a.estimate).all() for a in (*first, *second)]
            count, total = uncertain.get(specimen, (0, 0))
            uncertain[specimen] = (count + sum(doubtful), total + len(doubtful))
    progress("", 1.0)
    if expected:  # every row has the same scores
        rows = [row if "error_calibration" in row else row | {"error_calibration": float("nan")} for row in rows]
    in_print = {name: labels[name] for name in methods}
    return Comparison(scenes, in_print, images, recorded, maps, rows, _score_targets(scenes), uncertain, expected)


def _lights(images: Sequence[Image]) -> np.ndarray:
    return np.stack([light(image.pixels, dark=image.dark) for image in images])


def _errors(images: Sequence[Image], target: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The errors of each image and those that it expects; empty where it expects none."""
    return [
        errors_against(image.pixels, image.error, truth)
        for image, truth in zip(images, target, strict=True)
        if image.error is not None
    ]


def _recorded(acquisitions: list[Acquisition]) -> np.ndarray:
    """The widefield images as they were recorded, without the camera's offset."""
    return np.stack([light(acquisition.light(0).mean(0), dark=0.0) for acquisition in acquisitions])


def _score_targets(scenes: Mapping[str, Scenes]) -> list[dict[str, Any]]:
    targets = []
    for specimen, its_scenes in scenes.items():
        analysis = analyse_decorrelation(jnp.asarray(its_scenes.target))
        scores = score_decorrelation(analysis, pixel_size_nm=its_scenes.microscope.fine_pixel_size_nm)
        for scene in range(len(its_scenes.target)):
            targets.append({"specimen": specimen, "scene": scene, **{s: float(v[scene]) for s, v in scores.items()}})
    return targets


def _score_resolution(
    image: np.ndarray, repeated: np.ndarray | None, *, width: int, fine_nm: float, rolling: RollingFrcOptions
) -> tuple[dict[str, np.ndarray], RollingFrc | None]:
    """Scores of a batch of images, each (scenes,), and the rFRC map of the first, on fine pixels.

    Args:
        image: (scenes, h, w).
        repeated: from the second exposure.
        width: of a pixel, in fine pixels.
        fine_nm: size of the fine pixels.
        rolling: block and skip in fine pixels.
    """
    on_device, pixel_size_nm = jnp.asarray(image), width * fine_nm
    scores = dict(score_decorrelation(analyse_decorrelation(on_device), pixel_size_nm=pixel_size_nm))
    if repeated is None:
        return scores, None
    scores |= score_rings(on_device, jnp.asarray(repeated), pixel_size_nm=pixel_size_nm)
    options = replace(rolling, block=max(rolling.block // width, SMALLEST_BLOCK), skip=max(rolling.skip // width, 1))
    maps = [
        map_resolution(one, other, pixel_size_nm=pixel_size_nm, options=options)
        for one, other in zip(image, repeated, strict=True)
    ]
    by_scene = [score_map(rolling_map) for rolling_map in maps]
    scores |= {name: np.array([scene[name] for scene in by_scene]) for name in by_scene[0]}
    fine = (values.repeat(width, 0).repeat(width, 1) for values in (maps[0].map_nm, maps[0].foreground))
    return scores, RollingFrc(*fine)

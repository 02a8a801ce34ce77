"""A trained guided network goes on learning from one's own raw acquisitions, without any truth (`training.lessons`).

A share of the field, in cells, is never learned from. What the moving average of the parameters loses there says when
to stop and which of them to keep; they are kept only if they are better there by more than chance.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import Array, Float, Shaped

from oidn_jax.acquisition.acquisition import Acquisition
from oidn_jax.acquisition.camera import CameraSettings
from oidn_jax.acquisition.drift import measure_drift
from oidn_jax.classical.assessment import certain
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.methods import NetworkMethod
from oidn_jax.models.trained import TrainedModel
from oidn_jax.optics.microscope import Microscope
from oidn_jax.training.lessons import MARGIN, RIM, Exposure, Field, Lesson, batch_of, draw, light_ratio, losses, part
from oidn_jax.version import __version__

PATCH = 64  # raw pixels of a lesson that count
SMALLEST_FIELD = 48
_CELL, _HELD_OUT, _MOST_CELLS = 24, 0.2, 32
_HELD_DRAWINGS = 2  # of the noise, for each cell that is held out
_MOST_DRAWINGS, _DRAWN_PIXELS = 16, 16 * 256**2  # of the noise to learn from, of each field, and of all together
_MOST_PIXELS = 2048**2  # of all fields
_MOVED = 0.5  # raw pixels between the exposures of a pair
_SEEDS = 2**31

Progress = Callable[[int, int, float], None]


def no_progress(step: int, steps: int, held_out: float) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class AdaptationSettings:
    """How.

    Attributes:
        steps: at most.
        learning_rate: of Adam, after a warm-up.
        batch_size: lessons of a step.
        recorruption: a, what of the noise is added to what the network sees (`training.lessons`).
        ema_decay: of the moving average.
        evaluate_every: steps.
        patience: evaluations without a better one after which it ends.
        seed: of the noise and of what is held out.

    Raises:
        IllegalValue: if a field is not legal.
    """

    steps: int = 400
    learning_rate: float = 5e-4
    batch_size: int = 4
    recorruption: float = 1.0
    ema_decay: float = 0.98
    evaluate_every: int = 25
    patience: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "evaluate_every", "patience"):
            if getattr(self, name) < 1:
                raise IllegalValue(name, getattr(self, name), "it must be at least 1")
        for name in ("learning_rate", "recorruption"):
            if not 0 < getattr(self, name) < math.inf:
                raise IllegalValue(name, getattr(self, name), "it must be positive")
        if not 0 <= self.ema_decay < 1:
            raise IllegalValue("ema_decay", self.ema_decay, "it must be in [0, 1), 0 for none")
        if not 0 <= self.seed < _SEEDS:
            raise IllegalValue("seed", self.seed, f"it must be from 0 to {_SEEDS - 1}")


@dataclass(frozen=True)
class Adapted:
    """How it went.

    Attributes:
        model: the best; the one that was given where none is better by more than chance.
        step: at which it was the best, 0 for the one given.
        steps: taken.
        before: held-out loss of the model given, about 1 for nothing but noise.
        after: of the best step.
        error: standard error of the difference over the cells.
    """

    model: TrainedModel
    step: int
    steps: int
    before: float
    after: float
    error: float

    @property
    def better(self) -> bool:
        """Whether there is a new model."""
        return self.step > 0


def adapt_acquisitions(
    acquisitions: Sequence[Acquisition],
    model: TrainedModel,
    *,
    brighter: Sequence[Acquisition] | None = None,
    settings: AdaptationSettings | None = None,
    progress: Progress = no_progress,
    stop: Callable[[], bool] = lambda: False,
) -> Adapted:
    """Adapts a model to acquisitions; its origin then says to which, and how.

    Args:
        acquisitions: at least one; all their time points, of many evenly chosen ones, 2048 x 2048 pixels in all.
        model: a guided network.
        brighter: of each a brighter exposure, which the image of the weaker one must explain; None for recorruption.
        settings: None for the usual ones.
        progress: as `adapt_fields`.
        stop: as `adapt_fields`.

    Raises:
        InputError: no guided network, or another scale; stripes that are not certain, of which a model of the frames
            would be wrong; an unknown gain; fields that are too small; a pair that is none.
    """
    settings = settings or AdaptationSettings()
    if not model.guided:
        raise InputError(f"a guided network can be adapted, not {model.fields['name']!r}")
    for acquisition in (*acquisitions, *(brighter or ())):
        _check_field(acquisition, model)
    # The frames that are to be explained; those of a weaker exposure need no more than for an image.
    for acquisition in acquisitions if brighter is None else brighter:
        _check_stripes(acquisition)
    if brighter is None:
        for acquisition in acquisitions:
            _check_noise(acquisition)
    fields = _fields(acquisitions, brighter)
    adapted = adapt_fields(model, fields, settings, progress=progress, stop=stop)
    if not adapted.better:
        return adapted
    to = {
        "version": __version__,
        "files": [acquisition.stack.source.name for acquisition in acquisitions],
        "brighter": None if brighter is None else [acquisition.stack.source.name for acquisition in brighter],
        "recorruption": settings.recorruption if brighter is None else None,
        "learning_rate": settings.learning_rate,
        "seed": settings.seed,
        "step": adapted.step,
        "held_out_loss": {"before": adapted.before, "after": adapted.after, "error": adapted.error},
    }
    earlier = model.origin.get("adapted", [])
    origin = {**model.origin, "adapted": [*earlier, {name: value for name, value in to.items() if value is not None}]}
    return replace(adapted, model=replace(adapted.model, origin=origin))


def _check_field(acquisition: Acquisition, model: TrainedModel) -> None:
    NetworkMethod(model).check(acquisition.microscope)
    size = acquisition.inner.lit_size
    if min(size) < SMALLEST_FIELD:
        raise InputError(
            f"{acquisition.stack.source} has a field of {size[0]} x {size[1]} pixels; to learn from a part of it and "
            f"to judge by another it takes {SMALLEST_FIELD} x {SMALLEST_FIELD}"
        )


def _check_stripes(acquisition: Acquisition) -> None:
    """Refuses frames of which only wrong patterns are known; those that are given are believed."""
    if acquisition.known is None and not certain(acquisition.estimate).all():
        raise InputError(
            f"{acquisition.stack.source}: the stripes are not certain in every orientation, and a network must not "
            "learn from frames that are explained by wrong ones; leave it out, or give an `illumination`"
        )


def _check_noise(acquisition: Acquisition) -> None:
    if not (np.asarray(acquisition.noise.gain) > 0).all():
        raise InputError(
            f"{acquisition.stack.source}: the camera's gain does not show in the frames, so that their noise cannot be "
            "drawn; give `camera_gain` and `camera_offset`"
        )


def _fields(acquisitions: Sequence[Acquisition], brighter: Sequence[Acquisition] | None) -> list[Field]:
    """All time points, or as many as are enough."""
    partners = [None] * len(acquisitions) if brighter is None else brighter
    if len(partners) != len(acquisitions):
        raise InputError(
            f"there are {len(acquisitions)} acquisitions and {len(partners)} of `pair`; give each one that is brighter"
        )
    places = [
        (acquisition, partner, time)
        for acquisition, partner in zip(acquisitions, partners, strict=True)
        for time in range(acquisition.times)
    ]
    enough = max(_MOST_PIXELS // max(math.prod(acquisition.inner.lit_size) for acquisition in acquisitions), 1)
    chosen = np.linspace(0, len(places) - 1, min(enough, len(places))).round().astype(int)
    return [_field(*places[i]) for i in chosen]


def _field(acquisition: Acquisition, partner: Acquisition | None, time: int) -> Field:
    shown = Exposure.of(acquisition, time)
    if partner is None:
        return Field(shown)
    names = f"{partner.stack.source} as a `pair` of {acquisition.stack.source}"
    if (partner.times, partner.inner) != (acquisition.times, acquisition.inner):
        raise InputError(f"{names} has another size, lit part or number of time points; both must show one field")
    target = Exposure.of(partner, time)
    if light_ratio(shown.light, target.light) <= 1.0:
        raise InputError(f"{names} is not a brighter image of the same field; give the weaker one first")
    means = np.stack([shown.light.mean(0), target.light.mean(0)])
    moved = measure_drift(means, orientations=2, cutoff=acquisition.microscope.cutoff)
    if moved.largest > _MOVED:
        raise InputError(f"{names}: the sample has moved between them by {moved.largest:.1f} pixels; they must not")
    return Field(shown, target)


def adapt(
    raw_frames: Shaped[np.ndarray, "..."],
    model: TrainedModel,
    *,
    microscope: Microscope,
    brighter: Shaped[np.ndarray, "..."] | None = None,
    settings: AdaptationSettings | None = None,
    camera: CameraSettings | None = None,
    progress: Progress = no_progress,
) -> Adapted:
    """Adapts a guided network to raw SIM frames in memory; `models.weights.write_model` writes the result.

    Args:
        raw_frames: (b, h, w, frames), as the camera gave them, orientation slow and phase fast; b are time points of
            one field.
        model: what `oidn_jax.load` gives.
        microscope: what recorded the frames.
        brighter: a brighter exposure of the same, or None.
        settings: None for the usual ones.
        camera: what is known of it.
        progress: called after each step with its number, that of all and the held-out loss so far.

    Raises:
        InputError: (a ValueError) as `adapt_acquisitions`; frames of another shape; NaN or infinite pixels.

    Warns:
        RuntimeWarning: what the user should know of the frames.
    """
    given = [raw_frames] if brighter is None else [raw_frames, brighter]
    names = ("frames", "brighter frames")
    opened = [
        Acquisition.of_frames(frames, microscope, camera=camera, source=name)
        for frames, name in zip(given, names, strict=False)
    ]
    for acquisition in opened:
        acquisition.check()
    adapted = adapt_acquisitions(opened[:1], model, brighter=opened[1:] or None, settings=settings, progress=progress)
    for line in dict.fromkeys(line for acquisition in opened for line in acquisition.warnings):
        warnings.warn(line, RuntimeWarning, stacklevel=2)
    return adapted


class _State(NamedTuple):
    params: Any
    opt_state: Any
    average: Any


def adapt_fields(
    model: TrainedModel,
    fields: Sequence[Field],
    settings: AdaptationSettings,
    *,
    progress: Progress = no_progress,
    stop: Callable[[], bool] = lambda: False,
) -> Adapted:
    """The best parameters for some fields; the origin of the model stays as it is.

    Args:
        model: a guided network.
        fields: at least one; none smaller than `SMALLEST_FIELD`.
        settings: how.
        progress: called after each step with its number, that of all and the held-out loss so far.
        stop: asked after each step.
    """
    scale, random = model.microscope.scale, np.random.default_rng(settings.seed)
    side = min(PATCH, *(min(field.shown.size) for field in fields)) + 2 * MARGIN
    learned, held_out = _lessons(fields, settings, random, side=side, scale=scale)
    schedule = optax.linear_schedule(0.0, settings.learning_rate, settings.evaluate_every)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    losses_of = partial(losses, start=model.params, network=model.network, scale=scale)

    @jax.jit
    def learn(state: _State, lessons: Lesson) -> _State:
        gradients = jax.grad(lambda params: losses_of(params, lessons).mean())(state.params)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return _State(params, opt_state, optax.incremental_update(params, state.average, 1.0 - settings.ema_decay))

    mean_loss = jax.jit(lambda params, lessons: losses_of(params, lessons).mean())

    def judge(params: Any) -> Float[np.ndarray, "cells"]:
        return np.array([float(mean_loss(params, batch_of(lessons))) for lessons in held_out])

    state = _State(model.params, optimizer.init(model.params), model.params)
    start = best = judge(model.params)
    params, best_step, step = model.params, 0, 0
    for step in range(1, settings.steps + 1):
        state = learn(state, batch_of([_random_part(learned, random, side) for _ in range(settings.batch_size)]))
        if step % settings.evaluate_every == 0 or step == settings.steps:
            now = judge(state.average)
            if now.mean() < best.mean():
                params, best, best_step = state.average, now, step
        progress(step, settings.steps, float(best.mean()))
        if stop() or step - best_step >= settings.patience * settings.evaluate_every:
            break
    error = _error_of_mean(best - start)
    if start.mean() - best.mean() <= error:
        params, best_step = model.params, 0
    return Adapted(replace(model, params=params), best_step, step, float(start.mean()), float(best.mean()), error)


def _error_of_mean(values: Float[np.ndarray, "n"]) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def _random_part(lessons: Sequence[Lesson], random: np.random.Generator, side: int) -> Lesson:
    """A square at a random place of a random drawing, in which something counts."""
    areas = np.array([lesson.weight.sum() for lesson in lessons])
    while True:
        whole = lessons[random.choice(len(lessons), p=areas / areas.sum())]
        y, x = (int(random.integers(0, n - side + 1)) for n in whole.weight.shape)
        lesson = part(whole, (y, x), side)
        if lesson.weight.any():
            return lesson


def _lessons(
    fields: Sequence[Field], settings: AdaptationSettings, random: np.random.Generator, *, side: int, scale: int
) -> tuple[list[Lesson], list[list[Lesson]]]:
    """What is learned from, whole fields without their cells; and the cells, the drawings of each."""
    key, learned, held_out = jax.random.key(settings.seed), list[Lesson](), list[list[Lesson]]()
    pixels = sum(math.prod(field.shown.size) for field in fields)
    several = min(max(round(_DRAWN_PIXELS / pixels), 1), _MOST_DRAWINGS)
    all_cells = held_out_cells([field.shown.size for field in fields], random)
    for number, (field, cells) in enumerate(zip(fields, all_cells, strict=True)):
        own_key = jax.random.fold_in(key, number)

        def drawn(i: int, field: Field = field, own_key: Array = own_key) -> Lesson:
            strength = settings.recorruption
            return draw(jax.random.fold_in(own_key, i), field, scale=scale, strength=strength, side=side)

        lessons = [drawn(i) for i in range(several + _HELD_DRAWINGS if field.brighter is None else 1)]
        free = np.ones_like(lessons[0].weight)
        for cell in cells:
            free[cell] = 0.0
            held_out.append([_cell_alone(lesson, cell, side) for lesson in lessons[-_HELD_DRAWINGS:]])
        learned += [lesson._replace(weight=lesson.weight * free) for lesson in lessons[:several]]
    return learned, held_out


def _cell_alone(lesson: Lesson, cell: tuple[slice, slice], side: int) -> Lesson:
    """The part around a cell, in which nothing else counts."""
    alone = np.zeros_like(lesson.weight)
    alone[cell] = 1.0
    y, x = (
        min(max((place.start + place.stop - side) // 2, 0), n - side)
        for place, n in zip(cell, alone.shape, strict=True)
    )
    # A copy, so that the rest of the field need not be kept.
    return jax.tree.map(np.array, part(lesson._replace(weight=alone), (y, x), side))


def held_out_cells(sizes: Sequence[tuple[int, int]], random: np.random.Generator) -> list[list[tuple[slice, slice]]]:
    """For each field the cells, with the margin counted, that are not learned from: a fifth of all, at least one."""
    places = [
        (number, y, x)
        for number, size in enumerate(sizes)
        for y, x in np.ndindex(*((n - 2 * RIM) // _CELL for n in size))
    ]
    count = min(max(round(_HELD_OUT * len(places)), 1), _MOST_CELLS)
    cells: list[list[tuple[slice, slice]]] = [[] for _ in sizes]
    for i in random.choice(len(places), count, replace=False):
        number, *place = places[i]
        first = [MARGIN + RIM + _CELL * n for n in place]
        cells[number].append((slice(first[0], first[0] + _CELL), slice(first[1], first[1] + _CELL)))
    return cells

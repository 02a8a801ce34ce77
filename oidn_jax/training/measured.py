"""Batches from measured pairs on disk (`data.measured`).

What a step sees hangs on the run's seed, the step and the list of pairs alone: sample i of a step draws its pair, its
place on the foreground, its turn. So a run that is resumed goes on with the same data and saves no iterator, and
several hosts, each with its share of the samples, see together what one host would see alone. grain reads ahead in
threads; the files are read whole and left to the operating system's cache, nothing of them is kept but the places of
the foreground.

A network of raw frames is given patches of them, normalised patch by patch as DL-SR's are. A turned patch has turned
stripes, which is right for networks that are told nothing of them. A guided network is given patches of guides: the
illumination of each acquisition is estimated once, before the first step, from the whole of its frames, and guides and
target are turned together. Their targets are in the guides' unit by the slope of the guide over the target.
"""

import hashlib
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import grain
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float16, Float32, Real

from oidn_jax.acquisition import Acquisition
from oidn_jax.classical.guides import compiled_guides
from oidn_jax.data.biosr_tree import SPECIMEN_FOLDERS
from oidn_jax.data.faults import Examined, doubts_of_set, examine_all
from oidn_jax.data.image_stack import memory_bytes
from oidn_jax.data.measured import find_measured, open_raw, open_target, read_pair
from oidn_jax.data.normalisation import fit_min_max
from oidn_jax.data.pairs import BIOSR, MeasuredSet, Pair, Recording, ranges, specimen_key
from oidn_jax.data.patch_folder import foreground_corners, to_uint16
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.models.guided import fold
from oidn_jax.optics.microscope import Microscope
from oidn_jax.simulation.guided_pairs import PEAK
from oidn_jax.simulation.specimen import Specimen
from oidn_jax.training import parallel
from oidn_jax.training.batches import Batch
from oidn_jax.training.settings import DataSettings, TrainingRun

_AHEAD = 8  # batches that are ready before they are asked for
_NAMED = 3  # faults that a refusal names
_PIXEL_SIZE_TOLERANCE = 0.01
_MEMORY = 0.6  # of the machine's, that guides may take


@dataclass(frozen=True)
class MeasuredData:
    """The measured pairs of a run that can be used.

    Attributes:
        measured: the set that they are of.
        examined: the pairs of each split that was asked for.
        skipped: what was left out, one line each.
    """

    measured: MeasuredSet
    examined: Mapping[str, tuple[Examined, ...]]
    skipped: tuple[str, ...] = ()

    @property
    def training(self) -> tuple[Pair, ...]:
        """The pairs to learn from."""
        return self._pairs("training")

    @property
    def validation(self) -> tuple[Pair, ...]:
        """The pairs by which the best checkpoint is chosen."""
        return self._pairs("validation")

    def _pairs(self, split: str) -> tuple[Pair, ...]:
        return tuple(each.pair for each in self.examined.get(split, ()))

    @property
    def content(self) -> str:
        """A digest of the names and pixels of all pairs, the same on hosts and at times that see the same data."""
        parts = [(each.pair.name, *each.digests) for some in self.examined.values() for each in some]
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    def origin(self, run: TrainingRun, *, training: Sequence[Pair]) -> dict[str, Any]:
        """What the weights say of what they were trained on, `MeasuredBatches.pairs`, for JSON."""
        chosen = {"training": training, "validation": self.validation}
        return {
            "data": "measured",
            "specimen": run.simulation.specimen.name,
            "measured": {
                "set": self.measured.name,
                "layout": self.measured.layout,
                "acquisitions": {split: len(pairs) for split, pairs in chosen.items()},
                "cells": {split: ranges({pair.cell for pair in pairs} - {0}) for split, pairs in chosen.items()},
                "split": dict(run.data.split),
                "levels": ranges({pair.level for pair in training} - {0}),
                "skipped": len(self.skipped) + len(self.training) - len(training),
                "content": self.content,
            },
        }


def find_set(root: str | Path, specimen: Specimen, microscope: Microscope) -> MeasuredSet:
    """The set of a specimen, as a microscope records it, at a place.

    Where a set of BioSR's layout and one of patches are there the former is taken. A single set whose name is no
    specimen of BioSR is taken for the specimen.

    Raises:
        InputError: see `find_measured`; no set, or several, of the specimen; another number of frames or scale.
    """
    sets = [measured for measured in find_measured(root) if measured.has_targets]
    if not sets:
        raise InputError(f"{root} holds acquisitions without targets alone; nothing can be learned or scored with them")
    key = specimen_key(specimen.folder)
    known = {specimen_key(name) for name in SPECIMEN_FOLDERS}
    named = [measured for measured in sets if specimen_key(measured.name) in (key, f"{key}nonlinear")]
    if not named and len(sets) == 1 and specimen_key(sets[0].name) not in known:
        named = sets
    if not named:
        names = ", ".join(dict.fromkeys(measured.name for measured in sets))
        raise InputError(
            f"{root} holds {names}, but nothing of {specimen.folder}; give the configuration of its specimen, or the "
            "folder of this one as `data.root`"
        )
    ours = Recording(microscope.orientations, microscope.phases, microscope.scale)
    fitting = [measured for measured in named if measured.recording == ours]
    if not fitting:
        theirs = named[0].recording
        raise InputError(
            f"{named[0].root} has {theirs.orientations} orientations x {theirs.phases} phases and targets "
            f"{theirs.scale} times as large; set `microscope.orientations`, `microscope.phases` and `microscope.scale`"
        )
    whole = [measured for measured in fitting if measured.layout == BIOSR] or fitting
    if len(whole) > 1:
        names = ", ".join(str(measured.root) for measured in whole)
        raise InputError(f"{root} holds {specimen.folder} more than once: {names}; give one of them as `data.root`")
    return whole[0]


def pairs_of_split(measured: MeasuredSet, data: DataSettings, split: str) -> tuple[Pair, ...]:
    """The pairs of a split: as the layout says, or as the configuration's cells."""
    pairs = measured.of_cells(data.cells(split)) if measured.cells else measured.of_split(split)
    levels = data.level_numbers
    return tuple(pair for pair in pairs if not levels or not pair.level or pair.level in levels)


def choose_data(
    run: TrainingRun,
    *,
    splits: Sequence[str] = ("training", "validation"),
    say: Callable[[str], None] = print,
) -> MeasuredData:
    """Finds the pairs of a run and reads every file of them once, so that none is a surprise in the middle of it.

    Args:
        run: whose `data.root` says where.
        splits: those that are wanted, the first of which must not be empty.
        say: called with a line for what is there, and for all that is left out or doubtful.

    Raises:
        InputError: see `find_set`; no cell of the first split; with `data.broken` "refuse", files that cannot be used.
    """
    measured = find_set(run.data.root, run.simulation.specimen, run.microscope)
    chosen = {split: pairs_of_split(measured, run.data, split) for split in splits}
    if not chosen[splits[0]]:
        raise _nothing_there(measured, run.data, splits[0])
    say(f"{measured.describe()}, of {run.data.root}")
    for line in measured.missing:
        say(f"missing: {line}")
    patch, lines = run.train.patch if "training" in splits else 0, list[str]()
    kept = usable_pairs(measured, chosen, patch=patch, broken=run.data.broken, say=say, skipped=lines)
    _check_pixel_size([each for some in kept.values() for each in some], run.microscope)
    if not kept[splits[0]]:
        raise InputError(f"{measured.root}: no acquisition for {splits[0]} can be used; `data.broken` skips them all")
    for split, some in kept.items():
        say(f"{split}: {_describe([each.pair for each in some])}")
    return MeasuredData(measured, kept, tuple(lines))


def usable_pairs(
    measured: MeasuredSet,
    pairs: Mapping[str, Sequence[Pair]],
    *,
    patch: int,
    broken: str,
    say: Callable[[str], None] = print,
    skipped: list[str] | None = None,
) -> dict[str, tuple[Examined, ...]]:
    """Reads every file of some pairs once; gives those that can be used.

    Args:
        measured: the set that they are of.
        pairs: by split.
        patch: side of the smallest raw frames that are of use.
        broken: one of `settings.BROKEN`, what becomes of the others.
        say: called with a line for all that is left out or doubtful.
        skipped: gets the lines of what is left out.

    Raises:
        InputError: files that cannot be used, with the policy "refuse".
    """
    examined = examine_all([pair for some in pairs.values() for pair in some], measured.recording)
    lines = {each.pair.name: (*each.faults, *_useless(each, patch)) for each in examined}
    faults = {name: its_lines[0] for name, its_lines in lines.items() if its_lines}
    check_broken(faults, count=len(examined), broken=broken, say=say)
    good = {each.pair.name: each for each in examined if each.pair.name not in faults}
    for line in dict.fromkeys(fault.line for fault in doubts_of_set(measured, list(good.values()))):
        say(f"doubtful: {line}")
    if skipped is not None:
        skipped.extend(faults.values())
    return {split: tuple(good[pair.name] for pair in some if pair.name in good) for split, some in pairs.items()}


def check_broken(faults: Mapping[str, str], *, count: int, broken: str, say: Callable[[str], None] = print) -> None:
    """Refuses faulty acquisitions, or says that they are skipped.

    Args:
        faults: by the name of the acquisition.
        count: of all acquisitions.
        broken: the policy, one of `settings.BROKEN`.
        say: called with a line for each that is skipped.

    Raises:
        InputError: with the policy "refuse", naming the first few.
    """
    if faults and broken == "refuse":
        first = "; ".join(list(faults.values())[:_NAMED])
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise InputError(
            f"{len(faults)} of {count} acquisitions cannot be used: {first}{more}. Mend them, or give 'skip' as "
            "`data.broken` to go on without them"
        )
    for line in faults.values():
        say(f"skipped: {line}")


def _nothing_there(measured: MeasuredSet, data: DataSettings, split: str) -> InputError:
    if not measured.cells:
        return InputError(f"{measured.root} has no pairs for {split}, only {measured.describe()}")
    legal = f"{measured.root} has the cells {ranges(measured.cells)} at the levels {ranges(measured.levels)}"
    if data.levels:
        legal += f", and `data.levels` are {data.levels}"
    return IllegalValue(f"data.split.{split}", data.split.get(split, ""), f"{legal}; give those to take")


def _useless(each: Examined, patch: int) -> list[str]:
    """Why a pair is of no use to this run, though its files may be whole."""
    if each.pair.target is None:
        return [f"{each.pair.raw} has no target"]
    if each.size is not None and min(each.size) < patch:
        return [f"{each.pair.raw} is {each.size[0]} x {each.size[1]} pixels, smaller than `train.patch`"]
    return []


def _check_pixel_size(examined: Sequence[Examined], microscope: Microscope) -> None:
    for each in examined:
        nm = each.pixel_size_nm
        if nm is not None and not math.isclose(nm, microscope.pixel_size_nm, rel_tol=_PIXEL_SIZE_TOLERANCE):
            legal = f"{each.pair.raw} says {nm:.4g} nm; give that"
            raise IllegalValue("microscope.pixel_size_nm", microscope.pixel_size_nm, legal)


def _describe(pairs: Sequence[Pair]) -> str:
    cells = ranges({pair.cell for pair in pairs} - {0})
    return f"{len(pairs)} acquisitions{f' of the cells {cells}' if cells else ''}"


class _Field(NamedTuple):
    """Guides of an acquisition, of its lit part, and its target in their unit."""

    images: Float16[np.ndarray, "guides h2 w2"]
    conditions: Float32[np.ndarray, "conditions"]
    target: Float32[np.ndarray, "h2 w2"]


class MeasuredBatches:
    """A source of batches (`training.batches`) from measured pairs; it reads ahead, and is closed by `close`."""

    def __init__(
        self,
        run: TrainingRun,
        data: MeasuredData,
        *,
        host: int | None = None,
        hosts: int | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        """Of a guided network this estimates the illumination of every acquisition, which takes a while.

        Args:
            run: what is trained.
            data: of `choose_data`.
            host: number of this one, whose share of each batch it gives; None to ask jax.
            hosts: how many there are; likewise.
            say: called with a line for what takes long, and for acquisitions that are skipped.

        Raises:
            IllegalValue: a batch that hosts and devices cannot share.
            InputError: acquisitions without an illumination, with `data.broken` "refuse"; too many for the memory.
        """
        hosts = parallel.process_count() if hosts is None else hosts
        self._run, self._recording = run, data.measured.recording
        self._first = (parallel.process_index() if host is None else host) * (run.train.batch_size // hosts)
        self._share = run.train.batch_size // hosts
        parallel.per_device_batch(run.train.batch_size)
        self._pairs = data.training
        self._corners: dict[Any, np.ndarray] = {}
        self._turn = threading.Lock()
        self._fields: dict[str, _Field] = {}
        if run.guided:
            self._make_fields(say)
        steps = grain.MapDataset.range(1, run.train.steps + 1)
        self._batches = steps.map(self.batch)
        self._ahead: Iterator[Any] | None = None
        self._next = 0

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """What is learned from: the pairs for training but for those whose illumination is not known."""
        return self._pairs

    def __call__(self, step: int) -> Batch:
        """The batch of a step; that of the next one is the fastest."""
        if self._ahead is None or step != self._next:
            options = grain.ReadOptions(num_threads=self._run.data.readers, prefetch_buffer_size=_AHEAD)
            self.close()
            self._ahead = iter(self._batches[step - 1 :].to_iter_dataset(options))
        self._next = step + 1
        return next(self._ahead)

    def close(self) -> None:
        """Ends the readers."""
        close = getattr(self._ahead, "close", None)
        if close is not None:
            close()
        self._ahead = None

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """This host's share of the batch of a step, read now."""
        samples = [self.sample(int(step), self._first + number) for number in range(self._share)]
        return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}

    def sample(self, step: int, number: int) -> dict[str, np.ndarray]:
        """One sample of the global batch of a step."""
        generator = np.random.default_rng((self._run.seed, step, number))
        pair = self._pairs[int(generator.integers(len(self._pairs)))]
        make = self._guided_sample if self._run.guided else self._raw_sample
        return make(pair, generator)

    def _raw_sample(self, pair: Pair, generator: np.random.Generator) -> dict[str, np.ndarray]:
        raw_frames, target = read_pair(pair, self._recording)
        here, fine = self._place(pair.target, target, generator)
        frames, image = self._turned(generator, np.moveaxis(raw_frames[:, *here], 0, -1), target[fine][..., None])
        frames, image = frames.astype(np.float32), image.astype(np.float32)
        return {
            "inputs": fit_min_max(frames, mode=self._run.data.normalisation).apply(frames),
            "target": fit_min_max(image).apply(image),
        }

    def _guided_sample(self, pair: Pair, generator: np.random.Generator) -> dict[str, np.ndarray]:
        field, scale = self._fields[pair.name], self._recording.scale
        _, fine = self._place(pair.name, field.target, generator)
        images, target = self._turned(
            generator, np.moveaxis(field.images[:, *fine], 0, -1).astype(np.float32), field.target[fine][..., None]
        )
        inputs = fold(jnp.asarray(np.moveaxis(images, -1, 0)), jnp.asarray(field.conditions), scale=scale)
        peak = np.maximum(target.max(), np.float32(PEAK)).reshape(1, 1, 1)
        return {"inputs": np.asarray(inputs), "target": target, "peak": peak}

    def _place(
        self, key: Any, target: Real[np.ndarray, "h2 w2"], generator: np.random.Generator
    ) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where a patch is cut, on the raw and on the fine grid: a place of the foreground."""
        patch, scale = self._run.train.patch, self._recording.scale
        with self._turn:
            places = self._corners.get(key)
        if places is None:
            corners = foreground_corners(to_uint16(target, f"the target {key}"), patch, scale)
            places = corners.astype(np.uint16 if max(target.shape) <= np.iinfo(np.uint16).max else np.int64)
            with self._turn:
                self._corners[key] = places
        y, x = (int(n) for n in places[int(generator.integers(len(places)))])
        return (slice(y, y + patch), slice(x, x + patch)), (
            slice(scale * y, scale * (y + patch)),
            slice(scale * x, scale * (x + patch)),
        )

    def _turned(self, generator: np.random.Generator, *images: np.ndarray) -> tuple[np.ndarray, ...]:
        """Images (y, x, channels), all turned and mirrored alike."""
        turns, mirrored = int(generator.integers(4)), bool(generator.integers(2))
        if not self._run.data.turn:
            return tuple(map(np.ascontiguousarray, images))
        turned = (np.rot90(image, turns) for image in images)
        return tuple(np.ascontiguousarray(image[:, ::-1] if mirrored else image) for image in turned)

    def _make_fields(self, say: Callable[[str], None]) -> None:
        """Guides of every acquisition; those whose illumination cannot be estimated are faults as broken files are."""
        self._check_memory()
        say(f"estimating the illumination of {len(self._pairs)} acquisitions")
        faults = {}
        for pair in self._pairs:
            try:
                self._fields[pair.name] = make_field(pair, self._recording, self._run.microscope)
                lit = self._fields[pair.name].target.shape
                if min(lit) < self._recording.scale * self._run.train.patch:
                    raise InputError(f"the lit part of {pair.raw} is smaller than `train.patch`")
            except InputError as error:
                faults[pair.name] = str(error)
        check_broken(faults, count=len(self._pairs), broken=self._run.data.broken, say=say)
        self._pairs = tuple(pair for pair in self._pairs if pair.name not in faults)
        if not self._pairs:
            raise InputError("of no acquisition for training the illumination could be estimated")

    def _check_memory(self) -> None:
        y, x = open_target(self._pairs[0]).shape[-2:]
        needed, have = len(self._pairs) * y * x * (3 * 2 + 4), memory_bytes()
        if needed > _MEMORY * have:
            raise InputError(
                f"the guides of {len(self._pairs)} acquisitions take {needed / 2**30:.3g} GB of memory, and there are "
                f"{have / 2**30:.3g} GB: train on fewer `data.levels` or cells (`data.split.training`)"
            )


def make_field(pair: Pair, recording: Recording, microscope: Microscope) -> _Field:
    """The guides of an acquisition, by the illumination of the whole of it, and its target in their unit.

    The target's own unit is whatever its program chose. Its slope a is the least-squares one of the first guide over
    it, which noise in the guide does not bias; the intercept is light out of focus and is not asked of the network.

    Raises:
        InputError: frames that no illumination can be estimated from; a target that is unlike its guide.
    """
    acquisition = Acquisition(open_raw(pair, recording), microscope)
    lit, scale = acquisition.lit, recording.scale
    made = compiled_guides(
        lit.of(acquisition.light(0)), lit.illumination(acquisition.illumination(0)), acquisition.otf, scale=scale
    )
    images = np.asarray(made.images)
    target = lit.of(open_target(pair).read(0)[0], scale=scale).astype(np.float32)
    centred = target - target.mean(dtype=np.float64)
    slope = float(np.mean(centred * (images[0] - images[0].mean())) / max(np.mean(centred**2), 1e-12))
    if not slope > 0 or not np.isfinite(images).all():
        raise InputError(f"{pair.target} does not show what {pair.raw} does: their images are unlike")
    return _Field(
        images.astype(np.float16),
        np.asarray(made.conditions, np.float32),
        (slope * target).astype(np.float32),
    )

"""What a training run depends on: each section of a configuration as a frozen dataclass that checks itself."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oidn_jax.data.normalisation import MODES
from oidn_jax.data.pairs import SPLITS, parse_ranges, ranges
from oidn_jax.errors import IllegalValue
from oidn_jax.losses import ERROR_TERMS, PSF_TERMS, TERMS
from oidn_jax.metrics.ssim import PADDINGS
from oidn_jax.models.layers import SMALLEST_IMAGE
from oidn_jax.models.networks import has_error, has_psf
from oidn_jax.models.training_range import TrainingRange
from oidn_jax.optics.microscope import Microscope
from oidn_jax.simulation.settings import Simulation

SCHEDULES = ("step", "cosine")


_SEEDS = 2**31


BROKEN = ("refuse", "skip")


@dataclass(frozen=True)
class DataSettings:
    """How acquisitions enter the network, and which measured ones.

    Attributes:
        normalisation: over the frames of an acquisition, "joint"; or "per_frame" as the authors' code does.
        root: folder of the measured data; empty to simulate. All below is of measured data only.
        split: cells by their numbers, as "1-5, 51", of each of `data.pairs.SPLITS`; those of the DL-SR code. Patch
            folders and lists have splits of their own.
        levels: signal levels to train on, as "1-4"; empty for all.
        broken: what becomes of files that cannot be used: "refuse" to begin, or "skip" them.
        turn: whether patches are rotated by multiples of 90 degrees and mirrored.
        readers: threads that read ahead.
    """

    normalisation: str = "joint"
    root: str = ""
    split: Mapping[str, str] = field(default_factory=lambda: {"training": "6-35", "validation": "1-5", "test": "36-50"})
    levels: str = ""
    broken: str = "refuse"
    turn: bool = True
    readers: int = 4

    def __post_init__(self) -> None:
        for name, legal in (("normalisation", MODES), ("broken", BROKEN)):
            if getattr(self, name) not in legal:
                raise IllegalValue(name, getattr(self, name), f"legal: {', '.join(map(repr, legal))}")
        for name in self.split:
            if name not in SPLITS:
                raise IllegalValue(f"split.{name}", self.split[name], f"there are: {', '.join(SPLITS)}")
        for one, other in itertools.combinations(self.split, 2):
            both = self.cells(one) & self.cells(other)
            if both:
                legal = f"no cell can be in two splits, and {ranges(both)} is in `data.split.{other}` too"
                raise IllegalValue(f"split.{one}", self.split[one], legal)
        _ = self.level_numbers
        if self.readers < 1:
            raise IllegalValue("readers", self.readers, "it must be at least 1")

    def cells(self, split: str) -> frozenset[int]:
        """The numbers of the cells of a split."""
        return _numbers(f"split.{split}", self.split.get(split, ""))

    @property
    def level_numbers(self) -> frozenset[int]:
        """Those of `levels`; empty for all."""
        return _numbers("levels", self.levels)


def _numbers(name: str, text: str) -> frozenset[int]:
    try:
        return parse_ranges(text)
    except ValueError as error:
        raise IllegalValue(name, text, "give numbers and ranges by commas, as '1-5, 51'") from error


@dataclass(frozen=True)
class LossSettings:
    """Weights of the terms of `losses.total_loss`, and the padding of its SSIM; the defaults are the paper's.

    Raises:
        IllegalValue: if a field is not legal.
    """

    weights: Mapping[str, float] = field(
        default_factory=lambda: {
            "mse": 1.0,
            "l1": 0.0,
            "ssim": 0.1,
            "frequency": 0.01,
            "psf_energy": 1e-3,
            "psf_symmetry": 1e-3,
            "psf_monotonicity": 0.0,
            "error": 0.0,
        }
    )
    ssim_padding: str = "valid"

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if name not in TERMS:
                raise IllegalValue(f"weights.{name}", weight, f"there are: {', '.join(TERMS)}")
            if not 0 <= weight < math.inf:
                raise IllegalValue(f"weights.{name}", weight, "it must be 0 or positive")
        if not any(self.weights.values()):
            raise IllegalValue("weights", dict(self.weights), "not all of them can be 0")
        if self.ssim_padding not in PADDINGS:
            raise IllegalValue("ssim_padding", self.ssim_padding, f"legal: {', '.join(map(repr, PADDINGS))}")


@dataclass(frozen=True)
class TrainSettings:
    """Optimiser, schedule and rhythm; the defaults are the paper's.

    Raises:
        IllegalValue: if a field is not legal.
    """

    steps: int = 500_000
    batch_size: int = 4  # over all devices
    patch: int = 128  # raw pixels
    learning_rate: float = 1e-4
    schedule: str = "step"  # or "cosine": to zero at the last step
    decay_every: int = 125_000  # "step": 25 epochs of 20,000 patches
    decay_factor: float = 0.1
    warmup_steps: int = 0
    clip_norm: float = 0.0  # 0: no clipping
    ema_decay: float = 0.0  # 0: no moving average
    log_every: int = 100
    evaluate_every: int = 2500
    checkpoint_every: int = 2500
    begin_with: str = (
        ""  # weights, by their name in the package or their folder, to train further with a fresh schedule
    )
    resume_from: str = ""  # a workdir whose last checkpoint this run continues
    profile_steps: tuple[int, ...] = ()  # first and last step of a trace by the profiler; empty for none

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "log_every", "evaluate_every", "checkpoint_every", "decay_every"):
            if getattr(self, name) < 1:
                raise IllegalValue(name, getattr(self, name), "it must be at least 1")
        if self.patch < SMALLEST_IMAGE:
            raise IllegalValue("patch", self.patch, f"the smallest patch is {SMALLEST_IMAGE} pixels")
        for name in ("learning_rate", "decay_factor"):
            if not 0 < getattr(self, name) < math.inf:
                raise IllegalValue(name, getattr(self, name), "it must be positive")
        for name in ("warmup_steps", "clip_norm"):
            if not 0 <= getattr(self, name) < math.inf:
                raise IllegalValue(name, getattr(self, name), "it must not be negative, 0 for none")
        if not 0 <= self.ema_decay < 1:
            raise IllegalValue("ema_decay", self.ema_decay, "it must be in [0, 1), 0 for none")
        if self.schedule not in SCHEDULES:
            raise IllegalValue("schedule", self.schedule, f"legal: {', '.join(map(repr, SCHEDULES))}")
        if self.schedule == "cosine" and self.warmup_steps >= self.steps:
            legal = f"it must be smaller than `train.steps`, which is {self.steps}"
            raise IllegalValue("warmup_steps", self.warmup_steps, legal)
        if self.profile_steps and not self._is_window(self.profile_steps):
            legal = (
                f"it must be the first and the last step of a trace, 1 to `train.steps` ({self.steps}), or () for none"
            )
            raise IllegalValue("profile_steps", self.profile_steps, legal)

    def _is_window(self, window: tuple[int, ...]) -> bool:
        if len(window) != 2 or any(type(step) is not int for step in window):
            return False
        return 1 <= window[0] <= window[1] <= self.steps


@dataclass(frozen=True)
class VarietySettings:
    """What a network is trained on in the place of one specimen under one microscope: each batch is of one of them all.

    Attributes:
        specimens: by name, one as often as it is named; none for that of the `simulation` section.
        microscopes: what to change in the configuration, by "section.field"; none for the one of the configuration.
    """

    specimens: tuple[str, ...] = ()
    microscopes: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class DistributedSettings:
    """The hosts that train together.

    Raises:
        IllegalValue: if a field is not legal.
    """

    enabled: bool = False
    coordinator: str = ""  # HOST:PORT; empty: the cluster's own environment (SLURM, TPU pods, ...) tells
    num_processes: int = 0
    process_id: int = -1

    def __post_init__(self) -> None:
        if self.coordinator and not self.enabled:
            raise IllegalValue("coordinator", self.coordinator, "it has no use unless `distributed.enabled` is true")
        if self.coordinator and not 0 <= self.process_id < self.num_processes:
            legal = f"give each host its number, from 0 to `distributed.num_processes` - 1 ({self.num_processes - 1})"
            raise IllegalValue("process_id", self.process_id, legal)


@dataclass(frozen=True)
class TrainingRun:
    """Everything that decides a run.

    Attributes:
        name: of the experiment.
        seed: of parameters and data.
        model: the network's name and fields (`models.networks`).
        simulation: specimen and microscope that the network is for, and that it is evaluated on.
        simulations: what training data are simulated from, at least one.
        data: how they enter the network.
        loss: what is minimised.
        train: how.
        configuration: the whole configuration as JSON can hold it, for the record.

    Raises:
        IllegalValue: for a seed that jax cannot take, or a loss of something that the network does not have.
    """

    name: str
    seed: int
    model: Mapping[str, Any]
    simulation: Simulation
    simulations: tuple[Simulation, ...]
    data: DataSettings
    loss: LossSettings
    train: TrainSettings
    configuration: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not 0 <= self.seed < _SEEDS:
            raise IllegalValue("seed", self.seed, f"it must be from 0 to {_SEEDS - 1}")
        if not self.simulations:
            raise IllegalValue("variety.specimens", (), "there must be something to be trained on")
        if self.data.root and self.simulations != (self.simulation,):
            legal = (
                "measured data are of one specimen and microscope, and this configuration's `variety` names others; "
                "use another configuration, or leave it empty (BIOSR_ROOT in the environment too) to simulate"
            )
            raise IllegalValue("data.root", self.data.root, legal)
        for terms, has, what in ((PSF_TERMS, has_psf, "has no PSF"), (ERROR_TERMS, has_error, "expects no error")):
            for term in (term for term in terms if self.loss.weights.get(term) and not has(self.model)):
                named = " with this body" if self.guided else ""
                legal = f"it must be 0: the network {self.model['name']!r}{named} {what}"
                raise IllegalValue(f"loss.weights.{term}", self.loss.weights[term], legal)
        for each in self.simulations:
            self._check_simulation(each)
        if self.guided and self.data.normalisation != DataSettings().normalisation:
            legal = "the network 'guided' takes guides in units of light, which nobody normalises: leave it out"
            raise IllegalValue("data.normalisation", self.data.normalisation, legal)

    def _check_simulation(self, simulation: Simulation) -> None:
        """Refuses acquisitions that the network cannot take."""
        microscope, own = simulation.microscope, self.microscope
        alike = ("scale",) if self.guided else ("orientations", "phases", "scale")
        for name in alike:
            if getattr(microscope, name) != getattr(own, name):
                legal = f"the network takes {getattr(own, name)}, that of the configuration"
                raise IllegalValue(f"variety.microscope.{name}", getattr(microscope, name), legal)
        if not self.guided:
            return
        if microscope.phases < 3:
            raise IllegalValue("microscope.phases", microscope.phases, "to separate the bands of SIM it takes 3")
        if simulation.settings.target != "ideal":
            legal = "a guided network learns what SIM could recover at best, in units of its light: 'ideal'"
            raise IllegalValue("simulation.target", simulation.settings.target, legal)

    @property
    def guided(self) -> bool:
        """Whether the network takes guides in the place of raw frames."""
        return self.model["name"] == "guided"

    @property
    def microscope(self) -> Microscope:
        """That of the data, which the network is for."""
        return self.simulation.microscope

    @property
    def range(self) -> TrainingRange:
        """What the simulated data cover."""
        cutoffs, patterns, photons = [], [], []
        for each in self.simulations:
            cutoff, spread = each.microscope.cutoff, each.settings.illumination_na_spread
            cutoffs.append(cutoff)
            patterns += [each.illumination_frequency * (1 + sign * spread) / cutoff for sign in (-1, 1)]
            photons += each.settings.mean_photons
        return TrainingRange(*((min(values), max(values)) for values in (cutoffs, patterns, photons)))

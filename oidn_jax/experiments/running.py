"""Trains and tests the runs of a suite, one after the other; what is done is not done again.

A folder holds `plan.json`, what was asked for, which must not change; `runs/NAME/seed_N`, the workdir of each training
with its `result.json`, written when it has been tested; and `report`, written when all are done.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

from oidn_jax.config import Experiment, experiment_of, specimen_config, use_network
from oidn_jax.data.atomic import write_json
from oidn_jax.data.regular_file import read_small
from oidn_jax.errors import InputError
from oidn_jax.evaluation.comparison import compare
from oidn_jax.evaluation.files import finite_or_none
from oidn_jax.evaluation.scenes import Scenes, simulate_scenes
from oidn_jax.evaluation.validation import learned_psf
from oidn_jax.experiments.suites import PRESETS, SUITES, Preset, Run, Suite
from oidn_jax.methods import NetworkMethod
from oidn_jax.metrics.rolling_frc import RollingFrcOptions
from oidn_jax.models.trained import TrainedModel
from oidn_jax.models.weights import load
from oidn_jax.simulation.settings import Simulation
from oidn_jax.training.checkpoint import plain
from oidn_jax.training.loop import TrainingDiverged, train

FORMAT = "oidn_jax experiments 1"
PLAN, RESULT = "plan.json", "result.json"
_MOST_TEXT = 10**8


@dataclass(frozen=True)
class Result:
    """What came of one training.

    Attributes:
        run: its name.
        seed: from 0.
        steps: that it was trained for.
        seconds_per_step: median over the log.
        scores: of each image on the test scenes, the rows of a `Comparison`; none where the training diverged.
        psf_error: see `psf_error`; None for a network without a PSF.
        diverged: why there are no scores; empty where there are.
    """

    run: str
    seed: int
    steps: int
    seconds_per_step: float
    scores: tuple[Mapping[str, Any], ...] = ()
    psf_error: float | None = None
    diverged: str = ""


@dataclass(frozen=True)
class Plan:
    """A suite at a preset, in a folder.

    Attributes:
        suite: its name in `SUITES`.
        preset: its name in `PRESETS`.
        out: the folder.

    Raises:
        KeyError: for names that are none.
    """

    suite: str
    preset: str
    out: Path

    @property
    def runs(self) -> Suite:
        """What is trained, and tested on what."""
        return SUITES[self.suite]

    @property
    def size(self) -> Preset:
        """How large it is."""
        return PRESETS[self.preset]

    @property
    def trainings(self) -> list[tuple[Run, int]]:
        """Run and seed of each training, in order."""
        return [(run, seed) for run in self.runs.runs for seed in range(self.size.seeds)]

    def workdir(self, run: str, seed: int) -> Path:
        """Of a training."""
        return self.out / "runs" / re.sub(r"[^a-z0-9]+", "_", run.lower()).strip("_") / f"seed_{seed}"

    def experiment(self, run: Run, *, seed: int = 0, steps: int | None = None) -> Experiment:
        """The configuration of a training.

        Args:
            run: of the suite.
            seed: of parameters and data.
            steps: in the place of the preset's.
        """
        config = specimen_config(run.specimen, self.size.variant)
        if "model.name" in run.changes:
            use_network(config, run.changes["model.name"])
        config.model.update({name: value for name, value in self.size.sizes.items() if name in config.model})
        config.update_from_flattened_dict({**self.size.changes, **run.changes})
        config.name, config.seed = f"{self.suite}: {run.name}", seed
        if steps is not None:
            config.train.steps = steps
        return experiment_of(config)

    def described(self) -> dict[str, Any]:
        """All that decides the results, as JSON can hold it."""
        return plain(
            {
                "format": FORMAT,
                "suite": self.suite,
                "preset": self.preset,
                "seeds": self.size.seeds,
                "tested_on": self.runs.tested_on,
                "runs": {
                    run.name: {"timed_by": run.timed_by, **self.experiment(run).run.configuration}
                    for run in self.runs.runs
                },
            }
        )


def write_plan(plan: Plan) -> None:
    """Writes `plan.json` into a new folder; refuses one that holds another plan.

    Raises:
        InputError: what the folder holds, and what differs; a folder with something else in it.
    """
    path, ours = plan.out / PLAN, plan.described()
    if not path.exists():
        if plan.out.exists() and (not plan.out.is_dir() or any(plan.out.iterdir())):
            raise InputError(f"{plan.out} holds something else than experiments; give a new folder as `out`")
        write_json(path, ours)
        return
    try:
        theirs = json.loads(read_small(path, most_bytes=_MOST_TEXT))
        kept = {name: theirs[name] for name in ("suite", "preset")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}); give another `out`") from error
    for name, value in kept.items():
        if value != ours[name]:
            raise InputError(f"{plan.out} holds the {name} {value!r}, not {ours[name]!r}; give another `out`")
    changed = [name for name, old, new in _differences(theirs, ours)]
    if changed:
        name, old, new = next(_differences(theirs, ours))
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise InputError(
            f"{plan.out} was begun with other settings ({name} was {old!r} and is {new!r}{more}), so its runs could "
            "not be compared with new ones; give another `out`"
        )


def _differences(theirs: Any, ours: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Name, their value and ours, of all that differs."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for key in [*ours, *(key for key in theirs if key not in ours)]:
            yield from _differences(theirs.get(key), ours.get(key), f"{name}.{key}".removeprefix("."))
    elif theirs != ours:
        yield name, theirs, ours


def run_suite(
    plan: Plan,
    *,
    say: Callable[[str], None] = lambda line: None,
    progress: Callable[[str, float], None] = lambda text, fraction: None,
) -> list[Result] | None:
    """Trains and tests all that is not done yet.

    Args:
        plan: written already.
        say: called with each line for the user: those of the trainings, and one for each that is done.
        progress: called with what is done and the fraction of all trainings.

    Returns:
        The results of all trainings in the order of the plan; None where Ctrl-C or SIGTERM stopped one.
    """
    results: list[Result] = []
    scenes, trainings = cache(lambda: held_out_scenes(plan)), plan.trainings
    for number, (run, seed) in enumerate(trainings):
        name = f"{run.name}, seed {seed}"
        result = read_result(plan, run.name, seed)
        if result is None:

            def advance(step: int, steps: int, number: int = number, name: str = name) -> None:
                progress(name, (number + step / steps) / len(trainings))

            result = _trained_and_tested(plan, run, seed, results=results, scenes=scenes, say=say, advance=advance)
            if result is None:
                say(f"stopped: {number} of {len(trainings)} trainings are done; the same command goes on")
                return None
            write_json(plan.workdir(run.name, seed) / RESULT, finite_or_none(asdict(result)))
            if seed == plan.size.seeds - 1:
                jax.clear_caches()  # the programs of dozens of trainings would fill the memory
            say(f"{number + 1} of {len(trainings)}: {name}, {_in_words(result)}")
        results.append(result)
    progress("", 1.0)
    return results


def _in_words(result: Result) -> str:
    if result.diverged:
        return f"diverged: {result.diverged}"
    return f"{result.steps} steps, affine PSNR {mean_score(result, 'affine_psnr'):.2f} dB"


def mean_score(result: Result, score: str, *, specimen: str | None = None) -> float:
    """Mean over all images, or those of a specimen; NaN without any."""
    values = [row[score] for row in result.scores if specimen in (None, row["specimen"])]
    finite = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _trained_and_tested(
    plan: Plan,
    run: Run,
    seed: int,
    *,
    results: list[Result],
    scenes: Callable[[], Mapping[str, Scenes]],
    say: Callable[[str], None],
    advance: Callable[[int, int], None],
) -> Result | None:
    """None where it was stopped."""
    steps = _steps(plan, run, results)
    experiment, workdir = plan.experiment(run, seed=seed, steps=steps), plan.workdir(run.name, seed)
    try:
        if not train(experiment.run, workdir, say=say, progress=advance).finished:
            return None
    except TrainingDiverged as error:
        return Result(run.name, seed, steps, seconds_per_step(workdir), diverged=str(error))
    model = load(workdir)
    options = RollingFrcOptions(block=experiment.evaluation.rolling_block, skip=experiment.evaluation.rolling_skip)
    comparison = compare(scenes(), {run.name: NetworkMethod(model)}, labels={run.name: run.name}, rolling=options)
    return Result(
        run=run.name,
        seed=seed,
        steps=steps,
        seconds_per_step=seconds_per_step(workdir),
        scores=tuple(comparison.rows),
        psf_error=psf_error(model, next(iter(scenes().values()))),
    )


def _steps(plan: Plan, run: Run, results: list[Result]) -> int:
    """The preset's N; of a run that is trained as long as the first N t_first / t_own, at least what a schedule needs.

    The times per step are those of the first seeds; where a training diverged at once there is none, and N is taken.
    """
    settings = plan.experiment(run).run.train
    if not run.timed_by:
        return settings.steps
    seconds = {result.run: result.seconds_per_step for result in reversed(results)}
    ratio = seconds[plan.runs.runs[0].name] / seconds[run.timed_by]
    return max(round(settings.steps * ratio), settings.warmup_steps + 1) if np.isfinite(ratio) else settings.steps


def seconds_per_step(workdir: Path) -> float:
    """Median over the lines of the training's log, so that neither compiling nor a pause counts; NaN without any."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    seconds = [line["seconds_per_step"] for line in lines if "seconds_per_step" in line]
    return float(np.median(seconds)) if seconds else float("nan")


def psf_error(model: TrainedModel, scenes: Scenes) -> float | None:
    """1/2 sum_u |psf[u] - theory[u]|, mean over the levels' first scenes: the share of light that lies elsewhere.

    Of the mean over the frames, against the PSF of the microscope (`Microscope.psf`). None without a PSF.
    """
    learned = [learned_psf(model, scenes.acquisitions(level)[0]) for level in scenes.levels]
    errors = [0.5 * float(np.abs(psf - model.microscope.psf(len(psf))).sum()) for psf in learned if psf is not None]
    return float(np.mean(errors)) if errors else None


def held_out_simulations(plan: Plan) -> dict[str, Simulation]:
    """Of each specimen that is tested on, under the microscope of the suite's first run."""
    own = plan.experiment(plan.runs.runs[0]).run.simulation
    return {name: Simulation(own.settings.for_specimen(name), own.microscope) for name in plan.runs.tested_on}


def held_out_scenes(plan: Plan, *, repeated: bool = False) -> dict[str, Scenes]:
    """The scenes that every network is tested on, which no training draws from."""
    settings = plan.experiment(plan.runs.runs[0]).evaluation
    return {
        name: simulate_scenes(simulation, settings, repeated=repeated)
        for name, simulation in held_out_simulations(plan).items()
    }


def read_result(plan: Plan, run: str, seed: int) -> Result | None:
    """What `run_suite` has written; None where the training has not been tested yet.

    Raises:
        InputError: if the file is damaged.
    """
    path = plan.workdir(run, seed) / RESULT
    if not path.exists():
        return None
    try:
        content = json.loads(read_small(path, most_bytes=_MOST_TEXT))
        seconds = content["seconds_per_step"]
        content["seconds_per_step"] = float("nan") if seconds is None else seconds
        return Result(**{**content, "scores": tuple(content["scores"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}); remove it, and the training is tested again") from error

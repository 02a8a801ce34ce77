"""The suites and presets: every run is a legal training that differs from the others in what its name says."""

from pathlib import Path

import pytest

from oidn_jax.experiments.running import Plan
from oidn_jax.experiments.suites import PRESETS, SUITES
from oidn_jax.models.networks import has_psf

plans = pytest.mark.parametrize("plan", [Plan(s, p, Path("out")) for s in SUITES for p in PRESETS], ids=str)


@plans
def test_every_run_is_a_legal_training_of_its_own(plan):
    runs = plan.runs.runs
    configurations = {run.name: plan.experiment(run).run.configuration for run in runs if not run.timed_by}
    without_names = [{**content, "name": ""} for content in configurations.values()]
    assert all(content not in without_names[:i] for i, content in enumerate(without_names))
    assert len({plan.workdir(run.name, 0) for run in runs}) == len(runs)
    trained = {content["simulation"]["specimen"] for content in configurations.values()}
    assert trained <= set(plan.runs.tested_on)


@plans
def test_runs_of_equal_time_are_those_of_equal_steps_before_them(plan):
    seen = {}
    for run in plan.runs.runs:
        if run.timed_by:
            assert run.changes == seen[run.timed_by].changes
        seen[run.name] = run


def test_what_the_paper_compares_is_there():
    plan = Plan("ablation", "quick", Path("out"))
    runs = {run.name: plan.experiment(run).run for run in plan.runs.runs}
    weights = {name: run.loss.weights for name, run in runs.items()}
    assert weights["without CE"]["psf_energy"] == weights["without RS"]["psf_symmetry"] == 0.0
    assert weights["without frequency loss"]["frequency"] == weights["without SSIM loss"]["ssim"] == 0.0
    assert weights["code's loss"]["l1"] == 0.9
    assert not has_psf(runs["without PSF head"].model)
    assert runs["frames normalised one by one"].data.normalisation == "per_frame"
    baselines = Plan("baselines", "quick", Path("out"))
    models = [baselines.experiment(run).run.model["name"] for run in baselines.runs.runs if not run.timed_by]
    assert models == ["oidn", "apcan", "dfcan", "rcan", "unet", "guided"]


@pytest.mark.parametrize("suite", SUITES)
def test_the_quick_preset_is_small(suite):
    plan = Plan(suite, "quick", Path("out"))
    assert len(plan.trainings) <= 33
    for run in plan.runs.runs:
        model = plan.experiment(run).run.model
        assert model.get("width", 16) == 16
        assert max(model.get("widths", (64,))) <= 64

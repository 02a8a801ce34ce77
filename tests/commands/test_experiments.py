"""Running a suite: resumed where it was stopped, nothing done twice, what may not change refused; its report."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from oidn_jax.errors import InputError
from oidn_jax.experiments import running
from oidn_jax.experiments.report import _own_figures
from oidn_jax.experiments.running import Plan, Result, psf_error, read_result, run_suite, write_plan
from oidn_jax.experiments.suites import PRESETS, SUITES, Preset, Run, Suite
from oidn_jax.training.loop import TrainingDiverged
from tests.conftest import TINY
from tests.evaluation.tiny import model, two_scenes

UNET = {"model.name": "unet", "model.widths": (4, 8)}
RUNS = (
    Run("U-Net", UNET, specimen="ccps"),
    Run("without SSIM", {**UNET, "loss.weights.ssim": 0.0}, specimen="ccps"),
    Run("U-Net, equal time", UNET, specimen="ccps", timed_by="U-Net"),
)
SMALL = {name: value for name, value in TINY.items() if not name.startswith("model.")}
TRAININGS = [(run.name, seed) for run in RUNS for seed in (0, 1)]


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(SUITES, "tiny", Suite("Tiny networks", RUNS, tested_on=("ccps",), classical=("widefield",)))
    monkeypatch.setitem(PRESETS, "tiny", Preset("quick", 2, SMALL))


def scores(psnr):
    return ({"specimen": "ccps", "level": "low", "scene": 0, "affine_psnr": psnr, "affine_ssim": 0.5},)


def fakes(plan, **fields):
    """Results that no training has given."""
    rows = tuple({**scores(20.0)[0], "specimen": name} for name in plan.runs.tested_on)
    return [Result(run.name, seed, 4, 0.1, rows, **fields) for run, seed in plan.trainings]


def test_a_suite_that_is_stopped_goes_on_and_is_reported(tmp_path, command):
    plan, lines, steps = Plan("tiny", "tiny", tmp_path / "out"), [], []
    write_plan(plan)

    def stop_in_the_second(text, fraction):
        steps.append(fraction)
        if text == "U-Net, seed 1":
            signal.raise_signal(signal.SIGINT)

    assert run_suite(plan, say=lines.append, progress=stop_in_the_second) is None
    assert [line for line in lines if line.startswith("1 of 6: U-Net, seed 0, 4 steps, affine PSNR ")]
    assert "stopping after this step; Ctrl-C again to stop without saving" in lines
    assert lines[-1] == "stopped: 1 of 6 trainings are done; the same command goes on"
    assert steps == sorted(steps)
    assert not (plan.workdir("U-Net", 1) / "result.json").exists()
    first = (plan.workdir("U-Net", 0) / "result.json").read_bytes()

    code, out, err = command("experiments", "--suite=tiny", "--preset=tiny", f"--out={plan.out}")
    assert (code, err) == (0, "")
    assert [f"{number} of 6: " in out for number in range(1, 7)] == [False] + [True] * 5
    assert (plan.workdir("U-Net", 0) / "result.json").read_bytes() == first
    logged = (plan.workdir("U-Net", 1) / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in logged][-1] == 4

    report = plan.out / "report"
    results = json.loads((report / "results.json").read_text())
    assert [(r["run"], r["seed"]) for r in results["results"]] == TRAININGS
    assert all(len(r["scores"]) == 3 for r in results["results"])  # one scene at three levels
    assert {row["method"] for row in results["first_seed"]} == {"widefield", *(run.name for run in RUNS)}
    table = (report / "tables.md").read_text().split("\n\n")[1].splitlines()
    mean = {
        name: float(row.split("|")[2].replace("*", "").split("±")[0])
        for row in table[2:]
        for name in [row.split("|")[1].strip()]
    }
    for run in RUNS:
        values = [row["affine_psnr"] for r in results["results"] if r["run"] == run.name for row in r["scores"]]
        assert mean[run.name] == pytest.approx(np.mean(values), abs=0.006)
    for name in ("report.html", "tables.tex", "figures/scores.png", "figures/scores.pdf"):
        assert (report / name).stat().st_size > 1000

    code, out, err = command("experiments", "--suite=tiny", "--preset=tiny", f"--out={plan.out}")
    assert (code, err) == (0, "")
    assert out.startswith("nothing to do: all is done")


def test_a_changed_plan_and_a_strange_folder_are_refused(tmp_path, refused, monkeypatch):
    write_plan(Plan("tiny", "tiny", tmp_path / "out"))
    words = ("experiments", f"--out={tmp_path / 'out'}")
    refused("holds the suite 'tiny', not 'psf'; give another --out", *words, "--suite=psf", "--preset=tiny")
    refused("holds the preset 'tiny', not 'quick'; give another --out", *words, "--suite=tiny", "--preset=quick")
    monkeypatch.setitem(PRESETS, "tiny", replace(PRESETS["tiny"], changes={**SMALL, "train.steps": 6}))
    refused("train.steps was 4 and is 6 and 2 more", *words, "--suite=tiny", "--preset=tiny")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    refused("holds something else", "experiments", f"--out={tmp_path / 'mine'}", "--suite=tiny", "--preset=tiny")
    (tmp_path / "out" / "plan.json").write_text("{")
    refused("plan.json is damaged", *words, "--suite=tiny", "--preset=tiny")
    refused("--suite", "experiments", "--suite=all", "--out=x")


def test_a_training_that_diverges_is_told_and_the_others_go_on(tmp_path, monkeypatch):
    plan, lines, trained = Plan("tiny", "tiny", tmp_path), [], []

    def diverge(run, workdir, **_):
        trained.append(run.name)
        workdir.mkdir(parents=True)
        (workdir / "metrics.jsonl").touch()
        raise TrainingDiverged("the loss was not finite")

    monkeypatch.setattr(running, "train", diverge)
    results = run_suite(plan, say=lines.append)
    assert [result.diverged for result in results] == ["the loss was not finite"] * 6
    assert lines[0] == "1 of 6: U-Net, seed 0, diverged: the loss was not finite"
    again = run_suite(plan)
    assert len(trained) == 6
    assert [(r.run, r.seed, r.steps, r.diverged) for r in again] == [
        (r.run, r.seed, r.steps, r.diverged) for r in results
    ]


def test_equal_time_is_that_of_the_first_run_by_the_times_of_the_first_seeds():
    plan = Plan("baselines", "quick", Path("out"))
    n, (apcan,) = PRESETS["quick"].changes["train.steps"], [r for r in plan.runs.runs if r.name == "APCAN, equal time"]
    results = [
        Result("OIDN", 0, n, 0.3),
        Result("OIDN", 1, n, 9.0),
        Result("APCAN", 0, n, 0.1),
        Result("APCAN", 1, n, 7.0),
    ]
    assert running._steps(plan, apcan, results) == 3 * n
    assert running._steps(plan, plan.runs.runs[1], results) == n
    slow = [Result("OIDN", 0, n, 0.001), Result("APCAN", 0, n, 5.0)]
    assert running._steps(plan, apcan, slow) == PRESETS["quick"].changes["train.warmup_steps"] + 1


def test_the_error_of_a_psf_is_the_share_of_light_that_lies_elsewhere(monkeypatch):
    scenes, network = two_scenes(), model("oidn")
    theory = network.microscope.psf(8)
    monkeypatch.setattr(running, "learned_psf", lambda *_: theory)
    assert psf_error(network, scenes) == 0.0
    monkeypatch.setattr(running, "learned_psf", lambda *_: np.roll(theory, 4, axis=0))
    moved = psf_error(network, scenes)
    assert moved == pytest.approx(0.5 * np.abs(np.roll(theory, 4, axis=0) - theory).sum())
    assert 0.2 < moved < 1.0
    monkeypatch.undo()
    assert psf_error(model("unet"), scenes) is None


def test_a_damaged_result_is_told(tmp_path):
    plan = Plan("tiny", "tiny", tmp_path)
    path = plan.workdir("U-Net", 0) / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(InputError, match=r"result.json is damaged .* remove it"):
        read_result(plan, "U-Net", 0)


@pytest.mark.parametrize(("suite", "titles"), [("generalisation", 2), ("psf", 1)])
def test_the_figures_over_the_seeds(tmp_path, suite, titles):
    plan = Plan(suite, "quick", Path("out"))
    figures = _own_figures(plan, fakes(plan, psf_error=0.3), tmp_path)
    assert len(figures) == titles
    assert all(figure.path.stat().st_size > 5000 for figure in figures)

"""The evaluation's files: they agree with each other, replace nothing unasked, and are complete or not there."""

import csv
import io
import json

import numpy as np
import pytest
from matplotlib.image import imread
from rich.console import Console

from oidn_jax.data import read_raw_stack
from oidn_jax.data.errors import InputError
from oidn_jax.evaluation.held_out import simulate_held_out
from oidn_jax.evaluation.methods import METHODS
from oidn_jax.evaluation.report import evaluate, mean_scores, score_table
from oidn_jax.training.checkpoint import load_model
from tests.conftest import make_tiny_config

LEVELS = ["low", "medium", "high"]
FILES = ["metrics.csv", "metrics.json", *sorted(f"panel_{level}.png" for level in LEVELS)]
RAW_FILES = sorted(f"raw_{level}.tif" for level in LEVELS)


def two_scenes():
    config = make_tiny_config()
    config.evaluation.scenes = 2
    return config


@pytest.fixture(scope="module")
def model(tiny_workdir):
    return load_model(tiny_workdir)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory, model):
    """Folder, result, and what was shown, of an evaluation with raw examples."""
    out, shown = tmp_path_factory.mktemp("report") / "new" / "out", []
    result = evaluate(two_scenes(), model, out, save_raw=True, show=shown.append)
    return out, result, shown


def printed(table):
    """As evaluate.py prints where there is no terminal."""
    file = io.StringIO()
    Console(width=120, file=file).print(table)
    return file.getvalue()


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_files(evaluation):
    out, _, shown = evaluation
    assert listed(out) == sorted(FILES + RAW_FILES)
    assert shown[-1].startswith(f"wrote {out}: metrics.json, metrics.csv and a panel")


def test_json_and_csv_hold_the_same_rows(evaluation):
    out, result, _ = evaluation
    written = json.loads((out / "metrics.json").read_text())
    assert written == result
    with (out / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(written["images"]) == 3 * 4 * 2
    for from_csv, from_json in zip(rows, written["images"], strict=True):
        assert list(from_csv) == list(from_json)
        assert from_csv == {name: str(value) for name, value in from_json.items()}


def test_json_says_what_was_evaluated(evaluation, model):
    _, result, _ = evaluation
    assert result["origin"] == model.origin
    assert result["origin"]["checkpoint"] == "best"
    assert result["config"] == "f_actin:quick"


def test_means_are_those_of_the_rows(evaluation):
    _, result, _ = evaluation
    assert [(m["level"], m["method"]) for m in result["means"]] == [(a, b) for a in LEVELS for b in METHODS]
    for mean in result["means"]:
        rows = [row for row in result["images"] if (row["level"], row["method"]) == (mean["level"], mean["method"])]
        assert mean["scenes"] == len(rows) == 2
        assert "signal_level" not in mean
        for score in rows[0].keys() - {"level", "method", "scene", "signal_level"}:
            assert mean[score] == pytest.approx((rows[0][score] + rows[1][score]) / 2)


def test_means_of_known_rows():
    rows = [
        {"level": level, "method": method, "scene": scene, "signal_level": scene + 1, "ssim": value}
        for level, method, scene, value in [
            ("low", "a", 0, 0.2),
            ("low", "a", 1, 0.4),
            ("low", "b", 0, 1.0),
            ("high", "a", 0, 0.7),
        ]
    ]
    assert mean_scores(rows) == [
        {"level": "low", "method": "a", "scenes": 2, "ssim": pytest.approx(0.3)},
        {"level": "low", "method": "b", "scenes": 1, "ssim": 1.0},
        {"level": "high", "method": "a", "scenes": 1, "ssim": 0.7},
    ]


def test_the_table_shows_the_means(evaluation):
    _, result, shown = evaluation
    text = printed(shown[0])
    assert "means over 2 scenes" in text
    for mean in result["means"]:
        (line,) = [line for line in text.splitlines() if mean["level"] in line and f" {mean['method']} " in line]
        for name, value in mean.items():
            if name.endswith("psnr"):
                assert f" {value:.2f} " in line
            elif name.endswith("ssim"):
                assert f" {value:.4f} " in line


def test_no_number_of_the_table_is_cut():
    names = [f"{kind}_{score}" for kind in ("minmax", "affine") for score in ("psnr", "ssim", "nrmse", "mse")]
    means = [{"level": "medium", "method": "widefield", "scenes": 8} | dict.fromkeys(names, 12.3456)]
    text = printed(score_table(means))
    assert text.count("12.3456") == 6
    assert "…" not in text


def test_panels_are_pictures(evaluation):
    out, _, _ = evaluation
    panels = [imread(out / f"panel_{level}.png") for level in LEVELS]
    for panel in panels:
        assert panel.shape[1] == pytest.approx(6 * 3.2 * 110, abs=2)
        assert panel[..., :3].std() > 0.1
    assert not np.array_equal(panels[0], panels[2])


def test_raw_files_are_what_a_camera_writes(evaluation, model):
    out, _, _ = evaluation
    scenes = simulate_held_out(two_scenes())
    for level in LEVELS:
        stack = read_raw_stack(out / f"raw_{level}.tif")
        assert stack.frames.dtype == np.uint16
        assert stack.frames.shape == (1, 9, 32, 32)
        assert stack.pixel_size_nm == pytest.approx(model.network.pixel_size_nm, rel=1e-4)
        np.testing.assert_array_equal(stack.frames[0], np.moveaxis(scenes.raw_frames[level][0], -1, 0))


@pytest.mark.parametrize("name", ["metrics.json", "panel_low.png", "raw_high.tif"])
def test_nothing_is_replaced_unasked(tmp_path, model, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=rf"already holds an evaluation \({name}\); give --overwrite"):
        evaluate(make_tiny_config(), model, tmp_path, save_raw=True, show=lambda line: None)
    assert listed(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_overwriting_replaces_the_evaluation_and_keeps_other_files(tmp_path, model):
    for name in ("metrics.json", "raw_low.tif", "notes.txt"):
        (tmp_path / name).write_text("mine")
    evaluate(make_tiny_config(), model, tmp_path, overwrite=True, save_raw=True, show=lambda line: None)
    assert listed(tmp_path) == sorted([*FILES, *RAW_FILES, "notes.txt"])
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(json.loads((tmp_path / "metrics.json").read_text())["images"]) == 3 * 4
    assert read_raw_stack(tmp_path / "raw_low.tif").frames.shape == (1, 9, 32, 32)


def test_the_json_is_written_last(tmp_path, model, monkeypatch):
    """So an evaluation that was interrupted does not look like one that is there."""

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("oidn_jax.evaluation.report.save_panel", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(make_tiny_config(), model, tmp_path / "out", show=lambda line: None)
    assert "metrics.json" not in listed(tmp_path / "out")


@pytest.mark.parametrize("below", ["", "below"])
def test_an_output_folder_that_is_a_file(tmp_path, model, below):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"cannot write to the output folder .*; give another --out"):
        evaluate(make_tiny_config(), model, tmp_path / "file" / below, show=lambda line: None)
    assert listed(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_wrong_configuration_leaves_no_folder(tmp_path, model):
    config = make_tiny_config()
    config.evaluation.size = 8
    with pytest.raises(InputError, match="size=8"):
        evaluate(config, model, tmp_path / "out", show=lambda line: None)
    assert listed(tmp_path) == []

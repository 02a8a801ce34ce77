"""The evaluation's files: they agree with each other, replace nothing unasked, and are complete or not there."""

import csv
import json

import numpy as np
import pytest
from matplotlib.image import imread

from oidn_jax.data import read_raw_stack
from oidn_jax.errors import InputError
from oidn_jax.evaluation.files import finite_or_none
from oidn_jax.evaluation.held_out import simulate_held_out
from oidn_jax.evaluation.methods import METHODS
from oidn_jax.evaluation.report import Surroundings, evaluate
from oidn_jax.evaluation.scores import SCORES
from oidn_jax.training.checkpoint import load_model
from tests.conftest import make_tiny_config

LEVELS = ["low", "medium", "high"]
FILES = ["metrics.csv", "metrics.json", "report.html", "tables.md", "tables.tex"]
RAW_FILES = sorted(f"raw_{level}.tif" for level in LEVELS)
FIGURES = [
    *(f"panels_{level}" for level in LEVELS),
    "box_plots_ccps",
    "decorrelation_ccps",
    "line_profiles",
    "psf",
    "rolling_frc_ccps",
    "worst_cases_ccps",
]


def two_scenes(specimen="ccps"):
    config = make_tiny_config()
    config.evaluation.scenes = 2
    config.simulation.specimen = specimen
    return config


def quick(config, model, out, **options):
    """Without the classical methods, which take long to compile."""
    return evaluate({"ccps": config}, {"oidn": model}, out, methods=["widefield", "oidn"], **options)


SILENT = Surroundings(show=lambda line: None)


@pytest.fixture
def coarse(monkeypatch):
    """Figures of few pixels, which are drawn quickly."""
    monkeypatch.setattr("oidn_jax.figures.style.DPI", 50)


@pytest.fixture(scope="module")
def model(tiny_workdir):
    return load_model(tiny_workdir)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory, model):
    """Folder, result, and what was shown, of an evaluation with raw examples."""
    out, shown = tmp_path_factory.mktemp("report") / "new" / "out", []
    where = Surroundings(shown.append, devices="one abacus", command=["evaluate.py", "--out=out"])
    result = evaluate({"ccps": two_scenes()}, {"oidn": model}, out, save_raw=True, surroundings=where)
    return out, result, shown


def listed(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_the_files(evaluation):
    out, _, shown = evaluation
    assert listed(out) == sorted(FILES + RAW_FILES)
    assert listed(out / "figures") == sorted(f"{name}.{suffix}" for name in FIGURES for suffix in ("png", "pdf"))
    assert shown[-1].startswith(f"wrote {out}: report.html, metrics.json, metrics.csv")
    assert [str(column.header) for column in shown[0].columns][:3] == ["specimen", "fluorescence", "method"]


def test_json_and_csv_hold_the_same_rows(evaluation):
    out, result, _ = evaluation
    written = json.loads((out / "metrics.json").read_text())
    assert written == finite_or_none(result)
    with (out / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(written["images"]) == 3 * 4 * 2
    for from_csv, from_json in zip(rows, written["images"], strict=True):
        assert list(from_csv) == list(from_json)
        assert from_csv == {name: "" if value is None else str(value) for name, value in from_json.items()}
        assert set(from_json) >= set(SCORES)


def test_json_says_where_it_comes_from(evaluation, model):
    _, result, _ = evaluation
    of = result["provenance"]
    network = of["networks"]["oidn"]
    assert network["configuration"]["model"]["width"] == 8
    assert {name: network[name] for name in (*model.origin, "trained_on", "seed")} == {
        **model.origin,
        "trained_on": "ccps",
        "seed": model.config["seed"],
    }
    assert "model" not in of["configuration"]["ccps"]
    assert of["configuration"]["ccps"]["name"] == "f_actin:quick"
    assert of["configuration"]["ccps"]["evaluation"]["scenes"] == 2
    assert of["seeds"] == {"ccps": two_scenes().evaluation.seed}
    assert (of["hardware"]["devices"], of["command"]) == ("one abacus", "evaluate.py --out=out")
    assert set(of["versions"]) >= {"oidn_jax", "python", "jax", "flax", "numpy"}


def test_the_summary_is_of_the_rows(evaluation):
    _, result, _ = evaluation
    places = [(entry["specimen"], entry["level"], entry["method"]) for entry in result["summary"]]
    assert places == [("ccps", level, method) for level in [*LEVELS, "all"] for method in METHODS]
    for entry in result["summary"]:
        levels = LEVELS if entry["level"] == "all" else [entry["level"]]
        rows = [row for row in result["images"] if row["method"] == entry["method"] and row["level"] in levels]
        assert entry["scenes"] == 2
        for score in ("affine_ssim", "minmax_psnr", "da_a0"):
            assert entry["scores"][score]["mean"] == pytest.approx(np.mean([row[score] for row in rows]))
    assert {(t["method"], t["reference"]) for t in result["paired_tests"]} == {(m, METHODS[0]) for m in METHODS[1:]}
    assert {case["method"] for case in result["worst"] if case["score"] == "affine_ssim"} == set(METHODS)


def test_tables_and_report_show_the_summary(evaluation):
    out, result, _ = evaluation
    markdown, latex, html = ((out / name).read_text() for name in ("tables.md", "tables.tex", "report.html"))
    for entry in result["summary"]:
        value = entry["scores"]["affine_psnr"]
        shown = f"{value['mean']:.2f} ± {value['sd']:.2f}"
        assert shown in markdown
        assert shown.replace("±", r"$\pm$") in latex
        assert shown in html
    assert html.count("data:image/png;base64,") >= len(FIGURES) + 3 * 5
    assert '"shown":["Widefield","OIDN"]' in html, "the viewer opens on a network, not on the ground truth"
    for text in ("one abacus", "Theoretical and learned PSF", "Wilcoxon"):
        assert text in html


def test_figures_are_pictures(evaluation):
    out, _, _ = evaluation
    for name in FIGURES:
        picture = imread(out / "figures" / f"{name}.png")
        assert picture.shape[1] == pytest.approx(180 / 25.4 * 300, abs=2) or name.startswith("rolling")
        assert picture[..., :3].std() > 0.05, name
    low, high = (imread(out / "figures" / f"panels_{level}.png") for level in ("low", "high"))
    assert not np.array_equal(low, high)


def test_a_terminal_that_fails_loses_nothing(tmp_path, model, coarse):
    def fail(line):
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        quick(make_tiny_config(), model, tmp_path, surroundings=Surroundings(show=fail))
    assert set(FILES) <= set(listed(tmp_path))


def test_a_network_of_another_microscope_is_said(tmp_path, model, coarse):
    config, shown = make_tiny_config(), []
    config.optics.emission_wavelength_nm = 607.0
    quick(config, model, tmp_path, surroundings=Surroundings(show=shown.append))
    line = "oidn was trained for another microscope: emission wavelength (nm) 525 instead of 607"
    assert line in shown
    assert line in (tmp_path / "report.html").read_text()


def test_raw_files_are_what_a_camera_writes(evaluation, model):
    out, _, _ = evaluation
    scenes = simulate_held_out(two_scenes())
    for level in LEVELS:
        stack = read_raw_stack(out / f"raw_{level}.tif")
        assert stack.frames.dtype == np.uint16
        assert stack.frames.shape == (1, 9, 32, 32)
        assert stack.pixel_size_nm == pytest.approx(model.network.pixel_size_nm, rel=1e-4)
        np.testing.assert_array_equal(stack.frames[0], np.moveaxis(scenes.raw_frames[level][0], -1, 0))


def test_three_specimens_have_a_radar_and_classical_methods_need_no_network(tmp_path, coarse):
    configs = {name: two_scenes(name) for name in ("ccps", "er", "microtubules")}
    result = evaluate(configs, {}, tmp_path, methods=["widefield"], surroundings=SILENT, save_raw=True)
    assert result["specimens"] == list(configs)
    assert {row["specimen"] for row in result["images"]} == set(configs)
    figures = listed(tmp_path / "figures")
    assert "radar.png" in figures
    assert "psf.png" not in figures
    assert "raw_low.tif" in listed(tmp_path)
    assert "raw_er_low.tif" in listed(tmp_path)
    assert result["paired_tests"] == []
    # Fewer specimens leave no figure behind that is not theirs.
    evaluate({"er": configs["er"]}, {}, tmp_path, methods=["widefield"], overwrite=True, surroundings=SILENT)
    figures = listed(tmp_path / "figures")
    assert "radar.png" not in figures
    assert "decorrelation_ccps.pdf" not in figures
    assert "decorrelation_er.png" in figures


@pytest.mark.parametrize("name", ["metrics.json", "figures/panels_low.png", "figures/psf.pdf", "raw_high.tif"])
def test_nothing_is_replaced_unasked(tmp_path, model, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=rf"already holds an evaluation \({name}\); give --overwrite"):
        quick(make_tiny_config(), model, tmp_path, surroundings=SILENT)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [name.split("/")[-1]]
    assert (tmp_path / name).read_text() == "mine"


def test_overwriting_replaces_the_evaluation_and_keeps_other_files(tmp_path, model, coarse):
    for name in ("metrics.json", "raw_low.tif", "notes.txt"):
        (tmp_path / name).write_text("mine")
    quick(make_tiny_config(), model, tmp_path, overwrite=True, save_raw=True, surroundings=SILENT)
    assert listed(tmp_path) == sorted([*FILES, *RAW_FILES, "notes.txt"])
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(json.loads((tmp_path / "metrics.json").read_text())["images"]) == 3 * 2
    assert read_raw_stack(tmp_path / "raw_low.tif").frames.shape == (1, 9, 32, 32)


def test_the_json_is_written_last(tmp_path, model, monkeypatch, coarse):
    """So an evaluation that was interrupted does not look like one that is there, nor one that was to be replaced."""

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("oidn_jax.evaluation.report.write_report", interrupted)
    (tmp_path / "metrics.json").write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        quick(make_tiny_config(), model, tmp_path, overwrite=True, surroundings=SILENT)
    assert "metrics.json" not in listed(tmp_path)


@pytest.mark.parametrize("below", ["", "below"])
def test_an_output_folder_that_is_a_file(tmp_path, model, below):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"cannot write to the output folder .*; give another --out"):
        quick(make_tiny_config(), model, tmp_path / "file" / below, surroundings=SILENT, overwrite=True)
    assert listed(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluation.scenes": 0}, "scenes=0"),
        ({"evaluation.rolling_block": 128}, "rolling_block is 128, but images are 64 pixels wide"),
        ({"evaluation.rolling_block": 8}, r"config\.evaluation, rolling_block and rolling_skip: block=8"),
    ],
)
def test_a_wrong_configuration_leaves_no_folder(tmp_path, model, change, message):
    config = make_tiny_config()
    config.update_from_flattened_dict(change)
    with pytest.raises(InputError, match=message):
        quick(config, model, tmp_path / "out", surroundings=SILENT)
    assert listed(tmp_path) == []


@pytest.mark.parametrize(
    ("methods", "phases", "message"),
    [
        (
            ["widefield", "sim"],
            3,
            r"methods are 'widefield, sim'; give some of widefield, wiener, hifi, oidn, each once",
        ),
        (["oidn", "oidn"], 3, "each once"),
        ([], 3, "methods are ''"),
        (["oidn"], 3, r"the method oidn needs a network; give its --workdir"),
        (["hifi"], 2, r"wiener and hifi need at least 3 phases, but config\.frames\.phases is 2"),
    ],
)
def test_methods_that_are_not_legal(tmp_path, methods, phases, message):
    config = make_tiny_config()
    config.frames.phases = phases
    with pytest.raises(InputError, match=message):
        evaluate({"ccps": config}, {}, tmp_path / "out", methods=methods, surroundings=SILENT)
    assert not (tmp_path / "out").exists()

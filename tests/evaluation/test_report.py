"""The evaluation's files: they agree with each other, replace nothing unasked, and are complete or not there."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from oidn_jax.data import open_raw_stack
from oidn_jax.errors import InputError
from oidn_jax.evaluation import drawings
from oidn_jax.evaluation.drawings import psf_panel
from oidn_jax.evaluation.files import finite_or_none
from oidn_jax.evaluation.report import Surroundings, evaluate
from oidn_jax.evaluation.scores import SCORES
from oidn_jax.simulation.specimens import SPECIMENS
from tests.evaluation.tiny import LEVELS, MICROSCOPE, model, settings, simulation, two_scenes

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
METHODS = ["widefield", "wiener", "hifi", "oidn", "unet"]
DPI = 60


def quick(out, *, specimens=("ccps",), models=None, methods=("widefield",), overwrite=False, save_raw=False, show=None):
    """Without the classical methods, which take long to compile."""
    return evaluate(
        {specimen: simulation(specimen) for specimen in specimens},
        settings(),
        models or {},
        out,
        methods=methods,
        overwrite=overwrite,
        save_raw=save_raw,
        surroundings=Surroundings(show=show or (lambda line: None)),
    )


def simulated(simulation, settings, *, repeated):
    """The same scenes, whatever they are said to show: each specimen would be a program to compile."""
    specimen = simulation.specimen
    return replace(two_scenes(), specimen=specimen.name, label=specimen.label)


@pytest.fixture(scope="module", autouse=True)
def _fast():
    """Figures of few pixels, which are drawn quickly, of scenes that are simulated once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("oidn_jax.figures.style.PRINT_DPI", DPI)
        patch.setattr("oidn_jax.evaluation.report.simulate_scenes", simulated)
        yield


@pytest.fixture
def sketched(monkeypatch):
    """Figures but the radar as placeholders: drawing takes longer than all the rest."""

    def sketch(path, *_, **__):
        path.parent.mkdir(exist_ok=True)
        png, pdf = (path.with_name(f"{path.name}.{kind}") for kind in ("png", "pdf"))
        Image.new("L", (4, 4)).save(png)
        pdf.touch()
        return [png, pdf]

    for name in vars(drawings).copy():
        if name.startswith("save_") and name != "save_radar":
            monkeypatch.setattr(drawings, name, sketch)


@pytest.fixture
def without_figures(monkeypatch):
    """For what is not about them."""
    monkeypatch.setattr("oidn_jax.evaluation.report.draw_figures", lambda *_: [])


@pytest.fixture(scope="module")
def models():
    """A network with a PSF, and one without, which was trained for another microscope."""
    other = replace(MICROSCOPE, emission_wavelength_nm=607.0)
    return {"oidn": model("oidn"), "unet": model("unet", microscope=other)}


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory, models):
    """Folder, result, and what was shown, of an evaluation of all methods with raw examples."""
    out, shown = tmp_path_factory.mktemp("report") / "new" / "out", []
    where = Surroundings(
        show=shown.append,
        devices="one abacus",
        command=["evaluate.py", "--out=out"],
        configuration={"ccps": {"name": "tiny", "simulation": {"specimen": "ccps"}}},
    )
    result = evaluate({"ccps": simulation()}, settings(), models, out, save_raw=True, surroundings=where)
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
    assert len(rows) == len(written["images"]) == 3 * 5 * 2
    for from_csv, from_json in zip(rows, written["images"], strict=True):
        assert list(from_csv) == list(from_json)
        assert from_csv == {name: "" if value is None else str(value) for name, value in from_json.items()}
        assert set(from_json) >= set(SCORES) - {"error_calibration"}  # no network here expects errors


def test_json_says_where_it_comes_from(evaluation, models):
    out, _, _ = evaluation
    provenance = json.loads((out / "metrics.json").read_text())["provenance"]
    assert list(provenance["networks"]) == list(models)
    for name, network in models.items():
        described = provenance["networks"][name]
        assert {field: described[field] for field in network.origin} == network.origin
        assert described["network"] == finite_or_none(network.fields)
        assert described["configuration"] == finite_or_none(network.configuration)
    assert provenance["configuration"] == {"ccps": {"name": "tiny", "simulation": {"specimen": "ccps"}}}
    assert provenance["seed"] == settings().seed
    assert (provenance["hardware"]["devices"], provenance["command"]) == ("one abacus", "evaluate.py --out=out")
    assert set(provenance["versions"]) >= {"oidn_jax", "python", "jax", "flax", "numpy"}


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
    assert html.count("data:image/png;base64,") >= len(FIGURES) + 3 * 6
    assert '"shown":["Widefield","U-Net"]' in html, "the viewer opens on a network, not on the ground truth"
    for text in ("one abacus", "Theoretical and learned PSF", "Wilcoxon"):
        assert text in html


def test_figures_are_pictures(evaluation):
    out, _, _ = evaluation
    for name in FIGURES:
        picture = imread(out / "figures" / f"{name}.png")
        assert picture.shape[1] == pytest.approx(180 / 25.4 * DPI, abs=2) or name.startswith("rolling")
        assert picture[..., :3].std() > 0.05, name
    low, high = (imread(out / "figures" / f"panels_{level}.png") for level in ("low", "high"))
    assert not np.array_equal(low, high)


@pytest.mark.usefixtures("sketched")
def test_the_psf_is_that_of_the_networks_that_have_one(evaluation, models, tmp_path):
    acquisition = two_scenes().acquisitions("low")[0]
    panel = psf_panel("OIDN", models["oidn"], acquisition)
    assert panel.learned.shape == panel.theoretical.shape
    assert panel.learned.sum() == pytest.approx(1, abs=1e-4)
    assert panel.energy_error < 1e-4
    assert psf_panel("U-Net", models["unet"], acquisition) is None
    out, result, _ = evaluation
    assert "psf.png" in listed(out / "figures")
    assert {row["method"] for row in result["images"]} >= set(models)
    alone = quick(tmp_path, models={"unet": models["unet"]}, methods=["network", "widefield"])
    assert alone["methods"] == ["unet", "widefield"]
    assert "psf.png" not in listed(tmp_path / "figures")
    assert "panels_low.png" in listed(tmp_path / "figures")
    assert "Theoretical and learned PSF" not in (tmp_path / "report.html").read_text()


def test_a_network_of_another_microscope_is_told(evaluation):
    out, result, shown = evaluation
    line = "unet was trained for another microscope: emission wavelength (nm) 607 instead of 525"
    assert line in shown
    assert line in result["remarks"]
    assert line in (out / "report.html").read_text()
    assert not any(text.startswith("oidn was") for text in result["remarks"])


def test_doubtful_stripes_are_told(evaluation):
    """Untold, a reader would take the images of classical methods for better than they are."""
    _, result, _ = evaluation
    (line,) = [line for line in result["remarks"] if line.startswith("ccps: ")]
    assert "of 12 acquisitions the stripes" in line, "both exposures of two scenes at three levels"


@pytest.mark.usefixtures("without_figures")
def test_a_terminal_that_fails_loses_nothing(tmp_path):
    def fail(line):
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        quick(tmp_path, show=fail)
    assert listed(tmp_path) == FILES


def test_raw_files_are_what_a_camera_writes(evaluation):
    out, _, _ = evaluation
    for level in LEVELS:
        stack = open_raw_stack(out / f"raw_{level}.tif", orientations=3, phases=3)
        assert stack.dtype == np.uint16
        assert stack.shape == (1, 9, 32, 32)
        assert stack.pixel_size_nm == pytest.approx(MICROSCOPE.pixel_size_nm, rel=1e-6)
        np.testing.assert_array_equal(stack.read(0), np.moveaxis(two_scenes().raw_frames[level][0], -1, 0))


@pytest.mark.usefixtures("sketched")
def test_three_specimens_have_a_radar_and_a_later_evaluation_of_one_deletes_nothing(tmp_path):
    specimens = ("ccps", "er", "microtubules")
    (tmp_path / "notes.txt").write_text("mine")
    result = quick(tmp_path, specimens=specimens, save_raw=True)
    assert result["specimens"] == list(specimens)
    assert {row["specimen"] for row in result["images"]} == set(specimens)
    assert result["paired_tests"] == []
    figures = listed(tmp_path / "figures")
    assert "radar.png" in figures
    assert "psf.png" not in figures
    assert {"raw_low.tif", "raw_er_low.tif"} <= set(listed(tmp_path))
    html = (tmp_path / "report.html").read_text()
    assert all(SPECIMENS[name].label in html for name in specimens)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (tmp_path / "metrics.csv").chmod(0o640)
    shown = []
    quick(tmp_path, specimens=["er"], overwrite=True, show=shown.append)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(before)
    assert json.loads((tmp_path / "metrics.json").read_text())["specimens"] == ["er"]
    assert (tmp_path / "metrics.csv").stat().st_mode & 0o777 == 0o640
    for name in ("figures/radar.png", "figures/decorrelation_ccps.pdf", "raw_er_low.tif", "raw_low.tif"):
        assert (tmp_path / name).read_bytes() == before[tmp_path / name]
        assert name in shown[-1]
    for name in ("figures/decorrelation_er.png", "figures/panels_low.png", "report.html", "notes.txt"):
        assert name not in shown[-1]
    assert shown[-1].startswith("of an earlier evaluation, and not of this one: ")


@pytest.mark.parametrize("name", ["metrics.json", "figures/psf.pdf", "raw_high.tif"])
def test_nothing_is_replaced_unasked(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=rf"already holds an evaluation \({name}\).*`overwrite`"):
        quick(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [name.split("/")[-1]]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("step", ["report.write_report", "files.write_json"])
def test_an_evaluation_that_is_interrupted_leaves_the_earlier_one_whole(tmp_path, monkeypatch, step):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"oidn_jax.evaluation.{step}", interrupted)
    for name in FILES:
        (tmp_path / name).write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        quick(tmp_path, overwrite=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(FILES, "mine")


@pytest.mark.usefixtures("without_figures")
def test_the_json_takes_its_place_last(tmp_path, monkeypatch):
    """So an evaluation that was killed while its files took their places does not look like one that is there."""
    put = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: put.append(Path(target).name) or replace(source, target))
    quick(tmp_path)
    assert put[-1] == "metrics.json"
    assert set(listed(tmp_path)) == set(FILES)


@pytest.mark.parametrize("below", ["", "below"])
def test_an_output_folder_that_is_a_file(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"cannot write to the output folder .*`out`"):
        quick(tmp_path / "file" / below, overwrite=True)
    assert listed(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (["widefield", "sim"], r"`methods` is 'widefield, sim'; give some of widefield, wiener, hifi, tv, network"),
        (["widefield", "widefield"], "each once"),
        ([], "`methods` is ''"),
        (["network"], "needs a network; give its `workdir`"),
    ],
)
def test_methods_that_are_not_legal(tmp_path, methods, message):
    with pytest.raises(InputError, match=message):
        quick(tmp_path / "out", methods=methods)
    assert listed(tmp_path) == []


def test_frames_that_a_method_cannot_take_leave_no_folder(tmp_path):
    two_phases = replace(simulation(), microscope=replace(MICROSCOPE, phases=2))
    with pytest.raises(InputError, match=r"`microscope\.phases` is 2; .* it takes 3"):
        evaluate({"ccps": two_phases}, settings(), {}, tmp_path / "out", methods=["hifi"])
    assert listed(tmp_path) == []


@pytest.mark.parametrize(("field", "value"), [("pixel_size_nm", 60.0), ("phases", 5)])
def test_a_network_of_another_grid_or_other_frames_leaves_no_folder(tmp_path, field, value):
    other = model("unet", microscope=replace(MICROSCOPE, **{field: value}))
    with pytest.raises(InputError, match=f"the network unet has {field} {value}") as caught:
        quick(tmp_path / "out", models={"unet": other}, methods=["network"])
    assert "\n" not in str(caught.value)
    assert listed(tmp_path) == []


def test_a_rolling_block_larger_than_the_images(tmp_path):
    with pytest.raises(InputError, match=r"`evaluation\.rolling_block` is 128; images are 64 pixels wide"):
        evaluate({"ccps": simulation()}, settings(rolling_block=128), {}, tmp_path / "out", methods=["widefield"])
    assert listed(tmp_path) == []

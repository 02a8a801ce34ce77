"""The scripts as a user meets them: what they write, and one line on stderr for each mistake.

Starting Python with jax takes seconds, so most cases run a script in this process: `runpy` executes the file as
`__main__` with patched arguments, through the same `run_script`, which ends in `SystemExit`. What only a process shows
(exit codes, an uncaught traceback, signals, imports that come late) is seen in a few cases with real ones, one for each
script at least (`process`). `tests/reconstruction/test_script.py` has the flags of reconstruct.py.
"""

import csv
import json
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tifffile
from absl import flags
from matplotlib.image import imread

from oidn_jax.data import read_raw_stack
from oidn_jax.training.checkpoint import read_record
from tests.reconstruction.fakes import acquisition

# How ml_collections loads a configuration.
pytestmark = pytest.mark.filterwarnings(r"ignore:the load_module\(\) method is deprecated:DeprecationWarning")

ROOT = Path(__file__).resolve().parents[1]
LEVELS = ["low", "medium", "high"]
STACK = acquisition(32, 32)[0]


class Outcome(NamedTuple):
    """How a script ended, and what it said."""

    code: int
    out: str
    err: str


# The classical methods take long to compile; tests/evaluation runs them.
QUICK_METHODS = "--methods=widefield,oidn"


@pytest.fixture
def run(monkeypatch, capsys):
    """A function that runs a script of the repository in this process."""
    monkeypatch.chdir(ROOT)

    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        before, code = set(flags.FLAGS), 0
        capsys.readouterr()
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        finally:
            # absl keeps flags for the whole process, and each script defines its own.
            for name in set(flags.FLAGS) - before:
                delattr(flags.FLAGS, name)
            # The module that ml_collections loads each configuration into, on top of the one before.
            sys.modules.pop("config_config", None)
        return Outcome(code, *capsys.readouterr())

    return run


def process(script, *arguments):
    """Runs a script as a user does."""
    command = [sys.executable, script, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    return Outcome(done.returncode, done.stdout, done.stderr)


def content(folder):
    """Every file and folder below a folder, with the bytes of the files."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def assert_refused(outcome, message):
    assert outcome.code == 2
    assert "Traceback" not in outcome.out + outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("error: ")
    assert re.search(message, outcome.err), outcome.err


def assert_fine(outcome):
    assert (outcome.code, outcome.err) == (0, "")


# ---------------------------------------------------------------------------------------------------------------------
# From the training run to an image
# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, tiny_flags, tiny_workdir):
    """The folder that evaluate.py wrote, and what it said."""
    out = tmp_path_factory.mktemp("scripts") / "new" / "evaluation"
    return out, process(
        "evaluate.py", *tiny_flags, f"--workdir={tiny_workdir}", f"--out={out}", "--save_raw", QUICK_METHODS
    )


def test_evaluate_writes_scores_figures_report_and_raw_files(evaluated):
    out, outcome = evaluated
    assert_fine(outcome)
    files = {"metrics.csv", "metrics.json", "tables.md", "tables.tex", "report.html", "figures"}
    assert {name for name in content(out) if "/" not in name} == {*files, *(f"raw_{level}.tif" for level in LEVELS)}
    scores = json.loads((out / "metrics.json").read_text())
    of = scores["provenance"]
    assert of["networks"]["oidn"]["checkpoint"] == "best"
    assert of["command"].startswith("evaluate.py --config=configs/f_actin.py:quick --config.")
    assert "cpu device" in of["hardware"]["devices"]
    with (out / "metrics.csv").open(newline="") as file:
        assert [row["minmax_ssim"] for row in csv.DictReader(file)] == [
            str(row["minmax_ssim"]) for row in scores["images"]
        ]
    for level in LEVELS:
        assert imread(out / "figures" / f"panels_{level}.png")[..., :3].std() > 0.1


def test_evaluate_prints_the_table(evaluated):
    out, outcome = evaluated
    summary = json.loads((out / "metrics.json").read_text())["summary"]
    assert [(entry["level"], entry["method"]) for entry in summary] == [
        (level, method) for level in [*LEVELS, "all"] for method in ("widefield", "oidn")
    ]
    rows = [line for line in outcome.out.splitlines() if "│" in line]
    for entry in summary:
        name = {"widefield": "Widefield", "oidn": "OIDN"}[entry["method"]]
        (line,) = [row for row in rows if {entry["level"], name} <= set(row.split())]
        assert f"{entry['scores']['minmax_ssim']['mean']:.4f}" in line
        assert f"{entry['scores']['affine_psnr']['mean']:.2f}" in line
    assert f"wrote {out}: report.html, metrics.json, ".replace(" ", "") in "".join(
        outcome.out.split()
    )  # a long path is wrapped


def test_an_evaluation_is_replaced_only_when_told_to(tmp_path, run, tiny_flags, tiny_workdir):
    arguments = (*tiny_flags, f"--workdir={tiny_workdir}", f"--out={tmp_path}", QUICK_METHODS)
    (tmp_path / "metrics.json").write_text("mine")
    assert_refused(run("evaluate.py", *arguments), r"already holds an evaluation .*--overwrite")
    assert content(tmp_path) == {"metrics.json": b"mine"}
    assert_fine(run("evaluate.py", *arguments, "--overwrite", "--checkpoint=last"))
    scores = json.loads((tmp_path / "metrics.json").read_text())
    assert scores["provenance"]["networks"]["oidn"]["checkpoint"] == "last"


def test_evaluate_several_networks_on_several_specimens(tmp_path, run, tiny_flags, tiny_workdir, monkeypatch):
    monkeypatch.setattr("oidn_jax.figures.style.DPI", 50)
    networks = (f"--workdir={tiny_workdir}", f"--workdir=again={tiny_workdir}")
    given = ("--specimens=ccps,er", "--methods=oidn,widefield", f"--out={tmp_path / 'out'}")
    tiny_flags = [*tiny_flags, "--config.simulation.read_noise=2.5"]
    outcome = run("evaluate.py", *tiny_flags, *networks, *given)
    assert_fine(outcome)
    scores = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert scores["methods"] == [tiny_workdir.name, "again", "widefield"]
    assert scores["specimens"] == ["ccps", "er"]
    er = scores["provenance"]["configuration"]["er"]
    assert (er["name"], er["simulation"]["specimen"], er["evaluation"]["size"]) == ("er:quick", "er", 32)
    assert er["simulation"]["read_noise"] == 2.5
    assert {test["reference"] for test in scores["paired_tests"]} == {tiny_workdir.name}
    by_method = {}
    for row in scores["images"]:
        by_method.setdefault(row["method"], []).append(row["affine_psnr"])
    assert by_method["again"] == by_method[tiny_workdir.name] != by_method["widefield"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--specimens=er,ers"], "specimens are 'er, ers'; give some of f_actin, microtubules, ccps, er, each once"),
        (["--workdir={run}", "--workdir={run}"], "each network needs a folder and a name of its own"),
        (["--workdir=wiener={run}"], "that no other image has"),
        (["--methods=oidn,widefield"], "the method oidn needs a network; give its --workdir"),
        (["--workdir={run}", "--config.optics.pixel_size_nm=50.0"], r"has pixel_size_nm 62\.6, but the configuration"),
        (
            ["--workdir={run}", "--workdir=b={run}", "--config.optics.pixel_size_nm=50.0"],
            r"has pixel_size_nm 62\.6, but the configuration has 50\.0",
        ),
    ],
)
def test_comparisons_that_cannot_be_made(tmp_path, run, tiny_flags, tiny_workdir, arguments, message):
    given = [argument.format(run=tiny_workdir) for argument in arguments]
    assert_refused(run("evaluate.py", *tiny_flags, *given, f"--out={tmp_path / 'out'}"), message)
    assert content(tmp_path) == {}


def test_raw_files_are_read_with_their_pixel_size(evaluated):
    for level in LEVELS:
        stack = read_raw_stack(evaluated[0] / f"raw_{level}.tif")
        assert (stack.frames.shape, stack.frames.dtype) == ((1, 9, 32, 32), np.uint16)
        assert stack.pixel_size_nm == pytest.approx(62.6, rel=1e-4)


def test_reconstruct_writes_the_image_and_its_preview(tmp_path, evaluated, tiny_workdir):
    raw = evaluated[0] / "raw_high.tif"
    outcome = process("reconstruct.py", raw, f"--workdir={tiny_workdir}", f"--out={tmp_path}", "--preview")
    assert_fine(outcome)
    assert outcome.out == f"{tmp_path / 'raw_high_sr.tif'}: 64 x 64 pixels, 31.3 nm per pixel\n"
    assert sorted(content(tmp_path)) == ["raw_high_sr.png", "raw_high_sr.tif"]
    image = read_raw_stack(tmp_path / "raw_high_sr.tif", orientations=1, phases=1)
    assert (image.frames.shape, image.frames.dtype) == ((1, 1, 64, 64), np.float32)
    assert image.pixel_size_nm == pytest.approx(31.3, rel=1e-4)
    with tifffile.TiffFile(tmp_path / "raw_high_sr.tif") as tiff:
        provenance = json.loads(tiff.imagej_metadata["Info"])
    assert provenance["source"] == "raw_high.tif"
    assert (provenance["weights"]["checkpoint"], provenance["weights"]["name"]) == ("best", "f_actin:quick")
    assert provenance["optics"] == {"na": 1.49, "emission_wavelength_nm": 525.0, "pixel_size_nm": 62.6}
    assert imread(tmp_path / "raw_high_sr.png")[..., :3].std() > 0.1


def test_train_stops_at_sigterm_and_goes_on(tmp_path, run, tiny_flags):
    workdir = tmp_path / "run"
    settings = [*tiny_flags, f"--workdir={workdir}", "--config.train.log_every=1", "--config.train.evaluate_every=9999"]
    settings.append("--config.train.checkpoint_every=9999")
    command = [sys.executable, "train.py", *settings, "--config.train.steps=9999"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            wait_for_lines(workdir / "metrics.jsonl", 3, started)
            started.send_signal(signal.SIGTERM)
            out, err = started.communicate(timeout=120)
        finally:
            started.kill()
    assert err == "stopping after this step; Ctrl-C again to stop without saving\n"
    assert_fine(Outcome(started.returncode, out, ""))
    assert "training on simulated data (config.data.path is empty), 4 cpu devices on 1 host" in out
    last = read_record(workdir, "last")["step"]
    assert 3 <= last < 9999
    assert out.splitlines()[-1].startswith(f"stopped after step {last} of 9999, saved in {workdir}")

    outcome = run("train.py", *settings, f"--config.train.steps={last + 2}")
    assert_fine(outcome)
    assert f"resuming from step {last} of {workdir}" in outcome.out
    assert read_record(workdir, "last")["step"] == last + 2
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["split"] == "train"] == list(range(1, last + 3))


def wait_for_lines(path, count, started):
    deadline = time.monotonic() + 240
    while not path.exists() or path.read_text().count("\n") < count:
        assert started.poll() is None, started.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


# ---------------------------------------------------------------------------------------------------------------------
# Configurations that are wrong
# ---------------------------------------------------------------------------------------------------------------------

CONFIG = "--config=configs/f_actin.py:quick"
WRONG_FLAGS = {
    "mistyped field": ([CONFIG, "--config.train.stepz=3"], "no field 'stepz'; did you mean 'steps'"),
    "mistyped section": ([CONFIG, "--config.trian.steps=3"], "no field 'trian'; did you mean 'train'"),
    "mistyped weight": ([CONFIG, "--config.loss.weights.mze=1"], "no field 'mze'"),
    "wrong type": ([CONFIG, "--config.train.steps=many"], r"--config\.train\.steps=many: invalid literal for int"),
    "fraction": ([CONFIG, "--config.train.patch=20.5"], r"--config\.train\.patch=20\.5: invalid literal for int"),
    "no value": ([CONFIG, "--config.train.steps"], r"Missing value for flag --config\.train\.steps"),
    "missing file": (["--config=configs/nope.py"], "--config cannot be loaded: .*No such file.*'configs/nope.py'"),
    "missing file, changed": (
        ["--config=configs/nope.py", "--config.train.steps=3"],
        "No such file.*'configs/nope.py'",
    ),
    "folder": (["--config=configs"], "--config cannot be loaded: .*Is a directory: 'configs'"),
    "not Python": (["--config=pyproject.toml"], r"--config cannot be loaded: .*\(pyproject\.toml, line 3\)"),
    "no configuration": (["--config=configs/__init__.py"], "has no attribute 'get_config'"),
    "unknown variant": (["--config=configs/f_actin.py:quik"], "no variant 'quik'; legal: paper or quick"),
    "no config": ([], "--config is missing"),
    "unknown flag": ([CONFIG, "--wrokdir=here"], "Unknown command line flag 'wrokdir'"),
    "leftover": ([CONFIG, "here"], "unexpected argument 'here'"),
}


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
@pytest.mark.parametrize("case", WRONG_FLAGS)
def test_wrong_flags(tmp_path, run, script, case):
    arguments, message = WRONG_FLAGS[case]
    more = [f"--out={tmp_path / 'out'}"] if script == "evaluate.py" else []
    assert_refused(run(script, f"--workdir={tmp_path / 'run'}", *more, *arguments), message)
    assert content(tmp_path) == {}


@pytest.mark.parametrize("case", ["mistyped field", "missing file"])
def test_wrong_flags_in_a_process(tmp_path, case):
    arguments, message = WRONG_FLAGS[case]
    assert_refused(process("train.py", f"--workdir={tmp_path / 'run'}", *arguments), message)
    assert content(tmp_path) == {}


def test_evaluate_needs_its_folder(tmp_path, run):
    assert_refused(run("evaluate.py", CONFIG, f"--workdir={tmp_path / 'workdir'}"), "--out is missing")
    assert content(tmp_path) == {}


@pytest.mark.parametrize("script", ["train.py", "evaluate.py"])
def test_help(run, script):
    outcome = run(script, "--help")
    assert_fine(outcome)
    for text in (f"python {script} --config=", "--workdir", "--config"):
        assert text in outcome.out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.path=/data", r"config\.data\.path is '/data'; this version trains on simulated data only"),
        ("train.patch=8", r"config\.train\.patch is 8; the smallest patch is 16"),
        ("simulation.modulation_depth=(0.9,0.5)", r"config\.simulation: modulation_depth is \(0\.9, 0\.5\)"),
        ("evaluation.panels=0", r"config\.evaluation has .*panels=0"),
    ],
)
def test_values_that_are_not_legal(tmp_path, run, tiny_flags, change, message):
    assert_refused(run("train.py", *tiny_flags, f"--workdir={tmp_path / 'run'}", f"--config.{change}"), message)
    assert content(tmp_path) == {}


# ---------------------------------------------------------------------------------------------------------------------
# Workdirs that are wrong
# ---------------------------------------------------------------------------------------------------------------------


def test_train_into_a_file(tmp_path, run, tiny_flags):
    """Running as root, whom no permission stops, tests have no folder that cannot be written."""
    (tmp_path / "file").write_text("mine")
    outcome = run("train.py", *tiny_flags, f"--workdir={tmp_path / 'file' / 'run'}")
    assert_refused(outcome, "cannot write to the workdir .*file/run")
    assert content(tmp_path) == {"file": b"mine"}


def test_train_on_a_checkpoint_of_another_network(tmp_path, run, tiny_flags, tiny_workdir):
    shutil.copytree(tiny_workdir, tmp_path / "run")
    before = content(tmp_path)
    outcome = run("train.py", *tiny_flags, f"--workdir={tmp_path / 'run'}", "--config.model.width=12")
    assert_refused(outcome, r"of another network: config\.model\.width is 8 there and 12 here")
    assert content(tmp_path) == before


def test_evaluate_a_checkpoint_of_another_network(tmp_path, tiny_flags, tiny_workdir):
    before = content(tiny_workdir)
    folders = f"--workdir={tiny_workdir}", f"--out={tmp_path / 'out'}"
    outcome = process("evaluate.py", *tiny_flags, *folders, "--config.model.width=12")
    assert_refused(outcome, r"of another network: config\.model\.width is 8 there and 12 here")
    assert content(tiny_workdir) == before
    assert content(tmp_path) == {}


@pytest.mark.parametrize("script", ["evaluate.py", "reconstruct.py"])
@pytest.mark.parametrize(
    ("kind", "message"),
    [("missing", "there is no workdir"), ("file", "there is no workdir"), ("empty", "holds no checkpoint")],
)
def test_workdirs_without_a_checkpoint(tmp_path, run, script, kind, message):
    workdir = tmp_path / "run"
    if kind == "file":
        workdir.write_text("mine")
    elif kind == "empty":
        workdir.mkdir()
    before = content(tmp_path)
    what = CONFIG if script == "evaluate.py" else "cell.tif"
    assert_refused(run(script, what, f"--workdir={workdir}", f"--out={tmp_path / 'out'}"), f"{message}|{workdir}")
    assert content(tmp_path) == before


def test_evaluate_into_a_file(tmp_path, run, tiny_flags, tiny_workdir):
    (tmp_path / "file").write_text("mine")
    outcome = run("evaluate.py", *tiny_flags, f"--workdir={tiny_workdir}", f"--out={tmp_path / 'file'}")
    assert_refused(outcome, "cannot write to the output folder .*file")
    assert content(tmp_path) == {"file": b"mine"}


# ---------------------------------------------------------------------------------------------------------------------
# Raw files that are wrong
# ---------------------------------------------------------------------------------------------------------------------


def write_tiff(path, stack=STACK):
    options = {"imagej": True, "metadata": {"axes": "TYX", "unit": "um"}, "resolution": (1000 / 62.6,) * 2}
    tifffile.imwrite(path, stack, **options)
    return path


def write_mrc(path):
    import mrcfile

    with mrcfile.new(path) as mrc:
        mrc.set_data(STACK)
        mrc.voxel_size = 626.0
    return path


def truncate(path):
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def with_pixel(value):
    stack = STACK.astype(np.float32)
    stack[4, 5, 6] = value
    return stack


def with_constant_frame():
    stack = STACK.copy()
    stack[4] = 7
    return stack


# What makes the file, by the case; each of them is named bad.tif or bad.mrc.
WRONG_FILES = {
    "missing": (lambda path: path, "bad.tif does not exist"),
    "empty": (lambda path: path.touch(), r"bad.tif is empty \(0 bytes\)"),
    "truncated tif": (lambda path: truncate(write_tiff(path)), "bad.tif is truncated"),
    "truncated mrc": (lambda path: truncate(write_mrc(path)), "bad.mrc is truncated"),
    "text": (lambda path: path.write_text("a table, renamed\n"), "bad.tif is not a TIFF file"),
    "8 frames": (lambda path: write_tiff(path, STACK[:8]), "bad.tif holds 8 images"),
    "one image": (lambda path: write_tiff(path, STACK[:1]), "bad.tif holds 1 image"),
    "colour": (
        lambda path: tifffile.imwrite(path, np.zeros((32, 32, 3), np.uint8), photometric="rgb"),
        "bad.tif is a colour image",
    ),
    "nan": (lambda path: write_tiff(path, with_pixel(np.nan)), "bad.tif has 1 NaN or infinite pixels"),
    "infinite": (lambda path: write_tiff(path, with_pixel(-np.inf)), "bad.tif has 1 NaN or infinite pixels"),
    "constant": (lambda path: write_tiff(path, with_constant_frame()), "bad.tif has 1 frames of one value"),
    "too small": (lambda path: write_tiff(path, STACK[:, :15]), "15 x 32 pixels"),
    "folder": (lambda path: path.mkdir(), "bad.tif is a folder"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_wrong_files(tmp_path, run, tiny_workdir, case):
    make, message = WRONG_FILES[case]
    path = tmp_path / ("bad.mrc" if "mrc" in case else "bad.tif")
    make(path)
    before = content(tmp_path)
    assert_refused(run("reconstruct.py", path, f"--workdir={tiny_workdir}", f"--out={tmp_path / 'out'}"), message)
    assert content(tmp_path) == before


def test_a_wrong_file_in_a_process(tmp_path, tiny_workdir):
    make, message = WRONG_FILES["nan"]
    make(tmp_path / "bad.tif")
    before = content(tmp_path)
    outcome = process("reconstruct.py", tmp_path / "bad.tif", f"--workdir={tiny_workdir}", f"--out={tmp_path / 'out'}")
    assert_refused(outcome, message)
    assert content(tmp_path) == before


def test_saturated_frames_are_a_warning(tmp_path, run, tiny_workdir):
    source = write_tiff(tmp_path / "cell.tif", np.minimum(100 * STACK, 4095).astype(np.uint16))
    outcome = run("reconstruct.py", source, f"--workdir={tiny_workdir}", f"--out={tmp_path / 'out'}")
    assert outcome.code == 0
    assert outcome.err.count("\n") == 1
    assert re.match(r"warning: .*cell\.tif: .* % of the pixels are saturated \(value 4095\)", outcome.err)
    assert sorted(content(tmp_path)) == ["cell.tif", "out", "out/cell_sr.tif"]


def test_an_existing_image_is_replaced_only_when_told_to(tmp_path, run, tiny_workdir):
    source, out = write_tiff(tmp_path / "cell.tif"), tmp_path / "out"
    out.mkdir()
    (out / "cell_sr.tif").write_text("mine")
    before = content(tmp_path)
    arguments = source, f"--workdir={tiny_workdir}", f"--out={out}"
    assert_refused(run("reconstruct.py", *arguments), r"cell_sr\.tif exists already; .*--overwrite")
    assert content(tmp_path) == before
    assert_fine(run("reconstruct.py", *arguments, "--overwrite"))
    assert tifffile.imread(out / "cell_sr.tif").shape == (64, 64)


@pytest.mark.parametrize("below", ["", "below"])
def test_reconstruct_into_a_file(tmp_path, run, tiny_workdir, below):
    source = write_tiff(tmp_path / "cell.tif")
    (tmp_path / "file").write_text("mine")
    before = content(tmp_path)
    outcome = run("reconstruct.py", source, f"--workdir={tiny_workdir}", f"--out={tmp_path / 'file' / below}")
    assert_refused(outcome, "file is a file, so the output folder")
    assert content(tmp_path) == before

"""`oidn-jax evaluate`: what it writes and prints, several networks and specimens, comparisons that cannot be made."""

import csv
import json

import numpy as np
import pytest
from matplotlib.image import imread

from oidn_jax.data import open_raw_stack

LEVELS = ["low", "medium", "high"]
# The classical methods take long to compile; tests/evaluation runs them.
QUICK_METHODS = "--methods=widefield,network"


def scores_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_scores_figures_report_raw_files_and_the_table(tmp_path, command, refused, tiny_flags, tiny_workdir):
    out = tmp_path / "new" / "evaluation"
    words = (*tiny_flags, f"--workdir={tiny_workdir}", f"--out={out}", QUICK_METHODS)
    code, said, err = command("evaluate", *words, "--save-raw")
    assert (code, err) == (0, "")
    raw = [f"raw_{level}.tif" for level in LEVELS]
    files = ["metrics.csv", "metrics.json", "tables.md", "tables.tex", "report.html", "figures", *raw]
    assert sorted(path.name for path in out.iterdir()) == sorted(files)
    scores = scores_of(out)
    assert scores["provenance"]["networks"]["oidn"]["checkpoint"] == "best"
    assert scores["provenance"]["command"].startswith("oidn-jax evaluate --config=f_actin:quick --config.")
    with (out / "metrics.csv").open(newline="") as file:
        written = [row["minmax_ssim"] for row in csv.DictReader(file)]
    assert written == [str(row["minmax_ssim"]) for row in scores["images"]]
    for level in LEVELS:
        assert imread(out / "figures" / f"panels_{level}.png")[..., :3].std() > 0.1
        stack = open_raw_stack(out / f"raw_{level}.tif")
        assert (stack.shape, stack.dtype) == ((1, 9, 32, 32), np.uint16)
        assert stack.pixel_size_nm == pytest.approx(62.6, rel=1e-4)

    rows = [line for line in said.splitlines() if "│" in line]
    for entry in scores["summary"]:
        name = {"widefield": "Widefield", "oidn": "OIDN"}[entry["method"]]
        (line,) = [row for row in rows if {entry["level"], name} <= set(row.split())]
        assert f"{entry['scores']['minmax_ssim']['mean']:.4f}" in line
        assert f"{entry['scores']['affine_psnr']['mean']:.2f}" in line

    before = (out / "metrics.json").read_bytes()
    refused(r"already holds an evaluation .*--overwrite", "evaluate", *words)
    assert (out / "metrics.json").read_bytes() == before
    assert command("evaluate", *words, "--overwrite", "--checkpoint=last").code == 0
    assert scores_of(out)["provenance"]["networks"]["oidn"]["checkpoint"] == "last"


def test_several_networks_on_several_specimens(tmp_path, command, tiny_flags, tiny_workdir):
    networks = (f"--workdir={tiny_workdir}", f"--workdir=again={tiny_workdir}")
    given = ("--specimens=ccps,er", "--methods=network,widefield", f"--out={tmp_path / 'out'}")
    code, _, err = command("evaluate", *tiny_flags, "--config.simulation.camera.read_noise=2.5", *networks, *given)
    assert (code, err) == (0, "")
    scores = scores_of(tmp_path / "out")
    assert scores["methods"] == [tiny_workdir.name, "again", "widefield"]
    assert scores["specimens"] == ["ccps", "er"]
    er = scores["provenance"]["configuration"]["er"]
    assert er["simulation"]["specimen"] == "er"
    assert er["simulation"]["camera"]["read_noise"] == 2.5
    assert {test["reference"] for test in scores["paired_tests"]} == {tiny_workdir.name}
    by_method = {}
    for row in scores["images"]:
        by_method.setdefault(row["method"], []).append(row["affine_psnr"])
    assert by_method["again"] == by_method[tiny_workdir.name] != by_method["widefield"]


WRONG = {
    "no output": (["--workdir={run}"], "required: --out"),
    "no such specimen": (["--specimens=er,ers", "--out={out}"], "'ers'|er, ers"),
    "one name twice": (["--workdir={run}", "--workdir={run}", "--out={out}"], "name"),
    "a name of a method": (["--workdir=wiener={run}", "--out={out}"], "wiener"),
    "no network": (["--methods=network,widefield", "--out={out}"], "--workdir"),
    "no such method": (["--methods=widefild", "--out={out}"], "widefild"),
    "no workdir": (["--workdir=nowhere", "--out={out}"], "there is no folder nowhere"),
    "other pixels": (
        ["--workdir={run}", "--config.microscope.pixel_size_nm=50.0", "--out={out}"],
        r"pixel_size_nm.*62\.6|pixel-size-nm.*62\.6",
    ),
    "an output that is a file": (["--workdir={run}", "--out={file}"], "file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_comparisons_that_cannot_be_made(tmp_path, refused, tiny_flags, tiny_workdir, case):
    words, message = WRONG[case]
    (tmp_path / "file").write_text("mine")
    places = {"run": tiny_workdir, "out": tmp_path / "out", "file": tmp_path / "file"}
    refused(message, "evaluate", *tiny_flags, *(word.format(**places) for word in words))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"

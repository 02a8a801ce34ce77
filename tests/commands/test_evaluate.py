"""The command `evaluate`: a folder of results, and mistakes in one line."""

import json

import pytest

from oidn_jax.commands.evaluate import main
from oidn_jax.models.weights import write_model
from tests.conftest import TINY
from tests.evaluation.tiny import LEVELS, model

TINY_SCENES = {name: value for name, value in TINY.items() if name.startswith(("simulation.", "evaluation."))}
FLAGS = ["--config=f_actin:quick", *(f"--config.{name}={value}" for name, value in TINY_SCENES.items())]


def refused(arguments, capsys):
    """What a command that exits with 2 says, in one line."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    out, err = capsys.readouterr()
    assert end.value.code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


@pytest.fixture
def without_figures(monkeypatch):
    """Their files and the report have tests of their own."""
    monkeypatch.setattr("oidn_jax.evaluation.report.draw_figures", lambda *_: [])


@pytest.mark.usefixtures("without_figures")
def test_networks_and_raw_frames_and_nothing_is_replaced_unasked(tmp_path, capsys):
    write_model(tmp_path / "weights", model("unet"))
    out = tmp_path / "out[/b] :smile:"
    arguments = [*FLAGS, f"--workdir=mine={tmp_path / 'weights'}", f"--out={out}", "--methods=widefield,network"]
    main([*arguments, "--save-raw"])
    told = capsys.readouterr().out
    assert "Held-out scenes" in told
    assert f"wrote {out}" in told.replace("\n", "")
    result = json.loads((out / "metrics.json").read_text())
    assert (result["specimens"], result["methods"]) == (["ccps"], ["widefield", "mine"])
    provenance = result["provenance"]
    assert provenance["command"].startswith("oidn-jax evaluate --config=f_actin:quick ")
    assert provenance["configuration"]["ccps"]["simulation"]["margin"] == 4
    assert provenance["configuration"]["ccps"]["evaluation"]["size"] == 32
    assert "model" not in provenance["configuration"]["ccps"]
    assert provenance["networks"]["mine"]["specimen"] == "ccps"
    assert sorted(path.name for path in out.glob("*.tif")) == sorted(f"raw_{level}.tif" for level in LEVELS)
    assert "allow --overwrite" in refused(arguments, capsys)
    assert json.loads((out / "metrics.json").read_text()) == result


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["--methods=widefield,sim"],
            "--methods is 'widefield, sim'; give some of widefield, wiener, true-wiener, hifi, tv, network",
        ),
        (["--checkpoint=best"], "guided is one model and no training run; leave it out"),
        (["--specimens=er,er"], "--specimens is 'er,er'; give each once"),
        (["--specimens=yeast"], "--specimens is 'yeast'; legal: ccps"),
        (["--workdir=nowhere"], "there is no folder nowhere"),
        (["--workdir=wiener=runs/a"], "--workdir is 'wiener=runs/a'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(tmp_path, capsys, given, message):
    assert message in refused([*FLAGS, f"--out={tmp_path / 'out'}", *given], capsys)
    assert list(tmp_path.iterdir()) == []

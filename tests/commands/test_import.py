"""`oidn-jax import` and `oidn-jax export --format=torch`: checkpoints of the authors' code, there and back."""

import os
import pickle

import numpy as np
import pytest
import tifffile

import oidn_jax
from oidn_jax.data import write_raw_tiff
from oidn_jax.data.torch_file import read_state, write_state
from oidn_jax.models.weights import write_model
from tests.golden_oidn import golden_frames, published_parameters
from tests.methods.fakes import raw_counts, untrained

GOLDEN = {"oidn": "oidn_small", "apcan": "apcan_small", "dfcan": "dfcan_authors_small"}


@pytest.fixture
def checkpoint(golden, tmp_path, monkeypatch):
    """A function that writes the golden checkpoint of a network into the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(network):
        write_state("best.pth.tar", published_parameters(golden(GOLDEN[network])))
        return golden(GOLDEN[network])

    return write


@pytest.mark.parametrize("network", GOLDEN)
def test_an_imported_network_equals_the_original_and_comes_back(checkpoint, command, network):
    numbers = checkpoint(network)
    code, out, err = command("import", "best.pth.tar", f"--model={network}", "--out=model")
    assert (code, err) == (0, "")
    blocks = 4 if network == "dfcan" else 2
    assert f"{network.upper()} of best.pth.tar, width 16, groups 1, blocks {blocks}, " in out
    model = oidn_jax.load("model")
    assert model.normalisation == "per_frame"

    whole = "output/sr" in numbers
    expected = numbers["output/sr" if whole else "output_sampled/sr"]
    image = np.asarray(model(golden_frames()[: len(expected)]).image).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(image if whole else image[:, :, 1::3, 2::3], expected, atol=1e-4)

    code, out, err = command("export", "--format=torch", "--workdir=model", "--out=again.pth.tar")
    assert (code, err) == (0, "")
    assert out.startswith(f"again.pth.tar: {network.upper()} of model, ")
    before, after = read_state("best.pth.tar"), read_state("again.pth.tar")
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(after[name], 0 if name.startswith("Conv_2_6") else before[name], err_msg=name)


def test_an_imported_network_reconstructs_and_is_evaluated(checkpoint, command, monkeypatch):
    monkeypatch.setattr("oidn_jax.evaluation.report.draw_figures", lambda *_: [])  # they have tests of their own
    checkpoint("apcan")
    assert command("import", "best.pth.tar", "--model=apcan", "--out=model").code == 0
    write_raw_tiff("cell.tif", raw_counts(40, 43)[0], pixel_size_nm=62.6)
    code, out, err = command("reconstruct", "cell.tif", "--workdir=model", "--out=out")
    assert (code, out, err) == (0, "out/cell_sr.tif: 80 x 86 pixels, 31.3 nm per pixel\n", "")
    assert np.isfinite(tifffile.imread("out/cell_sr.tif")).all()
    settings = {"simulation.specimen": "ccps", "simulation.margin": 4, "evaluation.scenes": 1, "evaluation.size": 32}
    settings |= {"evaluation.panels": 1, "evaluation.rolling_block": 32}
    words = [f"--config.{name}={value}" for name, value in settings.items()]
    words += ["--workdir=model", "--methods=widefield,network", "--out=results"]
    code, out, err = command("evaluate", "--config=ccps:quick", *words)
    assert (code, err) == (0, ""), err
    assert "APCAN" in out


def test_nothing_is_replaced_unasked(checkpoint, command, refused):
    checkpoint("dfcan")
    words = ("import", "best.pth.tar", "--model=dfcan", "--out=model")
    assert command(*words).code == 0
    refused("model/weights.safetensors exists already.*--overwrite", *words)
    assert command(*words, "--overwrite").code == 0
    words = ("export", "--format=torch", "--workdir=model", "--out=best.pth.tar")
    refused("best.pth.tar exists already.*--overwrite", *words)
    assert command(*words, "--overwrite").code == 0


def test_the_microscope_is_that_of_the_configuration(checkpoint, command, refused):
    checkpoint("dfcan")
    words = ("import", "best.pth.tar", "--model=dfcan", "--out=model")
    refused(
        "takes 9 raw frames.*--config.microscope.orientations", *words, "--config=er", "--config.microscope.phases=5"
    )
    refused("--config.train.steps has no use here", *words, "--config=er", "--config.train.steps=5")
    assert command(*words, "--config=er:560", "--config.microscope.na=1.3").code == 0
    microscope = oidn_jax.load("model").microscope
    assert (microscope.na, microscope.emission_wavelength_nm) == (1.3, 607.0)


class Payload:
    """What a careless reader runs."""

    def __reduce__(self):
        return os.system, ("touch harmed",)


def test_checkpoints_that_cannot_be_used_are_one_line(checkpoint, refused, tmp_path):
    checkpoint("apcan")
    refused("is no checkpoint of 'oidn'.*learnable_psf", "import", "best.pth.tar", "--model=oidn", "--out=model")
    refused("is no checkpoint of 'dfcan'", "import", "best.pth.tar", "--model=dfcan", "--out=model")
    refused("--model", "import", "best.pth.tar", "--model=rcan", "--out=model")
    refused("none.pth cannot be read", "import", "none.pth", "--model=oidn", "--out=model")
    whole = (tmp_path / "best.pth.tar").read_bytes()
    (tmp_path / "best.pth.tar").write_bytes(whole[:-500])
    refused("best.pth.tar is damaged", "import", "best.pth.tar", "--model=apcan", "--out=model")
    (tmp_path / "best.pth.tar").write_bytes(pickle.dumps({"model_state_dict": Payload()}))
    refused("is refused: it asks for posix.system", "import", "best.pth.tar", "--model=apcan", "--out=model")
    assert not (tmp_path / "harmed").exists()
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format=torch"], "--format=torch needs --workdir"),
        (["--format=torch", "--workdir=model", "--cells=3"], "--cells has no use with --format=torch"),
        (["--format=torch", "--workdir=model", "--config=er"], "--config has no use with --format=torch"),
        (["--workdir=model", "--config=er"], "--workdir has no use with --format=biosr"),
        (["--checkpoint=best", "--config=er"], "--checkpoint has no use with --format=biosr"),
        ([], "--format=biosr needs --config"),
        (["--format=onnx"], "--format"),
    ],
)
def test_flags_of_the_other_export_are_refused(refused, words, message):
    refused(message, "export", *words, "--out=x")


def test_a_network_that_the_authors_have_not_is_told(tmp_path, refused):
    write_model(tmp_path / "model", untrained("unet"))
    words = ("--format=torch", f"--workdir={tmp_path / 'model'}", f"--out={tmp_path / 'x.pth'}")
    refused("the network 'unet' has no published code", "export", *words)
    assert not (tmp_path / "x.pth").exists()

"""`oidn-jax export --format=stablehlo`: a network as a program. `test_import.py` has --format=torch."""

import json

import jax.export
import numpy as np
import pytest

from oidn_jax.models.weights import write_model
from tests.methods.fakes import untrained


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("unet", "oidn"):
        write_model(tmp_path / name, untrained(name))


def test_a_network_becomes_a_program(models, command, tmp_path):
    code, out, err = command("export", "--format=stablehlo", "--workdir=unet", "--out=program")
    assert (code, err) == (0, "")
    assert out == "program: U-Net of unet for cpu, cuda, tpu; it takes (b, h, w, 9)\n"
    told = json.loads((tmp_path / "program" / "network.json").read_text())
    program = jax.export.deserialize(bytearray((tmp_path / "program" / told["program"]).read_bytes()))
    frames = np.random.default_rng(0).uniform(size=(2, 19, 24, 9)).astype(np.float32)
    (image,) = program.call(frames)
    np.testing.assert_allclose(image, untrained("unet")(frames).image, atol=1e-5)


def test_a_size_may_be_given_and_some_need_it(models, command, refused):
    words = ("export", "--format=stablehlo", "--workdir=oidn", "--out=program")
    refused("OIDN takes Fourier transforms, .*give --size, .* as 256,256", *words)
    code, out, err = command(*words, "--size=32,48")
    assert (code, err) == (0, "")
    assert out.endswith("it takes (b, 32, 48, 9)\n")
    refused(r"network.jax_export exists already.*--overwrite", *words, "--size=32,48")
    assert command(*words, "--size=40", "--overwrite").out.endswith("it takes (b, 40, 40, 9)\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format=stablehlo"], "--format=stablehlo needs --workdir"),
        (["--format=stablehlo", "--workdir=unet", "--cells=3"], "--cells has no use with --format=stablehlo"),
        (["--format=stablehlo", "--workdir=unet", "--size=8"], "--size is '8,8'; it must be at least 16"),
        (["--format=stablehlo", "--workdir=unet", "--size=1,2,3"], "'1,2,3' is no number of pixels"),
        (["--format=torch", "--workdir=unet", "--size=32"], "--size has no use with --format=torch"),
        (["--config=er", "--size=64,48"], "--size is one number with --format=biosr"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(models, refused, words, message):
    refused(message, "export", *words, "--out=x")

"""Programs of `methods.portable`: run where neither flax nor this package can be imported, they give the same image."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

import oidn_jax
from oidn_jax.errors import InputError
from oidn_jax.methods.portable import DESCRIPTION, PROGRAM, export_program, write_program
from tests.methods.fakes import FIELDS, MICROSCOPE, frames_last, raw_counts, untrained

# Sizes that no halving of a U-Net divides, and number of images.
SHAPES = [(1, 33, 22), (3, 33, 22), (1, 18, 47), (3, 18, 47)]
FIXED = (20, 35)
NETWORKS = {
    **FIELDS,
    "unet": {"name": "unet", "widths": (4, 4, 4, 4)},
    "authors": {"name": "dfcan", "width": 4, "groups": 1, "blocks": 1, "variant": "authors"},
    "guided_oidn": {"name": "guided", "body": "oidn", "width": 4, "groups": 1, "blocks": 1},
}
OPEN = ("unet", "rcan", "guided")

# What another program does: it knows jax, numpy and the JSON.
ELSEWHERE = """
import json, sys
from pathlib import Path

class Blocked:
    def find_spec(name, path, target=None):
        if name.partition(".")[0] in ("flax", "oidn_jax"):
            raise ImportError(name)

sys.meta_path.insert(0, Blocked)
import jax.export
import numpy as np

def load(folder):
    told = json.loads((folder / "network.json").read_text())
    program = jax.export.deserialize(bytearray((folder / told["program"]).read_bytes()))
    names = [output["name"] for output in told["outputs"]]
    return told, lambda x: dict(zip(names, map(np.asarray, program.call(x)), strict=True))

root = Path(sys.argv[1])
for folder in sorted(path for path in root.iterdir() if path.is_dir()):
    told, network = load(folder)
    for file in sorted(folder.glob("in_*.npy")):
        np.savez(folder / file.name.replace("in_", "out_").replace(".npy", ".npz"), **network(np.load(file)))

told, network = load(root / "unet")
counts = np.load(root / "counts.npy").astype(np.float32)
assert told["input"]["normalisation"] == "joint"
low, high = counts.min((1, 2, 3), keepdims=True), counts.max((1, 2, 3), keepdims=True)
x = np.pad((counts - low) / (high - low), ((0, 0), (16, 16), (16, 16), (0, 0)), mode="symmetric")
image = network(x)["image"] * (high - low) + low
np.save(root / "image.npy", image[:, 32:-32, 32:-32])
print(sorted({"flax", "oidn_jax"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every network as a program, random inputs of it, and what a process without flax and oidn_jax makes of them."""
    root, random = tmp_path_factory.mktemp("programs"), np.random.default_rng(1)
    for name, fields in NETWORKS.items():
        described = write_program(root / name, untrained(fields=fields), size=None if name in OPEN else FIXED)
        shapes = SHAPES if name in OPEN else [(number, *FIXED) for number in (1, 3)]
        for i, shape in enumerate(shapes):
            inputs = random.uniform(size=(*shape, described["input"]["shape"][-1])).astype(np.float32)
            np.save(root / name / f"in_{i}.npy", inputs)
    np.save(root / "counts.npy", frames_last(raw_counts(40, 43, times=2)))
    words = [sys.executable, "-c", ELSEWHERE, str(root)]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"  # neither has been imported
    return root


@pytest.mark.parametrize("name", NETWORKS)
def test_the_program_gives_the_image_of_the_network(written, name):
    model = untrained(fields=NETWORKS[name])
    files = sorted((written / name).glob("in_*.npy"))
    assert len(files) == (4 if name in OPEN else 2)
    for file in files:
        expected = model(np.load(file))
        with np.load(written / name / file.name.replace("in_", "out_").replace(".npy", ".npz")) as given:
            assert sorted(given) == ["image"] + ["log_error"] * (name == "guided")
            for output, value in given.items():
                wanted = np.asarray(getattr(expected, output))
                np.testing.assert_allclose(value, wanted, atol=1e-5 * np.abs(wanted).max(), err_msg=f"{file} {output}")


def test_the_json_is_enough_to_do_what_reconstruct_does(written):
    expected = oidn_jax.reconstruct(np.load(written / "counts.npy"), untrained(fields=NETWORKS["unet"]))
    np.testing.assert_allclose(np.load(written / "image.npy"), expected, rtol=1e-4)


def test_what_the_json_says(written):
    raw, guided = (json.loads((written / name / DESCRIPTION).read_text()) for name in ("oidn", "guided"))
    assert raw["platforms"] == guided["platforms"] == ["cpu", "cuda", "tpu"]
    assert raw["input"]["shape"] == ["b", *FIXED, MICROSCOPE.frames]
    assert raw["outputs"][0]["shape"] == ["b", 2 * FIXED[0], 2 * FIXED[1], 1]
    assert guided["input"]["shape"] == ["b", "h", "w", 16]
    assert [output["shape"] for output in guided["outputs"]] == [["b", "2*h", "2*w", 1]] * 2
    assert [line.partition(":")[0] for line in guided["input"]["channels"]] == ["0 to 11", "12", "13", "14", "15"]
    assert raw["microscope"]["na"] == MICROSCOPE.na
    program = (written / "oidn" / PROGRAM).read_bytes()
    assert raw["sha256"] == hashlib.sha256(program).hexdigest()


@pytest.mark.parametrize("name", ["oidn", "apcan", "dfcan", "guided_oidn"])
def test_networks_with_spectra_need_a_size(name):
    with pytest.raises(InputError, match=r"takes Fourier transforms, whose size .* give `size`, .* as 256,256"):
        export_program(untrained(fields=NETWORKS[name]))


def test_a_size_below_the_smallest_is_refused():
    with pytest.raises(InputError, match=r"`size` is '15,64'; it must be at least 16"):
        export_program(untrained(), size=(15, 64))


def test_a_program_refuses_other_inputs():
    program = export_program(untrained())
    for shape in [(1, 15, 32, 9), (1, 32, 32, 8)]:
        with pytest.raises(ValueError, match=r"(?s)shape|dimension|size"):
            program.call(np.zeros(shape, np.float32))

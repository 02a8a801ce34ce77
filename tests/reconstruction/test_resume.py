"""`resume`: what is there stays, what is missing or half done is made, what is something else is neither."""

import os
from dataclasses import replace

import numpy as np
import pytest

from oidn_jax.acquisition import CameraSettings
from oidn_jax.data import InputError, write_raw_tiff
from oidn_jax.data.writers import read_provenance
from oidn_jax.methods import ClassicalMethod, NetworkMethod
from oidn_jax.reconstruction import Messages, Outputs, Reading, files, reconstruct_files
from oidn_jax.reconstruction.fingerprint import digest_of_frames, digest_of_settings
from tests.methods.fakes import MICROSCOPE, Identity, fake, raw_counts, untrained


def write(path, seed=0, pixel_size_nm=60.0):
    path.parent.mkdir(exist_ok=True)
    return write_raw_tiff(path, raw_counts(seed=seed)[0], pixel_size_nm=pixel_size_nm, overwrite=True)


@pytest.fixture
def run(tmp_path):
    """A function that reconstructs with the identity into tmp_path/out, and gives the number of images made."""

    def run(*inputs, tile=None, resume=True, reading=None, **outputs):
        model, lines = fake(Identity), []
        run.results = reconstruct_files(
            inputs,
            NetworkMethod(model, tile=tile),
            tmp_path / "out",
            microscope=MICROSCOPE,
            reading=reading,
            outputs=Outputs(resume=resume, **outputs),
            messages=Messages(lines.append, lines.append),
        )
        run.lines = lines
        return len(model.shapes)

    return run


def stamps(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["cell.tif", "cell.ome.tif"])
def test_what_is_there_stays(tmp_path, run, name):
    first, second, out = write(tmp_path / name), write(tmp_path / "other.tif", 1), tmp_path / "out"
    assert run(first, preview=True) == 1
    assert run.lines[0] == "0 of 1 images are there already; 1 are made"
    before = stamps(out)
    assert run(second, first, preview=True) == 1
    assert run.lines[0] == "1 of 2 images are there already; 1 are made"
    assert run.results == [out / "other_sr.tif", out / name.replace("cell", "cell_sr")]
    assert stamps(out).items() > before.items()
    assert run(second, first, preview=True) == 0
    assert run.lines == ["2 of 2 images are there already; 0 are made"]


def test_an_image_that_was_made_without_resume_counts(tmp_path, run):
    source = write(tmp_path / "cell.tif")
    assert run(source, resume=False) == 1
    with pytest.raises(InputError, match="exists already"):
        run(source, resume=False)
    assert run(source) == 0


@pytest.mark.parametrize("unfinished", ["no preview", "an older preview", "cut"])
def test_what_is_half_done_is_done_again(tmp_path, run, unfinished):
    source, image, preview = write(tmp_path / "cell.tif"), tmp_path / "out/cell_sr.tif", tmp_path / "out/cell_sr.png"
    run(source, preview=True)
    whole = image.read_bytes()
    match unfinished:
        case "no preview":
            preview.unlink()
        case "an older preview":
            os.utime(preview, ns=(0, image.stat().st_mtime_ns - 1))
        case "cut":
            image.write_bytes(whole[:-100])
            os.utime(preview)
    assert run(source, preview=True) == 1
    assert image.read_bytes() == whole
    assert run(source, preview=True) == 0


def test_what_was_made_otherwise_is_refused_or_replaced(tmp_path, run):
    source, out = write(tmp_path / "a" / "cell.tif"), tmp_path / "out"
    run(source)
    before = stamps(out)
    elsewhere = write(tmp_path / "b" / "cell.tif", seed=1)
    for change in ({"tile": 32}, {"reading": Reading(pixel_size_nm=61.0)}):
        with pytest.raises(InputError, match=r"cell_sr.tif exists already, and does not tell .* allow `overwrite` too"):
            run(source, **change)
    with pytest.raises(InputError, match=r"cell_sr\.tif exists already"):  # other frames, of the same name
        run(elsewhere)
    assert stamps(out) == before
    assert run(elsewhere, overwrite=True) == 1
    assert run(elsewhere, overwrite=True) == 0
    assert run(source, overwrite=True) == 1


@pytest.mark.parametrize("name", ["cell_sr.tif", "cell_sr.png"])
def test_a_file_of_somebody_else_is_kept(tmp_path, run, name):
    existing = tmp_path / "out" / name
    existing.parent.mkdir()
    existing.write_bytes(b"mine")
    with pytest.raises(InputError, match=f"{name} exists already"):
        run(write(tmp_path / "cell.tif"), preview=True)
    assert existing.read_bytes() == b"mine"
    assert read_provenance(existing) == {}


def test_an_interrupted_run_is_finished(tmp_path, run, monkeypatch):
    sources, save = [write(tmp_path / f"{name}.tif", seed) for seed, name in enumerate("abc")], files.save_preview

    def interrupted(path, *arguments, **options):
        if path.name == "b_sr.png":
            raise KeyboardInterrupt
        save(path, *arguments, **options)

    monkeypatch.setattr(files, "save_preview", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(*sources, preview=True)
    assert sorted(stamps(tmp_path / "out")) == ["a_sr.png", "a_sr.tif", "b_sr.tif"]
    monkeypatch.undo()
    assert run(*sources, preview=True) == 2
    assert run.lines[0] == "1 of 3 images are there already; 2 are made"


def test_the_digest_of_settings_tells_them_apart(tmp_path):
    model, map_file = untrained(), tmp_path / "gain.tif"
    map_file.write_bytes(b"1")
    method, reading = NetworkMethod(model), Reading(camera=CameraSettings(gain_map=map_file))

    def digest(method=method, microscope=MICROSCOPE, reading=reading):
        return digest_of_settings((method,), (microscope,), reading)

    assert digest() == digest()
    assert digest() == digest(NetworkMethod(untrained()))
    name, *_ = model.params
    kept = model.params[name]
    leaf = next(iter(kept))
    changed = {**model.params, name: {**kept, leaf: {k: np.asarray(v) + 1e-3 for k, v in kept[leaf].items()}}}
    others = [
        digest(NetworkMethod(model, tile=64)),
        digest(NetworkMethod(replace(model, params=changed))),
        digest(ClassicalMethod("wiener")),
        digest(ClassicalMethod("wiener", wiener=0.1)),
        digest(microscope=replace(MICROSCOPE, na=1.2)),
        digest(reading=Reading()),
    ]
    before = digest()
    (tmp_path / "moved").mkdir()
    moved = map_file.rename(tmp_path / "moved" / "map.tif")
    assert digest(reading=Reading(camera=CameraSettings(gain_map=moved))) == before
    moved.write_bytes(b"2")
    others.append(digest(reading=Reading(camera=CameraSettings(gain_map=moved))))
    assert len({before, *others}) == 1 + len(others)


def test_the_digest_of_frames_is_of_their_bytes(tmp_path):
    first, copy, other = tmp_path / "a.tif", tmp_path / "b.tif", tmp_path / "c.tif"
    content = bytes(range(256)) * 1024
    first.write_bytes(content)
    copy.write_bytes(content)
    other.write_bytes(content[:100_000] + b"x" + content[100_001:])
    assert digest_of_frames(first) == digest_of_frames(copy) != digest_of_frames(other)
    together = digest_of_frames((first, other))
    assert together == digest_of_frames((other, first)) != digest_of_frames((first, copy))
    (tmp_path / "folder").mkdir()
    first.rename(tmp_path / "folder" / "1.tif")
    other.rename(tmp_path / "folder" / "2.tif")
    (tmp_path / "folder" / "notes.txt").touch()
    assert digest_of_frames(tmp_path / "folder") == together
    with pytest.raises(InputError, match=r"nowhere\.tif cannot be read"):
        digest_of_frames(tmp_path / "nowhere.tif")

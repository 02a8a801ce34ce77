"""Classical methods and trust maps, from file to file, on a simulated acquisition whose truth is known."""

import json
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from matplotlib.image import imread

from oidn_jax.optics.microscope import Microscope
from oidn_jax.data import InputError, write_sr_tiff
from oidn_jax.optics.grid import to_padded_spectrum
from oidn_jax.reconstruction import (
    CameraSettings,
    ClassicalMethod,
    GivenImage,
    KnownIllumination,
    NetworkMethod,
    Outputs,
    Reading,
    Talk,
    acquisition,
    reconstruct_files,
)
from oidn_jax.simulation.acquisition import simulate_acquisition
from oidn_jax.simulation.settings import AcquisitionSettings
from tests.reconstruction.fakes import microscope_of, untrained

SIZE, PIXEL_NM = 64, 62.6
SETTINGS = AcquisitionSettings(
    specimen="ccps",
    density=(2.0, 3.0),
    na=1.3,
    otf_damping=1.0,
    illumination_na=1.1,
    background=(0.0, 0.0),
    phase_error_deg=0.0,
    modulation_depth=(0.8, 0.8),
    mean_photons=(400.0,),
    fluorescence={"high": (1,)},
)
MICROSCOPE = Microscope(na=1.3, emission_wavelength_nm=525.0, pixel_size_nm=PIXEL_NM)
TRUST = ("trust.tif", "residual.tif", "trust.json", "trust.png")


def write_frames(path, counts):
    """Raw counts (..., frames, y, x) as an ImageJ file."""
    metadata = {"axes": "TCYX"[4 - counts.ndim :], "unit": "um"}
    resolution = (1000 / PIXEL_NM,) * 2
    tifffile.imwrite(path, counts.astype(np.uint16), imagej=True, metadata=metadata, resolution=resolution)
    return path


@pytest.fixture(scope="module")
def scene():
    simulate = jax.jit(partial(simulate_acquisition, settings=SETTINGS, size=(SIZE, SIZE)))
    return jax.device_get(simulate(jax.random.key(3), 0))


@pytest.fixture(scope="module")
def counts(scene):
    return np.moveaxis(scene.raw_frames, -1, 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A function that reconstructs a file and gives folder, what was said, what was warned of."""

    def run(source, method, *, microscope=MICROSCOPE, **options):
        out, said, warned = tmp_path_factory.mktemp("out"), [], []
        talk = Talk(say=said.append, warn=warned.append)
        written = reconstruct_files([source], method, out, microscope=microscope, talk=talk, **options)
        return SimpleNamespace(folder=out, said=said, warned=warned, written=written)

    return run


@pytest.fixture(scope="module")
def source(tmp_path_factory, counts):
    return write_frames(tmp_path_factory.mktemp("raw") / "cell.tif", counts)


@pytest.fixture(scope="module")
def wiener(run, source):
    return run(source, ClassicalMethod("wiener"), outputs=Outputs(preview=True, diagnostics=True, trust=True))


def image_of(result):
    return tifffile.imread(result.folder / "cell_sr.tif")


def provenance_of(path):
    with tifffile.TiffFile(path) as tiff:
        return json.loads(tiff.imagej_metadata["Info"])


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def affine_psnr(image, target):
    inside = np.s_[16:-16, 16:-16]
    a, b = image[inside].ravel(), target[inside].ravel()
    design = np.stack([a, np.ones_like(a)], axis=1)
    error = design @ np.linalg.lstsq(design, b, rcond=None)[0] - b
    return 10 * np.log10(np.ptp(b) ** 2 / np.mean(error**2))


def test_everything_is_written(wiener):
    names = ["cell_sr.tif", "cell_sr.png", "cell_sr_illumination.json", "cell_sr_diagnostics.png"]
    assert listed(wiener.folder) == sorted([*names, *(f"cell_sr_{end}" for end in TRUST)])
    assert wiener.written == [wiener.folder / "cell_sr.tif"]
    assert wiener.warned == []
    assert len(wiener.said) == 2
    for name in ("cell_sr.png", "cell_sr_diagnostics.png", "cell_sr_trust.png"):
        assert imread(wiener.folder / name)[..., :3].std() > 0.05


def test_wiener_and_hifi_are_better_than_widefield(run, source, scene, wiener):
    widefield, hifi = (image_of(run(source, ClassicalMethod(name))) for name in ("widefield", "hifi"))
    target = scene.target[..., 0]
    assert affine_psnr(image_of(wiener), target) > affine_psnr(widefield, target) + 5.0
    # HiFi-SIM reshapes the spectrum: judged by how narrow the structures are.
    power = [np.abs(np.fft.fft2(image / image.std())) ** 2 for image in (widefield, hifi)]
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(2 * SIZE), np.fft.fftfreq(2 * SIZE)))
    beyond = (radius > 0.16) & (radius < 0.25)
    assert power[1][beyond].sum() > 4.0 * power[0][beyond].sum()


def test_the_illumination_is_written_beside_the_image(wiener, scene):
    stored = json.loads((wiener.folder / "cell_sr_illumination.json").read_text())
    truth = scene.illumination
    assert stored["frame_size"] == [SIZE, SIZE]
    assert stored["pixel_size_nm"] == pytest.approx(PIXEL_NM, rel=1e-4)
    for i, orientation in enumerate(stored["orientations"]):
        vector = np.array(orientation["wave_vector_cycles_per_pixel"])
        assert np.hypot(*(SIZE * (vector - truth.wave_vector[i]))) < 0.05
        assert orientation["period_nm"] == pytest.approx(PIXEL_NM / np.hypot(*vector), rel=1e-4)
        difference = np.deg2rad(orientation["phases_deg"]) - truth.phase[i]
        assert np.abs(np.angle(np.exp(1j * difference))).max() < np.deg2rad(5.0)
        assert orientation["modulation_depth"] == pytest.approx(0.8, abs=0.2)  # few structures in a small field
        assert orientation["confidence"] > 5.0


def test_the_provenance_names_method_optics_and_camera(wiener, run, source):
    provenance = provenance_of(wiener.folder / "cell_sr.tif")
    assert (provenance["method"], provenance["wiener"], provenance["attenuation"]) == ("wiener", "automatic", 0.0)
    assert provenance["optics"]["na"] == 1.3
    np.testing.assert_allclose(provenance["camera_offset"], 100.0, atol=8.0)
    method = ClassicalMethod("hifi", w1=0.9, iterations=0, attenuation=0.5)
    reading = Reading(camera=CameraSettings(offset=99.0))
    provenance = provenance_of(run(source, method, reading=reading).folder / "cell_sr.tif")
    assert provenance["initial_wiener"] == pytest.approx(0.9)
    assert provenance["attenuation_strength"] == pytest.approx(0.5)
    assert provenance["rl_iterations"] == 0
    assert provenance["camera_offset"] == [99.0] * 3


def test_options_change_the_image(run, source, wiener):
    for method in (ClassicalMethod("wiener", wiener=0.5), ClassicalMethod("wiener", attenuation=0.9)):
        assert np.abs(image_of(run(source, method)) - image_of(wiener)).max() > 1.0


def test_an_illumination_can_be_given_back(run, source, wiener):
    known = KnownIllumination(wiener.folder / "cell_sr_illumination.json")
    again = run(source, ClassicalMethod("wiener"), reading=Reading(known=known))
    np.testing.assert_allclose(image_of(again), image_of(wiener), atol=0.5)
    assert provenance_of(again.folder / "cell_sr.tif")["illumination"] == known.path.name


def test_the_wave_vectors_of_a_calibration_serve_other_frames(run, tmp_path, counts, wiener):
    """A crop moves the phases by an amount that the frame size tells nothing about."""
    cropped = write_frames(tmp_path / "cell.tif", counts[:, 5:, 3:])
    path = wiener.folder / "cell_sr_illumination.json"
    with pytest.raises(InputError, match=r"64 x 64 pixels, but .* has 59 x 61, .* give --refit-phases"):
        run(cropped, ClassicalMethod("wiener"), reading=Reading(known=KnownIllumination(path)))
    known = KnownIllumination(path, refit_phases=True)
    image = image_of(run(cropped, ClassicalMethod("wiener"), reading=Reading(known=known)))
    assert affine_psnr(image, image_of(wiener)[10:, 6:]) > 30.0


def test_a_time_lapse_reuses_the_estimate(run, tmp_path, counts, wiener, monkeypatch):
    """But for the brightness: the second time point has two thirds of the light, as from bleaching."""
    calls, estimate = [], acquisition._estimate
    monkeypatch.setattr(acquisition, "_estimate", lambda *a, **k: calls.append(1) or estimate(*a, **k))
    dimmer = np.round(100 + (counts - 100) * 2 / 3)
    result = run(
        write_frames(tmp_path / "cell.tif", np.stack([counts, dimmer])), ClassicalMethod("wiener", wiener=0.05)
    )
    images = image_of(result)
    assert images.shape == (2, 2 * SIZE, 2 * SIZE)
    assert len(calls) == 1
    # The offset is estimated, so brightness is not exactly two thirds.
    assert affine_psnr(images[1], images[0]) > 40.0
    assert images[1].std() / images[0].std() == pytest.approx(2 / 3, rel=0.03)


def test_trust_of_a_reconstruction_of_the_same_frames(wiener):
    numbers = json.loads((wiener.folder / "cell_sr_trust.json").read_text())
    assert 0.8 < numbers["reduced_chi_square"] < 1.2
    assert numbers["suspect_area"] < 0.01
    assert numbers["camera"]["gain_known"]
    np.testing.assert_allclose(numbers["camera"]["gain_counts_per_electron"], 1.0, atol=0.15)
    assert numbers["verdict"] in wiener.said[1]
    with tifffile.TiffFile(wiener.folder / "cell_sr_trust.tif") as tiff:
        assert tiff.series[0].shape == (2, 2 * SIZE, 2 * SIZE)
        assert tiff.imagej_metadata["Labels"] == ["reduced chi-square", "evidence"]
        assert tuple(tiff.imagej_metadata["Ranges"]) == (0.0, 3.0, -10.0, 10.0)
    residual = tifffile.imread(wiener.folder / "cell_sr_residual.tif")
    assert residual.shape == (10, SIZE, SIZE)
    assert residual[:9, 16:-16, 16:-16].std() == pytest.approx(1.0, abs=0.15)


@pytest.fixture(scope="module")
def judged(run, source, wiener, tmp_path_factory):
    """A function that judges a changed copy of the Wiener image."""

    def judge(image):
        path = tmp_path_factory.mktemp("changed") / "elsewhere.tif"
        write_sr_tiff(path, image, pixel_size_nm=PIXEL_NM / 2, provenance={})
        return run(source, GivenImage(path), outputs=Outputs(trust=True))

    return judge


def test_an_image_made_elsewhere_is_judged_and_not_written(judged, wiener):
    result = judged(0.3 * image_of(wiener) + 7.0)
    assert listed(result.folder) == sorted(["cell_sr_illumination.json", *(f"cell_sr_{end}" for end in TRUST)])
    assert result.warned == []
    other, own = (json.loads((r.folder / "cell_sr_trust.json").read_text()) for r in (result, wiener))
    assert other["reduced_chi_square"] == pytest.approx(own["reduced_chi_square"], abs=2e-3)
    assert other["image"] == "elsewhere.tif"


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_not_in_the_raw_frames_is_found(judged, wiener, sign):
    image = image_of(wiener)
    y, x = np.mgrid[: 2 * SIZE, : 2 * SIZE]
    spot = np.exp(-((y - 70) ** 2 + (x - 52) ** 2) / (2 * 1.7**2))
    result = judged(image + sign * 0.7 * np.percentile(image, 99.5) * spot)
    evidence = -sign * tifffile.imread(result.folder / "cell_sr_trust.tif")[1]
    assert np.unravel_index(evidence.argmax(), evidence.shape) == (pytest.approx(70, abs=2), pytest.approx(52, abs=2))
    numbers = json.loads((result.folder / "cell_sr_trust.json").read_text())
    assert evidence.max() > numbers["times"][0]["threshold"]
    assert numbers["suspect_area"] > 0


def test_images_of_programs_that_pad_the_spectrum_are_moved(judged, wiener):
    moved = np.asarray(to_padded_spectrum(jnp.asarray(image_of(wiener)), scale=2))
    result = judged(moved)
    assert len(result.warned) == 1
    assert "moved by half a pixel" in result.warned[0]
    own = json.loads((wiener.folder / "cell_sr_trust.json").read_text())
    found = json.loads((result.folder / "cell_sr_trust.json").read_text())
    assert found["reduced_chi_square"] == pytest.approx(own["reduced_chi_square"], abs=0.02)


def test_a_blurred_image_is_not_contradicted_but_confirms_less_detail(judged, wiener):
    def period(result):
        return json.loads((result.folder / "cell_sr_trust.json").read_text())["confirmed_period_nm"]

    image = image_of(wiener)
    blurred = np.mean([np.roll(image, (y, x), (0, 1)) for y in (-2, 0, 2) for x in (-2, 0, 2)], axis=0)
    assert 90 < period(wiener) < 150
    assert period(judged(blurred)) > 1.15 * period(wiener)


def test_images_that_cannot_be_judged(run, source, tmp_path):
    small, flat = tmp_path / "small.tif", tmp_path / "flat.tif"
    write_sr_tiff(small, np.random.default_rng(0).normal(size=(SIZE, SIZE)), pixel_size_nm=None, provenance={})
    write_sr_tiff(flat, np.ones((2 * SIZE, 2 * SIZE)), pixel_size_nm=None, provenance={})
    for path, message in (
        (small, r"1 x 64 x 64 \(time, y, x\), but a super-resolved image of .* must be 1 x 128 x 128"),
        (flat, "one value everywhere"),
        (tmp_path / "none.tif", "does not exist"),
    ):
        with pytest.raises(InputError, match=message):
            run(source, GivenImage(path), outputs=Outputs(trust=True))


def test_frames_without_stripes_are_warned_of(run, tmp_path, scene):
    noise = np.random.default_rng(0).poisson(scene.photons.mean(-1), (9, SIZE, SIZE)) + 100
    result = run(write_frames(tmp_path / "cell.tif", noise), ClassicalMethod("wiener"))
    assert any("no stripes found for certain" in warning for warning in result.warned)
    stored = json.loads((result.folder / "cell_sr_illumination.json").read_text())
    assert stored["warnings"]


def test_the_other_frame_order_is_recognised(run, tmp_path, counts):
    swapped = counts.reshape(3, 3, SIZE, SIZE).swapaxes(0, 1).reshape(9, SIZE, SIZE)
    result = run(write_frames(tmp_path / "cell.tif", swapped), ClassicalMethod("wiener"))
    assert any("try the other --frame-order" in warning for warning in result.warned)
    reading = Reading(frame_order="phase-orientation")
    assert run(tmp_path / "cell.tif", ClassicalMethod("wiener"), reading=reading).warned == []


def test_pixels_too_large_for_the_optics(run, source):
    with pytest.raises(InputError, match=r"62\.6 nm are too large for NA 4 .* SIM needs less than 32\.8 nm"):
        run(source, ClassicalMethod("wiener"), microscope=replace(MICROSCOPE, na=4.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wiener": 0.0}, "--wiener is 0; it must be from 0.0001 to 1000"),
        ({"attenuation": 1.0}, "--attenuation is 1; it must be from 0 to below 1"),
        ({"w1": -1.0}, "--w1 is -1; it must be from 0.0001 to 1000"),
        ({"iterations": -1}, "--rl-iterations is -1; it must be from 0 to 100"),
    ],
)
def test_numbers_that_are_not_legal(options, message):
    with pytest.raises(InputError, match=message):
        ClassicalMethod("wiener", **options)


def test_hot_and_dead_pixels_are_replaced_in_every_image(run, tmp_path, counts, wiener):
    broken = counts.copy()
    broken[:, 30, 41], broken[:, 12, 50] = 20000, 0
    source = write_frames(tmp_path / "cell.tif", broken)
    result = run(source, ClassicalMethod("wiener"), outputs=Outputs(trust=True))
    assert [warning for warning in result.warned if "2 hot or dead pixels are replaced" in warning]
    assert affine_psnr(image_of(result), image_of(wiener)) > 30.0
    numbers = json.loads((result.folder / "cell_sr_trust.json").read_text())
    assert numbers["suspect_area"] < 0.01


def test_files_that_are_read_are_not_replaced(run, source, wiener, tmp_path):
    """Not even with overwrite."""
    own = wiener.folder / "cell_sr_trust.tif"
    talk = Talk(say=print, warn=print)
    for method, reading in (
        (GivenImage(own), Reading()),
        (ClassicalMethod("wiener"), Reading(known=KnownIllumination(wiener.folder / "cell_sr_illumination.json"))),
    ):
        before = {path.name: path.stat().st_mtime_ns for path in wiener.folder.iterdir()}
        with pytest.raises(InputError, match="is one of the inputs and would be replaced"):
            reconstruct_files(
                [source],
                method,
                wiener.folder,
                microscope=MICROSCOPE,
                reading=reading,
                outputs=Outputs(trust=True, overwrite=True),
                talk=talk,
            )
        assert {path.name: path.stat().st_mtime_ns for path in wiener.folder.iterdir()} == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phases": 2}, "phases is 2; to separate the bands of SIM it must be at least 3"),
        ({"scale": 3}, "diagnostics are drawn for 2 pixels per raw pixel"),
        ({"na": 0.01}, "check that pixel size and wavelength are in nm"),
        ({"emission_wavelength_nm": 52500.0}, "check that pixel size and wavelength are in nm"),
    ],
)
def test_microscopes_that_cannot_be(run, source, changes, message):
    with pytest.raises(InputError, match=message):
        run(
            source,
            ClassicalMethod("wiener"),
            microscope=replace(MICROSCOPE, **changes),
            outputs=Outputs(diagnostics=True),
        )


def test_a_model_of_other_frames(run, source):
    model = untrained()
    microscope = replace(microscope_of(model), scale=3)
    with pytest.raises(InputError, match=r"config\.frames\.scale is 3, but the model was trained with 2"):
        run(source, NetworkMethod(model), microscope=microscope)


def test_a_wrong_illumination_for_a_network_leaves_nothing_behind(tmp_path, counts, wiener):
    cropped, out = write_frames(tmp_path / "cell.tif", counts[:, 5:, 3:]), tmp_path / "out"
    model, known = untrained(), KnownIllumination(wiener.folder / "cell_sr_illumination.json")
    with pytest.raises(InputError, match="give --refit-phases"):
        reconstruct_files(
            [cropped],
            NetworkMethod(model),
            out,
            microscope=microscope_of(model),
            reading=Reading(known=known),
            outputs=Outputs(trust=True),
            talk=Talk(say=print, warn=print),
        )
    assert not out.exists() or not list(out.iterdir())


def test_frames_too_small_to_be_judged(run, tmp_path, counts):
    small = write_frames(tmp_path / "cell.tif", counts[:, :40, :40])
    with pytest.raises(InputError, match="40 x 40 pixels; trust maps leave out 12 at each edge and need at least 48"):
        run(small, ClassicalMethod("wiener"), outputs=Outputs(trust=True))


def test_an_offset_above_the_light(run, source):
    with pytest.raises(InputError, match=r"camera offset is 900 counts, but .* has a frame with a mean of"):
        run(source, ClassicalMethod("wiener"), reading=Reading(camera=CameraSettings(offset=900.0)))

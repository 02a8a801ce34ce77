"""What is written beside an image of a simulated acquisition: illumination, trust maps, diagnostics."""

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from matplotlib.image import imread

from oidn_jax.acquisition import Acquisition, KnownIllumination
from oidn_jax.acquisition.diagnostics import GHOSTS
from oidn_jax.data import InputError, write_sr_tiff
from oidn_jax.figures.diagnostics import numbers_in_words
from oidn_jax.methods import ClassicalMethod, GivenImage, NetworkMethod
from oidn_jax.models.layers import pixel_shuffle
from oidn_jax.models.prediction import Prediction
from oidn_jax.models.trained import TrainedModel
from oidn_jax.optics.grid import to_padded_spectrum
from oidn_jax.reconstruction import Messages, Outputs, Reading, diagnostics, reconstruct_files, trust
from oidn_jax.reconstruction.trust import clearly_more, unconfirmed
from tests.acquisition.simulated import MICROSCOPE, PIXEL_NM, SIZE, affine_psnr, counts, scene, write_frames
from tests.methods.fakes import FIELDS, ORIGIN, untrained

TRUST = ("trust.tif", "residual.tif", "trust.json", "trust.png")


def reconstructed(source, method, out, **settings):
    """Reconstructs a file; gives folder, what was lines, what was warned of."""
    lines, warned = [], []
    messages = Messages(lines.append, warned.append)
    written = reconstruct_files([source], method, out, microscope=MICROSCOPE, messages=messages, **settings)
    return SimpleNamespace(folder=out, lines=lines, warned=warned, written=written)


@pytest.fixture
def run(tmp_path_factory):
    """`reconstructed` into a new folder."""
    return lambda source, method, **settings: reconstructed(source, method, tmp_path_factory.mktemp("out"), **settings)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_frames(tmp_path_factory.mktemp("raw") / "cell.tif", counts())


@pytest.fixture(scope="module")
def wiener(tmp_path_factory, source):
    """The Wiener image with all that can be written beside it, and the page of diagnostics before it is drawn."""
    pages, save = [], diagnostics.save_diagnostics
    outputs, reading = Outputs(preview=True, diagnostics=True, trust=True), Reading(optics_from="flags")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            diagnostics,
            "save_diagnostics",
            lambda path, page, **options: pages.append(page) or save(path, page, **options),
        )
        out = tmp_path_factory.mktemp("wiener")
        result = reconstructed(source, ClassicalMethod("wiener"), out, outputs=outputs, reading=reading)
    (result.page,) = pages
    return result


def image_of(result):
    return tifffile.imread(result.folder / "cell_sr.tif")


def numbers_of(result):
    return json.loads((result.folder / "cell_sr_trust.json").read_text())


def illumination_of(result):
    return json.loads((result.folder / "cell_sr_illumination.json").read_text())


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_chi_square_alone(warned):
    """All is well, but a bright field of 64 x 64 pixels is fitted to 1.14: that is said from 1.1 on."""
    (line,) = warned
    assert "the reduced chi-square is 1.1" in line


def test_everything_is_written(wiener):
    names = ["cell_sr.tif", "cell_sr.png", "cell_sr_illumination.json", "cell_sr_diagnostics.png"]
    assert listed(wiener.folder) == sorted([*names, *(f"cell_sr_{end}" for end in TRUST)])
    assert wiener.written == [wiener.folder / "cell_sr.tif"]
    assert_chi_square_alone(wiener.warned)
    assert len(wiener.lines) == 2
    for name in ("cell_sr.png", "cell_sr_diagnostics.png", "cell_sr_trust.png"):
        assert imread(wiener.folder / name)[..., :3].std() > 0.05


def test_the_optics_and_where_they_come_from_are_told_everywhere(wiener):
    with tifffile.TiffFile(wiener.folder / "cell_sr.tif") as tiff:
        image = json.loads(tiff.imagej_metadata["Info"])
    illumination = json.loads((wiener.folder / "cell_sr_illumination.json").read_text())
    for record in (image, illumination, numbers_of(wiener)):
        assert record["optics"] == MICROSCOPE.describe()
        assert "theoretical, NA 1.3 at 525 nm, undamped" in record["optics"]["otf"]
        assert record["optics_from"] == "flags"


def test_the_illumination_is_written_beside_the_image(wiener):
    stored, truth = json.loads((wiener.folder / "cell_sr_illumination.json").read_text()), scene().illumination
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


def test_the_page_of_diagnostics_has_the_numbers_of_the_estimate(wiener):
    page, stored = wiener.page, json.loads((wiener.folder / "cell_sr_illumination.json").read_text())
    assert (page.method, page.pixel_size_nm) == ("Wiener SIM", pytest.approx(PIXEL_NM, rel=1e-4))
    assert page.cutoff == pytest.approx(MICROSCOPE.cutoff, rel=1e-4)
    np.testing.assert_array_equal(page.image, image_of(wiener))
    words = numbers_in_words(page)
    for i, orientation in enumerate(stored["orientations"]):
        np.testing.assert_allclose(page.wave_vector[i], orientation["wave_vector_cycles_per_pixel"], rtol=1e-5)
        assert words["confidence Z"][i] == f"{orientation['confidence']:.1f}"
        corrected = orientation["modulation_depth"], orientation["modulation_depth_without_noise_correction"]
        assert words["modulation, corrected / not"][i] == "{:.2f} / {:.2f}".format(*corrected)
    assert len(page.transfer) == len(page.psf) == 3  # of the frames, and of the image along two directions
    assert_chi_square_alone(page.warnings)


def test_an_illumination_can_be_given_back(run, source, wiener):
    known = KnownIllumination(wiener.folder / "cell_sr_illumination.json")
    again = run(source, ClassicalMethod("wiener"), reading=Reading(known=known))
    np.testing.assert_allclose(image_of(again), image_of(wiener), atol=0.5)
    with tifffile.TiffFile(again.folder / "cell_sr.tif") as tiff:
        assert json.loads(tiff.imagej_metadata["Info"])["illumination"] == known.path.name


def test_trust_of_a_reconstruction_of_the_same_frames(wiener):
    numbers = numbers_of(wiener)
    assert 0.8 < numbers["reduced_chi_square"] < 1.2
    assert numbers["suspect_area"] < 0.01
    assert numbers["noise"]["gain_known"]
    np.testing.assert_allclose(numbers["noise"]["gain_counts_per_electron"], 1.0, atol=0.15)
    assert numbers["verdict"] in wiener.lines[1]
    assert numbers["pattern_left"] == numbers["times"][0]["pattern_left"] < GHOSTS
    assert "ghosts" not in numbers["verdict"]
    assert numbers["otf_damping"]["further"] == pytest.approx(1.0, abs=0.25)  # few structures in a small field
    assert not numbers["otf_damping"]["taken"]
    with tifffile.TiffFile(wiener.folder / "cell_sr_trust.tif") as tiff:
        assert tiff.series[0].shape == (2, 2 * SIZE, 2 * SIZE)
        assert tiff.imagej_metadata["Labels"] == ["reduced chi-square", "evidence"]
        assert tuple(tiff.imagej_metadata["Ranges"]) == (0.0, 3.0, -10.0, 10.0)
    residual = tifffile.imread(wiener.folder / "cell_sr_residual.tif")
    assert residual.shape == (10, SIZE, SIZE)
    assert residual[:9, 16:-16, 16:-16].std() == pytest.approx(1.0, abs=0.15)


def test_ghosts_of_the_pattern_show_in_the_trust_report(judged, wiener):
    """Stripes of the patterns' periods that are added to an image are named, whoever made it."""
    vectors = [one["wave_vector_cycles_per_pixel"] for one in illumination_of(wiener)["orientations"]]
    y, x = np.mgrid[: 2 * SIZE, : 2 * SIZE] / 2.0
    stripes = sum(np.cos(2 * np.pi * (p[0] * y + p[1] * x)) for p in vectors)
    image = image_of(wiener)
    numbers = numbers_of(judged(image + 0.2 * image.std() * stripes.astype(np.float32)))
    assert numbers["pattern_left"] > GHOSTS
    assert f"ghosts of the pattern ({numbers['pattern_left']:.1f} times its surroundings, " in numbers["verdict"]


def test_maps_of_a_time_lapse_are_those_of_its_time_points(run, tmp_path, wiener):
    lapse = write_frames(tmp_path / "cell.tif", np.stack([counts(), counts()]))
    result = run(lapse, ClassicalMethod("wiener"), outputs=Outputs(trust=True))
    single, both = numbers_of(wiener), numbers_of(result)
    assert len(both["times"]) == 2
    assert both["times"][0] == single["times"][0]
    for end in ("trust.tif", "residual.tif"):
        maps, alone = (tifffile.imread(r.folder / f"cell_sr_{end}") for r in (result, wiener))
        np.testing.assert_array_equal(maps[0], alone)
        np.testing.assert_allclose(maps[1], alone, atol=1e-3 * np.abs(alone).max())


def test_the_optics_of_the_maps_are_those_that_judged(run, source):
    """A network has optics of its own, those of its training."""
    model = untrained(microscope=replace(MICROSCOPE, na=1.2))
    result = run(source, NetworkMethod(model), outputs=Outputs(trust=True))
    assert numbers_of(result)["optics"] == MICROSCOPE.describe()
    with tifffile.TiffFile(result.folder / "cell_sr.tif") as tiff:
        assert json.loads(tiff.imagej_metadata["Info"])["optics"] == model.microscope.describe()


@pytest.fixture
def judged(run, source, tmp_path):
    """A function that judges a changed copy of the Wiener image."""

    def judge(image):
        path = tmp_path / "elsewhere.tif"
        write_sr_tiff(path, image, pixel_size_nm=PIXEL_NM / 2, provenance={})
        return run(source, GivenImage(path), outputs=Outputs(trust=True))

    return judge


def test_an_image_made_elsewhere_is_judged_and_not_written(judged, wiener):
    result = judged(0.3 * image_of(wiener) + 7.0)
    assert listed(result.folder) == sorted(["cell_sr_illumination.json", *(f"cell_sr_{end}" for end in TRUST)])
    assert result.written == [result.folder / "cell_sr_trust.tif"]
    assert_chi_square_alone(result.warned)
    other, own = numbers_of(result), numbers_of(wiener)
    assert other["reduced_chi_square"] == pytest.approx(own["reduced_chi_square"], abs=2e-3)
    assert other["image"] == "elsewhere.tif"


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_not_in_the_raw_frames_is_seen(judged, wiener, sign):
    image = image_of(wiener)
    y, x = np.mgrid[: 2 * SIZE, : 2 * SIZE]
    spot = np.exp(-((y - 70) ** 2 + (x - 52) ** 2) / (2 * 1.7**2))
    result = judged((image + sign * 0.7 * np.percentile(image, 99.5) * spot).astype(np.float32))
    evidence = -sign * tifffile.imread(result.folder / "cell_sr_trust.tif")[1]
    assert np.unravel_index(evidence.argmax(), evidence.shape) == (pytest.approx(70, abs=2), pytest.approx(52, abs=2))
    numbers = numbers_of(result)
    assert evidence.max() > numbers["times"][0]["threshold"]
    assert numbers["suspect_area"] > 0


def test_images_of_programs_that_pad_the_spectrum_are_moved(judged, wiener):
    result = judged(np.asarray(to_padded_spectrum(jnp.asarray(image_of(wiener)), scale=2)))
    assert_chi_square_alone(result.warned[1:])
    assert "moved by half a pixel" in result.warned[0]
    assert numbers_of(result)["reduced_chi_square"] == pytest.approx(numbers_of(wiener)["reduced_chi_square"], abs=0.02)


def test_a_blurred_image_is_not_contradicted_but_confirms_less_detail(judged, wiener):
    image, own = image_of(wiener), numbers_of(wiener)["confirmed_period_nm"]
    blurred = np.mean([np.roll(image, (y, x), (0, 1)) for y in (-2, 0, 2) for x in (-2, 0, 2)], axis=0)
    assert 90 < own < 150
    assert numbers_of(judged(blurred))["confirmed_period_nm"] > 1.15 * own


def test_images_that_cannot_be_judged(run, source, tmp_path):
    small, flat = tmp_path / "small.tif", tmp_path / "flat.tif"
    noise = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32)
    write_sr_tiff(small, noise, pixel_size_nm=None, provenance={})
    write_sr_tiff(flat, np.ones((2 * SIZE, 2 * SIZE), np.float32), pixel_size_nm=None, provenance={})
    for path, message in (
        (small, r"1 x 64 x 64 \(time, y, x\), but a super-resolved image of .* must be 1 x 128 x 128"),
        (flat, "one value everywhere"),
        (tmp_path / "none.tif", "does not exist"),
    ):
        with pytest.raises(InputError, match=message):
            run(source, GivenImage(path), outputs=Outputs(trust=True))


def test_frames_without_stripes_are_warned_of_in_the_illumination_too(run, tmp_path):
    noise = np.random.default_rng(0).poisson(scene().photons.mean(-1), (9, SIZE, SIZE)) + 100
    result = run(write_frames(tmp_path / "cell.tif", noise), ClassicalMethod("wiener"))
    stored = json.loads((result.folder / "cell_sr_illumination.json").read_text())
    assert any("no stripes found for certain" in warning for warning in stored["warnings"])
    assert [warning.split(": ", 1)[1] for warning in result.warned] == stored["warnings"]


def test_hot_and_dead_pixels_are_not_taken_for_contradictions(run, tmp_path, wiener):
    broken = counts()
    broken[:, 30, 41], broken[:, 12, 50] = 20000, 0
    source = write_frames(tmp_path / "cell.tif", broken)
    result = run(source, ClassicalMethod("wiener"), outputs=Outputs(trust=True))
    assert [warning for warning in result.warned if "2 hot or dead pixels are replaced" in warning]
    assert affine_psnr(image_of(result), image_of(wiener)) > 30.0
    assert numbers_of(result)["suspect_area"] < 0.01


def test_a_known_illumination_of_other_frames_leaves_nothing_behind(run, tmp_path, wiener):
    cropped, out = write_frames(tmp_path / "cell.tif", counts()[:, 5:, 3:]), tmp_path / "out"
    reading = Reading(known=KnownIllumination(wiener.folder / "cell_sr_illumination.json"))
    with pytest.raises(InputError, match="give `refit_phases`"):
        reconstructed(cropped, NetworkMethod(untrained()), out, reading=reading, outputs=Outputs(trust=True))
    assert not out.exists() or not list(out.iterdir())


def test_frames_too_small_to_be_judged(run, tmp_path):
    small = write_frames(tmp_path / "cell.tif", counts()[:, :40, :40])
    with pytest.raises(InputError, match="40 x 40 pixels; trust maps leave out 12 at each edge and need at least 48"):
        run(small, ClassicalMethod("wiener"), outputs=Outputs(trust=True))


def test_diagnostics_of_another_scale(source, tmp_path):
    microscope, outputs = replace(MICROSCOPE, scale=3), Outputs(diagnostics=True)
    with pytest.raises(InputError, match=r"`microscope\.scale` is 3"):
        reconstruct_files([source], ClassicalMethod("wiener"), tmp_path, microscope=microscope, outputs=outputs)


def test_the_expected_error_is_written_beside_the_image_and_told(run, source):
    model = untrained("guided", microscope=MICROSCOPE)
    result = run(source, NetworkMethod(model), outputs=Outputs(error=True, trust=True))
    assert {"cell_sr.tif", "cell_sr_error.tif", "cell_sr_trust.json"} < set(listed(result.folder))
    with tifffile.TiffFile(result.folder / "cell_sr_error.tif") as tiff:
        error, about = tiff.asarray(), json.loads(tiff.imagej_metadata["Info"])
    with tifffile.TiffFile(result.folder / "cell_sr.tif") as tiff:
        image, of_image = tiff.asarray(), json.loads(tiff.imagej_metadata["Info"])
    assert about == {"quantity": "expected absolute error of each pixel, in the unit of the image", **of_image}
    assert error.shape == image.shape
    expected = NetworkMethod(model)(Acquisition.of_frames(np.moveaxis(counts(), 0, -1), MICROSCOPE), 0)
    np.testing.assert_allclose(error, expected.error, rtol=1e-3)
    numbers = numbers_of(result)
    assert numbers["expected_error_median"] == pytest.approx(np.median(error), rel=1e-4)
    assert numbers["expected_error_of_light"] == pytest.approx(error.mean() / image.mean(), rel=1e-3)
    assert f"expected error {100 * numbers['expected_error_of_light']:.2g} % of the light" in numbers["verdict"]
    assert f"{result.folder / 'cell_sr_error.tif'}: expected absolute error" in result.lines[1]
    without = run(source, NetworkMethod(model), outputs=Outputs(trust=True))
    assert "cell_sr_error.tif" not in listed(without.folder)
    assert numbers_of(without)["expected_error_median"] == numbers["expected_error_median"]
    picture, alone = (imread(r.folder / "cell_sr_trust.png") for r in (result, run_wiener(run, source)))
    assert picture.shape[1] > 1.2 * alone.shape[1]  # a panel more


def run_wiener(run, source):
    """The Wiener image with its trust maps."""
    return run(source, ClassicalMethod("wiener"), outputs=Outputs(trust=True))


@pytest.mark.parametrize("method", [ClassicalMethod("wiener"), NetworkMethod(untrained())], ids=["wiener", "unet"])
def test_an_error_that_nobody_knows(run, source, method):
    with pytest.raises(InputError, match="does not know the expected error of its pixels; only a guided network"):
        run(source, method, outputs=Outputs(error=True))


def test_additions_are_confirmed_where_the_guide_lacked_half_of_them():
    of_guide = np.array([[0.0, 0.4, 3.0, 0.0, -4.0]], np.float32)
    of_image = np.array([[-3.0, -1.0, -0.5, 3.0, -4.0]], np.float32)
    # Invented; too little to say; wanted by the frames; taken away; as wrong as the guide was.
    np.testing.assert_array_equal(unconfirmed(of_image, of_guide), [[3.0, 0.0, 0.0, 0.0, 0.0]])


def test_more_than_the_guide_is_more_by_a_tenth_of_the_light():
    guide = np.array([[10.0, 10.0, 0.0, 0.0, -5.0]], np.float32)  # of mean 3
    image = guide + np.array([[0.9, 1.1, 0.2, 0.4, -1.0]], np.float32)
    np.testing.assert_array_equal(clearly_more(image, guide), [[False, True, False, True, False]])


@dataclass(frozen=True)
class Inventive(TrainedModel):
    """Gives its first guide and a spot of light in the middle of the field."""

    height: float = 0.0

    def __call__(self, guides):
        image = np.array(pixel_shuffle(jnp.asarray(guides[..., :4]), 2))
        y, x = np.indices(image.shape[1:3]) - (image.shape[1] // 2)
        image += self.height * np.exp(-(y**2 + x**2) / 18.0)[None, ..., None]
        return Prediction(image.astype(np.float32), log_error=np.full_like(image, -4.0))


def test_what_a_network_adds_and_the_frames_do_not_confirm(run, source):
    def told(height):
        model = Inventive(FIELDS["guided"], {}, MICROSCOPE, "joint", 32, ORIGIN, {}, height)
        with pytest.MonkeyPatch.context() as patch:
            pages = []
            patch.setattr(trust, "save_trust", lambda path, page, **_: pages.append(page))
            result = run(source, NetworkMethod(model), outputs=Outputs(trust=True))
        return numbers_of(result), pages[0].additions

    numbers, additions = told(0.0)
    assert numbers["unconfirmed_additions"] == 0.0 == additions.max()
    assert "added that the frames do not confirm in 0.00 %" in numbers["verdict"]
    numbers, additions = told(3.0)
    assert numbers["unconfirmed_additions"] == pytest.approx((additions > 0).sum() / (80 * 80), rel=0.02)
    y, x = np.nonzero(additions)
    assert len(y) > 20
    assert np.hypot(y - SIZE, x - SIZE).max() < 12.0
    assert f"in {100 * numbers['unconfirmed_additions']:.2f} %" in numbers["verdict"]

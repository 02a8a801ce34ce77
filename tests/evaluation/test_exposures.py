"""Methods on exposures of one field: ring correlation with the brightest, and what its frames contradict."""

import csv
import json
from dataclasses import replace

import jax
import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from oidn_jax.acquisition import Acquisition
from oidn_jax.commands.evaluate import main
from oidn_jax.data import write_raw_tiff
from oidn_jax.errors import InputError
from oidn_jax.evaluation.exposures import BANDS, band_means, compare_exposures, keep_stripes
from oidn_jax.methods import ClassicalMethod
from oidn_jax.optics.microscope import Microscope
from oidn_jax.simulation.acquisitions import simulate_acquisition
from oidn_jax.simulation.settings import Simulation, specimen_settings

SIZE = 96
MICROSCOPE = Microscope()


@pytest.fixture(scope="module")
def exposures():
    """One cell at 20, 200 and 2000 photons, (h, w, frames); the illumination is the same."""
    settings = replace(
        specimen_settings("microtubules"), mean_photons=(20.0, 200.0, 2000.0), fluorescence={"all": (1, 2, 3)}
    )
    simulation = Simulation(settings, MICROSCOPE)
    key = jax.random.key(1)
    simulate = jax.jit(lambda level: simulate_acquisition(key, level, simulation=simulation, size=(SIZE, SIZE)))
    return {name: np.asarray(simulate(i).raw_frames) for i, name in enumerate(("weak", "medium", "bright"))}


def acquisition(frames):
    return Acquisition.of_frames(frames, MICROSCOPE)


def test_more_light_knows_more_and_sim_more_than_widefield(exposures):
    series = {name: acquisition(exposures[name]) for name in ("weak", "medium")}
    methods = {name: ClassicalMethod(name) for name in ("widefield", "wiener")}
    scores, images = compare_exposures(series, acquisition(exposures["bright"]), methods)
    by_place = {(score.exposure, score.method): score for score in scores}
    assert list(by_place) == [(exposure, method) for exposure in series for method in methods] == list(images)
    weak, medium = (by_place[name, "wiener"] for name in series)
    assert medium.mean_correlation > weak.mean_correlation + 0.1
    assert medium.mean_correlation > by_place["medium", "widefield"].mean_correlation + 0.3
    # Beyond the cutoff only SIM knows anything.
    assert medium.correlation[2] > 0.5
    assert abs(by_place["medium", "widefield"].correlation[2]) < 0.2
    assert medium.chi_square < by_place["medium", "widefield"].chi_square
    assert medium.electrons / weak.electrons == pytest.approx(10.0, rel=0.2)


def test_ring_correlation_is_blind_to_filters_and_bands_are_apart():
    random = np.random.default_rng(0)
    image = random.normal(size=(128, 128))
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))

    def filtered(values, transfer):
        return np.fft.ifft2(np.fft.fft2(values) * transfer).real

    blurred = filtered(image, np.exp(-8.0 * radius**2))
    assert min(band_means(blurred, image, cutoff=0.3)) > 0.98
    # Up to the cutoff the same, beyond it another image.
    other = filtered(image, radius < 0.3) + filtered(random.normal(size=(128, 128)), radius >= 0.3)
    inside, near, beyond, far = band_means(other, image, cutoff=0.3)
    assert min(inside, near) > 0.9
    assert max(abs(beyond), abs(far)) < 0.15


def test_the_stripes_of_the_reference_hold_for_all(exposures, tmp_path):
    reference = acquisition(exposures["bright"])
    known = keep_stripes(reference, tmp_path)
    weak = Acquisition.of_frames(exposures["weak"], MICROSCOPE, known=known)
    vectors = [each.estimate.illumination.wave_vector for each in (weak, reference)]
    np.testing.assert_allclose(*vectors, atol=1e-6)
    assert np.abs(weak.estimate.illumination.phase - reference.estimate.illumination.phase).max() > 1e-3
    noise = np.random.default_rng(0).poisson(50.0, exposures["bright"].shape).astype(np.float32)
    dark = acquisition(noise)
    assert keep_stripes(dark, tmp_path) is None
    assert "its stripes are not certain" in dark.warnings[-1]


def test_exposures_of_another_size_are_refused(exposures):
    with pytest.raises(InputError, match="cut has frames of 96 x 80 pixels and the reference of 96 x 96"):
        compare_exposures({"cut": acquisition(exposures["weak"][:, :80])}, acquisition(exposures["bright"]), {})


@pytest.fixture
def files(exposures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, frames in exposures.items():
        counts = np.moveaxis(frames, -1, 0).clip(0, 65535).astype(np.uint16)
        write_raw_tiff(tmp_path / f"{name}.tif", counts, pixel_size_nm=62.6)
    weak = np.moveaxis(exposures["weak"], -1, 0).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "lapse.tif", np.stack([weak, weak])[:, :, None], imagej=True, metadata={"axes": "TZCYX"}
    )
    write_raw_tiff(tmp_path / "flat.tif", np.full_like(weak, 100), pixel_size_nm=62.6)
    return ["--exposures", "weak.tif", "medium.tif", "--reference=bright.tif"]


def test_the_command_writes_a_folder(files, tmp_path, capsys):
    main([*files, "--methods=widefield,wiener", "--out=out", "--na=1.49", "--emission-nm=525"])
    told = capsys.readouterr().out
    assert "Wiener SIM" in told
    content = json.loads((tmp_path / "out" / "exposures.json").read_text())
    assert content["reference"] == "bright.tif"
    assert [(s["exposure"], s["method"]) for s in content["scores"]] == [
        (exposure, method) for exposure in ("weak.tif", "medium.tif") for method in ("widefield", "wiener")
    ]
    assert "--exposures" in content["provenance"]["command"]
    assert content["provenance"]["configuration"]["wave_vectors"].startswith("the reference's")
    rows = list(csv.DictReader((tmp_path / "out" / "exposures.csv").read_text().splitlines()))
    assert [float(row["mean_correlation"]) for row in rows] == pytest.approx(
        [score["mean_correlation"] for score in content["scores"]]
    )
    assert len([name for name in rows[0] if name.startswith("correlation_")]) == len(BANDS)
    assert "**" in (tmp_path / "out" / "exposures.md").read_text()
    for name in ("exposures_curves", "exposures_images"):
        assert (tmp_path / "out" / f"{name}.pdf").stat().st_size > 1000
        with Picture.open(tmp_path / "out" / f"{name}.png") as picture:
            assert min(picture.size) > 300


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--exposures", "weak.tif", "--out=out"], "--exposures need --reference"),
        (["--reference=bright.tif", "--config=f_actin", "--out=out"], "--reference is for --exposures"),
        (["--config=f_actin", "--orientations=5", "--out=out"], "--orientations is for --exposures"),
        (["--config=f_actin", "--frame-order=apz", "--out=out"], "--frame-order is for --exposures"),
        (["--config=f_actin", "--own-stripes", "--out=out"], "--own-stripes is for --exposures"),
        (["--out=out"], "give --config=NAME for scenes"),
        (
            ["--exposures", "lapse.tif", "--reference=weak.tif", "--out=out"],
            "2 time points or slices; an exposure is one",
        ),
        (["--exposures", "weak.tif", "--reference=flat.tif", "--out=out"], "9 frames of one value everywhere"),
        (["--exposures", "weak.tif", "--reference=weak.tif", "--out=out"], "a name of its own"),
        (["--exposures", "no.tif", "--reference=weak.tif", "--out=out"], "no.tif"),
        (
            ["--exposures", "weak.tif", "--reference=bright.tif", "--specimens=er", "--out=out"],
            "--specimens is of scenes",
        ),
        (["--exposures", "weak.tif", "--reference=bright.tif", "--methods=sim", "--out=out"], "--methods is 'sim'"),
        (["--exposures", "weak.tif", "--reference=bright.tif", "--checkpoint=last", "--out=out"], "no training run"),
    ],
)
def test_mistakes_are_one_line(files, tmp_path, capsys, words, message):
    with pytest.raises(SystemExit) as end:
        main(words)
    _, err = capsys.readouterr()
    assert (end.value.code, err.count("\n")) == (2, 1), err
    assert message in err
    assert not (tmp_path / "out").exists()


def test_results_are_not_replaced_unasked(files, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "exposures.csv").write_text("mine")
    with pytest.raises(SystemExit):
        main([*files, "--methods=widefield", "--out=out"])
    assert "exposures.csv" in capsys.readouterr().err
    assert (tmp_path / "out" / "exposures.csv").read_text() == "mine"


def test_frames_in_the_wrong_order_are_refused(files, exposures, tmp_path, capsys):
    exchanged = np.moveaxis(exposures["medium"], -1, 0).reshape(3, 3, SIZE, SIZE).swapaxes(0, 1).reshape(9, SIZE, SIZE)
    write_raw_tiff(tmp_path / "exchanged.tif", exchanged.astype(np.uint16), pixel_size_nm=62.6)
    with pytest.raises(SystemExit) as end:
        main(["--exposures", "exchanged.tif", "--reference=bright.tif", "--methods=widefield", "--out=out"])
    err = capsys.readouterr().err
    assert end.value.code == 2
    assert "error: " in err
    assert "--frame-order" in err.splitlines()[-1]

"""Laws of the simulated acquisitions."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.classical.guides import foreground_mean
from oidn_jax.errors import IllegalValue
from oidn_jax.optics import fourier
from oidn_jax.optics.forward import form_raw_frames
from oidn_jax.optics.microscope import MeasuredOtf, Microscope
from oidn_jax.optics.noise import Camera, expose
from oidn_jax.simulation.acquisitions import draw_illumination, simulate_acquisition
from oidn_jax.simulation.drawing import draw_bodies
from oidn_jax.simulation.pairs import simulate_pairs
from oidn_jax.simulation.settings import Simulation, SimulationSettings

CAMERA = Camera(read_noise=3.0, gain=2.0, offset=200.0)
SETTINGS = SimulationSettings(specimen="ccps", density=(2.0, 3.0), margin=8, camera=CAMERA)
MICROSCOPE = Microscope()
SIZE = (32, 40)


def compiled(*, settings=SETTINGS, microscope=MICROSCOPE, size=SIZE):
    return jax.jit(partial(simulate_acquisition, simulation=Simulation(settings, microscope), size=size))


@pytest.fixture(scope="module")
def simulate():
    return compiled()


def scatter(acquisition):
    """The noise in units of what it should be."""
    electrons = (acquisition.raw_frames - CAMERA.offset) / CAMERA.gain
    return (electrons - acquisition.photons) / jnp.sqrt(acquisition.photons + CAMERA.read_noise**2)


def test_shapes_and_units(simulate, key):
    acquisition = simulate(key, 8)
    assert acquisition.raw_frames.shape == acquisition.photons.shape == (*SIZE, 9)
    assert acquisition.target.shape == (2 * SIZE[0], 2 * SIZE[1], 1)
    assert acquisition.specimen.shape == (2 * SIZE[0], 2 * SIZE[1])
    np.testing.assert_allclose(foreground_mean(acquisition.photons.mean(-1)), 600.0, rtol=1e-4)
    np.testing.assert_array_equal(acquisition.raw_frames, jnp.round(acquisition.raw_frames))
    np.testing.assert_allclose(acquisition.raw_frames.mean(), 200.0 + 2.0 * acquisition.photons.mean(), rtol=0.01)


def test_diffuse_light_is_a_share_of_the_specimen_and_its_image_is_the_targets(key):
    """Here all of it: smooth over the pixels in which structures vary, labelled, and not taken for background."""
    ideal = dataclasses.replace(SETTINGS, labels_per_um=0.0, background=(0.0, 0.0), margin=0)
    structures, diffuse = (
        compiled(settings=dataclasses.replace(ideal, diffuse=(share, share)), size=(64, 64))(key, 8)
        for share in (0.0, 1.0)
    )
    assert float(diffuse.specimen.mean()) == pytest.approx(float(structures.specimen.mean()), rel=1e-4)
    roughness = [float(jnp.abs(jnp.diff(a.specimen)).mean() / a.specimen.mean()) for a in (diffuse, structures)]
    assert roughness[0] < 0.5 * roughness[1]
    np.testing.assert_array_equal(structures.specimen, compiled(settings=ideal, size=(64, 64))(key, 8).specimen)
    assert float(diffuse.target.mean()) == pytest.approx(float(diffuse.specimen.mean()), rel=1e-3)


def test_bodies_have_mean_one_and_edges_from_hard_to_soft(key):
    drawn = jax.jit(jax.vmap(partial(draw_bodies, shape=(96, 96), pixel_size_nm=31.3)))(jax.random.split(key, 24))
    np.testing.assert_allclose(drawn.mean((1, 2)), 1.0, rtol=1e-4)
    assert (np.asarray(drawn) >= 0).all()
    height = np.asarray(drawn) / np.asarray(drawn).max((1, 2), keepdims=True)
    between = ((height > 0.1) & (height < 0.9)).mean((1, 2))  # neither inside nor outside
    assert between.min() < 0.1
    assert between.max() > 0.6


def test_levels_share_the_scene_and_differ_in_photons_and_noise(simulate, key):
    low, high = simulate(key, 0), simulate(key, 8)
    np.testing.assert_array_equal(low.target, high.target)
    np.testing.assert_allclose(low.photons / 15.0, high.photons / 600.0, rtol=1e-4)
    near = simulate(key, 7)
    noise = [scatter(acquisition) for acquisition in (high, near)]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


def test_keys_decide(simulate, key):
    np.testing.assert_array_equal(simulate(key, 1).raw_frames, simulate(key, 1).raw_frames)
    other = simulate(jax.random.fold_in(key, 1), 1)
    assert jnp.abs(other.target - simulate(key, 1).target).max() > 0.1


def test_noise_is_that_of_photons_and_camera(simulate, key):
    """Variance = photons + read_noise^2 around the noise-free frames, in counts of the gain."""
    noise = scatter(simulate(key, 5))
    np.testing.assert_allclose([noise.mean(), noise.std()], [0.0, 1.0], atol=0.04)


def test_saturation_clips(key):
    counts = expose(key, jnp.full(SIZE, 600.0), Camera(saturation=255.0))
    assert counts.max() == 255.0


def test_the_target_holds_no_frequency_beyond_the_extended_support(key):
    """Seen on a periodic field, without the crop that would spread the spectrum."""
    settings = dataclasses.replace(SETTINGS, margin=0, illumination_na_spread=0.0, wave_vector_jitter=0.0)
    target = compiled(settings=settings, size=(64, 64))(key, 1).target[..., 0]
    spectrum = np.abs(np.fft.fft2(np.asarray(target, np.float64)))
    radius = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
    reach = (MICROSCOPE.cutoff + Simulation(settings, MICROSCOPE).illumination_frequency) / 2
    assert spectrum[radius > reach + 0.005].max() < 1e-4 * spectrum.max()
    assert spectrum[(radius > MICROSCOPE.cutoff / 2) & (radius < 0.8 * reach)].max() > 1e-3 * spectrum.max()


def test_the_classical_target_is_like_the_ideal_one(simulate, key):
    """The same place, the same detail: more alike than the ideal target and itself half a pixel away."""
    ideal = simulate(key, 4).target[..., 0]
    classical = compiled(settings=dataclasses.replace(SETTINGS, target="classical"))(key, 4).target[..., 0]
    moved = 0.5 * (ideal + jnp.roll(ideal, 1, 1))

    def likeness(a, b):
        return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]

    assert likeness(classical, ideal) > max(0.97, likeness(moved, ideal))


MEASURED = MeasuredOtf(tuple(np.linspace(1.0, 0.0, 40) ** 3), step_per_um=0.15, name="measured")


@pytest.mark.parametrize("microscope", [MICROSCOPE, Microscope(measured_otf=MEASURED)], ids=["theory", "measured OTF"])
def test_frames_hold_the_illumination_they_are_said_to_hold(microscope, key):
    """The truth given with a noise-free acquisition reproduces its frames: vectors, phases, their origin, the OTF."""
    quiet = dataclasses.replace(SETTINGS, background=(0.0, 0.0), bleaching_per_frame=(0.0, 0.02), margin=0)
    acquisition = compiled(settings=quiet, microscope=microscope, size=(32, 32))(key, 8)
    otf = jnp.asarray(microscope.fine_otf(32, 32), jnp.float32)
    frames = form_raw_frames(acquisition.specimen, acquisition.illumination, otf, scale=2)
    photons = jnp.moveaxis(acquisition.photons, -1, 0)
    np.testing.assert_allclose(
        frames / frames.mean(), photons / photons.mean(), atol=2e-3 * float(frames.max() / frames.mean())
    )


def test_drift_moves_specimen_and_target_by_whole_pixels(simulate, key):
    still, moved = simulate(key, 4), simulate(key, 4, drift=jnp.array([2, -3]))
    for name in ("specimen", "target"):
        a, b = (np.asarray(getattr(x, name)).reshape(2 * SIZE[0], 2 * SIZE[1]) for x in (still, moved))
        np.testing.assert_allclose(b[8:-8, 8:-8], np.roll(a, (2, -3), (0, 1))[8:-8, 8:-8], atol=1e-4)


def test_illumination_varies_as_the_settings_say():
    """Over many acquisitions: the published directions, spreads and ranges."""
    keys = jax.random.split(jax.random.key(3), 2000)
    settings, simulation = SimulationSettings(), Simulation(SimulationSettings(), MICROSCOPE)
    drawn = jax.jit(jax.vmap(lambda k: draw_illumination(k, simulation)))(keys)
    length = np.linalg.norm(drawn.wave_vector, axis=-1)
    relative = length / simulation.illumination_frequency
    np.testing.assert_allclose(relative.mean(), 1.0, rtol=1e-3)
    assert 0.985 < relative.min() < relative.max() < 1.02
    angle = np.rad2deg(np.arctan2(drawn.wave_vector[..., 0], drawn.wave_vector[..., 1]))
    sets = np.array(settings.orientation_sets_deg)
    apart = np.abs((angle[:, None] - sets[None] + 180) % 360 - 180).max(-1)  # (acquisitions, sets)
    assert np.all(apart.min(1) < 4.0)
    assert len(np.unique(apart.argmin(1))) == 3
    depth = np.asarray(drawn.modulation_depth)
    assert 0.5 <= depth.min() < 0.52 < 0.93 < depth.max() <= 0.95
    steps = np.rad2deg(np.diff(np.asarray(drawn.phase), axis=-1))
    np.testing.assert_allclose([steps.mean(), steps.std()], [120.0, 3.0 * 2**0.5], rtol=0.05)
    brightness = np.asarray(drawn.brightness)
    np.testing.assert_allclose(np.log(brightness.mean(-1)).std(), 0.05, rtol=0.2)
    fall = brightness[:, 2, 2] / brightness[:, 0, 0]
    assert 0.97 < np.median(fall) < 0.99


def test_evanescent_light_hardly_reaches_what_is_out_of_focus():
    tirf, grazing = (Simulation(SimulationSettings(illumination_na=na), MICROSCOPE) for na in (1.41, 1.35))
    np.testing.assert_allclose(tirf.background_excitation, np.exp(-300.0 / 134.2), rtol=1e-3)
    assert grazing.background_excitation == 1.0


def test_more_background_is_more_light_between_the_structures(key):
    """The darkest tenth of the frame against its mean."""

    def dark_share(strength):
        settings = dataclasses.replace(SETTINGS, background=(strength, strength), illumination_na=1.35)
        photons = np.asarray(compiled(settings=settings)(key, 8).photons)
        return np.percentile(photons, 10) / photons.mean()

    assert dark_share(1.0) > dark_share(0.0) + 0.1


def test_pixel_integration_lowers_high_frequencies(key):
    power = []
    for integrate in (False, True):
        settings, microscope = dataclasses.replace(SETTINGS, margin=0), Microscope(integrate_pixel=integrate)
        photons = compiled(settings=settings, microscope=microscope, size=(32, 32))(key, 8).photons.mean(-1)
        spectrum = np.abs(np.asarray(fourier.fft2(photons - photons.mean())))
        radius = fourier.frequency_radius(32, 32)
        power.append(spectrum[(radius > 0.25) & (radius < 0.35)].sum() / spectrum[radius < 0.1].sum())
    assert 0.6 < power[1] / power[0] < 0.95


def test_pairs_are_normalised_and_do_not_depend_on_the_batch_size(simulate, key):
    """Sample i is the acquisition of the key folded with i, whatever the batch."""
    simulation = Simulation(SETTINGS, MICROSCOPE)
    pairs = jax.jit(partial(simulate_pairs, simulation=simulation, size=SIZE, normalisation="joint"))
    two, alone = pairs(key, jnp.array([0, 2])), simulate(jax.random.fold_in(key, 1), 2)
    for name, image in (("inputs", alone.raw_frames), ("target", alone.target)):
        np.testing.assert_allclose(two[name][1], (image - image.min()) / (image.max() - image.min()), atol=2e-3)
        np.testing.assert_allclose(two[name].min((1, 2, 3)), 0.0, atol=1e-6)
        np.testing.assert_allclose(two[name].max((1, 2, 3)), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"specimen": "liver"}, "specimen"),
        ({"target": "best"}, "target"),
        ({"modulation_depth": (0.5, 1.5)}, "modulation_depth"),
        ({"first_harmonic": (0.0, 0.4)}, "first_harmonic"),
        ({"first_harmonic": (0.2, 0.9)}, "first_harmonic"),
        ({"first_harmonic": (0.2, 0.3), "modulation_depth": (0.5, 1.0)}, "first_harmonic"),
        ({"background": (0.4, 0.3)}, "background"),
        ({"density": (0.0, 0.0)}, "density"),
        ({"mean_photons": (15.0, 0.0)}, "mean_photons"),
        ({"fluorescence": {"low": (1, 10)}}, "fluorescence.low"),
        ({"fluorescence": {}}, "fluorescence"),
        ({"margin": -1}, "margin"),
        ({"illumination_na": 0.0}, "illumination_na"),
        ({"illumination_na_spread": 1.0}, "illumination_na_spread"),
    ],
)
def test_illegal_settings_are_refused(change, field):
    with pytest.raises(IllegalValue) as refusal:
        dataclasses.replace(SETTINGS, **change)
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("change", "microscope", "field"),
    [
        ({"orientation_sets_deg": ((0.0, 60.0),)}, MICROSCOPE, "simulation.orientation_sets_deg"),
        ({"orientation_sets_deg": ()}, MICROSCOPE, "simulation.orientation_sets_deg"),
        ({"target": "classical"}, Microscope(phases=2), "simulation.target"),
        ({"first_harmonic": (0.2, 0.3)}, MICROSCOPE, "simulation.first_harmonic"),
        ({"first_harmonic": (0.2, 0.3)}, Microscope(phases=6), "simulation.first_harmonic"),
        ({"target": "classical", "modulation_depth": (0.0, 0.0)}, MICROSCOPE, "simulation.target"),
        ({}, Microscope(pixel_size_nm=100.0), "microscope.scale"),
    ],
)
def test_settings_that_do_not_fit_the_microscope_are_refused(change, microscope, field):
    with pytest.raises(IllegalValue) as refusal:
        Simulation(dataclasses.replace(SETTINGS, **change), microscope)
    assert refusal.value.field == field


def test_another_specimen_brings_its_defaults_and_keeps_what_was_changed():
    changed = SimulationSettings(specimen="ccps", density=(0.6, 2.0), margin=7, camera=Camera(gain=2.0))
    er = changed.for_specimen("er")
    assert (er.specimen, er.margin, er.camera.gain) == ("er", 7, 2.0)
    assert (er.density, er.illumination_na, len(er.mean_photons)) == ((1.5, 3.5), 1.35, 6)
    assert er.for_specimen("ccps") == changed
    with pytest.raises(IllegalValue):
        changed.for_specimen("liver")


THREE_BEAMS = dataclasses.replace(
    SETTINGS, first_harmonic=(0.2, 0.4), modulation_depth=(0.5, 0.9), dichroism=(0.1, 0.2)
)


def test_three_beams_are_of_one_grating(key):
    """p, 2 p; x, 2 x; depths as drawn; the frames are those of the forward model."""
    microscope = Microscope(phases=5)
    drawn = jax.jit(partial(draw_illumination, simulation=Simulation(THREE_BEAMS, microscope)))(key)
    assert (drawn.orientations, drawn.harmonics, drawn.phase.shape) == (3, 2, (6, 5))
    np.testing.assert_allclose(drawn.wave_vector[1::2], 2 * drawn.wave_vector[::2], rtol=1e-6)
    np.testing.assert_allclose(drawn.phase[1::2], 2 * drawn.phase[::2], rtol=1e-6)
    first, second = drawn.modulation_depth[::2], drawn.modulation_depth[1::2]
    assert np.all((first >= 0.2) & (first <= 0.4))
    assert np.all((second >= 0.5) & (second <= 0.9))
    two = jax.jit(partial(draw_illumination, simulation=Simulation(SETTINGS, microscope)))(key)
    np.testing.assert_array_equal(drawn.finest, two.wave_vector)

    settings = dataclasses.replace(THREE_BEAMS, dichroism=(0.0, 0.0), background=(0.0, 0.0), margin=0)
    acquisition = compiled(settings=settings, microscope=microscope)(key, 8)
    transfer = jnp.asarray(microscope.fine_otf(*SIZE), jnp.float32)
    frames = jax.jit(partial(form_raw_frames, scale=2))(acquisition.specimen, acquisition.illumination, transfer)
    expected = acquisition.photons_per_unit * jnp.maximum(jnp.moveaxis(frames, 0, -1), 0.0)
    np.testing.assert_allclose(acquisition.photons, expected, atol=1e-3 * float(expected.max()))


@pytest.mark.parametrize("target", ["ideal", "classical"])
def test_training_pairs_of_three_beams(key, target):
    settings = dataclasses.replace(THREE_BEAMS, target=target)
    simulation = Simulation(settings, Microscope(phases=5))
    pairs = jax.jit(partial(simulate_pairs, simulation=simulation, size=SIZE, normalisation="joint"))
    batch = pairs(key, jnp.array([8, 8]))
    assert batch["inputs"].shape == (2, *SIZE, 15)
    assert np.isfinite(batch["target"]).all()


def test_the_pixels_of_the_camera_differ_as_asked(key):
    uneven = {"gain_variation": 0.1, "offset_variation": 20.0, "noisy_pixels": 0.1, "noisy_pixel_variance": 40.0}
    size = (96, 80)
    acquisition = compiled(settings=dataclasses.replace(SETTINGS, **uneven), size=size)(key, 8)
    camera, even = acquisition.camera, compiled(size=size)(key, 8).camera
    np.testing.assert_array_equal(even.gain, CAMERA.gain)
    np.testing.assert_array_equal(even.offset, CAMERA.offset)
    np.testing.assert_allclose(even.variance, CAMERA.noise.dark_variance, rtol=1e-6)
    np.testing.assert_allclose(np.std(camera.gain) / CAMERA.gain, 0.1, rtol=0.05)
    np.testing.assert_allclose(np.std(camera.offset), 20.0, rtol=0.05)
    noisy = np.asarray(camera.read_noise) > 1.5 * CAMERA.read_noise
    np.testing.assert_allclose(noisy.mean(), 0.1, rtol=0.15)
    np.testing.assert_allclose(camera.read_noise[noisy], CAMERA.read_noise * np.sqrt(40.0), rtol=1e-5)
    frames = camera.for_frames(-1)
    noise = acquisition.raw_frames - frames.offset - frames.gain * acquisition.photons
    expected = frames.gain**2 * acquisition.photons + camera.variance[..., None]
    np.testing.assert_allclose(np.mean(noise**2 / expected), 1.0, atol=0.02)
    np.testing.assert_allclose(np.mean((noise**2 / expected)[noisy]), 1.0, atol=0.05)


@pytest.mark.parametrize(("name", "value"), [("noisy_pixels", 1.5), ("gain_variation", -0.1)])
def test_pixels_that_no_camera_has(name, value):
    with pytest.raises(IllegalValue, match=name):
        dataclasses.replace(SETTINGS, **{name: value})

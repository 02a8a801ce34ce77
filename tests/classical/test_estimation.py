"""Illumination from raw frames: how exactly it is found, and that nothing is found where there is nothing."""

import os
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.classical.assessment import assess
from oidn_jax.classical.bands import fine_frequencies
from oidn_jax.classical.chance import SURE, alignment, false_alarm
from oidn_jax.classical.estimation import estimate_illumination, measure_patterns
from oidn_jax.classical.peaks import CONFIDENT
from oidn_jax.data.raw_stack import open_raw_stack
from oidn_jax.optics import forward
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.transfer import TransferFunction

GOLDEN = Path(__file__).parents[1] / "data" / "sim_acquisition_crop.npz"
OTF = TransferFunction.theoretical(na=1.3, emission_wavelength_nm=525.0, pixel_size_nm=62.6)
SIZE = 128
JITTER_DEG = np.array([[8.0, -6.0, 3.0], [-9.0, 5.0, 0.0], [4.0, 7.0, -10.0]])
BRIGHTNESS = np.array([[0.9, 1.0, 1.1], [1.05, 0.95, 1.0], [1.1, 0.85, 1.05]])
SEEDS = range(3)


@cache
def stored():
    with np.load(GOLDEN) as archive:
        return dict(archive)


def truth(**changes):
    data = stored()
    even = Illumination(
        jnp.asarray(data["wave_vector"], jnp.float32),
        jnp.asarray(data["phase"], jnp.float32),
        jnp.full(3, 0.8),
        jnp.ones((3, 3)),
    )
    return even._replace(**{name: jnp.asarray(value, jnp.float32) for name, value in changes.items()})


@partial(jax.jit, static_argnames="size")
def form_frames(specimen, given, *, size):
    fine_otf = OTF(*fine_frequencies(size, scale=2))
    fine_otf = fine_otf * forward.pixel_transfer(*specimen.shape, scale=2, integrate=False)
    return forward.form_raw_frames(specimen, given, fine_otf, scale=2)


def acquire(given, *, peak=300.0, seed=0, size=(SIZE, SIZE)):
    """Frames of filaments, their brightest mean `peak` photons, with the noise of photons and camera."""
    light = np.maximum(form_frames(jnp.asarray(stored()["gt"][: 2 * size[0]]), given, size=size), 0.0)
    generator = np.random.default_rng(seed)
    counts = generator.poisson(light * peak / np.percentile(light.mean(0), 99.9))
    return (counts + generator.normal(0.0, 1.6, light.shape)).astype(np.float32)


measure_phases = jax.jit(estimate_illumination)


def wrapped_deg(angle):
    return np.rad2deg(np.angle(np.exp(1j * np.asarray(angle))))


def vector_error(estimate, given):
    """In frequency pixels."""
    return SIZE * np.hypot(*np.asarray(estimate.illumination.wave_vector - given.wave_vector).T)


ACQUISITIONS = {
    "stored": (truth, lambda given: stored()["raw_mid"] - np.float32(stored()["offset"])),
    "bright": (truth, partial(acquire, peak=2000.0)),
    "dim": (truth, partial(acquire, peak=50.0)),
    "jitter": (lambda: truth(phase=stored()["phase"] + np.deg2rad(JITTER_DEG)), partial(acquire, peak=2000.0)),
    "weak": (lambda: truth(modulation_depth=[0.8, 0.8, 0.05]), acquire),
    "flicker": (lambda: truth(brightness=BRIGHTNESS), acquire),
    **{f"flat {n}": (lambda: truth(modulation_depth=np.zeros(3)), partial(acquire, seed=n)) for n in SEEDS},
    **{
        f"noise {n}": (truth, lambda given, n=n: 50.0 + np.random.default_rng(n).normal(size=(9, SIZE, SIZE)))
        for n in SEEDS
    },
}


@pytest.fixture(scope="module")
def acquisitions():
    """Truth and frames of each acquisition."""
    drawn = {name: (given(), frames) for name, (given, frames) in ACQUISITIONS.items()}
    return {name: (given, jnp.asarray(frames(given), jnp.float32)) for name, (given, frames) in drawn.items()}


@pytest.fixture(scope="module")
def estimates(acquisitions):
    """All acquisitions estimated at once, as a time lapse is."""
    frames = jnp.stack([frames for _, frames in acquisitions.values()])
    together = jax.jit(jax.vmap(estimate_illumination, in_axes=(0, None)))(frames, OTF)
    return {name: jax.tree.map(lambda part, i=i: part[i], together) for i, name in enumerate(acquisitions)}


@pytest.mark.parametrize("name", ["stored", "bright"])
def test_vectors_phases_and_depths_are_found(name, acquisitions, estimates):
    given, estimated = acquisitions[name][0], estimates[name]
    assert vector_error(estimated, given).max() < 0.05
    assert np.abs(wrapped_deg(estimated.illumination.phase - given.phase)).max() < 2.5
    np.testing.assert_allclose(estimated.illumination.modulation_depth, given.modulation_depth, atol=0.06)
    assert estimated.confidence.min() > 3 * CONFIDENT
    assert not estimated.joint
    assert np.all((estimated.coherence > 0.1) & (estimated.coherence < 1.0))
    assert np.all(estimated.overlap > 1000)


def test_dim_frames_are_enough(acquisitions, estimates):
    given, estimated = acquisitions["dim"][0], estimates["dim"]
    assert vector_error(estimated, given).max() < 0.15
    assert np.abs(wrapped_deg(estimated.illumination.phase - given.phase)).max() < 6.0
    assert estimated.confidence.min() > CONFIDENT


def test_noise_does_not_dilute_the_modulation_depth(estimates):
    for name, diluted in (("dim", 0.72), ("bright", 0.82)):
        assert abs(estimates[name].illumination.modulation_depth.mean() - 0.8) < 0.04
        assert estimates[name].modulation_with_noise.max() < diluted


@pytest.mark.parametrize("kind", ["flat", "noise"])
def test_without_stripes_nothing_is_certain(kind, estimates):
    for seed in SEEDS:
        estimated = estimates[f"{kind} {seed}"]
        assert estimated.confidence.max() < CONFIDENT
        assert estimated.runner_up.max() < CONFIDENT
        assert estimated.false_alarm.min() > SURE
        assert estimated.joint


def test_a_weak_orientation_is_found_together_with_the_others(acquisitions, estimates):
    """Alone it would not be: something else in its correlogram is higher."""
    given, estimated = acquisitions["weak"][0], estimates["weak"]
    assert estimated.joint
    assert estimated.runner_up[2] > estimated.confidence[2]
    assert vector_error(estimated, given).max() < 0.5
    np.testing.assert_allclose(estimated.illumination.modulation_depth, given.modulation_depth, atol=0.06)
    assert np.all(estimated.false_alarm < np.array([SURE, SURE, 0.02]))


def test_jitter_of_the_phases_is_measured(acquisitions, estimates):
    given, estimated = acquisitions["jitter"][0], estimates["jitter"]
    for phase in (estimated.illumination.phase, estimated.single_phases):
        assert np.sqrt(np.mean(wrapped_deg(phase - given.phase) ** 2)) < 2.5
    np.testing.assert_allclose(estimated.illumination.modulation_depth, given.modulation_depth, atol=0.06)


@pytest.mark.parametrize("step_deg", [100.0, 120.0, 144.0])
def test_phase_steps_are_measured_to_five_degrees(step_deg):
    """Their standard deviation, of small fields too, where the object's own frequencies do not average out."""
    phase = stored()["phase"][:, :1] + np.deg2rad(step_deg) * np.arange(3)
    deviations, errors, steps = [], [], []
    for seed, depth in enumerate((0.5, 0.8, 0.5)):
        given = truth(phase=phase, modulation_depth=np.full(3, depth))
        estimated = measure_phases(jnp.asarray(acquire(given, peak=600.0, seed=seed)), OTF)
        deviation = wrapped_deg(estimated.single_phases - given.phase)
        used = wrapped_deg(estimated.illumination.phase - given.phase)
        steps.append([np.diff(each) for each in (deviation, used)])
        uneven = [warning for warning in assess(estimated) if "evenly" in warning]
        assert len(uneven) == (0 if step_deg == 120.0 else 3)
        deviations.append(deviation - deviation.mean(1, keepdims=True))
        errors.append(np.rad2deg(estimated.phase_error))
    assert np.sqrt(np.mean(np.square(steps), axis=(0, 2, 3))).max() < 5.0
    # The stated errors are of the size of the actual ones.
    assert 0.2 < np.sqrt(np.mean((np.array(deviations) / np.array(errors)) ** 2)) < 1.5


@pytest.mark.parametrize("name", ["stored", "bright", "dim"])
def test_even_phases_stay_even(name, estimates):
    estimated = estimates[name]
    step = wrapped_deg(jnp.diff(estimated.illumination.phase) - 2 * jnp.pi / 3)
    assert np.abs(step).max() < 1.0
    assert np.abs(wrapped_deg(jnp.diff(estimated.single_phases) - 2 * jnp.pi / 3)).max() > 1.5


def test_the_brightness_of_frames_is_measured(acquisitions, estimates):
    given, estimated = acquisitions["flicker"][0], estimates["flicker"]
    np.testing.assert_allclose(estimated.illumination.brightness, given.brightness, rtol=0.02)
    assert vector_error(estimated, given).max() < 0.05
    assert np.abs(wrapped_deg(estimated.illumination.phase - given.phase)).max() < 2.5


def test_known_wave_vectors_give_the_same_patterns(acquisitions, estimates):
    """Also: one acquisition alone gives what it gives among others."""
    measure, expected = jax.jit(measure_patterns), estimates["jitter"]
    estimated = measure(acquisitions["jitter"][1], expected.illumination.wave_vector, OTF)
    np.testing.assert_allclose(wrapped_deg(estimated.illumination.phase - expected.illumination.phase), 0.0, atol=0.05)
    np.testing.assert_allclose(estimated.single_phases, expected.single_phases, atol=1e-3)
    for mine, theirs in zip(estimated.illumination[2:], expected.illumination[2:], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3)
    np.testing.assert_allclose(estimated.confidence, expected.confidence, rtol=1e-4)

    elsewhere = expected.illumination.wave_vector[jnp.array([1, 2, 0])]
    assert measure(acquisitions["jitter"][1], elsewhere, OTF).confidence.max() < CONFIDENT
    nothing = measure(acquisitions["flat 0"][1], expected.illumination.wave_vector, OTF)
    assert nothing.confidence.max() < CONFIDENT
    assert nothing.modulation_with_noise.max() < 0.1


def test_five_phases_of_one_orientation_on_rectangular_frames():
    size = (96, SIZE)
    phase = 0.7 + 2 * np.pi / 5 * np.arange(5)[None]
    given = Illumination(truth().wave_vector[1:2], jnp.asarray(phase), jnp.array([0.6]), jnp.ones((1, 5)))
    frames = jnp.asarray(acquire(given, peak=1000.0, size=size))
    estimated = jax.jit(partial(estimate_illumination, orientations=1))(frames, OTF)
    assert estimated.illumination.phase.shape == estimated.single_phases.shape == (1, 5)
    error = (estimated.illumination.wave_vector - given.wave_vector) * jnp.array([size])
    assert np.abs(error).max() < 0.05
    assert np.abs(wrapped_deg(estimated.illumination.phase - given.phase)).max() < 4.0
    np.testing.assert_allclose(estimated.illumination.modulation_depth, given.modulation_depth, atol=0.06)
    assert estimated.confidence[0] > 2 * CONFIDENT


def test_a_real_acquisition_is_found_without_prior():
    folder = os.environ.get("OIDN_TEST_DATA")
    if not folder:
        pytest.skip("OIDN_TEST_DATA names no folder of real acquisitions")
    frames = open_raw_stack(Path(folder) / "rdlsim_microtubules_488nm.mrc").read(0).astype(np.float32)
    frames = frames - np.repeat(np.percentile(frames.reshape(3, -1), 1, axis=1), 3)[:, None, None]
    otf = TransferFunction.theoretical(na=1.49, emission_wavelength_nm=525.0, pixel_size_nm=62.6)
    estimated = jax.jit(estimate_illumination)(jnp.asarray(frames, jnp.float32), otf)
    expected = np.array([[88.71, 7.84], [51.08, -72.77], [-37.57, -80.59]])
    assert np.hypot(*(256 * estimated.illumination.wave_vector - expected).T).max() < 0.3
    assert estimated.confidence.min() > CONFIDENT
    assert estimated.false_alarm.max() < 1e-5
    assert np.all((estimated.illumination.modulation_depth > 0.5) & (estimated.illumination.modulation_depth < 1.0))


def estimate_of(frames):
    return jax.jit(estimate_illumination)(jnp.asarray(frames), OTF)


def moved_vectors(*, ratio, angles_deg=(10.0, 70.0, 130.0)):
    """Wave vectors of a length in parts of the cutoff."""
    angle = np.deg2rad(angles_deg)
    return ratio * float(OTF.cutoff) * np.stack([np.sin(angle), np.cos(angle)], -1)


@pytest.mark.parametrize("ratio", [0.4, 1.2])
def test_patterns_far_from_the_cutoff_are_found(ratio):
    """Coarse ones, and of an emission far from the excitation: the search once took side lobes in their place."""
    given = truth(wave_vector=moved_vectors(ratio=ratio))
    random = np.random.default_rng(1)
    points = (random.random((2 * SIZE, 2 * SIZE)) < 0.02).astype(np.float32)
    light = np.maximum(form_frames(jnp.asarray(points), given, size=(SIZE, SIZE)), 0.0)
    counts = random.poisson(light * 400 / light.max()).astype(np.float32)
    estimate = estimate_of(counts)
    assert vector_error(estimate, given).max() < 0.05
    assert estimate.confidence.min() > CONFIDENT


def test_a_periodic_object_does_not_win_over_the_geometry():
    """Lines: each of their harmonics, moved by a pattern, is a peak; larger than another orientation's own."""
    given = truth(wave_vector=moved_vectors(ratio=0.9, angles_deg=(10.0, 70.0, 130.0)))
    x = np.arange(4 * SIZE) * 31.3 / 2 % 450
    lines = np.broadcast_to((x < 60) * 1.0, (4 * SIZE, 4 * SIZE)) + 0.1 * np.random.default_rng(3).random(
        (4 * SIZE,) * 2
    )
    fine = lines.reshape(2 * SIZE, 2, 2 * SIZE, 2).mean((1, 3)).astype(np.float32)
    light = np.maximum(form_frames(jnp.asarray(fine), given, size=(SIZE, SIZE)), 0.0)
    counts = np.random.default_rng(0).poisson(light * 400 / light.max()).astype(np.float32)
    assert vector_error(estimate_of(counts), given).max() < 0.1


def test_uneven_patterns_of_certain_stripes_are_no_alarm():
    """As of digital micromirror devices: periods that differ by 8 %, directions by 4 degrees."""
    vectors = moved_vectors(ratio=0.7, angles_deg=(120.6, 58.2, 1.8)) * np.array([[1.0], [1.0], [1.08]])
    given = truth(wave_vector=vectors)
    estimate = estimate_of(acquire(given, peak=1000.0))
    assert vector_error(estimate, given).max() < 0.05
    assert not [line for line in assess(estimate) if "probably wrong" in line]


def test_a_side_lobe_larger_than_the_peak_does_not_win_over_the_geometry():
    given = truth(wave_vector=moved_vectors(ratio=0.7))
    frames = acquire(given, peak=1000.0)
    assert vector_error(estimate_of(frames), given).max() < 0.05


def beads(given, *, number, photons, seed, shift=0.0):
    """Points of equal light; each frame is moved by some pixels at random."""
    random = np.random.default_rng(seed)
    points = np.zeros((2 * SIZE, 2 * SIZE), np.float32)
    points[tuple(random.integers(8, 2 * SIZE - 8, (2, number)))] = 1.0
    light = np.asarray(form_frames(jnp.asarray(points), given, size=(SIZE, SIZE)))
    ky, kx = np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None]
    moved = random.normal(0.0, shift, (9, 2, 1, 1))
    spectrum = np.fft.fft2(light) * np.exp(-2j * np.pi * (ky * moved[:, 0] + kx * moved[:, 1]))
    light = np.maximum(np.fft.ifft2(spectrum).real, 0.0)
    counts = random.poisson(light * photons / light.mean(0).max() + 2.0) + random.normal(0.0, 1.6, light.shape)
    return counts.astype(np.float32) - 2.0


@pytest.mark.parametrize("ratio", [0.4, 0.9])
def test_few_beads_are_enough_to_be_certain(ratio):
    """Of fifty beads the correlation cannot be much larger than its median, however well they agree."""
    given = truth(wave_vector=moved_vectors(ratio=ratio))
    for seed in SEEDS:
        estimate = estimate_of(beads(given, number=50, photons=300.0, seed=seed))
        assert vector_error(estimate, given).max() < 0.5
        assert estimate.false_alarm.max() < SURE


@pytest.mark.parametrize(("number", "shift"), [(50, 0.0), (50, 0.1), (500, 0.1)])
def test_movement_without_stripes_is_not_certain(number, shift):
    """What moves is the object's own light, so Z grows with it, beyond what was once enough."""
    given = truth(modulation_depth=np.zeros(3))
    estimates = [estimate_of(beads(given, number=number, photons=1000.0, seed=seed, shift=shift)) for seed in range(6)]
    assert min(float(estimate.false_alarm.min()) for estimate in estimates) > SURE
    if shift:
        assert max(float(estimate.confidence.max()) for estimate in estimates) > CONFIDENT


def test_the_bound_is_that_of_random_phases():
    """Equal blocks of random phases: exp(-t^2 / sum a^2) while few agree; and hardly possible for all to agree."""
    random = np.random.default_rng(0)
    vector, size = jnp.array([0.25, 0.125]), (64, 80)  # whole periods in a block
    y, x = np.mgrid[: size[0], : size[1]]
    wave = jnp.asarray(np.exp(2j * np.pi * (0.25 * y + 0.125 * x)), jnp.complex64)
    blocks = np.exp(1j * random.uniform(0, 2 * np.pi, (1000, 8, 10))).astype(np.complex64)
    total = np.abs(blocks.sum((1, 2)))
    bits = jax.jit(jax.vmap(lambda b: alignment(wave * jnp.kron(b, jnp.ones((8, 8))), vector, cutoff=0.4)))
    counted = np.asarray(bits(jnp.asarray(blocks)))
    middle = (total > 5) & (total < 12)
    np.testing.assert_allclose(counted[middle], total[middle] ** 2 / 80 / np.log(2.0), rtol=0.05, atol=0.1)
    for level in (2.0, 4.0, 6.0):
        assert 0.2 < np.mean(counted >= level) / 2.0**-level < 1.5
    assert bits(jnp.ones((1, 8, 10), jnp.complex64))[0] > 80 / np.log(2.0)
    few = np.zeros((1, 8, 10), np.complex64)
    few[0, 0, :3] = 1.0
    assert bits(jnp.asarray(few))[0] < 20


def test_a_peak_where_the_grating_must_have_it_needs_less():
    vector = jnp.asarray(moved_vectors(ratio=0.9), jnp.float32)
    settings = {"size": (SIZE, SIZE), "ring": (0.25 * OTF.cutoff, 1.4 * OTF.cutoff)}
    chance = partial(false_alarm, jnp.array([300.0, 20.0, 19.0]), **settings)
    together = chance(vector)
    assert together[0] == 0.0
    np.testing.assert_allclose(together[2] / together[1], 2.0, rtol=1e-3)
    for elsewhere in (vector.at[1:].multiply(1.05), moved_vectors(ratio=0.9, angles_deg=(10.0, 76.0, 124.0))):
        alone = chance(jnp.asarray(elsewhere, jnp.float32))
        assert np.all(alone[1:] > 10 * together[1:])
    # Three weak ones that agree on the geometry are believed together.
    weak = false_alarm(jnp.full(3, 20.0), vector, **settings)
    assert weak.max() < SURE < false_alarm(jnp.full(1, 20.0), vector[:1], **settings)[0]


def test_a_pattern_outside_the_searched_ring_is_not_found_at_its_edge():
    """Its slope is what is largest there."""
    given = truth(wave_vector=moved_vectors(ratio=0.92))
    frames, find = jnp.asarray(acquire(given, peak=2000.0)), jax.jit(estimate_illumination)
    inside = find(frames, OTF, searched=(0.87, 0.97))
    assert vector_error(inside, given).max() < 0.05
    assert inside.false_alarm.max() < SURE
    for searched in ((0.97, 1.1), (0.8, 0.87)):
        assert find(frames, OTF, searched=searched).false_alarm.min() > SURE

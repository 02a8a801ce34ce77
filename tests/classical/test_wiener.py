"""Wiener SIM with known illumination: exact bands, the quality of the reference, and the grid."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import random
from oidn_jax.classical.bands import band_weights, fine_frequencies, separate_bands
from oidn_jax.classical.widefield import deconvolved_widefield
from oidn_jax.classical.wiener import Attenuation, automatic_wiener, spectral_wiener, wiener_sim
from oidn_jax.optics import forward, fourier, grid, illumination, otf
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.transfer import TransferFunction

CUTOFF = 0.33
TABLE = TransferFunction.from_samples(otf.airy_otf(np.linspace(0.0, CUTOFF, 2048), cutoff=CUTOFF), cutoff=CUTOFF)
reconstruct = jax.jit(wiener_sim, static_argnames=("scale", "pad"))
form_bands = jax.jit(lambda *args: fourier.ifft2(forward.form_bands(*args, scale=2)))
form_frames = jax.jit(partial(forward.form_raw_frames, scale=2))


def periodic_scene(key, *, size=32, phases=3):
    """An object, uneven illumination with wave vectors on the frequency grid, and its noise-free frames."""
    keys = jax.random.split(key, 3)
    vectors = jnp.array([[9.0, 2.0], [-3.0, 8.0], [5.0, -8.0]]) / size
    given = Illumination(
        vectors,
        jnp.linspace(0.0, 2 * jnp.pi, phases, endpoint=False)[None] + 0.3 * random.normal(keys[0], (3, phases)),
        jnp.array([0.5, 0.8, 0.9]),
        random.uniform(keys[1], (3, phases), minval=0.8, maxval=1.2),
    )
    specimen = jax.random.exponential(keys[2], (2 * size, 2 * size))
    fine_otf = otf.airy_otf(fourier.frequency_radius(2 * size, 2 * size), cutoff=CUTOFF / 2)
    fine_otf = fine_otf * forward.pixel_transfer(2 * size, 2 * size, scale=2, integrate=False)
    return specimen, given, form_frames(specimen, given, fine_otf), fine_otf


@pytest.mark.parametrize("phases", [3, 5])
def test_bands_are_separated_exactly(key, phases):
    specimen, given, frames, fine_otf = periodic_scene(key, phases=phases)
    still, modulated, weight = jax.jit(separate_bands)(frames, given)
    expected = np.asarray(form_bands(specimen, given.wave_vector, fine_otf))
    np.testing.assert_allclose(still, np.broadcast_to(expected[0].real, still.shape), atol=1e-4)
    np.testing.assert_allclose(modulated, expected[1:], atol=1e-4)
    assert np.all((np.asarray(weight) > 0.0) & (np.asarray(weight) < 0.25))


def test_the_weight_of_evenly_spaced_phases_is_a_quarter_of_the_squared_depth():
    even = Illumination.ideal(jnp.full((1, 2), 0.2), phases=3, modulation_depth=0.6)
    *_, weight = jax.jit(separate_bands)(jnp.ones((3, 4, 4)), even)
    np.testing.assert_allclose(weight, 0.09, rtol=1e-5)


def test_without_noise_the_result_is_the_object_within_the_extended_support(key):
    """Also proves that the image lies on the project's grid: a shift by half a fine pixel would be an error of 1."""
    specimen, given, frames, _ = periodic_scene(key)
    image = reconstruct(frames, given, TABLE, wiener=1e-3, pad=0)
    reach = CUTOFF + jnp.linalg.norm(given.wave_vector, axis=-1).mean()
    radius = jnp.asarray(fourier.frequency_radius(64, 64), jnp.float32)
    apodised = fourier.fft2(specimen) * otf.airy_otf(radius, cutoff=reach / 2)
    # The support is a flower: judge where its discs reach in every direction.
    inside = np.asarray(radius < 0.2)
    difference = np.abs(fourier.fft2(image) - apodised)[inside]
    assert difference.max() < 0.02 * np.abs(apodised)[inside].max()
    np.testing.assert_allclose(image.mean(), specimen.mean(), rtol=1e-3)


def psnr(image, target, *, border):
    """After an affine fit of the image."""
    a, b = (
        np.asarray(x, np.float64)[border : -border or None, border : -border or None].ravel() for x in (image, target)
    )
    design = np.stack([a, np.ones_like(a)], axis=1)
    error = design @ np.linalg.lstsq(design, b, rcond=None)[0] - b
    return 10 * np.log10(np.ptp(b) ** 2 / np.mean(error**2))


@pytest.fixture
def reference(golden):
    """Noisy frames, OTF and true illumination of the reference, its object as such and within the extended support."""
    data = golden("sim_acquisition_crop")
    table = TransferFunction.theoretical(na=float(data["cutoff"]) / 2, emission_wavelength_nm=1.0, pixel_size_nm=1.0)
    given = Illumination(
        jnp.asarray(data["wave_vector"], jnp.float32),
        jnp.asarray(data["phase"], jnp.float32),
        jnp.full(3, float(data["modulation_depth"])),
        jnp.ones((3, 3)),
    )
    reach = float(table.cutoff) + np.hypot(*data["wave_vector"].T).mean()
    target = fourier.filter_image(
        jnp.asarray(data["gt"]), otf.airy_otf(fourier.frequency_radius(256, 256), cutoff=reach / 2)
    )
    return jnp.asarray(data["raw_mid"], jnp.float32) - float(data["offset"]), table, given, data["gt"], target


def test_the_quality_of_the_reference_is_reached(reference):
    """PSNR against the object within the extended support; on 256 x 256 it is 40.8 dB."""
    frames, table, given, _, target = reference
    image = reconstruct(frames, given, table, wiener=jnp.float32(0.05))
    # The reference's object has its even pixels on the raw ones.
    reached = psnr(grid.to_padded_spectrum(image, scale=2), target, border=60)
    assert reached > 38.0
    assert psnr(image, target, border=60) < 36.0

    deconvolve = jax.jit(deconvolved_widefield)
    reach = table.cutoff + jnp.linalg.norm(given.wave_vector, axis=-1).mean()
    widefield = [deconvolve(frames, table, reach=reach, wiener=jnp.float32(w)) for w in (0.02, 0.05, 0.1, 0.2)]
    scores = [psnr(grid.to_padded_spectrum(image, scale=2), target, border=60) for image in widefield]
    assert max(scores) > 30.0
    assert reached > max(scores) + 1.2


@pytest.mark.parametrize("peak", [1000.0, 50.0])
def test_the_automatic_parameter_is_near_the_best(reference, peak):
    _, table, given, specimen, target = reference
    fine_otf = table(*fine_frequencies((128, 128), scale=2))
    fine_otf = fine_otf * forward.pixel_transfer(256, 256, scale=2, integrate=False)
    light = np.maximum(form_frames(jnp.asarray(specimen), given, fine_otf), 0.0)
    frames = np.random.default_rng(0).poisson(light * peak / np.percentile(light.mean(0), 99.9)).astype(np.float32)
    automatic = jax.jit(automatic_wiener)(jnp.asarray(frames), given, table)

    def score(wiener):
        image = reconstruct(jnp.asarray(frames), given, table, wiener=jnp.float32(wiener))
        return psnr(image, target, border=60)

    assert score(automatic) > max(score(w) for w in (0.007, 0.014, 0.028, 0.056, 0.11, 0.22)) - 0.5


def test_the_mirrored_border_keeps_the_phases(key):
    """Padding moves the centre by whole raw pixels on both sides, so the patterns stay where they are."""
    vectors = illumination.wave_vectors(jnp.array([0.4, 1.5, 2.5]), jnp.full(3, 0.28))
    given = Illumination.ideal(vectors, modulation_depth=0.9)
    specimen = jnp.zeros((96, 96)).at[47:49, 45:50].set(random.uniform(key, (2, 5)))
    fine_otf = otf.airy_otf(fourier.frequency_radius(96, 96), cutoff=CUTOFF / 2)
    fine_otf = fine_otf * forward.pixel_transfer(96, 96, scale=2, integrate=False)
    frames = form_frames(specimen, given, fine_otf)
    padded, bare = (reconstruct(frames, given, TABLE, pad=pad) for pad in (9, 0))
    np.testing.assert_allclose(padded[30:66, 30:66], bare[30:66, 30:66], atol=0.02 * float(bare.max()))


def test_a_measured_otf_makes_up_for_what_it_damps(key):
    specimen, given, _, fine_otf = periodic_scene(key)
    damping = 0.3
    radius = fourier.frequency_radius(64, 64)
    frames = form_frames(specimen, given, fine_otf * damping ** (2 * radius / CUTOFF))
    values = otf.airy_otf(np.linspace(0.0, CUTOFF, 300), cutoff=CUTOFF, damping=damping)
    measured = TransferFunction.measured(values, step=CUTOFF / 299, cutoff=CUTOFF)
    # As many samples: the same compiled function.
    assert measured.values.shape == TABLE.values.shape
    right, wrong = (reconstruct(frames, given, table, wiener=jnp.float32(1e-3), pad=0) for table in (measured, TABLE))
    reach = CUTOFF + float(np.hypot(*np.asarray(given.wave_vector).T).mean())
    expected = fourier.fft2(specimen) * otf.airy_otf(radius, cutoff=reach / 2)
    errors = [np.abs(fourier.fft2(image) - expected)[radius < 0.2].max() for image in (right, wrong)]
    largest = np.abs(expected)[(radius < 0.2) & (radius > 0)].max()
    assert errors[0] < 0.05 * largest
    assert errors[1] > 0.3 * largest


def test_uneven_phases_must_be_known(key):
    """Three uneven phases are enough for an exact separation; taken as even they leave stripes."""
    _, given, frames, _ = periodic_scene(key)
    even = given._replace(phase=given.phase[:, :1] + 2 * jnp.pi / 3 * jnp.arange(3)[None])
    true, assumed = (reconstruct(frames, illumination, TABLE, wiener=1e-3, pad=0) for illumination in (given, even))
    assert np.abs(true - assumed).max() > 0.1 * np.abs(true).max()


def test_the_mapping_over_time_changes_nothing(key):
    """Frames, illumination and Wiener parameter of their own at each time, the OTF in common."""
    scenes = [periodic_scene(k)[1:3] for k in jax.random.split(key)]
    given, frames = jax.tree.map(lambda *parts: jnp.stack(parts), *scenes)
    alone = partial(wiener_sim, pad=4)
    together = jax.jit(jax.vmap(alone, in_axes=(0, 0, None)))(frames, given, TABLE)
    single = jax.jit(alone)
    for image, (one_given, one_frames) in zip(together, scenes, strict=True):
        np.testing.assert_allclose(image, single(one_frames, one_given, TABLE), atol=1e-4 * float(image.max()))


def test_attenuation_removes_haze_and_keeps_the_object(key):
    """Coarse stripes, whose bands +1 carry enough of what the notch takes from band 0."""
    specimen, given, _, fine_otf = periodic_scene(key)
    given = given._replace(
        wave_vector=jnp.array([[5.0, 1.0], [-2.0, 5.0], [3.0, -4.0]]) / 32, modulation_depth=jnp.full(3, 0.95)
    )
    frames = form_frames(specimen, given, fine_otf)
    haze = jnp.cos(2 * jnp.pi * jnp.arange(32) / 32)
    haze = given.brightness.reshape(9, 1, 1) * (2.0 + haze[:, None] * haze[None])[None]
    attenuate = jax.jit(
        lambda frames, strength: wiener_sim(
            frames, given, TABLE, wiener=0.01, attenuation=Attenuation(strength, 0.3), pad=0
        )
    )
    plain, attenuated = (attenuate(frames, jnp.float32(s)) for s in (0.0, 0.95))
    np.testing.assert_allclose(attenuated, plain, atol=0.05 * float(plain.max()))
    plain, attenuated = (attenuate(haze, jnp.float32(s)) for s in (0.0, 0.95))
    assert attenuated.std() < 0.8 * plain.std()
    assert attenuated.mean() < 0.65 * plain.mean()


def three_beam_scene(key, *, depths=(0.3, 0.7), size=48):
    """As `periodic_scene`: five even phases, of each orientation a first and a second harmonic."""
    first = jnp.array([[7.0, 1.0], [-3.0, 6.0], [4.0, -6.0]]) / size
    vectors = jnp.stack([first, 2 * first], axis=1).reshape(6, 2)
    step = 2 * jnp.pi * jnp.arange(5) / 5
    phases = jnp.tile(jnp.stack([0.4 + step, 1.1 + 2 * step]), (3, 1))
    given = Illumination(vectors, phases, jnp.tile(jnp.array(depths), 3), jnp.ones((3, 5)))
    specimen = jax.random.exponential(key, (2 * size, 2 * size))
    fine_otf = otf.airy_otf(fourier.frequency_radius(2 * size, 2 * size), cutoff=CUTOFF / 2)
    fine_otf = fine_otf * forward.pixel_transfer(2 * size, 2 * size, scale=2, integrate=False)
    return specimen, given, form_frames(specimen, given, fine_otf), fine_otf


def test_the_bands_of_three_beams_are_separated_exactly(key):
    specimen, given, frames, fine_otf = three_beam_scene(key)
    still, modulated, weight = jax.jit(separate_bands)(frames, given)
    expected = np.asarray(form_bands(specimen, given.wave_vector, fine_otf))
    np.testing.assert_allclose(still, np.broadcast_to(expected[0].real, still.shape), atol=1e-4)
    np.testing.assert_allclose(modulated, expected[1:], atol=2e-4)
    np.testing.assert_allclose(weight, np.tile([0.3**2 / 4, 0.7**2 / 4], 3), rtol=1e-4)
    np.testing.assert_allclose(weight, jax.jit(band_weights)(given), rtol=1e-6)


def test_three_beams_without_noise_give_the_object_within_the_support_of_the_second_harmonic(key):
    specimen, given, frames, _ = three_beam_scene(key)
    image = reconstruct(frames, given, TABLE, wiener=1e-3, pad=0)
    reach = CUTOFF + float(np.hypot(*np.asarray(given.wave_vector[1::2]).T).mean())
    radius = jnp.asarray(fourier.frequency_radius(*specimen.shape), jnp.float32)
    apodised = fourier.fft2(specimen) * otf.airy_otf(radius, cutoff=reach / 2)
    inside = np.asarray(radius < 0.23)  # of the flower, in every direction
    assert reach / 2 > 0.3
    difference = np.abs(fourier.fft2(image) - apodised)[inside]
    assert difference.max() < 0.02 * np.abs(apodised)[inside].max()
    np.testing.assert_allclose(image.mean(), specimen.mean(), rtol=1e-3)


def test_the_first_harmonic_makes_the_middle_frequencies_less_noisy(key):
    """Near the cutoff band 0 has little light, and the second harmonic's band is near its end too."""
    specimen, given, frames, _ = three_beam_scene(key, depths=(0.8, 0.4))
    alone = Illumination(given.wave_vector[1::2], given.phase[1::2], given.modulation_depth[1::2], given.brightness)
    noise = frames.std() * random.normal(jax.random.key(4), frames.shape)
    radius = np.asarray(fourier.frequency_radius(*specimen.shape))
    middle = (2 * radius > 0.7 * CUTOFF) & (2 * radius < CUTOFF)

    def noise_to_signal(illumination):
        images = (reconstruct(part, illumination, TABLE, wiener=0.05, pad=0) for part in (noise, frames))
        powers = [(np.abs(fourier.fft2(image)) ** 2)[middle].mean() for image in images]
        return powers[0] / powers[1]

    assert noise_to_signal(given) < 0.8 * noise_to_signal(alone)


def test_true_wiener_finds_noise_over_signal_of_every_ring():
    """An object whose power falls from ring to ring as it is told to, under known noise."""
    size, sigma = 128, 0.5
    frames, powers = [], []
    for seed in range(4):
        keys = jax.random.split(jax.random.key(seed), 2)
        _, given, _, fine_otf = periodic_scene(keys[0], size=size)
        radius = 2 * jnp.asarray(fourier.frequency_radius(2 * size, 2 * size), jnp.float32)  # cycles per raw pixel
        specimen = fourier.filter_image(40.0 * random.normal(keys[1], (2 * size, 2 * size)), 1 / (1 + 20 * radius))
        clean = form_frames(specimen, given, fine_otf)
        frames.append(clean + sigma * random.normal(keys[0], clean.shape))
        powers.append((given, specimen))
    measured, expected = [], []
    for (given, _), noisy in zip(powers, frames, strict=True):
        ring = jnp.asarray([0.05, 0.1, 0.2, 0.3])
        measured.append(jax.jit(spectral_wiener)(noisy, given, TABLE)(ring))
        # Of c0 of 3 even phases a third of the noise; in units of a raw spectrum the object's power is a quarter.
        solution = jnp.linalg.pinv(illumination.phase_matrix(given))[:, 0]
        noise = sigma**2 * jnp.mean(jnp.sum(solution**2, -1)) / 3
        expected.append(jnp.sqrt(noise / ((40.0 / (1 + 20 * ring)) ** 2 / 4)))
    np.testing.assert_allclose(np.mean(measured, 0), np.mean(expected, 0), rtol=0.15)


def test_true_wiener_is_as_good_as_the_best_number(reference):
    frames, table, given, _, target = reference
    best = max(psnr(reconstruct(frames, given, table, wiener=w), target, border=20) for w in (0.03, 0.05, 0.08, 0.12))
    wiener = jax.jit(spectral_wiener)(frames, given, table)
    assert psnr(reconstruct(frames, given, table, wiener=wiener), target, border=20) > best - 0.3

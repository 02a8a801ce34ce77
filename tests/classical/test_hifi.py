"""HiFi-SIM: the numbers of the publication's program, and the images as the object times the effective transfer."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import random
from oidn_jax.classical import hifi
from oidn_jax.classical.bands import fine_frequencies, separate_bands
from oidn_jax.classical.hifi import (
    HifiSettings,
    effective_transfer,
    hifi_filters,
    hifi_otf,
    hifi_sim,
    reach_and_apodisation,
)
from oidn_jax.optics import forward, fourier, grid
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.transfer import TransferFunction

SIZE = (32, 40)
OTF = TransferFunction.theoretical(na=1.3, emission_wavelength_nm=500.0, pixel_size_nm=62.0, damping=0.8)
reconstruct = jax.jit(hifi_sim, static_argnames=("scale", "iterations", "pad"))
form_frames = jax.jit(partial(forward.form_raw_frames, scale=2))
transfer_of = jax.jit(partial(effective_transfer, side=max(SIZE)))


def periodic_scene(key, *, phases=3, count=3):
    """An object, uneven illumination with wave vectors on the frequency grid, and its noise-free frames."""
    specimen_key, phase_key = jax.random.split(key)
    even = jnp.linspace(0.0, 2 * jnp.pi, phases, endpoint=False)[None]
    given = Illumination(
        jnp.array([[8.0 / 32, 3.0 / 40], [-3.0 / 32, 11.0 / 40], [6.0 / 32, -8.0 / 40]])[:count],
        even + 0.3 * random.normal(phase_key, (count, phases)),
        jnp.array([0.5, 0.8, 0.9])[:count],
        jnp.linspace(0.8, 1.2, count * phases).reshape(count, phases),
    )
    specimen = jax.random.exponential(specimen_key, (2 * SIZE[0], 2 * SIZE[1]))
    fine_otf = OTF(*fine_frequencies(SIZE, scale=2))
    fine_otf = fine_otf * forward.pixel_transfer(*specimen.shape, scale=2, integrate=False)
    return specimen, given, form_frames(specimen, given, fine_otf)


def publication(data, name):
    """Illumination of the program's numbers: (x, y) in frequency pixels, phases at the corner pixel."""
    index, side = data[f"{name}_p_index"], data["raw_mid_low"].shape[-1]
    phase = data[f"{name}_phase_corner"] + np.pi * index.sum(1)
    return Illumination(
        jnp.asarray(index[:, ::-1] / side, jnp.float32),
        jnp.asarray(phase[:, None] + 2.0 * np.pi / 3.0 * np.arange(3)[None], jnp.float32),
        jnp.asarray(data[f"{name}_m_used"], jnp.float32),
        jnp.ones((3, 3)),
    )


def publication_images(data, name, *, iterations, reconstruct=reconstruct):
    """Frames of the golden file reconstructed with the program's numbers."""
    raw = data["raw_mid_low"] + 256.0 * data["raw_mid_high"]
    cutoff, side = float(data["cutoff"]), raw.shape[-1]
    return reconstruct(
        jnp.asarray(raw - data["offset"], jnp.float32),
        publication(data, name),
        hifi_otf(side, cutoff=cutoff),
        settings=HifiSettings(attenuation_width=float(data["pixel_size_um"]) / cutoff),
        iterations=iterations,
        pad=0,
    )


@pytest.mark.parametrize("iterations", [0, 5])
def test_the_images_of_the_publication(golden, iterations):
    """Away from the border: there the program, which moves the bands on the fine grid, lets the frames' edge spill."""
    data = golden("hifi_oracle")
    images = publication_images(data, f"rl{iterations}", iterations=iterations)
    for name, image in images._asdict().items():
        expected = 4.0 * data[f"rl{iterations}_{name}"]  # the program pads spectra without regard to grey values
        sampled = grid.to_padded_spectrum(image, scale=2)[3::8, 5::8]
        inside = slice(6, -6)
        np.testing.assert_allclose(
            sampled[inside, inside], expected[inside, inside], rtol=0.0, atol=1e-4 * expected.max()
        )


def bands_of_the_publication(frames, given):
    """Spectra of the bands 0, +1 and -1 of each orientation, padded to the fine grid and moved there.

    At the highest frequency of a side, which padding does not share out, band -1 is not the mirrored band +1.
    """
    still, modulated, _ = separate_bands(frames, given)
    # Fine pixel 2i lies on raw pixel i; phases refer to raw pixel n // 2.
    y, x = (jnp.arange(2 * n)[None] / 2.0 - n // 2 for n in frames.shape[1:])
    along_y, along_x = (
        jnp.exp(-2j * jnp.pi * p[:, None] * r) for p, r in zip(given.wave_vector.T, (y, x), strict=True)
    )
    carrier = along_y[:, :, None] * along_x[:, None, :]

    def fine(band):
        return fourier.pad_spectrum(fourier.fft2(band), factor=2)

    def moved(band, carrier):
        return fourier.fft2(fourier.ifft2(fine(band)) * carrier)

    return fine(still), moved(modulated, carrier), moved(jnp.conj(modulated), jnp.conj(carrier))


def combined_as_in_the_publication(bands, rest_filter, moved_filter, *, scale):
    at_rest, above, below = bands
    # H(k - p) is H(k + p) mirrored.
    mirrored = jnp.roll(jnp.flip(moved_filter, (-2, -1)), (1, 1), (-2, -1))
    return fourier.ifft2(rest_filter * at_rest.sum(0) + (moved_filter * above + mirrored * below).sum(0)).real


def test_the_whole_images_of_the_publication(golden, monkeypatch):
    """With the bands moved as the program does it nothing differs, not even at the border."""
    monkeypatch.setattr(hifi, "move_bands", bands_of_the_publication)
    monkeypatch.setattr(hifi, "combine_bands", combined_as_in_the_publication)
    data = golden("hifi_oracle")

    # A function of its own, because `hifi_sim` may have been compiled already, with what is replaced here.
    @partial(jax.jit, static_argnames=("iterations", "pad"))
    def anew(frames, given, table, *, settings, iterations, pad):
        return hifi_sim(frames, given, table, settings=settings, iterations=iterations, pad=pad)

    images = publication_images(data, "rl0", iterations=0, reconstruct=anew)
    for name, image in images._asdict().items():
        expected = 4.0 * data[f"rl0_{name}"]
        np.testing.assert_allclose(image[3::8, 5::8], expected, rtol=0.0, atol=2e-5 * expected.max())


def test_the_extent_of_the_publication(golden):
    data = golden("hifi_oracle")
    cutoff = float(data["cutoff"])
    reach, apodisation = reach_and_apodisation(publication(data, "rl0").wave_vector, cutoff=cutoff, side=256)
    np.testing.assert_allclose([reach / cutoff, apodisation], [data["rl0_cut"], data["rl0_apo"]], rtol=1e-6)


@pytest.mark.parametrize(("phases", "count"), [(3, 3), (5, 1)])
def test_without_noise_the_images_are_the_object_times_the_effective_transfer(key, phases, count):
    """Also proves that they lie on the project's grid."""
    specimen, given, frames = periodic_scene(key, phases=phases, count=count)
    settings = HifiSettings(initial_wiener=0.9, apodisation=0.4)
    images = reconstruct(frames, given, OTF, settings=settings, iterations=0, pad=0)
    transfers = transfer_of(given, OTF, fine_frequencies(SIZE, scale=2), settings=settings)
    for image, transfer in zip(images, transfers, strict=True):
        np.testing.assert_allclose(image, fourier.filter_image(specimen, transfer), atol=2e-4 * float(image.max()))


def test_the_steps_do_what_they_are_for(key):
    """Step 1 hides the places of the bands, step 2 and the smaller w1 give the high frequencies more weight."""
    _, given, _ = periodic_scene(key)
    vector = given.wave_vector[0]
    frequency = (vector[:1, None] * jnp.array([[0.0, 1.0]]), vector[1:, None] * jnp.array([[0.0, 1.0]]))

    def at_band(settings):
        images = transfer_of(given, OTF, frequency, settings=settings)
        return [float(part[0, 1] / part[0, 0]) for part in images]

    _, initial, final = at_band(HifiSettings())
    _, sharper, _ = at_band(HifiSettings(initial_wiener=0.5))
    _, _, blurred = at_band(HifiSettings(apodisation=0.2))
    assert initial < final
    assert initial < sharper
    assert blurred < final


def test_brighter_frames_give_a_brighter_image_and_nothing_else(key):
    _, given, frames = periodic_scene(key)
    once, thrice = (reconstruct(factor * frames, given, OTF, pad=4) for factor in (1.0, 3.0))
    for a, b in zip(once, thrice, strict=True):
        assert a.shape == (2 * SIZE[0], 2 * SIZE[1])
        np.testing.assert_allclose(3.0 * a, b, atol=1e-4 * float(b.max()))


def test_the_mapping_over_time_changes_nothing(key):
    scenes = [periodic_scene(k) for k in jax.random.split(key)]
    given, frames = jax.tree.map(lambda *parts: jnp.stack(parts), *((s[1], s[2]) for s in scenes))
    together = jax.jit(jax.vmap(lambda f, i: hifi_sim(f, i, OTF, pad=4)))(frames, given)
    for index in range(2):
        alone = reconstruct(frames[index], scenes[index][1], OTF, pad=4)
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a[index], b, atol=1e-4 * float(b.max()))


def test_the_mirrored_border_keeps_the_phases(key):
    """Padding moves the centre by whole raw pixels on both sides, so the patterns stay where they are."""
    _, given, frames = periodic_scene(key)
    padded, bare = (reconstruct(frames, given, OTF, iterations=0, pad=pad).wiener[24:40, 24:56] for pad in (9, 0))
    np.testing.assert_allclose(padded, bare, atol=0.05 * float(bare.max()))


def test_the_table_of_the_publication_is_slightly_wider_than_an_ideal_pupil():
    table = hifi_otf(256, cutoff=0.31, damping=0.5)
    ideal = TransferFunction.theoretical(na=1.0, emission_wavelength_nm=2.0, pixel_size_nm=0.31, damping=0.5)
    frequency = jnp.linspace(0.01, 0.3, 50)
    excess = table.at(frequency) - ideal.at(frequency)
    assert np.all((excess > 0.0) & (excess < 0.02))
    np.testing.assert_allclose(table.at(jnp.array([0.0, 0.311])), [1.0, 0.0], atol=1e-6)


def test_the_effective_transfer_holds_for_three_beams(key):
    """Frames without noise: the image is the object times it, whatever the depths of the two harmonics."""
    size, table = 64, OTF
    first = jnp.array([[6.0, 1.0], [-2.0, 6.0], [4.0, -5.0]]) / size
    step = 2 * jnp.pi * jnp.arange(5) / 5
    given = Illumination(
        jnp.stack([first, 2 * first], axis=1).reshape(6, 2),
        jnp.tile(jnp.stack([0.4 + step, 1.1 + 2 * step]), (3, 1)),
        jnp.tile(jnp.array([0.2, 0.8]), 3),
        jnp.ones((3, 5)),
    )
    specimen = jax.random.exponential(key, (2 * size, 2 * size))
    ky, kx = fine_frequencies((size, size), scale=2)
    transfer = table(ky, kx) * forward.pixel_transfer(2 * size, 2 * size, scale=2, integrate=False)
    frames = jax.jit(partial(forward.form_raw_frames, scale=2))(specimen, given, transfer)
    images = jax.jit(partial(hifi_sim, iterations=0, pad=0))(frames, given, table)
    effective = jax.jit(partial(effective_transfer, side=size))(given, table, (ky, kx))
    for image, shape in zip(images, effective, strict=True):
        expected = fourier.filter_image(specimen, shape)
        assert np.abs(image - expected).max() < 2e-3 * np.abs(expected).max()
    # The first harmonic's noise is 16 times the second's: its bands count a sixteenth.
    _, power = jax.jit(partial(hifi_filters, side=size))(given, table, (ky, kx))
    alone = Illumination(given.wave_vector[::2], given.phase[::2], given.modulation_depth[::2], given.brightness)
    second = Illumination(given.wave_vector[1::2], given.phase[1::2], given.modulation_depth[1::2], given.brightness)
    powers = [jax.jit(partial(hifi_filters, side=size))(each, table, (ky, kx))[1] for each in (alone, second)]
    still = jax.jit(partial(hifi_filters, side=size))(
        second._replace(wave_vector=jnp.full((3, 2), 5.0)), table, (ky, kx)
    )[1]
    np.testing.assert_allclose(power, (powers[0] - still) / 16 + powers[1], atol=1e-4)

"""The laws, each a function (model, setup, key) -> violation; relative errors, 0 for a perfect model."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from oidn_jax import random
from oidn_jax.optics.fourier import fft2, filter_image, fold_spectrum, frequency_radius
from oidn_jax.optics.grid import binning_transfer, fine_positions
from oidn_jax.optics.illumination import Illumination
from oidn_jax.optics.laws.model import Law, Model, Setup
from oidn_jax.optics.noise import Camera


def _difference(got: Array, expected: Array) -> Float[Array, ""]:
    return jnp.abs(got - expected).max() / jnp.abs(expected).max()


def _scene(setup: Setup, key: Array) -> tuple[Array, Illumination]:
    specimen_key, illumination_key = jax.random.split(key)
    return setup.specimen(specimen_key), setup.illumination(illumination_key)


def _frames_in_space(model: Model, setup: Setup, key: Array) -> Array:
    specimen, illumination = _scene(setup, key)
    psf = model.psf_of_otf(setup.otf(model))
    return model.in_space(specimen, illumination, psf, scale=setup.scale)


def _frames(model: Model, setup: Setup, key: Array) -> Array:
    specimen, illumination = _scene(setup, key)
    return model.in_fourier(specimen, illumination, setup.otf(model), scale=setup.scale)


def two_forms(model: Model, setup: Setup, key: Array) -> Array:
    """The frames of the spatial form against those of the Fourier form."""
    return _difference(_frames(model, setup, key), _frames_in_space(model, setup, key))


def direct_sum(model: Model, setup: Setup, key: Array) -> Array:
    """Some pixels against sum_r' h(r - r') S(r') I(r'), added up without a transform."""
    specimen, illumination = _scene(setup, key)
    frames = _frames_in_space(model, setup, key)
    pattern = model.patterns(illumination, size=(setup.size, setup.size), scale=setup.scale)
    lit = (specimen[None, None] * pattern).reshape(-1, *specimen.shape)
    psf = model.psf_of_otf(setup.otf(model))
    # mirrored[c - r'] = psf[r'] for the centre c; moved by r - c, it is h(r - r') at r'.
    mirrored = jnp.roll(jnp.flip(psf, (0, 1)), (1 - psf.shape[0] % 2, 1 - psf.shape[1] % 2), (0, 1))
    centre = [n // 2 for n in psf.shape]
    errors = []
    for y, x in ((0, 0), (3, setup.size - 1), (setup.size // 2, 5)):
        inside = [
            (lit * jnp.roll(mirrored, (setup.scale * y + i - centre[0], setup.scale * x + j - centre[1]), (0, 1))[None])
            for i in range(setup.scale)
            for j in range(setup.scale)
        ]
        expected = jnp.stack(inside).sum((2, 3)).mean(0)
        errors.append(_difference(frames[:, y, x], expected))
    return jnp.stack(errors).max()


def energy(model: Model, setup: Setup, key: Array) -> Array:
    """The mean of every frame against that of specimen times pattern."""
    specimen, illumination = _scene(setup, key)
    pattern = model.patterns(illumination, size=(setup.size, setup.size), scale=setup.scale)
    expected = (specimen[None, None] * pattern).mean((-2, -1)).reshape(-1)
    return _difference(_frames(model, setup, key).mean((-2, -1)), expected)


def support(model: Model, setup: Setup, key: Array) -> Array:
    """The largest OTF from the cutoff on."""
    beyond = setup.scale * frequency_radius(*setup.shape) >= setup.microscope.cutoff * (1.0 + 1e-6)
    return jnp.max(jnp.abs(setup.optical_otf(model)) * beyond)


def camera_nyquist(model: Model, setup: Setup, key: Array) -> Array:
    """By how much the cutoff exceeds the camera's Nyquist frequency, in cycles per raw pixel."""
    return jnp.maximum(setup.microscope.cutoff - 0.5, 0.0)


def fine_nyquist(model: Model, setup: Setup, key: Array) -> Array:
    """By how much cutoff + |p| exceeds the fine grid's Nyquist frequency, in cycles per raw pixel."""
    return jnp.maximum(setup.microscope.cutoff + setup.illumination_frequency - 0.5 * setup.scale, 0.0)


def linearity(model: Model, setup: Setup, key: Array) -> Array:
    """The frames of 2 S_1 - 3 S_2 against 2 frames of S_1 - 3 frames of S_2."""
    first, illumination = _scene(setup, key)
    second = setup.specimen(jax.random.fold_in(key, 1))
    otf = setup.otf(model)

    def frames(specimen: Array) -> Array:
        return model.in_fourier(specimen, illumination, otf, scale=setup.scale)

    return _difference(frames(2.0 * first - 3.0 * second), 2.0 * frames(first) - 3.0 * frames(second))


def adjointness(model: Model, setup: Setup, key: Array) -> Array:
    """<frames of S, D> against <S, back-projection of D>."""
    specimen, illumination = _scene(setup, key)
    frames = _frames(model, setup, key)
    data = random.uniform(jax.random.fold_in(key, 1), frames.shape)
    back = model.back_project(data, illumination, setup.otf(model), scale=setup.scale)
    return _difference(jnp.vdot(specimen, back), jnp.vdot(frames, data))


def widefield(model: Model, setup: Setup, key: Array) -> Array:
    """The mean over the evenly spaced phases of each orientation against the widefield image."""
    specimen, illumination = _scene(setup, key)
    even = Illumination.ideal(illumination.wave_vector, phases=setup.microscope.phases, modulation_depth=0.8)
    otf = setup.otf(model)
    frames = model.in_fourier(specimen, even, otf, scale=setup.scale)
    means = frames.reshape(-1, setup.microscope.phases, *frames.shape[1:]).mean(1)
    expected = model.bin_pixels(filter_image(specimen, otf), scale=setup.scale)
    return _difference(means, jnp.broadcast_to(expected, means.shape))


def bands(model: Model, setup: Setup, key: Array) -> Array:
    """The band separated from the frames against S(k - p) H(k), for a p on the frequency grid: a shift by whole pixels.

    The pattern's phase is counted from the raw pixel size // 2, fine pixel 0 from itself: hence the factor.
    """
    specimen = setup.specimen(key)
    size, scale, phases = setup.size, setup.scale, setup.microscope.phases
    q = (round(0.6 * setup.illumination_frequency * size), round(-0.7 * setup.illumination_frequency * size))
    even = Illumination.ideal(jnp.asarray([q], jnp.float32) / size, phases=phases, modulation_depth=0.8)
    otf = setup.otf(model)
    frames = model.in_fourier(specimen, even, otf, scale=scale)
    turns = jnp.exp(-1j * even.phase[0])[:, None, None]
    separated = 2.0 / (0.8 * phases) * (turns * frames).sum(0)
    origin = fine_positions(size, scale=scale)[0]
    factor = jnp.exp(2j * jnp.pi * (q[0] + q[1]) * origin / size)
    shifted = jnp.roll(fft2(specimen), q, (0, 1)) * otf * binning_transfer(*setup.shape, scale=scale)
    return _difference(fft2(separated), factor * fold_spectrum(shifted.astype(jnp.complex64), factor=scale))


def psf(model: Model, setup: Setup, key: Array) -> Array:
    """The most negative value of the PSF over its peak, or how far its sum is from 1, or its peak from the centre."""
    image = model.psf_of_otf(setup.optical_otf(model))
    peak = jnp.argmax(image) == (image.shape[0] // 2) * image.shape[1] + image.shape[1] // 2
    violations = (-image.min() / image.max(), jnp.abs(image.sum() - 1.0), 1.0 - peak)
    return jnp.stack([jnp.asarray(v, jnp.float32) for v in violations]).max()


def _gradient(model: Model, setup: Setup, key: Array, *, by: str) -> Array:
    """The slope along the gradient, from differences of fourth order, against the gradient's length.

    Of the functional <frames, D> with random D, by the specimen, the PSF or a field of the illumination.
    """
    specimen, illumination = _scene(setup, key)
    psf_image = model.psf_of_otf(setup.otf(model))
    scale = setup.scale
    data = random.normal(
        jax.random.fold_in(key, 1), (len(setup.angles) * setup.microscope.phases, setup.size, setup.size)
    )

    def functional(value: Array) -> Array:
        if by == "psf":
            frames = model.in_space(specimen, illumination, value, scale=scale)
        elif by == "specimen":
            frames = model.in_fourier(value, illumination, setup.otf(model), scale=scale)
        else:
            changed = illumination._replace(**{by: value})
            frames = model.in_fourier(specimen, changed, setup.otf(model), scale=scale)
        return jnp.vdot(frames, data)

    start = {"psf": psf_image, "specimen": specimen, **illumination._asdict()}[by]
    gradient = jax.grad(functional)(start)
    length = jnp.linalg.norm(gradient)
    # A tenth of the values in the root mean square; of the phases 0.2 radians, and of the wave vectors what turns a
    # pattern by as much at the border of the field.
    radians = {"wave_vector": 0.1 / setup.size, "phase": 0.2}
    step = jnp.asarray(radians[by]) if by in radians else 0.1 * jnp.linalg.norm(start)

    def difference(h: Array) -> Array:
        ahead, behind = functional(start + h * gradient / length), functional(start - h * gradient / length)
        return (ahead - behind) / (2.0 * h)

    slope = (4.0 * difference(step) - difference(2.0 * step)) / 3.0
    return jnp.abs(slope - length) / length


def _gradient_law(by: str, words: str) -> Law:
    def violation(model: Model, setup: Setup, key: Array) -> Array:
        return _gradient(model, setup, key, by=by)

    return Law(f"gradient by {words} equals finite differences", violation, 1e-3)


def pupil(model: Model, setup: Setup, key: Array) -> Array:
    """The OTF against the overlap of two discs, counted in pixels, and its damping against damping^rho."""
    radius = 100.0
    place = jnp.arange(-110, 111)
    distance = jnp.arange(0, 201, 10)

    def overlap(apart: Array) -> Array:
        here, there = (jnp.hypot(place[:, None], place[None] - sign * 0.5 * apart) < radius for sign in (1.0, -1.0))
        return (here & there).sum() / (jnp.hypot(place[:, None], place[None]) < radius).sum()

    counted = jax.lax.map(overlap, distance.astype(jnp.float32))
    rho = distance / 200.0
    cutoff, damping = setup.microscope.cutoff, setup.microscope.otf_damping
    ideal = model.otf(rho * cutoff, cutoff=cutoff, damping=1.0)
    damped = model.otf(rho * cutoff, cutoff=cutoff, damping=damping)
    return jnp.maximum(jnp.abs(ideal - counted).max(), jnp.abs(damped - ideal * damping**rho).max())


def noise(model: Model, setup: Setup, key: Array) -> Array:
    """Mean, variance and third moment of many exposures against theory, in standard errors; at five light levels.

    And the correlation of neighbouring pixels and of two exposures, which must be none. With a gain so high that
    rounding to whole counts does not matter, and without clipping, which the next law looks at.
    """
    gain, draws = 100.0, 2**16
    camera = Camera(gain, 20.0 * gain * (1.0 + setup.camera.read_noise), setup.camera.read_noise, math.inf)
    levels = jnp.asarray([2.0, 5.0, 20.0, 100.0, 1000.0])
    light = jnp.broadcast_to(levels[:, None], (len(levels), draws))
    exposures = [model.expose(k, light, camera) for k in jax.random.split(key)]
    mean = gain * levels + camera.offset
    variance = camera.noise.variance(mean)
    first, second = ((counts - mean[:, None]) / variance[:, None] ** 0.5 for counts in exposures)
    # Moments of a Poisson and a normal number, in units of the standard deviation.
    third, fourth = gain**3 * levels / variance**1.5, 3.0 + gain**4 * levels / variance**2
    errors = (
        first.mean(1),
        ((first**2).mean(1) - 1.0) / (fourth - 1.0) ** 0.5,
        ((first**3).mean(1) - third) / (6.0 + 20.0 * third**2 + 10.0 * (fourth - 3.0)) ** 0.5,
        (first * second).mean(1),
        (first * jnp.roll(first, 1, 1)).mean(1),
    )
    return draws**0.5 * jnp.abs(jnp.stack(errors)).max()


def clipping(model: Model, setup: Setup, key: Array) -> Array:
    """By how much counts leave 0 to saturation, or are not whole, or what saturates falls short of it."""
    camera = setup.camera
    photons = jnp.asarray([0.0, 10.0 * (camera.saturation - camera.offset) / camera.gain + 100.0])
    counts = model.expose(key, jnp.broadcast_to(photons[:, None], (2, 1000)), camera)
    outside = jnp.maximum(-counts, counts - camera.saturation).max()
    fraction = jnp.abs(counts - jnp.round(counts)).max()
    short = (camera.saturation - counts[1]).max()
    return jnp.stack([jnp.maximum(outside, 0.0), fraction, short]).max()


LAWS = (
    Law("spatial form equals Fourier form", two_forms, 1e-4),
    Law("spatial form equals the direct sum over pixels", direct_sum, 1e-4),
    Law("energy is conserved", energy, 1e-4),
    Law("OTF is the overlap of two pupils, damped", pupil, 0.01),
    Law("OTF is 0 from its cutoff on", support, 1e-6),
    Law("cutoff is within the camera's Nyquist frequency", camera_nyquist, 0.0),
    Law("cutoff + |p| is within the fine grid's Nyquist frequency", fine_nyquist, 0.0),
    Law("frames are linear in the object", linearity, 1e-4),
    Law("back-projection is the adjoint", adjointness, 1e-4),
    Law("phases of an orientation add up to the widefield", widefield, 1e-4),
    Law("separated band is the shifted, OTF-weighted spectrum", bands, 1e-4),
    Law("PSF is positive, of sum 1, centred", psf, 2e-3),
    _gradient_law("specimen", "the object"),
    _gradient_law("psf", "the PSF"),
    _gradient_law("wave_vector", "the wave vectors"),
    _gradient_law("phase", "the phases"),
    _gradient_law("modulation_depth", "the modulation depths"),
    _gradient_law("brightness", "the brightness of the patterns"),
    Law("noise has its mean, variance, skewness and no memory (standard errors)", noise, 5.0),
    Law("counts are whole, from 0 to saturation", clipping, 0.0),
)

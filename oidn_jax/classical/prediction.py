"""The raw frames that a super-resolved image predicts, whatever method made it.

In counts without the camera's offset, frame n of orientation d is that of `optics.forward`,

    D_dn = A_dn [c0 + b + m_d Re(exp(i phi_dn) c+_d)],   C0(k) = g(|k|) X(k) H(k),   C+_d(k) = (g X)(k - p_d) H(k),

with such a term c+ for each harmonic, X the spectrum of the image. What a method has left in its image besides the
object, an apodisation and a brightness scale, is 1 / g. g is fitted by least squares as `SPLINES` cubic B-splines in
sqrt |k|: so few numbers for a million pixels cannot hide an error at one place. They do hide a wrong weight of all
structures of one size and, fitted with them, a constant in the image. b is light that the patterns do not modulate. It
is what band 0 holds beyond the prediction, smoothed by 1 / (1 + (2 pi s |k|)^4); errors that vary only over more than
s, the `background_scale`, hide in it. Below |k| = 1 / (2 pi s), where g and b cannot be told apart, g is constant.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from oidn_jax.classical.bands import Transfer, crop, fine_frequencies, mirror, separate_bands
from oidn_jax.optics.forward import form_bands, mix_bands, pixel_transfer
from oidn_jax.optics.fourier import fft2, ifft2
from oidn_jax.optics.illumination import Illumination, carriers, phase_matrix
from oidn_jax.optics.noise import NoiseModel
from oidn_jax.optics.transfer import TransferFunction

SPLINES = 14
FREQUENCIES = 64
PAD = 24
_ROUGHNESS = 1.0  # expected second difference of g's coefficients, of their typical value
_MOST_CONSTANT = 100.0  # expected constant in the image, of its standard deviation


class PredictedFrames(NamedTuple):
    """What `predict_frames` returns.

    Attributes:
        frames: (frames, h, w), counts.
        variance: (frames, h, w), of the noise expected at these counts.
        background: (h, w), b, counts at brightness 1. A constant can be moved between it and the image; it is given
            with the darkest neighbourhood of the image, `background_scale` wide, as dark.
        frequency: (`FREQUENCIES`,), cycles per raw pixel, from 1 / (2 pi s) to k_c + |p|.
        transfer: (`FREQUENCIES`,), g there over g at the first one. An image without apodisation has 1. Where it is far
            above, the image lacks what the frames hold; where it falls towards zero, the image holds nothing that the
            frames confirm.
    """

    frames: Array
    variance: Array
    background: Array
    frequency: Array
    transfer: Array


def predict_frames(
    image: Float[Array, "h2 w2"],
    raw_frames: Float[Array, "frames h w"],
    illumination: Illumination,
    *,
    otf: TransferFunction,
    noise: NoiseModel,
    border: int,
    background_scale: float | Array,
    offset_error: float | Array,
) -> PredictedFrames:
    """The frames that the image predicts; arguments and errors as `classical.consistency.check_consistency`."""
    spectra = _band_spectra(image, illumination, otf, scale=_scale(image, raw_frames))
    size = (spectra.shape[1], spectra.shape[2])
    radius = _distances(illumination.wave_vector, size)
    least, reach = 1.0 / (2.0 * jnp.pi * background_scale), illumination.reach(otf.cutoff)
    splines = _splines(radius, least=least, reach=reach)
    smooth = 1.0 / (1.0 + (2.0 * jnp.pi * background_scale * radius[0]) ** 4)

    slow = _filtered(mirror(separate_bands(raw_frames, illumination)[0].mean(0), PAD), smooth)
    frames = raw_frames.reshape(*illumination.brightness.shape, *raw_frames.shape[1:])
    level = crop(_filtered(mirror(frames.mean(1), PAD), otf(*fine_frequencies(size, scale=1))), PAD)
    coefficients = _fit(
        frames - illumination.brightness[..., None, None] * crop(slow, PAD)[None, None],
        spectra.at[0].multiply(1.0 - smooth),
        illumination,
        splines=splines,
        pattern=_constant(illumination, otf, size),
        precision=inside_border(level.shape[1:], border)[None] / noise.variance(level),
    )
    weights, constant = coefficients[:SPLINES], coefficients[SPLINES]
    spectra = spectra * jnp.einsum("j,jbyx->byx", weights, splines)
    spectra = spectra.at[1:].add(constant * fft2(_constant(illumination, otf, size)))
    dark = ifft2(spectra[0] * jnp.exp(-2.0 * (jnp.pi * background_scale * radius[0]) ** 2)).real.min()
    background = slow - ifft2(spectra[0] * smooth).real + dark
    background = jnp.maximum(background, -offset_error * jnp.mean(noise.gain))
    predicted = crop(mix_bands(spectra, illumination, background=background - dark), PAD)
    variance = noise.variance(predicted.reshape(frames.shape))
    frequency = jnp.linspace(least, reach, FREQUENCIES)
    transfer = weights @ _splines(frequency[None, None], least=least, reach=reach)[:, 0, 0]
    transfer = transfer / transfer[0]
    return PredictedFrames(predicted, variance.reshape(raw_frames.shape), crop(background, PAD), frequency, transfer)


def inside_border(size: tuple[int, ...], border: int) -> Float[Array, "h w"]:
    """1 inside, 0 within `border` pixels of the edge of a field of this size."""
    return jnp.pad(jnp.ones([n - 2 * border for n in size]), border)


def _scale(image: Array, raw_frames: Array) -> int:
    """Fine pixels per raw pixel."""
    h, w = raw_frames.shape[1:]
    scale = image.shape[0] // h
    if scale == 0 or image.shape != (scale * h, scale * w):
        raise ValueError(f"an image of {image.shape} pixels is no multiple of raw frames of {(h, w)}")
    return scale


def _band_spectra(
    image: Float[Array, "h2 w2"], illumination: Illumination, otf: Transfer, *, scale: int
) -> Complex[Array, "bands h w"]:
    """Spectra of X H and of each X(k - p_d) H on the padded raw grid, X of mean 0 and standard deviation 1."""
    centred = (image - image.mean()) / jnp.maximum(image.std(), 1e-12)
    padded = mirror(centred, scale * PAD)
    h, w = padded.shape
    transfer = otf(*fine_frequencies((h // scale, w // scale), scale=scale))
    transfer = transfer * jnp.asarray(pixel_transfer(h, w, scale=scale, integrate=False), jnp.float32)
    return form_bands(padded, illumination.wave_vector, transfer, scale=scale)


def _constant(illumination: Illumination, otf: Transfer, size: tuple[int, int]) -> Complex[Array, "waves h w"]:
    """What a constant in the image adds to c+; what it adds to c0 cannot be told from the background."""
    vector = illumination.wave_vector
    return otf(vector[:, 0], vector[:, 1])[:, None, None] * carriers(vector, size=size, scale=1)


def _distances(wave_vector: Float[Array, "waves 2"], size: tuple[int, int]) -> Float[Array, "bands h w"]:
    """|k| and |k - p_d| on the raw grid."""
    ky, kx = fine_frequencies(size, scale=1)
    py, px = jnp.pad(wave_vector, ((1, 0), (0, 0))).T[..., None, None]
    return jnp.hypot(ky[None] - py, kx[None] - px)


def _splines(
    radius: Float[Array, "bands h w"], *, least: float | Array, reach: float | Array
) -> Float[Array, "splines bands h w"]:
    """Cubic B-splines, evenly spaced in the square root of a frequency from `least` to `reach`, constant beyond.

    The square root puts most of them where images have most of their power.
    """
    root = jnp.sqrt(jnp.clip(radius, least, reach))
    position = 1.0 + (SPLINES - 3) * (root - jnp.sqrt(least)) / (jnp.sqrt(reach) - jnp.sqrt(least))
    distance = jnp.abs(position[None] - jnp.arange(SPLINES, dtype=jnp.float32)[:, None, None, None])
    near = 2.0 / 3.0 - distance**2 + 0.5 * distance**3
    return jnp.where(distance < 1.0, near, jnp.maximum(2.0 - distance, 0.0) ** 3 / 6.0)


def _fit(
    frames: Float[Array, "orientations phases h w"],
    spectra: Complex[Array, "bands h2 w2"],
    illumination: Illumination,
    *,
    splines: Float[Array, "splines bands h2 w2"],
    pattern: Complex[Array, "waves h2 w2"],
    precision: Float[Array, "orientations h w"],
) -> Float[Array, "coefficients"]:
    """The coefficients of g and of the constant, by weighted least squares with a weak prior that g be smooth."""
    still = ifft2(spectra[:1] * splines[:, 0]).real
    still = jnp.concatenate([still, jnp.zeros_like(still[:1])])

    def normal_equations(part: tuple) -> tuple[Array, Array]:
        frames, rows, spectra, splines, patterns, precision = part
        columns = [still]
        for spectrum, spline, pattern in zip(spectra, splines, patterns, strict=True):
            modulated = jnp.concatenate([ifft2(spectrum[None] * spline), pattern[None]])
            columns += [modulated.real, modulated.imag]
        response = crop(jnp.stack(columns, axis=1), PAD)
        weighted = jnp.einsum("jbyx,yx,bc->jcyx", response, precision, rows.T @ rows, precision="highest")
        gram = jnp.einsum("jcyx,lcyx->jl", weighted, response, precision="highest")
        data = jnp.einsum("nb,nyx->byx", rows, frames, precision="highest") * precision[None]
        return gram, jnp.einsum("jbyx,byx->j", response, data, precision="highest")

    def by_orientation(waves: Array) -> Array:
        return waves.reshape(illumination.orientations, illumination.harmonics, *waves.shape[1:])

    waves = [by_orientation(part) for part in (spectra[1:], jnp.moveaxis(splines[:, 1:], 1, 0), pattern)]
    parts = (frames, phase_matrix(illumination), *waves, precision)
    gram, right = (x.sum(0) for x in jax.lax.map(normal_equations, parts))
    typical = jnp.abs(right[:SPLINES].sum()) / jnp.maximum(gram[:SPLINES, :SPLINES].sum(), 1e-12)
    bend = jnp.diff(jnp.eye(SPLINES, SPLINES + 1), n=2, axis=0) / _ROUGHNESS
    prior = (bend.T @ bend + jnp.eye(SPLINES + 1) / _MOST_CONSTANT**2) / jnp.maximum(typical, 1e-6) ** 2
    # To a diagonal of 1: the splines' powers span many orders of magnitude.
    total = gram + prior
    unit = 1.0 / jnp.sqrt(jnp.diag(total))
    return unit * jnp.linalg.solve(total * unit[:, None] * unit[None, :], unit * right)


def _filtered(image: Float[Array, "*batch h w"], transfer: Float[Array, "h w"]) -> Float[Array, "*batch h w"]:
    return ifft2(fft2(image) * transfer.reshape((1,) * (image.ndim - 2) + transfer.shape)).real

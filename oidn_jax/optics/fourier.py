"""The one Fourier convention of the project.

Every transform is orthonormal (`norm="ortho"`, so Parseval's theorem holds with no factor). Two layouts exist:
the half spectrum of a real image, zero frequency first, as `rfft2` returns it; and the centred full spectrum, zero
frequency at index `n // 2` of each axis, as it is shown and as a convolution over neighbouring frequencies needs it.
No other module calls an FFT.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float


def frequencies(size: int) -> Float[np.ndarray, "size"]:
    """Frequencies of an axis in cycles per pixel, zero first: 0, 1 / size, ..., -1 / size."""
    return np.fft.fftfreq(size)


def frequency_radius(height: int, width: int) -> Float[np.ndarray, "height width"]:
    """Modulus of the frequency, in cycles per pixel, on the full grid with the zero frequency first."""
    return np.hypot(frequencies(height)[:, None], frequencies(width)[None, :])


def centred_frequency_radius(size: int) -> Float[np.ndarray, "size size"]:
    """Modulus of the frequency, in cycles per pixel, on the centred full grid (zero at index size // 2)."""
    frequency = (np.arange(size) - size // 2) / size
    return np.hypot(frequency[:, None], frequency[None, :])


def rfft2(image: Float[Array, "*batch height width"]) -> Complex[Array, "*batch height half_width"]:
    """Orthonormal transform of real images over the last two axes: half spectrum, zero frequency first."""
    return jnp.fft.rfft2(image, norm="ortho")


def irfft2(
    spectrum: Complex[Array, "*batch height half_width"], *, shape: tuple[int, int]
) -> Float[Array, "*batch height width"]:
    """Inverse of `rfft2`; `shape` is (height, width) of the image, because a half spectrum leaves it open."""
    return jnp.fft.irfft2(spectrum, s=shape, norm="ortho")


def fft2(image: Array) -> Complex[Array, "*batch height width"]:
    """Orthonormal transform over the last two axes: full spectrum, zero frequency first."""
    return jnp.fft.fft2(image, norm="ortho")


def ifft2(spectrum: Complex[Array, "*batch height width"]) -> Complex[Array, "*batch height width"]:
    """Inverse of `fft2`."""
    return jnp.fft.ifft2(spectrum, norm="ortho")


def filter_image(
    image: Float[Array, "*batch height width"], transfer_function: Array | np.ndarray
) -> Float[Array, "*batch height width"]:
    """Multiply the spectrum of real images with a transfer function (height, width), full grid, zero frequency first.

    Equal to the periodic convolution with the function's inverse transform, whose real part is taken; a transfer
    function of 1 at zero frequency keeps the mean.
    """
    spectrum = rfft2(image)
    half = jnp.asarray(transfer_function)[:, : spectrum.shape[-1]].reshape(
        (1,) * (image.ndim - 2) + spectrum.shape[-2:]
    )
    return irfft2((spectrum * half).astype(spectrum.dtype), shape=(image.shape[-2], image.shape[-1]))


def fold_spectrum(
    spectrum: Complex[Array, "*batch height width"], *, factor: int
) -> Complex[Array, "*batch height2 width2"]:
    """Spectrum of every factor-th pixel, from the first on: the frequencies that sampling cannot tell apart are added.

    Full spectra, zero frequency first, orthonormal before and after.
    """
    *batch, h, w = spectrum.shape
    aliases = spectrum.reshape(*batch, factor, h // factor, factor, w // factor)
    return aliases.sum((-4, -2)) / factor


def pad_spectrum(spectrum: Complex[Array, "*batch h w"], *, factor: int) -> Complex[Array, "*batch h2 w2"]:
    """Spectrum of the same image on pixels `factor` times as fine, from the first pixel's centre on: zeros around.

    Full spectra, zero frequency first, orthonormal before and after; `fold_spectrum` undoes it.
    """
    *batch, h, w = spectrum.shape
    before = [(factor * n) // 2 - n // 2 for n in (h, w)]
    after = [factor * n - n - b for n, b in zip((h, w), before, strict=True)]
    widths = [(0, 0)] * len(batch) + list(zip(before, after, strict=True))
    centred = jnp.roll(spectrum, (h // 2, w // 2), (-2, -1))
    padded = factor * jnp.pad(centred, widths)
    return jnp.roll(padded, (-(factor * h // 2), -(factor * w // 2)), (-2, -1))


def _channels_first(images: Float[Array, "b h w c"]) -> Float[Array, "b c h w"]:
    """A transposition, as a product with the identity, which is exact for finite images.

    On a CPU, XLA fuses a plain transposition with whatever made the images, and then reads them in strides: the
    forward pass of the whole network takes 8 % longer.
    """
    b, h, w, c = images.shape
    identity = jnp.broadcast_to(jnp.eye(c, dtype=images.dtype), (b, c, c))
    pixels = images.reshape(b, h * w, c)
    return jnp.einsum("bdc,bpc->bdp", identity, pixels, precision="highest").reshape(b, c, h, w)


@jax.custom_vjp
def centred_spectrum(
    images: Float[Array, "b h w c"],
) -> tuple[Float[Array, "b h w c"], Float[Array, "b h w c"]]:
    """Real and imaginary part of the centred orthonormal spectrum of each channel.

    F(k) = (h w)^(-1/2) sum_r x(r) exp(-2 pi i k.r), the zero frequency at index (h // 2, w // 2).

    Only half of the spectrum of a real image is computed; the rest follows from F(-k) = conj F(k). The same symmetry
    makes the gradient one real inverse transform, where automatic differentiation would run a complex transform of
    the full size.
    """
    h, w = images.shape[1:3]
    half = rfft2(_channels_first(images))

    def complete(part: Array, sign: float) -> Array:
        mirrored = part[..., w // 2 : 0 : -1]
        mirrored = jnp.concatenate([mirrored[..., :1, :], jnp.flip(mirrored[..., 1:, :], axis=-2)], axis=-2)
        full = jnp.concatenate([sign * mirrored, part[..., : (w + 1) // 2]], axis=-1)
        return jnp.moveaxis(jnp.roll(full, h // 2, axis=-2), 1, -1)

    return complete(half.real, 1.0), complete(half.imag, -1.0)


def _centred_spectrum_forward(images: Array):
    return centred_spectrum(images), None


def _centred_spectrum_backward(_: None, cotangents: tuple[Array, Array]):
    """The adjoint, Re(F^-1(g)) for g = g_real + i g_imag: only the Hermitian part of g contributes.

    The reversals are done while the channels are contiguous, and the inverse transform one axis at a time, so that
    each transposition is a plain one: fused with a reversal it takes twice the time on a CPU.
    """
    h, w = cotangents[0].shape[1:3]

    def hermitian_half(part: Array, sign: float) -> Array:
        """(g(k) + sign g(-k)) / 2 for kx = 0 ... w // 2, rows in zero-first order."""
        part = jnp.roll(part, -(h // 2), axis=1)
        positive = jnp.concatenate([part[:, :, w // 2 :], part[:, :, : (w + 1) % 2]], axis=2)
        mirrored = jnp.flip(part[:, :, : w // 2 + 1], axis=2)
        mirrored = jnp.concatenate([mirrored[:, :1], jnp.flip(mirrored[:, 1:], axis=1)], axis=1)
        return 0.5 * (positive + sign * mirrored)

    half = jax.lax.complex(hermitian_half(cotangents[0], 1.0), hermitian_half(cotangents[1], -1.0))
    columns = jnp.fft.ifft(jnp.moveaxis(half, 1, -1), norm="ortho")  # (b, kx, c, y)
    images = jnp.fft.irfft(jnp.moveaxis(columns, 1, -1), n=w, norm="ortho")  # (b, c, y, x)
    return (jnp.moveaxis(images, 1, -1),)


centred_spectrum.defvjp(_centred_spectrum_forward, _centred_spectrum_backward)


def numpy_centred_ifft2(spectrum: Float[np.ndarray, "height width"]) -> Complex[np.ndarray, "height width"]:
    """Inverse transform from a centred spectrum to a centred image (zero at index n // 2), in float64.

    Not orthonormal: carries 1 / (h w), so that a transfer function of 1 at zero frequency gives an image of sum 1.
    numpy, so that constants of a network can be computed while it is traced.
    """
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(spectrum)))

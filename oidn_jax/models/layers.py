"""What the networks share: convolutions, pixel shuffle, initialisers, the check of the input."""

import math
from functools import partial, reduce

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from oidn_jax import random

LAYOUT = ("NHWC", "HWIO", "NHWC")
SMALLEST_IMAGE = 16


def kernel_init(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """Initial kernel, uniform on +-1 / sqrt(fan_in): the default of the framework that OIDN was published in."""
    return bias_init(math.prod(shape[:-1]))(key, shape, dtype)


def bias_init(fan_in: int):
    """Initialiser of a bias, uniform on +-1 / sqrt(fan_in)."""
    bound = fan_in**-0.5
    return lambda key, shape, dtype=jnp.float32: random.uniform(key, shape, dtype, minval=-bound, maxval=bound)


def _convolve(x: Array, kernel: Array, *, before: tuple[int, int]) -> Array:
    """Size-keeping cross-correlation; `before` is the zero padding in front of each axis."""
    padding = [(pad, size - 1 - pad) for pad, size in zip(before, kernel.shape[:2], strict=True)]
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=LAYOUT)


@jax.custom_vjp
def conv_same(x: Float[Array, "b h w in"], kernel: Float[Array, "kh kw in out"]) -> Float[Array, "b h w out"]:
    """Cross-correlation with zero padding that keeps the size, y[p] = sum_u x[p + u - k // 2] kernel[u].

    The gradient by the kernel is ours on a CPU: XLA computes it there as one convolution whose kernel is as large as
    the image and reaches a fifth of the rate of the forward convolution; see `_kernel_gradient_by_products`.
    """
    return _convolve(x, kernel, before=(kernel.shape[0] // 2, kernel.shape[1] // 2))


def _kernel_gradient_by_xla(x: Array, gradient: Array, kernel_shape: tuple[int, ...]) -> Array:
    before = (kernel_shape[0] // 2, kernel_shape[1] // 2)
    transpose = jax.linear_transpose(
        lambda kernel: _convolve(x, kernel, before=before), jax.ShapeDtypeStruct(kernel_shape, x.dtype)
    )
    return transpose(gradient)[0]


def _shift(x: Array, *, axis: int, by: int, channels: tuple[int, int] = (0, 0)) -> Array:
    """Move an image along an axis, zeros coming in, with `channels` zero channels put before and after its own."""
    padding = [(0, 0, 0)] * 3 + [(*channels, 0)]
    padding[axis] = (by, -by, 0)
    return jax.lax.pad(x, jnp.zeros((), x.dtype), padding)


def _kernel_gradient_by_products(x: Array, gradient: Array, kernel_shape: tuple[int, ...]) -> Array:
    """sum_p x[p + u - k // 2] gradient[p] for all taps u, as one matrix product per row of the kernel.

    The shift along the width is moved to the gradient, whose shifted copies lie side by side: a product of
    (in, pixels) with (pixels, kw * out), large enough to run at more than half the rate of the forward convolution.
    The copies are put side by side by a sum of padded ones, which XLA runs as one loop on all cores at four times the
    speed of its concatenation, and the product runs by chunks of pixels, which keeps all cores busy.
    """
    (b, h), (kh, kw, channels_in, channels_out) = x.shape[:2], kernel_shape
    chunks = math.gcd(b * h, 16)
    beside = [(v * channels_out, (kw - 1 - v) * channels_out) for v in range(kw)]
    copies = [_shift(gradient, axis=2, by=v - kw // 2, channels=beside[v]) for v in range(kw)]
    shifted = reduce(jnp.add, copies).reshape(chunks, -1, kw * channels_out)
    rows = [_shift(x, axis=1, by=kh // 2 - u).reshape(chunks, -1, channels_in) for u in range(kh)]
    products = [jnp.einsum("npi,npo->nio", row, shifted).sum(0) for row in rows]
    return jnp.stack(products).reshape(kh, channels_in, kw, channels_out).transpose(0, 2, 1, 3)


def _conv_same_forward(x: Array, kernel: Array):
    return conv_same(x, kernel), (x, kernel)


def _conv_same_backward(residuals: tuple[Array, Array], gradient: Array):
    x, kernel = residuals
    kh, kw = kernel.shape[:2]
    flipped = jnp.flip(kernel, axis=(0, 1)).swapaxes(2, 3)
    kernel_gradient = jax.lax.platform_dependent(
        x,
        gradient,
        cpu=partial(_kernel_gradient_by_products, kernel_shape=kernel.shape),
        default=partial(_kernel_gradient_by_xla, kernel_shape=kernel.shape),
    )
    return _convolve(gradient, flipped, before=(kh - 1 - kh // 2, kw - 1 - kw // 2)), kernel_gradient


conv_same.defvjp(_conv_same_forward, _conv_same_backward)


class Conv(nn.Module):
    """Convolution with bias: size-keeping for stride 1, else with `padding` zeros on each side.

    Computes in `dtype` with float32 parameters `kernel` (HWIO) and `bias`, which begin at 0 where `zero_start`.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    padding: int = 0
    dtype: DTypeLike = jnp.float32
    zero_start: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w in"]) -> Float[Array, "b h2 w2 out"]:
        """Convolve; the output has `features` channels."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        start, start_bias = kernel_init, bias_init(shape[0] * shape[1] * shape[2])
        if self.zero_start:
            start = start_bias = nn.initializers.zeros
        kernel = self.param("kernel", start, shape).astype(self.dtype)
        bias = self.param("bias", start_bias, (self.features,)).astype(self.dtype)
        x = x.astype(self.dtype)
        if self.stride == 1:
            y = conv_same(x, kernel)
        else:
            padding = [(self.padding, self.padding)] * 2
            y = jax.lax.conv_general_dilated(x, kernel, (self.stride,) * 2, padding, dimension_numbers=LAYOUT)
        return y + bias.reshape(1, 1, 1, -1)


class GatedMixing(nn.Module):
    """1x1 convolution of gated channels with bias: z[p, d] = sum_c y[p, c] gate[c] kernel[c, d] + bias[d].

    The gate multiplies the kernel of each sample, not the image: gated images need not be made, nor kept for the
    gradient.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, y: Float[Array, "b h w c"], gate: Float[Array, "b c"]) -> Float[Array, "b h w c"]:
        """Features of the same shape."""
        channels = y.shape[-1]
        kernel = self.param("kernel", kernel_init, (1, 1, channels, channels))
        bias = self.param("bias", bias_init(channels), (channels,)).astype(self.dtype)
        gated_kernel = (gate[:, :, None] * kernel[0]).astype(self.dtype)
        return jnp.einsum("bhwc,bcd->bhwd", y.astype(self.dtype), gated_kernel) + bias.reshape(1, 1, 1, -1)


def pixel_shuffle(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c2"]:
    """Depth to space: channel c * factor^2 + dy * factor + dx goes to channel c at sub-pixel (dy, dx)."""
    b, h, w, channels = x.shape
    c = channels // factor**2
    x = x.reshape(b, h, w, c, factor, factor).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(b, h * factor, w * factor, c)


def check_raw_frames(raw_frames: Array, *, frames: int) -> None:
    """Refuses the input of a network where it is not (b, h, w, frames) of at least 16 x 16 pixels.

    Raises:
        ValueError: what is wrong with it.
    """
    if raw_frames.ndim != 4 or raw_frames.shape[-1] != frames:
        raise ValueError(
            f"raw_frames has the shape {tuple(raw_frames.shape)}; this network takes (b, h, w, {frames}), the frames "
            "on the last axis"
        )
    if raw_frames.shape[1] < SMALLEST_IMAGE or raw_frames.shape[2] < SMALLEST_IMAGE:
        raise ValueError(
            f"raw_frames are {raw_frames.shape[1]} x {raw_frames.shape[2]} pixels; "
            f"the smallest image is {SMALLEST_IMAGE} x {SMALLEST_IMAGE}"
        )

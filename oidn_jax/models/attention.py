"""Channel attention: a gate for each channel, from the image or its spectrum, and the weights that mix two of them."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from oidn_jax.models.layers import Conv, bias_init, conv_same, kernel_init
from oidn_jax.optics.fourier import centred_spectrum

_GAMMA = 0.8


def gate_convolution(pooled: Float[Array, "b pooled"], kernel: Float[Array, "3"]) -> Float[Array, "b half"]:
    """1-D cross-correlation over the pooled statistics: kernel 3, stride 2, zero padding 1.

    out[j] = k[0] p[2j - 1] + k[1] p[2j] + k[2] p[2j + 1].
    """
    padded = jnp.pad(pooled, ((0, 0), (1, 0)))
    length = pooled.shape[1]
    return kernel[0] * padded[:, 0:length:2] + kernel[1] * padded[:, 1::2] + kernel[2] * padded[:, 2::2]


def _gate_kernel_init(key: Array, shape: tuple[int, ...]) -> Array:
    return bias_init(3)(key, shape)


def values_at_largest(size: Float[Array, "b h w c"], *images: Float[Array, "b h w c"]) -> list[Float[Array, "b c"]]:
    """Per channel, the value of each image where `size` >= 0 is largest (the mean of them where several tie).

    A maximum and masked sums: an argmax and a gather cost several times as much on a CPU, and all that the backward
    pass needs is the mask. Sizes tie within two roundings, because a compiler that computes `size` once for the maximum
    and once for the comparison need not round it alike, and no value may be left without a maximum.
    """
    size = jax.lax.stop_gradient(size)
    largest = size >= (1.0 - 2.0 * jnp.finfo(size.dtype).eps) * size.max((1, 2), keepdims=True)
    count = largest.sum((1, 2))
    return [jnp.where(largest, image, 0.0).sum((1, 2)) / count for image in images]


class PooledAttention(nn.Module):
    """Gate of each channel from the mean and the maximum of its filtered image.

    s = relu(conv3x3(y)); A = sigmoid(gate_convolution(concat(mean_hw s, max_hw s))), range (0, 1). OIDN has it of the
    features, APCAN of the amplitude and of the phase of their spectrum.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, y: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
        """Gate of each channel and sample, float32."""
        s = nn.relu(Conv(y.shape[-1], dtype=self.dtype, name="conv")(y)).astype(jnp.float32)
        pooled = jnp.concatenate([s.mean((1, 2)), *values_at_largest(s, s)], axis=-1)
        return nn.sigmoid(gate_convolution(pooled, self.param("gate_kernel", _gate_kernel_init, (3,))))


def damped_amplitude(real: Float[Array, "b h w c"], imag: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """|F|^0.8, which draws weak high frequencies nearer to strong low ones; the power of DFCAN and APCAN.

    Computed as (|F|^2 + 1e-16)^0.4, whose gradient is finite where F is 0.
    """
    return (real**2 + imag**2 + 1e-16) ** (0.5 * _GAMMA)


class ComplexConv(nn.Module):
    """Complex 3x3 convolution, zero-padded: (x_r + i x_i) * (w_r + i w_i) with a bias on each real convolution.

    The reference computes four real convolutions, real = C_r(x_r) - C_i(x_i), imag = C_r(x_i) + C_i(x_r), where C_r and
    C_i each add their own bias; the same result takes three (Gauss): t = w_r * (x_r + x_i),
    real = t - (w_r + w_i) * x_i, imag = t + (w_i - w_r) * x_r, biases b_r - b_i and b_r + b_i.
    """

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, real: Float[Array, "b h w c"], imag: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b h w d"], Float[Array, "b h w d"]]:
        """Real and imaginary part of the convolution, in the compute type."""
        shape = (3, 3, real.shape[-1], self.features)
        fan_in = 9 * real.shape[-1]
        kernel_real = self.param("kernel_real", kernel_init, shape)
        kernel_imag = self.param("kernel_imag", kernel_init, shape)
        bias_real = self.param("bias_real", bias_init(fan_in), (self.features,))
        bias_imag = self.param("bias_imag", bias_init(fan_in), (self.features,))

        def convolve(x: Array, kernel: Array) -> Array:
            return conv_same(x, kernel.astype(self.dtype))

        real, imag = real.astype(self.dtype), imag.astype(self.dtype)

        # The sum is made again in the backward pass rather than kept.
        common = jax.checkpoint(lambda real, imag: convolve(real + imag, kernel_real))(real, imag)
        out_real = common - convolve(imag, kernel_real + kernel_imag)
        out_imag = common + convolve(real, kernel_imag - kernel_real)
        return (
            out_real + (bias_real - bias_imag).astype(self.dtype).reshape(1, 1, 1, -1),
            out_imag + (bias_real + bias_imag).astype(self.dtype).reshape(1, 1, 1, -1),
        )


class FrequencyAttention(nn.Module):
    """Gate of each channel from its filtered spectrum.

    c = complex relu(ComplexConv(centred orthonormal spectrum of y)), relu on both parts; complex mean and complex
    value of largest modulus; complex gate convolution, sigmoid on both parts; A = modulus, range (0, sqrt 2).
    The zero frequency of an orthonormal transform grows with the image size, and so does the gate.
    """

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, y: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
        """Gate of each channel and sample, float32."""
        spectrum = centred_spectrum(y.astype(jnp.float32))
        real, imag = ComplexConv(y.shape[-1], dtype=self.dtype, name="conv")(*spectrum)
        real, imag = nn.relu(real).astype(jnp.float32), nn.relu(imag).astype(jnp.float32)
        max_real, max_imag = values_at_largest(real**2 + imag**2, real, imag)
        pooled_real = jnp.concatenate([real.mean((1, 2)), max_real], axis=-1)
        pooled_imag = jnp.concatenate([imag.mean((1, 2)), max_imag], axis=-1)
        kernel_real = self.param("gate_kernel_real", _gate_kernel_init, (3,))
        kernel_imag = self.param("gate_kernel_imag", _gate_kernel_init, (3,))
        gate_real = gate_convolution(pooled_real, kernel_real) - gate_convolution(pooled_imag, kernel_imag)
        gate_imag = gate_convolution(pooled_imag, kernel_real) + gate_convolution(pooled_real, kernel_imag)
        return jnp.hypot(nn.sigmoid(gate_real), nn.sigmoid(gate_imag))


def squeeze_excite(pooled: Float[Array, "b c"], outputs: int) -> Float[Array, "b outputs"]:
    """dense(relu(dense(pooled))) through a sixteenth of the channels, of the module that is running."""
    channels = pooled.shape[-1]
    hidden_size = max(channels // 16, 1)
    squeeze = nn.Dense(hidden_size, kernel_init=kernel_init, bias_init=bias_init(channels), name="squeeze")
    excite = nn.Dense(outputs, kernel_init=kernel_init, bias_init=bias_init(hidden_size), name="excite")
    return excite(nn.relu(squeeze(pooled)))


class DomainWeights(nn.Module):
    """Weights (alpha, beta) of two attentions, from the global average of each channel.

    w = softmax(squeeze_excite(mean_hw y) / c) over two logits, c channels; alpha = min w, beta = max w, so
    alpha + beta = 1 and the second attention never has the smaller share.
    """

    @nn.compact
    def __call__(self, y: Float[Array, "b h w c"]) -> tuple[Float[Array, "b 1"], Float[Array, "b 1"]]:
        """alpha and beta of each sample, float32."""
        weights = nn.softmax(squeeze_excite(y.astype(jnp.float32).mean((1, 2)), 2) / y.shape[-1])
        return weights.min(-1, keepdims=True), weights.max(-1, keepdims=True)


class ChannelAttention(nn.Module):
    """Gate of each channel from the global average of all: sigmoid(squeeze_excite(mean_hw y)), range (0, 1).

    Source: Zhang et al., "Image super-resolution using very deep residual channel attention networks", ECCV (2018).
    """

    @nn.compact
    def __call__(self, y: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
        """Gate of each channel and sample, float32."""
        return nn.sigmoid(squeeze_excite(y.astype(jnp.float32).mean((1, 2)), y.shape[-1]))

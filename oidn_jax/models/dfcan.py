"""DFCAN: channel attention from the power spectrum of the features.

Source: Qiao et al., "Evaluation and development of deep neural networks for image super-resolution in optical
microscopy", Nature Methods 18 (2021). The authors of OIDN compare with a port to PyTorch that is another network; it is
here too, with outputs equal to theirs in float32. Any image of at least 16 x 16 pixels, any number of frames.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from oidn_jax.models.attention import ChannelAttention, damped_amplitude
from oidn_jax.models.blocks import DTYPES, ResidualGroup, check_choices, check_whole, repeat, super_resolve
from oidn_jax.models.layers import Conv, check_raw_frames
from oidn_jax.models.prediction import Prediction
from oidn_jax.optics.fourier import centred_spectrum

VARIANTS = ("published", "authors")
_PATCH = 128  # that the published network is trained on, and whose spectrum it takes


class FourierChannelAttention(nn.Module):
    """Gate of each channel from the amplitudes of its spectrum: A = ChannelAttention(relu(conv3x3(|F|^0.8))).

    "published": F = 128 times the centred orthonormal spectrum, which is the plain sum over the pixels of a patch of
    128 x 128. At any other size the published code takes the plain sum too, so that all its amplitudes grow with the
    image, and then resizes them to 128 x 128; here white noise has the same amplitudes at every size.
    "authors": the plain sum, amplitudes resized to 128 x 128 (linear between the pixels, without a filter before). They
    are shifted by half of the channels and of the height, not of height and width, so that the zero frequency of
    channel c lies at the left border of channel c + width / 2.
    """

    variant: str
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, y: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
        """Gate of each channel and sample, float32, range (0, 1)."""
        _, h, w, channels = y.shape
        real, imag = centred_spectrum(y.astype(jnp.float32))
        unit = _PATCH if self.variant == "published" else (h * w) ** 0.5
        amplitude = damped_amplitude(unit * real, unit * imag)
        if self.variant == "authors":
            amplitude = jnp.roll(amplitude, (-(w // 2), channels // 2), (2, 3))
            amplitude = jax.image.resize(amplitude, (y.shape[0], _PATCH, _PATCH, channels), "linear", antialias=False)
        filtered = nn.relu(Conv(channels, dtype=self.dtype, name="conv")(amplitude))
        return ChannelAttention(name="attention")(filtered)


class FCAB(nn.Module):
    """Fourier channel attention block: y = gelu(conv(gelu(conv(x)))); out = x + y A(y)."""

    variant: str
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Features of the same shape."""
        y = x
        for i in range(2):
            y = _gelu(Conv(x.shape[-1], dtype=self.dtype, name=f"conv_{i}")(y), self.variant)
        gate = FourierChannelAttention(self.variant, dtype=self.dtype, name="fourier_attention")(y)
        return x + y * gate.astype(self.dtype)[:, None, None, :]


def _gelu(x: Array, variant: str) -> Array:
    """x Phi(x); published by its approximation 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""
    return nn.gelu(x, approximate=variant == "published")


class DFCAN(nn.Module):
    """The network.

    Fields:
        width: channels of the body. groups, blocks: groups of FCABs, and FCABs in each.
        variant: "published", or "authors" for the port of OIDN's authors: another shift of the spectrum
            (`FourierChannelAttention`), the exact GELU, and no sigmoid at the end.
        dtype: "float32" or "bfloat16", of the convolutions; parameters, FFT, statistics and the last layer stay
            float32.
        remat: recompute activations in the backward pass, for less memory and more time.
        frames: raw frames per image. scale: super-resolution factor.

    Raises:
        ValueError: if a field, or the shape of the input, is not legal.
    """

    width: int = 64
    groups: int = 4
    blocks: int = 4
    variant: str = "published"
    dtype: str = "float32"
    remat: bool = False
    frames: int = 9
    scale: int = 2

    def __post_init__(self):
        check_whole(self, "width", "groups", "blocks", "frames", "scale")
        check_choices(self, variant=VARIANTS, dtype=DTYPES)
        super().__post_init__()

    @nn.compact
    def __call__(self, raw_frames: Float[Array, "b h w frames"]) -> Prediction:
        """Super-resolve normalised raw frames; in (0, 1), through a sigmoid, as published."""
        check_raw_frames(raw_frames, frames=self.frames)
        dtype, gelu = jnp.dtype(self.dtype), partial(_gelu, variant=self.variant)
        shallow = gelu(Conv(self.width, dtype=dtype, name="head")(raw_frames))
        block = partial(nn.remat(FCAB) if self.remat else FCAB, variant=self.variant)
        group = ResidualGroup(block=block, blocks=self.blocks, dtype=dtype, closed=False, name="groups")
        features, _ = repeat(self.groups)(group, shallow, None)
        image = super_resolve(self, features, gelu)
        return Prediction(image=nn.sigmoid(image) if self.variant == "published" else image)

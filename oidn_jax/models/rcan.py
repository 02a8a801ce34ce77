"""RCAN: residual channel attention, for the raw frames of SIM.

Source: Zhang et al., "Image super-resolution using very deep residual channel attention networks", ECCV (2018). Theirs
has 10 groups of 20 blocks; the default here are the 4 groups of 4 that OIDN, APCAN and DFCAN have, for comparison.
"""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from oidn_jax.models.attention import ChannelAttention
from oidn_jax.models.blocks import DTYPES, check_choices, check_whole, residual_trunk, super_resolve
from oidn_jax.models.layers import Conv, check_raw_frames
from oidn_jax.models.prediction import Prediction


class RCAB(nn.Module):
    """Residual channel attention block: y = conv(relu(conv(x))); out = x + y A(y), A of `ChannelAttention`."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Features of the same shape."""
        y = Conv(x.shape[-1], dtype=self.dtype, name="conv_0")(x)
        y = Conv(x.shape[-1], dtype=self.dtype, name="conv_1")(nn.relu(y))
        gate = ChannelAttention(name="attention")(y)
        return x + y * gate.astype(self.dtype)[:, None, None, :]


class RCAN(nn.Module):
    """The network.

    Fields:
        width: channels of the body. groups, blocks: groups of RCABs, and RCABs in each.
        dtype: "float32" or "bfloat16", of the convolutions; parameters, statistics and the last layer stay float32.
        remat: recompute activations in the backward pass, for less memory and more time.
        frames: raw frames per image. scale: super-resolution factor.

    Raises:
        ValueError: if a field, or the shape of the input, is not legal.
    """

    width: int = 64
    groups: int = 4
    blocks: int = 4
    dtype: str = "float32"
    remat: bool = False
    frames: int = 9
    scale: int = 2

    def __post_init__(self):
        check_whole(self, "width", "groups", "blocks", "frames", "scale")
        check_choices(self, dtype=DTYPES)
        super().__post_init__()

    @nn.compact
    def __call__(self, raw_frames: Float[Array, "b h w frames"]) -> Prediction:
        """Super-resolve normalised raw frames."""
        check_raw_frames(raw_frames, frames=self.frames)
        _, features = residual_trunk(self, raw_frames, block=RCAB)
        return Prediction(image=super_resolve(self, features))

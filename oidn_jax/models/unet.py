"""A plain U-Net from raw frames to the super-resolved image: the end-to-end network that knows no physics.

Source: Ronneberger et al., MICCAI (2015), with residual blocks (He et al., CVPR (2016)) and sub-pixel convolution (Shi
et al., CVPR (2016)).
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from oidn_jax.errors import IllegalValue
from oidn_jax.models.layers import Conv, check_raw_frames, pixel_shuffle
from oidn_jax.models.prediction import Prediction


class ResidualBlock(nn.Module):
    """x + conv(gelu(conv(gelu(x)))), after a convolution to `width` channels where x has others."""

    width: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c2"]:
        """Features of `width` channels."""
        if x.shape[-1] != self.width:
            x = Conv(self.width, kernel_size=1, dtype=self.dtype, name="project")(x)
        y = Conv(self.width, dtype=self.dtype, name="conv_0")(nn.gelu(x))
        return x + Conv(self.width, dtype=self.dtype, name="conv_1")(nn.gelu(y))


def mirrored_to_multiple(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c"]:
    """Images continued below and to the right by their mirror image, to the next multiples of `factor`.

    By indices, not by `jnp.pad`, which takes no size that is known only when an exported program runs.
    """
    for axis in (1, 2):
        size = x.shape[axis]
        if size % factor == 0:
            continue
        index = jnp.arange((size + factor - 1) // factor * factor)
        x = jnp.take(x, jnp.minimum(index, 2 * size - 1 - index), axis=axis)
    return x


class UNet(nn.Module):
    """The network.

    Fields:
        widths: channels at each resolution, the finest first; between two of them the resolution halves.
        dtype: "float32" or "bfloat16", of all convolutions but the last; parameters stay float32.
        frames: raw frames per image. scale: super-resolution factor.
        with_error: whether it gives `log_error` too.
        zero_start: whether the outputs of fresh parameters are 0.

    Raises:
        ValueError: if a field, or the shape of the input, is not legal.
    """

    widths: tuple[int, ...] = (32, 64, 128)
    dtype: str = "float32"
    frames: int = 9
    scale: int = 2
    with_error: bool = False
    zero_start: bool = False

    def __post_init__(self):
        if not self.widths or not all(isinstance(width, int) and width >= 1 for width in self.widths):
            raise IllegalValue("widths", self.widths, "it must be whole numbers of at least 1, as (32, 64, 128)")
        if self.dtype not in ("float32", "bfloat16"):
            raise IllegalValue("dtype", self.dtype, "legal: 'float32', 'bfloat16'")
        super().__post_init__()

    @nn.compact
    def __call__(self, raw_frames: Float[Array, "b h w frames"]) -> Prediction:
        """Super-resolve normalised raw frames of any size: what the halvings need is mirrored, and cropped again."""
        check_raw_frames(raw_frames, frames=self.frames)
        dtype, factor = jnp.dtype(self.dtype), 2 ** (len(self.widths) - 1)
        h, w = raw_frames.shape[1:3]
        x = mirrored_to_multiple(raw_frames, factor)
        skips = []
        for i, width in enumerate(self.widths):
            x = nn.avg_pool(x, (2, 2), strides=(2, 2)) if i else x
            x = ResidualBlock(width, dtype=dtype, name=f"down_{i}")(x)
            skips.append(x)
        for i, skip in reversed(list(enumerate(skips[:-1]))):
            x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
            x = ResidualBlock(self.widths[i], dtype=dtype, name=f"up_{i}")(jnp.concatenate([x, skip], axis=-1))
        inside = (slice(None), slice(self.scale * h), slice(self.scale * w))
        image = Conv(self.scale**2, zero_start=self.zero_start, name="image")(x)
        prediction = Prediction(image=pixel_shuffle(image, self.scale)[inside])
        if not self.with_error:
            return prediction
        # What it learns of its errors must not change the image.
        features = nn.gelu(Conv(self.widths[0], dtype=dtype, name="error_features")(jax.lax.stop_gradient(x)))
        log_error = Conv(self.scale**2, zero_start=True, name="error")(features)
        return prediction._replace(log_error=pixel_shuffle(log_error, self.scale)[inside])

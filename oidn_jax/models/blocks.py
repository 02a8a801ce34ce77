"""What the networks with channel attention share: groups of residual blocks, the trunk of them, the way out, fields."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from oidn_jax.errors import IllegalValue
from oidn_jax.models.attention import DomainWeights
from oidn_jax.models.layers import Conv, GatedMixing, pixel_shuffle

DTYPES = ("float32", "bfloat16")


def check_whole(module: nn.Module, *names: str) -> None:
    """Refuses fields that are no whole numbers of at least 1.

    Raises:
        IllegalValue: the first of them.
    """
    for name in names:
        value = getattr(module, name)
        if not (isinstance(value, int) and value >= 1):
            raise IllegalValue(name, value, "it must be a whole number of at least 1")


def check_choices(module: nn.Module, **choices: tuple[str, ...]) -> None:
    """Refuses fields that are none of what is legal.

    Raises:
        IllegalValue: the first of them.
    """
    for name, legal in choices.items():
        if getattr(module, name) not in legal:
            raise IllegalValue(name, getattr(module, name), f"legal: {', '.join(map(repr, legal))}")


def repeat(length: int):
    """Apply a module `length` times, its parameters stacked along a new leading axis, and compile it once."""
    return nn.scan(
        lambda module, x, _: (module(x), None),
        variable_axes={"params": 0, "intermediates": 0},
        split_rngs={"params": True},
        length=length,
    )


class DualAttentionBlock(nn.Module):
    """Residual block with two channel attentions A and B, those of `gates`, and the weights that mix them.

    y = conv(relu(conv(x))); out = x + y + relu(conv1x1(y G(y))) with the gate G = alpha A + beta B.
    """

    dtype: DTypeLike = jnp.float32

    def gates(self, y: Float[Array, "b h w c"]) -> tuple[Float[Array, "b c"], Float[Array, "b c"]]:
        """A and B of each channel and sample, float32."""
        raise NotImplementedError

    def gate(self, y: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
        """G of each channel and sample, float32."""
        alpha, beta = DomainWeights(name="domain_weights")(y)
        first, second = self.gates(y)
        return alpha * first + beta * second

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Features of the same shape."""
        width = x.shape[-1]
        y = Conv(width, dtype=self.dtype, name="conv_0")(x)
        y = Conv(width, dtype=self.dtype, name="conv_1")(nn.relu(y))
        fused = GatedMixing(dtype=self.dtype, name="fusion")(y, self.gate(y))
        return x + (y + nn.relu(fused))


class ResidualGroup(nn.Module):
    """`blocks` blocks, a convolution if `closed`, and a skip over them all."""

    block: Callable[..., Any]
    blocks: int
    dtype: DTypeLike = jnp.float32
    closed: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Features of the same shape."""
        y, _ = repeat(self.blocks)(self.block(dtype=self.dtype, name="blocks"), x, None)
        return x + (Conv(x.shape[-1], dtype=self.dtype, name="conv")(y) if self.closed else y)


def residual_trunk(
    network: Any, raw_frames: Float[Array, "b h w frames"], *, block: type[nn.Module], **fields: str
) -> tuple[Float[Array, "b h w c"], Float[Array, "b h w c"]]:
    """Shallow and deep features, the trunk of RCAN: conv, groups of blocks, conv, and a skip over all but the first.

    Args:
        network: the module that is running, whose parameters these become; its fields `width`, `groups`, `blocks`,
            `dtype`, `remat` are used.
        raw_frames: of any size.
        block: takes the field `dtype`.
        fields: others of the block.
    """
    dtype = jnp.dtype(network.dtype)
    shallow = Conv(network.width, dtype=dtype, name="head")(raw_frames)
    one = partial(nn.remat(block) if network.remat else block, **fields)
    group = ResidualGroup(block=one, blocks=network.blocks, dtype=dtype, name="groups")
    deep, _ = repeat(network.groups)(group, shallow, None)
    return shallow, Conv(network.width, dtype=dtype, name="body_conv")(deep) + shallow


def super_resolve(
    network: Any, features: Float[Array, "b h w c"], activation: Callable[[Array], Array] = lambda x: x
) -> Float[Array, "b h2 w2 1"]:
    """conv to width scale^2 channels, activation, pixel shuffle, conv to the image, of the module that is running."""
    expanded = Conv(network.width * network.scale**2, dtype=jnp.dtype(network.dtype), name="expand")(features)
    return Conv(1, name="merge")(pixel_shuffle(activation(expanded), network.scale))

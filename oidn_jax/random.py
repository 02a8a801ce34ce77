"""The random arrays of `jax.random`, in programs that compile fast.

XLA takes 2 to 8 s to compile a large random array of three axes or more for a CPU, and 0.2 to 0.5 s for the same
numbers on one axis (jax 0.10); they are drawn there and then take their shape: the values are those of `jax.random` to
the bit.
"""

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array


def normal(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """Normal random numbers of mean 0 and variance 1."""
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


def uniform(
    key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32, *, minval: float = 0.0, maxval: float = 1.0
) -> Array:
    """Uniform random numbers from `minval` to below `maxval`."""
    return jax.random.uniform(key, (math.prod(shape),), dtype, minval, maxval).reshape(shape)

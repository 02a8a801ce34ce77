"""What every metric does to its arguments: floating-point pixels of one shape."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


def as_floating(image: Any) -> Array:
    """Pixels as float32, or float64 where they are and `jax_enable_x64` is set: integers wrap around and round."""
    image = jnp.asarray(image)
    wide = jnp.issubdtype(image.dtype, jnp.floating) and image.dtype.itemsize >= 4
    return image if wide else image.astype(jnp.float32)


def as_pair(image: Any, reference: Any) -> tuple[Array, Array]:
    """Two arrays of floating-point pixels.

    Raises:
        ValueError: if their shapes differ, which would be broadcast or read in another order.
    """
    if np.shape(image) != np.shape(reference):
        raise ValueError(f"the images have the shapes {np.shape(image)} and {np.shape(reference)}; they must be equal")
    return as_floating(image), as_floating(reference)


def checked_range(data_range: Any) -> Any:
    """The data range as a float.

    Raises:
        ValueError: unless it is above 0.
    """
    if isinstance(data_range, int | float | np.number):
        if not data_range > 0:
            raise ValueError(f"data_range is {data_range}; it must be above 0")
        return float(data_range)
    return data_range


def unit_scale(image: Array) -> Array:
    """Each image divided by a power of two near its largest modulus, so that squares of its spectrum stay finite.

    Exact, and without effect on what does not depend on gain; an image of zeros stays as it is.
    """
    largest = jnp.abs(image).max((-2, -1), keepdims=True)
    return jnp.ldexp(image, -jnp.frexp(largest)[1])

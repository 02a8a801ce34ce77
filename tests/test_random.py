"""Random arrays are those of `jax.random`, whatever their shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import random


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4), (2, 3, 1, 5)])
def test_numbers_are_those_of_jax(key, shape):
    np.testing.assert_array_equal(random.normal(key, shape), jax.random.normal(key, shape))
    ours = random.uniform(key, shape, jnp.bfloat16, minval=-2.0, maxval=3.0)
    np.testing.assert_array_equal(ours, jax.random.uniform(key, shape, jnp.bfloat16, -2.0, 3.0))
    assert (ours.shape, ours.dtype) == (shape, jnp.bfloat16)

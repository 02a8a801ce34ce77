"""The guided network: before training it is its guide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import random
from oidn_jax.errors import IllegalValue
from oidn_jax.models.guided import Guided, channels
from oidn_jax.models.layers import pixel_shuffle
from oidn_jax.models.networks import has_error, has_psf

TINY = {"unet": {"widths": (4, 8)}, "oidn": {"body": "oidn", "width": 4, "groups": 1, "blocks": 1}}


@pytest.mark.parametrize("body", TINY)
@pytest.mark.parametrize("scale", [2, 3])
def test_fresh_parameters_give_the_first_guide(key, body, scale):
    network = Guided(**TINY[body], scale=scale)
    guides = random.normal(key, (2, 18, 17, channels(scale=scale)))
    prediction, _ = jax.jit(network.init_with_output)(key, guides)
    np.testing.assert_allclose(prediction.image, pixel_shuffle(guides[..., : scale**2], scale), atol=1e-6)
    fields = {"name": "guided", **TINY[body]}
    assert (prediction.psf is not None) == has_psf(fields) == (body == "oidn")
    assert (prediction.log_error is not None) == has_error(fields) == (body == "unet")


def test_a_fresh_network_expects_errors_of_the_size_of_the_noise(key):
    network = Guided(**TINY["unet"])
    guides = random.normal(key, (1, 16, 16, 16)).at[..., 12].set(-1.5)
    prediction, _ = jax.jit(network.init_with_output)(key, guides)
    np.testing.assert_allclose(jnp.exp(prediction.log_error), 10.0**-1.5, rtol=1e-5)


def test_what_it_learns_of_its_errors_does_not_move_the_image(key):
    network = Guided(**TINY["unet"])
    guides = random.normal(key, (1, 16, 16, 16))
    params = jax.jit(network.init)(key, guides)["params"]
    # Not at zero, where no gradient passes the last layer anyhow.
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)
    gradient = jax.jit(jax.grad(lambda p: network.apply({"params": p}, guides).log_error.sum()))(params)["body"]
    size = {name: max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(part)) for name, part in gradient.items()}
    assert {name for name, largest in size.items() if largest > 0} == {"error", "error_features"}


def test_fields_that_are_not_legal_are_refused():
    with pytest.raises(IllegalValue, match="`body` is 'vit'; legal: 'unet', 'oidn'"):
        Guided(body="vit")
    with pytest.raises(IllegalValue, match="`widths` is"):
        Guided(widths=())
    with pytest.raises(IllegalValue, match="`blocks` is 0"):
        Guided(body="oidn", blocks=0)

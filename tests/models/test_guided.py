"""The guided network: before training it is its guide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import random
from oidn_jax.errors import IllegalValue
from oidn_jax.models.guided import CONDITIONS, GUIDES, VIEWS, Guided, View, channels, fold
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


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_guides_are_seen_as_those_of_the_mirrored_scene(view):
    numbers = np.random.default_rng(0)
    images = numbers.normal(size=(GUIDES, 12, 8)).astype(np.float32)
    conditions = numbers.normal(size=CONDITIONS).astype(np.float32)
    scene = images[:, :: -1 if view.y else 1, :: -1 if view.x else 1]
    scene = scene.swapaxes(1, 2) if view.transposed else scene
    folded, folded_scene = (
        np.asarray(fold(*map(jnp.asarray, (each, conditions)), scale=2)) for each in (images, scene)
    )
    np.testing.assert_array_equal(view.of_guides(folded, scale=2), folded_scene)
    np.testing.assert_array_equal(view.undone(scene), images)


def test_there_are_eight_views_and_the_first_is_the_scene():
    assert len(set(VIEWS)) == 8
    assert VIEWS[0] == View()
    assert not any(view.transposed for view in VIEWS[:4])


def test_fields_that_are_not_legal_are_refused():
    with pytest.raises(IllegalValue, match="`body` is 'vit'; legal: 'unet', 'oidn'"):
        Guided(body="vit")
    with pytest.raises(IllegalValue, match="`widths` is"):
        Guided(widths=())
    with pytest.raises(IllegalValue, match="`blocks` is 0"):
        Guided(body="oidn", blocks=0)

"""OIDN against the authors' numbers, and the laws of its parts."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import losses, random
from oidn_jax.models.oidn import OIDN
from oidn_jax.models.prediction import Prediction
from oidn_jax.models.published import to_model
from oidn_jax.models.weights import flattened
from oidn_jax.optics.microscope import Microscope
from tests.golden_oidn import golden_frames, our_gradient_norm, published_parameters

SMALL = {"width": 16, "groups": 1, "blocks": 2, "psf_init": "authors"}


@pytest.fixture(scope="module")
def numbers():
    with np.load(Path(__file__).parents[1] / "data" / "oidn_small.npz") as file:
        return dict(file)


def sampled(activation):
    return np.asarray(activation).transpose(0, 3, 1, 2)[:, :, 5:-5:17, 3:-3:19]


class Run(NamedTuple):
    """What the network makes of the authors' parameters and frames."""

    prediction: Prediction
    activations: dict
    loss: float
    penalty: float
    gradients: dict


@pytest.fixture(scope="module")
def run(numbers):
    """One program: a network of this size takes long to compile."""
    network = OIDN(**SMALL)
    target = golden_frames(channels=1, size=256)
    model = to_model(published_parameters(numbers), network="oidn", microscope=Microscope(), source="golden")
    parameters = model.params

    def loss(parameters):
        variables, frames = {"params": parameters}, jnp.asarray(golden_frames())
        prediction, captured = network.apply(variables, frames, capture_intermediates=True)
        penalty = losses.psf_monotonicity(prediction.psf_correction)
        value = ((prediction.image - target) ** 2).mean() + 1e-3 * penalty
        return value, (prediction, captured["intermediates"], penalty)

    (value, (prediction, activations, penalty)), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(parameters)
    return Run(prediction, activations, value, penalty, gradients)


def test_outputs_equal_the_authors(run, numbers):
    image, psf = (np.asarray(part).transpose(0, 3, 1, 2) for part in (run.prediction.image, run.prediction.psf))
    np.testing.assert_allclose(image, numbers["output/sr"], atol=1e-4)
    np.testing.assert_allclose(psf, numbers["output/psf"], atol=1e-7)


def test_activations_equal_the_authors(run, numbers):
    captured = run.activations
    group = captured["groups"]
    block = group["blocks"]

    def first(value, *, stacked):
        value = value["__call__"][0]
        return value[(0,) * stacked]

    y = first(block["conv_1"], stacked=2)
    spatial = first(block["spatial_attention"], stacked=2)[:, None, None, :]
    frequency = first(block["frequency_attention"], stacked=2)[:, None, None, :]
    ours = {
        "head": captured["head"]["__call__"][0],
        "spatial0": y * spatial,
        "frequency0": y * frequency,
        "addb0": first(block, stacked=2),
        "addg0": first(group, stacked=1),
        "body": captured["body_conv"]["__call__"][0],
        "tail": captured["noise_merge"]["__call__"][0],
    }
    for name, activation in ours.items():
        np.testing.assert_allclose(sampled(activation), numbers[f"activation_sampled/{name}"], atol=1e-4, err_msg=name)


def test_gradient_norms_equal_the_authors(run, numbers):
    np.testing.assert_allclose(run.penalty, numbers["output/psf_monotonic_penalty"], rtol=1e-4)
    np.testing.assert_allclose(run.loss, numbers["grad/loss"], rtol=1e-4)
    checked = 0
    for name, expected in zip(numbers["grad/param_names"], numbers["grad/param_norms"], strict=True):
        if not np.isnan(expected):
            ours = our_gradient_norm(run.gradients, str(name))
            # The last PSF convolution's bias adds the same to all logits of a softmax: its gradient is round-off.
            atol = 1e-8 if name == "Conv_2_5.bias" else 0.0
            np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=atol, err_msg=str(name))
            checked += 1
    assert checked == 65


TINY = {"width": 4, "groups": 1, "blocks": 1, "psf_init": "authors"}


def tiny(**fields):
    """Parameters by path and what a tiny network makes of random frames."""
    network = OIDN(**TINY, **fields)
    frames = random.uniform(jax.random.key(1), (2, 16, 20, 9))
    params = network.init(jax.random.key(0), frames)["params"]
    return flattened(params), network.apply({"params": params}, frames)


def test_without_the_psf_head_the_image_is_the_sum_of_the_clean_frames():
    leaves, prediction = tiny(degradation="sum")
    assert prediction.psf is prediction.psf_correction is None
    assert not any(path.startswith("psf_head") for path in leaves)
    expected = (prediction.upsampled_frames - prediction.noise).sum(-1, keepdims=True)
    np.testing.assert_allclose(prediction.image, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "without"),
    [
        ({"attention": "spatial"}, ("frequency_attention", "domain_weights")),
        ({"attention": "frequency"}, ("spatial_attention", "domain_weights")),
        ({"domain_weights": "equal"}, ("domain_weights",)),
    ],
)
def test_ablations_leave_out_what_they_say_and_nothing_else(fields, without):
    whole, published = tiny()
    leaves, prediction = tiny(**fields)
    assert whole.keys() - leaves.keys() == {
        path for path in whole if path.split("/")[2:3] and path.split("/")[2] in without
    }
    assert not leaves.keys() - whole.keys()
    for path, value in leaves.items():
        np.testing.assert_array_equal(value, whole[path])  # so that runs of one seed begin alike
    assert np.abs(prediction.image - published.image).max() > 1e-6


@pytest.mark.parametrize("field", ["attention", "domain_weights", "degradation"])
def test_other_ablations_are_refused(field):
    with pytest.raises(ValueError, match=f"`{field}` is 'none'; legal: "):
        OIDN(**TINY, **{field: "none"})

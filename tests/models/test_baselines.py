"""DFCAN, APCAN and RCAN: against the authors' numbers, and their attention against plain numpy.

The goldens are of the authors' PyTorch networks (float32, CPU) at 16 features and one group, of four (DFCAN) or two
blocks; `output_sampled/sr` is the image at [1::3, 2::3]. Their round-off is below 1e-6.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.errors import IllegalValue
from oidn_jax.models.apcan import APCAB
from oidn_jax.models.attention import ChannelAttention, gate_convolution
from oidn_jax.models.dfcan import DFCAN, FourierChannelAttention
from oidn_jax.models.layers import conv_same
from oidn_jax.models.networks import NETWORKS
from oidn_jax.models.published import to_model
from oidn_jax.models.rcan import RCAB
from oidn_jax.optics.microscope import Microscope
from oidn_jax.random import normal
from tests.golden_oidn import golden_frames, published_parameters

# Compiles fast.
FAST_KEY = jax.random.key(0, impl="rbg")


@pytest.mark.parametrize(("network", "samples"), [("apcan", 2), ("dfcan", 1)])
def test_images_equal_the_authors(golden, network, samples):
    numbers = golden({"apcan": "apcan_small", "dfcan": "dfcan_authors_small"}[network])
    model = to_model(published_parameters(numbers), network=network, microscope=Microscope(), source="golden")
    image = np.asarray(model(golden_frames()[:samples]).image).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(image[:, :, 1::3, 2::3], numbers["output_sampled/sr"], atol=1e-5)


def drawn(module, *inputs):
    """Parameters of a module, of small normal values that compile nothing."""
    random = np.random.default_rng(1)
    shapes = jax.eval_shape(module.init, FAST_KEY, *inputs)
    return jax.tree.map(lambda leaf: random.normal(scale=0.3, size=leaf.shape).astype(np.float32), shapes)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def convolved(image, params):
    """By the convolution of the networks, which has tests of its own."""
    return np.asarray(conv_same(jnp.asarray(image, jnp.float32), jnp.asarray(params["kernel"]))) + params["bias"]


def channel_attention(image, params):
    """Of Zhang et al., in numpy."""
    squeeze, excite = params["squeeze"], params["excite"]
    hidden = np.maximum(image.mean((1, 2)) @ squeeze["kernel"] + squeeze["bias"], 0)
    return sigmoid(hidden @ excite["kernel"] + excite["bias"])


def test_channel_attention_equals_its_formula(key):
    y = normal(key, (2, 5, 6, 32))
    variables = drawn(ChannelAttention(), y)
    assert variables["params"]["squeeze"]["kernel"].shape == (32, 2)
    gate = ChannelAttention().apply(variables, y)
    np.testing.assert_allclose(gate, channel_attention(np.asarray(y), variables["params"]), rtol=1e-5)


def test_a_block_of_rcan_adds_the_gated_image(key):
    x = normal(key, (2, 6, 7, 8))
    variables = drawn(RCAB(), x)
    p = variables["params"]
    y = convolved(np.maximum(convolved(x, p["conv_0"]), 0), p["conv_1"])
    expected = x + y * channel_attention(y, p["attention"])[:, None, None, :]
    np.testing.assert_allclose(jax.jit(RCAB().apply)(variables, x), expected, rtol=1e-4, atol=1e-4)


def resized(image, *, axis, size=128):
    """Linear between the centres of the pixels, the outermost ones going on beyond."""
    places = (np.arange(size) + 0.5) * image.shape[axis] / size - 0.5
    return np.apply_along_axis(lambda row: np.interp(places, np.arange(len(row)), row), axis, image)


@pytest.mark.parametrize("size", [(128, 128), (17, 22), (256, 160)])
@pytest.mark.parametrize("variant", ["published", "authors"])
def test_fourier_attention_equals_its_formula(key, variant, size):
    """Of the plain sum over the pixels, at 128 x 128; the published one keeps the amplitudes of noise at others."""
    y = normal(key, (1, *size, 6))
    module = FourierChannelAttention(variant)
    p = drawn(module, y)["params"]
    p["attention"]["squeeze"]["kernel"] *= 1e-3  # or all gates would be shut or open
    amplitude = np.abs(np.fft.fft2(np.asarray(y, np.float64), axes=(1, 2)))
    amplitude *= 128 / np.sqrt(np.prod(size)) if variant == "published" else 1.0
    shifted = np.fft.fftshift(amplitude**0.8, axes=(1, 2) if variant == "published" else (3, 1))
    if variant == "authors":
        shifted = resized(resized(shifted, axis=1), axis=2)
    filtered = np.maximum(convolved(shifted, p["conv"]), 0)
    expected = channel_attention(filtered, p["attention"])
    assert 0.01 < expected.min() < expected.max() < 0.99
    np.testing.assert_allclose(jax.jit(module.apply)({"params": p}, y), expected, rtol=1e-3)


def test_gates_of_apcan_equal_their_formulas(key):
    x = normal(key, (1, 9, 12, 4))
    variables = drawn(APCAB(), x)
    _, captured = jax.jit(lambda v: APCAB().apply(v, x, capture_intermediates=True))(variables)
    p, captured = variables["params"], captured["intermediates"]
    y = np.asarray(captured["conv_1"]["__call__"][0], np.float64)
    spectrum = np.fft.fftshift(np.fft.fft2(y, axes=(1, 2), norm="ortho"), axes=(1, 2))
    phase = np.arctan2(spectrum.imag + 1e-8, spectrum.real + 1e-8)  # pi, not -pi, of a negative real number
    images = {"amplitude_attention": np.abs(spectrum) ** 0.8, "phase_attention": phase}
    for name, image in images.items():
        filtered = np.maximum(convolved(image, p[name]["conv"]), 0)
        pooled = np.concatenate([filtered.mean((1, 2)), filtered.max((1, 2))], axis=-1)
        expected = sigmoid(gate_convolution(jnp.asarray(pooled), jnp.asarray(p[name]["gate_kernel"])))
        np.testing.assert_allclose(captured[name]["__call__"][0], expected, rtol=1e-3, atol=1e-5, err_msg=name)


def test_the_published_dfcan_ends_in_a_sigmoid_and_the_authors_does_not(key):
    frames = normal(key, (1, 16, 18, 9))
    fields = {"width": 4, "groups": 1, "blocks": 1}
    published, authors = DFCAN(**fields), DFCAN(**fields, variant="authors")
    variables = drawn(published, frames)
    image = jax.jit(published.apply)(variables, frames).image
    assert 0 <= image.min() < image.max() <= 1
    assert jax.jit(authors.apply)(variables, frames).image.min() < 0


@pytest.mark.parametrize("name", ["dfcan", "apcan", "rcan"])
@pytest.mark.parametrize(("field", "value"), [("width", 0), ("groups", -2), ("blocks", -1), ("dtype", "float16")])
def test_illegal_fields_are_refused(name, field, value):
    with pytest.raises(IllegalValue) as refused:
        NETWORKS[name](**{field: value})
    assert (refused.value.field, refused.value.value) == (field, value)


def test_an_unknown_variant_is_refused():
    with pytest.raises(IllegalValue, match="`variant` is 'keras'; legal: 'published', 'authors'"):
        DFCAN(variant="keras")


@pytest.mark.parametrize("name", ["dfcan", "apcan", "rcan"])
def test_rematerialisation_and_bfloat16_keep_parameters_and_statistics(name):
    fields = {"width": 4, "groups": 2, "blocks": 1}
    frames = jnp.zeros((1, 16, 16, 9))
    plain, other = NETWORKS[name](**fields), NETWORKS[name](**fields, remat=True, dtype="bfloat16")
    expected, params = (jax.eval_shape(network.init, FAST_KEY, frames) for network in (plain, other))
    assert jax.tree.map(lambda a: (a.shape, a.dtype), params) == jax.tree.map(lambda a: (a.shape, a.dtype), expected)
    jaxpr = str(jax.make_jaxpr(other.init_with_output)(jax.random.key(0), frames))
    lines = [line for line in jaxpr.splitlines() if " = fft[" in line or " = reduce_sum" in line]
    assert lines
    assert not any("bf16" in line for line in lines)
    assert "bf16" in jaxpr
    assert "remat" in jaxpr or "checkpoint" in jaxpr

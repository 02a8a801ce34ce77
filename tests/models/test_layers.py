"""Laws of the layers, the attention and the degradation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from oidn_jax import random
from oidn_jax.errors import IllegalValue
from oidn_jax.models import attention, degradation, layers
from oidn_jax.models.blocks import ResidualGroup
from oidn_jax.models.networks import build_network
from oidn_jax.models.oidn import ADDB, OIDN
from oidn_jax.models.unet import mirrored_to_multiple
from oidn_jax.optics.microscope import Microscope

TINY = {"width": 8, "groups": 1, "blocks": 1}
# A whole network is compiled in one piece, with keys that compile fast: draw by draw it takes ten times as long.
FAST_KEY = jax.random.key(0, impl="rbg")


def tiny_oidn(microscope, **fields):
    return build_network({"name": "oidn", **TINY, **fields}, microscope)


@pytest.mark.parametrize("kernel_shape", [(3, 3, 5, 4), (1, 1, 5, 4), (8, 8, 5, 1), (3, 5, 5, 2)])
def test_gradients_of_conv_same_are_those_of_xla(key, kernel_shape):
    keys = jax.random.split(key, 3)
    x = random.normal(keys[0], (2, 11, 14, 5))
    kernel = random.normal(keys[1], kernel_shape)
    (kh, kw) = kernel_shape[:2]
    padding = [(kh // 2, kh - 1 - kh // 2), (kw // 2, kw - 1 - kw // 2)]

    def reference(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=layers.LAYOUT)

    ours, pullback = jax.vjp(layers.conv_same, x, kernel)
    theirs, reference_pullback = jax.vjp(reference, x, kernel)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    gradient = random.normal(keys[2], ours.shape)
    for a, b in zip(pullback(gradient), reference_pullback(gradient), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
    np.testing.assert_allclose(
        layers._kernel_gradient_by_xla(x, gradient, kernel_shape), reference_pullback(gradient)[1], atol=2e-4
    )


def test_complex_convolution_equals_complex_arithmetic(key):
    keys = jax.random.split(key, 3)
    real, imag = (random.normal(k, (1, 9, 10, 3)) for k in keys[:2])
    module = attention.ComplexConv(4)
    out, variables = jax.jit(module.init_with_output)(keys[2], real, imag)
    p = variables["params"]
    expected = jax.lax.conv_general_dilated(
        real + 1j * imag, p["kernel_real"] + 1j * p["kernel_imag"], (1, 1), "SAME", dimension_numbers=layers.LAYOUT
    )
    bias = (p["bias_real"] - p["bias_imag"]) + 1j * (p["bias_real"] + p["bias_imag"])
    np.testing.assert_allclose(out[0] + 1j * np.asarray(out[1]), expected + bias.reshape(1, 1, 1, -1), atol=1e-5)


def test_gate_convolution_equals_a_strided_convolution(key):
    pooled, kernel = random.normal(key, (2, 12)), jnp.array([1.0, -2.0, 0.5])
    expected = jax.lax.conv_general_dilated(
        pooled[:, :, None], kernel.reshape(3, 1, 1), (2,), [(1, 1)], dimension_numbers=("NWC", "WIO", "NWC")
    )
    np.testing.assert_allclose(attention.gate_convolution(pooled, kernel), expected[..., 0], atol=1e-6)


def test_values_at_the_largest_modulus(key):
    real, imag = random.normal(key, (2, 2, 5, 6, 3))
    max_real, max_imag = attention.values_at_largest(real**2 + imag**2, real, imag)
    flat = np.asarray(real + 1j * imag).reshape(2, 30, 3)
    expected = np.take_along_axis(flat, np.abs(flat).argmax(1)[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(max_real + 1j * np.asarray(max_imag), expected, rtol=1e-6)
    tied = attention.values_at_largest(0 * real, real)[0]
    np.testing.assert_allclose(tied, real.mean((1, 2)), rtol=1e-4)


def test_the_value_at_the_largest_is_the_maximum_with_its_gradient(key):
    """Ties included: both share the gradient evenly."""
    x = random.normal(key, (2, 5, 6, 3)).at[0, 1:3, 2, 0].set(9.0)

    def ours(x):
        return (attention.values_at_largest(x, x)[0] ** 2).sum()

    np.testing.assert_allclose(jax.grad(ours)(x), jax.grad(lambda x: (x.max((1, 2)) ** 2).sum())(x), rtol=1e-5)


def test_gated_mixing_is_the_convolution_of_the_gated_image(key):
    keys = jax.random.split(key, 3)
    y, gate = random.normal(keys[0], (2, 5, 6, 4)), random.uniform(keys[1], (2, 4))
    module, plain = layers.GatedMixing(), layers.Conv(4, kernel_size=1)
    variables = module.init(keys[2], y, gate)

    def reference(variables, y, gate):
        return plain.apply(variables, y * gate[:, None, None, :])

    ours, pullback = jax.vjp(module.apply, variables, y, gate)
    theirs, reference_pullback = jax.vjp(reference, variables, y, gate)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), pullback(ours), reference_pullback(theirs))


def test_pixel_shuffle_has_the_published_channel_order():
    x = jnp.arange(8.0).reshape(1, 1, 1, 8)
    shuffled = layers.pixel_shuffle(x, 2)
    np.testing.assert_array_equal(shuffled[0, :, :, 0], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(shuffled[0, :, :, 1], [[4, 5], [6, 7]])


def test_a_delta_psf_is_the_identity_and_an_offset_tap_a_shift(key):
    frames = random.normal(key, (2, 12, 10, 3))
    delta = jnp.zeros((2, 8, 8, 3)).at[:, 4, 4, :].set(1.0)
    np.testing.assert_allclose(degradation.degrade(frames, delta)[..., 0], frames.sum(-1), atol=1e-5)
    offset = jnp.zeros((2, 8, 8, 3)).at[:, 5, 2, 0].set(1.0)
    shifted = degradation.degrade(frames, offset)[:, :-1, 2:, 0]
    np.testing.assert_allclose(shifted, frames[:, 1:, :-2, 0], atol=1e-5)


def test_degradation_obeys_the_adjoint_law(key):
    """<A z, y> = <z, A^T y>, with the transpose from the gradient."""
    keys = jax.random.split(key, 3)
    z, y = random.normal(keys[0], (1, 12, 10, 3)), random.normal(keys[1], (1, 12, 10, 1))
    psf = jax.nn.softmax(random.normal(keys[2], (1, 8, 8, 3)), axis=(1, 2))

    @jax.jit
    def image_and_transpose(z, y):
        image, pullback = jax.vjp(lambda z: degradation.degrade(z, psf), z)
        return image, pullback(y)[0]

    image, transposed = image_and_transpose(z, y)
    np.testing.assert_allclose((image * y).sum(), (z * transposed).sum(), rtol=1e-4)


def test_the_published_width_has_the_published_number_of_parameters():
    shapes = jax.eval_shape(OIDN(psf_init="authors").init, jax.random.key(0), jnp.zeros((1, 128, 128, 9)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 3_386_697


@pytest.mark.parametrize(
    ("shape", "frames", "fields"),
    [
        ((33, 18), {"scale": 3, "orientations": 5}, {"psf_normalisation": "none"}),
        ((17, 40), {"phases": 4}, {"psf_size": 6}),
    ],
)
def test_any_size_and_number_of_frames(key, shape, frames, fields):
    """The image is the degraded one, and the PSF at first the microscope's."""
    microscope = Microscope(**frames)
    network = tiny_oidn(microscope, **fields)
    raw_frames = random.uniform(key, (2, *shape, microscope.frames))
    prediction = jax.jit(network.apply)(jax.jit(network.init)(FAST_KEY, raw_frames), raw_frames)
    height, width = shape[0] * microscope.scale, shape[1] * microscope.scale
    assert prediction.image.shape == (2, height, width, 1)
    assert prediction.noise.shape == prediction.upsampled_frames.shape == (2, height, width, microscope.frames)
    psf = prediction.psf
    assert psf.shape == (2, network.psf_size, network.psf_size, microscope.frames)
    np.testing.assert_allclose(psf.sum((1, 2)), 1.0, atol=1e-4)
    expected = microscope.psf(network.psf_size)[None, :, :, None]
    np.testing.assert_allclose(psf, np.broadcast_to(expected, psf.shape), atol=1e-4)
    frames = prediction.upsampled_frames - prediction.noise
    np.testing.assert_allclose(prediction.image, degradation.degrade(frames, psf), atol=1e-5)


@pytest.mark.parametrize("normalisation", ["softmax", "none"])
def test_the_theoretical_psf_is_the_initial_psf(key, normalisation):
    from oidn_jax.optics.otf import airy_psf

    network = tiny_oidn(Microscope(na=1.3, emission_wavelength_nm=525.0, pixel_size_nm=62.6))
    head = degradation.PSFHead(
        frames=9,
        size=8,
        initialisation="theoretical",
        normalisation=normalisation,
        initial_psf=network.initial_psf,
    )
    (psf, _), _ = head.init_with_output(FAST_KEY, random.normal(key, (1, 32, 32, 2)))
    expected = airy_psf(8, na=1.3, emission_wavelength_nm=525.0, pixel_size_nm=31.3)
    for frame in (0, 4):
        np.testing.assert_allclose(psf[0, :, :, frame], expected, atol=1e-4)


def test_without_a_microscope_the_theoretical_psf_is_an_error():
    with pytest.raises(ValueError, match="needs an `initial_psf`"):
        jax.eval_shape(OIDN(**TINY).init, FAST_KEY, jnp.zeros((1, 16, 16, 9)))


def test_bfloat16_computes_near_float32_with_float32_parameters(key):
    raw_frames = random.uniform(key, (1, 16, 16, 9))
    network, coarse = tiny_oidn(Microscope()), tiny_oidn(Microscope(), dtype="bfloat16")
    full, variables = jax.jit(network.init_with_output)(FAST_KEY, raw_frames)
    half = jax.jit(coarse.apply)(variables, raw_frames)
    shapes = jax.eval_shape(coarse.init, key, raw_frames)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    assert half.image.dtype == half.psf.dtype == jnp.float32
    difference = np.abs(np.asarray(half.image - full.image)).max() / np.abs(np.asarray(full.image)).max()
    assert 0 < difference < 0.05


def test_bfloat16_keeps_the_transform_and_the_statistics_in_float32():
    network = OIDN(**TINY, dtype="bfloat16", psf_init="authors")
    jaxpr = str(jax.make_jaxpr(network.init_with_output)(jax.random.key(0), jnp.zeros((1, 16, 16, 9))))
    lines = [line for line in jaxpr.splitlines() if " = fft[" in line or " = reduce_max" in line]
    assert any("fft[" in line for line in lines)
    assert not any("bf16" in line for line in lines)
    assert "bf16" in jaxpr


def test_rematerialisation_changes_nothing_but_the_memory(key):
    features = random.uniform(key, (1, 8, 8, 4))
    shapes, generator = jax.eval_shape(ResidualGroup(ADDB, 1).init, FAST_KEY, features), np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: jnp.asarray(generator.normal(size=leaf.shape), jnp.float32), shapes)

    def gradient(*, remat):
        group = ResidualGroup(nn.remat(ADDB) if remat else ADDB, 1)
        return jax.jit(jax.grad(lambda v: (group.apply(v, features) ** 2).sum()))(variables)

    plain, remade = gradient(remat=False), gradient(remat=True)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), plain, remade)

    network = OIDN(**TINY, psf_init="authors", remat=True)
    saved = str(jax.make_jaxpr(network.init_with_output)(jax.random.key(0), jnp.zeros((1, 16, 16, 9))))
    assert "remat" in saved or "checkpoint" in saved


@pytest.mark.parametrize(
    ("field", "value"), [("width", 0), ("psf_size", 7), ("psf_init", "gauss"), ("dtype", "float16")]
)
def test_illegal_fields_are_refused(field, value):
    with pytest.raises(IllegalValue) as refused:
        OIDN(**{field: value})
    assert (refused.value.field, refused.value.value) == (field, value)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 32, 32, 8), r"raw_frames has the shape \(1, 32, 32, 8\); this network takes \(b, h, w, 9\)"),
        ((1, 15, 32, 9), "raw_frames are 15 x 32 pixels; the smallest image is 16 x 16"),
    ],
)
def test_illegal_input_is_refused(key, shape, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(OIDN(**TINY).init, key, jnp.zeros(shape))


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_a_unet_extends_images_by_their_mirror(key, factor):
    x = random.uniform(key, (2, 17, 22, 3))
    missing = [(0, 0), (0, -17 % factor), (0, -22 % factor), (0, 0)]
    np.testing.assert_array_equal(mirrored_to_multiple(x, factor), np.pad(x, missing, mode="symmetric"))

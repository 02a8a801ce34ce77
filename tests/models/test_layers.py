"""Laws of the layers, the attention and the degradation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax.models import attention, degradation, layers
from oidn_jax.models.oidn import OIDN

TINY = {"width": 8, "groups": 1, "blocks": 1}


def initialise(model, raw_frames):
    """Compiled as a whole, with keys that compile fast: draw by draw it takes ten times as long."""
    return jax.jit(model.init)(jax.random.key(0, impl="rbg"), raw_frames)


@pytest.mark.parametrize("kernel_shape", [(3, 3, 5, 4), (1, 1, 5, 4), (8, 8, 5, 1), (3, 5, 5, 2)])
def test_gradients_of_conv_same_are_those_of_xla(key, kernel_shape):
    keys = jax.random.split(key, 3)
    x = jax.random.normal(keys[0], (2, 11, 14, 5))
    kernel = jax.random.normal(keys[1], kernel_shape)
    (kh, kw) = kernel_shape[:2]
    padding = [(kh // 2, kh - 1 - kh // 2), (kw // 2, kw - 1 - kw // 2)]

    def reference(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=layers.LAYOUT)

    ours, pullback = jax.vjp(layers.conv_same, x, kernel)
    theirs, reference_pullback = jax.vjp(reference, x, kernel)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    gradient = jax.random.normal(keys[2], ours.shape)
    for a, b in zip(pullback(gradient), reference_pullback(gradient), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
    np.testing.assert_allclose(
        layers._kernel_gradient_by_xla(x, gradient, kernel_shape), reference_pullback(gradient)[1], atol=2e-4
    )


def test_complex_convolution_equals_complex_arithmetic(key):
    keys = jax.random.split(key, 3)
    real, imag = (jax.random.normal(k, (1, 9, 10, 3)) for k in keys[:2])
    module = attention.ComplexConv(4)
    variables = module.init(keys[2], real, imag)
    p = variables["params"]
    out = module.apply(variables, real, imag)
    expected = jax.lax.conv_general_dilated(
        real + 1j * imag, p["kernel_real"] + 1j * p["kernel_imag"], (1, 1), "SAME", dimension_numbers=layers.LAYOUT
    )
    bias = (p["bias_real"] - p["bias_imag"]) + 1j * (p["bias_real"] + p["bias_imag"])
    np.testing.assert_allclose(out[0] + 1j * np.asarray(out[1]), expected + bias.reshape(1, 1, 1, -1), atol=1e-5)


def test_gate_convolution_equals_a_strided_convolution(key):
    pooled, kernel = jax.random.normal(key, (2, 12)), jnp.array([1.0, -2.0, 0.5])
    expected = jax.lax.conv_general_dilated(
        pooled[:, :, None], kernel.reshape(3, 1, 1), (2,), [(1, 1)], dimension_numbers=("NWC", "WIO", "NWC")
    )
    np.testing.assert_allclose(attention.gate_convolution(pooled, kernel), expected[..., 0], atol=1e-6)


def test_values_at_the_largest_modulus(key):
    real, imag = jax.random.normal(key, (2, 2, 5, 6, 3))
    max_real, max_imag = attention.values_at_largest(real**2 + imag**2, real, imag)
    flat = np.asarray(real + 1j * imag).reshape(2, 30, 3)
    expected = np.take_along_axis(flat, np.abs(flat).argmax(1)[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(max_real + 1j * np.asarray(max_imag), expected, rtol=1e-6)
    tied = attention.values_at_largest(0 * real, real)[0]
    np.testing.assert_allclose(tied, real.mean((1, 2)), rtol=1e-4)


def test_the_value_at_the_largest_is_the_maximum_with_its_gradient(key):
    """Ties included: both share the gradient evenly."""
    x = jax.random.normal(key, (2, 5, 6, 3)).at[0, 1:3, 2, 0].set(9.0)

    def ours(x):
        return (attention.values_at_largest(x, x)[0] ** 2).sum()

    np.testing.assert_allclose(jax.grad(ours)(x), jax.grad(lambda x: (x.max((1, 2)) ** 2).sum())(x), rtol=1e-5)


def test_gated_mixing_is_the_convolution_of_the_gated_image(key):
    keys = jax.random.split(key, 3)
    y, gate = jax.random.normal(keys[0], (2, 5, 6, 4)), jax.random.uniform(keys[1], (2, 4))
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
    frames = jax.random.normal(key, (2, 12, 10, 3))
    delta = jnp.zeros((2, 8, 8, 3)).at[:, 4, 4, :].set(1.0)
    np.testing.assert_allclose(degradation.degrade(frames, delta)[..., 0], frames.sum(-1), atol=1e-5)
    offset = jnp.zeros((2, 8, 8, 3)).at[:, 5, 2, 0].set(1.0)
    shifted = degradation.degrade(frames, offset)[:, :-1, 2:, 0]
    np.testing.assert_allclose(shifted, frames[:, 1:, :-2, 0], atol=1e-5)


def test_degradation_obeys_the_adjoint_law(key):
    """<A z, y> = <z, A^T y>, with the transpose from the gradient."""
    keys = jax.random.split(key, 3)
    z, y = jax.random.normal(keys[0], (1, 12, 10, 3)), jax.random.normal(keys[1], (1, 12, 10, 1))
    psf = jax.nn.softmax(jax.random.normal(keys[2], (1, 8, 8, 3)), axis=(1, 2))
    image, pullback = jax.vjp(lambda z: degradation.degrade(z, psf), z)
    np.testing.assert_allclose((image * y).sum(), (z * pullback(y)[0]).sum(), rtol=1e-4)


def test_the_published_width_has_the_published_number_of_parameters():
    shapes = jax.eval_shape(OIDN().init, jax.random.key(0), jnp.zeros((1, 128, 128, 9)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 3_386_697


@pytest.mark.parametrize(
    ("shape", "fields"),
    [
        ((16, 16), {}),
        ((17, 40), {}),
        ((33, 18), {"scale": 3}),
        ((20, 20), {"orientations": 5}),
        ((20, 16), {"orientations": 3, "phases": 4, "psf_size": 6}),
    ],
)
def test_any_size_and_number_of_frames(key, shape, fields):
    model = OIDN(**{**TINY, **fields})
    raw_frames = jax.random.uniform(key, (2, *shape, model.frames))
    variables = initialise(model, raw_frames)
    sr_image, intermediates = jax.jit(model.apply)(variables, raw_frames)
    height, width = shape[0] * model.scale, shape[1] * model.scale
    assert sr_image.shape == (2, height, width, 1)
    assert intermediates["noise"].shape == intermediates["upsampled_frames"].shape == (2, height, width, model.frames)
    psf = intermediates["psf"]
    assert psf.shape == (2, model.psf_size, model.psf_size, model.frames)
    assert psf.min() > 0
    np.testing.assert_allclose(psf.sum((1, 2)), 1.0, atol=1e-5)
    np.testing.assert_allclose(
        sr_image,
        degradation.degrade(intermediates["upsampled_frames"] - intermediates["noise"], psf),
        atol=1e-5,
    )


def test_the_theoretical_psf_is_the_initial_psf(key):
    from oidn_jax.optics.otf import airy_psf

    model = OIDN(**TINY, na=1.3, emission_wavelength_nm=525.0, pixel_size_nm=62.6)
    raw_frames = jax.random.uniform(key, (1, 32, 32, 9))
    psf = jax.jit(model.init_with_output)(jax.random.key(0, impl="rbg"), raw_frames)[0][1]["psf"]
    expected = airy_psf(8, na=1.3, emission_wavelength_nm=525.0, pixel_size_nm=31.3)
    np.testing.assert_allclose(psf[0, :, :, 4], expected, atol=1e-4)
    unnormalised = OIDN(**TINY, psf_normalisation="none", na=1.3, emission_wavelength_nm=525.0, pixel_size_nm=62.6)
    psf = jax.jit(unnormalised.init_with_output)(jax.random.key(0, impl="rbg"), raw_frames)[0][1]["psf"]
    np.testing.assert_allclose(psf[0, :, :, 0], expected, atol=1e-4)


def test_bfloat16_computes_near_float32_with_float32_parameters(key):
    raw_frames = jax.random.uniform(key, (1, 32, 32, 9))
    variables = initialise(OIDN(**TINY), raw_frames)
    full, _ = jax.jit(OIDN(**TINY).apply)(variables, raw_frames)
    half, intermediates = jax.jit(OIDN(**TINY, dtype="bfloat16").apply)(variables, raw_frames)
    assert {
        leaf.dtype for leaf in jax.tree.leaves(jax.eval_shape(OIDN(**TINY, dtype="bfloat16").init, key, raw_frames))
    } == {jnp.dtype("float32")}
    assert half.dtype == intermediates["psf"].dtype == jnp.float32
    difference = np.abs(np.asarray(half - full)).max() / np.abs(np.asarray(full)).max()
    assert 0 < difference < 0.05


def test_bfloat16_keeps_the_transform_and_the_statistics_in_float32():
    jaxpr = str(
        jax.make_jaxpr(OIDN(**TINY, dtype="bfloat16").init_with_output)(jax.random.key(0), jnp.zeros((1, 16, 16, 9)))
    )
    lines = [line for line in jaxpr.splitlines() if " = fft[" in line or " = reduce_max" in line]
    assert any("fft[" in line for line in lines)
    assert not any("bf16" in line for line in lines)
    assert "bf16" in jaxpr


def test_rematerialisation_changes_nothing_but_the_memory(key):
    raw_frames = jax.random.uniform(key, (1, 16, 16, 9))
    variables = initialise(OIDN(**TINY), raw_frames)

    def gradient(remat):
        model = OIDN(**TINY, remat=remat)
        return jax.jit(jax.grad(lambda v: (model.apply(v, raw_frames)[0] ** 2).sum()))(variables)

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), gradient(False), gradient(True))
    saved = str(jax.make_jaxpr(jax.grad(lambda v: OIDN(**TINY, remat=True).apply(v, raw_frames)[0].sum()))(variables))
    assert "remat" in saved or "checkpoint" in saved


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 0}, "width is 0; it must be a whole number of at least 1"),
        ({"psf_size": 7}, "psf_size is 7; it must be an even whole number"),
        ({"psf_init": "gauss"}, "psf_init is 'gauss'; legal: 'theoretical', 'authors'"),
        ({"dtype": "float16"}, "dtype is 'float16'; legal: 'float32', 'bfloat16'"),
    ],
)
def test_illegal_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        OIDN(**fields)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 32, 32, 8), r"raw_frames has the shape \(1, 32, 32, 8\); this network takes \(b, h, w, 9\)"),
        ((1, 15, 32, 9), "raw_frames are 15 x 32 pixels; the smallest image is 16 x 16"),
    ],
)
def test_illegal_input_is_refused(key, shape, message):
    with pytest.raises(ValueError, match=message):
        OIDN(**TINY).init(key, jnp.zeros(shape))

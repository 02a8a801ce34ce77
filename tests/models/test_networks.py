"""Networks by name, built for a microscope."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import random
from oidn_jax.errors import IllegalValue
from oidn_jax.models.networks import LABELS, NETWORKS, build_network, default_fields, has_error, has_psf, input_channels
from oidn_jax.models.unet import UNet
from oidn_jax.optics.microscope import MeasuredOtf, Microscope
from oidn_jax.optics.otf import airy_otf

TINY = {
    **{name: {"width": 4, "groups": 1, "blocks": 1} for name in ("oidn", "dfcan", "apcan", "rcan")},
    "unet": {"widths": (4, 8)},
    "guided": {"widths": (4, 8)},
}
RAW = tuple(name for name in NETWORKS if name != "guided")


def built(name, microscope, **fields):
    return build_network({"name": name, **TINY[name], **fields}, microscope)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_configuration_sets_all_fields_but_those_of_the_microscope(name):
    fields = default_fields(name)
    assert fields
    assert not {"frames", "scale", "initial_psf", "name", "parent"} & set(fields)
    assert name in LABELS
    microscope = Microscope(orientations=5, scale=3)
    network = build_network({"name": name, **fields}, microscope)
    assert (input_channels(network), network.scale) == (31 if name == "guided" else 15, 3)
    hash(network)  # static under jit


@pytest.mark.parametrize("name", NETWORKS)
def test_the_image_is_on_the_fine_grid_and_a_psf_is_there_where_the_name_says_so(name):
    microscope = Microscope(orientations=2, phases=4, scale=3)
    network = built(name, microscope)
    frames = jnp.zeros((2, 17, 22, input_channels(network)))
    prediction, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), frames)
    assert prediction.image.shape == (2, 51, 66, 1)
    assert prediction.image.dtype == jnp.float32
    fields = {"name": name, **TINY[name]}
    assert (prediction.psf is not None) == (prediction.psf_correction is not None) == has_psf(fields)
    assert (prediction.log_error is not None) == has_error(fields)


@pytest.mark.parametrize("name", RAW)
def test_illegal_input_is_refused(name):
    network = built(name, Microscope())
    for shape, message in (((1, 16, 16, 8), "this network takes"), ((1, 15, 16, 9), "the smallest image is")):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(shape))


def test_an_unknown_name_or_field_is_refused():
    with pytest.raises(IllegalValue, match="`name` is 'gan'; legal: 'oidn', 'unet', 'guided'"):
        default_fields("gan")
    with pytest.raises(IllegalValue, match="`name` is 'gan'"):
        build_network({"name": "gan"}, Microscope())
    with pytest.raises(IllegalValue, match="`wdith` is 8; the network 'oidn' has the fields width, "):
        build_network({"name": "oidn", "wdith": 8}, Microscope())
    for widths in ((), (4, 0)):
        with pytest.raises(IllegalValue, match="`widths` is"):
            UNet(widths=widths)
    with pytest.raises(IllegalValue, match="`dtype` is 'float16'"):
        UNet(dtype="float16")


def test_an_oidn_for_a_measured_otf_starts_with_its_psf():
    samples = airy_otf(0.02 * np.arange(290), cutoff=2 * 1.49 / 0.525, damping=0.05)
    microscope = Microscope(measured_otf=MeasuredOtf(tuple(samples.tolist()), 0.02, "beads.otf"))
    network = built("oidn", microscope)
    init = jax.jit(lambda key: network.init(key, jnp.zeros((1, 16, 16, 9)))["params"]["psf_head"]["learnable_psf"])
    start, expected = jax.nn.softmax(init(jax.random.key(0)), axis=(0, 1)), microscope.psf(8)
    np.testing.assert_allclose(start, np.broadcast_to(expected[..., None], (8, 8, 9)), atol=1e-5)
    assert np.abs(expected - Microscope().psf(8)).max() > 1e-3
    assert built("oidn", microscope, psf_init="authors").initial_psf is None


def test_a_u_net_keeps_the_image_of_any_size_where_it_is(key):
    """What the halvings need is mirrored at the far borders and cropped: the rest does not depend on it."""
    network = built("unet", Microscope(), widths=(4, 4))
    frames = random.uniform(key, (1, 40, 40, 9))
    image, variables = jax.jit(network.init_with_output)(key, frames)
    cut = jax.jit(network.apply)(variables, frames[:, :39, :39])
    np.testing.assert_allclose(cut.image[:, :48, :48], image.image[:, :48, :48], atol=1e-5)

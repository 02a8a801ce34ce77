"""Published checkpoints: names and shapes both ways, and what is told where they do not fit."""

from dataclasses import replace

import numpy as np
import pytest

from oidn_jax.commands import parser
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.models.published import PUBLISHED, names, to_model, to_published
from oidn_jax.models.weights import flattened
from oidn_jax.optics.microscope import Microscope
from tests.golden_oidn import published_parameters
from tests.methods.fakes import FIELDS, untrained

GOLDEN = {"oidn": "oidn_small", "apcan": "apcan_small", "dfcan": "dfcan_authors_small"}
SIZES = {"oidn": (1, 2), "apcan": (1, 2), "dfcan": (1, 4)}

networks = pytest.mark.parametrize("network", PUBLISHED)


@pytest.fixture
def parameters(golden, network):
    return published_parameters(golden(GOLDEN[network]))


def model_of(parameters, network, *, microscope=None):
    return to_model(parameters, network=network, microscope=microscope or Microscope(), source="best.pth.tar")


def refusal(parameters, network, **fields):
    with pytest.raises(InputError) as refused:
        model_of(parameters, network, **fields)
    message = str(refused.value)
    assert message.startswith("best.pth.tar ")
    assert "\n" not in message
    assert len(message) < 500
    return message


def test_commands_know_the_names_without_importing_them():
    assert parser.PUBLISHED == PUBLISHED


@networks
def test_a_model_has_the_sizes_of_the_shapes_and_all_of_the_parameters(parameters, network):
    model = model_of(parameters, network)
    groups, blocks = SIZES[network]
    assert (model.fields["width"], model.fields["groups"], model.fields["blocks"]) == (16, groups, blocks)
    assert (model.normalisation, model.patch) == ("per_frame", 128)
    assert model.origin["name"] == "best.pth.tar"
    theirs = [name for name, *_ in names(network, groups=groups, blocks=blocks)]
    unused = {"Conv_2_6.weight", "Conv_2_6.bias"} if network == "oidn" else set()
    assert len(theirs) == len(set(theirs))
    assert {*theirs, *unused} == set(parameters)
    count = sum(parameters[name].size for name in theirs)
    assert sum(leaf.size for leaf in flattened(model.params).values()) == count


@networks
def test_there_and_back_is_the_same_bit_for_bit(parameters, network):
    back = to_published(model_of(parameters, network))
    assert back.keys() == parameters.keys()
    for name, value in parameters.items():
        np.testing.assert_array_equal(back[name], np.zeros_like(value) if name.startswith("Conv_2_6") else value)


@networks
def test_several_groups_and_blocks_and_other_frames(network):
    """Every parameter goes to a place of its own; the last convolution is numbered by the groups."""
    microscope = Microscope(orientations=5)
    fields = {"name": network, "width": 4, "groups": 3, "blocks": 2}
    fields |= {"oidn": {"psf_init": "authors", "psf_size": 6}, "dfcan": {"variant": "authors"}, "apcan": {}}[network]
    module = untrained(network, microscope=microscope, fields=fields)
    published = to_published(module)
    if network != "dfcan":
        assert "body.3.weight" in published
    back = model_of(published, network, microscope=microscope)
    for path, leaf in flattened(module.params).items():
        np.testing.assert_array_equal(flattened(back.params)[path], leaf, err_msg=path)
    assert {**back.fields, "psf_normalisation": 0} == {**fields, "psf_normalisation": 0}


@networks
def test_a_network_trained_on_several_devices(parameters, network):
    prefixed = {f"module.{name}": value for name, value in parameters.items()}
    first, second = (flattened(model_of(given, network).params) for given in (parameters, prefixed))
    for path, leaf in first.items():
        np.testing.assert_array_equal(leaf, second[path])


@networks
def test_what_does_not_fit_is_named(parameters, network):
    first = next(name for name in parameters if name.endswith("bias"))
    without = {name: value for name, value in parameters.items() if name != first}
    assert f"parameters missing: {first}" in refusal(without, network)
    assert "parameters unknown: extra.weight" in refusal({**parameters, "extra.weight": np.zeros(3)}, network)
    longer = {**parameters, first: np.zeros(17, np.float32)}
    assert f"of another shape: {first} (17,) in place of (16,)" in refusal(longer, network)
    assert f"NaN or infinite weights in {first}" in refusal({**parameters, first: np.full(16, np.nan)}, network)
    assert "takes 9 raw frames, but the microscope has 15" in refusal(
        parameters, network, microscope=Microscope(orientations=5)
    )
    assert "is no checkpoint of" in refusal({}, network)


@networks
@pytest.mark.parametrize("other", PUBLISHED)
def test_a_checkpoint_of_another_network_is_told(parameters, network, other):
    if other != network:
        assert f"best.pth.tar is no checkpoint of {other!r}" in refusal(parameters, other)


def test_names_that_promise_more_blocks_than_there_are_parameters(golden):
    parameters = {"head.0.weight": np.zeros((4, 9, 3, 3), np.float32)}
    parameters |= {f"body.{i}.body.{10**9 - i}.body.0.weight": np.zeros(1, np.float32) for i in range(500)}
    assert "is no checkpoint of 'apcan'" in refusal(parameters, "apcan")


def test_an_unknown_network_is_refused():
    with pytest.raises(IllegalValue, match="`model` is 'rcan'; legal: 'oidn', 'apcan', 'dfcan'"):
        model_of({}, "rcan")


def test_only_what_the_authors_have_is_given_back(golden):
    with pytest.raises(InputError, match="the network 'unet' has no published code"):
        to_published(untrained("unet"))
    model = model_of(published_parameters(golden(GOLDEN["dfcan"])), "dfcan")
    with pytest.raises(InputError, match="the variant 'published'; the authors' code has 'authors' only"):
        to_published(replace(model, fields={**model.fields, "variant": "published"}))
    with pytest.raises(InputError, match="the variant 'published'"):
        to_published(untrained("dfcan"))  # by default
    ablation = untrained("oidn", fields={**FIELDS["oidn"], "domain_weights": "equal"})
    with pytest.raises(InputError, match="the domain_weights 'equal'; the authors' code has 'dynamic' only"):
        to_published(ablation)

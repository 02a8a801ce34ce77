"""The networks by name.

A network is a linen module that maps `raw_frames` (b, h, w, frames), normalised to about [0, 1], to a `Prediction`. Its
fields with their defaults are the `model` section of a configuration, but for those that the microscope decides.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from oidn_jax.errors import IllegalValue
from oidn_jax.models.layers import SMALLEST_IMAGE
from oidn_jax.models.oidn import OIDN
from oidn_jax.models.prediction import Prediction
from oidn_jax.models.unet import UNet
from oidn_jax.optics.microscope import Microscope

NETWORKS: dict[str, type[nn.Module]] = {"oidn": OIDN, "unet": UNet}
WITH_PSF = ("oidn",)
LABELS = {"oidn": "OIDN", "unet": "U-Net"}  # in print

# Fields that are the microscope's, and those of every linen module.
_NOT_CONFIGURED = ("frames", "scale", "initial_psf", "parent", "name")


def default_fields(name: str) -> dict[str, Any]:
    """The fields of a network that a configuration may set, with their defaults.

    Raises:
        IllegalValue: for a name that is no network's.
    """
    if name not in NETWORKS:
        raise IllegalValue("name", name, f"legal: {', '.join(map(repr, NETWORKS))}")
    fields = dataclasses.fields(NETWORKS[name])  # pyright: ignore[reportArgumentType] -- linen modules are dataclasses
    return {field.name: field.default for field in fields if field.name not in _NOT_CONFIGURED}


def build_network(fields: Mapping[str, Any], microscope: Microscope) -> nn.Module:
    """The network of `{"name": ..., its fields}` for the raw frames of a microscope; what is not given is the default.

    Raises:
        IllegalValue: for an unknown name or field, or a value that is not legal.
    """
    given = {name: value for name, value in fields.items() if name != "name"}
    known = default_fields(fields["name"])
    for name in given:
        if name not in known:
            raise IllegalValue(name, given[name], f"the network {fields['name']!r} has the fields {', '.join(known)}")
    module = NETWORKS[fields["name"]]
    network = module(**given, frames=microscope.frames, scale=microscope.scale)
    if isinstance(network, OIDN) and network.psf_init == "theoretical":
        network = network.clone(initial_psf=tuple(map(tuple, microscope.psf(network.psf_size).tolist())))
    return network


def initial_params(network: nn.Module, key: Array, *, frames: int) -> Any:
    """Parameters before training, float32."""
    smallest = jnp.zeros((1, SMALLEST_IMAGE, SMALLEST_IMAGE, frames))
    return jax.jit(network.init)(key, smallest)["params"]


def predict(network: nn.Module, params: Any, raw_frames: Float[Array, "b h w frames"]) -> Prediction:
    """What a network with these parameters makes of normalised raw frames."""
    prediction: Any = network.apply({"params": params}, raw_frames)
    return prediction

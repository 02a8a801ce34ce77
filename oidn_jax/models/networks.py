"""The networks by name.

A network is a linen module that maps an input (b, h, w, channels) to a `Prediction`: raw frames normalised to about
[0, 1], or for a guided network the guides that classical SIM makes of them. Its fields with their defaults are the
`model` section of a configuration, but for those that the microscope decides.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from oidn_jax.errors import IllegalValue
from oidn_jax.models.apcan import APCAN
from oidn_jax.models.dfcan import DFCAN
from oidn_jax.models.guided import Guided, channels
from oidn_jax.models.layers import SMALLEST_IMAGE
from oidn_jax.models.oidn import OIDN
from oidn_jax.models.prediction import Prediction
from oidn_jax.models.rcan import RCAN
from oidn_jax.models.unet import UNet
from oidn_jax.optics.microscope import Microscope

NETWORKS: dict[str, type[nn.Module]] = {
    "oidn": OIDN,
    "unet": UNet,
    "guided": Guided,
    "dfcan": DFCAN,
    "apcan": APCAN,
    "rcan": RCAN,
}
# In print.
LABELS = {"oidn": "OIDN", "unet": "U-Net", "guided": "Guided", "dfcan": "DFCAN", "apcan": "APCAN", "rcan": "RCAN"}

# Fields that are the microscope's, or of networks that are parts of others, and those of every linen module.
_NOT_CONFIGURED = ("frames", "scale", "initial_psf", "with_error", "zero_start", "parent", "name")


def default_fields(name: str) -> dict[str, Any]:
    """The fields of a network that a configuration may set, with their defaults.

    Raises:
        IllegalValue: for a name that is no network's.
    """
    if name not in NETWORKS:
        raise IllegalValue("name", name, f"legal: {', '.join(map(repr, NETWORKS))}")
    fields = dataclasses.fields(NETWORKS[name])  # pyright: ignore[reportArgumentType] -- linen modules are dataclasses
    return {field.name: field.default for field in fields if field.name not in _NOT_CONFIGURED}


def has_psf(fields: Mapping[str, Any]) -> bool:
    """Whether the network of these fields finds PSFs."""
    if fields["name"] == "oidn":
        return fields.get("degradation", "psf") == "psf"
    return fields["name"] == "guided" and fields.get("body") == "oidn"


def has_error(fields: Mapping[str, Any]) -> bool:
    """Whether it gives the expected error of its pixels."""
    return fields["name"] == "guided" and fields.get("body", "unet") == "unet"


def takes_spectra(fields: Mapping[str, Any]) -> bool:
    """Whether it takes Fourier transforms of its features, whose size depends on the image's."""
    return fields["name"] in ("oidn", "apcan", "dfcan") or (fields["name"] == "guided" and fields.get("body") == "oidn")


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
    if fields["name"] == "guided":
        return Guided(**given, scale=microscope.scale)
    module = NETWORKS[fields["name"]]
    network = module(**given, frames=microscope.frames, scale=microscope.scale)
    if isinstance(network, OIDN) and network.psf_init == "theoretical":
        network = network.clone(initial_psf=tuple(map(tuple, microscope.psf(network.psf_size).tolist())))
    return network


def input_channels(network: nn.Module) -> int:
    """The last axis of what it takes."""
    return channels(scale=network.scale) if isinstance(network, Guided) else getattr(network, "frames")  # noqa: B009


def initial_params(network: nn.Module, key: Array) -> Any:
    """Parameters before training, float32."""
    smallest = jnp.zeros((1, SMALLEST_IMAGE, SMALLEST_IMAGE, input_channels(network)))
    return jax.jit(network.init)(key, smallest)["params"]


def predict(network: nn.Module, params: Any, inputs: Float[Array, "b h w channels"]) -> Prediction:
    """What a network with these parameters makes of normalised raw frames, or of folded guides."""
    prediction: Any = network.apply({"params": params}, inputs)
    return prediction

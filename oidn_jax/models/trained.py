"""A network with its parameters and the configuration it was trained with."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax.models.oidn import OIDN


@dataclass(frozen=True)
class TrainedModel:
    """What `oidn_jax.load` returns: call it with normalised raw frames.

    Attributes:
        network: the linen module.
        params: its parameters, float32.
        config: the training configuration as plain nested dicts.
        origin: of the weights, for the provenance of images: `version`, `step`, `checkpoint` ("best" or "last").
    """

    network: OIDN
    params: Any
    config: Mapping[str, Any]
    origin: Mapping[str, Any]

    @property
    def frames(self) -> int:
        """Raw frames per image."""
        return self.network.frames

    @property
    def scale(self) -> int:
        """Super-resolution factor."""
        return self.network.scale

    @property
    def normalisation(self) -> str:
        """Mode of `data.normalisation.fit_min_max` the network was trained with."""
        return self.config["data"]["normalisation"]

    @property
    def patch(self) -> int:
        """Side, in raw pixels, of the patches the network was trained on."""
        return self.config["train"]["patch"]

    @cached_property
    def _apply(self):
        return jax.jit(lambda params, frames: self.network.apply({"params": params}, frames))

    def __call__(self, raw_frames: Float[Array | np.ndarray, "b h w frames"]) -> Float[Array, "b h2 w2 1"]:
        """The bare network: normalised raw frames to the image, without tiling or normalisation; compiled per shape."""
        return self.predict(raw_frames)[0]

    def predict(self, raw_frames: Float[Array | np.ndarray, "b h w frames"]) -> tuple[Array, dict[str, Array]]:
        """The image and the named intermediates of the network (`psf`, `noise`, `upsampled_frames`, ...)."""
        return self._apply(self.params, jnp.asarray(raw_frames, jnp.float32))

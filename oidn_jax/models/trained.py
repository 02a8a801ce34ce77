"""A network with its parameters and what it was trained for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from oidn_jax.models.networks import LABELS, build_network, has_error, predict
from oidn_jax.models.prediction import Prediction
from oidn_jax.models.training_range import TrainingRange
from oidn_jax.optics.microscope import Microscope

# A function of the module, so that models of one network, as the many of a training run, are compiled once.
_predict = jax.jit(predict, static_argnums=0)


@dataclass(frozen=True)
class TrainedModel:
    """What `oidn_jax.load` returns: call it with normalised raw frames, or folded guides.

    Attributes:
        fields: of the network, its `name` among them (`models.networks`).
        params: its parameters, float32.
        microscope: that it was trained for.
        normalisation: mode of `data.normalisation.fit_min_max` that it was trained with.
        patch: side, in raw pixels, of the patches it was trained on.
        origin: of the weights, for the provenance of images: `version`, `name`, `specimen`, `range`, `step`, `scores`,
            and which `checkpoint` where they come from a training run.
        configuration: of the training, for the record.
    """

    fields: Mapping[str, Any]
    params: Any
    microscope: Microscope
    normalisation: str
    patch: int
    origin: Mapping[str, Any]
    configuration: Mapping[str, Any]

    @cached_property
    def network(self) -> nn.Module:
        """The linen module."""
        return build_network(self.fields, self.microscope)

    @property
    def label(self) -> str:
        """The network's name in print."""
        return LABELS[self.fields["name"]]

    @property
    def range(self) -> TrainingRange | None:
        """What it was trained with, where that is known."""
        return TrainingRange.from_plain(self.origin["range"]) if "range" in self.origin else None

    @property
    def guided(self) -> bool:
        """Whether it takes guides in the place of raw frames."""
        return self.fields["name"] == "guided"

    @property
    def expects_error(self) -> bool:
        """Whether it gives the expected error of its pixels."""
        return has_error(self.fields)

    def __call__(self, inputs: Float[Array | np.ndarray, "b h w channels"]) -> Prediction:
        """The bare network, without tiling or normalisation; compiled per shape."""
        return _predict(self.network, self.params, jnp.asarray(inputs, jnp.float32))

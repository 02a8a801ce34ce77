"""The methods that an evaluation compares, behind one interface.

A method takes camera counts (b, h, w, frames) and gives images (b, scale*h, scale*w), of any brightness scale: each
does to the counts what it needs. Classical methods know the microscope and the camera's offset, and estimate the
illumination from each acquisition.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax.classical.assessment import BY_CHANCE
from oidn_jax.classical.estimation import Estimate, estimate_illumination
from oidn_jax.classical.methods import ClassicalOptions, compiled_image, with_published_notch
from oidn_jax.classical.microscope import Microscope
from oidn_jax.classical.widefield import widefield
from oidn_jax.data.normalisation import fit_min_max
from oidn_jax.evaluation.figures import PSF_TITLE
from oidn_jax.models.oidn import OIDN

Method = Callable[[Array], Array]
METHODS = ("widefield", "wiener", "hifi", "oidn")

_estimate = jax.jit(estimate_illumination, static_argnames="orientations")


def widefield_method(*, scale: int) -> Method:
    """The mean of the frames on the super-resolved grid."""
    return lambda raw_frames: jax.vmap(partial(widefield, scale=scale))(jnp.moveaxis(raw_frames, -1, 1))


class ClassicalMethod:
    """Wiener SIM or HiFi-SIM with the illumination estimated from each acquisition.

    Negative values, which are no light, become 0, as HiFi-SIM's program does and as networks are clipped.

    Attributes:
        uncertain: how many acquisitions so far had an orientation whose stripes were not found for certain.
    """

    def __init__(self, name: str, microscope: Microscope, *, offset: float) -> None:
        """A method of `classical.methods`, for frames of one microscope and camera."""
        self._name, self._microscope, self._offset = name, microscope, offset
        self._otf = microscope.otf()
        optics = {"pixel_size_nm": microscope.pixel_size_nm, "cutoff": self._otf.cutoff}
        self._options = with_published_notch(ClassicalOptions(), **optics)
        self.uncertain = 0

    def __call__(self, raw_frames: Float[Array, "b h w frames"]) -> Float[Array, "b h2 w2"]:
        """The images, one acquisition at a time."""
        return jnp.stack([self._image(jnp.moveaxis(frames, -1, 0) - self._offset) for frames in raw_frames])

    def _image(self, light: Float[Array, "frames h w"]) -> Float[Array, "h2 w2"]:
        found: Estimate = _estimate(light, self._otf, orientations=self._microscope.orientations)
        self.uncertain += int(found.confidence.min() < BY_CHANCE)
        scale = self._microscope.scale
        image = compiled_image(
            light, found.illumination, self._otf, method=self._name, options=self._options, scale=scale
        )
        return jnp.maximum(image, 0.0)


class NetworkMethod:
    """A trained network, one acquisition at a time, min-max normalised, clipped to [0, 1] as in the paper."""

    def __init__(self, network: OIDN, params: Any, *, normalisation: str) -> None:
        """The network, its parameters, and the mode of `data.normalisation.fit_min_max` of its training."""
        self._network, self._params, self._normalisation = network, params, normalisation

    def __call__(self, raw_frames: Float[Array, "b h w frames"]) -> Float[Array, "b h2 w2"]:
        """The images."""
        return jnp.stack([self.image_and_psf(frames)[0] for frames in raw_frames])

    def image_and_psf(self, frames: Float[Array, "h w frames"]) -> tuple[Array, Array]:
        """The image of one acquisition and the learned PSF, the mean over the frames."""
        normalised = fit_min_max(frames[None], mode=self._normalisation).apply(frames[None])
        sr_image, intermediates = _apply(self._params, normalised, network=self._network)
        return jnp.clip(sr_image[0, ..., 0], 0.0, 1.0), intermediates["psf"][0].mean(-1)


@partial(jax.jit, static_argnames="network")
def _apply(params: Any, raw_frames: Array, *, network: OIDN) -> Any:
    """A function of the module, so that each evaluation of a run finds it compiled."""
    return network.apply({"params": params}, raw_frames)


def panel_rows(
    raw_frames: Float[np.ndarray, "b h w frames"], methods: Mapping[str, Method], *, target: np.ndarray
) -> list[dict[str, np.ndarray]]:
    """For each scene the pictures of a panel: the image of each method, the target, a network's learned PSF."""
    rows = []
    for frames, truth in zip(raw_frames, target[: len(raw_frames)], strict=True):
        pictures, psf = {}, {}
        for name, method in methods.items():
            if isinstance(method, NetworkMethod):
                image, learned = method.image_and_psf(jnp.asarray(frames))
                psf[PSF_TITLE] = np.asarray(learned)
            else:
                image = method(jnp.asarray(frames)[None])[0]
            pictures[name] = np.asarray(image)
        rows.append({**pictures, "target": truth[..., 0], **psf})
    return rows

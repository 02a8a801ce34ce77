"""The methods that an evaluation compares, behind one interface.

A method takes camera counts (b, h, w, frames) and gives images (b, scale*h, scale*w), of any brightness scale: each
does to the counts what it needs. Classical methods know the microscope and the camera's offset, and estimate the
illumination from each acquisition.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from oidn_jax.classical.assessment import BY_CHANCE
from oidn_jax.classical.estimation import Estimate, estimate_illumination
from oidn_jax.classical.images import ClassicalOptions, compiled_image, with_published_notch
from oidn_jax.classical.widefield import widefield
from oidn_jax.data.normalisation import fit_min_max
from oidn_jax.errors import InputError
from oidn_jax.figures import PSF_TITLE
from oidn_jax.models.oidn import OIDN
from oidn_jax.models.trained import TrainedModel
from oidn_jax.optics.microscope import Microscope

Method = Callable[[Array], Array]
NETWORK = "oidn"  # stands for every network that is given
METHODS = ("widefield", "wiener", "hifi", NETWORK)
# What images are called, in the files and in print; a network of that name would take the place of one.
RESERVED_NAMES = (*METHODS, "target", "Wiener SIM", "HiFi-SIM", "Ground truth")

_estimate = jax.jit(estimate_illumination, static_argnames="orientations")


class WidefieldMethod:
    """The mean of the frames, interpolated to the super-resolved grid."""

    def __init__(self, *, scale: int) -> None:
        """Super-resolved pixels per raw pixel."""
        self._scale = scale

    def __call__(self, raw_frames: Float[Array, "b h w frames"]) -> Float[Array, "b h2 w2"]:
        """The images."""
        return jax.vmap(partial(widefield, scale=self._scale))(jnp.moveaxis(raw_frames, -1, 1))

    def on_raw_pixels(self, raw_frames: Float[Array, "b h w frames"]) -> Float[Array, "b h w"]:
        """The images as they were recorded, by which their resolution is measured.

        Interpolation leaves mirror images of the structures at high frequencies, which decorrelation analysis and ring
        correlation take for detail: of an interpolated image they tell a third of the true period.
        """
        return raw_frames.mean(-1)


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


def name_networks(workdirs: Sequence[str]) -> dict[str, str]:
    """The workdirs by the name of their method: `NAME=DIR` as given, a single one `NETWORK`, else the folder's name.

    Raises:
        InputError: an empty folder, two of one name, or the name of a classical method.
    """
    named: dict[str, str] = {}
    for given in workdirs:
        name, equals, folder = given.partition("=")
        if not equals or "/" in name or Path(given).is_dir():  # a folder whose own name has an equals sign
            name, folder = "", given
        name = name or (NETWORK if len(workdirs) == 1 else Path(folder).resolve().name)
        taken = {used.casefold() for used in (*RESERVED_NAMES, *named)} - {NETWORK if NETWORK not in named else ""}
        if not folder or not re.fullmatch(r"[\w.+= -]+", name) or name.casefold() in taken:
            raise InputError(
                f"--workdir={given} is the method {name!r}; each network needs a folder and a name of its own, of "
                f"letters, digits and . + - _, that no other image has ({', '.join(RESERVED_NAMES)}): give "
                "--workdir=NAME=DIR"
            )
        named[name] = folder
    return named


def check_fits(model: TrainedModel, config: Any, *, name: str) -> None:
    """Whether a network takes the raw frames of a configuration, and its images have their grid.

    Raises:
        InputError: what differs.
    """
    section = {**dict(config.frames), **dict(config.optics)}
    for field in ("orientations", "phases", "scale", "pixel_size_nm"):
        theirs = getattr(model.network, field)
        if theirs != section[field]:
            raise InputError(
                f"the network {name} has {field} {theirs}, but the configuration has {section[field]}; give a "
                "configuration of the microscope it was trained for"
            )


def other_microscope(model: TrainedModel, config: Any) -> list[str]:
    """Where the microscope of a network differs from that of a configuration, in words."""
    fields = {"na": "NA", "emission_wavelength_nm": "emission wavelength (nm)"}
    pairs = {word: (getattr(model.network, field), config.optics[field]) for field, word in fields.items()}
    return [f"{word} {theirs:g} instead of {ours:g}" for word, (theirs, ours) in pairs.items() if theirs != ours]


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

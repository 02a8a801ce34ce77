"""The ways to an image of an acquisition, behind one interface."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from oidn_jax.classical.images import ClassicalOptions, compiled_image, with_published_notch
from oidn_jax.classical.wiener import Attenuation
from oidn_jax.errors import InputError
from oidn_jax.data.image_file import read_image
from oidn_jax.models.trained import TrainedModel
from oidn_jax.optics.illumination import Illumination
from oidn_jax.acquisition.acquisition import Acquisition
from oidn_jax.methods.tiled import BORDER, default_tiling, reconstruct_with_tiling

Progress = Callable[[int, int], None]

_SMALLEST_REGULARISATION, _LARGEST_REGULARISATION = 1e-4, 1e3


@runtime_checkable
class Method(Protocol):
    """A way to an image.

    Attributes:
        name: for messages and metadata.
        writes_image: False where the image is a file already.
        needs_illumination: whether it estimates the illumination.
    """

    name: str
    writes_image: bool
    needs_illumination: bool

    def __call__(self, acquisition: Acquisition, *, progress: Progress) -> Float32[np.ndarray, "time h2 w2"]:
        """The images of all time points; `progress` takes the parts done and their number."""
        ...

    def provenance(self, acquisition: Acquisition) -> dict[str, Any]:
        """What made the images, for their metadata."""
        ...


class NetworkMethod:
    """A trained network, in tiles (`reconstruction.images`); smaller ones once memory has run out."""

    name, writes_image, needs_illumination = "oidn", True, False

    def __init__(self, model: TrainedModel, *, tile: int | None = None, overlap: int | None = None) -> None:
        """Checks the tiling."""
        self.model = model
        self.tiling = default_tiling(model, tile=tile, overlap=overlap)

    def __call__(self, acquisition: Acquisition, *, progress: Progress) -> Float32[np.ndarray, "time h2 w2"]:
        """The images of all time points."""
        images, self.tiling = reconstruct_with_tiling(
            acquisition.counts.transpose(0, 2, 3, 1),
            self.model,
            self.tiling,
            progress=progress,
            warn=lambda message: acquisition.warn(f"{acquisition.stack.source}: {message}"),
        )
        return images[..., 0]

    def provenance(self, acquisition: Acquisition) -> dict[str, Any]:
        """Weights, normalisation, tiling, and the optics of the training."""
        height, width = (int(n) for n in np.minimum(np.add(acquisition.frame_size, 2 * BORDER), self.tiling.tile))
        return {
            "weights": dict(self.model.origin),
            "normalisation": self.model.normalisation,
            "tile": [height, width],
            "overlap": self.tiling.overlap,
            "optics": dict(self.model.config.get("optics", {})),
        }


class ClassicalMethod:
    """Widefield, Wiener SIM or HiFi-SIM (`classical.methods`)."""

    writes_image = True

    def __init__(
        self,
        name: str,
        *,
        wiener: float | None = None,
        attenuation: float | None = None,
        w1: float | None = None,
        iterations: int | None = None,
    ) -> None:
        """Takes what is given in place of the defaults of the method.

        Args:
            name: "widefield", "wiener" or "hifi".
            wiener: the Wiener parameter of "wiener".
            attenuation: strength of the notch around the centres of the bands, 0 to below 1, of "wiener" and "hifi".
            w1: of step 1 of "hifi".
            iterations: of Richardson-Lucy deconvolution before "hifi".

        Raises:
            InputError: for numbers that are not legal.
        """
        for what, value in (("--wiener", wiener), ("--w1", w1)):
            if value is not None and not _SMALLEST_REGULARISATION <= value <= _LARGEST_REGULARISATION:
                raise InputError(
                    f"{what} is {value:g}; it must be from {_SMALLEST_REGULARISATION:g} to {_LARGEST_REGULARISATION:g}"
                )
        if attenuation is not None and not 0 <= attenuation < 1:
            raise InputError(f"--attenuation is {attenuation:g}; it must be from 0 to below 1")
        if iterations is not None and not 0 <= iterations <= 100:
            raise InputError(f"--rl-iterations is {iterations}; it must be from 0 to 100")
        self.name, self.needs_illumination = name, name != "widefield"
        self._iterations = 5 if iterations is None else iterations
        notch = None if not attenuation else Attenuation(strength=jnp.float32(attenuation))
        self.options = ClassicalOptions(wiener=wiener, attenuation=notch)
        hifi = self.options.hifi
        if attenuation is not None:
            hifi = hifi._replace(attenuation_strength=attenuation)
        self.options = self.options._replace(hifi=hifi if w1 is None else hifi._replace(initial_wiener=w1))

    def options_for(self, acquisition: Acquisition) -> ClassicalOptions:
        """The options for the pixels of an acquisition."""
        optics = {"pixel_size_nm": acquisition.pixel_size_nm, "cutoff": acquisition.otf.cutoff}
        return with_published_notch(self.options, **optics)

    def __call__(self, acquisition: Acquisition, *, progress: Progress) -> Float32[np.ndarray, "time h2 w2"]:
        """The images of all time points, which share the illumination but for the brightness of the frames."""
        scale, options = acquisition.microscope.scale, self.options_for(acquisition)
        images = np.empty((acquisition.times, *(scale * n for n in acquisition.frame_size)), np.float32)
        for time, image in enumerate(images):
            image[...] = compiled_image(
                acquisition.light(time),
                acquisition.illumination(time) if self.needs_illumination else _no_illumination(acquisition),
                acquisition.otf,
                method=self.name,
                options=options,
                iterations=self._iterations,
                scale=scale,
            )
            progress(time + 1, acquisition.times)
        return images

    def provenance(self, acquisition: Acquisition) -> dict[str, Any]:
        """Method, its numbers, optics and camera offset."""
        numbers: dict[str, Any] = {}
        attenuation = self.options.attenuation
        if self.name == "wiener":
            numbers["wiener"] = "automatic" if self.options.wiener is None else self.options.wiener
            numbers["attenuation"] = 0.0 if attenuation is None else float(attenuation.strength)
        if self.name == "hifi":
            hifi = self.options_for(acquisition).hifi
            numbers = {name: float(value) for name, value in hifi._asdict().items() if value is not None}
            numbers["rl_iterations"] = self._iterations
        known = acquisition.known
        if self.needs_illumination and known is not None:
            numbers["illumination"] = known.path.name + (", phases measured" if known.refit_phases else "")
        return {
            **numbers,
            "optics": acquisition.microscope.describe(),
            "camera_offset": [float(offset) for offset in acquisition.camera.offset],
        }


def _no_illumination(acquisition: Acquisition) -> Illumination:
    """Something of the right shapes, so that the widefield image compiles once."""
    microscope = acquisition.microscope
    return Illumination.ideal(jnp.full((microscope.orientations, 2), 0.2), phases=microscope.phases)


class GivenImage:
    """An image that another program made; nothing is reconstructed."""

    name, writes_image, needs_illumination = "image", False, False

    def __init__(self, path: str | Path) -> None:
        """Of a TIFF or MRC file, read when it is needed."""
        self.path = Path(path)

    def __call__(self, acquisition: Acquisition, *, progress: Progress) -> Float32[np.ndarray, "time h2 w2"]:
        """The images of the file, which must be those of the acquisition.

        Raises:
            InputError: a file that cannot be used, or of another size or number of time points.
        """
        images = read_image(self.path)
        scale = acquisition.microscope.scale
        expected = (acquisition.times, *(scale * n for n in acquisition.frame_size))
        if images.shape != expected:
            raise InputError(
                f"{self.path} is {' x '.join(map(str, images.shape))} (time, y, x), but a super-resolved image of "
                f"{acquisition.stack.source} must be {' x '.join(map(str, expected))}: {scale} pixels per raw pixel"
            )
        progress(1, 1)
        return images

    def provenance(self, acquisition: Acquisition) -> dict[str, Any]:
        """The file."""
        return {"image": self.path.name, "optics": acquisition.microscope.describe()}

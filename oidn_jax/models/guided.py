"""A network that is guided by classical SIM: the Wiener image plus a correction that begins at zero.

Not published in this form. Its input is what `classical.guides` makes of the frames and the measured illumination, not
the frames: the physics that a network learns worst, undoing the patterns, is done before, and one set of weights serves
any number of orientations, phases and harmonics, and any pixel, objective and colour of its training's range. Before
training it is Wiener SIM.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Shaped

from oidn_jax.errors import IllegalValue
from oidn_jax.models.layers import pixel_shuffle
from oidn_jax.models.oidn import OIDN
from oidn_jax.models.prediction import Prediction
from oidn_jax.models.unet import UNet

BODIES = ("unet", "oidn")
GUIDES, CONDITIONS = 3, 4  # images, and numbers that are the same at every pixel, of `classical.guides`
# What is to be corrected is sharp already: a Gaussian of one fine pixel in the place of the microscope's PSF.
_TAPS = np.exp(-0.5 * (np.arange(8) - 4) ** 2)
_SHARP = tuple(map(tuple, np.outer(_TAPS / _TAPS.sum(), _TAPS / _TAPS.sum()).tolist()))


def channels(*, scale: int) -> int:
    """How many channels `fold` gives."""
    return GUIDES * scale**2 + CONDITIONS


def fold(
    images: Float[Array, "guides h2 w2"], conditions: Float[Array, "conditions"], *, scale: int
) -> Float[Array, "h w channels"]:
    """Guides as a network takes them, on the raw grid: scale^2 channels of each image, then the conditions.

    Sub-pixel (dy, dx) of image i is channel i scale^2 + dy scale + dx, as `layers.pixel_shuffle` undoes it.
    """
    count, h, w = images.shape
    sub_pixels = images.reshape(count, h // scale, scale, w // scale, scale).transpose(1, 3, 0, 2, 4)
    sub_pixels = sub_pixels.reshape(h // scale, w // scale, count * scale**2)
    everywhere = jnp.broadcast_to(conditions[None, None], (*sub_pixels.shape[:2], len(conditions)))
    return jnp.concatenate([sub_pixels, everywhere], axis=-1)


class View(NamedTuple):
    """One of the eight ways to look at a scene: mirrored along y, along x, then transposed."""

    y: bool = False
    x: bool = False
    transposed: bool = False

    def of_guides(
        self, guides: Shaped[np.ndarray, "h w channels"], *, scale: int
    ) -> Shaped[np.ndarray, "h2 w2 channels"]:
        """The folded guides of the scene, seen so."""
        count = GUIDES * scale**2
        sub_pixels = guides[..., :count].reshape(*guides.shape[:2], GUIDES, scale, scale)
        seen = self._of(self._of(sub_pixels, 0, 1), 3, 4)
        return np.concatenate([seen.reshape(*seen.shape[:2], count), self._of(guides[..., count:], 0, 1)], axis=-1)

    def undone(self, images: Shaped[np.ndarray, "*batch h w"]) -> Shaped[np.ndarray, "*batch h2 w2"]:
        """Images of a scene that was seen so, as of the scene itself."""
        images = np.swapaxes(images, -2, -1) if self.transposed else images
        return np.flip(images, self._axes(-2, -1))

    def _of(self, array: np.ndarray, y: int, x: int) -> np.ndarray:
        array = np.flip(array, self._axes(y, x))
        return np.swapaxes(array, y, x) if self.transposed else array

    def _axes(self, y: int, x: int) -> tuple[int, ...]:
        return (y,) * self.y + (x,) * self.x


# Those of few views first that differ most; the first four keep the shape of an image and the columns of its camera.
VIEWS = tuple(
    View(y, x, transposed)
    for transposed in (False, True)
    for y, x in ((False, False), (True, True), (True, False), (False, True))
)


class Guided(nn.Module):
    """The network.

    Fields:
        body: what computes the correction: "unet", which gives the expected error too, or "oidn".
        widths: of the U-Net (`models.unet`). width, groups, blocks: of OIDN (`models.oidn`).
        dtype: of both.
        scale: super-resolution factor.

    Raises:
        ValueError: if a field, or the shape of the input, is not legal.
    """

    body: str = "unet"
    widths: tuple[int, ...] = (32, 64, 128)
    width: int = 64
    groups: int = 4
    blocks: int = 4
    dtype: str = "float32"
    scale: int = 2

    def __post_init__(self):
        if self.body not in BODIES:
            raise IllegalValue("body", self.body, f"legal: {', '.join(map(repr, BODIES))}")
        if isinstance(self.scale, int):
            self._network()  # its fields check themselves
        super().__post_init__()

    def _network(self) -> UNet | OIDN:
        """What computes the correction, bound to nothing yet."""
        if self.body == "unet":
            return UNet(
                widths=self.widths,
                dtype=self.dtype,
                frames=channels(scale=self.scale),
                scale=self.scale,
                with_error=True,
                zero_start=True,
                parent=None,
            )
        return OIDN(
            width=self.width,
            groups=self.groups,
            blocks=self.blocks,
            dtype=self.dtype,
            frames=channels(scale=self.scale),
            scale=self.scale,
            initial_psf=_SHARP,
            zero_start=True,
            parent=None,
        )

    @nn.compact
    def __call__(self, guides: Float[Array, "b h w channels"]) -> Prediction:
        """The image of folded guides (`fold`), in their unit."""
        correction = self._network().clone(parent=self, name="body")(guides)
        guide = pixel_shuffle(guides[..., : self.scale**2], self.scale)
        log_error = correction.log_error
        if log_error is not None:  # beside the noise of the widefield image, the first of the conditions
            noise = guides[..., GUIDES * self.scale**2]
            log_error = log_error + jnp.log(10.0) * noise.mean((1, 2))[:, None, None, None]
        return correction._replace(image=guide + correction.image, log_error=log_error)

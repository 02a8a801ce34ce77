"""A network that is guided by classical SIM: the Wiener image plus a correction that begins at zero.

Not published in this form. Its input is what `classical.guides` makes of the frames and the measured illumination, not
the frames: the physics that a network learns worst, undoing the patterns, is done before, and one set of weights serves
any number of orientations, phases and harmonics, and any pixel, objective and colour of its training's range. Before
training it is Wiener SIM.
"""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from oidn_jax.classical.guides import channels
from oidn_jax.errors import IllegalValue
from oidn_jax.models.layers import pixel_shuffle
from oidn_jax.models.oidn import OIDN
from oidn_jax.models.prediction import Prediction
from oidn_jax.models.unet import UNet

BODIES = ("unet", "oidn")
# What is to be corrected is sharp already: a Gaussian of one fine pixel in the place of the microscope's PSF.
_TAPS = np.exp(-0.5 * (np.arange(8) - 4) ** 2)
_SHARP = tuple(map(tuple, np.outer(_TAPS / _TAPS.sum(), _TAPS / _TAPS.sum()).tolist()))


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
            self._network(name=None, parent=None)  # whose fields check themselves
        super().__post_init__()

    def _network(self, **tied) -> nn.Module:
        common = {"dtype": self.dtype, "frames": channels(scale=self.scale), "scale": self.scale, "zero_start": True}
        if self.body == "unet":
            return UNet(widths=self.widths, with_error=True, **common, **tied)
        shape = {"width": self.width, "groups": self.groups, "blocks": self.blocks}
        return OIDN(**shape, initial_psf=_SHARP, **common, **tied)

    @nn.compact
    def __call__(self, guides: Float[Array, "b h w channels"]) -> Prediction:
        """The image of folded guides (`classical.guides.fold`), in their unit."""
        correction = self._network(name="body")(guides)
        guide = pixel_shuffle(guides[..., : self.scale**2], self.scale)
        log_error = correction.log_error
        if log_error is not None:  # beside the noise of the widefield image, the first of the conditions
            noise = guides[..., 3 * self.scale**2]
            log_error = log_error + jnp.log(10.0) * noise.mean((1, 2))[:, None, None, None]
        return correction._replace(image=guide + correction.image, log_error=log_error)

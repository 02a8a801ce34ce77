"""APCAN: the trunk of OIDN with channel attention from the amplitude and the phase of the spectrum, and no physics.

Source: the network of "High-fidelity reconstruction of structured illumination microscopy by an amplitude-phase channel
attention network with multitemporal information", as the authors of OIDN compare with it: outputs are equal to those of
their code in float32. It takes any image of at least 16 x 16 pixels and any number of frames.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from oidn_jax.models.attention import PooledAttention, damped_amplitude
from oidn_jax.models.blocks import (
    DTYPES,
    DualAttentionBlock,
    check_choices,
    check_whole,
    residual_trunk,
    super_resolve,
)
from oidn_jax.models.layers import check_raw_frames
from oidn_jax.models.prediction import Prediction
from oidn_jax.optics.fourier import centred_spectrum

# Added to both parts before the phase is taken, as the published code does: it decides the phase of what is 0.
_EPSILON = 1e-8


class APCAB(DualAttentionBlock):
    """Amplitude and phase channel attention block."""

    def gates(self, y: Float[Array, "b h w c"]) -> tuple[Float[Array, "b c"], Float[Array, "b c"]]:
        """The gates of |F|^0.8 and of arg F, F being the centred orthonormal spectrum of y; both in (0, 1)."""
        real, imag = centred_spectrum(y.astype(jnp.float32))
        amplitude, phase = damped_amplitude(real, imag), jnp.arctan2(imag + _EPSILON, real + _EPSILON)
        first = PooledAttention(dtype=self.dtype, name="amplitude_attention")(amplitude)
        return first, PooledAttention(dtype=self.dtype, name="phase_attention")(phase)


class APCAN(nn.Module):
    """The network.

    Fields:
        width: channels of the body. groups, blocks: groups of APCABs, and APCABs in each.
        dtype: "float32" or "bfloat16", of the convolutions; parameters, FFT, statistics and the last layer stay
            float32.
        remat: recompute activations in the backward pass, for less memory and more time.
        frames: raw frames per image. scale: super-resolution factor.

    Raises:
        ValueError: if a field, or the shape of the input, is not legal.
    """

    width: int = 64
    groups: int = 4
    blocks: int = 4
    dtype: str = "float32"
    remat: bool = False
    frames: int = 9
    scale: int = 2

    def __post_init__(self):
        check_whole(self, "width", "groups", "blocks", "frames", "scale")
        check_choices(self, dtype=DTYPES)
        super().__post_init__()

    @nn.compact
    def __call__(self, raw_frames: Float[Array, "b h w frames"]) -> Prediction:
        """Super-resolve normalised raw frames."""
        check_raw_frames(raw_frames, frames=self.frames)
        _, features = residual_trunk(self, raw_frames, block=APCAB)
        return Prediction(image=super_resolve(self, features, nn.relu))

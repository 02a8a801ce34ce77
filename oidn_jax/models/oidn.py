"""OIDN: super-resolution from raw SIM frames through a learnable object-to-image degradation.

Source: Jin et al., "Physical prior-guided deep learning for SIM reconstruction: modeling object-to-image
degradation", Optics Express 32(21), 2024, and the behaviour of the authors' published code, to which the outputs and
gradients of this module are equal in float32. It differs where it computes less (the unused sixth PSF convolution is
left out, see also `ComplexConv`) and where it accepts more (any image of at least 16 x 16 pixels, any number of
frames).
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from oidn_jax.errors import IllegalValue
from oidn_jax.models.attention import FrequencyAttention, PooledAttention
from oidn_jax.models.blocks import DTYPES, DualAttentionBlock, check_choices, check_whole, residual_trunk
from oidn_jax.models.degradation import PSFHead, degrade
from oidn_jax.models.layers import Conv, check_raw_frames, pixel_shuffle
from oidn_jax.models.prediction import Prediction

ATTENTIONS = ("both", "spatial", "frequency")
DOMAIN_WEIGHTS = ("dynamic", "equal")
DEGRADATIONS = ("psf", "sum")


class ADDB(DualAttentionBlock):
    """Adaptive dynamic-domain fusion block: the attentions are of the spatial and of the frequency domain.

    Fields:
        attention: "both", or one of them alone, whose gate is then the block's.
        domain_weights: of both, "dynamic" as `attention.DomainWeights` has them, or "equal", a half each.
    """

    attention: str = "both"
    domain_weights: str = "dynamic"

    def gates(self, y: Float[Array, "b h w c"]) -> tuple[Float[Array, "b c"], Float[Array, "b c"]]:
        """The gate of the image, in (0, 1), and that of its spectrum, in (0, sqrt 2)."""
        return self._spatial(y), self._frequency(y)

    def gate(self, y: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
        """What is left of both in an ablation."""
        if self.attention != "both":
            return self._spatial(y) if self.attention == "spatial" else self._frequency(y)
        if self.domain_weights == "equal":
            spatial, frequency = self.gates(y)
            return 0.5 * (spatial + frequency)
        return super().gate(y)

    def _spatial(self, y: Array) -> Array:
        return PooledAttention(dtype=self.dtype, name="spatial_attention")(y)

    def _frequency(self, y: Array) -> Array:
        return FrequencyAttention(dtype=self.dtype, name="frequency_attention")(y)


class OIDN(nn.Module):
    """The network.

    Fields:
        width: channels of the body. groups, blocks: groups of ADDBs (ADDGs), and ADDBs in each.
        psf_size: taps of the PSF along an axis, even.
        psf_init: "theoretical" (the `initial_psf`) or "authors".
        psf_normalisation: "softmax" (as published) or "none" (the learnable values are the PSF; an ablation in which
            the energy-consistency loss matters).
        attention, domain_weights: of the ADDBs, which see; other values than "both" and "dynamic" are ablations.
        degradation: "psf", or "sum" for the plain sum over the frames without any PSF, an ablation.
        dtype: "float32" or "bfloat16", of the convolutions; parameters, FFT, statistics and the last layers of the
            heads stay float32.
        remat: recompute activations in the backward pass, for less memory and more time.
        frames: raw frames per image. scale: super-resolution factor.
        initial_psf: psf_size x psf_size taps on the super-resolved grid, of sum 1 (`Microscope.psf`); needed for
            "theoretical" when parameters are drawn, and for nothing else.
        zero_start: whether the image of fresh parameters is 0.

    Raises:
        ValueError: if a field, or the shape of the input, is not legal.
    """

    width: int = 64
    groups: int = 4
    blocks: int = 4
    psf_size: int = 8
    psf_init: str = "theoretical"
    psf_normalisation: str = "softmax"
    attention: str = "both"
    domain_weights: str = "dynamic"
    degradation: str = "psf"
    dtype: str = "float32"
    remat: bool = False
    frames: int = 9
    scale: int = 2
    initial_psf: tuple[tuple[float, ...], ...] | None = None
    zero_start: bool = False

    def __post_init__(self):
        check_whole(self, "width", "groups", "blocks", "frames", "scale")
        if not (isinstance(self.psf_size, int) and self.psf_size >= 2 and self.psf_size % 2 == 0):
            raise IllegalValue("psf_size", self.psf_size, "it must be an even whole number")
        check_choices(self, psf_init=("theoretical", "authors"), psf_normalisation=("softmax", "none"), dtype=DTYPES)
        check_choices(self, attention=ATTENTIONS, domain_weights=DOMAIN_WEIGHTS, degradation=DEGRADATIONS)
        super().__post_init__()

    @nn.compact
    def __call__(self, raw_frames: Float[Array, "b h w frames"]) -> Prediction:
        """Super-resolve normalised raw frames: image = degrade(upsampled_frames - noise, psf)."""
        check_raw_frames(raw_frames, frames=self.frames)
        dtype = jnp.dtype(self.dtype)
        shallow, features = residual_trunk(
            self, raw_frames, block=ADDB, attention=self.attention, domain_weights=self.domain_weights
        )
        noise = nn.relu(Conv(self.width * self.scale**2, dtype=dtype, name="noise_expand")(features))
        noise = Conv(1, name="noise_merge")(pixel_shuffle(noise, self.scale))
        noise = Conv(self.frames, zero_start=self.zero_start, name="noise_per_frame")(noise)
        upsampled = Conv(self.frames, name="frames_merge")(shallow)
        upsampled = Conv(self.frames * self.scale**2, zero_start=self.zero_start, name="frames_expand")(upsampled)
        upsampled_frames = pixel_shuffle(upsampled, self.scale)
        clean_frames = upsampled_frames - noise
        if self.degradation == "sum":
            image = clean_frames.sum(-1, keepdims=True)
            return Prediction(image=image, noise=noise, upsampled_frames=upsampled_frames)

        psf, psf_correction = PSFHead(
            frames=self.frames,
            size=self.psf_size,
            initialisation=self.psf_init,
            normalisation=self.psf_normalisation,
            initial_psf=self.initial_psf,
            name="psf_head",
        )(features)
        return Prediction(
            image=degrade(clean_frames, psf),
            psf=psf,
            psf_correction=psf_correction,
            noise=noise,
            upsampled_frames=upsampled_frames,
        )

"""The physical prior of OIDN: the PSF head and the learnable degradation from object to image."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from oidn_jax.models.layers import Conv, conv_same
from oidn_jax.optics.fourier import numpy_centred_ifft2

STRIDED_CONVOLUTIONS = 5
CORRECTION_SCALE = 1e-5


def authors_psf_logits(size: int) -> np.ndarray:
    """The published initialisation, on which softmax is nearly flat.

    |F^-1 m| of the profile m[i, j] = exp(-0.5 sqrt((i - c)^2 + (j - c)^2)), c = size / 2 - 1, taken as an OTF.
    """
    offset = np.arange(size) - (size // 2 - 1)
    profile = np.exp(-0.5 * np.hypot(offset[:, None], offset[None, :]))
    return np.abs(numpy_centred_ifft2(profile))


def mirror_quadrant(quadrant: Float[Array, "b n n frames"]) -> Float[Array, "b m m frames"]:
    """[flip(q), q] along both axes: n x n taps to 2n x 2n."""
    rows = jnp.concatenate([jnp.flip(quadrant, 1), quadrant], axis=1)
    return jnp.concatenate([jnp.flip(rows, 2), rows], axis=2)


def degrade(frames: Float[Array, "b h w frames"], psf: Float[Array, "b n n frames"]) -> Float[Array, "b h w 1"]:
    """Sum over frames of each frame cross-correlated with its PSF, zero outside the image.

    out[p] = sum_f sum_u psf[u, f] frames[p + u - n // 2, f]. A PSF that is 1 at tap n // 2 of a single frame and 0
    elsewhere is the identity. One ordinary frames-to-1 convolution per sample.
    """
    if not isinstance(frames.shape[0], int):  # of an exported program, which learns it when it runs
        return jax.lax.map(lambda sample: conv_same(sample[0][None], sample[1][..., None])[0], (frames, psf))
    samples = [conv_same(frames[i : i + 1], psf[i][..., None]) for i in range(frames.shape[0])]
    return jnp.concatenate(samples)


class PSFHead(nn.Module):
    """Per-frame, per-sample PSF from the deep features.

    Five strided convolutions without activation give one quadrant, resized to size / 2 taps where the image is not
    128 x 128, mirrored and added with the weight 1e-5 to the learnable logits; softmax over the taps.

    Images below 32 pixels, for which five halvings leave nothing, are first extended by their edge to 32.
    """

    frames: int
    size: int
    initialisation: str
    normalisation: str
    initial_psf: tuple[tuple[float, ...], ...] | None

    def _initial(self, key: Array, shape: tuple[int, ...]) -> Array:
        if self.initialisation == "authors":
            values = authors_psf_logits(self.size)
        else:
            if self.initial_psf is None:
                raise ValueError('`psf_init` is "theoretical", which needs an `initial_psf`: that of the microscope')
            psf = np.asarray(self.initial_psf)
            values = np.log(np.maximum(psf, 1e-6)) if self.normalisation == "softmax" else psf
        return jnp.broadcast_to(jnp.asarray(values, jnp.float32)[..., None], shape)

    @nn.compact
    def __call__(self, features: Float[Array, "b h w c"]) -> tuple[Array, Array]:
        """The PSF (b, size, size, frames), positive with sum 1 under softmax, and its mirrored correction."""
        smallest = 2**STRIDED_CONVOLUTIONS
        missing = [max(smallest - n, 0) for n in features.shape[1:3]]
        x = jnp.pad(features.astype(jnp.float32), ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
        for i in range(STRIDED_CONVOLUTIONS):
            x = Conv(self.frames, kernel_size=4, stride=2, padding=1, name=f"conv_{i}")(x)
        quadrant_shape = (x.shape[0], self.size // 2, self.size // 2, self.frames)
        if x.shape != quadrant_shape:
            x = jax.image.resize(x, quadrant_shape, "cubic")
        correction = mirror_quadrant(x)
        learnable = self.param("learnable_psf", self._initial, (self.size, self.size, self.frames))
        logits = learnable[None] + CORRECTION_SCALE * correction
        if self.normalisation == "softmax":
            return nn.softmax(logits, axis=(1, 2)), correction
        return logits, correction

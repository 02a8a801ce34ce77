"""Models without a trained network, and raw acquisitions, for the tests of this folder."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from oidn_jax.optics.microscope import Microscope
from oidn_jax.models.oidn import OIDN
from oidn_jax.models.trained import TrainedModel

NETWORK = OIDN(width=4, groups=1, blocks=1, pixel_size_nm=60.0)
ORIGIN = {"version": "0.1", "step": 7, "checkpoint": "best"}


def config(*, normalisation="joint", patch=32):
    return {
        "data": {"normalisation": normalisation},
        "train": {"patch": patch},
        "optics": {"na": 1.3, "emission_wavelength_nm": 525.0, "pixel_size_nm": 60.0},
        "frames": {"orientations": 3, "phases": 3, "scale": 2},
        "simulation": {"otf_damping": 1.0, "integrate_pixel": False},
    }


def microscope_of(model):
    """That of the model's configuration."""
    return Microscope.from_config(model.config)


def untrained(**options):
    """A tiny network with its initial parameters."""
    params = jax.jit(NETWORK.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 9)))["params"]
    return TrainedModel(NETWORK, params, config(**options), ORIGIN)


def upsampled(image, scale=2):
    """Each pixel repeated: (..., h, w) to (..., scale * h, scale * w)."""
    return np.repeat(np.repeat(image, scale, axis=-2), scale, axis=-1)


@dataclass(frozen=True)
class Identity(TrainedModel):
    """Gives the mean of the frames, each pixel repeated, and runs out of memory for tiles above a size."""

    largest: int = 10**6
    error: Exception = field(default_factory=MemoryError)
    shapes: list = field(default_factory=list)

    def __call__(self, raw_frames):
        self.shapes.append(raw_frames.shape)
        if max(raw_frames.shape[1:3]) > self.largest:
            raise self.error
        assert raw_frames.dtype == np.float32
        return upsampled(raw_frames.mean(-1))[..., None]


@dataclass(frozen=True)
class Constant(TrainedModel):
    """Gives one value everywhere."""

    value: float = 0.5

    def __call__(self, raw_frames):
        b, h, w, _ = raw_frames.shape
        return np.full((b, 2 * h, 2 * w, 1), self.value, np.float32)


def fake(kind, *, normalisation="joint", patch=32, **fields):
    return kind(NETWORK, {}, config(normalisation=normalisation, patch=patch), ORIGIN, **fields)


def acquisition(height=40, width=48, *, times=1, seed=0):
    """Raw counts (time, frames, y, x), uint16: random spots under stripes, orientation slow and phase fast."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    sample = np.full((height, width), 0.1)
    for cy, cx in random.uniform(0, 1, (12, 2)) * (height, width):
        sample += np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 8)
    frames = [
        sample * (1 + 0.8 * np.cos(1.4 * (x * np.cos(a) + y * np.sin(a)) + a + 2 * np.pi * phase / 3))
        for a in np.deg2rad([25, 85, 145])
        for phase in range(3)
    ]
    return random.poisson(300 * np.stack([np.stack(frames) * (1 + t) for t in range(times)])).astype(np.uint16)

"""Models without training, and raw acquisitions, for tests of all that reconstructs."""

from dataclasses import dataclass, field

import jax
import numpy as np

from oidn_jax.methods import NetworkMethod
from oidn_jax.models.networks import build_network, initial_params
from oidn_jax.models.prediction import Prediction
from oidn_jax.models.trained import TrainedModel
from oidn_jax.optics.microscope import Microscope

MICROSCOPE = Microscope(na=1.3, pixel_size_nm=60.0, otf_damping=1.0)
FIELDS = {
    **{name: {"name": name, "width": 4, "groups": 1, "blocks": 1} for name in ("oidn", "dfcan", "apcan", "rcan")},
    "unet": {"name": "unet", "widths": (4, 8)},
    "guided": {"name": "guided", "widths": (4, 8)},
}
ORIGIN = {"version": "0.1", "name": "tiny", "step": 7, "checkpoint": "best"}


def untrained(network="unet", *, microscope=MICROSCOPE, fields=None):
    """A tiny network with random parameters, which compile nothing; a U-Net, which compiles quickly, unless named."""
    fields = fields or FIELDS[network]
    module, random = build_network(fields, microscope), np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: initial_params(module, jax.random.key(0)))
    params = jax.tree.map(lambda leaf: random.normal(scale=0.1, size=leaf.shape).astype(np.float32), shapes)
    return TrainedModel(fields, params, microscope, "joint", 32, ORIGIN, {})


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
        return Prediction(upsampled(raw_frames.mean(-1))[..., None])


@dataclass(frozen=True)
class Constant(TrainedModel):
    """Gives one value everywhere."""

    value: float = 0.5

    def __call__(self, raw_frames):
        b, h, w, _ = raw_frames.shape
        return Prediction(np.full((b, 2 * h, 2 * w, 1), self.value, np.float32))


def fake(kind, *, normalisation="joint", patch=32, **fields):
    """A model of the kind, without parameters."""
    return kind(FIELDS["oidn"], {}, MICROSCOPE, normalisation, patch, ORIGIN, {}, **fields)


def identity(**fields):
    """The method with the model `Identity`."""
    return NetworkMethod(fake(Identity, **fields))


def raw_counts(height=40, width=48, *, times=1, seed=0):
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


def frames_last(counts):
    """(time, frames, y, x) to (time, y, x, frames)."""
    return counts.transpose(0, 2, 3, 1)

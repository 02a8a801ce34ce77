"""The golden numbers of the authors' networks: their input formula, and the names of parameters."""

import numpy as np

from oidn_jax.models.published import names
from oidn_jax.models.weights import flattened


def golden_frames(*, channels: int = 9, size: int = 128) -> np.ndarray:
    """The formula all golden files were computed from, NHWC."""
    b, c = np.arange(2).reshape(2, 1, 1, 1), np.arange(channels).reshape(1, 1, 1, channels)
    i, j = np.arange(size).reshape(1, size, 1, 1), np.arange(size).reshape(1, 1, size, 1)
    x = 0.5 + 0.25 * np.sin(0.13 * (c + 1) * i + 0.7 * b) + 0.25 * np.cos(0.11 * (c + 2) * j - 0.3 * c)
    return x.astype(np.float32)


def published_parameters(numbers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those of a golden file, by the names that they have in a checkpoint."""
    return {name.removeprefix("param/"): value for name, value in numbers.items() if name.startswith("param/")}


def our_gradient_norm(gradients: dict, theirs: str, *, groups: int = 1, blocks: int = 2) -> float:
    """Norm of our gradient for the parameter the authors call `theirs`."""
    path, index = next(
        (path, index) for name, path, index in names("oidn", groups=groups, blocks=blocks) if name == theirs
    )
    return float(np.linalg.norm(np.asarray(flattened(gradients)[path])[index]))

"""The golden numbers of the authors' network: its input formula and the names of its parameters in ours."""

import numpy as np


def golden_frames(*, channels: int = 9, size: int = 128) -> np.ndarray:
    """The formula all golden files were computed from, NHWC."""
    b, c = np.arange(2).reshape(2, 1, 1, 1), np.arange(channels).reshape(1, 1, 1, channels)
    i, j = np.arange(size).reshape(1, size, 1, 1), np.arange(size).reshape(1, 1, size, 1)
    x = 0.5 + 0.25 * np.sin(0.13 * (c + 1) * i + 0.7 * b) + 0.25 * np.cos(0.11 * (c + 2) * j - 0.3 * c)
    return x.astype(np.float32)


HEADS = {
    "head.0": "head",
    "body.1": "body_conv",
    "tail.0.0": "noise_expand",
    "tail.1": "noise_merge",
    "conv3": "noise_per_frame",
    "Conv_x": "frames_merge",
    "Conv_x1": "frames_expand",
    **{f"Conv_2_{i + 1}": f"psf_head/conv_{i}" for i in range(5)},
}
BLOCK = {
    "body.0": "conv_0",
    "body.2": "conv_1",
    "body.3.conv": "fusion",
    "body.3.space_attention.amplitude_conv": "spatial_attention/conv",
    "body.3.weight.0": "domain_weights/squeeze",
    "body.3.weight.2": "domain_weights/excite",
}
BLOCK_PARAMETERS = {
    "body.3.space_attention.space_attention.0.weight": "spatial_attention/gate_kernel",
    "body.3.frequency_attention.frequency_attention.0.conv_r.weight": "frequency_attention/gate_kernel_real",
    "body.3.frequency_attention.frequency_attention.0.conv_i.weight": "frequency_attention/gate_kernel_imag",
    "body.3.frequency_attention.frequency_conv.conv_r.weight": "frequency_attention/conv/kernel_real",
    "body.3.frequency_attention.frequency_conv.conv_i.weight": "frequency_attention/conv/kernel_imag",
    "body.3.frequency_attention.frequency_conv.conv_r.bias": "frequency_attention/conv/bias_real",
    "body.3.frequency_attention.frequency_conv.conv_i.bias": "frequency_attention/conv/bias_imag",
}


def _names(groups: int, blocks: int):
    """(authors' name, our path, index into the stacked leading axes)."""
    yield "learnable_psf", "psf_head/learnable_psf", ()
    for theirs, ours in HEADS.items():
        yield f"{theirs}.weight", f"{ours}/kernel", ()
        yield f"{theirs}.bias", f"{ours}/bias", ()
    for g in range(groups):
        yield f"body.0.body.{blocks}.weight", "groups/conv/kernel", (g,)
        yield f"body.0.body.{blocks}.bias", "groups/conv/bias", (g,)
        for k in range(blocks):
            block = f"body.{g}.body.{k}"
            for theirs, ours in BLOCK.items():
                yield f"{block}.{theirs}.weight", f"groups/blocks/{ours}/kernel", (g, k)
                yield f"{block}.{theirs}.bias", f"groups/blocks/{ours}/bias", (g, k)
            for theirs, ours in BLOCK_PARAMETERS.items():
                yield f"{block}.{theirs}", f"groups/blocks/{ours}", (g, k)


def _convert(value: np.ndarray, path: str) -> np.ndarray:
    """OIHW to HWIO; the gate kernels to length 3; the dense layers from 1x1 convolutions; the PSF to (y, x, frames)."""
    if path.endswith("learnable_psf"):
        return value[0].transpose(1, 2, 0)
    if "gate_kernel" in path:
        return value.reshape(3)
    if "domain_weights" in path and value.ndim == 4:
        return value[:, :, 0, 0].T
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value


def to_our_tree(numbers: dict[str, np.ndarray], *, groups: int = 1, blocks: int = 2) -> dict:
    """The authors' parameters (by their names) as our parameter tree."""
    tree: dict = {}
    stacks: dict[str, dict[tuple, np.ndarray]] = {}
    for theirs, ours, index in _names(groups, blocks):
        stacks.setdefault(ours, {})[index] = _convert(numbers[theirs], ours)
    for path, entries in stacks.items():
        leading = tuple(np.max(list(entries), axis=0) + 1) if () not in entries else ()
        value = np.empty(leading + next(iter(entries.values())).shape, np.float32)
        for index, entry in entries.items():
            value[index] = entry
        *parents, leaf = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


def our_gradient_norm(gradients: dict, theirs: str, *, groups: int = 1, blocks: int = 2) -> float:
    """Norm of our gradient for the parameter the authors call `theirs`."""
    path, index = next((ours, index) for name, ours, index in _names(groups, blocks) if name == theirs)
    node = gradients
    for part in path.split("/"):
        node = node[part]
    return float(np.linalg.norm(np.asarray(node[index])))

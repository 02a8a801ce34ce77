"""The published checkpoints of OIDN, APCAN and DFCAN: their parameters, by the names of the authors' code, and ours.

Contract: `to_model` takes what `data.torch_file` reads of a checkpoint and reads the sizes of the network from the
shapes; every parameter must be there, of the shape that these sizes ask for, and no other. `to_published` is its
inverse.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.models.networks import build_network, default_fields, initial_params
from oidn_jax.models.trained import TrainedModel
from oidn_jax.models.weights import flattened, nested
from oidn_jax.optics.microscope import Microscope
from oidn_jax.version import __version__

_ATTENTION_BLOCK = {
    "body.0": "conv_0",
    "body.2": "conv_1",
    "body.3.conv": "fusion",
    "body.3.weight.0": "domain_weights/squeeze",
    "body.3.weight.2": "domain_weights/excite",
}
# By network, layers with a weight and a bias: outside of the blocks, and in each block; then single parameters.
_LAYERS = {
    "oidn": {
        "head.0": "head",
        "tail.0.0": "noise_expand",
        "tail.1": "noise_merge",
        "conv3": "noise_per_frame",
        "Conv_x": "frames_merge",
        "Conv_x1": "frames_expand",
        **{f"Conv_2_{i + 1}": f"psf_head/conv_{i}" for i in range(5)},
    },
    "apcan": {"head.0": "head", "tail.0.0": "expand", "tail.1": "merge"},
    "dfcan": {"conv1": "head", "conv2": "expand", "conv3": "merge"},
}
_BLOCK_LAYERS = {
    "oidn": {**_ATTENTION_BLOCK, "body.3.space_attention.amplitude_conv": "spatial_attention/conv"},
    "apcan": {
        **_ATTENTION_BLOCK,
        "body.3.amplitude_attention.amplitude_conv": "amplitude_attention/conv",
        "body.3.phase_attention.phase_conv": "phase_attention/conv",
    },
    "dfcan": {
        "conv1": "conv_0",
        "conv2": "conv_1",
        "fca.conv": "fourier_attention/conv",
        "fca.fc1": "fourier_attention/attention/squeeze",
        "fca.fc2": "fourier_attention/attention/excite",
    },
}
_BLOCK_PARAMETERS = {
    "oidn": {
        "body.3.space_attention.space_attention.0.weight": "spatial_attention/gate_kernel",
        "body.3.frequency_attention.frequency_attention.0.conv_r.weight": "frequency_attention/gate_kernel_real",
        "body.3.frequency_attention.frequency_attention.0.conv_i.weight": "frequency_attention/gate_kernel_imag",
        "body.3.frequency_attention.frequency_conv.conv_r.weight": "frequency_attention/conv/kernel_real",
        "body.3.frequency_attention.frequency_conv.conv_i.weight": "frequency_attention/conv/kernel_imag",
        "body.3.frequency_attention.frequency_conv.conv_r.bias": "frequency_attention/conv/bias_real",
        "body.3.frequency_attention.frequency_conv.conv_i.bias": "frequency_attention/conv/bias_imag",
    },
    "apcan": {
        "body.3.amplitude_attention.amplitude_attention.0.weight": "amplitude_attention/gate_kernel",
        "body.3.phase_attention.phase_attention.0.weight": "phase_attention/gate_kernel",
    },
    "dfcan": {},
}
_BLOCK = {"oidn": "body.{}.body.{}.", "apcan": "body.{}.body.{}.", "dfcan": "residual_groups.{}.FCABs.{}."}
PUBLISHED = tuple(_LAYERS)
_HEAD = {"oidn": "head.0.weight", "apcan": "head.0.weight", "dfcan": "conv1.weight"}
# Fields that the authors' networks have one value of.
_CHOICES = {
    "oidn": {"psf_init": "authors", "psf_normalisation": "softmax"},
    "apcan": {},
    "dfcan": {"variant": "authors"},
}
# Fields whose default is what the authors have.
_ABLATIONS = {"oidn": ("attention", "domain_weights", "degradation"), "apcan": (), "dfcan": ()}
_PREFIX = "module."  # of a network that was trained on several devices
_PATCH = 128  # raw pixels, of the authors' training
_NAMED = 3  # names of one kind in a message


def names(network: str, *, groups: int, blocks: int) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """(the authors' name, our path, index into its leading axes) of every parameter that both have."""
    if network == "oidn":
        yield "learnable_psf", "psf_head/learnable_psf", ()
    yield from _layers(_LAYERS[network])
    if network != "dfcan":
        yield from _layers({f"body.{groups}": "body_conv"})
        for group in range(groups):
            yield from _layers({f"body.{group}.body.{blocks}": "groups/conv"}, index=(group,))
    for index in np.ndindex(groups, blocks):
        theirs, ours = _BLOCK[network].format(*index), "groups/blocks/"
        yield from _layers({theirs + name: ours + path for name, path in _BLOCK_LAYERS[network].items()}, index=index)
        for name, path in _BLOCK_PARAMETERS[network].items():
            yield theirs + name, ours + path, index


def _layers(layers: Mapping[str, str], index: tuple[int, ...] = ()) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    for name, path in layers.items():
        yield f"{name}.weight", f"{path}/kernel", index
        yield f"{name}.bias", f"{path}/bias", index


def to_ours(value: np.ndarray, path: str) -> np.ndarray:
    """A parameter of theirs in our layout.

    Convolutions OIHW to HWIO; 1 x 1 convolutions of pooled values to matrices (in, out); convolutions of the gates
    (1, 1, 3) to (3,); the PSF (1, frames, y, x) to (y, x, frames).
    """
    if path.endswith("learnable_psf"):
        return value[0].transpose(1, 2, 0)
    if "gate_kernel" in path:
        return value[0, 0]
    if _is_matrix(path):
        return value[:, :, 0, 0].T
    return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value


def to_theirs(value: np.ndarray, path: str) -> np.ndarray:
    """The inverse of `to_ours`."""
    if path.endswith("learnable_psf"):
        return value.transpose(2, 0, 1)[None]
    if "gate_kernel" in path:
        return value[None, None]
    if _is_matrix(path):
        return value.T[:, :, None, None]
    return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value


def _is_matrix(path: str) -> bool:
    return path.endswith(("squeeze/kernel", "excite/kernel"))


def to_model(
    parameters: Mapping[str, np.ndarray], *, network: str, microscope: Microscope, source: str
) -> TrainedModel:
    """The model of a published checkpoint.

    Its sizes (width, groups, blocks, taps of the PSF) are those of the shapes; DFCAN is the authors' variant, and raw
    frames are normalised one by one, as their code does.

    Args:
        parameters: by the names of the authors' code, in PyTorch's layout.
        network: one of `PUBLISHED`.
        microscope: that took the raw frames; a checkpoint does not say.
        source: what the checkpoint is called, for messages and the provenance of images.

    Raises:
        IllegalValue: another network.
        InputError: parameters that are missing, too many, or of other shapes than the sizes ask for, by their names;
            not finite; of other frames than the microscope's.
    """
    if network not in PUBLISHED:
        raise IllegalValue("model", network, f"legal: {', '.join(map(repr, PUBLISHED))}")
    given = {name.removeprefix(_PREFIX): value for name, value in parameters.items()}
    fields = {"name": network, **_sizes(given, network, source=source), **_CHOICES[network]}
    frames = given[_HEAD[network]].shape[1]
    if frames != microscope.frames:
        raise InputError(
            f"{source} takes {frames} raw frames, but the microscope has {microscope.frames}; give its "
            "`microscope.orientations` and `microscope.phases`"
        )
    leaves = _leaves(fields, microscope)
    _check(given, fields, leaves, frames=frames, source=source)
    stacks = {path: np.empty(leaf.shape, np.float32) for path, leaf in leaves.items()}
    for name, path, index in names(network, groups=fields["groups"], blocks=fields["blocks"]):
        stacks[path][index] = to_ours(given[name], path)
    return TrainedModel(
        fields=fields,
        params=nested(stacks),
        microscope=microscope,
        normalisation="per_frame",
        patch=_PATCH,
        origin={"version": __version__, "name": source, "data": "published checkpoint"},
        configuration={},
    )


def to_published(model: TrainedModel) -> dict[str, np.ndarray]:
    """The parameters of a model by the names of the authors' code, which loads them; what that never uses is 0.

    Raises:
        InputError: a network that the authors have not: another one, or one with other fields than theirs.
    """
    network, given = model.fields["name"], model.fields
    if network not in PUBLISHED:
        raise InputError(f"the network {network!r} has no published code; legal: {', '.join(map(repr, PUBLISHED))}")
    usual = default_fields(network)
    fields = {**usual, **given}
    for name, value in (_CHOICES[network] | {name: usual[name] for name in _ABLATIONS[network]}).items():
        if name != "psf_init" and fields[name] != value:  # a start is no part of the weights
            raise InputError(f"the network has the {name} {fields[name]!r}; the authors' code has {value!r} only")
    leaves = flattened(jax.device_get(model.params))
    parameters = {
        name: np.ascontiguousarray(to_theirs(np.asarray(leaves[path])[index], path))
        for name, path, index in names(network, groups=fields["groups"], blocks=fields["blocks"])
    }
    return parameters | {
        name: np.zeros(shape, np.float32) for name, shape in _unused(network, model.microscope.frames).items()
    }


def _sizes(given: Mapping[str, np.ndarray], network: str, *, source: str) -> dict[str, int]:
    """Width, groups, blocks and taps, as the names and shapes say; what does not go together, `_check` finds."""
    # A group ends with a convolution that is counted as one more block, and is none.
    pattern = re.compile(re.escape(_BLOCK[network]).replace(r"\{\}", r"(\d+)") + "(?!weight|bias)")
    places = [match.groups() for match in map(pattern.match, given) if match]
    groups, blocks = (len({place[axis] for place in places}) for axis in range(2))
    needed = {_HEAD[network]: 4, **({"learnable_psf": 4} if network == "oidn" else {})}
    if any(name not in given or given[name].ndim != axes for name, axes in needed.items()):
        blocks = 0
    if not 0 < groups * blocks <= len(given):
        raise InputError(
            f"{source} is no checkpoint of {network!r}, which has {', '.join(needed)} and "
            f"{_BLOCK[network].format(0, 0)}...; it has {_few(given)}"
        )
    sizes = {"width": given[_HEAD[network]].shape[0], "groups": groups, "blocks": blocks}
    return sizes | ({"psf_size": given["learnable_psf"].shape[-1]} if network == "oidn" else {})


def _leaves(fields: Mapping[str, Any], microscope: Microscope) -> dict[str, jax.ShapeDtypeStruct]:
    """Our parameters, without values."""
    module = build_network(fields, microscope)
    return flattened(jax.eval_shape(lambda: initial_params(module, jax.random.key(0))))


def _unused(network: str, frames: int) -> dict[str, tuple[int, ...]]:
    """The shapes of what the authors' code holds and never uses: a sixth convolution of the PSF head."""
    return {"Conv_2_6.weight": (frames, frames, 4, 4), "Conv_2_6.bias": (frames,)} if network == "oidn" else {}


def _check(
    given: Mapping[str, np.ndarray],
    fields: Mapping[str, Any],
    leaves: Mapping[str, jax.ShapeDtypeStruct],
    *,
    frames: int,
    source: str,
) -> None:
    network, groups, blocks = (fields[name] for name in ("name", "groups", "blocks"))
    needed = _unused(network, frames)
    for name, path, index in names(network, groups=groups, blocks=blocks):
        needed[name] = to_theirs(np.broadcast_to(np.float32(0), leaves[path].shape[len(index) :]), path).shape
    other = [
        f"{name} {given[name].shape} in place of {needed[name]}"
        for name in given.keys() & needed.keys()
        if given[name].shape != needed[name]
    ]
    wrong = {
        "missing": needed.keys() - given.keys(),
        "unknown": given.keys() - needed.keys(),
        "of another shape": other,
    }
    if any(wrong.values()):
        reasons = "; ".join(f"{what}: {_few(sorted(which))}" for what, which in wrong.items() if which)
        sizes = f"width {fields['width']}, {groups} groups of {blocks} blocks"
        raise InputError(f"{source} is no checkpoint of {network!r} with {sizes}; parameters {reasons}")
    for name, value in given.items():
        if not np.isfinite(value).all():
            raise InputError(f"{source} holds NaN or infinite weights in {name}; take another checkpoint")


def _few(names: Collection[str]) -> str:
    some, more = list(names)[:_NAMED], len(names) - _NAMED
    return ", ".join(some) + (f" and {more} more" if more > 0 else "")

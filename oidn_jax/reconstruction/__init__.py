"""Reconstruction: raw frames of any size to super-resolved images, in memory or from file to file.

Contract: `reconstruct` takes and gives arrays in the range of the raw frames, by a network, with one normalisation for
the whole image and overlapping tiles of one shape, blended without seams; `reconstruct_files` goes from file to file
by any `Method`, checks everything before it computes anything and writes each image complete or not at all, with
trust maps and diagnostics where asked for. A user's mistake is an `InputError`.
"""

from oidn_jax.acquisition.acquisition import Acquisition, KnownIllumination
from oidn_jax.acquisition.camera import CameraSettings
from oidn_jax.reconstruction.files import reconstruct_files
from oidn_jax.methods.tiled import default_tiling, reconstruct
from oidn_jax.reconstruction.jobs import Outputs, Reading, Talk
from oidn_jax.reconstruction.methods import ClassicalMethod, GivenImage, Method, NetworkMethod
from oidn_jax.figures.preview import write_preview
from oidn_jax.commands.progress import progress_bar
from oidn_jax.methods.tiling import Tiling

__all__ = [
    "Acquisition",
    "CameraSettings",
    "ClassicalMethod",
    "GivenImage",
    "KnownIllumination",
    "Method",
    "NetworkMethod",
    "Outputs",
    "Reading",
    "Talk",
    "Tiling",
    "default_tiling",
    "progress_bar",
    "reconstruct",
    "reconstruct_files",
    "write_preview",
]

"""Reconstruction: raw frames of any size to super-resolved images, in memory or from file to file.

Contract: `reconstruct` takes and gives arrays in the range of the raw frames; `reconstruct_files` does the same for
files, checks everything before it computes anything and writes each image complete or not at all. One normalisation
for the whole image, overlapping tiles of one shape, blended without seams. A user's mistake is an `InputError`.
"""

from oidn_jax.reconstruction.files import reconstruct_files
from oidn_jax.reconstruction.images import default_tiling, reconstruct
from oidn_jax.reconstruction.preview import write_preview
from oidn_jax.reconstruction.progress import progress_bar
from oidn_jax.reconstruction.tiling import Tiling

__all__ = ["Tiling", "default_tiling", "progress_bar", "reconstruct", "reconstruct_files", "write_preview"]

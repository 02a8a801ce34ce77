"""Reconstruction from file to file.

Contract: `reconstruct_files` checks everything before it computes anything and writes each image complete or not at
all, with trust maps and diagnostics where asked for. A user's mistake is an `InputError`.
"""

from oidn_jax.data.workers import Workers
from oidn_jax.reconstruction.files import open_acquisitions, reconstruct_files
from oidn_jax.reconstruction.jobs import Messages, Outputs, Reading

__all__ = ["Messages", "Outputs", "Reading", "Workers", "open_acquisitions", "reconstruct_files"]

"""What one raw acquisition tells of itself: camera, defects, checks, illumination, a report.

Contract: `Acquisition`, of a file or of arrays, is what methods, trust maps, evaluation and notebooks share; nothing of
it is computed before it is asked for.
"""

from oidn_jax.acquisition.acquisition import Acquisition, GroupingError
from oidn_jax.acquisition.camera import CameraSettings
from oidn_jax.acquisition.illumination_file import KnownIllumination

__all__ = ["Acquisition", "CameraSettings", "GroupingError", "KnownIllumination"]

"""What one raw acquisition tells of itself: camera, defects, checks, illumination, a report.

Contract: `Acquisition`, of a file or of arrays, is what methods, trust maps, evaluation and notebooks share; nothing of
it is computed before it is asked for.
"""

from oidn_jax.acquisition.acquisition import Acquisition, GroupingError, KnownIllumination
from oidn_jax.acquisition.camera import CameraSettings

__all__ = ["Acquisition", "CameraSettings", "GroupingError", "KnownIllumination"]

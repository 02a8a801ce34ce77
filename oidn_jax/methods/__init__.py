"""THE way from an acquisition to an image.

Contract: `method(acquisition, time) -> Image`, without state on the method: whoever needs an image, to write, to score
or to look at, gets the same pixels. Networks in tiles of one shape, classical methods with the illumination of the
acquisition, images that are given.
"""

from oidn_jax.methods.classical import ClassicalMethod
from oidn_jax.methods.given import GivenImage
from oidn_jax.methods.method import Image, Method, Progress
from oidn_jax.methods.network import NetworkMethod, check_expects_error, reconstruct, reconstruct_with_error

__all__ = [
    "ClassicalMethod",
    "GivenImage",
    "Image",
    "Method",
    "NetworkMethod",
    "Progress",
    "check_expects_error",
    "reconstruct",
    "reconstruct_with_error",
]

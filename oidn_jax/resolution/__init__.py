"""The resolution of one image file, or of two of one object: decorrelation analysis and Fourier ring correlation."""

from oidn_jax.resolution.image import MeasuredImage, read_measured_image
from oidn_jax.resolution.measurement import Measurement, measure
from oidn_jax.resolution.text import format_lines, to_json

__all__ = ["MeasuredImage", "Measurement", "format_lines", "measure", "read_measured_image", "to_json"]

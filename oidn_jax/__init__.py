"""Deep reconstruction of structured illumination microscopy with a physical prior (OIDN), in JAX."""

__version__ = "0.1.0"

"""Measures of images: likeness to a reference, resolution, agreement with the widefield image.

Contract: images are `(*batch, h, w)`; a metric returns `(*batch,)`, the data range is always said, nothing is
normalised or clipped silently, and what does not exist (no crossing, no structure) is NaN or infinite, never a number.
Takes the Fourier transforms of `optics` and nothing else of the project. `python -m oidn_jax.metrics` measures files.
"""

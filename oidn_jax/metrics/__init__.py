"""Image metrics: pure functions, one value per image, the data range always said.

Contract: images are `(*batch, h, w)`; a metric returns `(*batch,)`; nothing is normalised or clipped silently.
Imports nothing else of the project.
"""

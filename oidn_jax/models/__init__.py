"""Networks as linen modules, and trained ones.

They own parameters and call pure functions, and know of optics only what a `Microscope` gives them when they are built.

Contract: input `raw_frames` (b, h, w, frames) normalised to about [0, 1], orientation slow and phase fast; output a
`Prediction`. Parameters are float32; the compute type is a field of the module. `networks.NETWORKS` has all by name,
`weights` reads and writes trained ones.
"""

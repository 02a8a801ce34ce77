"""Image formation as pure functions: Fourier convention, transfer functions, illumination, forward model, noise.

Contract: images have their spatial axes in the order y, x; wave vectors and frequencies are in cycles per pixel of
the grid they are used on; nothing here owns parameters or state. `microscope.Microscope` and `noise.NoiseModel` are the
only holders of their numbers. Imports nothing else of the project.
"""

"""Image formation as pure functions: Fourier convention, transfer functions, illumination, forward model.

Contract: images have their spatial axes in the order y, x; wave vectors and frequencies are in cycles per pixel of
the grid they are used on; nothing here owns parameters or state. Imports nothing else of the project, but for the
script of its checks.
"""

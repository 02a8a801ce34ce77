"""Networks as linen modules: they own parameters and call pure functions, and know nothing of files or training.

Contract: input `raw_frames` (b, h, w, frames) normalised to about [0, 1], orientation slow and phase fast; output
`(sr_image, intermediates)` with `sr_image` (b, scale*h, scale*w, 1) and the named quantities the losses, figures and
checks need. Parameters are float32; the compute type is a field of the module.
"""

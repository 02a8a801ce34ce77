"""Classical SIM: the illumination from raw frames, images from the illumination, and what raw frames say of any image.

Contract: pure functions of raw frames (frames, h, w) without the camera's offset, an `Illumination` and an OTF; images
on the project's fine grid (`optics.grid`), pixel by pixel comparable with the networks' and the simulation's targets.
"""

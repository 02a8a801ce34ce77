"""Classical SIM reconstruction: linear, from the illumination, without training.

Contract: pure functions of raw frames (frames, h, w), an `Illumination` and an OTF; images on the project's fine grid
(`optics.grid`), pixel by pixel comparable with the networks' and the simulation's targets.
"""

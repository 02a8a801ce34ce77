"""Evaluation: held-out scenes, methods behind one interface, scores per image, tables and pictures.

Contract: a method is a function from camera counts (b, h, w, frames) to images (b, scale*h, scale*w); every
number is stored per image in a machine-readable file beside the table, and pictures beside both.
"""

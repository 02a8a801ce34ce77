"""Simulated specimens and acquisitions as pure functions of a PRNG key.

Contract: a key and static settings give arrays, on whatever device the computation runs on; no files, no state, so
training data never repeat and a held-out set is a key.
"""

"""Simulated acquisitions as files (`oidn-jax export`).

Contract: a BioSR tree of Priism MRC files and DL-SR patch folders, so that any program that reads those can run on data
whose truth is known; what is known stands in a JSON file and a float image beside each cell.
"""

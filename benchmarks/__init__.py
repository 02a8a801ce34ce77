"""Benchmarks: ratios within one run, because machines are noisy; never part of a timed test."""

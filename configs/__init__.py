"""Configurations: one file per specimen or experiment, each a function `get_config(variant)` over `default`."""

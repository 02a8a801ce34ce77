"""Every setting there is, with the published values. The values stand in the dataclasses that use them."""

from oidn_jax.config import default_config as get_config

__all__ = ["get_config"]

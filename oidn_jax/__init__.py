"""Deep reconstruction of structured illumination microscopy with a physical prior (OIDN), in JAX.

`oidn_jax.load(workdir)` gives a trained model, `oidn_jax.reconstruct(raw_frames, model)` images of any size.
"""

from typing import TYPE_CHECKING, Any

from oidn_jax.version import __version__

__all__ = ["__version__", "load", "reconstruct"]

if TYPE_CHECKING:
    from oidn_jax.reconstruction import reconstruct
    from oidn_jax.training.checkpoint import load_model as load


def __getattr__(name: str) -> Any:
    """The public functions, imported when first used: `oidn_jax.data` must not pull in jax."""
    if name == "load":
        from oidn_jax.training.checkpoint import load_model

        return load_model
    if name == "reconstruct":
        from oidn_jax.reconstruction import reconstruct

        return reconstruct
    raise AttributeError(f"module 'oidn_jax' has no attribute {name!r}")

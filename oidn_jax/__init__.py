"""Deep reconstruction of structured illumination microscopy with a physical prior (OIDN), in JAX.

`oidn_jax.load(workdir)` gives a trained model, `oidn_jax.reconstruct(raw_frames, model)` images of any size, and
`oidn_jax.reconstruct_with_error` those of a guided network with the error that it expects of each pixel;
`oidn_jax.adapt(raw_frames, model, microscope=...)` goes on training a guided network on frames without a truth.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from oidn_jax.version import __version__

if TYPE_CHECKING:
    from oidn_jax.methods import reconstruct, reconstruct_with_error
    from oidn_jax.models.trained import TrainedModel
    from oidn_jax.training.adaptation import adapt

__all__ = ["__version__", "adapt", "load", "reconstruct", "reconstruct_with_error"]


def load(source: str | Path, *, checkpoint: str | None = None) -> "TrainedModel":
    """A trained model by the name of weights that come with the package, or of a folder (`models.weights.load`).

    The workdirs of version 0.1.0, whose checkpoints held no weights by themselves, are read too.

    Raises:
        InputError: no such model or checkpoint; one that is damaged.
    """
    from oidn_jax.models import weights

    try:
        return weights.load(source, checkpoint=checkpoint)
    except weights.OldWorkdir:
        from oidn_jax.training.old_workdir import load_old_workdir

        return load_old_workdir(source, checkpoint=checkpoint)


def __getattr__(name: str) -> Any:
    """What works with jax, imported when first used: `oidn_jax.data` must not pull in jax."""
    if name in ("reconstruct", "reconstruct_with_error"):
        from oidn_jax import methods

        return getattr(methods, name)
    if name == "adapt":
        from oidn_jax.training.adaptation import adapt

        return adapt
    raise AttributeError(f"module 'oidn_jax' has no attribute {name!r}")

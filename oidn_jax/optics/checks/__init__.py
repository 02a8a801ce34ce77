"""Checks of the forward model against the laws it must obey: `python -m oidn_jax.optics.checks`.

Contract: a law is a pure function (model, microscope, key) -> error, compiled by `check`; an error that is not finite
or exceeds its tolerance is a failure. `Model` holds the functions under check, so that a broken one can be put in
their place and be seen to fail.
"""

from oidn_jax.optics.checks.laws import LAWS
from oidn_jax.optics.checks.model import Check, Law, Microscope, Model, check

__all__ = ["LAWS", "Check", "Law", "Microscope", "Model", "check"]

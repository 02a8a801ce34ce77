"""The laws that the forward model must obey, and their checks: `oidn-jax laws`.

Contract: a law is a pure function (model, setup, key) -> error, compiled by `check`; an error that is not finite or
exceeds its tolerance is a failure. `Model` holds the functions under check, so that a broken one can be put in their
place and be seen to fail.
"""

from oidn_jax.optics.laws.model import Check, Law, Model, Setup, check
from oidn_jax.optics.laws.statements import LAWS

__all__ = ["LAWS", "Check", "Law", "Model", "Setup", "check"]

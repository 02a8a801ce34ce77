"""What is made of the damping that frames ask for (`classical.damping`): whether it is taken, what is said of it."""

import math

from oidn_jax.classical.damping import Damping
from oidn_jax.optics.microscope import Microscope

# Damping is taken from the frames up to this error of its logarithm, within these bounds; beyond, it is not damping. A
# little above 1 is an error of NA or wavelength.
_KNOWN_TO, _SMALLEST, _LARGEST = 0.25, 0.05, 1.3
_WRONG = 3.0  # a damping that was given is wrong by more than this factor, in either direction


def believable_damping(microscope: Microscope, fit: Damping | None) -> float | None:
    """The damping of the theoretical OTF that the frames ask for, at most 1; None where they do not tell it."""
    if fit is None or fit.error > _KNOWN_TO or microscope.measured_otf is not None:
        return None
    asked = microscope.otf_damping * math.exp(fit.logarithm)
    return min(asked, 1.0) if _SMALLEST <= asked <= _LARGEST else None


def taken_remark(damping: float, fit: Damping) -> str:
    """That the damping is that of the frames."""
    return (
        f"the damping of the OTF at its cutoff is {damping:.2g} +- {damping * fit.error:.1g} by these frames, which "
        "is taken, as nobody gave `otf_damping`"
    )


def misfit_remark(microscope: Microscope, fit: Damping | None) -> str | None:
    """That the microscope's OTF does not fit the frames, where they certainly say so."""
    if fit is None or abs(fit.logarithm) - 2.0 * fit.error <= math.log(_WRONG):
        return None
    factor = math.exp(fit.logarithm)
    if microscope.measured_otf is not None:
        asked = f"{factor:.2g} times as much there as measured"
    else:
        asked = f"a damping of {microscope.otf_damping * factor:.2g} there, not {microscope.otf_damping:g}"
    return (
        f"the OTF does not fit near its cutoff: by the overlap of the bands it has {asked}, so that modulation depths "
        "come out wrong and ghosts of the pattern's period appear; check `otf_damping` or `otf`, `na` and `emission_nm`"
    )


def unknown_remark(microscope: Microscope) -> str:
    """That the damping is a guess."""
    return (
        f"these frames do not tell the damping of the OTF, so {microscope.otf_damping:g} at its cutoff is assumed; "
        "give `otf_damping` or a measured `otf`"
    )

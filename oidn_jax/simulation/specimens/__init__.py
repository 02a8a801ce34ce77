"""The specimens, one file each: a new one is a new file here that defines `SPECIMEN`."""

import importlib
import pkgutil

from oidn_jax.simulation.specimen import Specimen


def _specimens() -> dict[str, Specimen]:
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    return {module.SPECIMEN.name: module.SPECIMEN for module in modules}


SPECIMENS = _specimens()

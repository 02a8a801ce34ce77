"""The specimens by name: fluorophore density in physical units, as pure functions of a key.

Every specimen is `draw(key, shape, *, pixel_size_nm, density, brightness_variation) -> (h, w)`: a drawing of the
structures with ideal labels, where a filament of brightness 1 carries one unit per pixel of its length. Lengths are in
nanometres inside, so the same key on a finer grid gives a finer drawing of like structures, not larger ones.
"""

from oidn_jax.simulation.filaments import f_actin, microtubules
from oidn_jax.simulation.pits import ccps
from oidn_jax.simulation.reticulum import er

SPECIMENS = {"f_actin": f_actin, "microtubules": microtubules, "ccps": ccps, "er": er}

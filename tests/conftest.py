"""What every test relies on: four simulated CPU devices, strict broadcasting, a seeded key, the golden files.

The settings are environment variables because jax reads them when it is first imported, and because a script that a
test starts as a subprocess then runs under the same rules. Each of them gives way to what the user has set already.
The checks of shapes and types are switched on in `pyproject.toml` (`--jaxtyping-packages`).
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
GOLDEN_FOLDER = ROOT / "tests" / "data"

SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "jax"),
    # The tests' programs are small and many: without these two, jax would judge most of them not worth keeping.
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "MPLBACKEND": "Agg",
}
# jax refuses to start with both spellings of the number of devices.
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    SETTINGS["JAX_NUM_CPU_DEVICES"] = "4"

for name, value in SETTINGS.items():
    os.environ.setdefault(name, value)


@pytest.fixture
def key():
    """The PRNG key that tests start from."""
    import jax

    return jax.random.key(0)


@pytest.fixture
def golden() -> Callable[[str], dict[str, np.ndarray]]:
    """A function that loads `tests/data/NAME.npz` by NAME as a dict of arrays."""

    def load(name: str) -> dict[str, np.ndarray]:
        path = GOLDEN_FOLDER / f"{name}.npz"
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in GOLDEN_FOLDER.glob("*.npz"))) or "none"
            raise ValueError(f"no golden file {name!r} in tests/data; there are: {known}")
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)

    return load

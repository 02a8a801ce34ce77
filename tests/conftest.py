"""What every test relies on: four simulated CPU devices, strict broadcasting, a seeded key, golden files, a tiny run.

The settings are environment variables because jax reads them when it is first imported, and because a script that a
test starts as a subprocess then runs under the same rules. Each of them gives way to what the user has set already.
The checks of shapes and types are switched on in `pyproject.toml` (`--jaxtyping-packages`).
"""

import os
import signal
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from ml_collections import ConfigDict

if TYPE_CHECKING:
    from oidn_jax.config import Experiment

MOST_MAPS = 20_000
ROOT = Path(__file__).resolve().parents[1]
GOLDEN_FOLDER = ROOT / "tests" / "data"

SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "jax"),
    # The tests' programs are small and many: without these two, jax would judge most of them not worth keeping.
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    # Most of the suite's time is compilation, and optimised programs of this size run no faster.
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "MPLBACKEND": "Agg",
}
# XLA takes a third less time over the compilation of these programs without its emitters of fused loops. It may compile
# wrongly then (one program gave NaN), which makes a test fail, never pass. The flag is an internal one, and XLA ends
# the process over a flag that it does not know: so only where it has been tried.
if metadata.version("jaxlib").startswith("0.10."):
    SETTINGS["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false"
# jax refuses to start with both spellings of the number of devices.
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    SETTINGS["JAX_NUM_CPU_DEVICES"] = "4"

for name, value in SETTINGS.items():
    os.environ.setdefault(name, value)

# A run of seconds, as changes of `f_actin:quick`. The schedule does not depend on the number of steps, so a
# run of other length is the same compiled program.
TINY = {
    "model.width": 8,
    "model.groups": 1,
    "model.blocks": 1,
    "simulation.margin": 4,
    "simulation.specimen": "ccps",  # the quickest to draw
    "simulation.density": (1.0, 2.0),
    "train.steps": 4,
    "train.batch_size": 4,
    "train.patch": 16,
    "train.schedule": "step",
    "train.warmup_steps": 0,
    "train.log_every": 2,
    "train.evaluate_every": 2,
    "train.checkpoint_every": 2,
    "evaluation.scenes": 1,
    "evaluation.size": 32,
    "evaluation.panels": 1,
    "evaluation.rolling_block": 32,
}


@pytest.fixture(scope="module", autouse=True)
def programs_are_let_go():
    """A process that keeps thousands of compiled programs grows to gigabytes, and Linux grants it 65,530 maps."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_bytes().splitlines()) > MOST_MAPS:
        import jax

        jax.clear_caches()


@pytest.fixture
def heeds_ctrl_c():
    """A shell has what it runs in the background ignore Ctrl-C, and processes inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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


def make_tiny_config() -> ConfigDict:
    from oidn_jax.config import load_config

    config = load_config("f_actin:quick")
    config.update_from_flattened_dict(TINY)
    return config


@pytest.fixture
def tiny_config() -> ConfigDict:
    """The configuration of `tiny_workdir`, to change at will."""
    return make_tiny_config()


@pytest.fixture
def tiny_experiment() -> "Experiment":
    """The values of `tiny_config`."""
    from oidn_jax.config import experiment_of

    return experiment_of(make_tiny_config())


@pytest.fixture(scope="session")
def tiny_flags() -> list[str]:
    """The flags that make `tiny_config` for a command."""
    return ["--config=f_actin:quick", *(f"--config.{name}={value}" for name, value in TINY.items())]


@pytest.fixture(scope="session")
def tiny_workdir(tmp_path_factory) -> Path:
    """The workdir of a finished run of `tiny_config`, with both checkpoints. Only to be read: copy it to change it."""
    from oidn_jax.config import experiment_of
    from oidn_jax.evaluation.validation import Validation
    from oidn_jax.training.loop import train

    workdir, experiment = tmp_path_factory.mktemp("tiny") / "run", experiment_of(make_tiny_config())
    validation = Validation(experiment.run.simulation, experiment.evaluation)
    assert train(experiment.run, workdir, evaluator=validation, say=lambda line: None).finished
    return workdir

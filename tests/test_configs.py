"""The configurations: each builds its network and its simulation, locked, with one place for each number."""

import importlib
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from configs import default, f_actin
from oidn_jax.simulation.pairs import settings_from_config, simulate_training_batch
from oidn_jax.training.loop import check_config
from oidn_jax.training.state import build_model, build_optimizer, initial_state

ROOT = Path(__file__).resolve().parents[1]
# Files of configs/ that are no configuration.
HELPERS = {"__init__", "command_line"}
# Variants of each file (None: it takes none) and the parameters of their network; the paper's is the published one.
PARAMETERS = {
    ("default", None): 3_386_697,
    ("f_actin", None): 3_386_697,
    ("f_actin", "paper"): 3_386_697,
    ("f_actin", "quick"): 77_761,
}


def load(file, variant):
    get_config = importlib.import_module(f"configs.{file}").get_config
    return get_config() if variant is None else get_config(variant)


@pytest.fixture(params=PARAMETERS, ids=lambda case: ":".join(filter(None, case)))
def case(request):
    return request.param


def test_no_file_is_forgotten():
    files = {path.stem for path in (ROOT / "configs").glob("*.py")}
    assert files == {file for file, _ in PARAMETERS} | HELPERS


def test_the_state_builds_with_the_expected_number_of_parameters(case):
    config = load(*case)
    model, optimizer = build_model(config), build_optimizer(config.train)
    state = jax.eval_shape(lambda: initial_state(config, model, optimizer))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state.params)) == PARAMETERS[case]
    assert (state.ema_params is not None) == (config.train.ema_decay > 0)


def test_network_and_simulation_fit_each_other(case):
    """A training batch of the configuration goes through its network and gives an image like the target."""
    config = load(*case)
    model, settings, side = build_model(config), settings_from_config(config.simulation), config.train.patch
    check_config(config)

    def forward(key):
        batch = simulate_training_batch(
            key,
            batch_size=config.train.batch_size,
            settings=settings,
            size=(side, side),
            normalisation=config.data.normalisation,
        )
        params = model.init(key, jnp.zeros((1, 16, 16, model.frames)))
        return model.apply(params, batch["raw_frames"])[0], batch["target"]

    image, target = jax.eval_shape(forward, jax.random.key(0))
    assert image.shape == target.shape == (config.train.batch_size, 2 * side, 2 * side, 1)
    assert settings.levels == ("low", "medium", "high")


def test_no_training_run_draws_the_held_out_scenes(case):
    """Training draws from `seed + 1`."""
    config = load(*case)
    assert config.evaluation.seed not in (config.seed, config.seed + 1)


def test_the_configuration_is_locked(case):
    config = load(*case)
    for section in (config, config.optics, config.model, config.simulation, config.train, config.loss.weights):
        assert section.is_locked
        with pytest.raises(AttributeError, match="locked"):
            section.stepz = 3


def test_a_change_of_the_microscope_reaches_network_and_simulation(case):
    config = load(*case)
    config.optics.update(na=1.3, emission_wavelength_nm=610.0, pixel_size_nm=70.0)
    config.frames.update(phases=5)
    for part in (build_model(config), settings_from_config(config.simulation)):
        assert (part.na, part.emission_wavelength_nm, part.pixel_size_nm) == (1.3, 610.0, 70.0)
        assert (part.orientations, part.phases, part.scale) == (3, 5, 2)


def test_configurations_are_independent():
    default.get_config().train.steps = 3
    f_actin.get_config().optics.na = 1.2
    assert default.get_config().train.steps == 500_000
    assert f_actin.get_config().optics.na == 1.49


def test_an_unknown_variant():
    with pytest.raises(ValueError, match=r"configs/f_actin\.py has no variant 'quik'; legal: paper, quick"):
        f_actin.get_config("quik")

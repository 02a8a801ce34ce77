"""The configurations: each builds its network and its simulation, locked, with one place for each number."""

import importlib
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from configs import default, f_actin
from configs.variants import CHANNELS
from oidn_jax.simulation.pairs import settings_from_config, simulate_training_batch
from oidn_jax.simulation.settings import AcquisitionSettings
from oidn_jax.training.loop import check_config
from oidn_jax.training.state import build_model, build_optimizer, initial_state

ROOT = Path(__file__).resolve().parents[1]
# Files of configs/ that are no configuration.
HELPERS = {"__init__", "command_line", "variants", "one_line_parser"} | {
    f"{script}_flags" for script in ("reconstruct", "evaluation", "metrics")
}
PAPER, QUICK = 3_386_697, 77_761
# Files and variants (None: none is given) and the parameters of their network; the paper's is the published one.
PARAMETERS = {
    ("default", None): PAPER,
    ("ccps", None): PAPER,
    ("er", None): PAPER,
    ("f_actin", None): PAPER,
    ("microtubules", None): PAPER,
    ("ccps", "quick"): QUICK,
    ("er", "quick"): QUICK,
    ("f_actin", "quick"): QUICK,
    ("microtubules", "quick"): QUICK,
    ("er", "quick,560"): QUICK,
    ("microtubules", "647,quick"): QUICK,
}
# BioSR has twelve levels of F-actin, six of the ER and nine of the others.
SIGNAL_LEVELS = {"default": 9, "ccps": 9, "er": 6, "f_actin": 12, "microtubules": 9}
SPECIMENS = [file for file in SIGNAL_LEVELS if file != "default"]


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
    config.optics.update(na=1.45, emission_wavelength_nm=610.0, pixel_size_nm=70.0)
    config.frames.update(phases=5)
    for part in (build_model(config), settings_from_config(config.simulation)):
        assert (part.na, part.emission_wavelength_nm, part.pixel_size_nm) == (1.45, 610.0, 70.0)
        assert (part.orientations, part.phases, part.scale) == (3, 5, 2)


def test_configurations_are_independent():
    default.get_config().train.steps = 3
    f_actin.get_config().optics.na = 1.2
    assert default.get_config().train.steps == 500_000
    assert f_actin.get_config().optics.na == 1.49


@pytest.mark.parametrize("file", SIGNAL_LEVELS)
def test_every_signal_level_has_one_of_three_names(file):
    settings = settings_from_config(load(file, None).simulation)
    assert settings.specimen == ("f_actin" if file == "default" else file)
    assert len(settings.mean_photons) == SIGNAL_LEVELS[file]
    assert set(settings.fluorescence) == {"low", "medium", "high"}
    numbers = [n for name in ("low", "medium", "high") for n in settings.fluorescence[name]]
    assert numbers == list(range(1, SIGNAL_LEVELS[file] + 1))


@pytest.mark.parametrize("file", SPECIMENS)
def test_the_paper_is_what_a_file_gives_unasked(file):
    assert load(file, None).to_dict() == load(file, "paper").to_dict()
    assert load(file, None).name == f"{file}:paper"
    assert load(file, "quick").name == f"{file}:quick"


@pytest.mark.parametrize("size", ["paper", "quick"])
@pytest.mark.parametrize("channel", CHANNELS)
def test_a_channel_is_a_laser_and_an_emission_band(size, channel):
    """In either order, and nothing else of the size changes."""
    config, plain = load("er", f"{channel},{size}"), load("er", size)
    assert config.name == f"er:{size},{channel}"
    assert config.to_dict() == load("er", f"{size},{channel}").to_dict()
    for part in (build_model(config), settings_from_config(config.simulation)):
        assert part.emission_wavelength_nm == CHANNELS[channel]
    assert settings_from_config(config.simulation).excitation_wavelength_nm == float(channel) < CHANNELS[channel]
    plain.name = config.name
    plain.optics.emission_wavelength_nm = CHANNELS[channel]
    plain.simulation.excitation_wavelength_nm = float(channel)
    assert config.to_dict() == plain.to_dict()


def test_a_channel_alone_is_of_the_paper():
    assert load("ccps", "647").to_dict() == load("ccps", "paper,647").to_dict()


@pytest.mark.parametrize("file", SPECIMENS)
@pytest.mark.parametrize(
    "variant", ["quik", "", "405", "quick,", "quick, 560", "quick:560", "paper,quick", "quick,quick", "488,560"]
)
def test_an_unknown_variant(file, variant):
    legal = r"legal: paper or quick, a channel \(488, 560, 647\), or both, as quick,560"
    with pytest.raises(ValueError, match=rf"configs/{file}\.py has no variant '{variant}'; {legal}"):
        load(file, variant)


def test_settings_and_default_configuration_have_the_same_numbers():
    settings = settings_from_config(default.get_config().simulation)
    assert settings == AcquisitionSettings()
    assert list(settings.fluorescence) == ["low", "medium", "high"]

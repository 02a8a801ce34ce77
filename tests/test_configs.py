"""The configurations: each builds its network and its simulation, locked, with one place for each number."""

import math
from dataclasses import asdict
from pathlib import Path

import jax
import pytest

from oidn_jax.config import (
    CHANNELS,
    SIZES,
    default_config,
    experiment_names,
    experiment_of,
    load_config,
    microscope_of,
    specimen_config,
    use_network,
)
from oidn_jax.errors import IllegalValue, InputError
from oidn_jax.models.networks import build_network, predict
from oidn_jax.optics.microscope import Microscope
from oidn_jax.optics.noise import Camera
from oidn_jax.simulation.pairs import simulate_training_batch
from oidn_jax.simulation.settings import SimulationSettings
from oidn_jax.simulation.specimens import SPECIMENS
from oidn_jax.training.state import build_optimizer, initial_state

ROOT = Path(__file__).resolve().parents[1]
PAPER, QUICK = 3_386_697, 77_761
# Experiments and the parameters of their network; the paper's is the published one.
PARAMETERS = {
    "default": PAPER,
    "ccps": PAPER,
    "er": PAPER,
    "f_actin": PAPER,
    "microtubules": PAPER,
    "ccps:quick": QUICK,
    "er:quick": QUICK,
    "f_actin:quick": QUICK,
    "microtubules:quick": QUICK,
    "er:quick,560": QUICK,
    "microtubules:647,quick": QUICK,
}
# BioSR has twelve levels of F-actin, six of the ER and nine of the others.
SIGNAL_LEVELS = {"default": 9, "ccps": 9, "er": 6, "f_actin": 12, "microtubules": 9}


@pytest.fixture(params=PARAMETERS)
def name(request):
    return request.param


def test_no_experiment_is_forgotten():
    files = {path.stem for path in (ROOT / "configs").glob("*.py")} - {"__init__"}
    assert files - {"guided"} == {name.partition(":")[0] for name in PARAMETERS} == set(SIGNAL_LEVELS)
    assert experiment_names() == sorted(files | set(SPECIMENS))


@pytest.mark.parametrize(("name", "count"), [("default", PAPER), ("er:quick", QUICK)])
def test_the_state_builds_with_the_expected_number_of_parameters(name, count):
    run = experiment_of(load_config(name)).run
    network, optimizer = build_network(run.model, run.microscope), build_optimizer(run.train)
    state = jax.eval_shape(lambda: initial_state(run, network, optimizer))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state.params)) == count
    assert (state.ema_params is not None) == (run.train.ema_decay > 0)


def test_every_experiment_has_the_network_that_is_counted(name):
    """Two configurations stand for all: fields that are equal have parameters that are equal."""
    counted = {PAPER: "default", QUICK: "er:quick"}[PARAMETERS[name]]
    assert load_config(name).model.to_dict() == load_config(counted).model.to_dict()


@pytest.mark.parametrize(
    ("name", "network"),
    [("f_actin", "oidn"), ("er:quick", "unet"), ("ccps", "dfcan"), ("f_actin:quick", "apcan"), ("er", "rcan")],
)
def test_network_and_simulation_fit_each_other(name, network):
    """A training batch of the configuration goes through its network and gives an image like the target."""
    config = load_config(name)
    use_network(config, network)
    run = experiment_of(config).run
    side, module = run.train.patch, build_network(run.model, run.microscope)

    def forward(key):
        batch = simulate_training_batch(
            key,
            batch_size=run.train.batch_size,
            simulation=run.simulation,
            size=(side, side),
            normalisation=run.data.normalisation,
        )
        params = module.init(key, batch["inputs"])["params"]
        return predict(module, params, batch["inputs"]).image, batch["target"]

    image, target = jax.eval_shape(forward, jax.random.key(0))
    assert image.shape == target.shape == (run.train.batch_size, 2 * side, 2 * side, 1)


def test_an_experiment_is_complete_and_its_scenes_are_held_out(name):
    """Training draws from `seed + 1`."""
    experiment = experiment_of(load_config(name))
    assert experiment.evaluation.seed not in (experiment.run.seed, experiment.run.seed + 1)
    assert experiment.run.name == name.replace("647,quick", "quick,647") if ":" in name else True


def test_the_configuration_is_locked(name):
    config = load_config(name)
    for section in (config, config.microscope, config.model, config.simulation, config.train, config.loss.weights):
        assert section.is_locked
        with pytest.raises(AttributeError, match="locked"):
            section.stepz = 3


def test_a_change_of_the_microscope_reaches_network_and_simulation(name):
    config = load_config(name)
    changes = {"na": 1.45, "emission_wavelength_nm": 610.0, "pixel_size_nm": 70.0, "phases": 5, "otf_damping": 0.3}
    config.microscope.update(changes)
    run = experiment_of(config).run
    assert run.microscope is run.simulation.microscope
    assert run.microscope == Microscope(**changes)
    network = build_network(run.model, run.microscope)
    assert (network.frames, network.scale) == (15, 2)
    assert network.initial_psf == tuple(map(tuple, Microscope(**changes).psf(8).tolist()))


def test_configurations_are_independent():
    default_config().train.steps = 3
    load_config("f_actin").microscope.na = 1.2
    assert default_config().train.steps == 500_000
    assert load_config("f_actin").microscope.na == 1.49


@pytest.mark.parametrize("name", SIGNAL_LEVELS)
def test_every_signal_level_has_one_of_three_names(name):
    settings = experiment_of(load_config(name)).run.simulation.settings
    assert settings.specimen == ("f_actin" if name == "default" else name)
    assert len(settings.mean_photons) == SIGNAL_LEVELS[name]
    levels = settings.fluorescence_levels
    assert list(levels) == ["low", "medium", "high"]
    assert [n for numbers in levels.values() for n in numbers] == list(range(1, SIGNAL_LEVELS[name] + 1))


@pytest.mark.parametrize("name", SPECIMENS)
def test_the_paper_is_what_a_specimen_gives_unasked(name):
    assert load_config(name).to_dict() == load_config(f"{name}:paper").to_dict()
    assert load_config(name).to_dict() == specimen_config(name).to_dict()
    assert load_config(name).name == f"{name}:paper"
    assert load_config(f"{name}:quick").name == f"{name}:quick"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channel", CHANNELS)
def test_a_channel_is_a_laser_and_an_emission_band(size, channel):
    """In either order, and nothing else of the size changes."""
    config, plain = load_config(f"er:{channel},{size}"), load_config(f"er:{size}")
    assert config.name == f"er:{size},{channel}"
    assert config.to_dict() == load_config(f"er:{size},{channel}").to_dict()
    run = experiment_of(config).run
    assert run.microscope.emission_wavelength_nm == CHANNELS[channel]
    assert run.simulation.settings.excitation_wavelength_nm == float(channel) < CHANNELS[channel]
    plain.name = config.name
    plain.microscope.emission_wavelength_nm = CHANNELS[channel]
    plain.simulation.excitation_wavelength_nm = float(channel)
    assert config.to_dict() == plain.to_dict()


def test_a_channel_alone_is_of_the_paper():
    assert load_config("ccps:647").to_dict() == load_config("ccps:paper,647").to_dict()


@pytest.mark.parametrize("variant", ["quik", "405", "quick,", "quick, 560", "paper,quick", "quick,quick", "488,560"])
def test_an_unknown_variant_is_refused(variant):
    with pytest.raises(IllegalValue, match=r"`variant` is .*; legal: paper or quick, a channel \(488, 560, 647\)"):
        specimen_config("ccps", variant)


@pytest.mark.parametrize("name", ["ccps:quik", "no_such_experiment", "no_such_file.py", "default:quick"])
def test_what_cannot_be_loaded_is_told(name):
    with pytest.raises(InputError, match=r"^`config` is '"):
        load_config(name)


def test_the_default_configuration_has_the_numbers_of_the_settings():
    config = default_config()
    run = experiment_of(config).run
    assert run.simulation.settings == SimulationSettings()
    assert run.simulation.settings.camera == Camera()
    assert microscope_of(config) == Microscope()
    assert config.evaluation.to_dict() == asdict(experiment_of(config).evaluation)


def test_another_network_brings_its_own_fields_and_no_loss_of_a_psf():
    config = default_config()
    use_network(config, "unet")
    assert config.model.to_dict() == {"name": "unet", "widths": (32, 64, 128), "dtype": "float32"}
    assert {term for term, weight in config.loss.weights.items() if weight} == {"mse", "ssim", "frequency"}
    assert config.model.is_locked
    with pytest.raises(IllegalValue, match=r"`model\.name` is 'gan'"):
        use_network(config, "gan")


@pytest.mark.parametrize("network", ["oidn", "dfcan", "apcan", "rcan"])
def test_a_quick_configuration_stays_quick_with_another_network(network):
    """Small as its OIDN, whichever it began with; one that is not quick gets the published size."""
    for name in ("f_actin:quick", "er:quick,560", "guided:quick"):
        config = load_config(name)
        use_network(config, network)
        assert (config.model.width, config.model.groups, config.model.blocks) == (16, 2, 2), name
    for name in ("f_actin", "guided"):
        config = load_config(name)
        use_network(config, network)
        assert (config.model.width, config.model.groups, config.model.blocks) == (64, 4, 4), name


def edited(name):
    """A default configuration, edited as a program can."""
    config = default_config().unlock()
    section, _, field = name.partition(".")
    if field:
        config[section][field] = ("a", 3) if field == "density" else 1
    elif section in config:
        del config[section]
    else:
        config[section] = {"scenes": 1}
    return config


@pytest.mark.parametrize(
    ("name", "read"),
    [
        *((name, microscope_of) for name in ("evaluaton", "model", "microscope.foo")),
        *((name, experiment_of) for name in ("evaluaton", "model", "microscope.foo")),
        *((name, experiment_of) for name in ("simulation.foo", "simulation.density")),
    ],
)
def test_a_configuration_of_other_sections_or_fields_is_told(name, read):
    with pytest.raises(InputError, match=name.partition(".")[2] or name):
        read(edited(name))


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_that_jax_cannot_take(seed):
    config = default_config()
    config.seed = seed
    with pytest.raises(IllegalValue, match=f"`seed` is {seed}"):
        experiment_of(config)


@pytest.mark.parametrize("variant", ["full", "quick"])
def test_the_guided_network_is_trained_on_what_its_configuration_names(variant):
    experiment = experiment_of(load_config(f"guided:{variant}"))
    run, simulations = experiment.run, experiment.run.simulations
    assert run.guided
    assert run.loss.weights["error"] > 0
    assert not run.loss.weights["psf_energy"]
    if variant == "quick":
        assert simulations == (run.simulation,)
        return
    assert {each.specimen.name for each in simulations} == set(SPECIMENS)
    assert len({each.microscope for each in simulations}) == len(simulations) // 6 == 9
    for each in simulations:
        assert each.settings.empty > 0
        # What no microscope of the list changes is the specimen's own.
        assert each.settings.density == SPECIMENS[each.specimen.name].defaults["density"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"microscope.naa": 1.4}, r"`variety\.microscopes\[0\]` is .*naa"),
        ({"microscope.na": "x"}, r"`variety\.microscopes\[0\]` is"),
        ({"simulation.empty": 2.0}, r"`variety\.microscopes\[0\]` is .*there simulation\.empty is 2"),
    ],
)
def test_a_wrong_microscope_of_the_variety_is_told(changes, message):
    config = load_config("guided:quick")
    config.variety.microscopes = (changes,)
    with pytest.raises(IllegalValue, match=message):
        experiment_of(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.normalisation": "per_frame"}, "`data\\.normalisation` is 'per_frame'; .* leave it out"),
        ({"simulation.target": "classical"}, "`simulation\\.target` is 'classical'"),
        ({"model.body": "oidn"}, "`loss\\.weights\\.error` is 0\\.01; it must be 0: .* expects no error"),
        ({"loss.weights.psf_energy": 0.1}, "`loss\\.weights\\.psf_energy` is 0\\.1; it must be 0: .* has no PSF"),
        ({"microscope.phases": 2}, "`microscope\\.phases` is 2"),
    ],
)
def test_a_guided_network_refuses_what_it_has_no_use_for(changes, message):
    config = load_config("guided:quick")
    config.update_from_flattened_dict(changes)
    with pytest.raises(IllegalValue, match=message):
        experiment_of(config)


def test_the_priors_of_oidn_are_those_of_its_guided_form_too():
    config = load_config("guided:quick")
    config.model.body = "oidn"
    config.loss.weights.update(error=0.0, psf_energy=1e-3)
    assert experiment_of(config).run.loss.weights["psf_energy"] == 1e-3


def test_a_network_of_raw_frames_takes_no_microscope_of_others():
    config = load_config("f_actin:quick")
    config.variety.microscopes = ({"microscope.phases": 5},)
    with pytest.raises(IllegalValue, match=r"`variety\.microscope\.phases` is 5; the network takes 3"):
        experiment_of(config)


def test_a_specimen_of_the_variety_that_is_none_is_told():
    config = load_config("guided:quick")
    config.variety.specimens = ("f_actin", "liver")
    with pytest.raises(IllegalValue, match=r"`variety\.specimens` is 'liver'; legal: ccps, er,"):
        experiment_of(config)

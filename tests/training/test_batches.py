"""Where batches come from."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oidn_jax import losses
from oidn_jax.errors import InputError
from oidn_jax.models.networks import build_network, predict
from oidn_jax.training import parallel
from oidn_jax.training.batches import distinct_simulations, simulated_batches
from oidn_jax.training.loop import train
from oidn_jax.training.state import build_optimizer, initial_state
from tests.training.runs import batch_at, unet_run


@pytest.fixture
def patches(tmp_path):
    """A file of eight patches."""
    batches = [batch_at(step) for step in (1, 2)]
    arrays = {name: np.concatenate([batch[name] for batch in batches]) for name in ("inputs", "target")}
    np.savez(tmp_path / "patches.npz", **arrays)
    return tmp_path / "patches.npz"


def test_a_file_of_patches_is_what_is_trained_on(patches, tmp_path):
    with np.load(patches) as archive:
        arrays = dict(archive)

    def read(step):
        chosen = np.random.default_rng(step).choice(8, size=4, replace=False)
        return {name: array[chosen] for name, array in arrays.items()}

    run, lines = unet_run(steps=2), []
    assert train(run, tmp_path / "run", batch_at=read, say=lines.append).finished
    assert lines[0].startswith("training on the data given")
    logged = [json.loads(line)["mse"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]

    network, batch = build_network(run.model, run.microscope), read(1)
    params = initial_state(run, network, build_optimizer(run.train)).params
    image = jax.jit(predict, static_argnums=0)(network, params, batch["inputs"]).image
    np.testing.assert_allclose(logged[0], losses.mean_squared_error(image, jnp.asarray(batch["target"])), rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda batch: {"inputs": batch["inputs"]}, "it must have inputs, target"),
        (lambda batch: {**batch, "target": batch["target"][:, ::2, ::2]}, r"target .*\(4, 16, 16, 1\); it must be"),
        (lambda batch: {name: array[:3] for name, array in batch.items()}, r"\(3, 16, 16, 9\); it must be"),
        (lambda batch: {**batch, "inputs": np.ones((4, 16, 16, 9), np.uint16)}, "inputs .*uint16"),
        (lambda batch: {**batch, "inputs": 1000 * batch["inputs"]}, "they must be normalised"),
        (lambda batch: {**batch, "target": batch["target"] * np.float32(np.nan)}, "they must be normalised"),
    ],
)
def test_batches_that_the_run_cannot_use_are_told(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        train(unet_run(steps=2), tmp_path / "run", batch_at=lambda step: change(batch_at(step)), say=lambda line: None)


def test_simulated_batches_depend_on_the_step_and_the_seed_alone(tiny_experiment):
    source = simulated_batches(tiny_experiment.run)
    first, second = source(1), source(2)
    assert first["inputs"].shape == (4, 1, 16, 16, 9)
    assert first["target"].shape == (4, 1, 32, 32, 1)
    again = simulated_batches(tiny_experiment.run)(1)
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], second[name])


def test_a_batch_is_cut_for_the_devices_and_one_that_is_ready_is_left(key):
    batch = batch_at(1)
    shards = parallel.shard(batch)
    assert shards["inputs"].shape == (4, 1, 16, 16, 9)
    np.testing.assert_array_equal(shards["target"][2, 0], batch["target"][2])
    assert parallel.shard(shards)["target"] is shards["target"]
    with pytest.raises(ValueError, match="3 samples cannot be shared by 4 devices"):
        parallel.shard({name: array[:3] for name, array in batch.items()})


def test_a_simulation_named_twice_is_one_program_and_takes_two_turns():
    run = unet_run(batch_size=4)
    other = dataclasses.replace(
        run.simulation, settings=dataclasses.replace(run.simulation.settings, modulation_depth=(0.1, 0.2))
    )
    run = dataclasses.replace(run, simulations=(run.simulation, other, run.simulation))
    assert distinct_simulations(run) == [run.simulation, other]
    batch_at = simulated_batches(run)
    alone = [simulated_batches(dataclasses.replace(run, simulations=(each,))) for each in (run.simulation, other)]
    turns = []
    for step in range(3, 6):  # a round
        batch = np.asarray(batch_at(step)["inputs"])
        turns += [i for i, each in enumerate(alone) if np.array_equal(batch, np.asarray(each(step)["inputs"]))]
    assert sorted(turns) == [0, 0, 1]

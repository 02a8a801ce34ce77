"""What makes a guided network good: it is trained with one thing changed at a time.

python -m benchmarks.guided [--steps 500] [--scenes 12] [--seeds 1] [--only NAME,NAME] [--record]

As a whole it is `configs/guided.py:quick` (F-actin under one microscope, a small U-Net), which learns from simulated
acquisitions whose illumination is as wrong as a measured one. Each row is trained anew on the same batches, and scored
on the same held-out acquisitions of 128 x 128 raw pixels: affine PSNR and SSIM against the truth by fluorescence level.
The first row is Wiener SIM, the guide.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from benchmarks.record import Column, RecordedTable, record
from oidn_jax.classical.bands import combine_bands, crop, fine_frequencies, mirror, move_bands
from oidn_jax.classical.guides import foreground_mean, guides
from oidn_jax.classical.wiener import automatic_wiener, wiener_filters
from oidn_jax.config import experiment_of, load_config
from oidn_jax.evaluation.scores import score_likeness
from oidn_jax.metrics.normalisation import min_max
from oidn_jax.models.guided import GUIDES, Guided, fold
from oidn_jax.models.layers import pixel_shuffle
from oidn_jax.models.prediction import Prediction
from oidn_jax.models.unet import UNet
from oidn_jax.optics.forward import back_project, form_raw_frames
from oidn_jax.optics.illumination import Illumination
from oidn_jax.simulation.acquisitions import SimulatedAcquisition, simulate_acquisitions
from oidn_jax.simulation.guided_pairs import MARGIN, measured
from oidn_jax.simulation.settings import Simulation
from oidn_jax.training.settings import TrainingRun
from oidn_jax.training.state import NEVER, TrainState, build_optimizer
from oidn_jax.training.step import StepSettings, train_step

SCALE, SIDE, PAD = 2, 128, 8
Batch = dict[str, Array]


def batch_of(key: Array, levels: Array, *, simulation: Simulation, size: int) -> Batch:
    """All that any network here may see, a margin around it included, and what it should become, without.

    Frames, guides, bands and target are in the unit of `classical.guides`.
    """
    scene_key, error_key = jax.random.split(key)
    around = (size + 2 * MARGIN, size + 2 * MARGIN)
    acquisitions = simulate_acquisitions(scene_key, levels, simulation=simulation, size=around)
    keys = jax.random.split(error_key, len(levels))
    return jax.vmap(partial(_example, simulation=simulation))(keys, acquisitions)


def _example(key: Array, acquisition: SimulatedAcquisition, *, simulation: Simulation) -> Batch:
    camera, otf = simulation.settings.camera, simulation.microscope.otf()
    light = (jnp.moveaxis(acquisition.raw_frames, -1, 0) - camera.offset) / camera.gain
    illumination = measured(key, acquisition.illumination, photons=foreground_mean(light.mean(0)))
    given = guides(light, illumination, otf, scale=SCALE, pad=PAD)
    per_unit = acquisition.photons_per_unit * acquisition.illumination.brightness.mean() / given.unit
    return {
        "frames": light / given.unit,
        "guides": given.images,
        "conditions": given.conditions,
        "bands": bands_apart(light, illumination, simulation) / given.unit,
        "target": _inside(acquisition.target * per_unit, SCALE * MARGIN),
        **illumination._asdict(),
    }


def bands_apart(
    light: Float[Array, "frames h w"], illumination: Illumination, simulation: Simulation
) -> Float[Array, "bands h2 w2"]:
    """Wiener's image, the bands at rest and the moved ones of each orientation for themselves: it is their sum."""
    otf = simulation.microscope.otf()
    frames = mirror(light, PAD)
    bands = move_bands(frames, illumination)
    rest, moved, _ = wiener_filters(
        illumination,
        otf,
        fine_frequencies((frames.shape[1], frames.shape[2]), scale=SCALE),
        weight=jnp.where(jnp.linalg.norm(illumination.wave_vector, axis=-1) > 0, bands.weight, 0.0),
        wiener=automatic_wiener(light, illumination, otf),
        attenuation=None,
    )
    alone = jnp.eye(len(moved))[:, :, None, None]
    images = [combine_bands(bands, rest, 0.0 * moved, scale=SCALE)]
    images += [combine_bands(bands, 0.0 * rest, each * moved, scale=SCALE) for each in alone]
    return crop(jnp.stack(images), SCALE * PAD)


def _inside(image: Array, margin: int) -> Array:
    return image[margin:-margin, margin:-margin]


def folded(images: Float[Array, "b n h2 w2"], *numbers: Float[Array, "b c"]) -> Float[Array, "b h w channels"]:
    """Images on the fine grid, and numbers that hold everywhere, as a network takes them; without the margin."""
    together = jnp.concatenate(numbers, axis=1) if numbers else jnp.zeros((len(images), 0))
    x = jax.vmap(partial(fold, scale=SCALE))(images, together)
    return x[:, MARGIN:-MARGIN, MARGIN:-MARGIN]


def _raw(batch: Batch) -> Float[Array, "b h w frames"]:
    return jnp.moveaxis(batch["frames"], 1, -1)[:, MARGIN:-MARGIN, MARGIN:-MARGIN]


def guides_alone(batch: Batch, *, count: int = GUIDES) -> Array:
    """What the shipped network sees."""
    return folded(batch["guides"][:, :count], batch["conditions"])


def with_frames(batch: Batch) -> Array:
    """The raw frames, too."""
    return jnp.concatenate([guides_alone(batch), _raw(batch)], axis=-1)


def with_bands(batch: Batch) -> Array:
    """The bands apart, too."""
    return folded(jnp.concatenate([batch["guides"], batch["bands"]], axis=1), batch["conditions"])


def of_unit_range(batch: Batch) -> Batch:
    """The same with guide and target each stretched from 0 to 1, as published networks have their images."""

    def stretched(images: Array, reference: Array) -> Array:
        low, high = (f(reference, axis=(1, 2, 3), keepdims=True) for f in (jnp.min, jnp.max))
        return (images - low) / (high - low)

    target = batch["target"]
    return batch | {"guides": stretched(batch["guides"], batch["guides"][:, :1]), "target": stretched(target, target)}


class Corrected(nn.Module):
    """A U-Net's correction of the first guide, or its image where there is none."""

    inputs: Callable[[Batch], Array]
    widths: tuple[int, ...]
    zero_start: bool = True
    guided: bool = True

    @nn.compact
    def __call__(self, batch: Batch) -> Prediction:
        """The image."""
        x = self.inputs(batch)
        unet = UNet(self.widths, frames=x.shape[-1], scale=SCALE, zero_start=self.zero_start, name="body")
        guide = pixel_shuffle(x[..., : SCALE**2], SCALE) if self.guided else 0.0
        return Prediction(guide + unet(x).image)


class Shipped(nn.Module):
    """`models.guided`, with its expected error and a body by name."""

    body: str
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, batch: Batch) -> Prediction:
        """The image."""
        network = Guided(self.body, self.widths, width=16, groups=2, blocks=2, scale=SCALE, name="network")
        return network(guides_alone(batch))._replace(log_error=None)


class Unrolled(nn.Module):
    """Small U-Nets in a row, each of which sees the image so far and what the frames have against it, A^T (y - A x)."""

    otf: Callable[[int, int], Any]
    widths: tuple[int, ...]
    rounds: int = 3

    @nn.compact
    def __call__(self, batch: Batch) -> Prediction:
        """The image."""
        illumination = Illumination(*(batch[name] for name in Illumination._fields))
        image, frames = batch["guides"][:, 0], batch["frames"]
        transfer = jnp.asarray(self.otf(*frames.shape[-2:]), jnp.float32)

        def residual(x: Array, y: Array, light: Illumination) -> Array:
            light = light._replace(brightness=light.brightness / light.brightness.mean())
            rest = y - form_raw_frames(x, light, transfer, scale=SCALE)
            return back_project(rest, light, transfer, scale=SCALE) * (SCALE**2 / len(y))

        inside = SCALE * MARGIN
        for i in range(self.rounds):
            against = jax.vmap(residual)(image, frames, illumination)
            x = folded(jnp.stack([image, against, *jnp.moveaxis(batch["guides"][:, 1:], 1, 0)], 1), batch["conditions"])
            unet = UNet(self.widths, frames=x.shape[-1], scale=SCALE, zero_start=True, name=f"body_{i}")
            image = image + jnp.pad(unet(x).image[..., 0], ((0, 0), (inside, inside), (inside, inside)))
        return Prediction(image[:, inside:-inside, inside:-inside, None])


def variants(run: TrainingRun, simulation: Simulation) -> dict[str, tuple[nn.Module, Callable[[Batch], Batch]]]:
    """By name: a network, and what is done to a batch before it sees it."""

    def same(batch: Batch) -> Batch:
        return batch

    widths = tuple(run.model["widths"])
    unet = partial(Corrected, widths=widths)
    return {
        "U-Net of three guides": (Shipped("unet", widths), same),
        "body of OIDN": (Shipped("oidn", widths), same),
        "one guide": (unet(partial(guides_alone, count=1)), same),
        "raw frames too": (unet(with_frames), same),
        "raw frames alone": (unet(_raw, zero_start=False, guided=False), same),
        "bands apart too": (unet(with_bands), same),
        "correction does not begin at zero": (unet(guides_alone, zero_start=False), same),
        "from 0 to 1 by minimum and maximum": (unet(guides_alone), of_unit_range),
        "unrolled: three U-Nets of half the width": (
            Unrolled(simulation.microscope.fine_otf, tuple(width // 2 for width in widths)),
            same,
        ),
    }


class Result(NamedTuple):
    """Of one training: PSNR and SSIM by level, means over the scenes; how many parameters, and seconds of a step."""

    scores: dict[str, list[float]]
    parameters: int
    seconds: float


def trained(
    network: nn.Module,
    change: Callable[[Batch], Batch],
    run: TrainingRun,
    simulation: Simulation,
    *,
    held_out: Mapping[str, Sequence[Batch]],
    seed: int,
) -> Result:
    """Trained and scored."""
    count, patch = run.train.batch_size, run.train.patch
    optimizer = build_optimizer(run.train)
    weights = {name: weight for name, weight in run.loss.weights.items() if name != "error"}
    settings = StepSettings(network, optimizer, weights, run.loss.ssim_padding, run.train.ema_decay)

    def batch_at(key: Array) -> dict[str, Any]:
        level_key, key = jax.random.split(key)
        levels = jax.random.randint(level_key, (count,), 0, len(simulation.settings.mean_photons))
        batch = change(batch_of(key, levels, simulation=simulation, size=patch))
        peak = jnp.maximum(batch["target"].max((1, 2, 3), keepdims=True), 2.0 if change is not of_unit_range else 1.0)
        return {"inputs": batch, "target": batch["target"], "peak": peak}

    @partial(jax.jit, donate_argnums=0)
    def step(state: TrainState, number: Array) -> TrainState:
        batch = batch_at(jax.random.fold_in(jax.random.key(1000 + seed), number))
        return train_step(state, batch, settings=settings)[0]

    batch = jax.jit(batch_at)(jax.random.key(0))
    params = jax.jit(network.init)(jax.random.key(seed, impl="rbg"), batch["inputs"])["params"]
    state = TrainState(
        jnp.zeros((), jnp.int32), params, optimizer.init(params), jax.tree.map(jnp.copy, params), jnp.int32(NEVER)
    )
    state = step(state, jnp.int32(0))
    start = time.perf_counter()
    for number in range(1, run.train.steps):
        state = step(state, jnp.int32(number))
    jax.block_until_ready(state)
    seconds = (time.perf_counter() - start) / max(run.train.steps - 1, 1)
    if int(state.halted_at) != NEVER:
        raise FloatingPointError(f"the loss is not finite at step {int(state.halted_at)}")

    @jax.jit
    def image_of(batch: Batch) -> Array:
        prediction: Any = network.apply({"params": state.evaluation_params}, change(batch))
        return prediction.image

    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    return Result(scores(image_of, held_out), size, seconds)


def scores(image_of: Callable[[Batch], Array], held_out: Mapping[str, Sequence[Batch]]) -> dict[str, list[float]]:
    """Affine PSNR (dB) and SSIM of the held-out acquisitions of each level, means."""
    likeness = {}
    for level, batches in held_out.items():
        each = []
        for batch in batches:
            target = batch["target"][..., 0]
            each.append(score_likeness(image_of(batch)[..., 0], min_max(target).apply(target)))
        likeness[level] = [float(np.mean([one[f"affine_{name}"] for one in each])) for name in ("psnr", "ssim")]
    return likeness


def held_out_batches(simulation: Simulation, *, scenes: int) -> dict[str, list[Batch]]:
    """Acquisitions that no training draws, the same scenes at every fluorescence level."""
    simulate = jax.jit(partial(batch_of, simulation=simulation, size=SIDE))
    return {
        name: [simulate(jax.random.key(10**6 + i), jnp.asarray([levels[i % len(levels)] - 1])) for i in range(scenes)]
        for name, levels in simulation.settings.fluorescence_levels.items()
    }


def wiener_image(batch: Batch) -> Float[Array, "1 h2 w2 1"]:
    """The first guide."""
    return _inside(batch["guides"][0, 0], SCALE * MARGIN)[None, ..., None]


def table_of(results: Mapping[str, Sequence[Result]], *, steps: int) -> RecordedTable:
    """A row for each name: means over its trainings, and their standard deviation where there are several."""
    rows = []
    for name, trainings in results.items():
        row: list[Any] = [name, trainings[0].parameters, float(np.median([each.seconds for each in trainings]))]
        for level in trainings[0].scores:
            values = np.array([each.scores[level] for each in trainings])
            row.append([values[:, 0].mean(), values[:, 0].std(), values[:, 1].mean()])
        rows.append(row)
    columns = [Column("", "{}"), Column("parameters", "{:,}"), Column("s a step", "{:.2f}")]
    levels = results["Wiener SIM"][0].scores
    columns += [Column(f"{level}, dB (± of trainings) / SSIM", "{:.2f} ± {:.2f} / {:.3f}") for level in levels]
    return RecordedTable("ablation", f"Guided network, {steps} steps", columns, rows)


def main() -> None:
    """Trains, scores, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", help="names of rows, separated by commas")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    config = load_config("guided:quick")
    config.train.update(steps=options.steps, warmup_steps=options.steps // 10)
    run = experiment_of(config).run
    (simulation,) = run.simulations
    chosen = variants(run, simulation)
    names = options.only.split(",") if options.only else list(chosen)
    if unknown := set(names) - set(chosen):
        parser.error(f"no row {', '.join(unknown)}; there are: {', '.join(chosen)}")
    held_out = held_out_batches(simulation, scenes=options.scenes)
    results = {"Wiener SIM": [Result(scores(wiener_image, held_out), 0, 0.0)]}
    for name in names:
        results[name] = [
            trained(*chosen[name], run, simulation, held_out=held_out, seed=seed) for seed in range(options.seeds)
        ]
        print(name, [result.scores for result in results[name]], flush=True)
    table = table_of(results, steps=options.steps)
    table.print()
    if options.record:
        record("guided", [table])


if __name__ == "__main__":
    main()
